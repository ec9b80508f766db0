//! A fake HSM in memory, with failures on demand.

use crate::{Hsm, HsmError, Token};

/// A token in memory; clones share it.
#[derive(Clone)]
pub struct MemoryToken {}

/// Holds every call of a name until it is dropped.
pub struct Hold {}

impl MemoryToken {
    /// An empty token.
    pub fn new(name: impl Into<String>) -> Self {
        todo!()
    }
    /// The next call of this name (a method of [`Hsm`], or `open`) fails.
    pub fn fail_next(&self, call: &'static str, error: HsmError) {
        todo!()
    }
    /// The n-th call of this name from now fails (1 is the next).
    pub fn fail_nth(&self, call: &'static str, n: usize, error: HsmError) {
        todo!()
    }
    /// Every call fails and every session dies, until [`Self::restore`].
    pub fn lose(&self) {
        todo!()
    }
    /// The device answers again; sessions and session objects are gone.
    pub fn restore(&self) {
        todo!()
    }
    /// Calls of this name wait until the guard is dropped.
    pub fn hold(&self, call: &'static str) -> Hold {
        todo!()
    }
    /// The next signature is wrong.
    pub fn spoil_next_signature(&self) {
        todo!()
    }
    /// How often a call of this name was made.
    pub fn calls(&self, call: &str) -> usize {
        todo!()
    }
    /// How many session objects exist.
    pub fn session_objects(&self) -> usize {
        todo!()
    }
}

impl Token for MemoryToken {
    fn name(&self) -> &str {
        todo!()
    }
    fn open(&self) -> Result<Box<dyn Hsm>, HsmError> {
        todo!()
    }
}
