//! `[pin]`: tries, and what a guess costs.

use serde::Deserialize;

use super::{ConfigError, value};

/// How PINs are guarded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pin {
    /// Wrong PINs in a row until the credential locks.
    pub max_failures: u32,
    /// Wrong PINs and PUKs in ten minutes, of all holders together, that are not alarmed yet.
    pub alarm_after: u32,
    /// Cost of a new PIN; each row keeps the cost it was made with.
    pub argon2: Argon2,
    /// Computations at once: each takes `argon2.memory`.
    pub parallel: usize,
    /// Computations that may wait.
    pub queue: usize,
}

/// Argon2id parameters (RFC 9106). The default is OWASP's minimum.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2 {
    /// Memory in KiB, at least 8 a lane.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes, at most 255.
    pub lanes: u32,
}

impl Default for Pin {
    fn default() -> Self {
        Self {
            max_failures: 5,
            alarm_after: 50,
            argon2: Argon2::default(),
            parallel: 2,
            queue: 64,
        }
    }
}

impl Default for Argon2 {
    fn default() -> Self {
        Self {
            memory: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

impl Pin {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("pin.max_failures", self.max_failures)?;
        value::positive("pin.alarm_after", self.alarm_after)?;
        value::positive("pin.parallel", self.parallel as u64)?;
        value::positive("pin.queue", self.queue as u64)?;
        let Argon2 {
            memory,
            passes,
            lanes,
        } = self.argon2;
        value::positive("pin.argon2.passes", passes)?;
        if !(1..=255).contains(&lanes) {
            return Err(ConfigError::key(
                "pin.argon2.lanes",
                format!("found {lanes}"),
                "write 1 to 255",
            ));
        }
        if memory < 8 * lanes {
            let remedy = format!(
                "write at least {} (KiB); 19456 is OWASP's minimum",
                8 * lanes
            );
            return Err(ConfigError::key(
                "pin.argon2.memory",
                format!("found {memory}"),
                remedy,
            ));
        }
        Ok(())
    }
}
