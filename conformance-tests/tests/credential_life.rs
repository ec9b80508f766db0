//! credentials/create and credentials/delete (CSC API v2.2): what an application asks for, what the holder does on the page, and what the token that comes of it
//! is good for.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Answer, Client, Signer, TestBed, V2, Visitor, hidden, register_secret, shared,
};
use reqwest::Url;
use serde_json::{Value, json};

const BACK: &str = "https://app.example/cb";
/// RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CREATION: &str = "https://cloudsignatureconsortium.org/2025/credential-creation";
const DELETION: &str = "https://cloudsignatureconsortium.org/2025/credential-deletion";
const PIN: &str = "72946183";
const NEW: &str = "credentials/create";
const END: &str = "credentials/delete";

fn client(bed: &TestBed, more: &str) -> Client {
    bed.client_from(&format!(
        "name = \"Example\"\nredirect_uris = [\"{BACK}\"]\ngrants = [\"authorization_code\"]\n{more}"
    ))
}

/// A client that may.
fn manager(bed: &TestBed) -> Client {
    client(bed, "manage_credentials = true")
}

async fn ask(visitor: &mut Visitor, client: &Client, more: &[(&str, &str)]) -> Answer {
    let all = [
        ("response_type", "code"),
        ("client_id", client.id.as_str()),
        ("redirect_uri", BACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let all = [&all[..], more].concat();
    let url = Url::parse_with_params("https://localhost/oauth2/authorize", all).unwrap();
    let path = format!("/oauth2/authorize?{}", url.query().unwrap_or_default());
    visitor.get(&path).await
}

/// What the browser brings back.
fn brought(answer: &Answer, name: &str) -> Option<String> {
    let location = answer.headers["location"].to_str().unwrap();
    let url = Url::parse(location).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

/// Somebody who is logged in at the page that this request leads to.
async fn arrived(signer: &Signer<'_>, client: &Client, more: &[(&str, &str)]) -> Visitor {
    let mut visitor = Visitor::new(signer.bed());
    visitor.log_in(&signer.holder).await;
    let answer = ask(&mut visitor, client, more).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    visitor
}

/// Presses a button of the page.
async fn press(visitor: &mut Visitor, act: &str, fields: &[(&str, &str)]) -> Answer {
    let page = visitor.get("/authorize").await;
    let request = hidden(&page, "request").unwrap_or_default();
    let fields = [&[("act", act), ("request", &request)][..], fields].concat();
    visitor.post("/authorize", &fields).await
}

/// Agrees with PIN and the code that is mailed; gives the authorization code.
async fn agreed(visitor: &mut Visitor, signer: &Signer<'_>, pin: &str) -> String {
    let sent = press(visitor, "send", &[]).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let code = signer.holder.next_code().await;
    let answer = press(visitor, "agree", &[("pin", pin), ("code", &code)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    brought(&answer, "code").unwrap()
}

async fn traded(bed: &TestBed, client: &Client, code: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let fields = [&fields[..], more].concat();
    bed.api()
        .form_as("/oauth2/token", &client.id, &client.secret, &fields)
        .await
}

/// A token for a new credential of this holder.
async fn creation(signer: &Signer<'_>, client: &Client) -> String {
    let details = json!([{ "type": CREATION }]).to_string();
    let details = ("authorization_details", details.as_str());
    let mut visitor = arrived(signer, client, &[details]).await;
    let made = press(&mut visitor, "make", &[("pin", PIN), ("again", PIN)]).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let code = agreed(&mut visitor, signer, PIN).await;
    let answer = traded(signer.bed(), client, &code, &[details]).await.ok();
    assert_eq!(answer["authorization_details"][0]["type"], CREATION);
    assert!(answer.get("refresh_token").is_none(), "{answer}");
    let token = answer["access_token"].as_str().unwrap().to_owned();
    register_secret(token.as_str());
    token
}

/// A token for the end of his credential.
async fn deletion(signer: &Signer<'_>, client: &Client) -> String {
    let id = signer.credential.id.as_str();
    let asked = [("scope", "credential-deletion"), ("credentialID", id)];
    let mut visitor = arrived(signer, client, &asked).await;
    let code = agreed(&mut visitor, signer, &signer.credential.pin).await;
    let answer = traded(signer.bed(), client, &code, &[]).await.ok();
    let token = answer["access_token"].as_str().unwrap().to_owned();
    register_secret(token.as_str());
    token
}

async fn listed(signer: &Signer<'_>) -> Vec<String> {
    let answer = signer.call(V2, "credentials/list", json!({})).await.ok();
    serde_json::from_value(answer["credentialIDs"].clone()).unwrap()
}

fn wanted(more: Value) -> Value {
    json!({ "credentialCreationRequest": more })
}

#[tokio::test]
async fn the_holder_chooses_the_pin_of_a_new_credential_and_its_client_takes_it_up_once() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, manager(bed));
    let token = creation(&signer, &client).await;
    // Until then there is none: nobody sees it.
    assert_eq!(listed(&signer).await, [signer.credential.id.as_str()]);

    let (given, surname) = ("given_name", "family_name");
    for (bad, refused) in [
        (
            json!({ "subjectData": { given: "Mallory" } }),
            "Invalid parameter subjectData",
        ),
        (
            json!({ "subjectData": { "birthdate": "1970-01-01" } }),
            "Invalid parameter subjectData",
        ),
        (
            json!({ "subjectData": { surname: 7 } }),
            "Invalid parameter subjectData",
        ),
        (
            json!({ "certificatePolicy": "1.2.3" }),
            "Invalid parameter certificatePolicy",
        ),
        (
            json!("x"),
            "Missing (or invalid type) object parameter credentialCreationRequest",
        ),
    ] {
        let answer = bed.api().call(V2, NEW, &token, wanted(bad)).await;
        answer.refused(refused);
    }
    let mut body = wanted(json!({ "subjectData": { given: null } }));
    body["credentialInfo"] = json!(true);
    body["certificates"] = json!("chain");
    let api = bed.api();
    let (first, second) = tokio::join!(
        api.call(V2, NEW, &token, body.clone()),
        api.call(V2, NEW, &token, body)
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "of two at once one takes it up");
    let answer = if first.status == 201 { first } else { second };
    let id = answer.body["credentialID"].as_str().unwrap();
    assert_eq!(answer.body["key"]["status"], "enabled");
    assert_eq!(answer.body["auth"]["mode"], "oauth2code");
    assert_eq!(
        answer.body["cert"]["certificates"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(listed(&signer).await.contains(&id.to_owned()));
    api.call(V2, NEW, &token, wanted(json!({})))
        .await
        .unauthorised("expired_token");
    bed.inspect();
}

#[tokio::test]
async fn a_new_pin_is_strong_and_typed_twice_and_a_wrong_one_makes_nothing() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, manager(bed));
    let mut visitor = arrived(&signer, &client, &[("scope", "credential-creation")]).await;
    for (pin, again, said) in [
        ("12345678", "12345678", "Choose another PIN"),
        ("1234", "1234", "Choose another PIN"),
        (PIN, "72946184", "The two PINs differ"),
    ] {
        let fields = [("pin", pin), ("again", again), ("lang", "en")];
        let answer = press(&mut visitor, "make", &fields).await;
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
    }
    press(&mut visitor, "make", &[("pin", PIN), ("again", PIN)]).await;
    press(&mut visitor, "send", &[]).await;
    let code = signer.holder.next_code().await;
    let fields = [("pin", "72946184"), ("code", code.as_str())];
    let answer = press(&mut visitor, "agree", &fields).await;
    assert!(answer.text.contains("Wrong PIN"), "{}", answer.text);
    let back = press(&mut visitor, "refuse", &[]).await;
    assert_eq!(brought(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(listed(&signer).await, [signer.credential.id.as_str()]);
}

#[tokio::test]
async fn a_credential_that_its_holder_has_ended_signs_nothing_and_its_token_ends_nothing_else() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, manager(bed));
    let other = signer.another_credential();
    let token = deletion(&signer, &client).await;
    let ask = |id: &str, more: Value| {
        let mut request = json!({ "credentialID": id });
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        json!({ "credentialDeletionRequest": request })
    };
    let id = signer.credential.id.as_str();
    for (body, refused) in [
        (ask(&other.id, json!({})), "Invalid parameter credentialID"),
        (
            ask(id, json!({ "revoke": true })),
            "Missing (or invalid type) integer parameter revocationReason",
        ),
        (
            ask(id, json!({ "revoke": true, "revocationReason": 7 })),
            "Invalid parameter revocationReason",
        ),
        (
            ask(id, json!({ "revoke": "yes" })),
            "Invalid parameter revoke",
        ),
        (
            json!({}),
            "Missing (or invalid type) object parameter credentialDeletionRequest",
        ),
    ] {
        bed.api().call(V2, END, &token, body).await.refused(refused);
    }
    let body = ask(id, json!({ "revoke": true, "revocationReason": 5 }));
    bed.api().call(V2, END, &token, body.clone()).await.done();
    let asked = json!({ "credentialID": id, "certInfo": true });
    let info = signer.call(V2, "credentials/info", asked).await.ok();
    assert_eq!(info["key"]["status"], "disabled");
    assert_eq!(info["cert"]["status"], "revoked");
    let again = bed.api().call(V2, END, &token, body).await;
    again.unauthorised("expired_token");
    let asked = json!({ "credentialID": other.id });
    let info = signer.call(V2, "credentials/info", asked).await.ok();
    assert_eq!(info["key"]["status"], "enabled");
}

#[tokio::test]
async fn only_a_registered_client_asks_and_each_token_is_good_for_its_own() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, manager(bed));
    let plain = self::client(bed, "");
    let mut visitor = Visitor::new(bed);
    let id = signer.credential.id.as_str();
    for asked in [
        &[("scope", "credential-creation")][..],
        &[("scope", "credential-deletion"), ("credentialID", id)],
    ] {
        let answer = ask(&mut visitor, &plain, asked).await;
        assert_eq!(
            brought(&answer, "error").as_deref(),
            Some("unauthorized_client")
        );
    }
    for (asked, error) in [
        (&[("scope", "credential-deletion")][..], "invalid_request"),
        (
            &[("scope", "credential-deletion"), ("credentialID", "nobody")],
            "invalid_request",
        ),
        (
            &[
                ("scope", "credential-creation"),
                (
                    "authorization_details",
                    &*json!([{ "type": DELETION, "credentialID": id }]).to_string(),
                ),
            ],
            "invalid_scope",
        ),
        (
            &[(
                "authorization_details",
                &*json!([{ "type": CREATION, "credentialID": id }]).to_string(),
            )],
            "invalid_authorization_details",
        ),
    ] {
        let answer = ask(&mut visitor, &client, asked).await;
        assert_eq!(
            brought(&answer, "error").as_deref(),
            Some(error),
            "{asked:?}"
        );
    }

    let (new, end) = (
        creation(&signer, &client).await,
        deletion(&signer, &client).await,
    );
    let api = bed.api();
    let service = signer.token.as_str();
    for (method, token) in [
        (NEW, end.as_str()),
        (NEW, service),
        (END, &new),
        (END, service),
    ] {
        let answer = api.call(V2, method, token, json!({})).await;
        assert!(matches!(answer.status, 401 | 403), "{method}: {answer:?}");
    }
    for token in [&new, &end] {
        let answer = api.call(V2, "credentials/list", token, json!({})).await;
        answer.unauthorised("invalid_token");
    }
    api.call(V2, NEW, "nobody", json!({}))
        .await
        .unauthorised("invalid_token");
}

#[tokio::test]
async fn nobody_answers_about_the_credential_of_another() {
    let bed = shared().await;
    let (signer, client) = (bed.signer().await, manager(bed));
    let another = bed.signer().await;
    let id = signer.credential.id.as_str();
    let asked = [("scope", "credential-deletion"), ("credentialID", id)];
    let mut visitor = arrived(&another, &client, &asked).await;
    let page = visitor.get("/authorize").await;
    assert_eq!(page.status, 403, "{}", page.text);
    assert!(!page.text.contains(id));
    let answer = press(&mut visitor, "agree", &[("pin", PIN), ("code", "12345678")]).await;
    assert_ne!(answer.status, 303);
}
