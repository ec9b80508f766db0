//! Proof of possession (RFC 2986; ETSI EN 319 411-1, REG-6.3.1-01): a certificate is made only for a key that has signed for it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use der::{Decode, Encode};
use hsm_adapter::KeyAlgorithm;
use spki::AlgorithmIdentifierOwned;
use x509_cert::{name::Name, request::CertReq};

use super::Error;

/// Checks that a request (DER) is of this key and for this subject, and that the key has signed it.
pub(super) fn check(request: &[u8], spki: &[u8], subject: &Name) -> Result<(), Error> {
    let parsed = CertReq::from_der(request).map_err(|_| Error::Request("it cannot be read"))?;
    // What is outside of the signature has one form only.
    if parsed.to_der()? != request {
        return Err(Error::Request("it is not DER"));
    }
    if parsed.info.public_key.to_der()? != spki {
        return Err(Error::Request("it is of another key"));
    }
    if parsed.info.subject != *subject {
        return Err(Error::Request("it is for somebody else"));
    }
    let verification = verification(&parsed.algorithm).ok_or(Error::Request(
        "it is signed by an algorithm that is not allowed",
    ))?;
    let signature = parsed.signature.as_bytes().unwrap_or_default();
    UnparsedPublicKey::new(verification, spki)
        .verify(&parsed.info.to_der()?, signature)
        .map_err(|_| Error::Request("its signature does not verify"))
}

fn verification(
    identifier: &AlgorithmIdentifierOwned,
) -> Option<&'static dyn VerificationAlgorithm> {
    let known: [(KeyAlgorithm, &'static dyn VerificationAlgorithm); 4] = [
        (KeyAlgorithm::P256, &ECDSA_P256_SHA256_ASN1),
        (KeyAlgorithm::P384, &ECDSA_P384_SHA384_ASN1),
        (KeyAlgorithm::P521, &ECDSA_P521_SHA512_ASN1),
        (KeyAlgorithm::Rsa3072, &RSA_PKCS1_2048_8192_SHA256),
    ];
    let found = known
        .into_iter()
        .find(|(key, _)| key.x509().1 == *identifier);
    found.map(|(_, verification)| verification)
}
