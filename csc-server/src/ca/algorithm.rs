//! Which keys sign certificates, and how.

use hsm_adapter::{KeyAlgorithm, Scheme};
use spki::AlgorithmIdentifierOwned;

use super::Error;

/// How a CA signs.
#[derive(Clone, Debug)]
pub(super) struct Algorithm {
    pub(super) scheme: Scheme,
    pub(super) identifier: AlgorithmIdentifierOwned,
}

impl Algorithm {
    pub(super) fn of(key: KeyAlgorithm) -> Result<Self, Error> {
        if matches!(key, KeyAlgorithm::Rsa2048 | KeyAlgorithm::P521) {
            return Err(Error::KeyType(key.name()));
        }
        let (scheme, identifier) = key.x509();
        Ok(Self { scheme, identifier })
    }
}
