//! HTTP as it is: paths, headers, JSON, answers.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::canary;

/// The two dialects of the CSC API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// v1.0.4.0
    V1,
    /// v2.x
    V2,
}
pub use Version::{V1, V2};

impl Version {
    /// The path of a method: `/csc/v1/credentials/list`.
    pub fn path(self, method: &str) -> String {
        match self {
            V1 => format!("/csc/v1/{method}"),
            V2 => format!("/csc/v2/{method}"),
        }
    }

    /// What a malformed `Authorization` header is answered with (CSC API v1 clause 10, v2 clause 11).
    pub fn header_error(self) -> &'static str {
        match self {
            V1 => COMMON,
            V2 => "Malformed authorization header",
        }
    }

    /// The name of the list of hashes.
    pub fn hashes(self) -> &'static str {
        match self {
            V1 => "hash",
            V2 => "hashes",
        }
    }

    /// The name of the hash algorithm in signHash.
    pub fn hash_algorithm(self) -> &'static str {
        match self {
            V1 => "hashAlgo",
            V2 => "hashAlgorithmOID",
        }
    }
}

/// The common description of `invalid_request`, verbatim (CSC API v1 table 3).
pub const COMMON: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a \
                          parameter more than once, or is otherwise malformed.";

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// The SHA-256 digest of a text.
pub fn digest(text: &str) -> Digest {
    sha2::Sha256::digest(text.as_bytes()).into()
}

/// Digests as the API takes them: base64 with padding.
pub fn digests(digests: &[Digest]) -> Value {
    digests
        .iter()
        .map(|digest| STANDARD.encode(digest))
        .collect()
}

fn builder(trusted: &Certificate) -> reqwest::ClientBuilder {
    // Connections of a pool would belong to the runtime of the test that opened them.
    reqwest::Client::builder()
        .tls_certs_only([trusted.clone()])
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
}

/// A listener of the service.
#[derive(Clone)]
pub struct Api {
    base: String,
    client: reqwest::Client,
    trusted: Certificate,
}

impl Api {
    pub(crate) fn new(base: String, trusted: &Certificate) -> Self {
        let client = builder(trusted).build();
        Self {
            base,
            client: client.expect("an HTTP client"),
            trusted: trusted.clone(),
        }
    }

    /// The same listener, to which each connection shows this certificate: PEM, with its key.
    pub fn showing(&self, pem: &str) -> Self {
        let identity = reqwest::Identity::from_pem(pem.as_bytes()).expect("a certificate");
        let client = builder(&self.trusted).identity(identity).build();
        Self {
            client: client.expect("an HTTP client"),
            ..self.clone()
        }
    }

    /// Calls a CSC method with a bearer token.
    pub async fn call(&self, version: Version, method: &str, token: &str, body: Value) -> Answer {
        self.send(self.method(version, method, token, &body)).await
    }

    /// A CSC method with a bearer token, not sent yet.
    pub fn method(
        &self,
        version: Version,
        method: &str,
        token: &str,
        body: &Value,
    ) -> RequestBuilder {
        let request = self.post(&version.path(method));
        request.bearer_auth(token).json(body)
    }

    /// Calls a CSC method without an `Authorization` header.
    pub async fn call_openly(&self, version: Version, method: &str, body: Value) -> Answer {
        self.send(self.post(&version.path(method)).json(&body))
            .await
    }

    /// Calls `auth/login` with HTTP Basic.
    pub async fn login(&self, version: Version, user: &str, password: &str, body: Value) -> Answer {
        let request = self
            .post(&version.path("auth/login"))
            .header("Authorization", canary::basic(user, password));
        self.send(request.json(&body)).await
    }

    /// Posts a form to an OAuth endpoint: `/oauth2/token`.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.post(path).form(fields)).await
    }

    /// Posts a form with the client's HTTP Basic authentication.
    pub async fn form_as(
        &self,
        path: &str,
        client: &str,
        secret: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let request = self
            .post(path)
            .header("Authorization", canary::basic(client, secret));
        self.send(request.form(fields)).await
    }

    /// A POST to be filled in by hand.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Any request, to be filled in by hand.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request made by hand.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request made by hand to a service that may go away before it has answered.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer::new(status, headers, response.text().await?))
    }

    /// The status of a GET, or nothing when nobody answers.
    pub async fn status(&self, path: &str) -> Option<u16> {
        Some(
            self.request(Method::GET, path)
                .send()
                .await
                .ok()?
                .status()
                .as_u16(),
        )
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.base
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }
}

/// What came back. Made only of answers that keep the rules of every answer: JSON says that it is JSON, a 204 is
/// empty, an error has the members of an error.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON body; null when it is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    fn new(status: u16, headers: HeaderMap, text: String) -> Self {
        let media_type = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let body = match media_type {
            "application/json" => {
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
            }
            _ => Value::Null,
        };
        let answer = Self {
            status,
            headers,
            body,
            text,
        };
        if status == 204 {
            assert!(answer.text.is_empty(), "a 204 has no body: {answer:?}");
        }
        if status >= 400 && answer.body != Value::Null {
            assert!(
                answer.body["error"].is_string(),
                "an error names itself: {answer:?}"
            );
            assert!(
                matches!(
                    answer.body.get("error_description"),
                    None | Some(Value::String(_))
                ),
                "{answer:?}"
            );
        }
        keep_secrets(&answer.body);
        answer
    }

    /// The JSON body of a success; panics with the answer when it is none.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.body.is_object(), "{self:?}");
        self.body
    }

    /// A success without content.
    pub fn done(self) {
        assert_eq!(self.status, 204, "{self:?}");
    }

    /// A member of a success, as text.
    pub fn text_of(self, member: &str) -> String {
        let body = self.ok();
        body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no string '{member}' in {body}"))
            .to_owned()
    }

    /// A refusal with status 400 and code `invalid_request`.
    pub fn refused(self, description: &str) {
        self.failed(400, "invalid_request", description);
    }

    /// A refusal with this status, code and description.
    pub fn failed(self, status: u16, error: &str, description: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.body,
            json!({"error": error, "error_description": description})
        );
    }

    /// A 4xx with this code, whatever its text.
    pub fn refused_as(self, error: &str) {
        assert!((400..500).contains(&self.status), "{self:?}");
        assert_eq!(self.body["error"], error, "{self:?}");
    }

    /// A 401 with this code, in the body and in `WWW-Authenticate` (RFC 6750, 3).
    pub fn unauthorised(self, error: &str) {
        assert_eq!(self.status, 401, "{self:?}");
        assert_eq!(self.body["error"], error, "{self:?}");
        let challenge = self
            .headers
            .get("www-authenticate")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        assert!(challenge.starts_with("Bearer "), "{self:?}");
    }
}

/// What the service hands out once is a secret from then on.
fn keep_secrets(body: &Value) {
    const MEMBERS: [&str; 4] = ["access_token", "refresh_token", "SAD", "client_secret"];
    let Some(members) = body.as_object() else {
        return;
    };
    let secrets: BTreeMap<_, _> = members
        .iter()
        .filter(|(name, _)| MEMBERS.contains(&name.as_str()))
        .collect();
    for secret in secrets.values().filter_map(|value| value.as_str()) {
        canary::register(secret);
        // `id.secret`: the identifier may be told, the secret alone may not.
        if let Some((_, secret)) = secret.split_once('.') {
            canary::register(secret);
        }
    }
}
