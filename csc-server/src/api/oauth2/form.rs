//! The form of an OAuth request, and how it is refused.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    api::{
        basic::basic,
        dialect::{Method, Version},
        fault::Fault,
        leniency,
    },
    app::App,
};

/// Largest form taken, in octets.
const FORM: usize = 16 * 1024;

/// The parameters of an OAuth request, each given once, with the headers that may authenticate the client.
pub(crate) struct Form {
    members: HashMap<String, Zeroizing<String>>,
    /// Headers of the request.
    pub headers: HeaderMap,
}

impl Form {
    /// A parameter; an empty one counts as absent (RFC 6749 3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.members
            .get(name)
            .map(|value| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

impl FromRequest<App> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let headers = request.headers().clone();
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type
            .and_then(|value| value.split(';').next())
            .map(str::trim);
        let in_url = match request.uri().query() {
            Some(query) => {
                let named = basic(&headers).and_then(|pair| Some(pair.ok()?.0));
                leniency::query(app, query, named).await?
            }
            None => Vec::new(),
        };
        let is_form = media_type.is_some_and(|media_type| {
            media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form && in_url.is_empty() {
            return Err(Refusal::malformed());
        }
        let body = Limited::new(request.into_body(), FORM)
            .collect()
            .await
            .map_err(|_| Refusal::malformed())?;
        let body = body.to_bytes();
        let mut members = HashMap::new();
        let in_body = url::form_urlencoded::parse(&body).into_owned();
        for (name, value) in in_body.chain(in_url) {
            if members.insert(name, Zeroizing::new(value)).is_some() {
                return Err(Refusal::malformed());
            }
        }
        Ok(Self { members, headers })
    }
}

/// Why an OAuth request is refused.
pub(crate) enum Refusal {
    /// Status, `error`, `error_description`.
    Said(StatusCode, &'static str, &'static str),
    /// As everywhere else.
    Fault(Fault),
}

impl Refusal {
    /// `invalid_request` with this text.
    pub(crate) fn request(text: &'static str) -> Self {
        Self::Said(StatusCode::BAD_REQUEST, "invalid_request", text)
    }

    fn malformed() -> Self {
        Self::Fault(Fault::Malformed)
    }
}

impl<E: Into<Fault>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Said(status, error, text) => {
                let body = Json(json!({ "error": error, "error_description": text }));
                let mut response = (status, body).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    let challenge = HeaderValue::from_static(r#"Basic realm="csc""#);
                    response
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Self::Fault(fault) => {
                if let Fault::Internal(cause) | Fault::Unavailable { cause, .. } = &fault {
                    tracing::error!(%cause, "a token request failed");
                }
                Arc::new(fault).render(Method::Info, Version::V1)
            }
        }
    }
}
