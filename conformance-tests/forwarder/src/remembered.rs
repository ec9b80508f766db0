//! Signatures that were made before: a device that signs at no cost, with signatures that verify.

use std::{
    collections::HashMap,
    ptr::null_mut,
    slice,
    sync::{Mutex, PoisonError},
};

use cryptoki_sys::*;

/// What a C_SignInit said, kept until the C_Sign of its session.
pub(crate) struct Begun {
    kind: CK_MECHANISM_TYPE,
    parameter: Vec<u8>,
    pub(crate) key: CK_OBJECT_HANDLE,
}

type Known = HashMap<(CK_MECHANISM_TYPE, Vec<u8>, Vec<u8>), Vec<u8>>;

/// Signatures by mechanism and data: for a run that signs with one key.
#[derive(Default)]
pub(crate) struct Remembered {
    begun: Mutex<HashMap<CK_SESSION_HANDLE, Begun>>,
    known: Mutex<Known>,
}

impl Remembered {
    /// # Safety
    /// `mechanism` and its parameter are valid.
    pub(crate) unsafe fn begin(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: *const CK_MECHANISM,
        key: CK_OBJECT_HANDLE,
    ) {
        // SAFETY: valid, as the caller says.
        let mechanism = unsafe { &*mechanism };
        let parameter = match mechanism.pParameter.is_null() {
            true => Vec::new(),
            // SAFETY: as many octets as the mechanism says.
            false => unsafe {
                slice::from_raw_parts(
                    mechanism.pParameter.cast(),
                    mechanism.ulParameterLen as usize,
                )
            }
            .to_vec(),
        };
        let begun = Begun {
            kind: mechanism.mechanism,
            parameter,
            key,
        };
        lock(&self.begun).insert(session, begun);
    }

    pub(crate) fn take(&self, session: CK_SESSION_HANDLE) -> Option<Begun> {
        lock(&self.begun).remove(&session)
    }

    pub(crate) fn find(&self, begun: &Begun, data: &[u8]) -> Option<Vec<u8>> {
        let name = (begun.kind, begun.parameter.clone(), data.to_vec());
        lock(&self.known).get(&name).cloned()
    }

    pub(crate) fn keep(&self, begun: Begun, data: &[u8], signature: &[u8]) {
        let name = (begun.kind, begun.parameter, data.to_vec());
        lock(&self.known).insert(name, signature.to_vec());
    }
}

impl Begun {
    /// The mechanism again; it points into `self`.
    pub(crate) fn mechanism(&mut self) -> CK_MECHANISM {
        CK_MECHANISM {
            mechanism: self.kind,
            pParameter: match self.parameter.is_empty() {
                true => null_mut(),
                false => self.parameter.as_mut_ptr().cast(),
            },
            ulParameterLen: self.parameter.len() as CK_ULONG,
        }
    }
}

/// Gives a signature as C_Sign does.
///
/// # Safety
/// `room` is valid; `signature` is null or has room for `*room` octets.
pub(crate) unsafe fn give(known: &[u8], signature: *mut CK_BYTE, room: *mut CK_ULONG) -> CK_RV {
    // SAFETY: as the caller says.
    unsafe {
        let fits = *room as usize >= known.len();
        *room = known.len() as CK_ULONG;
        if signature.is_null() {
            return CKR_OK;
        }
        if !fits {
            return CKR_BUFFER_TOO_SMALL;
        }
        slice::from_raw_parts_mut(signature, known.len()).copy_from_slice(known);
    }
    CKR_OK
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
