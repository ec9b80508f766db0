//! The audit log, from outside: what it says, who can verify it with what, and what becomes of a service that cannot write it.

use std::{path::PathBuf, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Run, Signer, TestBed, V1, V2, binary, command, digest, registered_secrets, until,
};
use serde_json::{Value, json};

/// A service that makes a checkpoint as soon as there is something to cover.
async fn bed() -> TestBed {
    TestBed::builder()
        .set("audit.checkpoint_every", "\"50ms\"")
        .start()
        .await
}

/// The events of the log, in the order of the export.
fn events(export: &str) -> Vec<Value> {
    let rows = export.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        Some(line.pointer("/row/event")?.as_str()?.to_owned())
    });
    rows.map(|event| serde_json::from_str(&event).expect("an event is JSON"))
        .collect()
}

fn export(bed: &TestBed) -> String {
    bed.cli(&["audit", "export"], &[]).expect("audit export")
}

/// Writes a file into the bed's directory.
fn file(bed: &TestBed, name: &str, text: &str) -> String {
    let path: PathBuf = bed.dir().join(name);
    std::fs::write(&path, text).expect("the directory can be written to");
    path.to_str().expect("a path of ASCII").to_owned()
}

fn key(bed: &TestBed) -> String {
    let pem = bed.cli(&["audit", "key"], &[]).expect("audit key");
    file(bed, "audit.pem", &pem)
}

/// Verifies an export where there is neither configuration nor database nor HSM.
fn verify_offline(export: &str, key: &str) -> Run {
    let mut verify = Command::new(binary("csc-server"));
    verify.env_clear().current_dir("/");
    command(
        verify.args(["audit", "verify", "--export", export, "--key", key]),
        &[],
    )
}

fn found(run: Run, what: &str) {
    assert!(!run.success, "{}", run.stdout);
    assert!(
        run.stderr.contains("the audit log is not intact"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains(what), "{what}: {}", run.stderr);
    assert_eq!(run.stderr.trim().lines().count(), 1, "{}", run.stderr);
}

/// Waits until the row with this text in its event is covered by a checkpoint: its proof.
async fn proof(bed: &TestBed, signer: &Signer<'_>, hash: &str) -> String {
    let id = signer.credential.id.as_str();
    let arguments = ["audit", "proof", "--credential", id, "--hash", hash];
    until("a checkpoint over the signature", async || {
        let run = bed.cli(&arguments, &[]);
        run.success.then_some(run.stdout)
    })
    .await
}

fn check(arguments: &[&str]) -> Run {
    let mut check = Command::new(binary("csc-client"));
    command(check.args(["audit", "check"]).args(arguments), &[])
}

#[tokio::test]
async fn a_signature_can_be_proven_to_who_trusts_only_the_key() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let hashes = ["first", "second"].map(digest);
    let sad = signer.sad(V2, &hashes).await;
    signer.sign(V2, &sad, &hashes).await.ok();
    let hash = STANDARD.encode(hashes[1]);
    let proof = proof(&bed, &signer, &hash).await;
    let (path, key) = (file(&bed, "proof.json", &proof), key(&bed));

    let line: Value = serde_json::from_str(&proof).expect("a proof is JSON");
    let event = line["proof"]["row"]["event"]
        .as_str()
        .expect("it has a row");
    let event: Value = serde_json::from_str(event).expect("an event is JSON");
    let activation = event["activation"].as_str().expect("a signature has one");
    let arguments = [
        "audit",
        "proof",
        "--activation",
        activation,
        "--position",
        "1",
    ];
    let by_position = bed.cli(&arguments, &[]).expect("audit proof");
    assert_eq!(by_position, proof, "both ways name the same row");

    bed.stop().await;
    let proven = check(&[&path, "--key", &key, "--hash", &hash]).expect("audit check");
    assert_eq!(proven.trim().lines().count(), 1, "{proven}");
    for told in ["proven: ", &hash, &signer.credential.id] {
        assert!(proven.contains(told), "{told}: {proven}");
    }
    // What was signed is the digest of these five octets as they are.
    let document = file(&bed, "document", "first");
    let proven = check(&[&path, "--key", &key, "--file", &document]).expect("audit check");
    assert!(proven.contains(&STANDARD.encode(hashes[0])), "{proven}");

    let other = STANDARD.encode(digest("third"));
    let refused = check(&[&path, "--key", &key, "--hash", &other]);
    assert!(
        !refused.success && refused.stderr.contains("not proven"),
        "{}",
        refused.stderr
    );
    let forged = proof.replace(&hex::encode(hashes[1]), &hex::encode(digest("third")));
    let forged = file(&bed, "forged.json", &forged);
    let refused = check(&[&forged, "--key", &key, "--hash", &other]);
    assert!(
        !refused.success && refused.stderr.contains("not proven"),
        "{}",
        refused.stderr
    );
    // Neither a checkpoint that the key did not sign, nor a way to another root.
    for (part, why) in [
        ("/proof/checkpoint/signature", "did not sign"),
        ("/proof/path/0", "does not lead to the root"),
    ] {
        let mut forged = line.clone();
        let value = forged.pointer_mut(part).expect("the proof has it");
        let mut text = value.as_str().expect("hexadecimal").to_owned();
        let last = text.pop().expect("it is not empty");
        text.push(if last == '0' { '1' } else { '0' });
        *value = text.into();
        let forged = file(&bed, "forged.json", &forged.to_string());
        let refused = check(&[&forged, "--key", &key]);
        assert!(
            !refused.success && refused.stderr.contains(why),
            "{part}: {}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn an_export_is_verified_with_the_public_key_alone() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    bed.staff().hire("auditor");
    bed.stop().await;
    let (text, key) = (export(&bed), key(&bed));
    let path = file(&bed, "whole.jsonl", &text);
    let verdict = verify_offline(&path, &key).expect("audit verify");
    assert!(
        verdict.starts_with("intact: ") && verdict.contains("proven up to "),
        "{verdict}"
    );
    // The row that says that the log was exported came after the last checkpoint.
    assert!(verdict.contains("1 rows since "), "{verdict}");

    let changed = text.replace("SIGN_OK", "SIGN_NO");
    found(
        verify_offline(&file(&bed, "changed.jsonl", &changed), &key),
        ": changed: ",
    );
    let shorter: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("SIGN_STARTED"))
        .collect();
    found(
        verify_offline(&file(&bed, "shorter.jsonl", &shorter.join("\n")), &key),
        ": missing: ",
    );
    let other = TestBed::builder().start().await;
    found(
        verify_offline(&path, &self::key(&other)),
        ": bad checkpoint: another key signed it",
    );

    // OpenSSL takes key, body and signature as they stand.
    let checkpoint = text
        .lines()
        .rfind(|line| line.starts_with(r#"{"checkpoint""#));
    let checkpoint: Value = serde_json::from_str(checkpoint.expect("there is one")).expect("JSON");
    let text_of = |member: &str| {
        checkpoint["checkpoint"][member]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let body = file(&bed, "body", &text_of("body"));
    let signature = bed.dir().join("signature");
    std::fs::write(
        &signature,
        hex::decode(text_of("signature")).expect("hexadecimal"),
    )
    .expect("written");
    let mut openssl = Command::new("openssl");
    openssl
        .args(["dgst", "-sha256", "-verify", &key, "-signature"])
        .arg(&signature)
        .arg(&body);
    command(&mut openssl, &[]).expect("openssl dgst");
}

#[tokio::test]
async fn a_filtered_export_shows_one_holder_and_proves_every_row() {
    let bed = bed().await;
    let (signer, stranger) = (bed.signer().await, bed.signer().await);
    for signer in [&signer, &stranger] {
        let hash = [digest("contract")];
        let sad = signer.sad(V1, &hash).await;
        signer.sign(V1, &sad, &hash).await.ok();
    }
    bed.stop().await;
    let key = key(&bed);
    for filter in [
        ["--holder", &signer.holder.name],
        ["--credential", &signer.credential.id],
    ] {
        let path = bed.dir().join(format!("filtered{}.jsonl", filter[0]));
        let path = path.to_str().expect("a path of ASCII");
        let arguments = ["audit", "export", filter[0], filter[1], "--output", path];
        bed.cli(&arguments, &[]).expect("audit export");
        let text = std::fs::read_to_string(path).expect("it was written");
        assert!(
            text.contains("SIGN_OK") && text.contains(&signer.credential.id),
            "{text}"
        );
        assert!(
            !text.contains(&stranger.credential.id),
            "nothing of others is shown"
        );
        let verdict = verify_offline(path, &key).expect("audit verify");
        assert!(verdict.starts_with("intact: each of "), "{verdict}");
        let changed = text.replace("SIGN_OK", "SIGN_NO");
        found(
            verify_offline(&file(&bed, "changed.jsonl", &changed), &key),
            ": changed: ",
        );
        let again = bed.cli(&arguments, &[]);
        assert!(!again.success, "no file is overwritten");
    }
    let none = bed.cli(&["audit", "export", "--to", "2001-01-01"], &[]);
    assert_eq!(none.expect("audit export"), "");
}

/// Whoever has the database: one edit, one deletion, one insertion, one forged checkpoint.
async fn tampering_is_found(bed: &TestBed) {
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    bed.stop().await;
    let verify = || bed.cli(&["audit", "verify"], &[]);
    let verdict = verify().expect("audit verify");
    assert!(verdict.contains("proven up to "), "{verdict}");

    let where_signed = "WHERE event LIKE '%SIGN_OK%'";
    let chain = bed.sql(&format!("SELECT chain FROM audit {where_signed}"));
    let sequence = bed.sql(&format!("SELECT sequence FROM audit {where_signed}"));
    let this = format!("chain {chain}, row {sequence}: ");

    bed.sql(&format!(
        "UPDATE audit SET event = REPLACE(event, 'SIGN_OK', 'SIGN_NO') {where_signed}"
    ));
    found(verify(), &format!("{this}changed"));
    bed.sql("UPDATE audit SET event = REPLACE(event, 'SIGN_NO', 'SIGN_OK') WHERE event LIKE '%SIGN_NO%'");
    verify().expect("audit verify");

    let elsewhere = format!("sequence = {sequence} AND chain");
    bed.sql(&format!(
        "UPDATE audit SET chain = 'elsewhere' WHERE {elsewhere} = '{chain}'"
    ));
    found(verify(), &format!("{this}missing"));
    bed.sql(&format!(
        "UPDATE audit SET chain = '{chain}' WHERE {elsewhere} = 'elsewhere'"
    ));
    verify().expect("audit verify");

    bed.sql(
        "UPDATE checkpoint SET body = REPLACE(body, '\"rows\":', '\"rows\": ') WHERE number = 1",
    );
    found(verify(), "checkpoint 1: bad checkpoint");
    bed.sql(
        "UPDATE checkpoint SET body = REPLACE(body, '\"rows\": ', '\"rows\":') WHERE number = 1",
    );
    let verdict = verify().expect("audit verify");

    // Cut off consistently: the log alone shows nothing to who does not remember the last checkpoint; the tables still have what
    // the log does not tell.
    let anchor = verdict
        .split_once("checkpoint ")
        .and_then(|(_, rest)| rest.split_once(';'));
    let (anchor, _) = anchor.expect("the verdict names it");
    bed.sql(&format!(
        "DELETE FROM audit WHERE chain = '{chain}' AND sequence >= {sequence}"
    ));
    found(verify(), &format!("{this}cut tail"));
    bed.sql("DELETE FROM checkpoint");
    let run = verify();
    assert!(!run.success, "{}", run.stdout);
    for told in [
        "outcome is signed, not started",
        "the tables do not agree with the audit log: 1 of ",
    ] {
        assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
    }
    found(
        bed.cli(&["audit", "verify", "--anchor", anchor], &[]),
        "checkpoint 1: cut tail",
    );

    let told = events(&export(bed));
    let verified: Vec<_> = told
        .iter()
        .filter(|event| event["event"] == "LOG_VERIFIED")
        .collect();
    assert!(
        verified.iter().any(|event| event["intact"] == false),
        "{verified:?}"
    );
    assert!(
        verified.iter().any(|event| event["intact"] == true),
        "{verified:?}"
    );
}

#[tokio::test]
async fn tampering_in_the_database_is_found() {
    tampering_is_found(&bed().await).await;
}

#[tokio::test]
async fn tampering_in_the_database_is_found_on_postgres() {
    let bed = TestBed::builder()
        .postgres()
        .set("audit.checkpoint_every", "\"50ms\"");
    tampering_is_found(&bed.start().await).await;
}

/// SC-86: no log, no signature, and no count taken for one.
async fn nothing_is_signed_unlogged(bed: &TestBed) {
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    bed.sql("ALTER TABLE audit RENAME TO audit_away");
    let answer = signer.sign(V1, &sad, &hash).await;
    assert!([500, 503].contains(&answer.status), "{answer:?}");
    assert!(answer.body.get("signatures").is_none(), "{answer:?}");
    assert_eq!(bed.sql("SELECT COUNT(*) FROM signing"), "0");
    bed.sql("ALTER TABLE audit_away RENAME TO audit");
    signer.sign(V1, &sad, &hash).await.ok();
    bed.stop().await;
    bed.inspect();
}

#[tokio::test]
async fn without_a_log_nothing_is_signed() {
    nothing_is_signed_unlogged(&bed().await).await;
}

#[tokio::test]
async fn without_a_log_nothing_is_signed_on_postgres() {
    nothing_is_signed_unlogged(&TestBed::builder().postgres().start().await).await;
}

#[tokio::test]
async fn a_crash_loses_no_row_and_breaks_no_chain() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    bed.kill();
    bed.start().await;
    let hash = STANDARD.encode(hash[0]);
    proof(&bed, &signer, &hash).await;
    bed.inspect();
}

#[tokio::test]
async fn every_act_leaves_its_event_and_no_secret() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let (hash, other) = ([digest("contract")], [digest("another")]);
    let wrong = signer.authorization(V1, &hash, 1, "00000000");
    signer.code().await;
    signer
        .call(V1, "credentials/authorize", wrong)
        .await
        .refused_as("invalid_otp");
    let mut wrong = signer.authorization(V1, &hash, 1, &signer.code().await);
    wrong["PIN"] = json!("00000000");
    signer
        .call(V1, "credentials/authorize", wrong)
        .await
        .refused_as("invalid_pin");
    let sad = signer.sad(V1, &hash).await;
    signer
        .sign(V1, &sad, &other)
        .await
        .refused_as("invalid_request");
    signer
        .extend(V1, &sad, &other)
        .await
        .refused_as("invalid_request");
    signer.sign(V1, &sad, &hash).await.ok();
    let unknown = format!("{}.{}", "0".repeat(32), "A".repeat(43));
    for bad in [&sad, &unknown, "rubbish"] {
        signer
            .sign(V1, bad, &hash)
            .await
            .refused("Invalid parameter SAD");
    }
    signer
        .call(V1, "auth/revoke", json!({"token": unknown}))
        .await
        .refused_as("invalid_request");
    let revoked = signer.sad(V1, &hash).await;
    signer
        .call(V1, "auth/revoke", json!({"token": revoked}))
        .await
        .done();
    bed.api()
        .login(V1, &signer.holder.name, "wrong", json!({}))
        .await
        .refused_as("authentication_error");
    let fields = [("grant_type", "client_credentials")];
    bed.api()
        .form_as("/oauth2/token", &client.id, "wrong", &fields)
        .await
        .refused_as("invalid_client");
    bed.cli(&["history", "--credential", &signer.credential.id], &[])
        .expect("history");
    bed.inspect();
    bed.stop().await;

    let text = export(&bed);
    let events = events(&text);
    let of = |name: &str| {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect::<Vec<_>>()
    };
    for name in [
        "START",
        "CONFIG_LOADED",
        "SELFTEST",
        "STOP",
        "MASTER_CREATED",
        "CA_CREATED",
        "TSA_CREATED",
        "HOLDER_ADDED",
        "FACTOR_ADDED",
        "CLIENT_REGISTERED",
        "CLIENT_LINKED",
        "KEY_GENERATED",
        "CERT_ISSUED",
        "CERT_ACTIVATED",
        "LOGIN_OK",
        "LOGIN_FAIL",
        "TOKEN_ISSUED",
        "OTP_SENT",
        "AUTHZ_ASKED",
        "OTP_FAIL",
        "OTP_OK",
        "PIN_FAIL",
        "PIN_OK",
        "SAD_ISSUED",
        "SAD_REFUSED",
        "SAD_REVOKED",
        "SIGN_STARTED",
        "SIGN_OK",
        "SIGN_REFUSED",
        "LOG_READ",
        "LOG_VERIFIED",
        "LOG_EXPORTED",
    ] {
        assert!(!of(name).is_empty(), "no {name} in {events:#?}");
    }
    let config = of("CONFIG_LOADED");
    assert_eq!(
        config[0]["hash"].as_str().map(str::len),
        Some(64),
        "{config:?}"
    );
    assert_eq!(of("LOGIN_FAIL").len(), 2, "a person's and a client's");
    let refused = of("SIGN_REFUSED");
    assert_eq!(refused.len(), 4, "{refused:#?}");
    assert!(
        refused
            .iter()
            .all(|event| event["client"] == "direct" && event["request"].is_string())
    );
    assert_eq!(refused[0]["hashes"], json!([hex::encode(other[0])]));
    assert_eq!(
        refused[2]["activation"],
        json!("0".repeat(32)),
        "which unknown SAD it was"
    );
    assert_eq!(
        refused[3]["activation"],
        Value::Null,
        "what is no identifier is not repeated"
    );
    let acts: Vec<_> = of("SAD_REFUSED")
        .iter()
        .map(|event| event["act"].clone())
        .collect();
    assert_eq!(acts, ["extend", "revoke"]);

    let names = ["Alice", "Rossi", signer.holder.name.as_str()].map(str::to_owned);
    for secret in registered_secrets()
        .into_iter()
        .filter(|secret| secret.len() >= 8)
        .chain(names)
    {
        assert!(!text.contains(&secret), "the log holds a secret or a name");
    }
}

#[tokio::test]
async fn another_configuration_leaves_another_hash() {
    let bed = TestBed::builder().start().await;
    bed.stop().await;
    let path = bed.dir().join("csc-server.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration is there");
    let changed = text.replace("A service under test", "A service after a change");
    assert_ne!(text, changed);
    for text in [&text, &changed] {
        std::fs::write(&path, text).expect("it can be written");
        bed.start().await;
        bed.stop().await;
    }
    let events = events(&export(&bed));
    let mut hashes: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "CONFIG_LOADED")
        .filter_map(|event| event["hash"].as_str())
        .collect();
    assert_eq!(hashes.len(), 3);
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(
        hashes.len(),
        2,
        "the same file has the same hash, another has another"
    );
}

#[tokio::test]
async fn proofs_of_before_and_after_a_new_audit_key_hold() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let first_key = key(&bed);
    let mut proofs = Vec::new();
    for (name, rotated) in [("before", false), ("after", true)] {
        if rotated {
            bed.cli(&["slot", "rotate", "--key", "audit"], &[])
                .expect("slot rotate");
        }
        let hash = digest(name);
        let sad = signer.sad(V2, &[hash]).await;
        signer.sign(V2, &sad, &[hash]).await.ok();
        let proof = proof(&bed, &signer, &STANDARD.encode(hash)).await;
        proofs.push(file(&bed, &format!("{name}.json"), &proof));
    }
    let [before, after] = &proofs[..] else {
        panic!("two proofs");
    };

    let pem = bed.cli(&["audit", "key"], &[]).expect("audit key");
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 2);
    let keys = file(&bed, "audit-keys.pem", &pem);
    for proof in [before, after] {
        check(&[proof, "--key", &keys]).expect("audit check");
    }
    check(&[before, "--key", &first_key]).expect("audit check");
    let refused = check(&[after, "--key", &first_key]);
    assert!(
        refused.stderr.contains("did not sign the checkpoint"),
        "{}",
        refused.stderr
    );
    // The whole log leads from the first key to the second.
    let export = file(&bed, "export.jsonl", &export(&bed));
    verify_offline(&export, &first_key).expect("audit verify");
    bed.cli(&["audit", "verify"], &[]).expect("audit verify");
    bed.cli(&["slot", "init"], &[]).expect("slot init");
    let again = bed.cli(&["audit", "key"], &[]).expect("audit key");
    assert_eq!(again, pem);
}
