//! While nobody knows what time it is, nothing is approved or signed.

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{Answer, TestBed, TimeSource, V1, V2, digest, until};
use serde_json::json;

const UNAVAILABLE: &str = "The authorization server is currently unable to handle the request due to a temporary overloading or \
                           maintenance of the server.";

fn put_off(answer: Answer) {
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    answer.failed(503, "temporarily_unavailable", UNAVAILABLE);
}

async fn ready(bed: &TestBed, status: u16) {
    until("the readiness to follow the clock", async || {
        (bed.admin().status("/readyz").await == Some(status)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_clock_is_off_approves_and_signs_nothing() {
    let source = TimeSource::start().await;
    let builder = TestBed::builder().set("clock.sources", &source.sources());
    let bed = builder.set("clock.every", "\"20ms\"").start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    for ahead in [10, -10] {
        let sad = signer.sad(V1, &hash).await;
        let code = signer.code().await;
        source.set_ahead(ahead);
        ready(&bed, 503).await;

        for version in [V1, V2] {
            put_off(signer.sign(version, &sad, &hash).await);
            put_off(signer.extend(version, &sad, &hash).await);
            let body = signer.authorization(version, &hash, 1, &code);
            put_off(signer.call(version, "credentials/authorize", body).await);
            let body =
                json!({"hash": STANDARD.encode(hash[0]), "hashAlgo": "2.16.840.1.101.3.4.2.1"});
            put_off(signer.call(version, "signatures/timestamp", body).await);
        }

        source.set_ahead(0);
        ready(&bed, 200).await;
        // Neither SAD nor code was touched.
        signer.sign(V1, &sad, &hash).await.ok();
        let body = signer.authorization(V1, &hash, 1, &code);
        signer.call(V1, "credentials/authorize", body).await.ok();
    }
    let log = bed.cli(&["audit", "export"], &[]).expect("audit export");
    assert_eq!(log.matches("CLOCK_ALARM").count(), 2);
    assert_eq!(log.matches("CLOCK_SYNC").count(), 3);
}
