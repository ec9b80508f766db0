//! `[lifetime]`: how long things live.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// Lifetimes, each greater than zero.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifetime {
    /// An access token of the service.
    #[serde(deserialize_with = "value::duration")]
    pub access_token: Duration,
    /// A refresh token, from its last use.
    #[serde(deserialize_with = "value::duration")]
    pub refresh_token: Duration,
    /// Signature activation data, and a credential token. At most two hours.
    #[serde(deserialize_with = "value::duration")]
    pub sad: Duration,
    /// A chain of extended SADs, from the first (CSC API, credentials/extendTransaction).
    #[serde(deserialize_with = "value::duration")]
    pub authorization: Duration,
    /// The result of an asynchronous operation, when the client does not say.
    #[serde(deserialize_with = "value::duration")]
    pub result: Duration,
    /// The longest a client may say.
    #[serde(deserialize_with = "value::duration")]
    pub longest_result: Duration,
    /// An authorization code. At most one minute (RFC 6749 4.1.2 allows ten).
    #[serde(deserialize_with = "value::duration")]
    pub code: Duration,
    /// An authorization request, from the browser's arrival to the holder's answer. At most one hour.
    #[serde(deserialize_with = "value::duration")]
    pub request: Duration,
    /// A one-time password that was sent. At most ten minutes (OWASP ASVS 6.6.2).
    #[serde(deserialize_with = "value::duration")]
    pub otp: Duration,
    /// A holder's session in a browser that is not used.
    #[serde(deserialize_with = "value::duration")]
    pub session_idle: Duration,
    /// A holder's session in a browser at the longest.
    #[serde(deserialize_with = "value::duration")]
    pub session: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            access_token: Duration::from_secs(3600),
            refresh_token: Duration::from_secs(24 * 3600),
            sad: Duration::from_secs(300),
            authorization: Duration::from_secs(30 * 60),
            result: Duration::from_secs(3600),
            longest_result: Duration::from_secs(24 * 3600),
            code: Duration::from_secs(60),
            request: Duration::from_secs(10 * 60),
            otp: Duration::from_secs(300),
            session_idle: Duration::from_secs(15 * 60),
            session: Duration::from_secs(8 * 3600),
        }
    }
}

impl Lifetime {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let at_most = |key, value: Duration, limit: Duration, remedy| {
            if value > limit {
                return Err(ConfigError::key(
                    key,
                    format!("found {} s", value.as_secs()),
                    remedy,
                ));
            }
            Ok(())
        };
        at_most(
            "lifetime.sad",
            self.sad,
            Duration::from_secs(2 * 3600),
            "write at most 2h",
        )?;
        at_most(
            "lifetime.code",
            self.code,
            Duration::from_secs(60),
            "write at most 1m",
        )?;
        at_most(
            "lifetime.request",
            self.request,
            Duration::from_secs(3600),
            "write at most 1h",
        )?;
        at_most(
            "lifetime.otp",
            self.otp,
            Duration::from_secs(600),
            "write at most 10m",
        )?;
        if self.longest_result < self.result {
            let found = format!(
                "found {} s, less than lifetime.result",
                self.longest_result.as_secs()
            );
            return Err(ConfigError::key(
                "lifetime.longest_result",
                found,
                "write at least lifetime.result",
            ));
        }
        if self.authorization < self.sad {
            let found = format!(
                "found {} s, less than lifetime.sad",
                self.authorization.as_secs()
            );
            return Err(ConfigError::key(
                "lifetime.authorization",
                found,
                "write at least lifetime.sad",
            ));
        }
        Ok(())
    }
}
