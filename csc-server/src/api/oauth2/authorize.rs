//! oauth2/authorize (CSC v1 8.3.2, v2 8.4.2) and oauth2/pushed_authorize (v2 8.4.3, RFC 9126): what a client asks a holder for.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::{
    client::authenticate,
    form::{Form, Refusal},
};
use crate::{
    app::App,
    authorization::Arrived,
    oauth::fields::Fields,
    portal::{Problem, authorize, kept, with_cookie},
};

/// Longest query, in octets: CSC v1 8.3.2 keeps the whole URI below 2083 characters; hashes of a batch take more.
const QUERY: usize = 64 * 1024;

/// GET oauth2/authorize: the browser goes to our page, back to the client with an error, or, when nobody knows whether there is a client to
/// go back to, nowhere (RFC 6749 4.1.2.1).
pub(crate) async fn handle(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    if query.len() > QUERY {
        return Err(Problem::BadRequest);
    }
    let fields = Fields::parse(query.as_bytes()).ok_or(Problem::BadRequest)?;
    match app.authorizations.arrive(&fields).await? {
        Arrived::Page { cookie } => {
            let page = Redirect::to(authorize::PATH);
            Ok(with_cookie(page, &kept(authorize::COOKIE, &cookie)))
        }
        Arrived::Back(redirect) => {
            let location = [(header::LOCATION, redirect.location)];
            Ok((StatusCode::FOUND, location).into_response())
        }
    }
}

/// POST oauth2/pushed_authorize.
pub(crate) async fn push(
    State(app): State<App>,
    form: Form,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<Value>), Refusal> {
    let (client, _) = authenticate(&app, &form).await?;
    let pushed = app.authorizations.push(&client, &form.fields).await?;
    let answer = json!({ "request_uri": pushed.request_uri, "expires_in": pushed.expires_in });
    Ok((
        StatusCode::CREATED,
        [(header::PRAGMA, "no-cache")],
        Json(answer),
    ))
}
