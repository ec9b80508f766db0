//! Pages over the wire: what no browser sends that shows only pages of ours, and who may see and do what (SC-42, SC-46, SC-69).
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use conformance_tests::{
    Answer, Client, ClientKey, Holder, KeySpec, Signer, TestBed, Visitor, digest, hidden, shared,
};
use reqwest::{Method, Url};

const BACK: &str = "https://app.example/cb";
const LOGIN: &str = "/portal/login";

/// Somebody who is logged in.
async fn visitor(bed: &TestBed, holder: &Holder) -> Visitor {
    let mut visitor = Visitor::new(bed);
    visitor.log_in(holder).await;
    visitor
}

fn leads_to(answer: &Answer, start: &str) -> bool {
    let location = answer.headers.get("location");
    let location = location.and_then(|location| location.to_str().ok());
    location.is_some_and(|location| location.starts_with(start))
}

/// An application that has its holders asked.
fn application(bed: &TestBed) -> Client {
    bed.client_from(&format!(
        "name = 'App'\nredirect_uris = ['{BACK}']\ngrants = ['authorization_code']\n"
    ))
}

/// The visitor comes from an application that wants one signature; the name of its request.
async fn is_asked(visitor: &mut Visitor, client: &Client, signer: &Signer<'_>) -> String {
    let hash = URL_SAFE_NO_PAD.encode(digest("contract"));
    let fields = [
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", BACK),
        ("scope", "credential"),
        ("credentialID", &signer.credential.id),
        ("numSignatures", "1"),
        ("hashes", &hash),
        ("hashAlgorithmOID", "2.16.840.1.101.3.4.2.1"),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params("https://localhost/oauth2/authorize", fields).unwrap();
    let path = format!("/oauth2/authorize?{}", url.query().unwrap());
    let arrived = visitor.get(&path).await;
    assert!(leads_to(&arrived, "/authorize"), "{arrived:?}");
    let shown = visitor.get("/authorize").await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    hidden(&shown, "request").unwrap()
}

#[tokio::test]
async fn a_form_without_the_token_of_its_visitor_does_nothing() {
    let bed = shared().await;
    let holder = bed.holder();
    let mut visitor = visitor(bed, &holder).await;
    let other = self::visitor(bed, &bed.holder()).await.token;
    let own = visitor.token.clone();
    for tokens in [
        &[][..],
        &[("token", "")],
        &[("token", other.as_str())],
        &[("token", &own[1..])],
        &[("token", &own), ("token", &own)],
    ] {
        let request = visitor.request(Method::POST, "/portal/logout").form(tokens);
        let refused = visitor.send(request).await;
        assert_eq!(refused.status, 403, "{tokens:?}: {refused:?}");
        assert_eq!(visitor.get("/portal").await.status, 200, "{tokens:?}");
    }
    let answer = visitor.post("/portal/logout", &[]).await;
    assert!(leads_to(&answer, LOGIN), "{answer:?}");
}

#[tokio::test]
async fn a_form_that_another_site_sent_does_nothing() {
    let bed = shared().await;
    let holder = bed.holder();
    let mut visitor = visitor(bed, &holder).await;
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        let form = [("token", visitor.token.clone())];
        let request = visitor.request(Method::POST, "/portal/logout").form(&form);
        let refused = visitor.send(request.header(header, value)).await;
        assert_eq!(refused.status, 403, "{header}: {value}");
        assert_eq!(visitor.get("/portal").await.status, 200);
    }
    let form = [("token", visitor.token.clone())];
    let request = visitor.request(Method::POST, "/portal/logout").form(&form);
    let own = visitor.send(request.header("sec-fetch-site", "same-origin"));
    assert!(leads_to(&own.await, LOGIN));
}

#[tokio::test]
async fn an_answer_is_to_the_request_that_was_shown_and_no_other() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, application(bed));
    let mut visitor = visitor(bed, &signer.holder).await;
    let first = is_asked(&mut visitor, &client, &signer).await;
    // Another tab takes its place in the browser.
    let second = is_asked(&mut visitor, &client, &signer).await;
    assert_ne!(first, second);
    for fields in [
        &[("act", "refuse"), ("request", first.as_str())][..],
        &[("act", "refuse")],
        &[
            ("act", "send"),
            ("request", &first),
            ("certificate", &signer.credential.id),
        ],
    ] {
        let answer = visitor.post("/authorize", fields).await;
        assert_eq!(answer.status, 400, "{fields:?}: {answer:?}");
    }
    assert_eq!(signer.holder.mails(), 0, "no code was sent");
    let answer = visitor
        .post("/authorize", &[("act", "refuse"), ("request", &second)])
        .await;
    assert!(leads_to(&answer, BACK), "{answer:?}");
}

#[tokio::test]
async fn a_session_ends_with_the_log_out_when_it_is_idle_and_with_another_log_in() {
    let bed = shared().await;
    let holder = bed.holder();
    let mut visitor = visitor(bed, &holder).await;
    let kept = visitor.request(Method::GET, "/portal");
    let copy = kept.try_clone().unwrap();
    visitor.post("/portal/logout", &[]).await;
    let late = bed.api().send(kept).await;
    assert!(leads_to(&late, LOGIN), "the session, not only its cookie");

    // Another log-in in the same browser.
    visitor.log_in(&holder).await;
    let before = visitor.request(Method::GET, "/portal");
    visitor.get("/portal").await;
    let fields = [
        ("user", holder.name.as_str()),
        ("password", &holder.password),
    ];
    visitor.post(LOGIN, &fields).await;
    let late = bed.api().send(before).await;
    assert!(leads_to(&late, LOGIN), "{late:?}");
    assert!(leads_to(&bed.api().send(copy).await, LOGIN));

    assert_eq!(visitor.get("/portal").await.status, 200);
    let of_holder = format!(
        "holder = (SELECT id FROM holder WHERE user_name = '{}')",
        holder.name
    );
    bed.sql(&format!(
        "UPDATE holder_session SET used = 0 WHERE {of_holder}"
    ));
    let idle = visitor.get("/portal").await;
    assert!(leads_to(&idle, LOGIN), "{idle:?}");
}

#[tokio::test]
async fn a_log_in_leaves_nothing_of_the_cookie_that_was_there() {
    let bed = shared().await;
    let holder = bed.holder();
    let mut visitor = Visitor::new(bed);
    visitor.get(LOGIN).await;
    let planted = visitor.request(Method::GET, "/portal");
    visitor.log_in(&holder).await;
    let answer = bed.api().send(planted).await;
    assert!(leads_to(&answer, LOGIN), "{answer:?}");
}

#[tokio::test]
async fn a_mandate_is_seen_and_stopped_by_its_holder_alone() {
    let bed = shared().await;
    let client = bed.client_with_key("Invoices", &ClientKey::new());
    let (holder, another) = (bed.holder(), bed.holder());
    let otp = bed.totp(&holder);
    let spec = KeySpec {
        key: "p256",
        multisign: 5,
    };
    let credential = bed.credential_as("automatic", &holder, &otp.id, &spec);
    let mandate = bed.mandate(&credential, &client, &otp.code(0)).id;
    let state = || {
        let sql = format!("SELECT state FROM activation WHERE id = '{mandate}'");
        bed.sql(&sql).lines().last().map(str::to_owned)
    };
    const PAGE: &str = "/portal/mandates";
    let stop = [("mandate", mandate.as_str())];

    let mut nobody = Visitor::new(bed);
    assert!(leads_to(&nobody.get(PAGE).await, LOGIN));
    nobody.get(LOGIN).await;
    assert!(leads_to(&nobody.post(PAGE, &stop).await, LOGIN));
    let mut other = visitor(bed, &another).await;
    let seen = other.get(PAGE).await;
    assert!(!seen.text.contains(&mandate), "{}", seen.text);
    let refused = other.post(PAGE, &stop).await;
    assert_eq!(refused.status, 404, "{}", refused.text);
    assert!(!refused.text.contains("Invoices"), "{}", refused.text);
    assert_eq!(state().as_deref(), Some("active"));

    let mut own = visitor(bed, &holder).await;
    let seen = own.get(PAGE).await;
    assert!(seen.text.contains(&mandate), "{}", seen.text);
    // The secret is nowhere.
    assert!(!seen.text.contains("SAD"), "{}", seen.text);
    for wrong in [&[][..], &[("mandate", "")]] {
        assert_eq!(own.post(PAGE, wrong).await.status, 403);
    }
    for unknown in ["x", &"a".repeat(5000), "' OR 1 = 1 --"] {
        let answer = own.post(PAGE, &[("mandate", unknown)]).await;
        assert_eq!(answer.status, 404, "{unknown}");
    }
    assert_eq!(state().as_deref(), Some("active"));
    for _ in 0..2 {
        let stopped = own.post(PAGE, &stop).await;
        assert_eq!(stopped.status, 200, "{}", stopped.text);
        assert!(stopped.text.contains("Mandate stopped"));
        assert_eq!(state().as_deref(), Some("revoked"));
    }
    bed.inspect();
}

#[tokio::test]
async fn a_form_beyond_all_measure_is_not_read() {
    let bed = shared().await;
    let mut visitor = Visitor::new(bed);
    visitor.get(LOGIN).await;
    let long = "x".repeat(17 * 1024);
    let answer = visitor.post(LOGIN, &[("user", &long)]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text.contains("no longer valid"), "{}", answer.text);
}
