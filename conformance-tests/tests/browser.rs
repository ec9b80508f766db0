//! What a holder does in a browser: log-in, home page, log-out. Chromium, without a screen.

use conformance_tests::{Browser, Key, KeySpec, Look, shared};

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
