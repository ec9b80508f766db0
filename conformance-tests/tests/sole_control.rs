//! What a SAD is good for, and what it is not (CSC API v1 11.6 to 11.9): no signature without an approval of its own.

use conformance_tests::{Answer, Signer, TestBed, V1, V2, Version, digest, shared};
use serde_json::json;

fn dead(answer: Answer) {
    answer.refused("Invalid parameter SAD");
}

fn not_authorised(version: Version, answer: Answer) {
    answer.refused(match version {
        V1 => "Hash is not authorized by the SAD.",
        V2 => "Hash is not authorized by the SAD",
    });
}

#[tokio::test]
async fn a_spent_sad_signs_nothing() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        signer.sign(version, &sad, &hash).await.ok();
        dead(signer.sign(version, &sad, &hash).await);
    }
}

#[tokio::test]
async fn a_sad_with_signatures_left_wants_an_extension_first() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        dead(signer.sign(version, &sad, &hashes[1..]).await);
        let sad = signer
            .extend(version, &sad, &hashes[1..])
            .await
            .text_of("SAD");
        signer.sign(version, &sad, &hashes[1..]).await.ok();
    }
}

#[tokio::test]
async fn a_hash_that_was_not_approved_is_not_signed() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        not_authorised(
            version,
            signer
                .sign(version, &sad, &[digest("another contract")])
                .await,
        );
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_hash_approved_once_is_not_signed_twice() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        not_authorised(
            version,
            signer.sign(version, &sad, &[hashes[0], hashes[0]]).await,
        );
        signer.sign(version, &sad, &hashes).await.ok();
    }
}

#[tokio::test]
async fn one_hash_too_many_and_nothing_is_signed() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes[..1]).await;
        signer
            .sign(version, &sad, &hashes)
            .await
            .refused_as("invalid_request");
        signer.sign(version, &sad, &hashes[..1]).await.ok();
    }
}

#[tokio::test]
async fn a_sad_of_either_version_is_the_same_sad() {
    let signer = shared().await.signer().await;
    for (one, other) in [(V1, V2), (V2, V1)] {
        let hash = [digest("contract")];
        let sad = signer.sad(one, &hash).await;
        signer.sign(other, &sad, &hash).await.ok();
        dead(signer.sign(one, &sad, &hash).await);
    }
}

#[tokio::test]
async fn a_sad_works_for_its_credential_and_its_holder_only() {
    let bed = shared().await;
    for version in [V1, V2] {
        let (mut signer, stranger) = (bed.signer().await, bed.signer().await);
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;

        dead(stranger.sign(version, &sad, &hash).await);
        let order = signer.order(version, &sad, &hash);
        let theirs = stranger.call(version, "signatures/signHash", order).await;
        theirs.refused("Invalid parameter credentialID");
        let other = signer.another_credential();
        let own = std::mem::replace(&mut signer.credential, other);
        dead(signer.sign(version, &sad, &hash).await);
        dead(signer.extend(version, &sad, &hash).await);
        signer.credential = own;
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_sad_works_for_the_client_that_got_it_only() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
    ];
    let token = bed.api().form("/oauth2/token", &fields).await;
    let token = token.text_of("access_token");
    let api = bed.api();
    let hash = [digest("contract")];
    for version in [V1, V2] {
        let client_signs = async |sad: &str| {
            let order = signer.order(version, sad, &hash);
            api.call(version, "signatures/signHash", &token, order)
                .await
        };
        let client_extends = async |sad: &str| {
            let body = signer.extension(version, sad, &hash);
            api.call(version, "credentials/extendTransaction", &token, body)
                .await
        };
        let sad = signer.sad(version, &hash).await;
        dead(client_signs(&sad).await);
        dead(client_extends(&sad).await);

        let body = signer.authorization(version, &hash, 1, &signer.code().await);
        let theirs = api
            .call(version, "credentials/authorize", &token, body)
            .await
            .text_of("SAD");
        dead(signer.sign(version, &theirs, &hash).await);
        dead(signer.extend(version, &theirs, &hash).await);
        client_signs(&theirs).await.ok();
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_sad_is_no_access_token_and_an_access_token_is_no_sad() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    bed.api()
        .call(V1, "credentials/list", &sad, json!({}))
        .await
        .unauthorised("invalid_token");
    dead(signer.sign(V1, &signer.token, &hash).await);
}

#[tokio::test]
async fn a_revoked_sad_signs_nothing() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        signer
            .call(version, "auth/revoke", json!({"token": sad}))
            .await
            .done();
        dead(signer.sign(version, &sad, &hash).await);
        dead(signer.extend(version, &sad, &hash).await);
    }
}

#[tokio::test]
async fn every_signature_stands_in_the_holder_s_history() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hashes = ["first", "second"].map(digest);
    let sad = signer.sad(V2, &hashes).await;
    signer
        .sign(V2, &sad, &[digest("never approved")])
        .await
        .refused_as("invalid_request");
    signer.sign(V2, &sad, &hashes).await.ok();
    let printed = history(bed, &signer);
    let rows: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let signed: Vec<_> = rows.iter().map(|row| row["hash"].clone()).collect();
    assert_eq!(
        serde_json::Value::from(signed),
        conformance_tests::digests(&hashes),
        "{printed}"
    );
    assert!(
        rows.iter()
            .all(|row| row["activation"] == rows[0]["activation"]),
        "{printed}"
    );
    assert!(!printed.contains(&sad), "the history tells no secret");
}

fn history(bed: &TestBed, signer: &Signer<'_>) -> String {
    bed.cli(&["history", "--credential", &signer.credential.id], &[])
        .expect("history")
}
