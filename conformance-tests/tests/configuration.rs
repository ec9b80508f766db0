//! What an operator decides: what would be unsafe is refused at start with the key, what was found and the remedy; what is weak is recorded.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use conformance_tests::{TestBed, V1, command, digest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Changes the file, tries to start, and puts the file back; gives what was said.
fn refused(bed: &TestBed, from: &str, to: &str) -> String {
    let path = bed.dir().join("csc-server.toml");
    let text = fs::read_to_string(&path).expect("the configuration is there");
    assert!(text.contains(from), "{from}: {text}");
    fs::write(&path, text.replace(from, to)).expect("it can be written");
    let run = bed.cli(&["serve"], &[]);
    fs::write(&path, text).expect("it can be written");
    assert!(!run.success, "{to}: {}", run.stdout);
    run.stderr
}

fn events(bed: &TestBed, name: &str) -> Vec<Value> {
    let export = bed.cli(&["audit", "export"], &[]).expect("audit export");
    let rows = export.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        serde_json::from_str::<Value>(line["row"]["event"].as_str()?).ok()
    });
    rows.filter(|event| event["event"] == name).collect()
}

#[tokio::test]
async fn what_would_be_unsafe_is_refused_at_start() {
    let bed = TestBed::builder().start().await;
    bed.stop().await;
    let sqlite = "url = \"sqlite:csc.sqlite\"";
    let remote = "url = \"postgres://csc@db.example/csc\"";
    let said = refused(&bed, sqlite, remote);
    assert!(said.contains("store.url: found a database at 'db.example' without verified TLS; add ?sslmode=verify-full"), "{said}");

    let pin = bed.dir().join("softhsm/pins/csc-issuer.pin");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let said = refused(&bed, sqlite, sqlite);
    let remedy = format!(
        "slot[1].pin_file: found mode 0644 on '{0}'; run: chmod 600 {0}",
        pin.display()
    );
    assert!(said.contains(&remedy), "{said}");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).expect("it is ours");

    // One token for holders and provider, by one name and by two.
    let said = refused(&bed, "token = \"csc-issuer\"", "token = \"csc-holder\"");
    assert!(
        said.contains("slot[1].token: found 'csc-holder', the token of slot[0]"),
        "{said}"
    );
    let holder_pin =
        fs::read(bed.dir().join("softhsm/pins/csc-holder.pin")).expect("there is a PIN");
    let issuer_pin = fs::read(&pin).expect("there is a PIN");
    fs::write(&pin, holder_pin).expect("it is ours");
    let serial = format!("serial = \"{}\"", serial(&bed, "csc-holder"));
    let said = refused(&bed, "token = \"csc-issuer\"", &serial);
    assert!(
        said.contains("found the token of slot 'csc-holder'; give each slot a token of its own"),
        "{said}"
    );
    fs::write(&pin, issuer_pin).expect("it is ours");

    let certificate = "organization = \"Example Trust\"";
    let said = refused(
        &bed,
        certificate,
        &format!("{certificate}\nqc_statements = [\"QcSSCD\"]"),
    );
    assert!(
        said.contains(
            "certificate.qc_statements: found QcSSCD, but slot 'csc-holder' is a token in software"
        ),
        "{said}"
    );
    bed.start().await;
}

/// What another program says the token's serial number is.
fn serial(bed: &TestBed, label: &str) -> String {
    let mut tool = Command::new("softhsm2-util");
    tool.arg("--show-slots")
        .env("SOFTHSM2_CONF", bed.dir().join("softhsm/softhsm2.conf"));
    let shown = command(&mut tool, &[]).expect("softhsm2-util");
    let of_token = shown.split("Slot ").find(|slot| slot.contains(label));
    let mut lines = of_token.expect("the token is there").lines();
    let serial = lines.find_map(|line| line.trim().strip_prefix("Serial number:"));
    serial.expect("it has one").trim().to_owned()
}

/// SC-104.
#[tokio::test]
async fn each_start_records_what_is_weak() {
    let builder = TestBed::builder().set("credential.puk", "\"unblock\"");
    let bed = builder.start().await;
    bed.stop().await;
    let path = bed.dir().join("csc-server.toml");
    let text = fs::read_to_string(&path).expect("the configuration is there");
    fs::write(&path, text.replace("\"unblock\"", "\"reset\"")).expect("it can be written");
    bed.staff().set_policy();
    bed.start().await;
    let loaded = events(&bed, "CONFIG_LOADED");
    let weak: Vec<_> = loaded.iter().map(|event| event["weak"].clone()).collect();
    assert_eq!(
        weak,
        [
            json!([
                "slot[0].profile",
                "slot[1].profile",
                "mail.outbox",
                "clock.sources",
                "timestamp.policy",
                "terms"
            ]),
            json!([
                "slot[0].profile",
                "slot[1].profile",
                "mail.outbox",
                "credential.puk",
                "clock.sources",
                "timestamp.policy",
                "terms"
            ]),
        ]
    );
    assert_ne!(loaded[0]["hash"], loaded[1]["hash"]);
    assert!(
        bed.log()
            .contains("who has the PUK and a code can set a new PIN")
    );
}

/// SC-102.
#[tokio::test]
async fn the_terms_a_holder_accepts_are_recorded() {
    let builder = TestBed::builder().set("terms.version", "\"2026-11\"");
    let builder = builder.set("terms.url", "\"https://sign.example/terms\"");
    let builder = builder.set("terms.file", "\"csc-server.toml\"");
    let bed = builder.start().await;
    let signer = bed.signer().await;
    let document = fs::read(bed.dir().join("csc-server.toml")).expect("the document is there");
    let officer = bed.sql("SELECT id FROM operator WHERE name = 'ra-officer'");
    assert_eq!(
        events(&bed, "TERMS_ACCEPTED"),
        [json!({
            "event": "TERMS_ACCEPTED",
            "credential": signer.credential.id,
            "version": "2026-11",
            "hash": hex::encode(Sha256::digest(document)),
            "actor": {"kind": "operator", "id": officer, "role": "ra-officer"},
        })]
    );
}

/// SC-03.
#[tokio::test]
async fn a_key_type_past_its_end_makes_no_key_and_signs_nothing() {
    const DISABLED: &str = "The credential identified by credentialID is disabled";
    let builder = TestBed::builder().set("algorithm.p384.create_until", "\"2020-01-01\"");
    let bed = builder
        .set("algorithm.p521.sign_until", "\"2020-01-01\"")
        .start()
        .await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let code = signer.code().await;

    for (key, reason) in [
        ("p384", "algorithm.p384.create_until is past"),
        ("rsa-2048", "rsa-2048 is not allowed for new certificates"),
        ("p192", "'p192' is no key type"),
    ] {
        let arguments = [
            "credential",
            "add",
            "--holder",
            &signer.holder.name,
            "--otp",
            &signer.otp.id,
            "--key",
            key,
        ];
        let made = bed.cli(&arguments, &["71604938"]);
        assert!(
            !made.success && made.stderr.contains(reason),
            "{key}: {}",
            made.stderr
        );
    }

    let path = bed.dir().join("csc-server.toml");
    let text = fs::read_to_string(&path).expect("the configuration is there");
    let ended = text.replace("[algorithm.p521]", "[algorithm.p256]");
    assert_ne!(text, ended);
    for (text, over) in [(&ended, true), (&text, false)] {
        bed.stop().await;
        fs::write(&path, text).expect("it can be written");
        bed.staff().set_policy();
        bed.start().await;
        let id = json!({"credentialID": signer.credential.id});
        let info = signer.call(V1, "credentials/info", id).await.ok();
        assert_eq!(
            info["key"]["status"],
            if over { "disabled" } else { "enabled" }
        );
        let signed = signer.sign(V1, &sad, &hash).await;
        let body = signer.authorization(V1, &hash, 1, &code);
        let authorised = signer.call(V1, "credentials/authorize", body).await;
        if over {
            signed.refused(DISABLED);
            authorised.refused(DISABLED);
            signer.extend(V1, &sad, &hash).await.refused(DISABLED);
        } else {
            // Neither SAD nor code was touched.
            signed.ok();
            authorised.ok();
        }
    }
}
