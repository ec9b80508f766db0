//! What dies of old age: tokens, SADs and codes, with lifetimes of a moment.
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{Signer, TestBed, V1, V2, digest, until};
use serde_json::{Value, json};

/// Lists until the token no longer works; gives that answer.
async fn expired(bed: &TestBed, token: &str) -> conformance_tests::Answer {
    until("the access token to expire", async || {
        let answer = bed
            .api()
            .call(V1, "credentials/list", token, json!({}))
            .await;
        (answer.status == 401).then_some(answer)
    })
    .await
}

/// What a log-in gives that is to be remembered.
async fn remembered(bed: &TestBed) -> Value {
    let (holder, body) = (bed.holder(), json!({"rememberMe": true}));
    let api = bed.api();
    let answer = api.login(V1, &holder.name, &holder.password, body).await;
    answer.ok()
}

/// A service whose access and refresh tokens live for a second.
async fn short_lived() -> TestBed {
    TestBed::builder()
        .set("lifetime.access_token", "\"1s\"")
        .set("lifetime.refresh_token", "\"1s\"")
        .start()
        .await
}

/// Asks for a signature that was never approved until the SAD is too old even to say so.
async fn outlived(signer: &Signer<'_>, sad: &str) {
    until("the SAD to expire", async || {
        let answer = signer.sign(V1, sad, &[digest("never approved")]).await;
        (answer.body["error_description"] == "SAD expired").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_expired_access_token_opens_nothing_and_a_refresh_token_gives_a_new_one() {
    let bed = TestBed::builder()
        .set("lifetime.access_token", "\"1s\"")
        .start()
        .await;
    let answer = remembered(&bed).await;
    assert_eq!(answer["expires_in"], 1);
    let token = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    expired(&bed, &token("access_token"))
        .await
        .unauthorised("expired_token");
    let body = json!({"refresh_token": token("refresh_token")});
    let token = bed
        .api()
        .call_openly(V1, "auth/login", body)
        .await
        .text_of("access_token");
    bed.api()
        .call(V1, "credentials/list", &token, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn an_expired_refresh_token_gives_nothing() {
    let bed = short_lived().await;
    let answer = remembered(&bed).await;
    // Both were made at the same moment and live as long.
    expired(&bed, answer["access_token"].as_str().unwrap_or_default())
        .await
        .unauthorised("expired_token");
    let body = json!({"refresh_token": answer["refresh_token"]});
    bed.api()
        .call_openly(V1, "auth/login", body)
        .await
        .refused("Invalid refresh_token");
}

#[tokio::test]
async fn an_expired_sad_signs_nothing_and_cannot_be_extended() {
    let bed = TestBed::builder()
        .set("lifetime.sad", "\"1s\"")
        .start()
        .await;
    let signer = bed.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let answer = signer.authorize(version, &hash, 1).await.ok();
        assert_eq!(answer["expiresIn"], 1);
        let sad = answer["SAD"].as_str().unwrap_or_default();
        outlived(&signer, sad).await;
        signer
            .sign(version, sad, &hash)
            .await
            .refused("SAD expired");
        signer
            .extend(version, sad, &hash)
            .await
            .refused("SAD expired");
    }
}

#[tokio::test]
async fn a_chain_of_extensions_ends_with_the_authorization() {
    let settings = TestBed::builder()
        .set("lifetime.sad", "\"1s\"")
        .set("lifetime.authorization", "\"1s\"");
    let bed = settings.start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let mut sad = signer.authorize(V1, &hash, 1).await.text_of("SAD");
    let refused = until("the authorization to end", async || {
        let answer = signer.extend(V1, &sad, &hash).await;
        if answer.status == 200 {
            sad = answer.text_of("SAD");
            return None;
        }
        Some(answer)
    });
    refused.await.refused("SAD expired");
}

#[tokio::test]
async fn an_expired_refresh_token_of_a_client_gives_nothing() {
    let bed = short_lived().await;
    let client = bed.client();
    let (id, secret) = (
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    );
    let fields = [("grant_type", "client_credentials"), id, secret];
    let answer = bed.api().form("/oauth2/token", &fields).await.ok();
    let token = |name: &str| answer[name].as_str().unwrap_or_default();
    expired(&bed, token("access_token"))
        .await
        .unauthorised("expired_token");
    let refresh = ("refresh_token", token("refresh_token"));
    let fields = [("grant_type", "refresh_token"), refresh, id, secret];
    let answer = bed.api().form("/oauth2/token", &fields).await;
    answer.failed(400, "invalid_grant", "Refresh token expired");
}

#[tokio::test]
async fn an_expired_code_authorises_nothing() {
    let lifetimes = TestBed::builder()
        .set("lifetime.access_token", "\"3s\"")
        .set("lifetime.otp", "\"3s\"");
    let bed = lifetimes.start().await;
    let mut signer = bed.signer().await;
    let code = signer.code().await;
    // A token made after the code lives as long: when it is gone, so is the code.
    let younger = bed.log_in(&signer.holder).await;
    expired(&bed, &younger).await.unauthorised("expired_token");
    signer.token = bed.log_in(&signer.holder).await;
    let hash = [digest("contract")];
    for version in [V1, V2] {
        let body = signer.authorization(version, &hash, 1, &code);
        let answer = signer.call(version, "credentials/authorize", body).await;
        match version {
            V1 => answer.failed(400, "invalid_otp", "The OTP is invalid"),
            V2 => answer.failed(
                400,
                "invalid_authentication_data",
                "The authentication data is invalid",
            ),
        }
    }
    signer.authorize(V1, &hash, 1).await.ok();
}
