//! Errors as the user reads them: what is wrong, in the service's words, and what to do next.

use std::error::Error as _;
use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

/// A request that the service did not grant.
#[derive(Debug)]
pub(crate) struct Refusal {
    method: String,
    status: StatusCode,
    retry_after: Option<u64>,
    answer: Answer,
}

/// The body of an error (CSC API v2, 8.4).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<String>,
    error_description: Option<String>,
}

impl Refusal {
    pub(super) fn new(
        method: &str,
        status: StatusCode,
        retry_after: Option<u64>,
        body: &[u8],
    ) -> Self {
        let answer = serde_json::from_slice(body).unwrap_or_default();
        Self {
            method: method.to_owned(),
            status,
            retry_after,
            answer,
        }
    }

    /// What the user can do about it.
    fn advice(&self) -> Option<String> {
        let description = self
            .answer
            .error_description
            .as_deref()
            .unwrap_or_default()
            .to_lowercase();
        let advice = match (
            self.answer.error.as_deref().unwrap_or_default(),
            self.status.as_u16(),
        ) {
            _ if description.contains("locked") => "have it unlocked in the provider's portal",
            _ if description.contains("parameter credentialid") => {
                "`csc-client list` shows your credentials"
            }
            _ if description.contains("is disabled") => "activate it in the provider's portal",
            (_, 429 | 503) => {
                return Some(self.retry_after.map_or_else(
                    || "try again later".to_owned(),
                    |seconds| format!("try again in {seconds} seconds"),
                ));
            }
            ("authentication_error", _) => "check the user name and the password",
            ("invalid_client", _) => "check --client-id and the client secret",
            ("unauthorized_client", _) => "this application may not do that; ask the provider",
            ("invalid_pin", _) => "check the PIN; too many wrong ones lock it",
            ("invalid_otp", _) => "try again with a new code",
            ("invalid_authentication_data", _) => {
                "check the PIN, and try again with a new code; too many wrong ones lock the credential"
            }
            ("access_denied", _) => "start again, and approve the signature",
            ("invalid_token" | "expired_token", _) => "start again to log in anew",
            ("", 401 | 403) => "check the log-in",
            (_, 404 | 405 | 501) => "check --url, and --api for the version",
            (_, 500..) => "try again later",
            _ => return None,
        };
        Some(advice.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service refused {}: ", self.method)?;
        match (&self.answer.error_description, &self.answer.error) {
            (Some(description), Some(code)) => {
                write!(f, "{} ({code})", description.trim_end_matches('.'))?
            }
            (Some(text), None) | (None, Some(text)) => f.write_str(text)?,
            (None, None) => write!(f, "HTTP {}", self.status)?,
        }
        self.advice()
            .map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl std::error::Error for Refusal {}

/// A request that did not reach the service, or whose answer did not arrive.
pub(super) fn unreachable(error: reqwest::Error) -> anyhow::Error {
    let host = error
        .url()
        .and_then(|url| url.host_str())
        .unwrap_or("the service")
        .to_owned();
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    if cause.contains("certificate") {
        anyhow::anyhow!(
            "the TLS certificate of {host} is not trusted ({cause}); name its certificate authority with --cacert"
        )
    } else if error.is_timeout() {
        anyhow::anyhow!("{host} does not answer in time; try again later")
    } else {
        anyhow::anyhow!("{host} cannot be reached ({cause}); check --url and the network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: u16, retry_after: Option<u64>, body: &str) -> String {
        Refusal::new(
            "credentials/authorize",
            StatusCode::from_u16(status).unwrap(),
            retry_after,
            body.as_bytes(),
        )
        .to_string()
    }

    #[test]
    fn a_refusal_says_what_the_service_said_and_what_to_do() {
        assert_eq!(
            text(
                400,
                None,
                r#"{"error":"invalid_pin","error_description":"The PIN is invalid"}"#
            ),
            "the service refused credentials/authorize: The PIN is invalid (invalid_pin); check the PIN; too many \
             wrong ones lock it"
        );
        assert_eq!(
            text(
                400,
                None,
                r#"{"error":"invalid_request","error_description":"Credential locked"}"#
            ),
            "the service refused credentials/authorize: Credential locked (invalid_request); have it unlocked in the \
             provider's portal"
        );
        assert_eq!(
            text(
                503,
                Some(7),
                r#"{"error":"temporarily_unavailable","error_description":"Busy."}"#
            ),
            "the service refused credentials/authorize: Busy (temporarily_unavailable); try again in 7 seconds"
        );
    }

    #[test]
    fn a_refusal_without_a_readable_body_still_says_something() {
        let expected = "the service refused credentials/authorize: HTTP 404 Not Found; check --url, and --api for the version";
        for body in ["", "<html>", "[]", "null", r#"{"message":"x"}"#] {
            assert_eq!(text(404, None, body), expected, "{body}");
        }
    }
}
