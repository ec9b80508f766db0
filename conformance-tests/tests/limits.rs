//! How much, how often and from where: rates, origins of scripts, sizes.

use conformance_tests::{Answer, TestBed, V1, V2, digest};
use reqwest::{Method, header::HeaderMap};
use serde_json::json;
use tokio::sync::OnceCell;

/// A service with a limit for log-ins, where minutes may end in the middle of a test: twice the limit and one more is always too often.
async fn limited() -> &'static TestBed {
    static LIMITED: OnceCell<TestBed> = OnceCell::const_new();
    let start = || {
        TestBed::builder()
            .set("rate.logins_per_holder", "4")
            .start()
    };
    LIMITED.get_or_init(start).await
}

/// The answers of one request after the other.
async fn often(times: usize, ask: impl AsyncFn() -> Answer) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..times {
        answers.push(ask().await);
    }
    answers
}

/// Some got through, and some were told when to come again.
fn assert_limited(answers: &[Answer]) {
    assert!(
        answers.iter().any(|answer| answer.status < 429),
        "{answers:?}"
    );
    let late: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(!late.is_empty(), "{answers:?}");
    for answer in late {
        let error = answer.body.get("error").and_then(|error| error.as_str());
        assert_eq!(error, Some("temporarily_unavailable"));
        let wait = answer.headers.get("retry-after").expect("Retry-After");
        let wait: u64 = wait.to_str().unwrap_or_default().parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
}

#[tokio::test]
async fn passwords_are_tried_a_few_times_a_minute_and_then_not_looked_at() {
    let bed = limited().await;
    let (holder, other) = (bed.holder(), bed.holder());
    let api = bed.api();
    let wrong = often(9, async || {
        api.login(V1, &holder.name, "a wrong one", json!({})).await
    });
    assert_limited(&wrong.await);
    // Nobody else waits with him.
    bed.log_in(&other).await;
    // A name that nobody has is counted as one that somebody has.
    let nobody = often(9, async || {
        api.login(V2, "nobody", "a wrong one", json!({})).await
    });
    assert_limited(&nobody.await);
}

#[tokio::test]
async fn a_client_asks_as_often_as_its_registration_says() {
    let bed = limited().await;
    let client = bed.client_from("name = 'Slow'\n[rates]\nper_minute = 3\n");
    let (token, api) = (bed.client_token(&client).await, bed.api());
    let list = async || api.call(V1, "credentials/list", &token, json!({})).await;
    assert_limited(&often(7, list).await);
}

#[tokio::test]
async fn a_client_has_as_many_signatures_as_its_registration_says() {
    let bed = limited().await;
    let signer = bed.signer().await;
    let client = bed.client_from("name = 'Slow'\n[rates]\nsignatures_per_minute = 1\n");
    bed.link(&client, &signer.holder);
    let (token, api) = (bed.client_token(&client).await, bed.api());
    let hashes = [digest("one"), digest("two")];
    let known = json!({"credentialID": signer.credential.id});
    api.call(V1, "credentials/sendOTP", &token, known)
        .await
        .done();
    let code = signer.holder.next_code().await;
    let body = signer.authorization(V1, &hashes, 2, &code);
    let sad = api
        .call(V1, "credentials/authorize", &token, body)
        .await
        .text_of("SAD");
    let order = signer.order(V1, &sad, &hashes);
    let both = api.call(V1, "signatures/signHash", &token, order).await;
    assert_eq!(both.status, 429, "{both:?}");
    let used = "SELECT remaining FROM activation";
    assert_eq!(
        bed.sql(used).lines().last(),
        Some("2"),
        "nothing was counted"
    );
}

#[tokio::test]
async fn an_address_asks_as_fast_as_the_service_bears_for_whatever_it_is() {
    let limits = TestBed::builder().set("rate.address_per_second", "2");
    let bed = limits.start().await;
    let api = bed.api();
    let info = often(30, async || api.call_openly(V1, "info", json!({})).await).await;
    assert_limited(&info);
    // Before anything is looked at.
    let page = often(10, async || {
        api.send(api.request(Method::GET, "/nowhere")).await
    });
    assert!(page.await.iter().any(|answer| answer.status == 429));
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn scripts_call_from_the_origins_of_their_client_only() {
    const ALLOWED: &str = "access-control-allow-origin";
    let (ours, theirs) = ("https://app.example", "https://other.example");
    let bed = limited().await;
    let api = bed.api();
    let with =
        |origin: &str| bed.client_from(&format!("name = 'Web'\ncors_origins = ['{origin}']\n"));
    let (client, _other) = (with(ours), with(theirs));
    let token = bed.client_token(&client).await;
    let preflight = async |origin: &str| {
        let request = api.request(Method::OPTIONS, "/csc/v2/credentials/list");
        let request = request.header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        api.send(request).await
    };
    for origin in [ours, theirs] {
        let answer = preflight(origin).await;
        assert_eq!(answer.status, 204);
        assert_eq!(header(&answer.headers, ALLOWED), Some(origin));
        let asked = header(&answer.headers, "access-control-allow-headers");
        assert!(asked.is_some_and(|names| names.contains("authorization")));
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "http://app.example",
    ] {
        let answer = preflight(origin).await;
        assert_eq!(
            (answer.status, header(&answer.headers, ALLOWED)),
            (403, None),
            "{origin}"
        );
    }
    for (origin, allowed) in [
        (ours, Some(ours)),
        (theirs, None),
        ("https://evil.example", None),
    ] {
        let request = api.method(V2, "credentials/list", &token, &json!({}));
        let answer = api.send(request.header("Origin", origin)).await;
        let headers = &answer.headers;
        assert_eq!(header(headers, ALLOWED), allowed);
        assert_eq!(header(headers, "vary"), Some("Origin"));
        assert_eq!(header(headers, "access-control-allow-credentials"), None);
    }
    let without = api.call(V2, "credentials/list", &token, json!({})).await;
    assert_eq!(header(&without.headers, ALLOWED), None);
}

#[tokio::test]
async fn a_head_beyond_all_measure_is_refused_and_the_service_goes_on() {
    let bed = limited().await;
    let api = bed.api();
    let request = api
        .post("/csc/v1/info")
        .header("X-Long", "x".repeat(100_000));
    if let Ok(answer) = api.try_send(request.json(&json!({}))).await {
        assert_eq!(answer.status, 431);
    }
    api.call_openly(V1, "info", json!({})).await.ok();
}
