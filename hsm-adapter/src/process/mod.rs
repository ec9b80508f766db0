//! A PKCS#11 module in a process of its own.
//!
//! ```text
//! Vault, Issuer ─► Remote ─► queue, seats ─► Link ══ socket ══► child: Engine ─► Pool ─► module
//!                                     Keeper: starts, watches, replaces
//! ```
//!
//! The process has the PIN, the library and every step that handles a key; who calls has neither. A frozen device blocks a call for as long
//! as it is frozen, some modules find a lost token only when they are loaded anew, and some leak with every key they open: a
//! process can be replaced. As many calls are sent as there are sessions, so that what waits has not been begun, and a call that went down
//! with its process is judged by what it may have done (`call::IfLost`).

mod child;
mod keeper;
mod link;
mod remote;
mod sandbox;
mod seats;
mod spread;
pub(crate) mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    child::serve,
    keeper::{Care, Process, ProcessState, Program, Reason},
    remote::Remote,
    wire::{ModuleSetup, SlotSetup},
};
pub(crate) use self::{sandbox::enter, spread::Spread};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
