//! `[question]`: what holders are asked on a page that a mail leads to.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// Bounds of asking.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// How long a question waits for its answer. At most an hour.
    #[serde(deserialize_with = "value::duration")]
    pub lifetime: Duration,
    /// Questions to one holder in an hour; three wait at once.
    pub max_per_hour: u32,
    /// How long a request of CSC v1 waits for the answer: at most four fifths of server.request_timeout.
    #[serde(deserialize_with = "value::duration")]
    pub wait: Duration,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            max_per_hour: 20,
            wait: Duration::from_secs(25),
        }
    }
}

impl Question {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("question.max_per_hour", self.max_per_hour)?;
        if self.lifetime > Duration::from_secs(3600) {
            return Err(ConfigError::key(
                "question.lifetime",
                format!("found {} s", self.lifetime.as_secs()),
                "write at most 1h",
            ));
        }
        Ok(())
    }
}
