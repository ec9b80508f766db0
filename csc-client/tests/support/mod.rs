//! A CSC service with one credential, which records what it is asked.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare itself fails"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json, Router, routing::post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PIN: &str = "4711";
pub(crate) const OTP: &str = "204060";
const TOKEN: &str = "service-token";

/// How the service differs from the usual.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) auth: Value,
    pub(crate) multisign: usize,
    /// `credentials/authorize` answers 202, and `authorizeCheck` does so once.
    pub(crate) pending: bool,
    /// A sent code is written here.
    pub(crate) outbox: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let auth = json!({"mode": "explicit", "expression": "PIN AND OTP", "objects": [
            {"type": "Password", "id": "PIN", "format": "N", "label": "Signature PIN"},
            {"type": "ChallengeResponse", "id": "OTP", "format": "N", "label": "SMS code"},
        ]});
        Self {
            auth,
            multisign: 20,
            pending: false,
            outbox: None,
        }
    }
}

pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) certificate: String,
    state: Arc<Inner>,
}

struct Inner {
    options: Options,
    url: Mutex<String>,
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    /// Method and body, in order.
    calls: Mutex<Vec<(String, Value)>>,
}

impl Service {
    pub(crate) async fn start(options: Options) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        let pair =
            KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_ref().into(), &PKCS_ECDSA_P256_SHA256)
                .unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Alice Muster");
        let certificate = params.self_signed(&pair).unwrap();

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Inner {
            options,
            url: Mutex::new(url.clone()),
            key,
            certificate: certificate.der().to_vec(),
            calls: Mutex::default(),
        });
        let router = Router::new()
            .route("/csc/{version}/{*method}", post(method))
            .route("/oauth2/{method}", post(oauth))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            certificate: certificate.pem(),
            state,
        }
    }

    /// The methods called, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.state
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(|(method, _)| method.clone())
            .collect()
    }

    /// The bodies that a method was called with.
    pub(crate) fn bodies(&self, method: &str) -> Vec<Value> {
        let calls = self.state.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(called, _)| called == method)
            .map(|(_, body)| body.clone())
            .collect()
    }
}

async fn oauth(
    State(state): State<Arc<Inner>>,
    UrlPath(method): UrlPath<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let form: serde_json::Map<String, Value> = form
        .into_iter()
        .map(|(key, value)| (key, value.into()))
        .collect();
    state
        .calls
        .lock()
        .unwrap()
        .push((format!("oauth2/{method}"), form.into()));
    match method.as_str() {
        "token" => Json(json!({"access_token": TOKEN, "token_type": "Bearer"})).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn method(
    State(state): State<Arc<Inner>>,
    UrlPath((version, method)): UrlPath<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    state
        .calls
        .lock()
        .unwrap()
        .push((method.clone(), body.clone()));
    let authorization = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    let expected = match method.as_str() {
        "info" => None,
        "auth/login" => Some(format!("Basic {}", STANDARD.encode("alice:password"))),
        _ => Some(format!("Bearer {TOKEN}")),
    };
    if authorization != expected {
        return refuse(
            "authentication_error",
            "An error occurred during authentication process",
        );
    }
    state.answer(&version, &method, &body)
}

fn refuse(code: &str, description: &str) -> Response {
    let body = Json(json!({"error": code, "error_description": description}));
    (StatusCode::BAD_REQUEST, body).into_response()
}

impl Inner {
    fn answer(&self, version: &str, method: &str, body: &Value) -> Response {
        let v1 = version == "v1";
        let polled = || {
            self.calls
                .lock()
                .unwrap()
                .iter()
                .filter(|(m, _)| m == "credentials/authorizeCheck")
                .count()
        };
        let answer = match method {
            "info" => {
                json!({"name": "Test service", "specs": "2.0.0.2", "authType": ["basic", "oauth2client"],
                "oauth2": *self.url.lock().unwrap(), "methods": ["auth/login", "auth/revoke"]})
            }
            "auth/login" => json!({"access_token": TOKEN, "expires_in": 3600}),
            "auth/revoke" => return StatusCode::NO_CONTENT.into_response(),
            "credentials/list" => json!({"credentialIDs": ["cred-42"]}),
            "credentials/info" => self.credential(v1),
            "credentials/getChallenge" | "credentials/sendOTP" => {
                if let Some(outbox) = &self.options.outbox {
                    std::fs::write(outbox, OTP).unwrap();
                }
                return StatusCode::NO_CONTENT.into_response();
            }
            "credentials/authorize" if self.options.pending => {
                return (StatusCode::ACCEPTED, Json(json!({"handle": "h1"}))).into_response();
            }
            "credentials/authorizeCheck" if polled() == 1 => {
                return (StatusCode::ACCEPTED, Json(json!({"handle": "h2"}))).into_response();
            }
            "credentials/authorizeCheck" => json!({"SAD": "sad"}),
            "credentials/authorize" => {
                let value = |id: &str| match v1 {
                    true => body[id].clone(),
                    false => body["authData"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .find(|d| d["id"] == id)
                        .unwrap()["value"]
                        .clone(),
                };
                if value("PIN") != PIN || value("OTP") != OTP {
                    return refuse(
                        "invalid_authentication_data",
                        "The authentication data is invalid",
                    );
                }
                json!({"SAD": "sad"})
            }
            "signatures/signHash" => {
                let hashes = &body[if v1 { "hash" } else { "hashes" }];
                json!({"signatures": hashes.as_array().unwrap().iter().map(|hash| self.sign(hash)).collect::<Vec<_>>()})
            }
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        Json(answer).into_response()
    }

    fn credential(&self, v1: bool) -> Value {
        let mut credential = json!({
            "key": {"status": "enabled", "algo": ["1.2.840.10045.4.3.2"], "len": 256, "curve": "1.2.840.10045.3.1.7"},
            "cert": {"status": "valid", "certificates": [STANDARD.encode(&self.certificate)],
                "subjectDN": "CN=Alice Muster", "validTo": "20280101000000Z"},
            "SCAL": "2", "multisign": self.options.multisign,
        });
        let members = match v1 {
            true => json!({"authMode": "explicit", "PIN": {"presence": "true", "format": "N"},
                "OTP": {"presence": "true", "type": "online", "format": "N", "label": "SMS code"}}),
            false => json!({"auth": self.options.auth}),
        };
        credential
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        credential
    }

    fn sign(&self, hash: &Value) -> String {
        let hash = STANDARD.decode(hash.as_str().unwrap()).unwrap();
        let hash = Digest::import_less_safe(&hash, &digest::SHA256).unwrap();
        STANDARD.encode(self.key.sign_digest(&hash).unwrap())
    }
}

/// Runs the client with the lines on its standard input, and waits for it without holding up the service.
pub(crate) async fn client(arguments: &[&str], lines: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_csc-client"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for variable in ["CSC_URL", "CSC_CACERT", "CSC_USER"] {
        command.env_remove(variable);
    }
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let run = move || {
        let mut child = command.spawn().unwrap();
        // A client that fails early reads none of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A folder with files of the given names and contents.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// Whether OpenSSL finds the attached signature in `file` valid under the service's certificate.
pub(crate) fn verifies(service: &Service, file: &Path) -> bool {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, &service.certificate).unwrap();
    let mut command = Command::new("openssl");
    command
        .args([
            "cms", "-verify", "-cades", "-binary", "-purpose", "any", "-inform", "DER", "-in",
        ])
        .arg(file);
    command
        .arg("-CAfile")
        .arg(root)
        .arg("-out")
        .arg(folder.path().join("content"));
    command.output().unwrap().status.success()
}
