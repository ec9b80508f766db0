//! What holds for every method (CSC API v1 chapters 8 and 10, v2 chapter 11): headers, tokens, JSON, HTTP, TLS.

use std::process::Command;

use conformance_tests::{Answer, COMMON, TestBed, V1, V2, Version, shared};
use reqwest::Method;
use serde_json::json;

const PROTECTED_V1: [&str; 7] = [
    "auth/revoke",
    "credentials/list",
    "credentials/info",
    "credentials/authorize",
    "credentials/extendTransaction",
    "credentials/sendOTP",
    "signatures/signHash",
];
const PROTECTED_V2: [&str; 7] = [
    "auth/revoke",
    "credentials/list",
    "credentials/info",
    "credentials/authorize",
    "credentials/extendTransaction",
    "credentials/getChallenge",
    "signatures/signHash",
];

fn protected() -> impl Iterator<Item = (Version, &'static str)> {
    PROTECTED_V1
        .into_iter()
        .map(|method| (V1, method))
        .chain(PROTECTED_V2.into_iter().map(|method| (V2, method)))
}

/// The standard's own words, misprint and capitals included.
fn header_error(version: Version, method: &str) -> String {
    match (version, method) {
        (V1, "credentials/sendOTP") => "Malformed authroization header.".to_owned(),
        (V1, "auth/revoke" | "credentials/extendTransaction") => {
            COMMON.replace("a required", "a REQUIRED")
        }
        _ => version.header_error().to_owned(),
    }
}

async fn with_header(bed: &TestBed, version: Version, method: &str, header: &str) -> Answer {
    let api = bed.api();
    api.send(
        api.post(&version.path(method))
            .header("Authorization", header)
            .json(&json!({})),
    )
    .await
}

/// A list request with this body and type.
async fn raw(
    bed: &TestBed,
    version: Version,
    token: &str,
    media_type: &str,
    body: impl Into<Vec<u8>>,
) -> Answer {
    let api = bed.api();
    let request = api
        .post(&version.path("credentials/list"))
        .bearer_auth(token)
        .header("Content-Type", media_type);
    api.send(request.body(body.into())).await
}

#[tokio::test]
async fn a_protected_method_wants_a_bearer_token() {
    let bed = shared().await;
    for (version, method) in protected() {
        let text = header_error(version, method);
        bed.api()
            .call_openly(version, method, json!({}))
            .await
            .refused(&text);
        for header in [
            "Basic YTpi",
            "Bearer",
            "Bearer ",
            "bearerabc",
            "Bearer two words",
            "",
        ] {
            with_header(bed, version, method, header)
                .await
                .refused(&text);
        }
    }
}

#[tokio::test]
async fn an_unknown_token_opens_no_method() {
    let bed = shared().await;
    for (version, method) in protected() {
        let answer = with_header(bed, version, method, "Bearer bm90IGEgdG9rZW4").await;
        answer.unauthorised("invalid_token");
    }
}

#[tokio::test]
async fn the_scheme_s_name_may_be_written_in_any_case() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    for scheme in ["bearer", "BEARER", "Bearer"] {
        with_header(bed, V1, "credentials/list", &format!("{scheme} {token}"))
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_token_with_one_letter_changed_is_unknown() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    let last = if token.ends_with('A') { 'B' } else { 'A' };
    let changed = format!("{}{last}", &token[..token.len() - 1]);
    bed.api()
        .call(V1, "credentials/list", &changed, json!({}))
        .await
        .unauthorised("invalid_token");
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_malformed() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    let deep = "[".repeat(100_000);
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let nine = format!("{{\"a\":{}{}}}", "[".repeat(8), "]".repeat(8));
    let many = format!("{{\"a\":[{}]}}", vec!["0"; 10_000].join(","));
    let bodies: [&[u8]; 12] = [
        b"{",
        b"[]",
        b"\"text\"",
        b"5",
        b"null",
        b"{\"clientData\":\"\xff\"}",
        b"{} {}",
        b"{\"clientData\":\"a\",\"clientData\":\"b\"}",
        deep.as_bytes(),
        nested.as_bytes(),
        nine.as_bytes(),
        many.as_bytes(),
    ];
    for version in [V1, V2] {
        for body in bodies {
            let answer = raw(bed, version, &token, "application/json", body).await;
            let shown = String::from_utf8_lossy(body)
                .chars()
                .take(40)
                .collect::<String>();
            assert_eq!(answer.status, 400, "{shown}: {answer:?}");
            answer.refused(COMMON);
        }
    }
}

#[tokio::test]
async fn only_json_is_taken_whatever_its_parameters() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    for version in [V1, V2] {
        for media_type in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
        ] {
            raw(bed, version, &token, media_type, "{}").await.ok();
        }
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
        ] {
            raw(bed, version, &token, media_type, "{}")
                .await
                .refused_as("invalid_request");
        }
    }
}

#[tokio::test]
async fn a_body_beyond_all_measure_is_refused() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    let body = format!("{{\"clientData\":\"{}\"}}", "x".repeat(10 << 20));
    for (version, method) in protected() {
        let api = bed.api();
        let request = api.post(&version.path(method)).bearer_auth(&token);
        let request = request.header("Content-Type", "application/json");
        let answer = api.send(request.body(body.clone())).await;
        answer.failed(413, "invalid_request", "The request is too large");
    }
    let api = bed.api();
    let answer = api.call(V1, "credentials/list", &token, json!({}));
    answer.await.ok();
}

#[tokio::test]
async fn parameters_nobody_knows_are_ignored() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    for version in [V1, V2] {
        let body =
            json!({"tenant": "x", "": null, "nested": {"a": [1, {"b": null}]}, "clientData": null});
        bed.api()
            .call(version, "credentials/list", &token, body)
            .await
            .ok();
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found_and_a_get_is_not_allowed() {
    let bed = shared().await;
    let api = bed.api();
    for path in [
        "/",
        "/csc/v1/credentials/unknown",
        "/csc/v3/info",
        "/csc/v1",
        "/csc/v2/../../etc/passwd",
    ] {
        let answer = api.send(api.post(path).json(&json!({}))).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    for (version, method) in protected() {
        let answer = api
            .send(api.request(Method::GET, &version.path(method)))
            .await;
        assert_eq!(answer.status, 405, "{method}: {answer:?}");
    }
    for path in ["/oauth2/token", "/oauth2/revoke"] {
        let answer = api.send(api.request(Method::GET, path)).await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn health_and_metrics_are_for_the_operator_s_listener_only() {
    let bed = shared().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(bed.admin().status(path).await, Some(200), "{path}");
        assert_eq!(bed.api().status(path).await, Some(404), "{path}");
    }
    assert_eq!(bed.admin().status("/csc/v1/info").await, Some(404));
}

#[tokio::test]
async fn tls_is_1_2_or_1_3() {
    let bed = shared().await;
    for (version, accepted) in [
        ("-tls1_3", true),
        ("-tls1_2", true),
        ("-tls1_1", false),
        ("-tls1", false),
    ] {
        let mut openssl = Command::new("openssl");
        // Security level 0 lets OpenSSL itself offer the old versions.
        openssl.args([
            "s_client",
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
            "-connect",
            bed.api().authority(),
        ]);
        let output = openssl.stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(
            output.status.success(),
            accepted,
            "{version}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn plain_http_is_not_answered() {
    let bed = shared().await;
    let url = format!("http://{}/csc/v1/info", bed.api().authority());
    if let Ok(response) = reqwest::Client::new().post(url).body("{}").send().await {
        assert!(!response.status().is_success(), "{response:?}");
    }
}
