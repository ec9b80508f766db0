//! Every credential at once: what two officers do when CA or HSM are compromised (SC-96).

use conformance_tests::{Signer, TestBed, V1, digest};
use serde_json::Value;

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
