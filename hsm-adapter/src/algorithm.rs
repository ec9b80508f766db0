//! What can be signed with what: key types, digests and signature schemes.

use const_oid::db::rfc5912;
use der::asn1::Any;
use serde::{Deserialize, Serialize};
use spki::AlgorithmIdentifierOwned;

/// A key type of ETSI TS 119 312 (RSA-2048 for measurements only).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits: never for new certificates.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl KeyAlgorithm {
    /// Modulus or field size in bits: `key/len` of the CSC API.
    pub fn bits(self) -> u32 {
        match self {
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// Whether this is an RSA key.
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// Whether a key of this type can make a signature of `scheme`: the right family, and for PSS a salt that fits
    /// (RFC 8017, 9.1.1: emLen ≥ hLen + sLen + 2).
    pub fn allows(self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::RsaPkcs1(_) => self.is_rsa(),
            Scheme::RsaPss { digest, salt } => {
                self.is_rsa()
                    && digest.len() + usize::from(salt) + 2
                        <= (self.bits() as usize - 1).div_ceil(8)
            }
            Scheme::Ecdsa(_) => !self.is_rsa(),
        }
    }

    /// How a key of this type signs certificates and requests: ECDSA with the digest of its curve, RSA as PKCS #1 v1.5 with SHA-256, which
    /// every verifier takes. RFC 4055, 5: RSA has NULL parameters; RFC 5758, 3.2: ECDSA has none.
    pub fn x509(self) -> (Scheme, AlgorithmIdentifierOwned) {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let (scheme, oid) = match self {
            Self::P256 => (Scheme::Ecdsa(Sha256), rfc5912::ECDSA_WITH_SHA_256),
            Self::P384 => (Scheme::Ecdsa(Sha384), rfc5912::ECDSA_WITH_SHA_384),
            Self::P521 => (Scheme::Ecdsa(Sha512), rfc5912::ECDSA_WITH_SHA_512),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => (
                Scheme::RsaPkcs1(Sha256),
                rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            ),
        };
        let parameters = self.is_rsa().then(Any::null);
        (scheme, AlgorithmIdentifierOwned { oid, parameters })
    }

    /// The name used in configuration, commands and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
        }
    }
}

impl std::str::FromStr for KeyAlgorithm {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        [
            Self::Rsa2048,
            Self::Rsa3072,
            Self::Rsa4096,
            Self::P256,
            Self::P384,
            Self::P521,
        ]
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| {
            format!("'{name}' is no key type; use rsa-3072, rsa-4096, p256, p384 or p521")
        })
    }
}

/// A digest algorithm at least as strong as SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Octets of a digest.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The object identifier in dotted form.
    pub fn oid(self) -> &'static str {
        match self {
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        }
    }
}

/// A digest whose length fits its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    try_from = "(DigestAlgorithm, Vec<u8>)",
    into = "(DigestAlgorithm, Vec<u8>)"
)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    octets: Vec<u8>,
}

impl TryFrom<(DigestAlgorithm, Vec<u8>)> for Digest {
    type Error = &'static str;

    fn try_from((algorithm, octets): (DigestAlgorithm, Vec<u8>)) -> Result<Self, &'static str> {
        Self::new(algorithm, octets).ok_or("a digest of another length")
    }
}

impl From<Digest> for (DigestAlgorithm, Vec<u8>) {
    fn from(digest: Digest) -> Self {
        (digest.algorithm, digest.octets)
    }
}

impl Digest {
    /// `None` when the length does not fit.
    pub fn new(algorithm: DigestAlgorithm, octets: Vec<u8>) -> Option<Self> {
        (octets.len() == algorithm.len()).then_some(Self { algorithm, octets })
    }

    /// The digest of a message.
    pub fn of(algorithm: DigestAlgorithm, message: &[u8]) -> Self {
        Self::of_parts(algorithm, &[message])
    }

    /// The digest of a message in parts.
    pub(crate) fn of_parts(algorithm: DigestAlgorithm, parts: &[&[u8]]) -> Self {
        fn digest<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            digest.finalize().to_vec()
        }
        let octets = match algorithm {
            DigestAlgorithm::Sha256 => digest::<sha2::Sha256>(parts),
            DigestAlgorithm::Sha384 => digest::<sha2::Sha384>(parts),
            DigestAlgorithm::Sha512 => digest::<sha2::Sha512>(parts),
        };
        Self { algorithm, octets }
    }

    /// All zeros: something for a canary to sign.
    pub(crate) fn zero(algorithm: DigestAlgorithm) -> Self {
        Self {
            algorithm,
            octets: vec![0; algorithm.len()],
        }
    }

    /// The algorithm that made it.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The digest itself.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// How a digest is signed. The digest algorithm is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 over a DigestInfo.
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS; MGF1 with the same digest, salt length in octets.
    RsaPss {
        /// Message and mask digest.
        digest: DigestAlgorithm,
        /// Salt length in octets, as the client asked.
        salt: u16,
    },
    /// ECDSA; the value leaves as DER SEQUENCE {r, s}.
    Ecdsa(DigestAlgorithm),
}

impl Scheme {
    /// The digest this scheme signs.
    pub fn digest(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss { digest, .. } | Self::Ecdsa(digest) => digest,
        }
    }
}
