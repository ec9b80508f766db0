//! The code flow in a browser (CSC API v2 8.4): what a holder is shown, approves and refuses, and what the application gets. Chromium, without a
//! screen.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use conformance_tests::{
    Browser, Client, ClientKey, Digest, Key, Landing, Look, Scheme, Signer, TestBed, V1, V2,
    assert_signs, digest, digests, register_secret, shared,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const NAME: &str = "Contratti Facili";
const LABELS: [&str; 2] = ["Contratto di locazione.pdf", "Allegato <b>A</b>.pdf"];

/// An application on the holder's machine, registered with this service.
struct Application<'a> {
    bed: &'a TestBed,
    client: Client,
    key: ClientKey,
    proofs: AtomicU32,
    landing: Landing,
    verifier: String,
}

impl<'a> Application<'a> {
    async fn new(bed: &'a TestBed) -> Self {
        let registration = format!(
            "name = \"{NAME}\"\nredirect_uris = [\"{}\"]\ngrants = [\"authorization_code\"]\nrequire_par = true\nrequire_dpop = true\n",
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
    async fn asks(&self, more: &[(&str, &str)]) -> String {
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
    async fn call(&self, method: &str, token: &str, body: Value) -> Value {
        let path = V2.path(method);
        let name = self.proofs.fetch_add(1, Relaxed).to_string();
        let request = self.bed.api().post(&path).json(&body);
        let request = request.header("Authorization", format!("DPoP {token}"));
        let request = request.header("DPoP", self.key.proof(&path, Some(token), &name));
        self.bed.api().send(request).await.ok()
    }

    /// What the browser brings back.
    async fn answered(&self) -> HashMap<String, String> {
        let url = self.landing.arrived().await;
        url.query_pairs().into_owned().collect()
    }

    /// Trades the code.
    async fn trade(&self, code: &str, details: Option<&str>) -> Value {
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

fn details(signer: &Signer<'_>, documents: &[Digest]) -> String {
    let digests = documents.iter().zip(LABELS);
    let digests: Vec<_> = digests
        .map(|(hash, label)| json!({ "hash": STANDARD.encode(hash), "label": label }))
        .collect();
    json!([{
        "type": "https://cloudsignatureconsortium.org/2025/credential",
        "credentialID": signer.credential.id,
        "numSignatures": documents.len(),
        "documentDigests": digests,
        "hashAlgorithmOID": SHA256,
    }])
    .to_string()
}

async fn log_in(browser: &Browser, signer: &Signer<'_>) {
    // The name has the focus.
    browser.types(&signer.holder.name).await;
    browser.key(Key::Tab).await;
    browser.types(&signer.holder.password).await;
    browser.key(Key::Enter).await;
}

async fn certificate(signer: &Signer<'_>) -> Vec<u8> {
    let body = json!({ "credentialID": signer.credential.id });
    let info = signer.call(V1, "credentials/info", body).await.ok();
    let certificate = info["cert"]["certificates"][0].as_str().unwrap();
    STANDARD.decode(certificate).unwrap()
}

/// `7F3A-C21B`: SHA-256 over the hashes one after the other, its first 32 bits.
fn verification_code(documents: &[Digest]) -> String {
    let code = hex::encode_upper(Sha256::digest(documents.concat()));
    format!("{}-{}", &code[..4], &code[4..8])
}

/// The words of a page in one language.
struct Words {
    log_in: &'static str,
    asks: &'static str,
    send: &'static str,
    sent: &'static str,
    code: &'static str,
    sign: &'static str,
    refuse: &'static str,
    unseen: &'static str,
    wrong_code: &'static str,
    wrong_pin: &'static str,
    left: &'static str,
}

fn words(look: Look) -> Words {
    match look.language {
        "it" => Words {
            log_in: "Accesso",
            asks: "chiede di firmare 2 documenti",
            send: "Inviami il codice",
            sent: "Codice inviato",
            code: "Codice",
            sign: "Firma 2 documenti",
            refuse: "Non firmare",
            unseen: "Questo servizio riceve le impronte, non i documenti",
            wrong_code: "Codice errato o scaduto",
            wrong_pin: "PIN errato",
            left: "Restano 4 tentativi",
        },
        _ => Words {
            log_in: "Log in",
            asks: "asks you to sign 2 documents",
            send: "Send me the code",
            sent: "Code sent",
            code: "Code",
            sign: "Sign 2 documents",
            refuse: "Do not sign",
            unseen: "This service receives the hashes, not the documents",
            wrong_code: "Wrong or expired code",
            wrong_pin: "Wrong PIN",
            left: "4 tries are left",
        },
    }
}

const DARK: Look = Look {
    dark: true,
    ..Look::DESKTOP
};

#[tokio::test]
async fn what_is_approved_by_keyboard_alone_is_signed_on_a_phone_and_on_a_desktop_in_both_languages()
 {
    let bed = shared().await;
    for look in [Look::PHONE, DARK] {
        let (signer, w) = (bed.signer().await, words(look));
        let application = Application::new(bed).await;
        let documents = [digest("contract"), digest("annex")];
        let details = details(&signer, &documents);
        let url = application
            .asks(&[("authorization_details", &details), ("lang", look.language)])
            .await;
        let browser = Browser::open(bed.api().authority(), look).await;
        let shot = async |what: &str| {
            let screen = if look.phone { "phone" } else { "desktop-dark" };
            browser
                .shot(&format!("sign-{what}-{}-{screen}", look.language))
                .await;
        };
        browser.goto(&url).await;
        browser.sees(w.log_in).await;
        browser.says(NAME).await;
        shot("login").await;
        log_in(&browser, &signer).await;

        browser.sees(w.asks).await;
        browser.assert_accessible().await;
        let text = browser.text().await;
        for shown in LABELS.into_iter().chain([
            NAME,
            w.unseen,
            "Signing key under test",
            verification_code(&documents).as_str(),
            &hex::encode(documents[0])[..8],
        ]) {
            assert!(text.contains(shown), "{shown} in\n{text}");
        }
        let source = browser.source().await;
        assert!(
            source.contains(&hex::encode(documents[1])),
            "the whole hash"
        );
        shot("look").await;
        browser.tab_to(w.send).await;
        browser.key(Key::Enter).await;
        browser.says(w.sent).await;
        browser.assert_accessible().await;
        shot("prove").await;

        let code = signer.holder.next_code().await;
        browser.tab_to("PIN").await;
        browser.types(&signer.credential.pin).await;
        browser.tab_to(w.code).await;
        browser.types(&code).await;
        browser.tab_to(w.sign).await;
        let (answer, ()) = tokio::join!(application.answered(), browser.key(Key::Enter));
        assert_eq!(answer["state"], "s-1");
        browser.sees("Back").await;
        browser.assert_quiet().await;

        let once = application.trade(&answer["code"], None).await;
        assert_eq!(
            once["error_description"],
            "Missing parameter authorization_details"
        );
        let token = application.trade(&answer["code"], Some(&details)).await;
        let access = register_secret(
            token["access_token"]
                .as_str()
                .unwrap_or_else(|| panic!("{token}")),
        );
        let order = json!({
            "credentialID": signer.credential.id,
            "hashes": digests(&documents),
            "hashAlgorithmOID": SHA256,
            "signAlgo": "1.2.840.10045.4.3.2",
        });
        // Without the key the token is nothing.
        let api = bed.api();
        let stolen = api.call(V2, "signatures/signHash", &access, order.clone());
        stolen.await.unauthorised("invalid_token");
        let signed = application
            .call("signatures/signHash", &access, order)
            .await;
        let certificate = certificate(&signer).await;
        for (document, signature) in documents
            .iter()
            .zip(signed["signatures"].as_array().unwrap())
        {
            let signature = STANDARD.decode(signature.as_str().unwrap()).unwrap();
            assert_signs(&certificate, document, &signature, Scheme::Ecdsa);
        }
    }
}

#[tokio::test]
async fn without_script_wrong_secrets_are_told_and_no_is_said_without_any() {
    let bed = shared().await;
    let look = Look {
        script: false,
        ..Look::DESKTOP
    };
    let (signer, w) = (bed.signer().await, words(look));
    let application = Application::new(bed).await;
    let details = details(&signer, &[digest("contract"), digest("annex")]);
    let url = application
        .asks(&[("authorization_details", &details)])
        .await;
    let browser = Browser::open(bed.api().authority(), look).await;
    browser.goto(&url).await;
    browser.sees(w.log_in).await;
    log_in(&browser, &signer).await;
    browser.sees(w.asks).await;
    browser.press(w.send).await;
    browser.says(w.sent).await;

    browser.fill("PIN", &signer.credential.pin).await;
    browser.fill(w.code, "00000000").await;
    browser.press(w.sign).await;
    browser.says(w.wrong_code).await;
    browser.assert_accessible().await;
    browser.shot("sign-wrong-code-en-desktop").await;

    let code = signer.holder.next_code().await;
    browser.fill("PIN", "31415926").await;
    browser.fill(w.code, &code).await;
    browser.press(w.sign).await;
    browser.says(w.wrong_pin).await;
    browser.says(w.left).await;
    browser.shot("sign-wrong-pin-en-desktop").await;

    // A code given to an application does for no page.
    let elsewhere = signer.code().await;
    browser.press(w.send).await;
    browser.says(w.code).await;
    browser.fill("PIN", &signer.credential.pin).await;
    browser.fill(w.code, &elsewhere).await;
    browser.press(w.sign).await;
    browser.says(w.wrong_code).await;

    let (answer, ()) = tokio::join!(application.answered(), browser.press(w.refuse));
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], "s-1");
    assert!(!answer.contains_key("code"));
    // It is over.
    browser.goto("/authorize").await;
    browser.sees("The request has ended").await;
    browser.assert_accessible().await;
    browser.shot("ended-en-desktop").await;
    browser.assert_quiet().await;
}

#[tokio::test]
async fn an_application_gets_access_when_its_holder_says_so_and_none_once_he_has_logged_out() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let application = Application::new(bed).await;
    let browser = Browser::open(bed.api().authority(), Look::PHONE).await;
    let url = application.asks(&[("scope", "service")]).await;
    browser.goto(&url).await;
    browser.sees("Accesso").await;
    log_in(&browser, &signer).await;
    browser.sees("chiede l'accesso").await;
    browser.assert_accessible().await;
    browser.shot("consent-it-phone").await;
    let allow = format!("Consenti a {NAME}");
    let (answer, ()) = tokio::join!(application.answered(), browser.press(&allow));
    let token = application.trade(&answer["code"], None).await;
    let access = register_secret(
        token["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{token}")),
    );
    let listed = application
        .call("credentials/list", &access, json!({}))
        .await;
    assert_eq!(listed["credentialIDs"][0], signer.credential.id);

    // SC-46: who logs out leaves no code behind.
    let url = application.asks(&[("scope", "service")]).await;
    browser.goto(&url).await;
    let (answer, ()) = tokio::join!(application.answered(), browser.press(&allow));
    browser.goto("/portal").await;
    browser.press("Esci").await;
    browser.sees("Accesso").await;
    let refused = application.trade(&answer["code"], None).await;
    assert_eq!(refused["error"], "invalid_grant", "{refused}");
    browser.assert_quiet().await;
}
