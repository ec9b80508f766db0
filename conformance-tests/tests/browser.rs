//! What a holder does in a browser: log-in, home page, log-out. Chromium, without a screen.

use conformance_tests::{Browser, ClientKey, Holder, Key, KeySpec, Look, shared};

/// Every look a page is tried in.
const LOOKS: [Look; 3] = [
    Look::PHONE,
    Look {
        dark: true,
        ..Look::DESKTOP
    },
    Look {
        script: false,
        ..Look::DESKTOP
    },
];

struct Words {
    heading: &'static str,
    user: &'static str,
    button: &'static str,
    failed: &'static str,
    home: &'static str,
    log_out: &'static str,
}

fn words(look: Look) -> Words {
    match look.language {
        "it" => Words {
            heading: "Accesso",
            user: "Nome utente",
            button: "Accedi",
            failed: "Accesso non riuscito",
            home: "Le sue firme",
            log_out: "Esci",
        },
        _ => Words {
            heading: "Log in",
            user: "User name",
            button: "Log in",
            failed: "The log-in did not succeed",
            home: "Your signatures",
            log_out: "Log out",
        },
    }
}

#[tokio::test]
async fn a_holder_logs_in_and_out_by_keyboard_alone_on_every_screen_in_both_languages() {
    let bed = shared().await;
    let holder = bed.holder();
    let otp = bed.mail_otp(&holder);
    bed.credential(
        &holder,
        &otp.id,
        &KeySpec {
            key: "p256",
            multisign: 2,
        },
    );
    for look in LOOKS {
        let words = words(look);
        let name = format!(
            "{}-{}{}",
            look.language,
            if look.phone { "phone" } else { "desktop" },
            if look.dark { "-dark" } else { "" }
        );
        let browser = Browser::open(bed.api().authority(), look).await;
        browser.goto("/portal").await;
        browser.sees(words.heading).await;
        assert_eq!(browser.path().await, "/portal/login");
        browser.assert_accessible().await;
        browser.shot(&format!("login-{name}")).await;

        browser.types(&holder.name).await;
        browser.tab_to("Password").await;
        browser.types("not the password").await;
        browser.key(Key::Enter).await;
        browser.says(words.failed).await;
        browser.assert_accessible().await;
        browser.shot(&format!("login-failed-{name}")).await;
        assert_eq!(
            browser
                .field(words.user)
                .await
                .value()
                .await
                .unwrap()
                .as_deref(),
            Some(holder.name.as_str())
        );

        // The password has the focus now.
        browser.types(&holder.password).await;
        browser.tab_to(words.button).await;
        browser.key(Key::Enter).await;
        browser.sees(words.home).await;
        assert_eq!(browser.path().await, "/portal");
        browser.assert_accessible().await;
        browser.shot(&format!("home-{name}")).await;
        assert!(browser.text().await.contains("Alice Rossi"));

        browser.tab_to(words.log_out).await;
        browser.key(Key::Enter).await;
        browser.sees(words.heading).await;
        browser.goto("/portal").await;
        browser.sees(words.heading).await;
        browser.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_holder_sees_the_mandates_he_gave_and_stops_one_with_one_click() {
    let bed = shared().await;
    let client = bed.client_with_key("Fatture in Fila", &ClientKey::new());
    let spec = KeySpec {
        key: "p256",
        multisign: 5,
    };
    for look in &LOOKS[..2] {
        let italian = look.language == "it";
        let w = |it: &'static str, en: &'static str| if italian { it } else { en };
        let holder = bed.holder();
        let otp = bed.totp(&holder);
        let credential = bed.credential_as("automatic", &holder, &otp.id, &spec);
        bed.mandate(&credential, &client, &otp.code(-1));
        bed.mandate(&credential, &client, &otp.code(0));
        let browser = Browser::open(bed.api().authority(), *look).await;
        let screen = w("it-phone", "en-desktop-dark");
        browser.goto("/portal/mandates").await;
        log_in(&browser, &holder).await;
        browser
            .sees(w("Firma automatica", "Automatic signature"))
            .await;
        assert_eq!(browser.path().await, "/portal/mandates");
        browser.assert_accessible().await;
        browser.shot(&format!("mandates-{screen}")).await;
        let cards = browser.texts(".card").await;
        assert_eq!(cards.len(), 2);
        for shown in [
            "Fatture in Fila",
            w("in vigore", "in force"),
            "invoices",
            w("0 di 5 fatte, 5 rimaste", "0 of 5 made, 5 left"),
            w(
                "al massimo 2 firme in 1 ora",
                "at most 2 signatures in 1 hour",
            ),
        ] {
            assert!(cards[0].contains(shown), "{shown} in {cards:?}");
        }

        let stop = w("Ferma questo mandato", "Stop this mandate");
        browser.tab_to(stop).await;
        browser.key(Key::Enter).await;
        browser.says(w("Mandato fermato", "Mandate stopped")).await;
        browser.assert_accessible().await;
        browser.shot(&format!("mandate-stopped-{screen}")).await;
        let states = browser.texts(".tag").await;
        let ended = w("terminato", "ended");
        assert_eq!(states, [w("in vigore", "in force"), ended]);
        assert_eq!(browser.texts(".card button").await, [stop]);
        browser.press(stop).await;
        browser.says(ended).await;
        browser
            .press(w("Vai alla pagina iniziale", "Go to the start page"))
            .await;
        let home = w("Le sue firme", "Your signatures");
        browser.sees(home).await;
        browser.assert_accessible().await;
        browser.shot(&format!("home-automatic-{screen}")).await;
        let link = w(
            "Firma automatica: i suoi mandati",
            "Automatic signature: your mandates",
        );
        browser.press(link).await;
        browser.says(ended).await;
        assert_eq!(browser.texts(".tag").await, [ended, ended]);
        browser.assert_quiet().await;
    }
}

async fn log_in(browser: &Browser, holder: &Holder) {
    // The name has the focus.
    browser.types(&holder.name).await;
    browser.key(Key::Tab).await;
    browser.types(&holder.password).await;
    browser.key(Key::Enter).await;
}
