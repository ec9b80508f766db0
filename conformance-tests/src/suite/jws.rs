//! Signed statements, good ones and others (RFC 7515): header and claims are whatever the check says.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::check::{Stop, broken};

/// A key pair of P-256.
pub(super) struct Key(EcdsaKeyPair);

impl Key {
    /// A new one.
    pub(super) fn new() -> Result<Self, Stop> {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        made.map(Self).map_err(|_| broken("no key pair"))
    }

    /// Its public half (RFC 7517).
    pub(super) fn public(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let half = |from: usize, to: usize| {
            let octets = point.get(from..to).unwrap_or_default();
            BASE64_URL_SAFE_NO_PAD.encode(octets)
        };
        json!({"kty": "EC", "crv": "P-256", "x": half(1, 33), "y": half(33, 65)})
    }

    /// Signs a statement.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> Result<String, Stop> {
        let input = input(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes());
        let signature = signature.map_err(|_| broken("no signature"))?;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        Ok(format!("{input}.{signature}"))
    }
}

/// A statement without a signature.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", input(header, claims))
}

/// A statement under a client's secret, as CSC API v1 8.3.1 makes it: the key is the secret's SHA-256.
pub(super) fn under_secret(secret: &str, header: &Value, claims: &Value) -> String {
    let input = input(header, claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &Sha256::digest(secret));
    let tag = hmac::sign(&key, input.as_bytes());
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// What a DPoP proof says of the token it goes with (RFC 9449 4.2).
pub(super) fn digest(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

fn input(header: &Value, claims: &Value) -> String {
    let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encoded(header), encoded(claims))
}
