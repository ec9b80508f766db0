//! `[timestamp]`: who says what time it was.

use std::time::Duration;

use der::asn1::ObjectIdentifier;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::{Clock, ConfigError, certificate::oid, value};

/// The policy that time-stamps name when nothing else is said: one of documentation (RFC 5612), which nobody has written.
const NOBODYS_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.2");

/// The time-stamping authority: another one at `url`, or the embedded one, whose key is in the issuer slot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timestamp {
    /// Where another authority answers (RFC 3161, 3.4); https unless it is on this machine.
    #[serde(deserialize_with = "authority")]
    pub url: Option<Url>,
    /// How long it may take to answer.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// The policy of the embedded authority, in dotted form.
    #[serde(deserialize_with = "oid")]
    pub policy: ObjectIdentifier,
    /// How far its time may be off; not less than `clock.stop`, which is what is watched.
    #[serde(deserialize_with = "value::duration")]
    pub accuracy: Duration,
    /// commonName of its certificate.
    pub name: String,
    /// Days its certificate lives, until the CA's ends at most.
    pub days: u32,
}

impl Default for Timestamp {
    fn default() -> Self {
        Self {
            url: None,
            timeout: Duration::from_secs(10),
            policy: NOBODYS_POLICY,
            accuracy: Duration::from_secs(5),
            name: "Time-Stamping Unit".to_owned(),
            days: 1825,
        }
    }
}

impl Timestamp {
    pub(super) fn check(&self, clock: &Clock) -> Result<(), ConfigError> {
        value::positive("timestamp.days", self.days)?;
        if self.accuracy < clock.stop {
            return Err(ConfigError::key(
                "timestamp.accuracy",
                format!(
                    "found {} s, less than clock.stop",
                    self.accuracy.as_secs_f64()
                ),
                "write at least clock.stop, or lower that",
            ));
        }
        Ok(())
    }

    /// Whether time-stamps name a policy that nobody has written.
    pub(super) fn is_without_policy(&self) -> bool {
        self.url.is_none() && self.policy == NOBODYS_POLICY
    }
}

fn authority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let url = value::url(deserializer)?;
    let here = url.host_str().is_some_and(value::is_here);
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err(value::refuse(
            "found no https",
            "write an https URL; http only to this machine",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value::refuse(
            "found a log-in in the URL",
            "write the URL without it",
        ));
    }
    Ok(Some(url))
}
