//! `[otp]`: one-time passwords.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// Tries and rates of one-time passwords; their lifetime is `lifetime.otp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otp {
    /// Wrong passwords in a row until the factor locks.
    pub max_failures: u32,
    /// How long after a message the next may be sent.
    #[serde(deserialize_with = "value::duration")]
    pub resend_after: Duration,
    /// Messages to one holder within an hour.
    pub max_per_hour: u32,
}

impl Default for Otp {
    fn default() -> Self {
        Self {
            max_failures: 5,
            resend_after: Duration::from_secs(30),
            max_per_hour: 10,
        }
    }
}

impl Otp {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("otp.max_failures", self.max_failures)?;
        value::positive("otp.max_per_hour", self.max_per_hour)
    }
}
