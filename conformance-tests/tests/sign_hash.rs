//! `signatures/signHash` (CSC API v1 11.9, v2 11.10): what is signed, and with what algorithm.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Digest, KeySpec, Refusal, Scheme, Signer, V1, V2, Version, assert_refusals, assert_signs,
    digest, digests, shared,
};
use serde_json::{Value, json};

const METHOD: &str = "signatures/signHash";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
/// RSASSA-PSS-params: SHA-256, MGF1 with SHA-256, salt of 32.
const PSS_SHA256: &str = "MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg";
/// The same without the NULLs.
const PSS_SHA256_BARE: &str =
    "MDCgDTALBglghkgBZQMEAgGhGjAYBgkqhkiG9w0BAQgwCwYJYIZIAWUDBAIBogMCASA=";

async fn certificate(signer: &Signer<'_>) -> Vec<u8> {
    let body = json!({"credentialID": signer.credential.id});
    let info = signer.call(V1, "credentials/info", body).await.ok();
    STANDARD
        .decode(info["cert"]["certificates"][0].as_str().unwrap())
        .unwrap()
}

fn signatures(answer: &Value) -> Vec<Vec<u8>> {
    let list = answer["signatures"].as_array().unwrap();
    list.iter()
        .map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap())
        .collect()
}

/// Authorises one document, signs it with these algorithm parameters, and has the signature judged.
async fn signs(signer: &Signer<'_>, version: Version, algorithm: Value, scheme: Scheme) {
    let hash = [digest("contract")];
    let sad = signer.sad(version, &hash).await;
    let mut body = signer.order(version, &sad, &hash);
    for (name, value) in algorithm.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = signer.call(version, METHOD, body).await.ok();
    assert_signs(
        &certificate(signer).await,
        &hash[0],
        &signatures(&answer)[0],
        scheme,
    );
}

#[tokio::test]
async fn every_hash_gets_its_signature_in_the_order_they_came() {
    let signer = shared().await.signer().await;
    let certificate = certificate(&signer).await;
    let documents: Vec<Digest> = (1..=5)
        .map(|number| digest(&format!("document {number}")))
        .collect();
    for version in [V1, V2] {
        let sad = signer.sad(version, &documents).await;
        let turned: Vec<Digest> = documents.iter().rev().copied().collect();
        let answer = signer.sign(version, &sad, &turned).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        let signatures = signatures(&answer.ok());
        assert_eq!(signatures.len(), turned.len());
        for (hash, signature) in turned.iter().zip(&signatures) {
            assert_signs(&certificate, hash, signature, Scheme::Ecdsa);
        }
    }
}

#[tokio::test]
async fn every_curve_signs_in_der() {
    let bed = shared().await;
    let curves = [
        ("p384", "1.2.840.10045.4.3.3", "2.16.840.1.101.3.4.2.2", 48),
        ("p521", "1.2.840.10045.4.3.4", "2.16.840.1.101.3.4.2.3", 64),
    ];
    for (key, algorithm, hash_algorithm, length) in curves {
        let signer = bed.signer_with(&KeySpec { key, multisign: 1 }).await;
        let certificate = certificate(&signer).await;
        for version in [V1, V2] {
            let hash: Vec<u8> = digest("contract")
                .into_iter()
                .cycle()
                .take(length)
                .collect();
            let hashes = json!([STANDARD.encode(&hash)]);
            let mut body = signer.authorization(version, &[], 1, &signer.code().await);
            body[version.hashes()] = hashes.clone();
            if version == V2 {
                body["hashAlgorithmOID"] = json!(hash_algorithm);
            }
            let sad = signer
                .call(version, "credentials/authorize", body)
                .await
                .text_of("SAD");
            let mut order =
                json!({"credentialID": signer.credential.id, "SAD": sad, "signAlgo": algorithm});
            order[version.hashes()] = hashes;
            let answer = signer.call(version, METHOD, order).await.ok();
            assert_signs(&certificate, &hash, &signatures(&answer)[0], Scheme::Ecdsa);
        }
    }
}

#[tokio::test]
async fn rsa_signs_with_every_way_to_name_the_algorithm() {
    let signer = shared()
        .await
        .signer_with(&KeySpec {
            key: "rsa-3072",
            multisign: 5,
        })
        .await;
    for version in [V1, V2] {
        let hash = version.hash_algorithm();
        signs(
            &signer,
            version,
            json!({"signAlgo": RSA_SHA256}),
            Scheme::Pkcs1,
        )
        .await;
        signs(
            &signer,
            version,
            json!({"signAlgo": RSA_SHA256, hash: SHA256}),
            Scheme::Pkcs1,
        )
        .await;
        signs(
            &signer,
            version,
            json!({"signAlgo": RSA, hash: SHA256}),
            Scheme::Pkcs1,
        )
        .await;
        for parameters in [PSS_SHA256, PSS_SHA256_BARE] {
            let algorithm = json!({"signAlgo": RSA_PSS, "signAlgoParams": parameters});
            signs(&signer, version, algorithm, Scheme::Pss(32)).await;
        }
        let algorithm = json!({"signAlgo": RSA_PSS, "signAlgoParams": PSS_SHA256, hash: SHA256});
        signs(&signer, version, algorithm, Scheme::Pss(32)).await;
    }
}

#[tokio::test]
async fn the_salt_of_pss_is_as_long_as_was_asked_for() {
    let signer = shared()
        .await
        .signer_with(&KeySpec {
            key: "rsa-3072",
            multisign: 1,
        })
        .await;
    // The longest that fits 3072 bits and SHA-256, which some clients ask for: 384 - 32 - 2 bytes.
    let mut longest = STANDARD.decode(PSS_SHA256).unwrap();
    longest.truncate(longest.len() - 5);
    longest.extend([0xA2, 0x04, 0x02, 0x02, 0x01, 0x5E]);
    longest[1] += 1;
    let mut none = STANDARD.decode(PSS_SHA256).unwrap();
    *none.last_mut().unwrap() = 0;
    for (parameters, salt) in [(longest, 350), (none, 0)] {
        let algorithm = json!({"signAlgo": RSA_PSS, "signAlgoParams": STANDARD.encode(parameters)});
        signs(&signer, V1, algorithm, Scheme::Pss(salt)).await;
    }
}

#[tokio::test]
async fn rsa_refuses_an_algorithm_that_is_unclear_or_weak_and_spends_nothing() {
    let bed = shared().await;
    let signer = bed
        .signer_with(&KeySpec {
            key: "rsa-3072",
            multisign: 1,
        })
        .await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let mut good = signer.order(version, &sad, &hash);
        good["signAlgo"] = json!(RSA);
        let name = version.hash_algorithm();
        good[name] = json!(SHA256);
        let missing_hash = format!("Missing (or invalid type) string parameter {name}");
        let invalid_hash = format!("Invalid parameter {name}");
        let missing_parameters = "Missing (or invalid type) string parameter signAlgoParams";
        let rows = [
            Refusal::new(json!({name: null}), missing_hash.clone()),
            Refusal::new(json!({name: 5}), missing_hash),
            Refusal::new(json!({name: "1.2.3"}), invalid_hash.clone()),
            // SHA-1
            Refusal::new(json!({name: "1.3.14.3.2.26"}), invalid_hash.clone()),
            // SHA-384, against what the algorithm says
            Refusal::new(
                json!({"signAlgo": RSA_SHA256, name: "2.16.840.1.101.3.4.2.2"}),
                invalid_hash,
            ),
            // RSA with SHA-1
            Refusal::new(
                json!({"signAlgo": "1.2.840.113549.1.1.5"}),
                "Invalid parameter signAlgo",
            ),
            Refusal::new(json!({"signAlgo": RSA_PSS}), missing_parameters),
            Refusal::new(
                json!({"signAlgo": RSA_PSS, "signAlgoParams": {}}),
                missing_parameters,
            ),
            // RSA with SHA-384: the digest is too short
            Refusal::new(
                json!({"signAlgo": "1.2.840.113549.1.1.12", name: null}),
                "Invalid digest value length",
            ),
        ];
        assert_refusals(&bed.api(), version, METHOD, &signer.token, &good, rows).await;

        // Garbage, defaults of RFC 8017 (SHA-1), and MGF1 with SHA-1.
        let with_sha1 = "MCEwCwYJYIZIAWUDBAIBoRgwFgYJKoZIhvcNAQEIMAkGBSsOAwIaBQA=";
        for parameters in ["AAAA", "no base64!", "MAA=", with_sha1] {
            let mut body = good.clone();
            body["signAlgo"] = json!(RSA_PSS);
            body["signAlgoParams"] = json!(parameters);
            signer
                .call(version, METHOD, body)
                .await
                .refused_as("invalid_request");
        }
        signer.call(version, METHOD, good).await.ok();
    }
}

#[tokio::test]
async fn a_malformed_order_is_refused_by_its_parameter_and_spends_nothing() {
    let bed = shared().await;
    let (signer, stranger) = (bed.signer().await, bed.signer().await);
    let stranger_sad = stranger.sad(V1, &[digest("theirs")]).await;
    let other = signer.another_credential();
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let name = version.hashes();
        let missing_sad = "Missing (or invalid type) string parameter SAD";
        let missing_credential = "Missing (or invalid type) string parameter credentialID";
        let missing_hashes = "Missing (or invalid type) array parameter hash";
        let missing_algorithm = "Missing (or invalid type) string parameter signAlgo";
        let bad_base64 = "Invalid Base64 hash string parameter";
        let not_authorised = match version {
            V1 => "Hash is not authorized by the SAD.",
            V2 => "Hash is not authorized by the SAD",
        };
        let mut rows = vec![
            Refusal::new(json!({"SAD": null}), missing_sad),
            Refusal::new(json!({"SAD": 5}), missing_sad),
            Refusal::new(json!({"SAD": "unknown"}), "Invalid parameter SAD"),
            Refusal::new(json!({"SAD": ""}), "Invalid parameter SAD"),
            Refusal::new(json!({"SAD": stranger_sad}), "Invalid parameter SAD"),
            Refusal::new(json!({"credentialID": null}), missing_credential),
            Refusal::new(json!({"credentialID": 5}), missing_credential),
            Refusal::new(
                json!({"credentialID": "unknown"}),
                "Invalid parameter credentialID",
            ),
            Refusal::new(
                json!({"credentialID": stranger.credential.id}),
                "Invalid parameter credentialID",
            ),
            Refusal::new(json!({"credentialID": other.id}), "Invalid parameter SAD"),
            Refusal::new(json!({name: null}), missing_hashes),
            Refusal::new(json!({name: "x"}), missing_hashes),
            Refusal::new(json!({name: {}}), missing_hashes),
            Refusal::new(json!({name: []}), "Empty hash array"),
            Refusal::new(json!({name: ["no base64!"]}), bad_base64),
            Refusal::new(
                json!({name: ["LPJNul+wow4m6Dsqxbni\nnhsWHlwfp0JecwQzYpOLmCQ="]}),
                bad_base64,
            ),
            Refusal::new(json!({name: ["AAAA"]}), "Invalid digest value length"),
            Refusal::new(json!({name: digests(&[digest("another")])}), not_authorised),
            Refusal::new(
                json!({name: digests(&[hash[0], digest("another")])}),
                not_authorised,
            ),
            Refusal::new(json!({"signAlgo": null}), missing_algorithm),
            Refusal::new(json!({"signAlgo": 5}), missing_algorithm),
            Refusal::new(json!({"signAlgo": "1.2.3"}), "Invalid parameter signAlgo"),
            Refusal::new(
                json!({"signAlgo": RSA_SHA256}),
                "Invalid parameter signAlgo",
            ),
            // ECDSA with SHA-384: not of this key, whatever the length of the digest
            Refusal::new(
                json!({"signAlgo": "1.2.840.10045.4.3.3", name: [STANDARD.encode([7; 48])]}),
                "Invalid parameter signAlgo",
            ),
            // SHA-384 for a digest of SHA-256, and the other way round
            Refusal::new(
                json!({"signAlgo": "1.2.840.10045.4.3.3"}),
                "Invalid digest value length",
            ),
            Refusal::new(
                json!({name: [STANDARD.encode([7; 48])]}),
                "Invalid digest value length",
            ),
            // More than a request may carry at all.
            Refusal::new(
                json!({name: digests(&vec![hash[0]; 1001])}),
                format!("Invalid parameter {name}"),
            ),
            Refusal::new(json!({"clientData": 5}), "Invalid parameter clientData"),
            Refusal::new(
                json!({"clientData": "x".repeat(4097)}),
                "Invalid parameter clientData",
            ),
        ];
        if version == V2 {
            rows.extend([
                Refusal::new(
                    json!({"operationMode": "X"}),
                    "Invalid parameter operationMode",
                ),
                Refusal::new(
                    json!({"operationMode": 5}),
                    "Invalid parameter operationMode",
                ),
            ]);
        }
        let good = signer.order(version, &sad, &hash);
        assert_refusals(&bed.api(), version, METHOD, &signer.token, &good, rows).await;
        signer.call(version, METHOD, good).await.ok();
    }
    stranger
        .sign(V1, &stranger_sad, &[digest("theirs")])
        .await
        .ok();
}

#[tokio::test]
async fn parameters_that_say_nothing_new_are_accepted() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let mut body = signer.order(version, &sad, &hash);
        body[version.hash_algorithm()] = json!(SHA256);
        body["clientData"] = json!("invoice 17");
        body["signAlgoParams"] = json!(null);
        body["unknown"] = json!({"a": [1]});
        if version == V2 {
            body["operationMode"] = json!("S");
            // They belong to asynchronous operation.
            body["validity_period"] = json!(60_000);
            body["response_uri"] = json!("https://app.example/done");
        }
        signer.call(version, METHOD, body).await.ok();
    }
}
