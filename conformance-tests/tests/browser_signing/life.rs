//! A new certificate, and the end of one (CSC API v2.2), as the holder sees them.

use conformance_tests::{Browser, Key, Look, shared};
use serde_json::json;

use crate::application::{Application, NAME, log_in};

const PIN: &str = "72946183";

/// The words of the pages in one language.
struct Words {
    log_in: &'static str,
    asks: &'static str,
    new_pin: &'static str,
    again: &'static str,
    make: &'static str,
    differ: &'static str,
    send: &'static str,
    sent: &'static str,
    code: &'static str,
    confirm: &'static str,
    asks_to_delete: &'static str,
    no_way_back: &'static str,
    keep: &'static str,
}

fn words(look: Look) -> Words {
    match look.language {
        "it" => Words {
            log_in: "Accesso",
            asks: "chiede un nuovo certificato per lei",
            new_pin: "Nuovo PIN",
            again: "Ripeta il PIN",
            make: "Crea il certificato",
            differ: "I due PIN sono diversi",
            send: "Inviami il codice",
            sent: "Codice inviato",
            code: "Codice",
            confirm: "Conferma il certificato",
            asks_to_delete: "chiede di eliminare un certificato",
            no_way_back: "non si può tornare indietro",
            keep: "Non eliminare",
        },
        _ => Words {
            log_in: "Log in",
            asks: "asks for a new certificate for you",
            new_pin: "New PIN",
            again: "The PIN again",
            make: "Make the certificate",
            differ: "The two PINs differ",
            send: "Send me the code",
            sent: "Code sent",
            code: "Code",
            confirm: "Confirm the certificate",
            asks_to_delete: "asks to delete a certificate",
            no_way_back: "there is no way back",
            keep: "Do not delete",
        },
    }
}

#[tokio::test]
async fn a_holder_makes_a_certificate_and_ends_it_by_keyboard_alone_in_both_languages() {
    let bed = shared().await;
    let dark = Look {
        dark: true,
        ..Look::DESKTOP
    };
    for look in [Look::PHONE, dark] {
        let (signer, w) = (bed.signer().await, words(look));
        let application = Application::new(bed).await;
        let browser = Browser::open(bed.api().authority(), look).await;
        let shot = async |what: &str| {
            let screen = if look.phone { "phone" } else { "desktop-dark" };
            let name = format!("life-{what}-{}-{screen}", look.language);
            browser.shot(&name).await;
        };
        let lang = ("lang", look.language);
        let asked = [("scope", "credential-creation"), lang];
        browser.goto(&application.asks(&asked).await).await;
        browser.sees(w.log_in).await;
        log_in(&browser, &signer).await;
        browser.sees(w.asks).await;
        browser.says(NAME).await;
        browser.assert_accessible().await;
        shot("choose").await;
        browser.tab_to(w.new_pin).await;
        browser.types(PIN).await;
        browser.tab_to(w.again).await;
        browser.types("72946184").await;
        browser.key(Key::Enter).await;
        browser.says(w.differ).await;
        browser.assert_accessible().await;
        shot("differ").await;
        browser.tab_to(w.new_pin).await;
        browser.types(PIN).await;
        browser.tab_to(w.again).await;
        browser.types(PIN).await;
        browser.tab_to(w.make).await;
        browser.key(Key::Enter).await;
        browser.says(w.send).await;
        shot("made").await;
        browser.tab_to(w.send).await;
        browser.key(Key::Enter).await;
        browser.says(w.sent).await;
        browser.assert_accessible().await;
        shot("confirm").await;
        let code = signer.holder.next_code().await;
        browser.tab_to("PIN").await;
        browser.types(PIN).await;
        browser.tab_to(w.code).await;
        browser.types(&code).await;
        browser.tab_to(w.confirm).await;
        let (answer, ()) = tokio::join!(application.answered(), browser.key(Key::Enter));
        let token = application.trade(&answer["code"], None).await;
        let token = token["access_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let body = json!({ "credentialCreationRequest": {}, "credentialInfo": true });
        let made = application.call("credentials/create", &token, body).await;
        let id = made["credentialID"].as_str().unwrap_or_default();
        assert_eq!(made["key"]["status"], "enabled", "{made}");

        let asked = [("scope", "credential-deletion"), ("credentialID", id), lang];
        browser.goto(&application.asks(&asked).await).await;
        browser.sees(w.asks_to_delete).await;
        browser.says(w.no_way_back).await;
        browser.assert_accessible().await;
        shot("delete").await;
        // The service sends no second code so soon: he says no.
        browser.says(w.send).await;
        browser.tab_to(w.keep).await;
        let (answer, ()) = tokio::join!(application.answered(), browser.key(Key::Enter));
        assert_eq!(answer["error"], "access_denied");
        assert!(!answer.contains_key("code"));
        browser.assert_quiet().await;
    }
}
