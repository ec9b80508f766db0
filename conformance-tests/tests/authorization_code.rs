//! What an authorization request may say (CSC API v1 8.3.2, v2 8.4.2 and 8.4.3; RFC 9126, RFC 9396): in the URL and pushed. What the holder
//! then sees and answers is tested with the pages.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{Answer, Client, Signer, TestBed, digest, shared};
use reqwest::{Method, Url};
use serde_json::json;

const BACK: &str = "https://app.example/cb?x=1";
/// RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";

fn client(bed: &TestBed, more: &str) -> Client {
    bed.client_from(&format!(
        "name = \"Example\"\nredirect_uris = [\"{BACK}\"]\ngrants = [\"authorization_code\"]\n{more}"
    ))
}

/// The parameters with some of them changed, or taken out.
fn but<'a>(
    all: &[(&'a str, String)],
    changes: &[(&'a str, Option<&str>)],
) -> Vec<(&'a str, String)> {
    let mut fields = all.to_vec();
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (*name, value.to_owned())));
    }
    fields
}

fn service(client: &Client) -> Vec<(&'static str, String)> {
    [
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", BACK),
        ("scope", "service"),
        ("state", "s1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// A request for one signature, as v2 has it.
fn credential(client: &Client, signer: &Signer<'_>) -> Vec<(&'static str, String)> {
    let hash = digest("Offer 17");
    let hash = json!(conformance_tests::digests(&[hash]))[0].clone();
    let hash = hash.as_str().unwrap();
    let hash = hash.replace('+', "-").replace('/', "_").replace('=', "");
    but(
        &service(client),
        &[
            ("scope", Some("credential")),
            ("credentialID", Some(&signer.credential.id)),
            ("numSignatures", Some("1")),
            ("hashes", Some(&hash)),
            ("hashAlgorithmOID", Some(SHA256)),
        ],
    )
}

async fn ask(bed: &TestBed, fields: &[(&str, String)]) -> Answer {
    let url = Url::parse_with_params("https://localhost/oauth2/authorize", fields).unwrap();
    let path = format!("/oauth2/authorize?{}", url.query().unwrap_or_default());
    bed.api().send(bed.api().request(Method::GET, &path)).await
}

async fn push(bed: &TestBed, client: &Client, fields: &[(&str, String)]) -> Answer {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let path = "/oauth2/pushed_authorize";
    bed.api()
        .form_as(path, &client.id, &client.secret, &fields)
        .await
}

/// The browser goes to the page, with a cookie and without anything in the address.
fn arrives(answer: &Answer) {
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.headers["location"], "/authorize");
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-csc-request="), "{cookie}");
    for rule in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(rule), "{cookie}");
    }
}

/// The browser goes back to the client with this error.
fn goes_back(answer: &Answer, error: &str, text: &str) {
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.headers["location"].to_str().unwrap();
    assert!(location.starts_with(BACK), "{location}");
    let url = Url::parse(location).unwrap();
    let value = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    assert_eq!(value("error").as_deref(), Some(error), "{location}");
    assert_eq!(
        value("error_description").as_deref(),
        Some(text),
        "{location}"
    );
    assert_eq!(value("state").as_deref(), Some("s1"), "{location}");
    assert_eq!(value("code"), None);
}

#[tokio::test]
async fn a_good_request_leads_to_the_page_and_no_secret_to_the_address() {
    let bed = shared().await;
    let (client, signer) = (client(bed, ""), bed.signer().await);
    arrives(&ask(bed, &service(&client)).await);
    arrives(&ask(bed, &credential(&client, &signer)).await);
    let longest = "x".repeat(255);
    let fields = but(
        &service(&client),
        &[("state", Some(&longest)), ("prompt", Some("login"))],
    );
    arrives(&ask(bed, &fields).await);
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let bed = shared().await;
    let client = client(bed, "");
    let all = service(&client);
    for changes in [
        &[("client_id", None)][..],
        &[("client_id", Some("nobody"))],
        &[("redirect_uri", Some("https://app.example/cb"))],
        &[("redirect_uri", Some("https://evil.example/cb"))],
    ] {
        let answer = ask(bed, &but(&all, changes)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!answer.headers.contains_key("location"), "{answer:?}");
    }
    let twice = [all.clone(), vec![("state", "s2".to_owned())]].concat();
    assert_eq!(ask(bed, &twice).await.status, 400);
}

#[tokio::test]
async fn what_is_wrong_is_told_to_the_client() {
    let bed = shared().await;
    let (client, signer) = (client(bed, ""), bed.signer().await);
    let (service, credential) = (service(&client), credential(&client, &signer));
    let scope = "The requested scope is invalid, unknown, or malformed.";
    let unsupported = "The authorization server does not support obtaining an authorization code using this method.";
    let long = "x".repeat(501);
    let cases: &[(&[_], &str, Option<&str>, &str, &str)] = &[
        (
            &service,
            "response_type",
            None,
            "invalid_request",
            "Missing parameter response_type",
        ),
        (
            &service,
            "response_type",
            Some("token"),
            "unsupported_response_type",
            unsupported,
        ),
        (
            &service,
            "scope",
            Some("everything"),
            "invalid_scope",
            scope,
        ),
        (
            &service,
            "scope",
            Some("service credential"),
            "invalid_scope",
            scope,
        ),
        (
            &service,
            "code_challenge_method",
            Some("plain"),
            "invalid_request",
            "Invalid parameter code_challenge_method",
        ),
        (
            &service,
            "code_challenge_method",
            None,
            "invalid_request",
            "Invalid parameter code_challenge_method",
        ),
        (
            &service,
            "code_challenge",
            Some("short"),
            "invalid_request",
            "Invalid parameter code_challenge",
        ),
        (
            &service,
            "description",
            Some(&long),
            "invalid_request",
            "Invalid parameter description",
        ),
        (
            &credential,
            "code_challenge",
            None,
            "invalid_request",
            "Missing parameter code_challenge",
        ),
        (
            &credential,
            "credentialID",
            None,
            "invalid_request",
            "Missing parameter credentialID",
        ),
        (
            &credential,
            "credentialID",
            Some("nobody"),
            "invalid_request",
            "Invalid parameter credentialID",
        ),
        (
            &credential,
            "numSignatures",
            None,
            "invalid_request",
            "Missing parameter numSignatures",
        ),
        (
            &credential,
            "numSignatures",
            Some("2"),
            "invalid_request",
            "Invalid parameter numSignatures",
        ),
        (
            &credential,
            "hashes",
            None,
            "invalid_request",
            "Missing parameter hashes",
        ),
        (
            &credential,
            "hashes",
            Some("ab%"),
            "invalid_request",
            "Invalid parameter hashes",
        ),
        (
            &credential,
            "hashes",
            Some("AAAA"),
            "invalid_request",
            "Invalid parameter hashes",
        ),
        (
            &credential,
            "hashAlgorithmOID",
            None,
            "invalid_request",
            "Missing parameter hashAlgorithmOID",
        ),
        (
            &credential,
            "hashAlgorithmOID",
            Some("1.3.14.3.2.26"),
            "invalid_request",
            "Invalid parameter hashAlgorithmOID",
        ),
    ];
    for (all, name, value, error, text) in cases {
        goes_back(&ask(bed, &but(all, &[(name, *value)])).await, error, text);
    }
}

#[tokio::test]
async fn details_are_taken_under_both_names_and_refused_when_they_say_too_much() {
    let bed = shared().await;
    let (client, signer) = (client(bed, ""), bed.signer().await);
    let hash = conformance_tests::digests(&[digest("Offer 17")])[0].clone();
    for name in [
        "credential",
        "https://cloudsignatureconsortium.org/2025/credential",
    ] {
        let mut details = json!([{
            "type": name, "credentialID": signer.credential.id, "numSignatures": 1, "hashAlgorithmOID": SHA256,
            "documentDigests": [{"hash": hash, "label": null, "hashType": "DTBSR"}],
        }]);
        let ask_for = async |details: &serde_json::Value, scope| {
            let text = details.to_string();
            let changes = [
                ("authorization_details", Some(text.as_str())),
                ("scope", scope),
            ];
            ask(bed, &but(&service(&client), &changes)).await
        };
        arrives(&ask_for(&details, None).await);
        arrives(&ask_for(&details, Some("credential")).await);
        let scope = "The requested scope is invalid, unknown, or malformed.";
        goes_back(
            &ask_for(&details, Some("service")).await,
            "invalid_scope",
            scope,
        );
        details[0]["amount"] = json!(5);
        let text = "type, documentDigests with hash, and hashAlgorithmOID are wanted, and nothing that the type does not have";
        goes_back(
            &ask_for(&details, None).await,
            "invalid_authorization_details",
            text,
        );
    }
}

#[tokio::test]
async fn a_pushed_request_is_picked_up_once_and_by_its_client() {
    let bed = shared().await;
    let (client, other) = (client(bed, "require_par = true"), client(bed, ""));
    let signer = bed.signer().await;
    let fields = credential(&client, &signer);
    let text = "This client pushes its authorization requests (RFC 9126)";
    goes_back(&ask(bed, &fields).await, "invalid_request", text);

    let pushed = push(bed, &client, &fields).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    assert_eq!(pushed.headers["cache-control"], "no-store");
    assert_eq!(pushed.body["expires_in"], 60);
    let name = pushed.body["request_uri"].as_str().unwrap();
    let pick_up = async |client: &Client| {
        let fields = [
            ("client_id", client.id.clone()),
            ("request_uri", name.to_owned()),
        ];
        ask(bed, &fields).await
    };
    assert_eq!(pick_up(&other).await.status, 400);
    arrives(&pick_up(&client).await);
    assert_eq!(pick_up(&client).await.status, 400);

    let nested = but(&fields, &[("request_uri", Some(name))]);
    push(bed, &client, &nested)
        .await
        .refused("Invalid parameter request_uri");
    let bad = Client {
        id: client.id.clone(),
        secret: "wrong".to_owned(),
    };
    push(bed, &bad, &fields)
        .await
        .failed(401, "invalid_client", "Invalid authorization header");
    let elsewhere = but(&fields, &[("redirect_uri", Some("https://evil.example/"))]);
    push(bed, &client, &elsewhere)
        .await
        .refused("Invalid parameter redirect_uri");
}

#[tokio::test]
async fn a_code_that_nobody_gave_gives_no_token() {
    let bed = shared().await;
    let client = client(bed, "");
    let ask = async |code: Option<&str>| {
        let mut fields = vec![("grant_type", "authorization_code")];
        fields.extend(code.map(|code| ("code", code)));
        let path = "/oauth2/token";
        bed.api()
            .form_as(path, &client.id, &client.secret, &fields)
            .await
    };
    ask(None).await.refused("Missing parameter code");
    let random = format!("{}.{}", "0".repeat(32), "A".repeat(43));
    for code in ["x", &random] {
        ask(Some(code))
            .await
            .failed(400, "invalid_grant", "Invalid parameter code");
    }
    let public = client_without_secret(bed);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &*public.id),
        ("code", "x"),
    ];
    let answer = bed.api().form("/oauth2/token", &fields).await;
    answer.failed(400, "invalid_grant", "Invalid parameter code");
}

fn client_without_secret(bed: &TestBed) -> Client {
    client(bed, "[authentication]\nmethod = \"none\"")
}

#[tokio::test]
async fn a_page_is_neither_framed_nor_scripted_and_takes_only_its_own_forms() {
    let api = shared().await.api();
    let page = api.send(api.request(Method::GET, "/portal/login")).await;
    assert_eq!(page.status, 200, "{page:?}");
    let header = |name: &str| page.headers[name].to_str().unwrap();
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script"), "{policy}");
    assert!(!page.text.contains("<script"), "{}", page.text);
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cache-control"), "no-store");
    let cookie = header("set-cookie");
    assert!(cookie.starts_with("__Host-"), "{cookie}");
    for part in ["Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    // SC-42: what a page of somebody else posts is no act of the holder.
    let kept = cookie.split(';').next().unwrap();
    for path in ["/authorize", "/portal/login"] {
        let posted = api
            .post(path)
            .header("Cookie", kept)
            .form(&[("decision", "approve")]);
        assert_eq!(api.send(posted).await.status, 403, "{path}");
    }
}
