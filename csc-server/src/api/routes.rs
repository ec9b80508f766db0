//! Every URL on one screen.

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, post},
};
use http::{HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    auth, cors, credentials,
    dialect::{Method, Version},
    fault::{Fault, render},
    info,
    leniency::{self, Caller},
    oauth2, openapi, signatures,
};
use crate::{
    app::App, ids::random_id, listener::PeerAddress, portal, rates::Rates, routes::Routes,
    timekeeper::TimeTrust,
};

/// Identifier of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub String);

/// The service over HTTPS.
pub fn router(app: App) -> Router {
    methods(&app.time)
        .into_router()
        .merge(portal::under_one_roof(pages(), &app))
        .fallback(not_found)
        .layer(from_fn_with_state(app.clone(), leniency::answer))
        .layer(from_fn_with_state(app.clone(), cors::layer))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.limits.body, whole))
        .layer(from_fn_with_state(app.limits.time, finish))
        .layer(from_fn_with_state(app.rates.clone(), bounded))
        .layer(middleware::from_fn(observe))
        .with_state(app)
}

/// Its URLs.
pub fn routes(time: &TimeTrust) -> Routes<App> {
    methods(time).merge(pages())
}

/// What a browser asks for.
fn pages() -> Routes<App> {
    portal::routes()
        .get("/oauth2/authorize", oauth2::authorize::handle)
        .get("//oauth2/authorize", oauth2::authorize::handle)
}

fn methods(time: &TimeTrust) -> Routes<App> {
    Routes::new()
        .nest("/csc/v1", csc(Version::V1, time))
        .nest("/csc/v2", csc(Version::V2, time))
        .merge(as_server("/oauth2"))
        // Some clients take a base URI for one that ends in a slash, or look for revocation beside it.
        .merge(as_server("//oauth2"))
        .post("/revoke", oauth2::revoke::handle)
        .get(
            "/.well-known/oauth-authorization-server",
            oauth2::metadata::handle,
        )
        .get(
            "/.well-known/openid-configuration",
            oauth2::metadata::handle,
        )
        .get("/openapi.json", openapi::handle)
}

/// The endpoints of the authorization server.
fn as_server(base: &str) -> Routes<App> {
    Routes::new()
        .post(&format!("{base}/pushed_authorize"), oauth2::authorize::push)
        .post(&format!("{base}/token"), oauth2::token::handle)
        .post(&format!("{base}/revoke"), oauth2::revoke::handle)
}

fn csc(version: Version, time: &TimeTrust) -> Routes<App> {
    let unserved = Method::unserved(version)
        .iter()
        .fold(Routes::new(), |routes, path| {
            let handler = any(credentials::send_otp::handle_in_v2);
            let method = Method::CredentialsSendOtp;
            let handler = handler.layer(from_fn_with_state((version, method), render));
            routes.put("ANY", &format!("/{path}"), handler)
        });
    Method::served(version)
        .into_iter()
        .fold(unserved, |routes, method| {
            let handler: MethodRouter<App> = match method {
                Method::Info => post(info::handle),
                Method::AuthLogin => post(auth::login::handle),
                Method::AuthRevoke => post(auth::revoke::handle),
                Method::CredentialsList => post(credentials::list::handle),
                Method::CredentialsInfo => post(credentials::info::handle),
                Method::CredentialsAuthorize => post(credentials::authorize::handle),
                Method::CredentialsAuthorizeCheck => post(credentials::authorize_check::handle),
                Method::CredentialsExtendTransaction => {
                    post(credentials::extend_transaction::handle)
                }
                Method::CredentialsCreate => post(credentials::create::handle),
                Method::CredentialsDelete => post(credentials::delete::handle),
                Method::CredentialsSendOtp => post(credentials::send_otp::handle),
                Method::CredentialsGetChallenge => post(credentials::get_challenge::handle),
                Method::SignaturesSignHash => post(signatures::sign_hash::handle),
                Method::SignaturesSignDoc => post(signatures::sign_doc::handle),
                Method::SignaturesSignPolling => post(signatures::sign_polling::handle),
                Method::SignaturesTimestamp => post(signatures::timestamp::handle),
            };
            let handler = match method {
                Method::CredentialsAuthorize
                | Method::CredentialsExtendTransaction
                | Method::SignaturesSignHash
                | Method::SignaturesSignDoc => {
                    handler.layer(from_fn_with_state(time.clone(), in_time))
                }
                _ => handler,
            };
            let handler = match method {
                Method::Info => handler.fallback(info::handle_other),
                _ => handler.fallback(not_allowed),
            };
            let handler = handler.layer(from_fn_with_state((version, method), render));
            routes.put("POST", &format!("/{}", method.path()), handler)
        })
}

/// Nothing is approved or signed while nobody knows what time it is (SC-87).
async fn in_time(State(time): State<TimeTrust>, request: Request, next: Next) -> Response {
    match time.check() {
        Ok(()) => next.run(request).await,
        Err(distrust) => Fault::from(distrust).into_response(),
    }
}

async fn not_found() -> Response {
    Fault::NotFound.render(Method::Info, Version::V2)
}

async fn not_allowed() -> Fault {
    Fault::MethodNotAllowed
}

/// Refuses who asks too fast, before a body is read or anything else done for him.
async fn bounded(State(rates): State<Rates>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<PeerAddress>();
    match peer.map_or(Ok(()), |PeerAddress(peer)| rates.request(peer.ip())) {
        Ok(()) => next.run(request).await,
        Err(error) => Fault::from(error).render(Method::Info, Version::V1),
    }
}

/// Takes the whole body, within bounds, before anything else looks at the request. What a handler leaves unread would close the connection
/// under a client that means to go on using it.
async fn whole(State(limit): State<usize>, request: Request, next: Next) -> Response {
    if is_long_with_documents(&request, limit) {
        return next.run(request).await;
    }
    let on_http1 = request.version() < http::Version::HTTP_2;
    let (parts, body) = request.into_parts();
    let fault = match Limited::new(body, limit).collect().await {
        Ok(body) => {
            let body = Body::from(body.to_bytes());
            return next.run(Request::from_parts(parts, body)).await;
        }
        Err(error) if error.is::<LengthLimitError>() => Fault::TooLarge,
        Err(_) => Fault::Malformed,
    };
    let mut response = fault.render(Method::Info, Version::V1);
    if on_http1 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Whether documents come that are longer than other bodies may be: they are read only when it is known who sends them, and it is his turn.
fn is_long_with_documents(request: &Request, limit: usize) -> bool {
    let path = request.extensions().get::<MatchedPath>();
    let with_documents = path.is_some_and(|path| {
        let method = Method::SignaturesSignDoc.path();
        path.as_str().ends_with(method)
    });
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    with_documents && length.is_none_or(|length| length > limit)
}

/// Finishes every request that was begun, also when its client hangs up in the middle: a signature that was counted is recorded, a PIN
/// try that was reserved is settled. Who waits too long is told so; the work goes on.
async fn finish(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let fault = match timeout(limit, tokio::spawn(next.run(request))).await {
        Ok(Ok(response)) => return response,
        Ok(Err(panic)) => Fault::Internal(panic.to_string()),
        Err(late) => Fault::Unavailable {
            retry_after: Duration::from_secs(1),
            cause: late.to_string(),
        },
    };
    if let Fault::Internal(cause) | Fault::Unavailable { cause, .. } = &fault {
        tracing::error!(%cause, "a request did not end");
    }
    fault.render(Method::Info, Version::V2)
}

/// Gives each request an identifier, one log line and its metrics. Neither query nor body nor headers are logged.
async fn observe(mut request: Request, next: Next) -> Response {
    let id = random_id();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(Caller::default());
    let method = request.method().clone();
    // The route, not the path: what a client types must not become a label or a log entry.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", |path| path.as_str())
        .to_owned();
    let began = Instant::now();
    let mut response = next.run(request).await.into_response();
    let (took, status) = (began.elapsed(), response.status());
    tracing::info!(request = id, %method, route, status = status.as_u16(), ms = took.as_micros() as f64 / 1000.0, "request");
    let labels = [("route", route), ("status", status.as_u16().to_string())];
    metrics::counter!("csc_requests_total", &labels).increment(1);
    metrics::histogram!("csc_request_seconds", &labels).record(took.as_secs_f64());
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
