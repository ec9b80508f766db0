//! The certificates that go into a signature, and what the signer's key can do.

use const_oid::db::rfc5912;
use der::asn1::{Any, Uint};
use der::{Decode, Sequence};
use x509_cert::Certificate;

use crate::{DigestAlgorithm, Scheme};

/// Why certificates, a scheme or a signature value cannot make a signature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate was given.
    #[error("the certificate chain is empty")]
    Empty,
    /// A certificate is not DER.
    #[error("certificate {position} of the chain is not a DER certificate: {source}")]
    Malformed {
        /// Its position; 0 is the signer's.
        position: usize,
        /// What the decoder met.
        source: der::Error,
    },
    /// The key is neither RSA nor EC.
    #[error("the signer's certificate holds a key of an unsupported type ({0})")]
    UnsupportedKey(const_oid::ObjectIdentifier),
    /// The scheme is for keys of another type.
    #[error("the signer's certificate holds {key}, which cannot sign with the requested algorithm")]
    SchemeMismatch {
        /// The key of the certificate.
        key: Key,
    },
    /// The signature value is not one the signer's key can have made.
    #[error("the signature value is not one of {key}: {reason}")]
    SignatureValue {
        /// The key of the certificate.
        key: Key,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The public key of the signer, as far as a format needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA, with the length of the modulus in octets.
    Rsa {
        /// Octets of the modulus, which are those of a signature.
        modulus: usize,
    },
    /// Elliptic curve, with the length of a field element in octets.
    Ec {
        /// Octets of a field element: 32 for P-256, 48 for P-384, 66 for P-521.
        field: usize,
    },
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa { modulus } => write!(f, "an RSA key of {} bits", modulus * 8),
            Self::Ec { field: 66 } => write!(f, "an EC key of 521 bits"),
            Self::Ec { field } => write!(f, "an EC key of {} bits", field * 8),
        }
    }
}

/// The signer's certificate first, then those of its issuers, as far as they shall be embedded.
///
/// Certificates are kept and embedded octet by octet, never encoded anew.
#[derive(Clone, Debug)]
pub struct Chain {
    der: Vec<Vec<u8>>,
    signer: Certificate,
    key: Key,
}

impl Chain {
    /// Takes DER certificates, the signer's first.
    ///
    /// # Errors
    /// When there is none, one is not DER, or the signer's key is neither RSA nor EC.
    pub fn new(der: Vec<Vec<u8>>) -> Result<Self, Error> {
        let first = der.first().ok_or(Error::Empty)?;
        let signer = Certificate::from_der(first).map_err(|source| Error::Malformed {
            position: 0,
            source,
        })?;
        for (position, certificate) in der.iter().enumerate() {
            Any::from_der(certificate)
                .and_then(|any| any.header().tag().assert_eq(der::Tag::Sequence))
                .map_err(|source| Error::Malformed { position, source })?;
        }
        let key = key(&signer)?;
        Ok(Self { der, signer, key })
    }

    /// The signer's public key.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// The common name in the signer's certificate, if it has one.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        self.signer
            .tbs_certificate()
            .subject()
            .common_name()
            .ok()
            .flatten()
            .map(String::from)
    }

    pub(crate) const fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// The certificates' DER, the signer's first.
    pub(crate) fn der(&self) -> &[Vec<u8>] {
        &self.der
    }

    pub(crate) fn signer_digest(&self, algorithm: DigestAlgorithm) -> Vec<u8> {
        algorithm.digest(self.der.first().map_or(&[], Vec::as_slice))
    }

    pub(crate) fn check_scheme(&self, scheme: Scheme) -> Result<(), Error> {
        let pss_only = self
            .signer
            .tbs_certificate()
            .subject_public_key_info()
            .algorithm
            .oid
            == rfc5912::ID_RSASSA_PSS;
        match (self.key, scheme) {
            (Key::Rsa { .. }, Scheme::RsaPss(_)) | (Key::Ec { .. }, Scheme::Ecdsa(_)) => Ok(()),
            (Key::Rsa { .. }, Scheme::RsaPkcs1(_)) if !pss_only => Ok(()),
            (key, _) => Err(Error::SchemeMismatch { key }),
        }
    }

    /// The octets the longest signature value of the key has.
    pub(crate) const fn signature_length(&self) -> usize {
        match self.key {
            Key::Rsa { modulus } => modulus,
            // SEQUENCE of two INTEGERs, each with a sign octet; headers of at most 3 and 2 octets (fields to 126 octets).
            Key::Ec { field } => 3 + 2 * (2 + 1 + field),
        }
    }

    pub(crate) fn check_signature(&self, value: &[u8]) -> Result<(), Error> {
        let refused = |reason| {
            Err(Error::SignatureValue {
                key: self.key,
                reason,
            })
        };
        match self.key {
            Key::Rsa { modulus } if value.len() != modulus => {
                refused("its length is not that of the modulus")
            }
            Key::Ec { field } => match EcdsaValue::from_der(value) {
                Ok(EcdsaValue { r, s })
                    if r.as_bytes().len() <= field && s.as_bytes().len() <= field =>
                {
                    Ok(())
                }
                Ok(_) => refused("its numbers are longer than the curve's field"),
                Err(_) => refused("it is not a DER SEQUENCE of two integers"),
            },
            Key::Rsa { .. } => Ok(()),
        }
    }
}

fn key(certificate: &Certificate) -> Result<Key, Error> {
    let info = certificate.tbs_certificate().subject_public_key_info();
    let bits = info.subject_public_key.raw_bytes();
    match info.algorithm.oid {
        rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS => {
            let key = RsaPublicKey::from_der(bits).map_err(|source| Error::Malformed {
                position: 0,
                source,
            })?;
            Ok(Key::Rsa {
                modulus: key.modulus.as_bytes().len(),
            })
        }
        // An uncompressed point: 04, x, y.
        rfc5912::ID_EC_PUBLIC_KEY => Ok(Key::Ec {
            field: bits.len().saturating_sub(1) / 2,
        }),
        other => Err(Error::UnsupportedKey(other)),
    }
}

/// `RSAPublicKey` (RFC 8017, A.1.1).
#[derive(Sequence)]
struct RsaPublicKey {
    modulus: Uint,
    public_exponent: Uint,
}

/// `Ecdsa-Sig-Value` (RFC 3279, 2.2.3).
#[derive(Sequence)]
struct EcdsaValue {
    r: Uint,
    s: Uint,
}
