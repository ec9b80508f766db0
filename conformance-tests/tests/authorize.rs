//! `credentials/authorize` with PIN and one-time code (CSC API v1 11.6, v2 11.6).
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Answer, KeySpec, Refusal, Signer, V1, V2, Version, assert_refusals, digest, digests, shared,
};
use serde_json::{Value, json};

const METHOD: &str = "credentials/authorize";
const WRONG_PINS: usize = 5;
const WRONG_CODES: usize = 10;

async fn authorize(signer: &Signer<'_>, version: Version, body: &Value) -> Answer {
    signer.call(version, METHOD, body.clone()).await
}

/// The same authorization with another PIN.
fn with_pin(version: Version, body: &Value, pin: &str) -> Value {
    let mut body = body.clone();
    match version {
        V1 => body["PIN"] = json!(pin),
        V2 => body["authData"][0]["value"] = json!(pin),
    }
    body
}

/// The same authorization with another code.
fn with_code(version: Version, body: &Value, code: &str) -> Value {
    let mut body = body.clone();
    match version {
        V1 => body["OTP"] = json!(code),
        V2 => body["authData"][1]["value"] = json!(code),
    }
    body
}

fn wrong_pin(version: Version, answer: Answer) {
    match version {
        V1 => answer.failed(400, "invalid_pin", "The PIN is invalid"),
        V2 => answer.failed(
            400,
            "invalid_authentication_data",
            "The authentication data is invalid",
        ),
    }
}

fn wrong_code(version: Version, answer: Answer) {
    match version {
        V1 => answer.failed(400, "invalid_otp", "The OTP is invalid"),
        V2 => answer.failed(
            400,
            "invalid_authentication_data",
            "The authentication data is invalid",
        ),
    }
}

/// Different from `code`, of the same form.
fn another(code: &str) -> String {
    let first = if code.starts_with('7') { "3" } else { "7" };
    format!("{first}{}", &code[1..])
}

#[tokio::test]
async fn pin_and_code_give_a_sad_a_new_one_each_time() {
    let signer = shared().await.signer().await;
    let mut sads = Vec::new();
    for version in [V1, V2, V1] {
        let answer = signer.authorize(version, &[digest("contract")], 1).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        let body = answer.ok();
        assert_eq!(body["expiresIn"], 300);
        sads.push(body["SAD"].as_str().unwrap().to_owned());
    }
    assert!(
        sads.iter().all(|sad| sad.len() >= 22),
        "128 bits at least: {sads:?}"
    );
    sads.sort();
    sads.dedup();
    assert_eq!(sads.len(), 3);
}

#[tokio::test]
async fn an_authenticator_app_s_code_is_accepted_once() {
    let bed = shared().await;
    for version in [V1, V2] {
        let mut signer = bed.signer().await;
        let totp = bed.totp(&signer.holder);
        signer.credential = bed.credential(
            &signer.holder,
            &totp.id,
            &KeySpec {
                key: "p256",
                multisign: 1,
            },
        );
        let body = signer.authorization(version, &[digest("contract")], 1, &totp.code(0));
        authorize(&signer, version, &body).await.ok();
        wrong_code(version, authorize(&signer, version, &body).await);
        // An earlier step than the last one accepted is spent too (RFC 6238, 5.2).
        let earlier = with_code(version, &body, &totp.code(-1));
        wrong_code(version, authorize(&signer, version, &earlier).await);
    }
}

#[tokio::test]
async fn a_wrong_code_of_an_authenticator_app_is_no_code() {
    let bed = shared().await;
    for version in [V1, V2] {
        let mut signer = bed.signer().await;
        let totp = bed.totp(&signer.holder);
        let spec = KeySpec {
            key: "p256",
            multisign: 1,
        };
        signer.credential = bed.credential(&signer.holder, &totp.id, &spec);
        let right = signer.authorization(version, &[digest("contract")], 1, &totp.code(0));
        // Of another step, too far away for a clock that goes a little wrong.
        for wrong in [another(&totp.code(0)), totp.code(-20), totp.code(20)] {
            let wrong = with_code(version, &right, &wrong);
            wrong_code(version, authorize(&signer, version, &wrong).await);
        }
        authorize(&signer, version, &right).await.ok();
    }
}

#[tokio::test]
async fn as_many_signatures_as_hashes_are_approved_no_more_and_no_fewer() {
    let signer = shared().await.signer().await;
    let hashes = ["first", "second"].map(digest);
    for version in [V1, V2] {
        let good = signer.authorization(version, &hashes, 2, &signer.code().await);
        for count in [1, 3] {
            let mut body = good.clone();
            body["numSignatures"] = json!(count);
            authorize(&signer, version, &body)
                .await
                .refused("Invalid value for parameter numSignatures");
        }
        authorize(&signer, version, &good).await.ok();
    }
}

/// What both versions refuse in the same words.
fn common_rows(version: Version, stranger: &str) -> Vec<Refusal> {
    let hashes = version.hashes();
    let missing_hashes = format!("Missing (or invalid type) array parameter {hashes}");
    let with_hashes = |value: Value| json!({hashes: value});
    let missing_credential = "Missing (or invalid type) string parameter credentialID";
    let missing_count = "Missing (or invalid type) integer parameter numSignatures";
    let bad_count = "Invalid value for parameter numSignatures";
    let bad_base64 = "Invalid Base64 hash string parameter";
    let bad_length = "Invalid digest value length";
    vec![
        Refusal::new(json!({"credentialID": null}), missing_credential),
        Refusal::new(json!({"credentialID": 5}), missing_credential),
        Refusal::new(
            json!({"credentialID": "unknown"}),
            "Invalid parameter credentialID",
        ),
        Refusal::new(
            json!({"credentialID": stranger}),
            "Invalid parameter credentialID",
        ),
        Refusal::new(json!({"numSignatures": null}), missing_count),
        Refusal::new(json!({"numSignatures": "1"}), missing_count),
        Refusal::new(json!({"numSignatures": 1.5}), missing_count),
        Refusal::new(json!({"numSignatures": 0}), bad_count),
        Refusal::new(json!({"numSignatures": -1}), bad_count),
        Refusal::new(
            json!({"numSignatures": 6}),
            "Numbers of signatures is too high",
        ),
        Refusal::new(with_hashes(json!(null)), missing_hashes.clone()),
        Refusal::new(
            with_hashes(json!("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")),
            missing_hashes,
        ),
        Refusal::new(with_hashes(json!(["no base64!"])), bad_base64),
        Refusal::new(
            with_hashes(json!(["LPJNul+wow4m6Dsqxbni\nnhsWHlwfp0JecwQzYpOLmCQ="])),
            bad_base64,
        ),
        // base64url, and base64 without its padding
        Refusal::new(
            with_hashes(json!(["LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="])),
            bad_base64,
        ),
        Refusal::new(
            with_hashes(json!(["LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ"])),
            bad_base64,
        ),
        Refusal::new(with_hashes(json!(["AAAA"])), bad_length),
        // No document has the digest zero.
        Refusal::new(
            with_hashes(digests(&[[0; 32]])),
            format!("Invalid parameter {hashes}"),
        ),
        Refusal::new(with_hashes(json!([])), "Empty hash array"),
        // More than a request may carry at all.
        Refusal::new(
            with_hashes(digests(&vec![digest("contract"); 1001])),
            format!("Invalid parameter {hashes}"),
        ),
        Refusal::new(
            json!({"description": "x".repeat(501)}),
            "Invalid parameter description",
        ),
        Refusal::new(json!({"description": 5}), "Invalid parameter description"),
        Refusal::new(json!({"clientData": 5}), "Invalid parameter clientData"),
    ]
}

#[tokio::test]
async fn a_malformed_request_is_refused_by_its_parameter_and_burns_neither_code_nor_try() {
    let bed = shared().await;
    let stranger = bed.signer().await;
    for version in [V1, V2] {
        let signer = bed.signer().await;
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        let mut rows = common_rows(version, &stranger.credential.id);
        match version {
            V1 => rows.extend([
                Refusal::new(
                    json!({"PIN": null}),
                    "Missing (or invalid type) string parameter PIN",
                ),
                Refusal::new(
                    json!({"PIN": 12_345_678}),
                    "Missing (or invalid type) string parameter PIN",
                ),
                Refusal::new(
                    json!({"OTP": null}),
                    "Missing (or invalid type) string parameter OTP",
                ),
                Refusal::new(
                    json!({"OTP": 123_456}),
                    "Missing (or invalid type) string parameter OTP",
                ),
            ]),
            V2 => {
                let missing = "Missing (or invalid type) string parameter hashAlgorithmOID";
                let invalid = "Invalid parameter hashAlgorithmOID";
                rows.extend([
                    Refusal::new(json!({"hashAlgorithmOID": null}), missing),
                    Refusal::new(json!({"hashAlgorithmOID": 5}), missing),
                    Refusal::new(json!({"hashAlgorithmOID": "1.2.3"}), invalid),
                    // SHA-1
                    Refusal::new(json!({"hashAlgorithmOID": "1.3.14.3.2.26"}), invalid),
                    // SHA-384, for a digest of SHA-256
                    Refusal::new(
                        json!({"hashAlgorithmOID": "2.16.840.1.101.3.4.2.2"}),
                        "Invalid digest value length",
                    ),
                ]);
            }
        }
        assert_refusals(&bed.api(), version, METHOD, &signer.token, &good, rows).await;

        if version == V2 {
            for data in [json!("12345678"), json!([5]), json!([{"value": "x"}])] {
                let mut body = good.clone();
                body["authData"] = data;
                let answer = authorize(&signer, version, &body).await;
                assert_eq!(answer.status, 400, "{answer:?}");
            }
        }

        let mut body = good;
        body["description"] = json!("x".repeat(500));
        authorize(&signer, version, &body).await.ok();
    }
}

#[tokio::test]
async fn v2_takes_exactly_the_factors_that_are_asked_for() {
    let signer = shared().await.signer().await;
    let good = signer.authorization(V2, &[digest("contract")], 1, &signer.code().await);
    let (pin, code) = (&good["authData"][0], &good["authData"][1]);
    let unknown = json!({"id": "FINGER", "value": "1"});
    for data in [
        json!([]),
        json!([pin]),
        json!([code]),
        json!([pin, code, unknown]),
        json!([pin, pin, code]),
    ] {
        let mut body = good.clone();
        body["authData"] = data;
        let answer = authorize(&signer, V2, &body).await;
        answer.failed(
            400,
            "invalid_authentication_data",
            "The authentication data is invalid",
        );
    }
}

#[tokio::test]
async fn a_wrong_pin_spends_the_code() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        let wrong = with_pin(version, &good, &another(&signer.credential.pin));
        wrong_pin(version, authorize(&signer, version, &wrong).await);
        wrong_code(version, authorize(&signer, version, &good).await);
    }
}

#[tokio::test]
async fn a_code_is_good_for_one_authorization() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        authorize(&signer, version, &good).await.ok();
        wrong_code(version, authorize(&signer, version, &good).await);
    }
}

#[tokio::test]
async fn a_code_is_good_for_the_credential_it_was_sent_for() {
    for version in [V1, V2] {
        let mut signer = shared().await.signer().await;
        let code = signer.code().await;
        signer.credential = signer.another_credential();
        let body = signer.authorization(version, &[digest("contract")], 1, &code);
        wrong_code(version, authorize(&signer, version, &body).await);
    }
}

#[tokio::test]
async fn nobody_s_code_serves_another_holder() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    signer.code().await;
    let body = signer.authorization(V1, &[digest("contract")], 1, &other.code().await);
    wrong_code(V1, authorize(&signer, V1, &body).await);
}

#[tokio::test]
async fn what_can_be_neither_pin_nor_code_is_wrong_but_no_try() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        // Four of each: three times are more than lock.
        for _ in 0..3 {
            for pin in ["", "1234567", "123456789", "1234567x"] {
                let body = with_pin(version, &good, pin);
                wrong_pin(version, authorize(&signer, version, &body).await);
            }
            for code in ["", "12345", "1234567", "12345 78"] {
                let body = with_code(version, &good, code);
                wrong_code(version, authorize(&signer, version, &body).await);
            }
        }
        authorize(&signer, version, &good).await.ok();
    }
}

#[tokio::test]
async fn wrong_pins_lock_the_credential_even_for_the_right_pin() {
    for version in [V1, V2] {
        let signer = shared().await.signer().await;
        let pin = another(&signer.credential.pin);
        for _ in 0..WRONG_PINS {
            let good =
                signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
            wrong_pin(
                version,
                authorize(&signer, version, &with_pin(version, &good, &pin)).await,
            );
        }
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        let locked = if version == V1 {
            "PIN locked"
        } else {
            "Credential locked"
        };
        authorize(&signer, version, &good).await.refused(locked);
    }
}

#[tokio::test]
async fn wrong_codes_lock_the_device_even_for_the_right_code() {
    for version in [V1, V2] {
        let signer = shared().await.signer().await;
        let good = signer.authorization(version, &[digest("contract")], 1, &signer.code().await);
        let code = if version == V1 {
            &good["OTP"]
        } else {
            &good["authData"][1]["value"]
        };
        let wrong = with_code(version, &good, &another(code.as_str().unwrap()));
        for _ in 0..WRONG_CODES {
            wrong_code(version, authorize(&signer, version, &wrong).await);
        }
        let locked = if version == V1 {
            "OTP locked"
        } else {
            "Credential locked"
        };
        authorize(&signer, version, &good).await.refused(locked);
        let send = json!({"credentialID": signer.credential.id});
        signer
            .call(V1, "credentials/sendOTP", send)
            .await
            .refused("OTP locked");
    }
}
