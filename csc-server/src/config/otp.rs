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
    /// How long the first lock lasts; each further wrong password doubles it.
    #[serde(deserialize_with = "value::duration")]
    pub lock: Duration,
    /// How long a lock lasts at most.
    #[serde(deserialize_with = "value::duration")]
    pub longest_lock: Duration,
    /// How long after a message to a holder the next may be sent.
    #[serde(deserialize_with = "value::duration")]
    pub resend_after: Duration,
    /// Messages to one holder within an hour.
    pub max_per_hour: u32,
    /// Time steps of 30 s that an authenticator app may be early or late.
    pub drift: u16,
}

impl Default for Otp {
    fn default() -> Self {
        Self {
            max_failures: 10,
            lock: Duration::from_secs(60),
            longest_lock: Duration::from_secs(24 * 3600),
            resend_after: Duration::from_secs(30),
            max_per_hour: 10,
            drift: 1,
        }
    }
}

impl Otp {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("otp.max_failures", self.max_failures)?;
        value::positive("otp.max_per_hour", self.max_per_hour)?;
        if self.longest_lock < self.lock {
            let found = format!(
                "found {} s, less than otp.lock",
                self.longest_lock.as_secs()
            );
            let remedy = format!("write at least {}s", self.lock.as_secs());
            return Err(ConfigError::key("otp.longest_lock", found, remedy));
        }
        // NIST SP 800-63B: a code is good for two minutes at most.
        if self.drift > 2 {
            let found = format!("found {}", self.drift);
            return Err(ConfigError::key("otp.drift", found, "write 0, 1 or 2"));
        }
        Ok(())
    }
}
