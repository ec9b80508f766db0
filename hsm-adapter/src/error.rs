//! What can go wrong, by whose fault it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A failure of the HSM or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum HsmError {
    /// The queue is full or the deadline would pass before a session is free.
    #[error("no HSM session is free; try again in {} s", .retry_after.as_secs().max(1))]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The token does not answer, or not usefully: lost, removed, broken.
    #[error("the HSM is unavailable: {0}")]
    Unavailable(String),
    /// The token refused the log-in. Never tried again by itself: a real HSM locks for good.
    #[error("the HSM refused the PIN of slot '{0}'; correct the PIN file and restart")]
    PinRefused(String),
    /// The device says that it is in an error state: tampered with, or failed its self-test. Final: somebody must look at it.
    #[error("the HSM of slot '{0}' reports an error state; examine it, then restart")]
    Tampered(String),
    /// The token lacks a mechanism, or an object came back with attributes that were not asked for.
    #[error("the HSM cannot be used as configured: {0}")]
    Unfit(String),
    /// The call itself was refused (bad blob, bad data): the session is fine.
    #[error("the HSM refused the call: {0}")]
    Refused(String),
    /// A key or object that must exist does not.
    #[error("the HSM has no object '{0}'; run `csc-server slot init`")]
    Missing(String),
    /// `C_Sign` was called and its outcome is not known.
    #[error("the outcome of a signature is unknown: {0}")]
    OutcomeUnknown(String),
}

impl HsmError {
    /// Whether the device must not be asked again before somebody has looked at it.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::PinRefused(_) | Self::Tampered(_))
    }
}

/// A failure of an operation on a sealed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum VaultError {
    /// The PIN is not the holder's: the only failure that counts as a try.
    #[error("wrong PIN")]
    WrongPin,
    /// The PUK is not the holder's.
    #[error("wrong PUK")]
    WrongPuk,
    /// The digest or the scheme is not among those the holder approved.
    #[error("not authorised by this activation")]
    NotBound,
    /// The activation is past its end.
    #[error("the activation has expired")]
    Expired,
    /// Secret and content do not open the key: one of them, or the stored blob, is not what it was.
    #[error("the sealed key does not open: secret, content or blob was changed")]
    Damaged,
    /// Everything else is the HSM's.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}
