//! `oauth2/token` and `oauth2/revoke` (CSC API v1 8.3.3 and 8.3.4, v2 8.4.4 and 8.4.5).

use conformance_tests::{Answer, COMMON, Client, TestBed, V1, V2, shared};
use serde_json::json;

async fn token_of(bed: &TestBed, fields: &[(&str, &str)]) -> Answer {
    bed.api().form("/oauth2/token", fields).await
}

async fn revoke(bed: &TestBed, fields: &[(&str, &str)]) -> Answer {
    bed.api().form("/oauth2/revoke", fields).await
}

async fn credentials_token(bed: &TestBed, client: &Client) -> String {
    granted(bed, client).await.text_of("access_token")
}

async fn granted(bed: &TestBed, client: &Client) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
    ];
    token_of(bed, &fields).await
}

/// Whether the token opens the API; every client sees the holder that was linked to it.
async fn opens(bed: &TestBed, token: &str, holder: &str) -> Answer {
    bed.api()
        .call(V1, "credentials/list", token, json!({"userID": holder}))
        .await
}

/// A client that sees one holder.
fn linked(bed: &TestBed) -> (Client, String) {
    let (client, holder) = (bed.client(), bed.holder());
    bed.link(&client, &holder);
    (client, holder.name)
}

/// 5.3 and 5.4: 400 or 401.
fn unauthorised(answer: Answer, description: &str) {
    let status = answer.status;
    assert!([400, 401].contains(&status), "{answer:?}");
    answer.failed(status, "invalid_request", description);
}

#[tokio::test]
async fn a_client_gets_a_bearer_token_for_its_secret() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let answer = granted(bed, &client).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.ok();
    assert_eq!(
        (&body["token_type"], &body["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    opens(bed, body["access_token"].as_str().unwrap(), &holder)
        .await
        .ok();
}

#[tokio::test]
async fn a_refresh_token_gives_a_new_pair_once() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let first = granted(bed, &client).await.ok();
    let refresh = async |client: &Client, token: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", &client.id),
            ("client_secret", &client.secret),
        ];
        token_of(bed, &fields).await
    };
    let old = first["refresh_token"].as_str().unwrap();
    let stranger = refresh(&bed.client(), old).await;
    stranger.failed(400, "invalid_grant", "Invalid parameter refresh_token");

    let second = refresh(&client, old).await.ok();
    for name in ["access_token", "refresh_token"] {
        assert!(second[name].is_string(), "{second}");
        assert_ne!(second[name], first[name]);
    }
    let access = second["access_token"].as_str().unwrap();
    opens(bed, access, &holder).await.ok();
    let again = refresh(&client, old).await;
    again.failed(400, "invalid_grant", "Refresh token expired");

    let new = second["refresh_token"].as_str().unwrap();
    let (id, secret) = (
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    );
    revoke(bed, &[("token", new), id, secret]).await.done();
    let dead = refresh(&client, new).await;
    dead.failed(400, "invalid_grant", "Refresh token expired");
    opens(bed, access, &holder)
        .await
        .unauthorised("expired_token");
}

#[tokio::test]
async fn the_secret_may_come_by_http_basic() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let id = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
    ];
    for fields in [&id[..], &id[..1]] {
        let answer = bed
            .api()
            .form_as("/oauth2/token", &client.id, &client.secret, fields)
            .await;
        opens(bed, &answer.text_of("access_token"), &holder)
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_client_s_token_has_the_service_scope_and_no_other() {
    let bed = shared().await;
    let client = bed.client();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
    ];
    token_of(bed, &[&fields[..], &[("scope", "service")]].concat())
        .await
        .ok();
    for scope in ["credential", "openid"] {
        let answer = token_of(bed, &[&fields[..], &[("scope", scope)]].concat()).await;
        answer.refused_as("invalid_scope");
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_its_table_says() {
    let bed = shared().await;
    let client = bed.client();
    let (id, secret) = (
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    );
    let grant = ("grant_type", "client_credentials");

    token_of(bed, &[grant, secret])
        .await
        .refused("Missing parameter client_id");
    token_of(bed, &[id, secret])
        .await
        .refused("Missing parameter grant_type");
    for unserved in ["password", "implicit"] {
        token_of(bed, &[("grant_type", unserved), id, secret])
            .await
            .refused("Invalid parameter grant_type");
    }
    token_of(bed, &[("grant_type", "refresh_token"), id, secret])
        .await
        .refused("Missing parameter refresh_token");
    token_of(bed, &[grant, ("client_id", "nobody"), secret])
        .await
        .refused("Invalid parameter client_id");
    token_of(bed, &[grant, id, ("client_secret", "wrong")])
        .await
        .refused("Invalid parameter client_secret");
    unauthorised(
        token_of(bed, &[grant, id]).await,
        "Client authorization required",
    );
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "unknown"),
        id,
        secret,
    ];
    token_of(bed, &refresh)
        .await
        .failed(400, "invalid_grant", "Invalid parameter refresh_token");
}

#[tokio::test]
async fn a_wrong_secret_by_http_basic_gives_no_token() {
    let bed = shared().await;
    let client = bed.client();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
    ];
    let answer = bed
        .api()
        .form_as("/oauth2/token", &client.id, "wrong", &fields)
        .await;
    answer.failed(401, "invalid_client", "Invalid authorization header");
}

#[tokio::test]
async fn one_client_s_secret_does_not_serve_another() {
    let bed = shared().await;
    let (one, other) = (bed.client(), bed.client());
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &other.id),
        ("client_secret", &one.secret),
    ];
    token_of(bed, &fields)
        .await
        .refused("Invalid parameter client_secret");
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &other.id),
    ];
    let mixed = bed
        .api()
        .form_as("/oauth2/token", &one.id, &one.secret, &fields)
        .await;
    mixed.refused("Invalid parameter client_id");
}

#[tokio::test]
async fn a_parameter_given_twice_is_refused() {
    let bed = shared().await;
    let client = bed.client();
    let grant = ("grant_type", "client_credentials");
    let fields = [
        grant,
        grant,
        ("client_id", &client.id),
        ("client_secret", &client.secret),
    ];
    token_of(bed, &fields).await.refused(COMMON);
}

#[tokio::test]
async fn a_form_is_wanted_and_nothing_else() {
    let bed = shared().await;
    let client = bed.client();
    let body = json!({"grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret});
    let api = bed.api();
    let answer = api.send(api.post("/oauth2/token").json(&body)).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_client_sees_only_the_holders_linked_to_it() {
    let bed = shared().await;
    let (client, _) = linked(bed);
    let token = credentials_token(bed, &client).await;
    let stranger = bed.signer().await;
    for version in [V1, V2] {
        let list = |body| async {
            bed.api()
                .call(version, "credentials/list", &token, body)
                .await
        };
        for body in [
            json!({}),
            json!({"userID": ""}),
            json!({"userID": 5}),
            json!({"userID": "nobody"}),
        ] {
            list(body).await.refused("Invalid parameter userID");
        }
        list(json!({"userID": stranger.holder.name}))
            .await
            .refused("Invalid parameter userID");
        let body = json!({"credentialID": stranger.credential.id});
        let answer = bed
            .api()
            .call(version, "credentials/info", &token, body)
            .await;
        answer.refused("Invalid parameter credentialID");
    }
}

#[tokio::test]
async fn a_linked_client_lists_and_inspects_the_holder_s_credentials() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let token = credentials_token(bed, &client).await;
    for version in [V1, V2] {
        let list = bed
            .api()
            .call(
                version,
                "credentials/list",
                &token,
                json!({"userID": signer.holder.name}),
            )
            .await
            .ok();
        assert_eq!(list["credentialIDs"], json!([signer.credential.id]));
        let body = json!({"credentialID": signer.credential.id});
        bed.api()
            .call(version, "credentials/info", &token, body)
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_revoked_token_is_dead_at_once() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let (id, secret) = (
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    );
    for hint in [
        None,
        Some(("token_type_hint", "access_token")),
        Some(("token_type_hint", "refresh_token")),
    ] {
        let token = credentials_token(bed, &client).await;
        opens(bed, &token, &holder).await.ok();
        let mut fields = vec![("token", token.as_str()), id, secret];
        fields.extend(hint);
        revoke(bed, &fields).await.done();
        opens(bed, &token, &holder)
            .await
            .unauthorised("expired_token");
    }
    let token = credentials_token(bed, &client).await;
    bed.api()
        .form_as(
            "/oauth2/revoke",
            &client.id,
            &client.secret,
            &[("token", &token)],
        )
        .await
        .done();
    opens(bed, &token, &holder)
        .await
        .unauthorised("expired_token");
}

#[tokio::test]
async fn the_revocation_endpoint_refuses_what_its_table_says() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let access = credentials_token(bed, &client).await;
    let token = ("token", access.as_str());
    let (id, secret) = (
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.as_str()),
    );

    revoke(bed, &[id, secret])
        .await
        .refused("Missing parameter token");
    revoke(bed, &[token, ("token_type_hint", "id_token"), id, secret])
        .await
        .refused("Invalid parameter token_type_hint");
    revoke(bed, &[("token", "unknown"), id, secret])
        .await
        .refused("Invalid string parameter token");
    unauthorised(revoke(bed, &[token]).await, "Missing parameter client_id");
    revoke(bed, &[token, ("client_id", "nobody"), secret])
        .await
        .refused("Invalid parameter client_id");
    unauthorised(
        revoke(bed, &[token, id]).await,
        "Client authorization required",
    );
    revoke(bed, &[token, id, ("client_secret", "wrong")])
        .await
        .refused("Invalid parameter client_secret");
    let basic = bed
        .api()
        .form_as("/oauth2/revoke", &client.id, "wrong", &[token])
        .await;
    basic.failed(401, "invalid_client", "Invalid authorization header");
    let api = bed.api();
    let malformed = api
        .post("/oauth2/revoke")
        .header("Authorization", "Basic %%%")
        .form(&[token]);
    api.send(malformed)
        .await
        .failed(401, "invalid_client", "Invalid authorization header");
    opens(bed, &access, &holder).await.ok();
}

#[tokio::test]
async fn a_client_revokes_no_token_of_another() {
    let bed = shared().await;
    let (client, holder) = linked(bed);
    let access = credentials_token(bed, &client).await;
    let other = bed.client();
    let fields = [
        ("token", access.as_str()),
        ("client_id", &other.id),
        ("client_secret", &other.secret),
    ];
    revoke(bed, &fields)
        .await
        .refused("Invalid string parameter token");
    opens(bed, &access, &holder).await.ok();
}

#[tokio::test]
async fn a_registration_comes_from_a_file_and_shows_as_it_was_written() {
    let bed = shared().await;
    let written = "name = \"Example\"\nredirect_uris = [\"https://app.example/cb\"]\ngrants = [\"authorization_code\"]\nrequire_par = true\n";
    let id = bed.client_from(written).id;
    let shown = bed
        .cli(&["client", "show", "--id", &id], &[])
        .expect("client show");
    for line in written.lines() {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let bad = bed.secret_file("name = \"Example\"\nredirect_url = \"https://app.example/cb\"\n");
    let refused = bed.cli(&["client", "change", "--id", &id, "--from", &bad], &[]);
    assert!(refused.stderr.contains("unknown field `redirect_url`"));
}

#[tokio::test]
async fn a_client_gets_tokens_only_in_the_ways_it_is_registered_for() {
    let bed = shared().await;
    let client = bed.client();
    let file = bed.secret_file("name = \"Example\"\ngrants = [\"refresh_token\"]\n");
    let arguments = ["client", "change", "--id", &client.id, "--from", &file];
    bed.cli(&arguments, &[]).expect("client change");
    let text = "The client is not authorized to use this method.";
    granted(bed, &client)
        .await
        .failed(400, "unauthorized_client", text);
}
