//! What is said instead of a page.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hsm_adapter::HsmError;
use http::StatusCode;

use super::texts::Texts;
use crate::{holder, oauth::client, store::StoreError};

/// Why there is no page.
#[derive(Debug)]
pub enum Problem {
    /// He has to log in first, and comes back to this path.
    LogIn(String),
    /// No page of ours has sent this form, or one of an earlier visit.
    Stale,
    /// There is no such page.
    NotFound,
    /// Nobody knows the application that sent him.
    UnknownClient,
    /// The application wants him back where it is not.
    BadRedirect,
    /// What the application asks for is not as it should be, and there is nowhere to send him back to.
    BadRequest,
    /// The application asked too long ago, or was answered already.
    Ended,
    /// The application asked about somebody else.
    SomebodyElse,
    /// He has nothing to sign with.
    NoCredential,
    /// The HSM or the database has too much to do, or is not there.
    Unavailable(String),
    /// A failure of ours.
    Internal(String),
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::LogIn(_) => StatusCode::SEE_OTHER,
            Self::Stale | Self::SomebodyElse | Self::NoCredential => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::UnknownClient | Self::BadRedirect | Self::BadRequest | Self::Ended => {
                StatusCode::BAD_REQUEST
            }
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Title and text.
    pub(super) fn words(&self, t: &Texts) -> (&'static str, &'static str) {
        match self {
            Self::LogIn(_) => (t.log_in, ""),
            Self::Stale => (t.stale, t.stale_text),
            Self::NotFound => (t.not_found, t.not_found_text),
            Self::UnknownClient => (t.bad_request, t.unknown_client_text),
            Self::BadRedirect => (t.bad_request, t.bad_redirect_text),
            Self::BadRequest => (t.bad_request, t.bad_request_text),
            Self::Ended => (t.ended, t.ended_text),
            Self::SomebodyElse => (t.somebody_else, t.somebody_else_text),
            Self::NoCredential => (t.no_credential, t.no_credential_text),
            Self::Unavailable(_) | Self::Internal(_) => (t.unavailable, t.unavailable_text),
        }
    }

    /// Whether the page offers the way home: whoever came from an application is better off going back to it.
    pub(super) fn leads_home(&self) -> bool {
        matches!(self, Self::Stale | Self::NotFound)
    }

    pub(super) fn log(&self) {
        if let Self::Unavailable(cause) | Self::Internal(cause) = self {
            tracing::error!(%cause, "a page could not be shown");
        }
    }
}

/// Travels as an extension of an empty answer until the layer of pages, which knows the language, gives it words.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Unavailable(error.to_string()),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<HsmError> for Problem {
    fn from(error: HsmError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<holder::Error> for Problem {
    fn from(error: holder::Error) -> Self {
        match error {
            holder::Error::Store(error) => error.into(),
            holder::Error::Hsm(error) => error.into(),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<client::Error> for Problem {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Store(error) => error.into(),
            client::Error::Hsm(error) => error.into(),
            error => Self::Internal(error.to_string()),
        }
    }
}
