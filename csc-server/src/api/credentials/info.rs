//! credentials/info (CSC v1 11.5, v2 11.5).

use axum::{Extension, Json, extract::State};
use serde_json::{Map, Value};

use super::view::{Detail, view};
use crate::{
    api::{bearer::Access, dialect::Call, fault::Fault, params::Params},
    app::App,
    credential::Credential,
    ids::CredentialId,
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    Extension(call): Extension<Call>,
    access: Access,
    params: Params,
) -> Result<Json<Map<String, Value>>, Fault> {
    let id = CredentialId::new(params.string("credentialID")?);
    let detail = Detail::read(&params, app.info.lang.as_str())?;
    params.check_free_text()?;
    access.covers(&id)?;
    let credential = Credential::owned_by(&app.store, access.service(), &id).await?;
    let mut view = view(&app, &credential, &detail, call.version).await?;
    params.leniency.describe(&mut view);
    Ok(Json(view))
}
