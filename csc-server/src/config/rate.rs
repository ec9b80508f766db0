//! `[rate]`: how often things may be asked for. 0 is no limit.

use serde::Deserialize;

/// Limits; those of a single client stand in its registration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    /// Requests of one address in a second, counted by each process for itself. Behind a proxy every request has the proxy's address.
    pub address_per_second: u32,
    /// Attempts to log in from one address in a minute.
    pub logins_per_address: u32,
    /// Attempts to log in under one user name in a minute.
    pub logins_per_holder: u32,
    /// Requests of one client in a minute.
    pub client_per_minute: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            address_per_second: 1000,
            logins_per_address: 100,
            logins_per_holder: 10,
            client_per_minute: 0,
        }
    }
}
