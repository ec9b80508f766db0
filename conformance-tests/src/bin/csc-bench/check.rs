//! What the check of a signature costs that the service makes before a signature leaves: the same library, the same public key each time.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    },
};

use crate::cpu;

const TEXT: &[u8] = b"checked";
const TIMES: u32 = 4000;

/// CPU milliseconds of the check of one signature with a key of this type.
pub(crate) fn cost(key: &str) -> f64 {
    let random = SystemRandom::new();
    if key == "p256" {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let signature = pair.sign(&random, TEXT).expect("a signature");
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("a key");
        return repeated(&ECDSA_P256_SHA256_ASN1, public.as_ref(), signature.as_ref());
    }
    let pair = KeyPair::generate(KeySize::Rsa3072).expect("a key");
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &random, TEXT, &mut signature)
        .expect("a signature");
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("a key");
    repeated(&RSA_PKCS1_2048_8192_SHA256, public.as_ref(), &signature)
}

fn repeated(algorithm: &'static dyn VerificationAlgorithm, public: &[u8], signature: &[u8]) -> f64 {
    let before = cpu::own();
    for _ in 0..TIMES {
        let key = UnparsedPublicKey::new(algorithm, public);
        key.verify(TEXT, signature).expect("a good signature");
    }
    let used = cpu::own().saturating_sub(before);
    1000.0 * used.as_secs_f64() / f64::from(TIMES)
}
