//! The code flow in a browser (CSC API v2 8.4): what a holder is shown, approves and refuses, and what the application gets. Chromium, without a
//! screen.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

mod application;
mod life;
mod states;
mod words;

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Browser, Key, Look, Scheme, V2, assert_signs, digest, digests, register_secret, shared,
};
use serde_json::json;

use application::{
    Application, LABELS, NAME, SHA256, certificate, details, log_in, verification_code,
};

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

/// A computer in the evening.
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
        let details = details(&signer.credential, &documents);
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
        let certificate = certificate(&signer, &signer.credential).await;
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
    let details = details(&signer.credential, &[digest("contract"), digest("annex")]);
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
