//! `[hsm]`: the processes in which the PKCS#11 modules run, one a module.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// How they are run, and when one is replaced.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hsm {
    /// How long a device may take for a call that signs; twelve times as long for one that makes a key. Then its process is replaced.
    #[serde(deserialize_with = "value::duration")]
    pub patience: Duration,
    /// Resident memory in MiB beyond which a new process takes over: some modules leak with every key they open.
    pub max_memory_mib: u64,
    /// User the processes run as, by number, when the service is started by root.
    pub uid: Option<u32>,
    /// Their group, by number.
    pub gid: Option<u32>,
}

impl Default for Hsm {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            max_memory_mib: 512,
            uid: None,
            gid: None,
        }
    }
}

impl Hsm {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("hsm.max_memory_mib", self.max_memory_mib)?;
        if self.patience < Duration::from_secs(1) {
            return Err(ConfigError::key(
                "hsm.patience",
                "found less than a second",
                "write a second or more: the device is looked at once in a while",
            ));
        }
        let (key, missing) = match (self.uid, self.gid) {
            (Some(_), None) => ("hsm.gid", "write the number of the group as well"),
            (None, Some(_)) => ("hsm.uid", "write the number of the user as well"),
            _ => return Ok(()),
        };
        Err(ConfigError::key(key, "found nothing", missing))
    }

    /// User and group the processes run as.
    pub fn user(&self) -> Option<(u32, u32)> {
        self.uid.zip(self.gid)
    }
}
