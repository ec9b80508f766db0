//! Digest algorithms and signature schemes, and their identifiers in X.509, CMS and CSC.

use std::io;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, AnyRef};
use der::{Encode, Sequence};
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha384, Sha512};
use spki::AlgorithmIdentifierOwned;

/// A digest algorithm that may be signed (ETSI TS 119 312: SHA-256 and stronger).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256, 32 octets.
    Sha256,
    /// SHA-384, 48 octets.
    Sha384,
    /// SHA-512, 64 octets.
    Sha512,
}

impl DigestAlgorithm {
    /// The object identifier, as used in CMS and as `hashAlgorithmOID` in CSC.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => rfc5912::ID_SHA_256,
            Self::Sha384 => rfc5912::ID_SHA_384,
            Self::Sha512 => rfc5912::ID_SHA_512,
        }
    }

    /// The length of a digest, in octets.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `content`.
    #[must_use]
    pub fn digest(self, content: &[u8]) -> Vec<u8> {
        let mut hasher = self.hasher();
        hasher.update(content);
        hasher.finish()
    }

    /// A hasher to write content to, so that large content need not be in memory.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha384 => Box::new(Sha384::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        })
    }

    /// The identifier as CMS wants it: parameters absent (RFC 5754, section 2).
    pub(crate) fn identifier(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned {
            oid: self.oid(),
            parameters: None,
        }
    }
}

/// A digest in the making: content is written, [`Hasher::finish`] gives the digest.
pub struct Hasher(Box<dyn DynDigest + Send>);

impl Hasher {
    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// The digest of everything written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0.finalize().into_vec()
    }
}

impl io::Write for Hasher {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.update(content);
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the key signs a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS; MGF1 with the same digest, salt as long as the digest.
    RsaPss(DigestAlgorithm),
    /// ECDSA.
    Ecdsa(DigestAlgorithm),
}

impl Scheme {
    /// The digest algorithm that is signed.
    #[must_use]
    pub const fn digest_algorithm(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) => digest,
        }
    }

    /// The object identifier of the signature algorithm, as used in CMS and as `signAlgo` in CSC.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        match self {
            Self::RsaPkcs1(Sha256) => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            Self::RsaPkcs1(Sha384) => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            Self::RsaPkcs1(Sha512) => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
            Self::RsaPss(_) => rfc5912::ID_RSASSA_PSS,
            Self::Ecdsa(Sha256) => rfc5912::ECDSA_WITH_SHA_256,
            Self::Ecdsa(Sha384) => rfc5912::ECDSA_WITH_SHA_384,
            Self::Ecdsa(Sha512) => rfc5912::ECDSA_WITH_SHA_512,
        }
    }

    /// The DER of the algorithm's parameters where it needs any (RSASSA-PSS), as used for `signAlgoParams` in CSC.
    ///
    /// # Errors
    /// None in practice; the encoder's own.
    pub fn parameters(self) -> der::Result<Option<Vec<u8>>> {
        match self {
            Self::RsaPss(digest) => PssParameters::new(digest)?.to_der().map(Some),
            Self::RsaPkcs1(_) | Self::Ecdsa(_) => Ok(None),
        }
    }

    pub(crate) fn identifier(self) -> der::Result<AlgorithmIdentifierOwned> {
        let parameters = match self {
            // RFC 4055, section 5: NULL with RSA; RFC 5758, section 3.2: absent with ECDSA.
            Self::RsaPkcs1(_) => Some(Any::null()),
            Self::RsaPss(digest) => Some(Any::encode_from(&PssParameters::new(digest)?)?),
            Self::Ecdsa(_) => None,
        };
        Ok(AlgorithmIdentifierOwned {
            oid: self.oid(),
            parameters,
        })
    }
}

/// `RSASSA-PSS-params` (RFC 4055, section 3.1). Every value differs from its default, but for the trailer, left out.
#[derive(Sequence)]
struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask_generation: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt_length: u64,
}

impl PssParameters {
    fn new(digest: DigestAlgorithm) -> der::Result<Self> {
        // RFC 4055, section 2.1: here, unlike in CMS, the digest's parameters are NULL.
        let hash = AlgorithmIdentifierOwned {
            oid: digest.oid(),
            parameters: Some(AnyRef::NULL.into()),
        };
        let mask_generation = AlgorithmIdentifierOwned {
            oid: rfc5912::ID_MGF_1,
            parameters: Some(Any::encode_from(&hash)?),
        };
        let salt_length = digest.length() as u64;
        Ok(Self {
            hash,
            mask_generation,
            salt_length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_parameters_are_those_of_rfc_4055() {
        let expected = [
            0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
            0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48,
            0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
            0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20,
        ];
        let parameters = Scheme::RsaPss(DigestAlgorithm::Sha256)
            .parameters()
            .unwrap()
            .unwrap();
        assert_eq!(parameters, expected);
    }

    #[test]
    fn content_written_in_pieces_has_the_digest_of_the_whole() {
        let mut hasher = DigestAlgorithm::Sha384.hasher();
        io::copy(&mut &b"one "[..], &mut hasher).unwrap();
        io::copy(&mut &b"two"[..], &mut hasher).unwrap();
        assert_eq!(hasher.finish(), DigestAlgorithm::Sha384.digest(b"one two"));
    }
}
