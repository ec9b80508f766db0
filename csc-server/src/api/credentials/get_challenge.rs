//! credentials/getChallenge (CSC v2 11.8): sends a code to the holder; the answer 204 says it went out of band.

use axum::extract::State;
use http::StatusCode;

use super::{authorize, send_otp};
use crate::{
    api::{fault::Fault, params::Params},
    app::App,
    credential::Credential,
    ids::CredentialId,
    oauth::ServiceAccess,
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    access: ServiceAccess,
    params: Params,
) -> Result<StatusCode, Fault> {
    const OBJECT: &str = "authObjectID";
    let id = params
        .string("credentialID")
        .map_err(|_| Fault::Invalid("credentialID"))?;
    let object = params.string(OBJECT).map_err(|_| Fault::Invalid(OBJECT))?;
    let credential = Credential::owned_by(&app.store, &access, &CredentialId::new(id)).await?;
    let factor = app.factors.find(&credential.factor).await?;
    if object != authorize::OTP || !factor.is_some_and(|factor| factor.kind.is_sent()) {
        return Err(Fault::Invalid(OBJECT));
    }
    send_otp::send(&app, &access, &credential).await?;
    Ok(StatusCode::NO_CONTENT)
}
