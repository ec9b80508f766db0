//! `credentials/sendOTP` (CSC API v1 11.8) and `credentials/getChallenge` (v2 11.8): codes that come by mail.

use conformance_tests::{
    Answer, KeySpec, Refusal, Signer, TestBed, V1, V2, assert_refusals, digest, shared, until,
};
use serde_json::{Value, json};

const MISSING: &str = "Missing (or invalid type) string parameter credentialID";
const UNKNOWN: &str = "Invalid parameter credentialID";

async fn send(signer: &Signer<'_>) -> Answer {
    signer
        .call(
            V1,
            "credentials/sendOTP",
            json!({"credentialID": signer.credential.id}),
        )
        .await
}

async fn challenge(signer: &Signer<'_>) -> Answer {
    signer
        .call(
            V2,
            "credentials/getChallenge",
            challenge_body(&signer.credential.id),
        )
        .await
}

fn challenge_body(credential: &str) -> Value {
    json!({"credentialID": credential, "authObjectID": "OTP"})
}

#[tokio::test]
async fn a_code_goes_to_the_holder_and_to_nobody_else() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    send(&signer).await.done();
    let first = signer.holder.next_code().await;
    challenge(&signer).await.done();
    let second = signer.holder.next_code().await;
    assert_ne!(first, second);
    assert_eq!((signer.holder.mails(), other.holder.mails()), (2, 0));
}

#[tokio::test]
async fn the_code_of_either_version_authorises() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        challenge(&signer).await.done();
        let code = signer.holder.next_code().await;
        let body = signer.authorization(version, &[digest("contract")], 1, &code);
        signer
            .call(version, "credentials/authorize", body)
            .await
            .ok();
    }
}

#[tokio::test]
async fn send_otp_refuses_what_its_table_says() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    let rows = [
        Refusal::new(json!({"credentialID": null}), MISSING),
        Refusal::new(json!({"credentialID": 5}), MISSING),
        Refusal::new(json!({"credentialID": "unknown"}), UNKNOWN),
        Refusal::new(json!({"credentialID": other.credential.id}), UNKNOWN),
    ];
    let good = json!({"credentialID": signer.credential.id});
    assert_refusals(
        &bed.api(),
        V1,
        "credentials/sendOTP",
        &signer.token,
        &good,
        rows,
    )
    .await;
    assert_eq!((signer.holder.mails(), other.holder.mails()), (0, 0));
}

#[tokio::test]
async fn get_challenge_refuses_what_its_table_says() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    // The table knows one text for each, whatever is wrong with it.
    let object = "Invalid parameter authObjectID";
    let rows = [
        Refusal::new(json!({"credentialID": null}), UNKNOWN),
        Refusal::new(json!({"credentialID": 5}), UNKNOWN),
        Refusal::new(json!({"credentialID": "unknown"}), UNKNOWN),
        Refusal::new(json!({"credentialID": other.credential.id}), UNKNOWN),
        Refusal::new(json!({"authObjectID": null}), object),
        Refusal::new(json!({"authObjectID": 5}), object),
        Refusal::new(json!({"authObjectID": "unknown"}), object),
        // A PIN is known, not sent.
        Refusal::new(json!({"authObjectID": "PIN"}), object),
    ];
    let good = challenge_body(&signer.credential.id);
    assert_refusals(
        &bed.api(),
        V2,
        "credentials/getChallenge",
        &signer.token,
        &good,
        rows,
    )
    .await;
    assert_eq!((signer.holder.mails(), other.holder.mails()), (0, 0));
}

#[tokio::test]
async fn an_authenticator_app_is_sent_nothing() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let totp = bed.totp(&signer.holder);
    let app = bed.credential(
        &signer.holder,
        &totp.id,
        &KeySpec {
            key: "p256",
            multisign: 1,
        },
    );
    let answer = signer
        .call(V1, "credentials/sendOTP", json!({"credentialID": app.id}))
        .await;
    answer.refused(UNKNOWN);
    let answer = signer
        .call(V2, "credentials/getChallenge", challenge_body(&app.id))
        .await;
    answer.refused("Invalid parameter authObjectID");
    assert_eq!(signer.holder.mails(), 0);
}

#[tokio::test]
async fn no_code_goes_to_a_locked_device() {
    let signer = shared().await.signer().await;
    for _ in 0..10 {
        let guess = signer.authorization(V1, &[digest("contract")], 1, "00000000");
        let answer = signer.call(V1, "credentials/authorize", guess).await;
        answer.refused_as("invalid_otp");
    }
    send(&signer).await.refused("OTP locked");
    challenge(&signer).await.refused("Credential locked");
    let told = async || (signer.holder.mails() > 0).then_some(());
    until("the notice of the lock", told).await;
    assert_eq!(signer.holder.mails(), 1);
}

#[tokio::test]
async fn codes_cannot_be_sent_in_a_flood() {
    let bed = TestBed::builder()
        .set("otp.resend_after", "\"10m\"")
        .start()
        .await;
    let signer = bed.signer().await;
    send(&signer).await.done();
    for answer in [send(&signer).await, challenge(&signer).await] {
        assert_eq!(answer.status, 429, "{answer:?}");
        let seconds: u64 = answer.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=600).contains(&seconds), "{answer:?}");
    }
    signer.holder.next_code().await;
    assert_eq!(signer.holder.mails(), 1);
}
