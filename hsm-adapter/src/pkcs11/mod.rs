//! The real HSM: a token of a PKCS#11 module.

mod about;
mod canary;
mod code;
mod handles;
mod mechanism;
mod module;
mod public;
mod raw;
mod session;
mod template;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use cryptoki::error::RvError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::{code::Scope, handles::Handles, module::Module, session::Pkcs11Session};
use crate::{About, Hsm, HsmError, Token};

/// Which token of a module: never by slot number, which changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenSelector {
    /// The label of the token.
    Label(String),
    /// The serial number of the token.
    Serial(String),
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label '{label}'"),
            Self::Serial(serial) => write!(f, "serial number '{serial}'"),
        }
    }
}

/// What differs between vendors, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name used in the configuration.
    pub name: &'static str,
    /// The number of the wrap mechanism that is RFC 5649 on this module: the blob is the same, the number is not.
    pub wrap_mechanism: u64,
    /// Whether the token is a program: nothing but this machine protects its keys, and its module needs no network.
    pub software: bool,
    /// Whether it derives and wraps as keys of holders need it; otherwise it holds keys of the provider only.
    pub seals: bool,
}

impl Profile {
    /// SoftHSM 2: RFC 5649 under the number of `CKM_AES_KEY_WRAP_PAD`.
    pub const SOFTHSM2: Self = Self {
        name: "softhsm2",
        wrap_mechanism: 0x210A,
        software: true,
        seals: true,
    };
    /// Kryoptic: `CKM_AES_KEY_WRAP_KWP`, as the standard has it.
    pub const KRYOPTIC: Self = Self {
        name: "kryoptic",
        wrap_mechanism: 0x210B,
        software: true,
        seals: true,
    };
    /// Thales Luna: a number of the vendor's own.
    pub const LUNA: Self = Self {
        name: "luna",
        wrap_mechanism: 0x8000_0171,
        software: false,
        seals: true,
    };
    /// Entrust nShield.
    pub const NSHIELD: Self = Self {
        name: "nshield",
        wrap_mechanism: 0x210B,
        software: false,
        seals: true,
    };
    /// Utimaco.
    pub const UTIMACO: Self = Self {
        name: "utimaco",
        wrap_mechanism: 0x210B,
        software: false,
        seals: true,
    };
    /// AWS CloudHSM: a number of the vendor's own. It derives nothing that holders' keys need: for keys of the provider only.
    pub const CLOUDHSM: Self = Self {
        name: "cloudhsm",
        wrap_mechanism: 0x8000_216F,
        software: false,
        seals: false,
    };
    /// YubiHSM 2: for keys of the provider only; it wraps in a form of its own, and has no objects of a session.
    pub const YUBIHSM2: Self = Self {
        name: "yubihsm2",
        wrap_mechanism: 0x210B,
        software: false,
        seals: false,
    };
    /// Every profile.
    pub const ALL: [Self; 7] = [
        Self::SOFTHSM2,
        Self::KRYOPTIC,
        Self::LUNA,
        Self::NSHIELD,
        Self::UTIMACO,
        Self::CLOUDHSM,
        Self::YUBIHSM2,
    ];
}

impl Default for Profile {
    fn default() -> Self {
        Self::SOFTHSM2
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name == name)
            .ok_or_else(|| {
                let names = Self::ALL.map(|profile| profile.name).join(", ");
                format!("use one of {names}")
            })
    }
}

/// A token of a PKCS#11 module, found by label or serial number.
pub struct Pkcs11Token {
    slot: String,
    module: PathBuf,
    selector: TokenSelector,
    pin: Zeroizing<String>,
    profile: Profile,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The log-in while any session lives.
    login: Weak<Login>,
    /// The token refused the PIN: it is never shown to it again.
    refused: bool,
}

/// One log-in of this process to the token, held by every session opened under it. The anchor does nothing else: a token
/// logs out with its last session, and working sessions come and go.
struct Login {
    slot: String,
    profile: Profile,
    handles: Mutex<Handles>,
    anchor: Mutex<raw::Session>,
    slot_id: u64,
    serial: String,
    // Last: the module is finalised after its sessions are closed.
    module: Arc<Module>,
}

impl Pkcs11Token {
    /// Names the token; nothing is loaded before [`Token::open`]. `slot` is its name in the configuration.
    pub fn new(
        slot: impl Into<String>,
        module: impl Into<PathBuf>,
        selector: TokenSelector,
        pin: Zeroizing<String>,
        profile: Profile,
    ) -> Self {
        Self {
            slot: slot.into(),
            module: module.into(),
            selector,
            pin,
            profile,
            state: Mutex::default(),
        }
    }

    /// How often this process called each function of the module, for metrics; empty before it is loaded.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        module::calls(&self.module)
    }

    fn log_in(&self, state: &mut State) -> Result<Login, HsmError> {
        let module = Module::open(&self.module)?;
        let (slot_id, serial) = self.find(&module)?;
        let mut anchor = module.library().open(slot_id).map_err(unreachable)?;
        match anchor.login(&self.pin) {
            Ok(())
            | Err(raw::Failure {
                code: RvError::UserAlreadyLoggedIn,
                ..
            }) => {}
            Err(failure) if code::scope(failure.code) == Scope::Login => {
                tracing::error!(slot = self.slot, %failure, "the HSM refused the PIN; it is not tried again");
                state.refused = true;
                return Err(HsmError::PinRefused(self.slot.clone()));
            }
            Err(failure) => return Err(unreachable(failure)),
        }
        Ok(Login {
            slot: self.slot.clone(),
            profile: self.profile,
            handles: Mutex::default(),
            anchor: Mutex::new(anchor),
            slot_id,
            serial,
            module,
        })
    }

    fn find(&self, module: &Module) -> Result<(u64, String), HsmError> {
        let library = module.library();
        let mut others = Vec::new();
        for slot in library.slots().map_err(unreachable)? {
            let info = library.token(slot).map_err(unreachable)?;
            let raw::TokenInfo { label, serial, .. } = info;
            let found = match &self.selector {
                TokenSelector::Label(wanted) => *wanted == label,
                TokenSelector::Serial(wanted) => *wanted == serial,
            };
            if found {
                if info.failed {
                    return Err(HsmError::Tampered(self.slot.clone()));
                }
                return Ok((slot, serial));
            }
            others.push(format!("'{label}' ({serial})"));
        }
        Err(HsmError::Unfit(format!(
            "slot '{}': {} has no token with {}; it has {}",
            self.slot,
            self.module.display(),
            self.selector,
            if others.is_empty() {
                "none".to_owned()
            } else {
                others.join(", ")
            }
        )))
    }
}

impl Token for Pkcs11Token {
    fn name(&self) -> &str {
        &self.slot
    }

    fn open(&self) -> Result<Box<dyn Hsm>, HsmError> {
        // Held throughout, so that two threads never log in at once: each try counts against a real HSM's lock.
        let mut state = lock(&self.state);
        if state.refused {
            return Err(HsmError::PinRefused(self.slot.clone()));
        }
        let login = match state.login.upgrade() {
            Some(login) if lock(&login.anchor).logged_in() => login,
            _ => Arc::new(self.log_in(&mut state)?),
        };
        state.login = Arc::downgrade(&login);
        let session = login
            .module
            .library()
            .open(login.slot_id)
            .map_err(unreachable)?;
        Ok(Box::new(Pkcs11Session::new(session, login)))
    }

    fn about(&self) -> Result<About, HsmError> {
        let module = Module::open(&self.module)?;
        let (slot_id, _) = self.find(&module)?;
        about::read(module.library(), slot_id).map_err(unreachable)
    }
}

/// Before there is a session no code proves that the configuration is wrong.
fn unreachable(failure: raw::Failure) -> HsmError {
    HsmError::Unavailable(failure.to_string())
}

impl fmt::Display for raw::Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {:?}", self.call, self.code)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
