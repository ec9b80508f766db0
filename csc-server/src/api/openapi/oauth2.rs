//! The OAuth endpoints: forms.

use serde_json::{Value, json};

use super::{
    Answer, Body, Operation, Security,
    schema::{answer, one_of, request, seconds, text},
};

/// HTTP method, path, and what it is.
pub(super) fn operations() -> Vec<(&'static str, &'static str, Operation)> {
    let client = json!({
        "client_id": text(), "client_secret": text(), "client_assertion": text(), "client_assertion_type": text(),
    });
    let revoke = |path| {
        (
            "post",
            path,
            form(
                "End a token at once",
                json!({ "token": text() }),
                &client,
                json!({ "token_type_hint": one_of(&["access_token", "refresh_token"]) }),
                Answer::empty("The token has ended."),
            ),
        )
    };
    let metadata = |path| ("get", path, metadata());
    vec![
        metadata("/.well-known/oauth-authorization-server"),
        metadata("/.well-known/openid-configuration"),
        ("get", "/oauth2/authorize", authorize()),
        (
            "post",
            "/oauth2/pushed_authorize",
            form(
                "Push an authorization request",
                json!({ "response_type": one_of(&["code"]) }),
                &client,
                asked(),
                pushed(),
            ),
        ),
        (
            "post",
            "/oauth2/token",
            form(
                "Tokens for a client",
                json!({ "grant_type": one_of(&["authorization_code", "client_credentials", "refresh_token"]) }),
                &client,
                json!({
                    "code": text(), "redirect_uri": text(), "code_verifier": text(), "authorization_details": text(),
                    "refresh_token": text(), "scope": text(),
                }),
                token(),
            ),
        ),
        revoke("/oauth2/revoke"),
        revoke("/revoke"),
    ]
}

/// What an authorization request may say, in a URL or pushed.
const ASKED: [&str; 18] = [
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "lang",
    "credentialID",
    "signatureQualifier",
    "numSignatures",
    "hash",
    "hashes",
    "hashAlgorithmOID",
    "authorization_details",
    "description",
    "account_token",
    "clientData",
    "dpop_jkt",
    "prompt",
];

fn asked() -> Value {
    ASKED
        .iter()
        .map(|name| ((*name).to_owned(), text()))
        .collect()
}

fn authorize() -> Operation {
    let names = ["client_id", "response_type", "request_uri"];
    let all = names.iter().chain(&ASKED);
    let parameters = all.map(|name| json!({ "name": name, "in": "query", "schema": text() }));
    let goes = |status, meaning, headers| Answer {
        status,
        meaning,
        schema: None,
        headers,
    };
    Operation {
        summary: "Ask the holder, in his browser",
        security: Security::Browser,
        parameters: parameters.collect(),
        body: None,
        answers: vec![
            goes(302, "Back to the client, with an error.", &["Location"]),
            goes(303, "To the page that asks.", &["Location", "Set-Cookie"]),
        ],
    }
}

fn metadata() -> Operation {
    Operation {
        summary: "Metadata of the authorization server (RFC 8414)",
        security: Security::Public,
        parameters: vec![],
        body: None,
        answers: Answer::ok(json!({ "type": "object", "required": ["issuer", "token_endpoint"] })),
    }
}

fn pushed() -> Vec<Answer> {
    let schema = answer(
        json!({ "request_uri": text(), "expires_in": seconds() }),
        json!({}),
    );
    vec![Answer {
        headers: &["Pragma"],
        ..Answer::new(201, "The name of the request, for one use.", schema)
    }]
}

fn form(
    summary: &'static str,
    required: Value,
    client: &Value,
    mut optional: Value,
    answers: Vec<Answer>,
) -> Operation {
    if let (Some(optional), Some(client)) = (optional.as_object_mut(), client.as_object()) {
        optional.extend(client.clone());
    }
    // A form has no null: an empty value is absence (RFC 6749 3.2).
    for words in optional
        .as_object_mut()
        .into_iter()
        .flat_map(|members| members.values_mut())
        .filter_map(|schema| schema.get_mut("enum")?.as_array_mut())
    {
        words.push(json!(""));
    }
    let mut schema = request(required, json!({}));
    if let (Some(members), Value::Object(optional)) = (
        schema
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut),
        optional,
    ) {
        members.extend(optional);
    }
    Operation {
        summary,
        security: Security::ShownOrInBody("client"),
        parameters: vec![],
        body: Some(Body {
            media_type: "application/x-www-form-urlencoded",
            required: true,
            schema,
        }),
        answers,
    }
}

fn token() -> Vec<Answer> {
    let schema = answer(
        json!({ "access_token": text(), "token_type": one_of(&["Bearer", "SAD", "DPoP"]), "expires_in": seconds() }),
        json!({
            "refresh_token": text(), "credentialID": text(),
            "authorization_details": { "type": "array", "items": { "type": "object" } },
        }),
    );
    vec![Answer {
        headers: &["Pragma"],
        ..Answer::new(200, "Tokens.", schema)
    }]
}
