//! An HSM in memory, for tests: software keys behind the rules of a token, and failures on demand.

mod key;
mod session;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::{
    key::Material,
    session::{MemorySession, Object},
};
use crate::{About, Hsm, HsmError, Token};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A token in memory; clones share it. Calls are named as the methods of [`Hsm`], and `open`.
#[derive(Clone)]
pub struct MemoryToken {
    name: Arc<str>,
    device: Arc<Device>,
}

#[derive(Default)]
struct Device {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    objects: HashMap<u64, Object>,
    /// Handles and sessions are never given twice.
    last: u64,
    /// Sessions opened before this one are dead.
    alive_from: u64,
    lost: bool,
    faults: Vec<Fault>,
    spoil: bool,
    tampered: bool,
    stuck: bool,
    /// Whether it makes the same pair again and again, and that pair.
    repeats: bool,
    pair: Option<(Material, Vec<u8>)>,
    calls: BTreeMap<&'static str, usize>,
    about: About,
    holds: BTreeMap<&'static str, usize>,
    held: BTreeMap<&'static str, usize>,
}

struct Fault {
    call: &'static str,
    /// How many calls go well before it strikes.
    after: usize,
    error: Option<HsmError>,
}

/// Keeps the calls of a name waiting, until it is dropped.
#[must_use = "the calls go on when this is dropped"]
pub struct Hold {
    token: MemoryToken,
    call: &'static str,
}

impl MemoryToken {
    /// An empty token.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            device: Arc::default(),
        }
    }

    /// The next call of this name fails.
    pub fn fail_next(&self, call: &'static str, error: HsmError) {
        self.fail_nth(call, 1, error);
    }

    /// The n-th call of this name from now fails (1 is the next).
    pub fn fail_nth(&self, call: &'static str, n: usize, error: HsmError) {
        self.fault(call, n, Some(error));
    }

    /// The n-th call of this name from now panics (1 is the next).
    pub fn panic_nth(&self, call: &'static str, n: usize) {
        self.fault(call, n, None);
    }

    fn fault(&self, call: &'static str, n: usize, error: Option<HsmError>) {
        self.state().faults.push(Fault {
            call,
            after: n.saturating_sub(1),
            error,
        });
    }

    /// Every call fails with [`HsmError::Unavailable`], until [`Self::restore`].
    pub fn lose(&self) {
        let mut state = self.state();
        state.lost = true;
        state.alive_from = state.last + 1;
        state.objects.retain(|_, object| object.session.is_none());
        self.device.moved.notify_all();
    }

    /// The device answers again; sessions and session objects are gone.
    pub fn restore(&self) {
        self.state().lost = false;
        self.device.moved.notify_all();
    }

    /// Every session dies with its objects; new ones can be opened.
    pub fn drop_sessions(&self) {
        self.lose();
        self.restore();
    }

    /// It says from now on that it was tampered with, to who asks for its health or a session; whatever else is asked of it, it does.
    pub fn tamper(&self) {
        self.state().tampered = true;
    }

    /// The device answers as if nothing had been.
    pub fn forget_tampering(&self) {
        self.state().tampered = false;
    }

    /// Calls of this name wait until the guard is dropped.
    pub fn hold(&self, call: &'static str) -> Hold {
        *self.state().holds.entry(call).or_default() += 1;
        Hold {
            token: self.clone(),
            call,
        }
    }

    /// The next signature is wrong.
    pub fn spoil_next_signature(&self) {
        self.state().spoil = true;
    }

    /// From now on its random octets are always the same.
    pub fn stick_random(&self) {
        self.state().stuck = true;
    }

    /// From now on it makes the key pair that it made last, whatever is asked for.
    pub fn repeat_pairs(&self) {
        self.state().repeats = true;
    }

    /// What it says of itself from now on.
    pub fn say(&self, about: About) {
        self.state().about = about;
    }

    /// How often a call of this name was made.
    pub fn calls(&self, call: &str) -> usize {
        self.state().calls.get(call).copied().unwrap_or_default()
    }

    /// How many session objects there are.
    pub fn session_objects(&self) -> usize {
        let state = self.state();
        let objects = state.objects.values();
        objects.filter(|object| object.session.is_some()).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.device
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, holds it, and has it fail where that was asked for.
    fn enter(
        &self,
        call: &'static str,
        session: Option<u64>,
    ) -> Result<MutexGuard<'_, State>, HsmError> {
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        if state.holds.contains_key(call) {
            *state.held.entry(call).or_default() += 1;
            self.device.moved.notify_all();
            let released = self
                .device
                .moved
                .wait_while(state, |state| state.holds.contains_key(call));
            state = released.unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = state.held.get_mut(call) {
                *held -= 1;
            }
        }
        if state.lost {
            return Err(HsmError::Unavailable("the device is lost".to_owned()));
        }
        if session.is_some_and(|session| session < state.alive_from) {
            return Err(HsmError::Unavailable("the session is dead".to_owned()));
        }
        if state.tampered && ["open", "health"].contains(&call) {
            return Err(HsmError::Tampered(self.name.to_string()));
        }
        if let Some(error) = state.fault(call) {
            drop(state);
            #[expect(clippy::panic, reason = "a panic was asked for")]
            return Err(error.unwrap_or_else(|| panic!("a panic on demand")));
        }
        Ok(state)
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn fault(&mut self, call: &str) -> Option<Option<HsmError>> {
        let mut strikes = None;
        self.faults.retain_mut(|fault| {
            if fault.call != call || strikes.is_some() {
                return true;
            }
            if fault.after == 0 {
                strikes = Some(fault.error.take());
                return false;
            }
            fault.after -= 1;
            true
        });
        strikes
    }
}

impl Hold {
    /// Waits until this many calls wait; false when they do not come.
    pub fn reached(&self, count: usize) -> bool {
        let waited =
            self.token
                .device
                .moved
                .wait_timeout_while(self.token.state(), PATIENCE, |state| {
                    state.held.get(self.call).copied().unwrap_or_default() < count
                });
        waited.is_ok_and(|(_, waited)| !waited.timed_out())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.token.state();
        if let Some(holds) = state.holds.get_mut(self.call) {
            *holds -= 1;
            if *holds == 0 {
                state.holds.remove(self.call);
            }
        }
        self.token.device.moved.notify_all();
    }
}

impl Token for MemoryToken {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self) -> Result<Box<dyn Hsm>, HsmError> {
        let mut state = self.enter("open", None)?;
        let session = state.next();
        Ok(Box::new(MemorySession::new(self.clone(), session)))
    }

    fn about(&self) -> Result<About, HsmError> {
        Ok(self.enter("about", None)?.about.clone())
    }
}
