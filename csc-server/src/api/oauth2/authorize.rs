//! oauth2/authorize (CSC v1 8.3.2, v2 8.4.2) and oauth2/pushed_authorize (v2 8.4.3, RFC 9126): what a client asks a holder for.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{
    client::authenticate,
    form::{Form, Refusal},
};
use crate::{
    app::App,
    authorization::{Arrived, Error},
    oauth::fields::Fields,
};

/// The page that asks the holder.
pub(crate) const PAGE: &str = "/authorize";
/// The cookie that binds a request to the browser it came from.
pub(crate) const COOKIE: &str = "__Host-csc-request";
/// Longest query, in octets: CSC v1 8.3.2 keeps the whole URI below 2083 characters; hashes of a batch take more.
const QUERY: usize = 64 * 1024;

/// GET oauth2/authorize: the browser goes to our page, back to the client with an error, or, when nobody knows whether there is a client to
/// go back to, nowhere (RFC 6749 4.1.2.1).
pub(crate) async fn handle(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > QUERY {
        return nowhere("The request is too long.");
    }
    let Some(fields) = Fields::parse(query.as_bytes()) else {
        return nowhere("A parameter is given twice.");
    };
    match app.authorizations.arrive(&fields).await {
        Ok(Arrived::Page { cookie }) => {
            let cookie = format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax");
            match HeaderValue::from_str(&cookie) {
                Ok(cookie) => (
                    StatusCode::SEE_OTHER,
                    [
                        (header::LOCATION, HeaderValue::from_static(PAGE)),
                        (header::SET_COOKIE, cookie),
                    ],
                )
                    .into_response(),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        Ok(Arrived::Back(redirect)) => {
            (StatusCode::FOUND, [(header::LOCATION, redirect.location)]).into_response()
        }
        Err(Error::UnknownClient) => nowhere("This application is not registered."),
        Err(Error::BadRedirect) => nowhere("The address to go back to is not registered."),
        Err(Error::Unknown | Error::Ended) => {
            nowhere("This request has ended. Begin again in your application.")
        }
        Err(error) => Refusal::from(error).into_response(),
    }
}

/// The browser is sent nowhere.
fn nowhere(text: &'static str) -> Response {
    Refusal::request(text).into_response()
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
