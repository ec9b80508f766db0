//! What is to be approved, and what is to be signed: the same for every dialect of the wire.

use hsm_adapter::{Digest, DigestAlgorithm, HashType, Scheme, Statement};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Credential, Error};

/// A digest whose algorithm may not be known yet: CSC v1 names it only when signing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(#[serde(with = "hex::serde")] Vec<u8>);

impl Hash {
    /// `None` when no allowed digest has this length.
    pub fn new(octets: Vec<u8>) -> Option<Self> {
        DigestAlgorithm::ALL
            .iter()
            .any(|algorithm| algorithm.len() == octets.len())
            .then_some(Self(octets))
    }

    /// Whether it is all zeros: no document has such a digest, it stands where one was forgotten.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|octet| *octet == 0)
    }

    /// Whether it has the length of this algorithm.
    pub fn fits(&self, algorithm: DigestAlgorithm) -> bool {
        self.0.len() == algorithm.len()
    }

    /// As a digest of this algorithm; `None` when the length does not fit.
    pub fn digest(self, algorithm: DigestAlgorithm) -> Option<Digest> {
        Digest::new(algorithm, self.0)
    }

    /// Lower-case hexadecimal, as contents and history carry it.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }
}

/// What a holder is asked to approve: so many signatures with this credential, over exactly these hashes.
#[derive(Clone, Debug)]
pub struct Order {
    hashes: Vec<Hash>,
    digest: Option<DigestAlgorithm>,
    hash_type: Option<HashType>,
}

impl Order {
    /// An order of `count` signatures.
    ///
    /// # Errors
    /// [`Error::TooMany`] beyond the credential's `multisign`; [`Error::CountMismatch`] when there are more or fewer hashes than
    /// signatures: under SCAL2 nothing may be signed that was not seen when approving.
    pub fn new(
        credential: &Credential,
        count: u32,
        hashes: Vec<Hash>,
        digest: Option<DigestAlgorithm>,
    ) -> Result<Self, Error> {
        if count > credential.multisign {
            return Err(Error::TooMany);
        }
        if usize::try_from(count) != Ok(hashes.len()) {
            return Err(Error::CountMismatch);
        }
        Ok(Self {
            hashes,
            digest,
            hash_type: None,
        })
    }

    /// The same, when the client said what the hashes are digests of.
    pub fn of_type(self, hash_type: Option<HashType>) -> Self {
        Self { hash_type, ..self }
    }

    /// The hashes in the order given.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Their algorithm, when the client named it.
    pub fn digest(&self) -> Option<DigestAlgorithm> {
        self.digest
    }

    /// What they are digests of, when the client said.
    pub fn hash_type(&self) -> Option<HashType> {
        self.hash_type
    }

    /// How many signatures.
    pub fn count(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// What a holder compares between the application and our page.
    pub fn verification_code(&self) -> String {
        verification_code(&self.hashes)
    }

    /// One digest over the whole order: what a code stands for once it is taken.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for hash in &self.hashes {
            all.update((hash.0.len() as u64).to_be_bytes());
            all.update(&hash.0);
        }
        all.finalize().into()
    }
}

/// Approved digests that are to be signed now, and how.
#[derive(Clone, Debug)]
pub struct SignOrder {
    /// How.
    pub scheme: Scheme,
    /// What, in the order the signatures go back.
    pub digests: Vec<Digest>,
}

/// The first 32 bits of SHA-256 over the hashes one after the other, as `7F3A-C21B`: applications compute it too and show it beside. It tells
/// one request from another; it proves nothing against an application that lies.
pub fn verification_code(hashes: &[Hash]) -> String {
    let mut all = Sha256::new();
    for hash in hashes {
        all.update(&hash.0);
    }
    let code: String = hex::encode_upper(all.finalize()).chars().take(8).collect();
    let (first, second) = code.split_at(4);
    format!("{first}-{second}")
}

/// What is to be signed now.
#[derive(Clone, Debug)]
pub enum Work {
    /// The approved digests themselves.
    Hashes(SignOrder),
    /// What was derived from documents whose digests were approved.
    Documents(Vec<Statement>),
}

impl Work {
    /// The approved digests, in the order the signatures go back.
    pub fn approved(&self) -> Vec<&Digest> {
        match self {
            Self::Hashes(order) => order.digests.iter().collect(),
            Self::Documents(statements) => statements.iter().map(Statement::approved).collect(),
        }
    }

    /// What those are digests of.
    pub fn hash_type(&self) -> HashType {
        match self {
            Self::Hashes(_) => HashType::Dtbsr,
            Self::Documents(_) => HashType::Sdr,
        }
    }

    /// What is signed in their place, hexadecimal; nothing when it is they.
    pub fn derived(&self) -> Vec<String> {
        match self {
            Self::Hashes(_) => Vec::new(),
            Self::Documents(statements) => statements
                .iter()
                .map(|statement| hex::encode(statement.to_sign().octets()))
                .collect(),
        }
    }
}

impl From<SignOrder> for Work {
    fn from(order: SignOrder) -> Self {
        Self::Hashes(order)
    }
}

impl From<Vec<Statement>> for Work {
    fn from(statements: Vec<Statement>) -> Self {
        Self::Documents(statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verification_code_is_what_an_application_computes_too() {
        let order = |hashes: &[[u8; 32]]| Order {
            hashes: hashes.iter().map(|hash| Hash(hash.to_vec())).collect(),
            digest: None,
            hash_type: None,
        };
        // printf '\0%.0s' {1..32} | sha256sum
        assert_eq!(order(&[[0; 32]]).verification_code(), "6668-7AAD");
        let two = order(&[[1; 32], [2; 32]]).verification_code();
        assert_ne!(two, order(&[[2; 32], [1; 32]]).verification_code());
    }
}
