//! The application that asks, and what it asks for.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use conformance_tests::{
    Browser, Client, ClientKey, Credential, Digest, Key, Landing, Signer, TestBed, V1, V2,
    register_secret,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const SHA256: &str = "2.16.840.1.101.3.4.2.1";
pub(crate) const NAME: &str = "Contratti Facili";
pub(crate) const LABELS: [&str; 2] = ["Contratto di locazione.pdf", "Allegato <b>A</b>.pdf"];

/// An application on the holder's machine, registered with this service.
pub(crate) struct Application<'a> {
    bed: &'a TestBed,
    client: Client,
    key: ClientKey,
    proofs: AtomicU32,
    landing: Landing,
    verifier: String,
}

impl<'a> Application<'a> {
    pub(crate) async fn new(bed: &'a TestBed) -> Self {
        let registration = format!(
            "name = \"{NAME}\"\nredirect_uris = [\"{}\"]\ngrants = [\"authorization_code\"]\nrequire_par = true\nrequire_dpop = true\nmanage_credentials = true\n",
            Landing::REGISTERED
        );
        Self {
            bed,
            client: bed.client_from(&registration),
            key: ClientKey::new(),
            proofs: AtomicU32::default(),
            landing: Landing::new().await,
            verifier: register_secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        }
    }

    /// Pushes a request; where the browser goes with it.
    pub(crate) async fn asks(&self, more: &[(&str, &str)]) -> String {
        let (back, id) = (self.landing.uri(), &self.client.id);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", id),
            ("redirect_uri", &back),
            ("state", "s-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        fields.extend(more);
        let pushed = self.post("/oauth2/pushed_authorize", &fields).await;
        let name = pushed["request_uri"]
            .as_str()
            .unwrap_or_else(|| panic!("{pushed}"));
        let name = name.replace(':', "%3A");
        format!("/oauth2/authorize?client_id={id}&request_uri={name}")
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let Client { id, secret } = &self.client;
        let name = self.proofs.fetch_add(1, Relaxed).to_string();
        let request = self.bed.api().post(path).basic_auth(id, Some(secret));
        let request = request.header("DPoP", self.key.proof(path, None, &name));
        self.bed.api().send(request.form(fields)).await.body
    }

    /// Calls a method of v2 with a token and a proof of the key it is bound to.
    pub(crate) async fn call(&self, method: &str, token: &str, body: Value) -> Value {
        let path = V2.path(method);
        let name = self.proofs.fetch_add(1, Relaxed).to_string();
        let request = self.bed.api().post(&path).json(&body);
        let request = request.header("Authorization", format!("DPoP {token}"));
        let request = request.header("DPoP", self.key.proof(&path, Some(token), &name));
        let answer = self.bed.api().send(request).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.body
    }

    /// What the browser brings back.
    pub(crate) async fn answered(&self) -> HashMap<String, String> {
        let url = self.landing.arrived().await;
        url.query_pairs().into_owned().collect()
    }

    /// Trades the code.
    pub(crate) async fn trade(&self, code: &str, details: Option<&str>) -> Value {
        let back = self.landing.uri();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &back),
            ("code_verifier", &self.verifier),
        ];
        fields.extend(details.map(|details| ("authorization_details", details)));
        self.post("/oauth2/token", &fields).await
    }
}

/// What is to be signed, with this credential.
pub(crate) fn details(credential: &Credential, documents: &[Digest]) -> String {
    details_of(("credentialID", &credential.id), documents)
}

/// What is to be signed, with the credential or the kind of it that this member names.
pub(crate) fn details_of(which: (&str, &str), documents: &[Digest]) -> String {
    let digests = documents.iter().zip(LABELS);
    let digests: Vec<_> = digests
        .map(|(hash, label)| json!({ "hash": STANDARD.encode(hash), "label": label }))
        .collect();
    json!([{
        "type": "https://cloudsignatureconsortium.org/2025/credential",
        which.0: which.1,
        "numSignatures": documents.len(),
        "documentDigests": digests,
        "hashAlgorithmOID": SHA256,
    }])
    .to_string()
}

/// Types name and password, and sends them.
pub(crate) async fn log_in(browser: &Browser, signer: &Signer<'_>) {
    // The name has the focus.
    browser.types(&signer.holder.name).await;
    browser.key(Key::Tab).await;
    browser.types(&signer.holder.password).await;
    browser.key(Key::Enter).await;
}

/// The certificate of a credential of this person.
pub(crate) async fn certificate(signer: &Signer<'_>, credential: &Credential) -> Vec<u8> {
    let body = json!({ "credentialID": credential.id });
    let info = signer.call(V1, "credentials/info", body).await.ok();
    let certificate = info["cert"]["certificates"][0].as_str().unwrap();
    STANDARD.decode(certificate).unwrap()
}

/// `7F3A-C21B`: SHA-256 over the hashes one after the other, its first 32 bits.
pub(crate) fn verification_code(documents: &[Digest]) -> String {
    let code = hex::encode_upper(Sha256::digest(documents.concat()));
    format!("{}-{}", &code[..4], &code[4..8])
}
