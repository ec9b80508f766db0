//! signatures/signPolling (CSC v2 11.12): what became of an asynchronous operation.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::{fault::Fault, params::Params},
    app::App,
    ids::{HolderId, OperationId},
    oauth::ServiceAccess,
    operation::{Error, Standing},
};

/// Handles the call. A result may be asked for again until its time is over.
pub(crate) async fn handle(
    State(app): State<App>,
    access: ServiceAccess,
    params: Params,
) -> Result<Response, Fault> {
    let id = OperationId::new(params.string("requestID")?);
    let holder = holder(&app, &access, &params).await?;
    params.check_free_text()?;
    match app.operations.find(&id, &access.client, &holder).await {
        Ok(Standing::Pending) => {
            let text = "The previous async request has been accepted but not yet completed";
            let body = json!({ "error": "accepted_request", "error_description": text });
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        Ok(Standing::Ended(outcome)) => {
            let damaged = || Fault::Internal("an outcome cannot be read".to_owned());
            let status = StatusCode::from_u16(outcome.status).map_err(|_| damaged())?;
            let body: Value = serde_json::from_str(&outcome.body).map_err(|_| damaged())?;
            Ok((status, Json(body)).into_response())
        }
        Ok(Standing::Lost) => Err(Fault::Internal(format!("operation {id} was lost"))),
        Err(Error::Unknown) => Err(Fault::Invalid("requestID")),
        Err(error) => Err(error.into()),
    }
}

/// Whose operation: his who logged in, or for a client that acts by itself the one it names.
async fn holder(app: &App, access: &ServiceAccess, params: &Params) -> Result<HolderId, Fault> {
    const WRONG: Fault = Fault::Text("Invalid parameter \"userID\"");
    let user = params.optional_string("userID").map_err(|_| WRONG)?;
    match (&access.holder, user) {
        (Some(_), Some(_)) => Err(Fault::Text("userID parameter SHALL be null")),
        (Some(holder), None) => Ok(holder.clone()),
        (None, None) => Err(WRONG),
        (None, Some(user)) => {
            let holder = app.accounts.by_user_name(user).await?.ok_or(WRONG)?;
            if app.clients.sees(&access.client, &holder).await? {
                Ok(holder.id)
            } else {
                Err(WRONG)
            }
        }
    }
}
