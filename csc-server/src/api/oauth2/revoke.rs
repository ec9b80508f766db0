//! oauth2/revoke (CSC v1 8.3.4): 204, and unlike RFC 7009 an unknown token is an error.

use axum::extract::State;
use http::StatusCode;

use super::{
    client::authenticate,
    form::{Form, Refusal},
};
use crate::{
    app::App,
    credential,
    oauth::{ServiceAccess, token},
};

/// Handles the call.
pub(crate) async fn handle(State(app): State<App>, form: Form) -> Result<StatusCode, Refusal> {
    let (client, caller) = authenticate(&app, &form).await?;
    let token = form
        .get("token")
        .ok_or(Refusal::request("Missing parameter token"))?;
    if form
        .get("token_type_hint")
        .is_some_and(|hint| hint != "access_token" && hint != "refresh_token")
    {
        return Err(Refusal::request("Invalid parameter token_type_hint"));
    }
    match app.tokens.revoke(token, &client.id, None).await {
        Ok(grant) => {
            app.keys.end_grant(&grant).await?;
            app.questions.end_grant(&grant).await?;
        }
        // A SAD or a credential token.
        Err(token::Error::Unknown) => {
            let access = ServiceAccess::new(client.id.clone(), None).of(caller);
            match app.keys.revoke(&access, token).await {
                Ok(()) => {}
                Err(credential::Error::InvalidSad) => {
                    return Err(Refusal::request("Invalid string parameter token"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT)
}
