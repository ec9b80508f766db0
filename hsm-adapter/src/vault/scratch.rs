//! Keys that must not outlive a job.

use crate::{Hsm, HsmError, Key};

/// A session and the keys made in it, which are destroyed when this is dropped: also after an error, and in a panic.
pub(crate) struct Scratch<'a> {
    hsm: &'a mut dyn Hsm,
    keys: Vec<Key>,
}

impl<'a> Scratch<'a> {
    pub(crate) fn new(hsm: &'a mut dyn Hsm) -> Self {
        Self {
            hsm,
            keys: Vec::new(),
        }
    }

    /// The session, for what makes no key.
    pub(crate) fn hsm(&mut self) -> &mut dyn Hsm {
        self.hsm
    }

    /// Makes a key.
    pub(crate) fn key(
        &mut self,
        make: impl FnOnce(&mut dyn Hsm) -> Result<Key, HsmError>,
    ) -> Result<Key, HsmError> {
        let key = make(self.hsm)?;
        self.keys.push(key);
        Ok(key)
    }

    /// Hands a key over to somebody else.
    pub(crate) fn release(&mut self, key: Key) {
        self.keys.retain(|kept| *kept != key);
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        for key in self.keys.drain(..).rev() {
            discard(self.hsm, key);
        }
    }
}

/// Destroys a session object; one that is left behind ends with its session.
pub(crate) fn discard(hsm: &mut dyn Hsm, key: Key) {
    if let Err(error) = hsm.destroy(key) {
        tracing::debug!(%error, "a session object was not destroyed");
    }
}
