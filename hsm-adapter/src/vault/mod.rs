//! Keys that only their holder opens: `KEK(PIN) → DEK → private key`, and for minutes `KEK(SAD) → DEK`.
//!
//! ```text
//! stretch(p)   = Argon2id(p, salt, cost)                                            32 octets
//! U(purpose,p) = SHA-256(len|purpose ‖ len|credential ‖ len|generation ‖ len|stretch(p))
//! KEK(x)       = CKM_AES_CBC_ENCRYPT_DATA(seal-derive/vN, iv = 0, data = x)         in the HSM
//! key_blob     = AES-KWP(DEK, private key)      w_pin = AES-KWP(KEK(U("pin", PIN)), DEK)
//! w_sad        = AES-KWP(KEK(SHA-256("sad" ‖ secret ‖ content)), DEK)
//! pin_check    = HMAC(pin-check/vN, U("pin", PIN))
//! at rest      = AES-256-GCM(store/vN, aad = place, blob)                           key_blob and w_pin
//! ```
//!
//! A PIN is judged by `pin_check` before anything is unwrapped, so a broken HSM never counts as a wrong PIN.

mod master;
mod open;
mod seal;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Content, Cost, Digest, HsmError, KeyAlgorithm, Pool, PoolState, Scheme, Secret, Stretcher, VaultError};

/// A signature PIN: exactly eight digits. Prints nothing, is wiped when dropped.
pub struct Pin(Zeroizing<String>);

/// A private key as it rests: ciphertext that the HSM and the holder's PIN together open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// Identifier of the credential.
    pub credential: String,
    /// Which key of the credential, from 1.
    pub generation: u32,
    /// Key type.
    pub algorithm: KeyAlgorithm,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// AES-KWP(DEK, private key), sealed for the store.
    pub key_blob: Vec<u8>,
    /// AES-KWP(KEK(PIN), DEK), sealed for the store.
    pub w_pin: Vec<u8>,
    /// Tells a wrong PIN from a broken HSM.
    pub pin_check: Vec<u8>,
    /// Argon2id salt, 16 octets.
    pub salt: Vec<u8>,
    /// Argon2id cost.
    pub cost: Cost,
    /// Version N of the master keys it was sealed under.
    pub masters: u32,
    /// Identity, certificate and status in canonical form, as the service stores them.
    pub record: Vec<u8>,
    /// HMAC(record-mac/vN, record), checked whenever the key is opened.
    pub record_mac: Vec<u8>,
}

/// What opens a key for a while: content and wrapped DEK from the store, the secret from the other side.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Canonical octets of a [`Content`], as stored.
    pub content: Vec<u8>,
    /// AES-KWP(KEK(secret, content), DEK), as stored.
    pub wrapped: Vec<u8>,
    /// What the client presented.
    pub secret: Secret,
}

/// HMAC keys, one a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacKey {
    /// PIN check values.
    PinCheck,
    /// Codes the service sends.
    Otp,
    /// Passwords: the keyed step after Argon2id.
    Pepper,
    /// Records of credentials.
    Record,
    /// Pseudonyms of persons in the audit log.
    Pseudonym,
}

/// Where a sealed value rests: the additional authenticated data of its encryption, so that it opens nowhere else.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Table.
    pub table: &'a str,
    /// Key of the row.
    pub row: &'a str,
    /// Column.
    pub field: &'a str,
}

/// A master key of the holder slot, as `slot init` reports it.
#[derive(Clone, Debug)]
pub struct Master {
    /// Label on the token, such as `seal-derive/v1`.
    pub label: String,
    /// Whether this call made it.
    pub created: bool,
}

/// The sealed keys of one slot.
#[derive(Clone)]
pub struct Vault {}

impl Pin {
    /// `None` unless it is exactly eight ASCII digits.
    pub fn parse(text: &str) -> Option<Self> { todo!() }
}

impl Vault {
    /// `open_keys`: how many opened keys may stay in the HSM at once (least recently used goes first).
    pub fn new(pool: Pool, stretcher: Stretcher, open_keys: usize) -> Self { todo!() }
    /// Makes the master keys that are missing.
    pub async fn init(&self) -> Result<Vec<Master>, HsmError> { todo!() }
    /// Finds every master key and proves the whole chain with a throw-away key; for the start of the service.
    pub async fn check(&self) -> Result<(), HsmError> { todo!() }
    /// Makes a key pair in the HSM, tests it (sign, verify, wrap, unwrap), seals it under the PIN. Record and its MAC are left
    /// empty: [`Self::mac`] makes it when the certificate is there.
    pub async fn generate(&self, credential: &str, generation: u32, algorithm: KeyAlgorithm, pin: &Pin) -> Result<SealedKey, VaultError> { todo!() }
    /// Judges the PIN and re-wraps the DEK under secret and content: the wrapped DEK of a new [`Activation`].
    pub async fn authorise(&self, key: &SealedKey, pin: &Pin, content: &[u8], secret: &Secret) -> Result<Vec<u8>, VaultError> { todo!() }
    /// Re-wraps the DEK of a live activation under another content and secret.
    pub async fn extend(&self, key: &SealedKey, from: &Activation, content: &[u8], secret: &Secret) -> Result<Vec<u8>, VaultError> { todo!() }
    /// Opens the key (or finds it open: the cache is keyed by the very value that opens it), checks that content names this
    /// credential and generation, has not expired at `now` (ms) and lists every digest, signs each, verifies each signature with the public key.
    /// All or nothing.
    pub async fn sign(&self, key: &SealedKey, activation: &Activation, scheme: Scheme, digests: &[Digest], now: i64) -> Result<Vec<Vec<u8>>, VaultError> { todo!() }
    /// Destroys the opened key of an activation, if it is open.
    pub async fn close(&self, activation: &Activation) { todo!() }
    /// HMAC over length-prefixed parts.
    pub async fn mac(&self, key: MacKey, parts: &[&[u8]]) -> Result<[u8; 32], HsmError> { todo!() }
    /// Seals a value for its place in the store.
    pub async fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, HsmError> { todo!() }
    /// Opens a value sealed for this place.
    pub async fn unseal(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> { todo!() }
    /// Random octets: the device's mixed (XOR) with the operating system's.
    pub async fn random<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, HsmError> { todo!() }
    /// Whether the slot signs, on the slow lane.
    pub async fn health(&self) -> Result<(), HsmError> { todo!() }
    /// Sessions, queue, opened keys, for metrics.
    pub fn state(&self) -> PoolState { todo!() }
}
