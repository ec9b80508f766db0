//! Calls as messages: what goes in and what comes out is bytes, so that a call can be made where the module is loaded.
//!
//! Each call is a value of its own type, beside what it does. Where it is run, it has a session of the pool, and what the calls of a slot
//! share. [`Route`] says where that is: in this process, or in the module's own.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    HsmError, Pool, PoolState,
    issuer::{Ensure, IssuerSign, PublicKey},
    pool::{Failure, Session, Speed},
    process::{Remote, Spread},
    vault::{
        Authorise, ChangePin, Check, Close, CurrentVersion, DestroySet, DestroyVersion, Device,
        Extend, Generate, Health, Init, JudgePuk, Mac, MacRecord, MakePuk, Masters, OpenKeys,
        Random, RecordMac, RecordMasters, RecordPairs, ResealBlobs, ResealPuk, ResealValue,
        ResetPin, Rotate, Seal, Sign, Sweep, Unseal, Versions,
    },
};

/// What the calls of a slot share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) masters: Masters,
    pub(crate) opened: Arc<OpenKeys>,
}

/// What becomes of a call that was sent to a process which ended before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfLost {
    /// It changes nothing: the next process runs it.
    Again,
    /// It makes or destroys what stays on the token: whoever asked looks, and asks again.
    Fails,
    /// It may have signed.
    Unknown,
}

/// A call.
pub(crate) trait Call: Serialize + DeserializeOwned + Send + Sync + 'static {
    type Answer: Serialize + DeserializeOwned + Send + 'static;
    type Error: Failure + Serialize + DeserializeOwned;
    const SPEED: Speed;
    const IF_LOST: IfLost = IfLost::Again;

    /// Which of several slots has what this call would have to make, by any number that says so every time.
    fn affinity(&self) -> Option<u64> {
        None
    }

    /// What needs no session. An answer or refusal ends the call.
    fn at_once(&self, _tools: &Tools) -> Option<Result<Self::Answer, Self::Error>> {
        None
    }

    /// The rest. It may be run a second time when the first ended with a lost session or object; a call that signed must not end so.
    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Self::Answer, Self::Error>;
}

/// Every call, as it travels.
macro_rules! requests {
    ($($call:ident),+ $(,)?) => {
        #[derive(Serialize, Deserialize)]
        pub(crate) enum Request {
            $($call($call)),+
        }

        $(impl From<$call> for Request {
            fn from(call: $call) -> Self {
                Self::$call(call)
            }
        })+

        impl Request {
            /// Has it run, and its answer or failure handed over as it travels back.
            pub(crate) fn post(self, engine: &Engine, answer: impl FnOnce(Octets) + Send + 'static) {
                match self {
                    $(Self::$call(call) => engine.post(call, answer)),+
                }
            }

            /// The answer to a call that cannot be run at all.
            pub(crate) fn refused(self, error: HsmError) -> Octets {
                match self {
                    $(Self::$call(_) => ended::<$call>(Err(error.into()))),+
                }
            }
        }
    };
}

requests! {
    Mac, RecordMac, MacRecord, Seal, Unseal, Random, Device, Health,
    Generate, Authorise, Extend, Sign, Close, Sweep,
    ChangePin, MakePuk, JudgePuk, ResetPin, ResealPuk,
    Init, Check, Versions, CurrentVersion, Rotate, DestroySet, DestroyVersion, ResealValue, ResealBlobs,
    PublicKey, Ensure, IssuerSign,
    RecordMasters, RecordPairs,
}

/// Octets of a message, which may carry secrets.
pub(crate) type Octets = Zeroizing<Vec<u8>>;

/// A value as it travels.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Octets, HsmError> {
    // Room for most: what grows leaves a copy behind, which only the allocator of the program wipes.
    let octets = postcard::to_extend(value, Vec::with_capacity(8192));
    octets
        .map(Zeroizing::new)
        .map_err(|error| malformed(&error))
}

/// How a call ended, as it travels.
fn ended<C: Call>(result: Result<C::Answer, C::Error>) -> Octets {
    let octets = encode(&result).or_else(|error| encode(&Err::<(), _>(C::Error::from(error))));
    octets.unwrap_or_default()
}

/// The inverse; nothing may follow.
pub(crate) fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, HsmError> {
    match postcard::take_from_bytes(octets) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(HsmError::Refused(
            "a message with something behind it".to_owned(),
        )),
        Err(error) => Err(malformed(&error)),
    }
}

pub(crate) fn malformed(error: &postcard::Error) -> HsmError {
    HsmError::Refused(format!("a malformed message: {error}"))
}

/// The sessions of a slot in this process, and what its calls share.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) tools: Tools,
}

impl Engine {
    pub(crate) fn new(pool: Pool, open_keys: usize) -> Self {
        let tools = Tools {
            masters: Masters::default(),
            opened: Arc::new(OpenKeys::new(pool.living(), open_keys)),
        };
        Self { pool, tools }
    }

    async fn call<C: Call>(&self, call: C) -> Result<C::Answer, C::Error> {
        if let Some(ended) = call.at_once(&self.tools) {
            return ended;
        }
        let tools = self.tools.clone();
        let work = move |session: &mut Session| call.run(session, &tools);
        self.pool.run(C::SPEED, work).await
    }

    fn post<C: Call>(&self, call: C, answer: impl FnOnce(Octets) + Send + 'static) {
        if let Some(ended) = call.at_once(&self.tools) {
            return answer(self::ended::<C>(ended));
        }
        let tools = self.tools.clone();
        let work = move |session: &mut Session| call.run(session, &tools);
        self.pool
            .post(C::SPEED, work, move |result| answer(ended::<C>(result)));
    }

    pub(crate) fn state(&self) -> PoolState {
        PoolState {
            open_keys: self.tools.opened.count(),
            ..self.pool.state()
        }
    }
}

/// Where calls are run.
#[derive(Clone)]
pub(crate) enum Route {
    /// In this process.
    Here(Engine),
    /// In the processes of modules.
    There(Spread),
}

impl Route {
    pub(crate) async fn call<C>(&self, call: C) -> Result<C::Answer, C::Error>
    where
        C: Call,
        Request: From<C>,
    {
        match self {
            Self::Here(engine) => engine.call(call).await,
            Self::There(slots) => slots.call(call).await,
        }
    }

    /// The master keys in use, as far as is known here.
    pub(crate) fn masters(&self) -> &Masters {
        match self {
            Self::Here(engine) => &engine.tools.masters,
            Self::There(slots) => slots.masters(),
        }
    }

    pub(crate) fn state(&self) -> PoolState {
        match self {
            Self::Here(engine) => engine.state(),
            Self::There(slots) => slots.state(),
        }
    }

    /// The slots, when they are in other processes.
    pub(crate) fn slots(&self) -> Vec<Remote> {
        match self {
            Self::Here(_) => Vec::new(),
            Self::There(slots) => slots.slots().cloned().collect(),
        }
    }
}
