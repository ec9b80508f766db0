//! `[audit]`: the audit log.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// Beyond a month no inspection counts as one (DPCM 22 February 2013, article 36).
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

/// How often the audit log is signed, and held against the tables.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// How long a row may wait for its checkpoint.
    #[serde(deserialize_with = "value::duration")]
    pub checkpoint_every: Duration,
    /// How often log and tables are inspected; a day means every night.
    #[serde(deserialize_with = "value::duration")]
    pub inspect_every: Duration,
}

impl Audit {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.inspect_every > MONTH {
            return Err(ConfigError::key(
                "audit.inspect_every",
                format!("found {} s", self.inspect_every.as_secs()),
                "write at most 31d",
            ));
        }
        Ok(())
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(60),
            inspect_every: Duration::from_secs(24 * 3600),
        }
    }
}
