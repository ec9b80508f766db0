//! credentials/delete (CSC v2.2): the end of a credential that the holder agreed to on our page. Its key is destroyed whatever `revoke` says; a
//! certificate without its key is revoked.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{
    api::{bearer::Life, fault::Fault, params::Params},
    app::App,
    credential::{self, Credential},
    ids::CredentialId,
};

const REQUEST: &str = "credentialDeletionRequest";

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    access: Life<true>,
    params: Params,
) -> Result<Response, Fault> {
    let request = params.object(REQUEST)?;
    let id = match request.get("credentialID") {
        None => return Err(Fault::MissingString("credentialID")),
        Some(id) => id.as_str().ok_or(Fault::Invalid("credentialID"))?,
    };
    let revoke = match request.get("revoke") {
        None | Some(serde_json::Value::Null) => false,
        Some(revoke) => revoke.as_bool().ok_or(Fault::Invalid("revoke"))?,
    };
    // RFC 5280 5.3.1: 7 is not used.
    match request.get("revocationReason") {
        None | Some(serde_json::Value::Null) if revoke => {
            return Err(Fault::MissingInteger("revocationReason"));
        }
        None | Some(serde_json::Value::Null) => {}
        Some(reason) if matches!(reason.as_i64(), Some(0..=6 | 8..=10)) => {}
        Some(_) => return Err(Fault::Invalid("revocationReason")),
    }
    params.check_free_text()?;
    if access.credential() != CredentialId::new(id) {
        return Err(Fault::Invalid("credentialID"));
    }
    let found = Credential::by_id(&app.store, &access.credential()).await?;
    let credential = found.ok_or(Fault::Invalid("credentialID"))?;
    match app.keys.revoke_credential(&credential).await {
        Ok(()) => access.use_up(&app).await?,
        Err(credential::Error::WrongState(_)) => return Err(Fault::ExpiredToken),
        Err(error) => return Err(error.into()),
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
