//! The CA's signature algorithms: key type → scheme → identifier and digest, here and nowhere else.

use der::asn1::{Any, ObjectIdentifier};
use hsm_adapter::{Digest, DigestAlgorithm, KeyAlgorithm, Scheme};
use sha2::Digest as _;
use spki::AlgorithmIdentifierOwned;
use x509_cert::der::oid::db::rfc5912;

use super::Error;

/// How a CA signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Algorithm {
    pub(super) scheme: Scheme,
    oid: ObjectIdentifier,
}

impl Algorithm {
    /// ECDSA with the digest that matches the curve, RSA as PKCS #1 v1.5 with SHA-256, which every verifier takes.
    pub(super) fn of(key: KeyAlgorithm) -> Result<Self, Error> {
        let (scheme, oid) = match key {
            KeyAlgorithm::P256 => (
                Scheme::Ecdsa(DigestAlgorithm::Sha256),
                rfc5912::ECDSA_WITH_SHA_256,
            ),
            KeyAlgorithm::P384 => (
                Scheme::Ecdsa(DigestAlgorithm::Sha384),
                rfc5912::ECDSA_WITH_SHA_384,
            ),
            KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => (
                Scheme::RsaPkcs1(DigestAlgorithm::Sha256),
                rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            ),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::P521 => return Err(Error::KeyType(key.name())),
        };
        Ok(Self { scheme, oid })
    }

    /// RFC 4055, 5: RSA has NULL parameters; RFC 5758, 3.2: ECDSA has none.
    pub(super) fn identifier(self) -> AlgorithmIdentifierOwned {
        let parameters = matches!(self.scheme, Scheme::RsaPkcs1(_)).then(Any::null);
        AlgorithmIdentifierOwned {
            oid: self.oid,
            parameters,
        }
    }

    pub(super) fn digest(self, octets: &[u8]) -> Result<Digest, Error> {
        let algorithm = self.scheme.digest();
        let digest = match algorithm {
            DigestAlgorithm::Sha256 => sha2::Sha256::digest(octets).to_vec(),
            DigestAlgorithm::Sha384 => sha2::Sha384::digest(octets).to_vec(),
            DigestAlgorithm::Sha512 => sha2::Sha512::digest(octets).to_vec(),
        };
        Digest::new(algorithm, digest).ok_or(Error::Mismatch("a digest has the wrong length"))
    }
}
