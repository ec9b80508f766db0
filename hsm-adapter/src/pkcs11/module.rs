//! Modules of this process: each is loaded once and, while anybody uses it, initialised once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use cryptoki::error::RvError;

use super::raw::{Failure, Library};
use crate::HsmError;

/// An initialised module, shared by the slots that use it. Sessions hold it: when the last one is gone the module is
/// finalised, and the next user initialises it anew. That is what heals a module that lost its token and does not
/// notice its return, and it never happens under a call, for a call needs a session.
pub(super) struct Module {
    entry: &'static Entry,
}

struct Entry {
    library: Library,
    initialised: Mutex<Weak<Module>>,
}

static LOADED: Mutex<BTreeMap<PathBuf, &'static Entry>> = Mutex::new(BTreeMap::new());

impl Module {
    /// Loads and initialises the module of this path, unless that is done.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when it cannot be loaded, [`HsmError::Unavailable`] when it cannot be initialised now.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, HsmError> {
        let entry = loaded(path)?;
        let mut initialised = lock(&entry.initialised);
        if let Some(module) = initialised.upgrade() {
            return Ok(module);
        }
        match entry.library.initialize() {
            // Already initialised: by somebody else in this process, or by a module that is about to be dropped; it
            // sees that it has a successor and lets the library be.
            Ok(())
            | Err(Failure {
                code: RvError::CryptokiAlreadyInitialized,
                ..
            }) => {}
            Err(failure) => return Err(HsmError::Unavailable(failure.to_string())),
        }
        let module = Arc::new(Self { entry });
        *initialised = Arc::downgrade(&module);
        Ok(module)
    }

    /// The functions.
    pub(super) fn library(&self) -> &'static Library {
        &self.entry.library
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let initialised = lock(&self.entry.initialised);
        if initialised.strong_count() == 0
            && let Err(failure) = self.entry.library.finalize()
        {
            tracing::debug!(%failure, "a PKCS#11 module did not finalise");
        }
    }
}

/// How often each function of a module was called; empty when it is not loaded.
pub(super) fn calls(path: &Path) -> BTreeMap<&'static str, u64> {
    lock(&LOADED)
        .get(&one_name(path))
        .map(|entry| entry.library.calls())
        .unwrap_or_default()
}

/// Two names of one file are one module; a bare name is the loader's to search.
fn one_name(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn loaded(path: &Path) -> Result<&'static Entry, HsmError> {
    let path = one_name(path);
    let mut loaded = lock(&LOADED);
    if let Some(entry) = loaded.get(&path) {
        return Ok(entry);
    }
    let library = Library::load(&path).map_err(|reason| {
        HsmError::Unfit(format!(
            "the PKCS#11 module {} cannot be loaded: {reason}",
            path.display()
        ))
    })?;
    let entry = Box::leak(Box::new(Entry {
        library,
        initialised: Mutex::default(),
    }));
    loaded.insert(path, entry);
    Ok(entry)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
