//! Every signature is verified with the public key before it leaves: a token that computes wrongly would otherwise hand
//! out signatures that nobody accepts, or (RSA with CRT) that give the key away.

use aws_lc_rs::{
    digest,
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};

use crate::{Digest, DigestAlgorithm, Hsm, HsmError, Key, KeyAlgorithm, Scheme};

/// Signs, and verifies in software or, what that does not know, with the token.
///
/// # Errors
/// [`HsmError::OutcomeUnknown`] once the token was asked to sign and there is no signature to give out; anything else
/// before that.
pub(crate) fn signed(
    hsm: &mut dyn Hsm,
    key: Key,
    algorithm: KeyAlgorithm,
    spki: &[u8],
    scheme: Scheme,
    digest: &Digest,
) -> Result<Vec<u8>, HsmError> {
    let signature = hsm.sign(key, algorithm, scheme, digest)?;
    let good = match in_software(algorithm, spki, scheme, digest, &signature) {
        Some(good) => good,
        None => hsm
            .verify(spki, scheme, digest, &signature)
            .map_err(|error| HsmError::OutcomeUnknown(error.to_string()))?,
    };
    if good {
        Ok(signature)
    } else {
        Err(HsmError::OutcomeUnknown(
            "the signature does not verify with the public key".to_owned(),
        ))
    }
}

/// Whether a signature is good; `None` when the library does not have the scheme.
pub(crate) fn in_software(
    algorithm: KeyAlgorithm,
    spki: &[u8],
    scheme: Scheme,
    digest: &Digest,
    signature: &[u8],
) -> Option<bool> {
    let verification = verification(algorithm, scheme)?;
    let digest = imported(digest)?;
    let key = UnparsedPublicKey::new(verification, spki);
    Some(key.verify_digest(&digest, signature).is_ok())
}

/// A digest as the library takes it.
pub(crate) fn imported(digest: &Digest) -> Option<digest::Digest> {
    let algorithm = match digest.algorithm() {
        DigestAlgorithm::Sha256 => &digest::SHA256,
        DigestAlgorithm::Sha384 => &digest::SHA384,
        DigestAlgorithm::Sha512 => &digest::SHA512,
    };
    digest::Digest::import_less_safe(digest.octets(), algorithm).ok()
}

fn verification(
    algorithm: KeyAlgorithm,
    scheme: Scheme,
) -> Option<&'static dyn VerificationAlgorithm> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    Some(match (scheme, algorithm) {
        (Scheme::RsaPkcs1(digest), _) => match digest {
            Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        },
        (Scheme::RsaPss { digest, salt }, _) if usize::from(salt) == digest.len() => match digest {
            Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
            Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
            Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        },
        (Scheme::Ecdsa(Sha256), KeyAlgorithm::P256) => &signature::ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa(Sha384), KeyAlgorithm::P256) => &signature::ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa(Sha512), KeyAlgorithm::P256) => &signature::ECDSA_P256_SHA512_ASN1,
        (Scheme::Ecdsa(Sha256), KeyAlgorithm::P384) => &signature::ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa(Sha384), KeyAlgorithm::P384) => &signature::ECDSA_P384_SHA384_ASN1,
        (Scheme::Ecdsa(Sha512), KeyAlgorithm::P384) => &signature::ECDSA_P384_SHA512_ASN1,
        (Scheme::Ecdsa(Sha256), KeyAlgorithm::P521) => &signature::ECDSA_P521_SHA256_ASN1,
        (Scheme::Ecdsa(Sha384), KeyAlgorithm::P521) => &signature::ECDSA_P521_SHA384_ASN1,
        (Scheme::Ecdsa(Sha512), KeyAlgorithm::P521) => &signature::ECDSA_P521_SHA512_ASN1,
        (Scheme::RsaPss { .. } | Scheme::Ecdsa(_), _) => return None,
    })
}
