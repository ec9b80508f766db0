//! The OAuth endpoints: forms.

use serde_json::{Value, json};

use super::{
    Answer, Body, Operation, Security,
    schema::{answer, one_of, request, seconds, text},
};

/// HTTP method, path, and what it is.
pub(super) fn operations() -> Vec<(&'static str, &'static str, Operation)> {
    let client = json!({ "client_id": text(), "client_secret": text() });
    vec![
        (
            "post",
            "/oauth2/token",
            form(
                "Tokens for a client",
                json!({ "grant_type": one_of(&["client_credentials", "refresh_token"]) }),
                &client,
                json!({ "refresh_token": text(), "scope": one_of(&["service"]) }),
                token(),
            ),
        ),
        (
            "post",
            "/oauth2/revoke",
            form(
                "End a token at once",
                json!({ "token": text() }),
                &client,
                json!({ "token_type_hint": one_of(&["access_token", "refresh_token"]) }),
                Answer::empty("The token has ended."),
            ),
        ),
    ]
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
        json!({ "access_token": text(), "token_type": one_of(&["Bearer"]), "expires_in": seconds() }),
        json!({ "refresh_token": text(), "scope": text() }),
    );
    vec![Answer {
        headers: &["Pragma"],
        ..Answer::new(200, "Tokens.", schema)
    }]
}
