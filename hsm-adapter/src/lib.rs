//! Signing keys that only their holder can open, over pooled PKCS#11 sessions.
//!
//! Two layers, and nothing else in the product speaks PKCS#11:
//!
//! * [`Hsm`]: one logged-in session and its primitives. [`pkcs11`] is the real one; `memory` is a fake with failures
//!   on demand, for tests (feature `testing`). One contract suite (`tests/contract`) runs over both.
//! * [`Vault`] (holder keys, sealed) and [`Issuer`] (CA and audit keys, token objects of another slot): the
//!   cryptography of sole control, without any database or web in it. Every call is a message that could cross a
//!   process boundary: bytes in, bytes out, never a handle.
//!
//! Between them stands [`Pool`]: a fixed set of threads a slot, each owning one session, behind a bounded queue with
//! a deadline. Pool and module are in a [`process`] of their own; tests have them in theirs.

mod about;
mod algorithm;
mod call;
pub mod check;
mod content;
mod error;
mod hsm;
mod issuer;
#[cfg(feature = "testing")]
pub mod memory;
mod octets;
pub mod pkcs11;
mod pool;
pub mod process;
mod request;
mod statement;
mod stretch;
mod terms;
mod vault;
mod verify;

pub use about::{About, Mechanism, PinState};
pub use algorithm::{Digest, DigestAlgorithm, KeyAlgorithm, Scheme};
pub use content::{Content, Factor, HashType, Secret};
pub use error::{HsmError, VaultError};
pub use hsm::{Hsm, Key, KeyUse, Token};
pub use issuer::Issuer;
pub use pool::{Pool, PoolLimits, PoolState};
pub use statement::{NotDerived, PdfUpdate, Statement};
pub use stretch::{Cost, Stretcher};
pub use terms::{Rate, Terms};
pub use vault::{
    Activation, Blobs, MacKey, Master, MasterSet, NewKey, Pin, Place, Puk, Recorded, SealedKey,
    SealedPuk, Vault, version_of,
};
