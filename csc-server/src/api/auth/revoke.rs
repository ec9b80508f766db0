//! auth/revoke (CSC v1 11.3, v2 11.3): ends a token at once.

use axum::extract::State;
use http::StatusCode;

use crate::{
    api::{fault::Fault, params::Params},
    app::App,
    credential,
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
    let holder = access.holder.as_ref();
    match app.tokens.revoke(token, &access.client, holder).await {
        Ok(grant) => {
            app.keys.end_grant(&grant).await?;
            app.questions.end_grant(&grant).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        Err(token::Error::Unknown) => revoke_sad(&app, &access, token).await,
        Err(error) => Err(error.into()),
    }
}

/// A SAD is a token too.
async fn revoke_sad(app: &App, access: &ServiceAccess, token: &str) -> Result<StatusCode, Fault> {
    const UNKNOWN: Fault = Fault::Text("Invalid string parameter token");
    match app.keys.revoke(access, token).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(credential::Error::InvalidSad) => Err(UNKNOWN),
        Err(error) => Err(error.into()),
    }
}

const INVALID_HINT: Fault = Fault::Text("Invalid string parameter token_type_hint");
