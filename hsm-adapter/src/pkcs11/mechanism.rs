//! Schemes and key types as mechanisms of the token.

use cryptoki::mechanism::{
    Mechanism, MechanismType,
    rsa::{PkcsMgfType, PkcsPssParams},
};

use super::public;
use crate::{Digest, DigestAlgorithm, HsmError, KeyAlgorithm, KeyUse, Scheme};

/// The mechanism of a signature over a ready digest, and what it signs: hashing happened outside.
///
/// The family is the scheme's; `algorithm` says how much of the digest an ECDSA key takes.
pub(super) fn signature(
    algorithm: KeyAlgorithm,
    scheme: Scheme,
    digest: &Digest,
) -> Result<(Mechanism<'static>, Vec<u8>), HsmError> {
    // Tokens differ in what they do with a digest of another length: one signs it. It does not get that far.
    if !algorithm.allows(scheme) || scheme.digest() != digest.algorithm() {
        return Err(HsmError::Refused(format!(
            "a key of type {} does not sign this digest with {scheme:?}",
            algorithm.name()
        )));
    }
    Ok(match scheme {
        Scheme::RsaPkcs1(_) => {
            let info = public::digest_info(digest)
                .map_err(|error| HsmError::Refused(error.to_string()))?;
            (Mechanism::RsaPkcs, info)
        }
        Scheme::RsaPss { digest: hash, salt } => {
            let (hash_alg, mgf) = hash_and_mask(hash);
            let parameters = PkcsPssParams {
                hash_alg,
                mgf,
                s_len: u64::from(salt).into(),
            };
            (Mechanism::RsaPkcsPss(parameters), digest.octets().to_vec())
        }
        Scheme::Ecdsa(_) => (
            Mechanism::Ecdsa,
            public::ecdsa_input(algorithm, digest).to_vec(),
        ),
    })
}

/// The mechanism that makes a master key.
pub(super) fn generation(purpose: KeyUse) -> Mechanism<'static> {
    match purpose {
        KeyUse::Derive | KeyUse::Encrypt => Mechanism::AesKeyGen,
        KeyUse::Mac => Mechanism::GenericSecretKeyGen,
    }
}

/// The mechanism that makes a key pair.
pub(super) fn pair_generation(algorithm: KeyAlgorithm) -> Mechanism<'static> {
    if algorithm.is_rsa() {
        Mechanism::RsaPkcsKeyPairGen
    } else {
        Mechanism::EccKeyPairGen
    }
}

fn hash_and_mask(digest: DigestAlgorithm) -> (MechanismType, PkcsMgfType) {
    match digest {
        DigestAlgorithm::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        DigestAlgorithm::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        DigestAlgorithm::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    }
}
