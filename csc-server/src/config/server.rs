//! `[server]` and `[admin]`: the two listeners.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::{ConfigError, value};

/// The public HTTPS listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on.
    #[serde(deserialize_with = "value::address")]
    pub listen: SocketAddr,
    /// The origin under which clients reach the service: https, no path.
    #[serde(deserialize_with = "value::url")]
    pub public_url: Url,
    /// TLS certificate chain, PEM, the server's own first. Read again when it changes.
    pub certificate: PathBuf,
    /// TLS private key, PEM, readable by the service only.
    pub private_key: PathBuf,
    /// Whether TLS asks clients for a certificate of theirs, for those that prove by one who they are (RFC 8705).
    #[serde(default)]
    pub client_certificates: bool,
    /// How long a request may take, from its head to its answer.
    #[serde(default = "request_timeout", deserialize_with = "value::duration")]
    pub request_timeout: Duration,
    /// Largest request body, in octets.
    #[serde(default = "max_body_bytes")]
    pub max_body_bytes: usize,
    /// Connections open at once; further ones wait to be accepted.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
}

/// The operator's listener: health and metrics, plain HTTP, not for the network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port to listen on; 127.0.0.1:8444 when not said.
    #[serde(deserialize_with = "value::address")]
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8444)),
        }
    }
}

impl Server {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let url = &self.public_url;
        let origin = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        if url.scheme() != "https" || !origin {
            let remedy =
                "write https, the host and, if it is not 443, the port: https://sign.example";
            return Err(ConfigError::key(
                "server.public_url",
                format!("found '{url}'"),
                remedy,
            ));
        }
        value::positive("server.max_body_bytes", self.max_body_bytes as u64)?;
        value::positive("server.max_connections", self.max_connections as u64)
    }
}

fn request_timeout() -> Duration {
    Duration::from_secs(30)
}

fn max_body_bytes() -> usize {
    1 << 20
}

fn max_connections() -> usize {
    4096
}
