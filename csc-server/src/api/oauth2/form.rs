//! The form of an OAuth request, and how it is refused.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use crate::{
    api::{
        basic::basic,
        dialect::{Method, Version},
        dpop,
        fault::Fault,
        leniency,
    },
    app::App,
    authorization::{Error, Refusal as Words},
    oauth::fields::Fields,
};

/// Largest form taken, in octets.
const FORM: usize = 128 * 1024;

/// The parameters of an OAuth request, each given once, with the headers that may authenticate the client.
pub(crate) struct Form {
    /// The parameters.
    pub fields: Fields,
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Path of the request.
    pub path: String,
    /// The key of the connection's certificate, if it has one.
    pub certificate: Option<String>,
}

impl Form {
    /// A parameter; an empty one counts as absent (RFC 6749 3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

impl FromRequest<App> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let headers = request.headers().clone();
        let path = request.uri().path().to_owned();
        let certificate = dpop::certificate(request.extensions());
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
        let mut fields = Fields::parse(&body).ok_or_else(Refusal::malformed)?;
        for (name, value) in in_url {
            if !fields.add(name, value) {
                return Err(Refusal::malformed());
            }
        }
        Ok(Self {
            fields,
            headers,
            path,
            certificate,
        })
    }
}

/// Why an OAuth request is refused.
pub(crate) enum Refusal {
    /// Status, `error`, `error_description`.
    Said(StatusCode, &'static str, &'static str),
    /// What a client asked for, refused in these words.
    Asked(Words),
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

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(words) => Self::Asked(words),
            Error::Store(error) => Self::Fault(error.into()),
            Error::Hsm(error) => Self::Fault(error.into()),
            error => Self::Fault(Fault::Internal(error.to_string())),
        }
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
            Self::Asked(Words { error, text }) => {
                let body = Json(json!({ "error": error, "error_description": text }));
                (StatusCode::BAD_REQUEST, body).into_response()
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
