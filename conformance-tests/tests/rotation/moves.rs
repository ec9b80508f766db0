//! What moves from one version to the next, when, and what does not.

use std::fs;

use conformance_tests::{TestBed, V1, digest, until};
use serde_json::{Value, json};

use crate::{WithApp, destroy, empty, refused, rotate, versions};

/// A column of all rows, read behind the service's back.
fn column(bed: &TestBed, sql: &str) -> Vec<String> {
    bed.sql(sql).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_dearer_stretching_takes_hold_at_the_next_pin() {
    const COST: &str = "SELECT pin_cost FROM credential";
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let [before] = &column(&bed, COST)[..] else {
        panic!("one credential");
    };
    let file = bed.dir().join("csc-server.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    let dearer = "[pin.argon2]\nmemory = 20480\npasses = 3\nlanes = 1\n";
    assert!(bed.stop().await.success());
    fs::write(&file, format!("{dearer}\n{config}")).expect("another configuration");
    bed.start().await;
    assert_eq!(column(&bed, COST), [before.as_str()]);

    let first = signer.sad(V1, &hash).await;

    let after = json!({"memory": 20480, "passes": 3, "lanes": 1});
    let [row] = &column(&bed, COST)[..] else {
        panic!("one credential");
    };
    assert_eq!(serde_json::from_str::<Value>(row).ok(), Some(after));
    // The SAD of the old sealing, and the PIN under the new one.
    signer.sign(V1, &first, &hash).await.ok();
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

#[tokio::test]
async fn what_a_pin_or_a_puk_seals_moves_when_it_is_typed() {
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"3s\"")
        .set("lifetime.sad", "\"5s\"")
        .start()
        .await;
    let app = WithApp::new(&bed).await;
    let revoked = bed.signer().await.credential;
    let arguments = ["credential", "revoke", "--credential", &revoked.id];
    bed.cli(&arguments, &[]).expect("credential revoke");
    let before = app.sad(&bed, -1).await;

    rotate(&bed, "masters");

    // The record of a destroyed key waits for nobody.
    let old = until("the revoked record to be moved", async || {
        let old = versions(&bed).remove("masters/v1")?;
        old.contains("0 records").then_some(old)
    })
    .await;
    assert!(old.starts_with(": 1 PINs, 1 PUKs"), "{old}");
    app.sign(&bed, &before).await.ok();
    let after = app.sad(&bed, 0).await;
    app.sign(&bed, &after).await.ok();
    let refused = destroy(&bed, "masters");
    assert!(
        refused.stderr.contains("it is needed: 0 PINs, 1 PUKs"),
        "{}",
        refused.stderr
    );
    let arguments = ["credential", "unblock", "--credential", &app.credential.id];
    bed.cli(&arguments, &[app.credential.puk(), &app.totp.code(1)])
        .expect("credential unblock");
    empty(&bed, "masters/v1").await;
    destroy(&bed, "masters").expect("slot destroy");

    let found = versions(&bed);
    let new = found.get("masters/v2").expect("the version in use");
    assert!(new.contains("1 PINs, 1 PUKs, 3 records"), "{found:?}");
    assert_eq!(found.get("masters/v1"), None);
}

#[tokio::test]
async fn the_version_in_use_is_not_destroyed_and_each_step_is_on_record() {
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"3s\"")
        .start()
        .await;
    let refused = destroy(&bed, "store");
    assert!(
        refused.stderr.contains("version 1 is in use"),
        "{}",
        refused.stderr
    );
    rotate(&bed, "store");
    empty(&bed, "store/v1").await;
    destroy(&bed, "store").expect("slot destroy");
    bed.cli(&["slot", "init"], &[]).expect("slot init");
    assert_eq!(versions(&bed).get("store/v1"), None);

    let events = column(
        &bed,
        "SELECT event FROM audit WHERE event LIKE '%MASTER_%' ORDER BY time",
    );
    let rotations: Vec<_> = events
        .iter()
        .filter(|event| !event.contains("MASTER_CREATED"))
        .collect();
    let expected = [
        r#"{"event":"MASTER_ROTATED","key":"store","version":2}"#,
        r#"{"event":"MASTER_RETIRED","key":"store","version":1}"#,
        r#"{"event":"MASTER_DESTROYED","key":"store","version":1}"#,
    ];
    assert_eq!(rotations, expected);
    let metrics = bed.admin().request(reqwest::Method::GET, "/metrics");
    let metrics = bed.admin().send(metrics).await.text;
    assert!(
        metrics.contains(r#"csc_rotation_rows_left{key="store"} 0"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_row_that_was_changed_by_hand_is_not_blessed_by_a_rotation() {
    const ADDRESS: &str = "UPDATE factor SET address = address || '.thief.test' WHERE id =";
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"3s\"")
        .set("lifetime.sad", "\"5s\"")
        .set("credential.puk", "\"strict\"")
        .start()
        .await;
    let (mailed, app, dead) = (
        bed.signer().await,
        WithApp::new(&bed).await,
        bed.signer().await,
    );
    let revoke = ["credential", "revoke", "--credential", &dead.credential.id];
    bed.cli(&revoke, &[]).expect("credential revoke");
    let later = |by: i64, id: &str| {
        bed.sql(&format!(
            "UPDATE credential SET not_after = not_after + {by} WHERE id = '{id}'"
        ));
    };
    bed.sql(&format!("{ADDRESS} '{}'", mailed.otp.id));
    later(1000, &app.credential.id);
    later(1000, &dead.credential.id);

    rotate(&bed, "masters");

    // Two factors have moved; the third and the revoked credential have not, nor has the key whose PIN was typed.
    until("what is whole to be moved", async || {
        let old = versions(&bed).remove("masters/v1")?;
        old.contains("2 PINs, 0 PUKs, 2 records").then_some(())
    })
    .await;
    refused(&app.authorize(&bed, &app.credential.pin, -1).await);
    let id = json!({"credentialID": mailed.credential.id});
    refused(&mailed.call(V1, "credentials/sendOTP", id).await);
    let kept = destroy(&bed, "masters");
    assert!(
        kept.stderr
            .contains("it is needed: 2 PINs, 0 PUKs, 2 records"),
        "{}",
        kept.stderr
    );
    assert!(bed.log().contains("a row does not open and stays"));
    // Nor by the moves of its life.
    for (act, succeeds) in [("suspend", true), ("reactivate", false)] {
        let arguments = ["credential", act, "--credential", &app.credential.id];
        assert_eq!(bed.cli(&arguments, &[]).success, succeeds, "{act}");
    }

    // Put right, they move; what waits a minute looks at once after a start.
    bed.sql(&format!(
        "UPDATE factor SET address = REPLACE(address, '.thief.test', '') WHERE id = '{}'",
        mailed.otp.id
    ));
    bed.sql("UPDATE credential SET status = 'active' WHERE status = 'suspended'");
    later(-1000, &app.credential.id);
    later(-1000, &dead.credential.id);
    assert!(bed.stop().await.success());
    bed.start().await;
    app.signs(&bed, 0).await;
    let hash = [digest("contract")];
    let sad = mailed.sad(V1, &hash).await;
    mailed.sign(V1, &sad, &hash).await.ok();
    empty(&bed, "masters/v1").await;
}
