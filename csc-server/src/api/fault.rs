//! What is refused, and how it is said: the one table of status, code and text (condition × method × version).
//!
//! The texts are the specification's, its misprints included. An unknown thing and somebody else's read the same.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hsm_adapter::HsmError;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::dialect::{Call, Method, Version};
use crate::{
    credential, factor, holder,
    oauth::{client, token},
    operation, rates,
    store::StoreError,
    timekeeper::Distrust,
    timestamp,
};

/// Why a call is refused.
#[derive(Debug)]
pub enum Fault {
    /// No `Authorization: Bearer …`.
    Header,
    /// Nobody's token.
    InvalidToken,
    /// A token that was good once.
    ExpiredToken,
    /// A token that is good, but not for this.
    Scope,
    /// Documents that a credential token does not approve.
    Hash,
    /// `Authorization` of auth/login is not `Basic …`.
    LoginHeader,
    /// Basic credentials without a colon.
    LoginPair,
    /// Log-in failed.
    LoginFailed,
    /// The body is no JSON object, or names a member twice.
    Malformed,
    /// The body is too large.
    TooLarge,
    /// A required string is missing or no string.
    MissingString(&'static str),
    /// A required integer is missing or no integer.
    MissingInteger(&'static str),
    /// A required array is missing or no array of strings.
    MissingArray(&'static str),
    /// A required object is missing or no object.
    MissingObject(&'static str),
    /// A value is not allowed.
    Invalid(&'static str),
    /// A text of the specification that fits no pattern.
    Text(&'static str),
    /// One with a part that this request has to do with.
    Words(String),
    /// Authentication data of v2 that cannot be right.
    AuthenticationData,
    /// A credential says no.
    Credential(credential::Error),
    /// Asked too often.
    TooManyRequests(Duration),
    /// Full, or a part is not there.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        cause: String,
    },
    /// A failure of ours, for the log.
    Internal(String),
    /// A method of the specification that is not served.
    NotImplemented,
    /// No such URL.
    NotFound,
    /// A URL that takes POST only.
    MethodNotAllowed,
}

/// CSC v1 table 3, `invalid_request`.
const MALFORMED: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter \
                         more than once, or is otherwise malformed.";
/// The same in auth/revoke and credentials/extendTransaction.
const MALFORMED_REQUIRED: &str = "The request is missing a REQUIRED parameter, includes an invalid parameter value, includes a \
                                  parameter more than once, or is otherwise malformed.";
const SERVER_ERROR: &str = "The authorization server encountered an unexpected condition that prevented it from fulfilling the request.";
const UNAVAILABLE: &str = "The authorization server is currently unable to handle the request due to a temporary overloading or \
                           maintenance of the server.";

/// Status, `error`, `error_description`.
type Said = (StatusCode, &'static str, String);

impl Fault {
    fn said(&self, method: Method, version: Version) -> Said {
        let request = |text: &str| (StatusCode::BAD_REQUEST, "invalid_request", text.to_owned());
        let full_stop = if version == Version::V1 { "." } else { "" };
        match self {
            Self::Header => request(match (version, method) {
                (Version::V2, _) => "Malformed authorization header",
                (Version::V1, Method::CredentialsSendOtp) => "Malformed authroization header.",
                (Version::V1, Method::AuthRevoke | Method::CredentialsExtendTransaction) => {
                    MALFORMED_REQUIRED
                }
                (Version::V1, _) => MALFORMED,
            }),
            Self::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "The token provided is not a valid OAuth access or refresh token.".into(),
            ),
            Self::ExpiredToken => (
                StatusCode::UNAUTHORIZED,
                "expired_token",
                "The access or refresh token is expired or has been revoked.".into(),
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "The client is not authorized to use this method.".into(),
            ),
            Self::Hash => (
                StatusCode::FORBIDDEN,
                "invalid_hash",
                "Document or documentDigest does not match authorized hash".into(),
            ),
            Self::LoginHeader => {
                let text = format!("Malformed authentication parameter{full_stop}");
                (StatusCode::UNAUTHORIZED, "invalid_request", text)
            }
            Self::LoginPair => request(&format!("Malformed username-password{full_stop}")),
            Self::LoginFailed => (
                StatusCode::BAD_REQUEST,
                "authentication_error",
                "An error occurred during authentication process".into(),
            ),
            Self::Malformed => request(MALFORMED),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request",
                "The request is too large".into(),
            ),
            Self::MissingString(name) => request(&format!(
                "Missing (or invalid type) string parameter {name}"
            )),
            Self::MissingInteger(name) => request(&format!(
                "Missing (or invalid type) integer parameter {name}"
            )),
            Self::MissingArray(name) => {
                request(&format!("Missing (or invalid type) array parameter {name}"))
            }
            Self::MissingObject(name) => request(&format!(
                "Missing (or invalid type) object parameter {name}"
            )),
            Self::Invalid(name) => request(&format!("Invalid parameter {name}")),
            Self::Text(text) => request(text),
            Self::Words(text) => request(text),
            Self::AuthenticationData => authentication_data(),
            Self::Credential(error) => credential_said(error, method, version),
            Self::TooManyRequests(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "temporarily_unavailable",
                "Too many requests; see Retry-After".into(),
            ),
            Self::Unavailable { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                UNAVAILABLE.into(),
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                SERVER_ERROR.into(),
            ),
            Self::NotImplemented => (
                StatusCode::NOT_IMPLEMENTED,
                "invalid_request",
                "This method is not implemented".into(),
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "invalid_request",
                "No such method".into(),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request",
                "Use POST".into(),
            ),
        }
    }

    /// The answer.
    pub fn render(&self, method: Method, version: Version) -> Response {
        let (status, error, description) = self.said(method, version);
        let body = Json(json!({ "error": error, "error_description": description }));
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match self {
                Self::LoginHeader => r#"Basic realm="csc""#,
                _ => r#"Bearer realm="csc", error="invalid_token""#,
            };
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Self::TooManyRequests(wait)
        | Self::Unavailable {
            retry_after: wait, ..
        } = self
        {
            let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
            if let Ok(seconds) = HeaderValue::from_str(&seconds) {
                headers.insert(header::RETRY_AFTER, seconds);
            }
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    /// Status and body, for who asks later; logged as the answer to a call is.
    pub(super) fn outcome(&self, call: &Call) -> (u16, serde_json::Value) {
        self.log(call);
        let (status, error, description) = self.said(call.method, call.version);
        let body = json!({ "error": error, "error_description": description });
        (status.as_u16(), body)
    }

    fn log(&self, call: &Call) {
        match self {
            Self::Internal(cause) => {
                tracing::error!(request = call.request, method = call.method.path(), %cause, "a request failed");
            }
            Self::Unavailable { cause, .. } => {
                tracing::warn!(request = call.request, method = call.method.path(), %cause, "a request was put off");
            }
            Self::Credential(credential::Error::Damaged) => {
                tracing::error!(
                    request = call.request,
                    method = call.method.path(),
                    "an integrity check failed"
                );
            }
            _ => {}
        }
    }
}

fn authentication_data() -> Said {
    (
        StatusCode::BAD_REQUEST,
        "invalid_authentication_data",
        "The authentication data is invalid".into(),
    )
}

fn credential_said(error: &credential::Error, method: Method, version: Version) -> Said {
    use credential::Error;
    let request = |text: &str| (StatusCode::BAD_REQUEST, "invalid_request", text.to_owned());
    let v1 = version == Version::V1;
    match error {
        Error::Unknown | Error::WrongMode => request("Invalid parameter credentialID"),
        Error::Disabled => request("The credential identified by credentialID is disabled"),
        Error::CertificateExpired { .. } if method == Method::CredentialsAuthorize => {
            request("The credential identified by credentialID is disabled")
        }
        Error::CertificateExpired {
            organization,
            common_name,
        } if v1 => request(&format!(
            "Signing certificate 'O={organization},CN={common_name}' is expired."
        )),
        Error::CertificateExpired { .. } => request("Signing certificate is expired"),
        Error::PinLocked if v1 => request("PIN locked"),
        Error::OtpLocked if v1 => request("OTP locked"),
        Error::PinLocked | Error::OtpLocked => request("Credential locked"),
        Error::WrongPin if v1 => (
            StatusCode::BAD_REQUEST,
            "invalid_pin",
            "The PIN is invalid".into(),
        ),
        Error::WrongOtp if v1 => (
            StatusCode::BAD_REQUEST,
            "invalid_otp",
            "The OTP is invalid".into(),
        ),
        Error::WrongPin | Error::WrongOtp => authentication_data(),
        Error::TooMany => request("Numbers of signatures is too high"),
        Error::CountMismatch => request("Invalid value for parameter numSignatures"),
        Error::InvalidSad => request("Invalid parameter SAD"),
        Error::InvalidHandle => request("Invalid parameter handle"),
        Error::Denied => (
            StatusCode::BAD_REQUEST,
            "access_denied",
            "The user, authorization server or remote service denied the request.".into(),
        ),
        // An edited approval reads as a SAD that never was; the alarm says which.
        Error::Damaged
            if matches!(
                method,
                Method::SignaturesSignHash
                    | Method::SignaturesSignDoc
                    | Method::CredentialsExtendTransaction
            ) =>
        {
            request("Invalid parameter SAD")
        }
        Error::SadExpired => request("SAD expired"),
        Error::NotAuthorised if method == Method::SignaturesSignDoc => {
            request("documentDigests or documents are not authorized by the SAD")
        }
        Error::NotAuthorised if v1 => request("Hash is not authorized by the SAD."),
        Error::NotAuthorised => request("Hash is not authorized by the SAD"),
        Error::WeakClient => (
            StatusCode::FORBIDDEN,
            "unauthorized_client",
            "The client is not authorized to use this method.".into(),
        ),
        Error::TooSoon { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "temporarily_unavailable",
            "Too many requests; see Retry-After".into(),
        ),
        // No method of the API takes a PUK, changes a state or gives a mandate.
        Error::WrongPuk | Error::PukLocked | Error::WrongState(_) | Error::Terms(_) => {
            request(MALFORMED)
        }
        Error::Damaged | Error::Store(_) | Error::Hsm(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            SERVER_ERROR.into(),
        ),
    }
}

impl From<Distrust> for Fault {
    fn from(distrust: Distrust) -> Self {
        Self::Unavailable {
            retry_after: Duration::from_secs(5),
            cause: distrust.to_string(),
        }
    }
}

impl From<operation::Error> for Fault {
    fn from(error: operation::Error) -> Self {
        match error {
            operation::Error::Full => Self::Unavailable {
                retry_after: Duration::from_secs(5),
                cause: error.to_string(),
            },
            operation::Error::Unknown | operation::Error::Damaged => {
                Self::Internal(error.to_string())
            }
            operation::Error::Store(error) => error.into(),
            operation::Error::Hsm(error) => error.into(),
        }
    }
}

impl From<timestamp::Error> for Fault {
    fn from(error: timestamp::Error) -> Self {
        match error {
            timestamp::Error::Distrust(distrust) => distrust.into(),
            timestamp::Error::Expired | timestamp::Error::Authority(_) => Self::Unavailable {
                retry_after: Duration::from_secs(5),
                cause: error.to_string(),
            },
            timestamp::Error::Token(error) => Self::Internal(error.to_string()),
            timestamp::Error::Hsm(error) => error.into(),
            timestamp::Error::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Conflict(_) => Self::Unavailable {
                retry_after: Duration::from_secs(1),
                cause: error.to_string(),
            },
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        let cause = error.to_string();
        match error {
            HsmError::Busy { retry_after } => Self::Unavailable { retry_after, cause },
            HsmError::Unavailable(_) | HsmError::PinRefused(_) | HsmError::Tampered(_) => {
                Self::Unavailable {
                    retry_after: Duration::from_secs(5),
                    cause,
                }
            }
            _ => Self::Internal(cause),
        }
    }
}

impl From<credential::Error> for Fault {
    fn from(error: credential::Error) -> Self {
        match error {
            credential::Error::Store(error) => error.into(),
            credential::Error::Hsm(error) => error.into(),
            credential::Error::TooSoon { retry_after } => Self::TooManyRequests(retry_after),
            error => Self::Credential(error),
        }
    }
}

impl From<factor::Error> for Fault {
    fn from(error: factor::Error) -> Self {
        match error {
            factor::Error::TooSoon { retry_after } => Self::TooManyRequests(retry_after),
            factor::Error::Locked => Self::Credential(credential::Error::OtpLocked),
            factor::Error::Offline => Self::Invalid("credentialID"),
            factor::Error::Damaged => Self::Credential(credential::Error::Damaged),
            factor::Error::Store(error) => error.into(),
            factor::Error::Hsm(error) => error.into(),
        }
    }
}

impl From<rates::Error> for Fault {
    fn from(error: rates::Error) -> Self {
        match error {
            rates::Error::TooOften { retry_after } => Self::TooManyRequests(retry_after),
            rates::Error::Store(error) => error.into(),
        }
    }
}

impl From<client::Error> for Fault {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Store(error) => error.into(),
            client::Error::Hsm(error) => error.into(),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<token::Error> for Fault {
    fn from(error: token::Error) -> Self {
        match error {
            token::Error::Unknown => Self::InvalidToken,
            token::Error::Expired | token::Error::Reused(_) => Self::ExpiredToken,
            token::Error::Store(error) => error.into(),
            token::Error::Random(error) => error.into(),
        }
    }
}

impl From<holder::Error> for Fault {
    fn from(error: holder::Error) -> Self {
        match error {
            holder::Error::NotLoggedIn | holder::Error::Password | holder::Error::Taken(_) => {
                Self::LoginFailed
            }
            holder::Error::Store(error) => error.into(),
            holder::Error::Hsm(error) => error.into(),
        }
    }
}

/// A fault travels as an extension of an empty answer until [`render`], which knows method and version, gives it words.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The layer of every method: tells the request which call it is, and gives a fault its words.
pub async fn render(
    State((version, method)): State<(Version, Method)>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request
        .extensions()
        .get::<super::routes::RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default();
    let call = Call {
        version,
        method,
        request: id,
    };
    request.extensions_mut().insert(call.clone());
    let response = next.run(request).await;
    match response.extensions().get::<Arc<Fault>>() {
        Some(fault) => {
            fault.log(&call);
            fault.render(method, version)
        }
        None => response,
    }
}
