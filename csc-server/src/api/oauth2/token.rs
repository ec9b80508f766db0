//! oauth2/token (CSC v1 8.3.3, v2 8.4.4): codes, client credentials and refresh tokens become access tokens.

use axum::{Json, extract::State};
use http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    client::authenticate,
    form::{Form, Refusal},
};
use crate::{
    app::App,
    authorization::{CodeRequest, Granted, Untraded},
    oauth::{
        Caller, ServiceAccess,
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
    let (client, caller) = authenticate(&app, &form).await?;
    let proof = caller.confirmation.clone();
    let mut answer = match form
        .get("grant_type")
        .ok_or(Refusal::request("Missing parameter grant_type"))?
    {
        "authorization_code" => {
            allowed(&client, Grant::AuthorizationCode)?;
            code(&app, &client, &form, caller).await?
        }
        "client_credentials" => {
            allowed(&client, Grant::ClientCredentials)?;
            client_credentials(&app, &client, &form, caller).await?
        }
        "refresh_token" => {
            allowed(&client, Grant::RefreshToken)?;
            refresh(&app, &client, &form, caller).await?
        }
        _ => return Err(Refusal::request("Invalid parameter grant_type")),
    };
    // RFC 9449 5; a token of the scope credential keeps its name in v1.
    let bearer = answer.get("token_type") == Some(&json!("Bearer"));
    if bearer && proof.is_some_and(|key| key.starts_with("jkt:")) {
        answer.insert("token_type".into(), json!("DPoP"));
    }
    // RFC 6749 5.1, beside the Cache-Control of every answer.
    Ok(([(header::PRAGMA, "no-cache")], Json(Value::Object(answer))))
}

async fn code(
    app: &App,
    client: &Client,
    form: &Form,
    caller: Caller,
) -> Result<Map<String, Value>, Refusal> {
    let request = CodeRequest {
        code: form
            .get("code")
            .ok_or(Refusal::request("Missing parameter code"))?,
        redirect_uri: form.get("redirect_uri"),
        code_verifier: form.get("code_verifier"),
        authorization_details: form.get("authorization_details"),
    };
    let granted = app.authorizations.trade(client, &request, caller).await;
    match granted.map_err(untraded)? {
        Granted::Service(issued) => Ok(service(&issued)),
        Granted::Life { token, details } => {
            let mut answer = service(&token);
            if let Some(details) = details {
                answer.insert("authorization_details".into(), json!([details]));
            }
            Ok(answer)
        }
        Granted::Credential {
            traded,
            version,
            details,
            chosen,
        } => {
            let mut answer = Map::new();
            answer.insert("access_token".into(), json!(traded.token.sad));
            // v1 8.3.3: the token of the scope credential is a SAD by name as well.
            let token_type = if version == 1 { "SAD" } else { "Bearer" };
            answer.insert("token_type".into(), json!(token_type));
            answer.insert("expires_in".into(), json!(traded.token.expires_in));
            if chosen {
                let id = traded.credential.to_string();
                answer.insert("credentialID".into(), json!(id));
            }
            if let Some(details) = details {
                answer.insert("authorization_details".into(), json!([details]));
            }
            Ok(answer)
        }
    }
}

async fn client_credentials(
    app: &App,
    client: &Client,
    form: &Form,
    caller: Caller,
) -> Result<Map<String, Value>, Refusal> {
    if form.get("scope").is_some_and(|scope| scope != "service") {
        return Err(Refusal::Said(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "The requested scope is invalid, unknown, or malformed.",
        ));
    }
    let refresh = client.registration.allows(Grant::RefreshToken);
    let access = ServiceAccess::new(client.id.clone(), None).of(caller);
    Ok(service(&app.tokens.issue(&access, refresh).await?))
}

async fn refresh(
    app: &App,
    client: &Client,
    form: &Form,
    caller: Caller,
) -> Result<Map<String, Value>, Refusal> {
    // CSC v1 8.3.3 calls it so in its sample.
    let token = form
        .get("refresh_token")
        .or_else(|| form.get("refreshToken"))
        .ok_or(Refusal::request("Missing parameter refresh_token"))?;
    match app.tokens.refresh(token, &client.id, caller).await {
        Ok(issued) => Ok(service(&issued)),
        Err(token::Error::Unknown) => Err(invalid_grant("Invalid parameter refresh_token")),
        Err(token::Error::Expired) => Err(invalid_grant("Refresh token expired")),
        Err(token::Error::Reused(grant)) => {
            app.keys.end_grant(&grant).await?;
            Err(invalid_grant("Refresh token expired"))
        }
        Err(error) => Err(error.into()),
    }
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

/// CSC v1 8.3.3; RFC 7636 4.6 and RFC 9396 5 where it is silent.
fn untraded(error: Untraded) -> Refusal {
    match error {
        Untraded::Unknown => invalid_grant("Invalid parameter code"),
        Untraded::Expired => invalid_grant("Authorization code is invalid or expired"),
        Untraded::OtherRedirect => invalid_grant(
            "redirect_uri parameter does not match redirect_uri parameter of authorization request",
        ),
        Untraded::NoVerifier => Refusal::request("Missing parameter code_verifier"),
        Untraded::OtherVerifier => invalid_grant("Invalid parameter code_verifier"),
        Untraded::OtherKey => invalid_grant("The code is for another key"),
        Untraded::NoDetails => Refusal::request("Missing parameter authorization_details"),
        Untraded::OtherDetails => Refusal::Said(
            StatusCode::BAD_REQUEST,
            "invalid_authorization_details",
            "authorization_details are not what was approved",
        ),
        Untraded::Failed(error) => error.into(),
    }
}

fn invalid_grant(text: &'static str) -> Refusal {
    Refusal::Said(StatusCode::BAD_REQUEST, "invalid_grant", text)
}

fn service(issued: &Issued) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("access_token".into(), json!(issued.access));
    if let Some(refresh) = &issued.refresh {
        answer.insert("refresh_token".into(), json!(refresh));
    }
    answer.insert("token_type".into(), json!("Bearer"));
    answer.insert("expires_in".into(), json!(issued.expires_in));
    answer
}
