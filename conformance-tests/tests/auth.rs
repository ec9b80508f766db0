//! `auth/login` and `auth/revoke` (CSC API v1 11.2 and 11.3, v2 the same).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{Answer, Refusal, TestBed, V1, V2, Version, assert_refusals, shared};
use serde_json::{Value, json};

/// Access and refresh token of one log-in.
async fn remembered(bed: &TestBed, version: Version) -> (String, String) {
    let holder = bed.holder();
    let answer = bed
        .api()
        .login(
            version,
            &holder.name,
            &holder.password,
            json!({"rememberMe": true}),
        )
        .await
        .ok();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn refresh(bed: &TestBed, version: Version, token: &str) -> Answer {
    bed.api()
        .call_openly(version, "auth/login", json!({"refresh_token": token}))
        .await
}

async fn list(bed: &TestBed, version: Version, token: &str) -> Answer {
    bed.api()
        .call(version, "credentials/list", token, json!({}))
        .await
}

async fn revoke(bed: &TestBed, version: Version, bearer: &str, body: Value) -> Answer {
    bed.api().call(version, "auth/revoke", bearer, body).await
}

async fn login_with(bed: &TestBed, version: Version, header: &str) -> Answer {
    let api = bed.api();
    api.send(
        api.post(&version.path("auth/login"))
            .header("Authorization", header)
            .json(&json!({})),
    )
    .await
}

/// The full stop at the end of v1's texts.
fn text(version: Version, text: &str) -> String {
    if version == V1 {
        format!("{text}.")
    } else {
        text.to_owned()
    }
}

#[tokio::test]
async fn name_and_password_give_a_token_that_opens_the_api() {
    let bed = shared().await;
    let holder = bed.holder();
    for version in [V1, V2] {
        let answer = bed
            .api()
            .login(version, &holder.name, &holder.password, json!({}))
            .await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        let body = answer.ok();
        assert_eq!(body["expires_in"], 3600);
        assert!(
            body.get("refresh_token").is_none(),
            "nobody asked to be remembered: {body}"
        );
        list(bed, version, body["access_token"].as_str().unwrap())
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_holder_who_is_remembered_gets_a_new_token_without_a_password() {
    let bed = shared().await;
    for version in [V1, V2] {
        let (first, refresh_token) = remembered(bed, version).await;
        let second = refresh(bed, version, &refresh_token)
            .await
            .text_of("access_token");
        assert_ne!(first, second);
        list(bed, version, &second).await.ok();
    }
}

#[tokio::test]
async fn a_null_parameter_counts_as_absent_and_an_unknown_one_is_ignored() {
    let bed = shared().await;
    let holder = bed.holder();
    for version in [V1, V2] {
        let body =
            json!({"rememberMe": null, "refresh_token": null, "clientData": null, "tenant": "x"});
        let answer = bed
            .api()
            .login(version, &holder.name, &holder.password, body)
            .await
            .ok();
        assert!(answer.get("refresh_token").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_header_that_is_not_basic_is_answered_401() {
    let bed = shared().await;
    for version in [V1, V2] {
        let without = bed
            .api()
            .call_openly(version, "auth/login", json!({}))
            .await;
        let bearer = login_with(bed, version, "Bearer abc").await;
        let garbled = login_with(bed, version, "Basic %%%").await;
        for answer in [without, bearer, garbled] {
            assert!(
                answer.headers["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Basic "),
                "{answer:?}"
            );
            answer.failed(
                401,
                "invalid_request",
                &text(version, "Malformed authentication parameter"),
            );
        }
    }
}

#[tokio::test]
async fn a_header_without_a_colon_is_no_name_and_password() {
    let bed = shared().await;
    for version in [V1, V2] {
        let header = format!("Basic {}", STANDARD.encode("nocolon"));
        login_with(bed, version, &header)
            .await
            .refused(&text(version, "Malformed username-password"));
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_read_the_same() {
    let bed = shared().await;
    let holder = bed.holder();
    for version in [V1, V2] {
        let wrong = bed
            .api()
            .login(version, &holder.name, "not the password", json!({}))
            .await;
        let unknown = bed
            .api()
            .login(version, "nobody", &holder.password, json!({}))
            .await;
        for answer in [wrong, unknown] {
            answer.failed(
                400,
                "authentication_error",
                "An error occurred during authentication process",
            );
        }
    }
}

#[tokio::test]
async fn a_refresh_token_must_be_a_known_string() {
    let bed = shared().await;
    let (access, _) = remembered(bed, V1).await;
    for version in [V1, V2] {
        let number = bed
            .api()
            .call_openly(version, "auth/login", json!({"refresh_token": 5}))
            .await;
        number.refused("Invalid string parameter: refresh_token");
        refresh(bed, version, "unknown")
            .await
            .refused("Invalid refresh_token");
        refresh(bed, version, &access)
            .await
            .refused("Invalid refresh_token");
    }
}

#[tokio::test]
async fn a_password_and_a_refresh_token_together_are_refused() {
    let bed = shared().await;
    let holder = bed.holder();
    let (_, token) = remembered(bed, V1).await;
    for version in [V1, V2] {
        let body = json!({"refresh_token": token});
        bed.api()
            .login(version, &holder.name, &holder.password, body)
            .await
            .refused_as("invalid_request");
    }
}

#[tokio::test]
async fn remember_me_is_a_boolean() {
    let bed = shared().await;
    let holder = bed.holder();
    for version in [V1, V2] {
        let body = json!({"rememberMe": "true"});
        bed.api()
            .login(version, &holder.name, &holder.password, body)
            .await
            .refused_as("invalid_request");
    }
}

/// Revokes the access token or the refresh token, under each hint; either way the access token is dead. Gives the answer to the refresh token.
async fn revoked(bed: &TestBed, version: Version, hint: Option<&str>, access_only: bool) -> Answer {
    let (access, refresh_token) = remembered(bed, version).await;
    let token = if access_only { &access } else { &refresh_token };
    let mut body = json!({"token": token});
    if let Some(hint) = hint {
        body["token_type_hint"] = json!(hint);
    }
    revoke(bed, version, &access, body).await.done();
    list(bed, version, &access)
        .await
        .unauthorised("expired_token");
    refresh(bed, version, &refresh_token).await
}

const HINTS: [Option<&str>; 3] = [None, Some("access_token"), Some("refresh_token")];

#[tokio::test]
async fn a_revoked_access_token_is_dead_and_its_refresh_token_lives() {
    let bed = shared().await;
    for version in [V1, V2] {
        for hint in HINTS {
            revoked(bed, version, hint, true).await.ok();
        }
    }
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_its_access_tokens_with_it() {
    let bed = shared().await;
    for version in [V1, V2] {
        for hint in HINTS {
            let refused = revoked(bed, version, hint, false).await;
            refused.refused("Invalid refresh_token");
        }
    }
}

#[tokio::test]
async fn revoke_refuses_what_its_table_says() {
    let bed = shared().await;
    for version in [V1, V2] {
        let (access, _) = remembered(bed, version).await;
        let rows = [
            Refusal::new(
                json!({"token": null}),
                "Missing (or invalid type) string parameter token",
            ),
            Refusal::new(
                json!({"token": 5}),
                "Missing (or invalid type) string parameter token",
            ),
            Refusal::new(
                json!({"token_type_hint": "id_token"}),
                "Invalid string parameter token_type_hint",
            ),
            Refusal::new(
                json!({"token_type_hint": 5}),
                "Invalid string parameter token_type_hint",
            ),
            Refusal::new(
                json!({"token": "unknown"}),
                "Invalid string parameter token",
            ),
        ];
        assert_refusals(
            &bed.api(),
            version,
            "auth/revoke",
            &access,
            &json!({"token": access}),
            rows,
        )
        .await;
        list(bed, version, &access).await.ok();
    }
}

#[tokio::test]
async fn nobody_revokes_another_holder_s_token() {
    let bed = shared().await;
    for version in [V1, V2] {
        let (mine, _) = remembered(bed, version).await;
        let (theirs, their_refresh_token) = remembered(bed, version).await;
        for token in [&theirs, &their_refresh_token] {
            revoke(bed, version, &mine, json!({"token": token}))
                .await
                .refused("Invalid string parameter token");
        }
        list(bed, version, &theirs).await.ok();
        refresh(bed, version, &their_refresh_token).await.ok();
    }
}
