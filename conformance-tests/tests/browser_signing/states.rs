//! What the signing page says when something is wrong and what to do next; that input which can be neither PIN nor code costs no try; and that
//! no is as easy as yes wherever the holder is.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Browser, Credential, Key, KeySpec, Look, Scheme, Signer, Token, V1, V2, assert_signs, digest,
    digests, register_secret, shared,
};
use serde_json::json;

use crate::{
    DARK,
    application::{Application, SHA256, certificate, details, details_of, log_in},
    words::{ENGLISH, ITALIAN, Words},
};

/// A phone in Italian, a computer in English.
const LOOKS: [(Look, &Words); 2] = [(Look::PHONE, &ITALIAN), (DARK, &ENGLISH)];

/// A holder at the signing page, and the application that waits for him.
struct Visit {
    browser: Browser,
    application: Application<'static>,
    details: String,
    look: Look,
    w: &'static Words,
}

impl Visit {
    async fn begin(
        signer: &Signer<'_>,
        (look, w): (Look, &'static Words),
        details: String,
    ) -> Self {
        let bed = shared().await;
        let application = Application::new(bed).await;
        let fields = [
            ("authorization_details", details.as_str()),
            ("lang", look.language),
        ];
        let url = application.asks(&fields).await;
        let browser = Browser::open(bed.api().authority(), look).await;
        browser.goto(&url).await;
        browser.field("Password").await;
        log_in(&browser, signer).await;
        browser.sees(w.asks).await;
        Self {
            browser,
            application,
            details,
            look,
            w,
        }
    }

    /// Types PIN and code, and presses the button.
    async fn tries(&self, pin: &str, code: &str) {
        self.browser.fill("PIN", pin).await;
        self.browser.fill(self.w.code, code).await;
        self.browser.press(self.w.sign).await;
    }

    /// Has a code sent, and reads it.
    async fn code(&self, signer: &Signer<'_>) -> String {
        self.browser.press(self.w.send).await;
        self.browser.says(self.w.sent).await;
        signer.holder.next_code().await
    }

    /// The page is in this state: everybody can use it, and its buttons are yes and no, next to each other and of one size.
    async fn shows(&self, state: &str, yes: &str, no: &str) {
        self.browser.assert_accessible().await;
        self.shot(state).await;
        let buttons = self.browser.all(".actions button").await;
        let mut sizes = Vec::new();
        for (button, name) in buttons.iter().zip([yes, no]) {
            assert_eq!(button.text().await.unwrap(), name);
            sizes.push(button.rect().await.unwrap().height);
        }
        assert_eq!(sizes[0], sizes[1], "{state}");
    }

    async fn shot(&self, state: &str) {
        let screen = if self.look.phone {
            "phone"
        } else {
            "desktop-dark"
        };
        let name = format!("sign-{state}-{}-{screen}", self.look.language);
        self.browser.shot(&name).await;
    }

    /// Says no by this button; what the application hears.
    async fn refuses(&self, button: &str) -> HashMap<String, String> {
        let (answer, ()) = tokio::join!(self.application.answered(), self.browser.press(button));
        assert_eq!(answer["error"], "access_denied");
        assert!(!answer.contains_key("code"), "{answer:?}");
        self.browser.assert_quiet().await;
        answer
    }
}

/// How many wrong PINs and codes are counted.
fn failures(signer: &Signer<'_>) -> (String, String) {
    let count = |sql: String| {
        let rows = signer.bed().sql(&sql);
        rows.lines().last().unwrap_or_default().to_owned()
    };
    let (credential, factor) = (&signer.credential.id, &signer.otp.id);
    (
        count(format!(
            "SELECT pin_failures FROM credential WHERE id = '{credential}'"
        )),
        count(format!("SELECT failures FROM factor WHERE id = '{factor}'")),
    )
}

fn counts(pins: &str, codes: &str) -> (String, String) {
    (pins.to_owned(), codes.to_owned())
}

/// Wrong secrets, given to an application.
async fn errs(signer: &Signer<'_>, times: usize, code: Option<&str>) {
    for _ in 0..times {
        let code = match code {
            Some(code) => code.to_owned(),
            None => signer.code().await,
        };
        let mut body = signer.authorization(V1, &[digest("x")], 1, &code);
        body["PIN"] = json!(WRONG_PIN);
        let refused = signer.call(V1, "credentials/authorize", body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
}

const WRONG_PIN: &str = "31415926";

#[tokio::test]
async fn a_pin_that_locks_is_told_before_and_after_and_what_is_no_pin_is_no_try() {
    let bed = shared().await;
    for (look, w) in LOOKS {
        let signer = bed.signer().await;
        errs(&signer, 3, None).await;
        let details = details(&signer.credential, &[digest("contract")]);
        let visit = Visit::begin(&signer, (look, w), details).await;
        let browser = &visit.browser;
        visit.shows("look", w.send, w.refuse).await;
        let code = visit.code(&signer).await;

        visit.tries("1234", &code).await;
        browser.says(w.no_pin).await;
        browser.says(w.no_try).await;
        visit.shows("no-pin", w.sign, w.refuse).await;
        visit.tries(&signer.credential.pin, "12ab").await;
        browser.says(w.no_code).await;
        browser.says(w.no_try).await;
        visit.shows("no-code", w.sign, w.refuse).await;
        assert_eq!(failures(&signer), counts("3", "0"));

        // That the PIN is looked at says that the code was not spent.
        visit.tries(WRONG_PIN, &code).await;
        browser.says(w.wrong_pin).await;
        browser.says(w.one_pin_left).await;
        visit.shows("one-pin-left", w.send, w.refuse).await;
        let code = visit.code(&signer).await;
        visit.tries(WRONG_PIN, &code).await;
        browser.says(w.pin_locked).await;
        browser.says("PUK").await;
        // Also for who comes again.
        browser.goto("/authorize").await;
        browser.says(w.pin_locked).await;
        browser.assert_accessible().await;
        visit.shot("pin-locked").await;
        assert!(browser.all("#pin, #code").await.is_empty());
        assert_eq!(browser.texts(".actions button").await, [w.back]);
        visit.refuses(w.back).await;
    }
}

#[tokio::test]
async fn codes_that_lock_are_told_before_and_after_and_the_pin_is_not_looked_at() {
    let bed = shared().await;
    for (look, w) in LOOKS {
        let signer = bed.signer().await;
        errs(&signer, 8, Some("00000000")).await;
        assert_eq!(failures(&signer), counts("0", "8"));
        let details = details(&signer.credential, &[digest("contract")]);
        let visit = Visit::begin(&signer, (look, w), details).await;
        let browser = &visit.browser;
        visit.code(&signer).await;

        visit.tries(WRONG_PIN, "00000000").await;
        browser.says(w.wrong_code).await;
        browser.says(w.one_code_left).await;
        visit.shows("one-code-left", w.sign, w.refuse).await;
        visit.tries(WRONG_PIN, "00000000").await;
        browser.says(w.codes_locked).await;
        browser.says(w.codes_locked_until).await;
        visit.shows("codes-locked", w.send, w.refuse).await;
        let mails = signer.holder.mails();
        browser.press(w.send).await;
        browser.says(w.codes_locked_until).await;
        assert_eq!(signer.holder.mails(), mails, "no code is sent");
        assert_eq!(failures(&signer), counts("0", "10"));
        visit.refuses(w.refuse).await;
    }
}

#[tokio::test]
async fn a_holder_chooses_among_his_certificates_and_proves_himself_as_each_wants_it() {
    let bed = shared().await;
    for (look, w) in LOOKS {
        let signer = bed.signer().await;
        let (app, token) = (bed.totp(&signer.holder), Token::random());
        bed.import(&[&token]).expect("otp import");
        let spec = KeySpec {
            key: "p256",
            multisign: 1,
        };
        let of_app = bed.credential(&signer.holder, &app.id, &spec);
        let device = bed.assign(&token, &signer.holder);
        let of_token = bed.credential(&signer.holder, &device.id, &spec);
        let contract = digest("contract");
        let which = ("signatureQualifier", "eu_eidas_aes");
        let visit = Visit::begin(&signer, (look, w), details_of(which, &[contract])).await;
        let browser = &visit.browser;
        assert!(browser.all("#pin").await.is_empty());
        visit.shows("choose", w.go_on, w.refuse).await;
        browser.press(w.go_on).await;
        browser.says(w.choose).await;
        visit.shows("not-chosen", w.go_on, w.refuse).await;

        let choose = async |credential: &Credential| {
            let radio = browser
                .all(&format!("input[value=\"{}\"]", credential.id))
                .await;
            radio[0].click().await.unwrap();
            browser.press(w.go_on).await;
        };
        // By mail: a code is sent when it is chosen.
        choose(&signer.credential).await;
        browser.says(w.sent).await;
        signer.holder.next_code().await;
        browser.press(w.another).await;
        let (chosen, hint, code) = match look.phone {
            true => (&of_app, w.of_app, app.code(0)),
            false => (&of_token, w.of_token, token.code(0)),
        };
        choose(chosen).await;
        browser.says(hint).await;
        assert!(!browser.text().await.contains(w.sent));
        visit.shows("device", w.sign, w.refuse).await;
        let answering = async {
            browser.tab_to("PIN").await;
            browser.types(&chosen.pin).await;
            browser.key(Key::Tab).await;
            browser.types(&code).await;
            browser.tab_to(w.sign).await;
            browser.key(Key::Enter).await;
        };
        let (answer, ()) = tokio::join!(visit.application.answered(), answering);
        browser.assert_quiet().await;

        let traded = visit
            .application
            .trade(&answer["code"], Some(&visit.details));
        let traded = traded.await;
        let access = traded["access_token"].as_str();
        let access = register_secret(access.unwrap_or_else(|| panic!("{traded}")));
        let order = json!({
            "credentialID": chosen.id,
            "hashes": digests(&[contract]),
            "hashAlgorithmOID": SHA256,
            "signAlgo": "1.2.840.10045.4.3.2",
        });
        let sign = visit
            .application
            .call("signatures/signHash", &access, order);
        let signature = sign.await["signatures"][0].as_str().map(str::to_owned);
        let signature = STANDARD.decode(signature.unwrap()).unwrap();
        let certificate = certificate(&signer, chosen).await;
        assert_signs(&certificate, &contract, &signature, Scheme::Ecdsa);
    }
}

#[tokio::test]
async fn a_page_whose_time_is_over_says_so_by_itself_and_takes_no_answer() {
    let bed = shared().await;
    let (look, w) = LOOKS[0];
    let signer = bed.signer().await;
    let details = details(&signer.credential, &[digest("contract")]);
    let visit = Visit::begin(&signer, (look, w), details.clone()).await;
    let browser = &visit.browser;
    let code = visit.code(&signer).await;
    let request = browser.attribute("input[name=request]", "value").await;
    let request = request.expect("the form names its request");
    let ends = |when: &str| {
        bed.sql(&format!(
            "UPDATE oauth_request SET expires = {when} WHERE id = '{request}'"
        ));
    };
    // A moment before: the page asks again by itself.
    ends("(CAST(strftime('%s', 'now') AS INTEGER) + 4) * 1000");
    browser.goto("/authorize").await;
    browser.sees(w.asks).await;
    browser.sees(w.ended).await;
    browser.assert_accessible().await;
    visit.shot("ended").await;

    // A page that was open still: neither PIN nor code is looked at.
    ends("4102444800000");
    browser.goto("/authorize").await;
    browser.press(w.send).await;
    browser.says(w.code).await;
    ends("1");
    visit.tries(WRONG_PIN, &code).await;
    browser.sees(w.ended).await;
    assert_eq!(failures(&signer), counts("0", "0"));
    browser.assert_quiet().await;
}

#[tokio::test]
async fn an_application_that_wants_access_is_refused_as_easily_as_allowed() {
    let bed = shared().await;
    let (signer, w) = (bed.signer().await, &ENGLISH);
    let application = Application::new(bed).await;
    let browser = Browser::open(bed.api().authority(), DARK).await;
    browser
        .goto(&application.asks(&[("scope", "service")]).await)
        .await;
    browser.field("Password").await;
    log_in(&browser, &signer).await;
    browser.sees("asks for access").await;
    browser.assert_accessible().await;
    browser.shot("consent-en-desktop-dark").await;
    browser.tab_to(w.do_not_allow).await;
    let (answer, ()) = tokio::join!(application.answered(), browser.key(Key::Enter));
    assert_eq!(answer["error"], "access_denied");
    assert!(!answer.contains_key("code"), "{answer:?}");
    browser.assert_quiet().await;
}

/// What a mail leads to (credentials/authorize of an `implicit` credential).
#[tokio::test]
async fn a_question_out_of_a_mail_looks_and_speaks_as_the_signing_page() {
    let bed = shared().await;
    for (look, w) in LOOKS {
        let spec = KeySpec {
            key: "p256",
            multisign: 1,
        };
        let signer = bed.signer_as("implicit", &spec).await;
        let body = json!({
            "credentialID": signer.credential.id, "numSignatures": 1, "hashes": digests(&[digest("lease")]),
            "hashAlgorithmOID": SHA256, "description": "A lease <b>of</b> flat 4", "authData": [],
        });
        let asked = signer.call(V2, "credentials/authorize", body).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        let browser = Browser::open(bed.api().authority(), look).await;
        let screen = if look.phone {
            "it-phone"
        } else {
            "en-desktop-dark"
        };
        browser.goto(&signer.holder.next_link().await).await;
        browser.sees(w.asks).await;
        browser.says("A lease <b>of</b> flat 4").await;
        browser.assert_accessible().await;
        browser.shot(&format!("question-{screen}")).await;
        browser.press(w.send).await;
        browser.says(w.sent).await;
        signer.holder.next_code().await;
        browser.fill("PIN", "1234").await;
        browser.fill(w.code, "00000000").await;
        browser.press(w.sign).await;
        browser.says(w.no_pin).await;
        browser.assert_accessible().await;
        browser.shot(&format!("question-no-pin-{screen}")).await;
        assert_eq!(failures(&signer), counts("0", "0"));
        browser.press(w.refuse).await;
        browser.sees(w.refused).await;
        browser.assert_accessible().await;
        browser.assert_quiet().await;
    }
}
