//! credentials/authorizeCheck (CSC v2 11.7): whether the holder has answered.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::authorize::{answer, pending};
use crate::{
    api::{fault::Fault, params::Params},
    app::App,
    oauth::ServiceAccess,
    question::Checked,
};

/// Handles the call.
pub(crate) async fn handle(
    State(app): State<App>,
    access: ServiceAccess,
    params: Params,
) -> Result<Response, Fault> {
    const HANDLE: &str = "handle";
    let handle = params.string(HANDLE).map_err(|_| Fault::Invalid(HANDLE))?;
    match app.questions.check(&access, handle).await? {
        Checked::Waiting => Ok(pending(handle)),
        Checked::Approved(issued) => Ok(Json(answer(&issued)).into_response()),
    }
}
