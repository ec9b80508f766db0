//! Scripts of other origins (Fetch standard, CORS): those of a client may call the API from the origins of its registration, and nobody else's.
//!
//! A preflight does not say which client is meant: it is answered for every registered origin. Then the origin must be one of the client that
//! the token says; where nobody is named (info, a refusal before the token was read) it is again every registered origin. No answer allows
//! cookies: `Access-Control-Allow-Credentials` is never sent, and `*` neither.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};

use super::{fault::Fault, leniency::Caller};
use crate::app::App;

/// What scripts may send and read beyond what they always may.
const SENT: HeaderValue = HeaderValue::from_static("authorization, content-type, dpop");
const READ: HeaderValue =
    HeaderValue::from_static("dpop-nonce, retry-after, www-authenticate, x-request-id");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// Seconds for which a browser remembers a preflight.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The layer around every route.
pub(super) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let caller = request.extensions().get::<Caller>().cloned();
    let mut response = match preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let allowed = match allows(&app, &origin, &caller.unwrap_or_default()).await {
        Ok(allowed) => allowed,
        Err(fault) => {
            tracing::warn!(?fault, "registered origins cannot be read");
            false
        }
    };
    if preflight && !allowed {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    let headers = response.headers_mut();
    // Also where it is refused: what is cached for one origin is not for another.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        match preflight {
            true => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SENT);
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
            }
            false => {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READ);
            }
        }
    }
    response
}

async fn allows(app: &App, origin: &HeaderValue, caller: &Caller) -> Result<bool, Fault> {
    let Ok(origin) = origin.to_str() else {
        return Ok(false);
    };
    Ok(match caller.client(app).await? {
        Some(client) => client
            .registration
            .cors_origins
            .iter()
            .any(|of| of == origin),
        None => app.clients.origins().await?.contains(origin),
    })
}
