//! `credentials/extendTransaction` (CSC API v1 11.7, v2 11.9): one authorization spent over several signHash calls.

use conformance_tests::{Refusal, V1, V2, Version, assert_refusals, digest, shared};
use serde_json::json;

const METHOD: &str = "credentials/extendTransaction";

fn dead(answer: conformance_tests::Answer) {
    answer.refused("Invalid parameter SAD");
}

#[tokio::test]
async fn each_extension_signs_one_more_document_until_the_count_is_used_up() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second", "third"].map(digest);
        let mut sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        for left in [&hashes[1..], &hashes[2..]] {
            let answer = signer.extend(version, &sad, left).await.ok();
            assert!(
                answer["expiresIn"]
                    .as_u64()
                    .is_some_and(|seconds| seconds <= 300),
                "{answer}"
            );
            let earlier = std::mem::replace(&mut sad, answer["SAD"].as_str().unwrap().to_owned());
            assert_ne!(sad, earlier);
            dead(signer.sign(version, &earlier, &left[..1]).await);
            dead(signer.extend(version, &earlier, left).await);
            signer.sign(version, &sad, &left[..1]).await.ok();
        }
        dead(signer.extend(version, &sad, &hashes[2..]).await);
    }
    shared().await.inspect();
}

#[tokio::test]
async fn an_unused_sad_may_be_extended_before_it_ends() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let extended = signer.extend(version, &sad, &hash).await.text_of("SAD");
        dead(signer.sign(version, &sad, &hash).await);
        signer.sign(version, &extended, &hash).await.ok();
    }
    shared().await.inspect();
}

#[tokio::test]
async fn an_extension_names_only_what_was_approved_and_is_not_signed_yet() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second", "third"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        let never = digest("never approved");
        for named in [
            &[never][..],
            // Signed already.
            &hashes[..1],
            &hashes,
            // Approved once, named twice.
            &[hashes[1], hashes[1]],
            &[hashes[1], never],
        ] {
            let refused = signer.extend(version, &sad, named).await;
            refused.refused(unauthorised(version));
        }
        let sad = signer.extend(version, &sad, &hashes[1..]).await;
        let sad = sad.text_of("SAD");
        signer.sign(version, &sad, &hashes[1..]).await.ok();
    }
    shared().await.inspect();
}

#[tokio::test]
async fn an_extended_sad_signs_what_the_extension_named() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second", "third"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        let sad = signer.extend(version, &sad, &hashes[1..]).await;
        let sad = sad.text_of("SAD");
        for other in [hashes[0], digest("never approved")] {
            let refused = signer.sign(version, &sad, &[other]).await;
            refused.refused(unauthorised(version));
        }
        signer.sign(version, &sad, &hashes[1..]).await.ok();
        let left_out = signer.extend(version, &sad, &hashes[..1]).await;
        left_out.refused(unauthorised(version));
    }
    shared().await.inspect();
}

fn unauthorised(version: Version) -> &'static str {
    if version == V1 {
        "Hash is not authorized by the SAD."
    } else {
        "Hash is not authorized by the SAD"
    }
}

#[tokio::test]
async fn a_malformed_extension_is_refused_by_its_parameter_and_spends_nothing() {
    let bed = shared().await;
    let (signer, stranger) = (bed.signer().await, bed.signer().await);
    let stranger_sad = stranger.sad(V1, &[digest("theirs")]).await;
    let other = signer.another_credential();
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        let missing_credential = "Missing (or invalid type) string parameter credentialID";
        let missing_sad = "Missing (or invalid type) string parameter SAD";
        let name = version.hashes();
        let missing_hashes = format!("Missing (or invalid type) array parameter {name}");
        let mut rows = vec![
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
            Refusal::new(json!({"SAD": null}), missing_sad),
            Refusal::new(json!({"SAD": 5}), missing_sad),
            Refusal::new(json!({"SAD": "unknown"}), "Invalid parameter SAD"),
            Refusal::new(json!({"SAD": stranger_sad}), "Invalid parameter SAD"),
            Refusal::new(json!({name: null}), missing_hashes.clone()),
            Refusal::new(json!({name: "x"}), missing_hashes),
            Refusal::new(json!({name: []}), "Empty hash array"),
            Refusal::new(
                json!({name: ["no base64!"]}),
                "Invalid Base64 hash string parameter",
            ),
            Refusal::new(json!({name: ["AAAA"]}), "Invalid digest value length"),
            Refusal::new(
                json!({name: conformance_tests::digests(&vec![hashes[1]; 1001])}),
                format!("Invalid parameter {name}"),
            ),
            Refusal::new(json!({"clientData": 5}), "Invalid parameter clientData"),
        ];
        if version == V2 {
            rows.extend([
                Refusal::new(
                    json!({"hashAlgorithmOID": null}),
                    "Missing (or invalid type) string parameter hashAlgorithmOID",
                ),
                Refusal::new(
                    json!({"hashAlgorithmOID": "1.2.3"}),
                    "Invalid parameter hashAlgorithmOID",
                ),
                // SHA-384, for a digest of SHA-256
                Refusal::new(
                    json!({"hashAlgorithmOID": "2.16.840.1.101.3.4.2.2"}),
                    "Invalid digest value length",
                ),
            ]);
        }
        let good = signer.extension(version, &sad, &hashes[1..]);
        assert_refusals(&bed.api(), version, METHOD, &signer.token, &good, rows).await;
        let sad = signer
            .extend(version, &sad, &hashes[1..])
            .await
            .text_of("SAD");
        signer.sign(version, &sad, &hashes[1..]).await.ok();
    }
    stranger
        .sign(V1, &stranger_sad, &[digest("theirs")])
        .await
        .ok();
    shared().await.inspect();
}
