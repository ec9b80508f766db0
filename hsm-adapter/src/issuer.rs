//! Keys of the provider itself (CA, audit): token objects of a slot of their own.

use crate::{Digest, HsmError, KeyAlgorithm, Pool, PoolState, Scheme};

/// The issuer slot.
#[derive(Clone)]
pub struct Issuer {}

impl Issuer {
    pub fn new(pool: Pool) -> Self { todo!() }
    /// The key type and SubjectPublicKeyInfo (DER) of the key with this label.
    pub async fn public_key(&self, label: &str) -> Result<Option<(KeyAlgorithm, Vec<u8>)>, HsmError> { todo!() }
    /// Makes the key if it is missing: (its SubjectPublicKeyInfo, whether this call made it).
    pub async fn ensure(&self, label: &str, algorithm: KeyAlgorithm) -> Result<(Vec<u8>, bool), HsmError> { todo!() }
    /// Signs a digest with the key of this label, and verifies the signature before it leaves.
    pub async fn sign(&self, label: &str, scheme: Scheme, digest: &Digest) -> Result<Vec<u8>, HsmError> { todo!() }
    pub async fn health(&self) -> Result<(), HsmError> { todo!() }
    pub fn state(&self) -> PoolState { todo!() }
}
