//! credentials/extendTransaction (CSC v1 11.7, v2 11.9): a new SAD for what is left of a live one.

use axum::{Extension, Json, extract::State};
use serde_json::Value;

use super::authorize::answer;
use crate::{
    api::{
        algorithms,
        dialect::{Call, Version},
        fault::Fault,
        params::Params,
    },
    app::App,
    credential::Credential,
    ids::CredentialId,
    oauth::ServiceAccess,
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    access: ServiceAccess,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let id = CredentialId::new(params.string("credentialID")?);
    let sad = params.string("SAD")?;
    let name = call.version.hashes();
    let hashes = params.hashes(name, name, app.limits.hashes)?;
    if call.version == Version::V2 {
        let digest = algorithms::digest(params.string("hashAlgorithmOID")?, "hashAlgorithmOID")?;
        if !hashes.iter().all(|hash| hash.fits(digest)) {
            return Err(Fault::Text("Invalid digest value length"));
        }
    }
    params.check_free_text()?;
    let credential = Credential::owned_by(&app.store, &access, &id).await?;
    let issued = app.keys.extend(&access, &credential, sad, &hashes).await?;
    Ok(Json(answer(&issued)))
}
