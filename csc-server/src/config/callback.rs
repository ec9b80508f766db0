//! `[callback]`: telling clients that the result of an asynchronous operation is there.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::value;

/// How clients are told, at the places of their registrations.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callback {
    /// How long one may take to answer.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// The only CAs believed, PEM; those of the system when not said.
    pub ca_file: Option<PathBuf>,
    /// Whether names may stand for addresses of this machine or network. For tests.
    pub private_addresses: bool,
}

impl Default for Callback {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            ca_file: None,
            private_addresses: false,
        }
    }
}
