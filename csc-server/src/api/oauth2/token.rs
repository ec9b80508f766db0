//! oauth2/token (CSC v1 8.3.3): client credentials and refresh.

use axum::{Json, extract::State};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::{
    client::authenticate,
    form::{Form, Refusal},
};
use crate::{
    app::App,
    oauth::{
        ServiceAccess,
        client::Client,
        registration::Grant,
        token::{self, Issued},
    },
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    form: Form,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Refusal> {
    let client = authenticate(&app, &form).await?;
    let issued = match form
        .get("grant_type")
        .ok_or(Refusal::request("Missing parameter grant_type"))?
    {
        "client_credentials" => {
            allowed(&client, Grant::ClientCredentials)?;
            if form.get("scope").is_some_and(|scope| scope != "service") {
                return Err(Refusal::Said(
                    StatusCode::BAD_REQUEST,
                    "invalid_scope",
                    "The requested scope is invalid, unknown, or malformed.",
                ));
            }
            let refresh = client.registration.allows(Grant::RefreshToken);
            app.tokens
                .issue(&ServiceAccess::new(client.id.clone(), None), refresh)
                .await?
        }
        "refresh_token" => {
            allowed(&client, Grant::RefreshToken)?;
            let token = form
                .get("refresh_token")
                .ok_or(Refusal::request("Missing parameter refresh_token"))?;
            app.tokens
                .refresh(token, &client.id)
                .await
                .map_err(|error| match error {
                    token::Error::Unknown => invalid_grant("Invalid parameter refresh_token"),
                    token::Error::Expired => invalid_grant("Refresh token expired"),
                    error => error.into(),
                })?
        }
        _ => return Err(Refusal::request("Invalid parameter grant_type")),
    };
    // RFC 6749 5.1, beside the Cache-Control of every answer.
    Ok(([(header::PRAGMA, "no-cache")], Json(answer(&issued))))
}

/// RFC 6749 5.2: a client gets tokens in the ways it is registered for.
fn allowed(client: &Client, grant: Grant) -> Result<(), Refusal> {
    if client.registration.allows(grant) {
        Ok(())
    } else {
        Err(Refusal::Said(
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
            "The client is not authorized to use this method.",
        ))
    }
}

fn invalid_grant(text: &'static str) -> Refusal {
    Refusal::Said(StatusCode::BAD_REQUEST, "invalid_grant", text)
}

fn answer(issued: &Issued) -> Value {
    json!({
        "access_token": issued.access,
        "refresh_token": issued.refresh,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
    })
}
