//! Client authentication at the OAuth endpoints: secret in the Authorization header or in the form.

use std::sync::Arc;

use http::StatusCode;

use super::form::{Form, Refusal};
use crate::{
    api::basic::basic,
    app::App,
    ids::ClientId,
    oauth::{client::Client, registration::Authentication},
};

/// The client that sent this form.
///
/// # Errors
/// The texts of CSC v1 8.3.3 and 8.3.4; whoever is not who he says gets 401 by header and 400 by form, as there.
pub(super) async fn authenticate(app: &App, form: &Form) -> Result<Arc<Client>, Refusal> {
    const BAD_HEADER: Refusal = Refusal::Said(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "Invalid authorization header",
    );
    if let Some(header) = basic(&form.headers) {
        let (id, secret) = header.map_err(|_| BAD_HEADER)?;
        if form.get("client_id").is_some_and(|named| named != id) {
            return Err(Refusal::request("Invalid parameter client_id"));
        }
        let client = app.clients.find(&ClientId::new(id)).await?;
        let client = client.ok_or(BAD_HEADER)?;
        return match believes(app, &client, &secret).await? {
            true => Ok(client),
            false => Err(BAD_HEADER),
        };
    }
    let id = form
        .get("client_id")
        .ok_or(Refusal::request("Missing parameter client_id"))?;
    let client = app.clients.find(&ClientId::new(id)).await?;
    let client = client.ok_or(Refusal::request("Invalid parameter client_id"))?;
    let secret = form.get("client_secret").ok_or(Refusal::Said(
        StatusCode::UNAUTHORIZED,
        "invalid_request",
        "Client authorization required",
    ))?;
    if believes(app, &client, secret).await? {
        Ok(client)
    } else {
        Err(Refusal::request("Invalid parameter client_secret"))
    }
}

/// Whether this is the client's secret, and it is to prove itself by it; a wrong one is recorded.
async fn believes(app: &App, client: &Client, secret: &str) -> Result<bool, Refusal> {
    let believed =
        client.registration.authentication == Authentication::Secret && client.has_secret(secret);
    if !believed {
        app.clients.not_believed(client).await?;
    }
    Ok(believed)
}
