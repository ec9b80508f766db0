//! `[clock]`: whom the machine's clock is compared with.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, value};

/// The time sources, and how far the clock may be off (ETSI EN 319 401, REQ-7.10; sole control SC-87).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// SNTP servers, `host` or `host:port`; the first that answers counts. Without one only steps back are noticed.
    pub sources: Vec<String>,
    /// How often they are asked.
    #[serde(deserialize_with = "value::duration")]
    pub every: Duration,
    /// Beyond this the operator is warned.
    #[serde(deserialize_with = "value::duration")]
    pub warn: Duration,
    /// Beyond this nothing is approved or signed. At most 5 s.
    #[serde(deserialize_with = "value::duration")]
    pub stop: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            every: Duration::from_secs(60),
            warn: Duration::from_secs(1),
            stop: Duration::from_secs(5),
        }
    }
}

impl Clock {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (index, source) in self.sources.iter().enumerate() {
            let host = source
                .rsplit_once(':')
                .map_or(source.as_str(), |(host, _)| host);
            let port = source
                .rsplit_once(':')
                .is_none_or(|(_, port)| port.parse::<u16>().is_ok());
            if host.is_empty() || host.contains('/') || !port {
                let remedy = "write the name or address of an SNTP server, such as \"ntp.example\" or \"192.0.2.1:123\"";
                return Err(ConfigError::key(
                    format!("clock.sources[{index}]"),
                    format!("found '{source}'"),
                    remedy,
                ));
            }
        }
        let limits = [
            (
                "clock.every",
                self.every,
                Duration::from_secs(3600),
                "write at most 1h",
            ),
            (
                "clock.stop",
                self.stop,
                Duration::from_secs(5),
                "write at most 5s",
            ),
            (
                "clock.warn",
                self.warn,
                self.stop,
                "write at most clock.stop",
            ),
        ];
        for (key, found, limit, remedy) in limits {
            if found > limit {
                return Err(ConfigError::key(
                    key,
                    format!("found {} s", found.as_secs_f64()),
                    remedy,
                ));
            }
        }
        Ok(())
    }
}
