//! Every credential at once: what two officers do when CA or HSM are compromised (SC-96), and when the service ends (SC-101).

use std::fs;

use conformance_tests::{Signer, TestBed, V1, digest};
use serde_json::{Value, json};

const SUSPEND: [&str; 2] = ["credential", "suspend-all"];
const REVOKE: [&str; 2] = ["credential", "revoke-all"];

/// Refused with a SAD from before, and with the right PIN and code.
async fn signs_nothing(signer: &Signer<'_>, sad: &str) {
    let hash = [digest("contract")];
    signer
        .sign(V1, sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    let again = signer.authorize(V1, &hash, 1).await;
    assert_ne!(again.status, 200, "{again:?}");
}

#[tokio::test]
async fn every_credential_is_suspended_or_revoked_at_once_by_two() {
    let bed = TestBed::builder().start().await;
    let (one, other) = (bed.signer().await, bed.signer().await);
    let revoked = bed.signer().await.credential;
    let revoke = ["credential", "revoke", "--credential", &revoked.id];
    bed.cli(&revoke, &[]).expect("credential revoke");
    let hash = [digest("contract")];
    let sads = [one.sad(V1, &hash).await, other.sad(V1, &hash).await];

    let staff = bed.staff();
    let waiting = staff.run("ra-officer", &SUSPEND, &[]);
    assert_eq!(waiting.code, Some(3), "one alone: {}", waiting.stderr);
    one.sign(V1, &one.sad(V1, &hash).await, &hash).await.ok();

    let done = bed.cli(&SUSPEND, &[]).expect("credential suspend-all");
    assert!(done.contains("2 credentials are suspended"), "{done}");
    signs_nothing(&one, &sads[0]).await;
    signs_nothing(&other, &sads[1]).await;
    let again = bed.cli(&SUSPEND, &[]).expect("credential suspend-all");
    assert!(again.contains("0 credentials are suspended"), "{again}");

    let reactivate = [
        "credential",
        "reactivate",
        "--credential",
        &one.credential.id,
    ];
    bed.cli(&reactivate, &[]).expect("credential reactivate");
    let sad = one.sad(V1, &hash).await;
    let done = bed.cli(&REVOKE, &[]).expect("credential revoke-all");
    assert!(done.contains("2 credentials are revoked"), "{done}");
    signs_nothing(&one, &sad).await;
    signs_nothing(&other, &sads[1]).await;

    let events = bed.sql(r#"SELECT event FROM audit WHERE event LIKE '{"event":"CERT_%'"#);
    let by_two = events.lines().filter(|line| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        event["actor"]["role"] == "ra-officer" && event["actor"]["approval"].is_string()
    });
    assert_eq!(by_two.count(), 4, "{events}");
    bed.inspect();
}

#[tokio::test]
async fn a_service_that_ends_destroys_its_keys_and_leaves_its_evidence() {
    let bed = TestBed::builder().start().await;
    let (signer, hash) = (bed.signer().await, [digest("contract")]);
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    let live = signer.sad(V1, &hash).await;
    let backup = bed.dump("backup");
    let public = bed.dir().join("audit.pem");
    let key = bed.cli(&["audit", "key"], &[]).expect("audit key");
    fs::write(&public, key).expect("a file");

    let alone = bed.staff().run("first", &["terminate"], &[]);
    assert_eq!(alone.code, Some(3), "one alone: {}", alone.stderr);
    let ended = bed.cli(&["terminate"], &[]).expect("terminate");
    assert!(ended.contains("1 credentials are revoked"), "{ended}");
    for label in [
        "seal-derive/v1",
        "store/v1",
        "pin-check/v1",
        "record-mac/v1",
    ] {
        assert!(ended.contains(&format!("{label} destroyed")), "{ended}");
    }
    let dead = signer.sign(V1, &live, &hash).await;
    dead.refused("Invalid parameter SAD");
    let id = json!({"credentialID": signer.credential.id});
    let sent = signer.call(V1, "credentials/sendOTP", id).await;
    assert!(sent.status >= 400, "{sent:?}");
    let keys = "SELECT COUNT(*) FROM credential WHERE length(key_blob) + length(w_pin) > 0 OR w_puk IS NOT NULL";
    assert_eq!(bed.sql(keys).trim(), "0");

    // The evidence: the history, and a log that its public key alone proves to the last row.
    let history = ["history", "--credential", &signer.credential.id];
    let signed = bed.cli(&history, &[]).expect("history");
    assert_eq!(signed.lines().count(), 1, "{signed}");
    let intact = bed.cli(&["audit", "verify"], &[]).expect("audit verify");
    assert!(intact.contains("the tables agree with it"), "{intact}");
    let export = bed.dir().join("evidence.jsonl");
    let path = export.to_string_lossy();
    bed.cli(&["audit", "export", "--output", &path], &[])
        .expect("audit export");
    let public = public.to_string_lossy();
    let verify = ["audit", "verify", "--export", &path, "--key", &public];
    bed.terminal(None, &verify, &[])
        .expect("audit verify --export");
    let exported = fs::read_to_string(&export).expect("the export");
    let (covered, _) = exported
        .rsplit_once("\"checkpoint\"")
        .expect("a checkpoint");
    for event in ["KEY_DESTROYED", "MASTER_DESTROYED", "SERVICE_ENDED"] {
        assert!(covered.contains(event), "{event} under a checkpoint");
    }

    // It does not begin again, not even from a backup.
    bed.stop().await;
    for again in [&["serve"][..], &["slot", "init"]] {
        bed.terminal(None, again, &[])
            .refused("the service was ended");
    }
    bed.replace_database(&backup);
    let serve = bed.terminal(None, &["serve"], &[]);
    assert_eq!(serve.code, Some(1), "{}{}", serve.stdout, serve.stderr);
    assert!(
        serve
            .stderr
            .contains("the holder slot does not do what is needed"),
        "{}",
        serve.stderr
    );
}
