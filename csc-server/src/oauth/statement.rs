//! Statements that a client signs with its own key: who it is (RFC 7523), and that it has the key that a token is bound to (RFC 9449). Each is
//! good for minutes, for one address, and once.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, ThumbprintHash},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{account::Once, client::Client, registration::Authentication};
use crate::clock::Millis;

/// `client_assertion_type` of RFC 7523.
pub const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What may be signed with: nothing symmetric, nothing with PKCS #1 v1.5 padding.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::EdDSA,
];
/// Their names, as metadata lists them.
pub const NAMES: [&str; 6] = ["ES256", "ES384", "PS256", "PS384", "PS512", "EdDSA"];
/// Longest statement, in octets.
const LENGTH: usize = 8192;
/// Longest life of an assertion, and age of a proof; how far ahead a client's clock may be. Seconds.
const LIFE: i64 = 600;
const AGE: i64 = 60;
const AHEAD: i64 = 10;

/// What RFC 7523 3 wants.
#[derive(Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

/// What RFC 9449 4.2 wants.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
}

/// A proof that its sender has a key.
pub struct Proof {
    /// The key, as tokens are bound to it.
    pub confirmation: String,
    /// What the proof is remembered by.
    pub name: Once,
}

/// Whose assertion this says it is; nothing is checked yet.
pub fn subject(assertion: &str) -> Option<String> {
    let payload = assertion.split('.').nth(1)?;
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

/// What remembers the assertion, when this client made it for one of these addresses and it is good now.
pub fn assertion(
    client: &Client,
    assertion: &str,
    audiences: &[String],
    now: Millis,
) -> Option<Once> {
    let Authentication::PrivateKeyJwt { jwks } = &client.registration.authentication else {
        return None;
    };
    let header = decode_header(assertion).ok()?;
    if assertion.len() > LENGTH || !ALGORITHMS.contains(&header.alg) {
        return None;
    }
    let mut keys = jwks.keys.iter().filter(|key| {
        header.kid.is_none() || key.common.key_id.is_none() || key.common.key_id == header.kid
    });
    let claims: Assertion = keys.find_map(|key| signed(assertion, header.alg, key))?;
    let id = client.id.as_str();
    let seconds = now / 1000;
    let to_us = match &claims.aud {
        Audience::One(one) => audiences.contains(one),
        Audience::Some(some) => some.iter().any(|one| audiences.contains(one)),
    };
    let good = claims.iss == id
        && claims.sub == id
        && to_us
        && (seconds + 1..=seconds + LIFE + AHEAD).contains(&claims.exp)
        && claims.nbf.is_none_or(|nbf| nbf <= seconds + AHEAD)
        && !claims.jti.is_empty();
    good.then(|| {
        Once::new(
            "assertion",
            id,
            &claims.jti,
            claims.exp.saturating_mul(1000),
        )
    })
}

/// The proof of a request of this method to this address; with an access token, the proof is for that token.
pub fn proof(
    proof: &str,
    method: &str,
    address: &str,
    token: Option<&str>,
    now: Millis,
) -> Option<Proof> {
    if proof.len() > LENGTH {
        return None;
    }
    let header = decode_header(proof).ok()?;
    if header.typ.as_deref() != Some("dpop+jwt")
        || !ALGORITHMS.contains(&header.alg)
        || has_private_key(proof)?
    {
        return None;
    }
    let key = header.jwk?;
    let claims: Claims = signed(proof, header.alg, &key)?;
    let seconds = now / 1000;
    let fresh = (seconds - AGE..=seconds + AHEAD).contains(&claims.iat);
    let address_fits = without_query(&claims.htu) == without_query(address);
    if !fresh || claims.htm != method || !address_fits || claims.jti.is_empty() {
        return None;
    }
    if let Some(token) = token {
        let wanted = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        let same: bool = claims.ath?.as_bytes().ct_eq(wanted.as_bytes()).into();
        if !same {
            return None;
        }
    }
    let thumbprint = key.thumbprint(ThumbprintHash::SHA256).ok()?;
    let until = (claims.iat + AGE + AHEAD) * 1000;
    Some(Proof {
        name: Once::new("dpop", &thumbprint, &claims.jti, until),
        confirmation: format!("jkt:{thumbprint}"),
    })
}

/// How tokens are bound to a certificate (RFC 8705 3.1).
pub fn certificate(der: &[u8]) -> String {
    format!("x5t:{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(der)))
}

/// What was signed, if with this key; times are judged by our own clock.
fn signed<T: DeserializeOwned>(text: &str, algorithm: Algorithm, key: &Jwk) -> Option<T> {
    let mut wanted = Validation::new(algorithm);
    wanted.set_required_spec_claims::<&str>(&[]);
    wanted.validate_exp = false;
    wanted.validate_nbf = false;
    wanted.validate_aud = false;
    let key = DecodingKey::from_jwk(key).ok()?;
    Some(decode(text, &key, &wanted).ok()?.claims)
}

/// RFC 9449 4.3: the key of the header must not be a private one.
fn has_private_key(proof: &str) -> Option<bool> {
    let header = proof.split('.').next()?;
    let header: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let key = header.get("jwk")?;
    Some(
        ["d", "k", "p", "q"]
            .iter()
            .any(|secret| key.get(secret).is_some()),
    )
}

/// RFC 9449 4.3: the address without query and fragment.
fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// The same of a thumbprint in hexadecimal.
pub fn thumbprint(hex: &str) -> Option<String> {
    let octets = hex::decode(hex).ok()?;
    Some(format!("x5t:{}", BASE64_URL_SAFE_NO_PAD.encode(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ClientId, oauth::registration::Registration};
    use jsonwebtoken::{EncodingKey, Header, encode, jwk::JwkSet};
    use serde_json::json;

    const NOW: Millis = 1_800_000_000_000;
    const SECONDS: i64 = NOW / 1000;
    const TOKEN_ENDPOINT: &str = "https://sign.example/oauth2/token";

    struct Key {
        private: EncodingKey,
        public: Jwk,
    }

    impl Key {
        fn new() -> Self {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let private = EncodingKey::from_ec_der(&pair.serialize_der());
            let public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
            Self { private, public }
        }

        fn client(&self) -> Client {
            let registration = Registration {
                authentication: Authentication::PrivateKeyJwt {
                    jwks: JwkSet {
                        keys: vec![Self::new().public, self.public.clone()],
                    },
                },
                ..Registration::named("A")
            };
            Client::for_test(ClientId::new("app"), registration, "")
        }

        fn asserts(&self, change: (&str, Value)) -> String {
            let mut claims = json!({
                "iss": "app", "sub": "app", "aud": TOKEN_ENDPOINT, "exp": SECONDS + 60, "jti": "1",
            });
            claims[change.0] = change.1;
            encode(&Header::new(Algorithm::ES256), &claims, &self.private).unwrap()
        }

        fn proves(&self, change: (&str, Value)) -> String {
            let mut claims = json!({
                "jti": "1", "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": SECONDS,
                "ath": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest("at.token")),
            });
            claims[change.0] = change.1;
            let header = Header {
                typ: Some("dpop+jwt".into()),
                jwk: Some(self.public.clone()),
                ..Header::new(Algorithm::ES256)
            };
            encode(&header, &claims, &self.private).unwrap()
        }
    }

    fn believed(client: &Client, text: &str) -> bool {
        assertion(client, text, &[TOKEN_ENDPOINT.to_owned()], NOW).is_some()
    }

    #[test]
    fn a_client_is_believed_what_it_signed_for_us_and_for_now() {
        let key = Key::new();
        let client = key.client();
        assert!(believed(&client, &key.asserts(("jti", json!("2")))));
        assert!(believed(
            &client,
            &key.asserts(("aud", json!(["https://a.example", TOKEN_ENDPOINT])))
        ));
        for change in [
            ("iss", json!("other")),
            ("sub", json!("other")),
            ("aud", json!("https://a.example")),
            ("exp", json!(SECONDS)),
            ("exp", json!(SECONDS + 3600)),
            ("nbf", json!(SECONDS + 60)),
            ("jti", json!("")),
        ] {
            assert!(
                !believed(&client, &key.asserts(change.clone())),
                "{change:?}"
            );
        }
        assert!(!believed(&client, &Key::new().asserts(("jti", json!("2")))));
    }

    #[test]
    fn an_assertion_that_is_signed_with_a_secret_or_not_at_all_is_none() {
        let key = Key::new();
        let client = key.client();
        let good = key.asserts(("jti", json!("2")));
        let payload = good.split('.').nth(1).unwrap();
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "RS256"}),
        ] {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
            assert!(!believed(&client, &format!("{header}.{payload}.AAAA")));
        }
    }

    #[test]
    fn a_proof_is_for_one_method_one_address_one_token_and_this_minute() {
        let key = Key::new();
        let judge = |text: &str| proof(text, "POST", TOKEN_ENDPOINT, Some("at.token"), NOW);
        let good = judge(&key.proves(("jti", json!("2")))).unwrap();
        let thumbprint = key.public.thumbprint(ThumbprintHash::SHA256).unwrap();
        assert_eq!(good.confirmation, format!("jkt:{thumbprint}"));
        assert!(judge(&key.proves(("htu", json!(format!("{TOKEN_ENDPOINT}?x=1"))))).is_some());
        for change in [
            ("htm", json!("GET")),
            ("htu", json!("https://sign.example/oauth2/revoke")),
            ("iat", json!(SECONDS - AGE - 1)),
            ("iat", json!(SECONDS + AHEAD + 1)),
            ("ath", json!("other")),
            ("ath", Value::Null),
            ("jti", json!("")),
        ] {
            assert!(judge(&key.proves(change.clone())).is_none(), "{change:?}");
        }
    }

    #[test]
    fn a_proof_with_another_type_or_a_private_key_is_none() {
        let key = Key::new();
        let good = key.proves(("jti", json!("2")));
        let header: Value = serde_json::from_slice(
            &BASE64_URL_SAFE_NO_PAD
                .decode(good.split('.').next().unwrap())
                .unwrap(),
        )
        .unwrap();
        let mut private = header.clone();
        private["jwk"]["d"] = json!("AAAA");
        let text = format!(
            "{}.e30.AAAA",
            BASE64_URL_SAFE_NO_PAD.encode(private.to_string())
        );
        assert_eq!(has_private_key(&text), Some(true));
        let claims = json!({"jti": "1", "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": SECONDS});
        let plain = Header {
            jwk: Some(key.public.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let plain = encode(&plain, &claims, &key.private).unwrap();
        assert!(proof(&plain, "POST", TOKEN_ENDPOINT, None, NOW).is_none());
    }
}
