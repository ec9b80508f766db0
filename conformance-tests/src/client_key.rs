//! The key of a client that proves itself by signatures: assertions (RFC 7523) and DPoP proofs (RFC 9449).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp, jwk::Jwk};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::enrol::Client;

/// Where the service says it is, in the configuration of a test bed.
const SERVICE: &str = "https://localhost:8443";

/// A key pair of P-256.
pub struct ClientKey {
    private: EncodingKey,
    /// What is registered of it.
    pub public: Jwk,
}

impl ClientKey {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        let private = EncodingKey::from_ec_der(&pair.expect("a key pair").serialize_der());
        let public = Jwk::from_encoding_key(&private, Algorithm::ES256);
        Self {
            public: public.expect("a public key"),
            private,
        }
    }

    /// A statement of who the client is, for an audience, under a name that comes once.
    pub fn assertion(&self, client: &Client, audience: &str, name: &str) -> String {
        let claims = json!({
            "iss": client.id, "sub": client.id, "aud": audience, "jti": name, "exp": get_current_timestamp() + 60,
        });
        let signed = encode(&Header::new(Algorithm::ES256), &claims, &self.private);
        signed.expect("a signature")
    }

    /// A proof for a POST to this path, with this token, under a name that comes once.
    pub fn proof(&self, path: &str, token: Option<&str>, name: &str) -> String {
        let mut claims = json!({
            "htm": "POST", "htu": format!("{SERVICE}{path}"), "jti": name, "iat": get_current_timestamp(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
        }
        let header = Header {
            typ: Some("dpop+jwt".into()),
            jwk: Some(self.public.clone()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, &claims, &self.private).expect("a signature")
    }
}
