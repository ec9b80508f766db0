//! auth/revoke (CSC v1 11.3, v2 11.3): ends a token at once.

use axum::extract::State;
use http::StatusCode;

use crate::{
    api::{fault::Fault, params::Params},
    app::App,
    oauth::{ServiceAccess, token},
};

/// Handles the call. The hint helps nothing: a token is found by its hash, whatever its kind.
pub(crate) async fn handle(
    State(app): State<App>,
    access: ServiceAccess,
    params: Params,
) -> Result<StatusCode, Fault> {
    let token = params.string("token")?;
    let hint = params
        .optional_string("token_type_hint")
        .map_err(|_| INVALID_HINT)?;
    if hint.is_some_and(|hint| hint != "access_token" && hint != "refresh_token") {
        return Err(INVALID_HINT);
    }
    params.check_free_text()?;
    app.tokens
        .revoke(token, &access)
        .await
        .map_err(|error| match error {
            token::Error::Unknown => Fault::Text("Invalid string parameter token"),
            error => error.into(),
        })?;
    Ok(StatusCode::NO_CONTENT)
}

const INVALID_HINT: Fault = Fault::Text("Invalid string parameter token_type_hint");
