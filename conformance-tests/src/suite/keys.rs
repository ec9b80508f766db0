//! Keys, certificates and signatures: what the server claims is held against what it delivers.

use aws_lc_rs::{digest, signature};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Other,
}

/// A hash algorithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash {
    pub(super) oid: &'static str,
    algorithm: &'static digest::Algorithm,
}

/// A signature algorithm that can be verified here.
#[derive(Clone, Copy)]
pub(super) struct Algorithm {
    pub(super) oid: &'static str,
    pub(super) hash: Hash,
    kind: KeyKind,
    verify: &'static dyn signature::VerificationAlgorithm,
}

impl std::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.oid)
    }
}

pub(super) const SHA256: Hash = Hash {
    oid: "2.16.840.1.101.3.4.2.1",
    algorithm: &digest::SHA256,
};
pub(super) const SHA384: Hash = Hash {
    oid: "2.16.840.1.101.3.4.2.2",
    algorithm: &digest::SHA384,
};
pub(super) const SHA512: Hash = Hash {
    oid: "2.16.840.1.101.3.4.2.3",
    algorithm: &digest::SHA512,
};

/// RSA with the hash said apart.
pub(super) const RSA: &str = "1.2.840.113549.1.1.1";
/// RSASSA-PSS.
pub(super) const PSS: &str = "1.2.840.113549.1.1.10";
/// RSASSA-PSS-params: SHA-256, MGF1 with SHA-256, salt of 32 octets.
pub(super) const PSS_SHA256: &str =
    "MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg";

const fn algorithm(
    oid: &'static str,
    hash: Hash,
    kind: KeyKind,
    verify: &'static dyn signature::VerificationAlgorithm,
) -> Algorithm {
    Algorithm {
        oid,
        hash,
        kind,
        verify,
    }
}

static ALGORITHMS: [Algorithm; 6] = [
    algorithm(
        "1.2.840.113549.1.1.11",
        SHA256,
        KeyKind::Rsa,
        &signature::RSA_PKCS1_2048_8192_SHA256,
    ),
    algorithm(
        "1.2.840.113549.1.1.12",
        SHA384,
        KeyKind::Rsa,
        &signature::RSA_PKCS1_2048_8192_SHA384,
    ),
    algorithm(
        "1.2.840.113549.1.1.13",
        SHA512,
        KeyKind::Rsa,
        &signature::RSA_PKCS1_2048_8192_SHA512,
    ),
    algorithm(
        "1.2.840.10045.4.3.2",
        SHA256,
        KeyKind::P256,
        &signature::ECDSA_P256_SHA256_ASN1,
    ),
    algorithm(
        "1.2.840.10045.4.3.3",
        SHA384,
        KeyKind::P384,
        &signature::ECDSA_P384_SHA384_ASN1,
    ),
    algorithm(
        "1.2.840.10045.4.3.4",
        SHA512,
        KeyKind::P521,
        &signature::ECDSA_P521_SHA512_ASN1,
    ),
];

/// RSASSA-PSS with SHA-256 and a salt as long as the digest.
pub(super) static PSS_ALGORITHM: Algorithm = algorithm(
    PSS,
    SHA256,
    KeyKind::Rsa,
    &signature::RSA_PSS_2048_8192_SHA256,
);

/// RSA PKCS#1 v1.5 with the hash said apart.
pub(super) static RSA_ALGORITHM: Algorithm = algorithm(
    RSA,
    SHA256,
    KeyKind::Rsa,
    &signature::RSA_PKCS1_2048_8192_SHA256,
);

impl Algorithm {
    /// The digest of a document.
    pub(super) fn digest(&self, document: &[u8]) -> Vec<u8> {
        digest::digest(self.hash.algorithm, document)
            .as_ref()
            .to_vec()
    }

    /// The first of the listed algorithms that fits the key and can be verified here; RSA with the hash apart at last.
    pub(super) fn of(listed: &[String], key: KeyKind) -> Option<Self> {
        let known = |oid: &String| {
            let fits = |algorithm: &&Algorithm| algorithm.oid == oid && algorithm.kind == key;
            ALGORITHMS.iter().find(fits).copied()
        };
        let bare = listed.iter().any(|oid| oid == RSA) && key == KeyKind::Rsa;
        listed
            .iter()
            .find_map(known)
            .or(bare.then_some(RSA_ALGORITHM))
    }

    /// Whether the signature is one over the document, by the key of the certificate.
    pub(super) fn signs(&self, certificate: &[u8], document: &[u8], signature: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let key = &certificate.public_key().subject_public_key.data;
        let key = signature::UnparsedPublicKey::new(self.verify, key);
        key.verify(document, signature).is_ok()
    }
}

/// The kind of a certificate's key, and its length in bits.
pub(super) fn key_of(certificate: &X509Certificate<'_>) -> (KeyKind, usize) {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => (KeyKind::Rsa, key.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 => (KeyKind::P256, 256),
            384 => (KeyKind::P384, 384),
            // A point is written in whole octets.
            521..=528 => (KeyKind::P521, 521),
            other => (KeyKind::Other, other),
        },
        _ => (KeyKind::Other, 0),
    }
}
