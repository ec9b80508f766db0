//! What survives a stop, a crash and a restart; and the same service on PostgreSQL.

use conformance_tests::{TestBed, V1, V2, digest, digests, registered_secrets};
use serde_json::{Value, json};

#[tokio::test]
async fn everything_promised_survives_a_crash() {
    let bed = TestBed::builder().start().await;
    survives(&bed).await;
}

#[tokio::test]
async fn everything_promised_survives_a_crash_on_postgres() {
    let bed = TestBed::builder().postgres().start().await;
    survives(&bed).await;
}

/// Tokens, SADs, spent SADs, counted guesses, history: all of it is on disk before it is answered.
async fn survives(bed: &TestBed) {
    let signer = bed.signer().await;
    let hashes = ["first", "second"].map(digest);
    let spent = signer.sad(V1, &hashes[..1]).await;
    signer.sign(V1, &spent, &hashes[..1]).await.ok();
    let unused = signer.sad(V2, &hashes[1..]).await;
    let locked = bed.signer().await;
    for _ in 0..10 {
        let body = locked.authorization(V1, &hashes[..1], 1, "00000000");
        locked
            .call(V1, "credentials/authorize", body)
            .await
            .refused_as("invalid_otp");
    }

    bed.kill();
    bed.start().await;

    signer
        .sign(V1, &spent, &hashes[..1])
        .await
        .refused("Invalid parameter SAD");
    signer.sign(V2, &unused, &hashes[1..]).await.ok();
    let body = locked.authorization(V1, &hashes[..1], 1, "00000000");
    locked
        .call(V1, "credentials/authorize", body)
        .await
        .refused("OTP locked");
    let history = bed
        .cli(&["history", "--credential", &signer.credential.id], &[])
        .expect("history");
    let rows: Vec<Value> = history
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let signed: Value = rows.iter().map(|row| row["hash"].clone()).collect();
    assert_eq!(signed, digests(&hashes), "{history}");
    bed.inspect();
}

#[tokio::test]
async fn a_stop_ends_the_process_cleanly_and_a_start_goes_on() {
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    assert!(bed.stop().await.success());
    bed.start().await;
    signer.call(V1, "credentials/list", json!({})).await.ok();
}

#[tokio::test]
async fn slot_init_may_run_again_and_changes_nothing() {
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    let before = bed
        .cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    bed.cli(&["slot", "init"], &[]).expect("slot init");
    assert_eq!(
        bed.cli(&["ca", "certificate"], &[])
            .expect("ca certificate"),
        before
    );
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

#[tokio::test]
async fn no_secret_rests_in_the_database_or_appears_in_the_log() {
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    bed.totp(&signer.holder);
    bed.client();
    let hashes = ["first", "second"].map(digest);
    let sad = signer.sad(V1, &hashes).await;
    signer.sign(V1, &sad, &hashes[..1]).await.ok();
    signer
        .sign(V1, &sad, &hashes[1..])
        .await
        .refused("Invalid parameter SAD");
    let sad = signer.extend(V1, &sad, &hashes[1..]).await.text_of("SAD");
    let wrong = signer.authorization(V1, &hashes, 2, "00000000");
    signer
        .call(V1, "credentials/authorize", wrong)
        .await
        .refused_as("invalid_otp");
    bed.stop().await;

    let mut rest = Vec::new();
    for name in ["csc.sqlite", "csc.sqlite-wal"] {
        rest.extend(std::fs::read(bed.dir().join(name)).unwrap_or_default());
    }
    assert!(
        holds(&rest, signer.credential.id.as_bytes()),
        "the database was looked at"
    );
    let log = bed.log();
    assert!(log.contains("listening"), "the log was looked at");
    assert!(registered_secrets().contains(&sad));
    for secret in registered_secrets() {
        // Six digits in a row come up by chance.
        if secret.len() >= 8 {
            assert!(
                !holds(&rest, secret.as_bytes()),
                "a secret rests in the database"
            );
            assert!(!log.contains(&secret), "a secret stands in the log");
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
