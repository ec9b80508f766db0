//! The audit log, from outside: what it says, who can verify it with what, and what becomes of a service that cannot write it.

mod events;
mod proofs;

use std::{path::PathBuf, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{Run, TestBed, V1, binary, command, digest};
use serde_json::Value;

use proofs::proof;

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
