//! `[audit]`: the audit log.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// How often the audit log is signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// How long a row may wait for its checkpoint.
    #[serde(deserialize_with = "value::duration")]
    pub checkpoint_every: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(60),
        }
    }
}
