//! credentials/sendOTP (CSC v1 11.8): sends a code to the holder.

use axum::{Extension, extract::State};
use http::StatusCode;

use crate::{
    api::{fault::Fault, leniency::Caller, params::Params},
    app::App,
    credential::Credential,
    factor::Purpose,
    ids::CredentialId,
    oauth::{ServiceAccess, switches::Switch},
};

/// Handles the call. A factor that makes its codes by itself has nothing to send: `Invalid parameter credentialID`.
pub(crate) async fn handle(
    State(app): State<App>,
    access: ServiceAccess,
    params: Params,
) -> Result<StatusCode, Fault> {
    let id = CredentialId::new(params.string("credentialID")?);
    params.check_free_text()?;
    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    send(&app, &access, &credential).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Handles the call in v2, where the specification does not have it (CSC v2 11 names it in a table only).
pub(crate) async fn handle_in_v2(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    access: Result<ServiceAccess, Fault>,
    params: Result<Params, Fault>,
) -> Result<StatusCode, Fault> {
    let access = access.map_err(|_| Fault::NotImplemented)?;
    match caller.may(&app, Switch::SendOtpInV2).await? {
        true => handle(State(app), access, params?).await,
        false => Err(Fault::NotImplemented),
    }
}

/// Sends a code for this credential; also what getChallenge does.
pub(crate) async fn send(
    app: &App,
    access: &ServiceAccess,
    credential: &Credential,
) -> Result<(), Fault> {
    let missing = |what: &str| Fault::Internal(format!("a credential without its {what}"));
    let factor = app
        .factors
        .find(&credential.factor)
        .await?
        .ok_or_else(|| missing("factor"))?;
    let holder = app
        .accounts
        .by_id(&credential.holder)
        .await?
        .ok_or_else(|| missing("holder"))?;
    let client = app
        .clients
        .find(&access.client)
        .await?
        .ok_or(Fault::InvalidToken)?;
    Ok(app
        .factors
        .send(&factor, credential, &holder, &client, Purpose::Sign)
        .await?)
}
