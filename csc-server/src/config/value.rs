//! Values written as text, and the words in which they are refused.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

use super::ConfigError;

/// Parts what was found from the remedy within a serde error.
pub(super) const SEPARATOR: &str = "; ";

/// Refuses a value within its section's `Deserialize`.
pub(super) fn refuse<E: Error>(found: impl Display, remedy: impl Display) -> E {
    E::custom(format!("{found}{SEPARATOR}{remedy}"))
}

/// A value in its usual notation, or the remedy.
pub(super) fn parse<'de, D: Deserializer<'de>, T: FromStr>(
    deserializer: D,
    remedy: &str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| refuse(format!("found '{text}'"), remedy))
}

/// An address and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<std::net::SocketAddr, D::Error> {
    parse(
        deserializer,
        "write an address and a port, such as 127.0.0.1:8443",
    )
}

/// A duration greater than zero.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&text);
    match humantime_serde::deserialize::<Duration, _>(value) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(refuse(
            format!("found '{text}'"),
            "write a number greater than zero with its unit, such as 30s, 5m or 24h",
        )),
    }
}

/// An absolute URL. One that cannot be read is not repeated: it may hold a password.
pub(super) fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<url::Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| {
        refuse(
            format!("found no URL ({error})"),
            "write an absolute URL, such as https://sign.example",
        )
    })
}

/// Whether a host is this machine: then nobody is on the way to it.
pub(crate) fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A limit that must let something through.
pub(super) fn positive(key: &str, value: impl Into<u64>) -> Result<(), ConfigError> {
    match value.into() {
        0 => Err(ConfigError::key(
            key,
            "found 0",
            "write a number greater than zero",
        )),
        _ => Ok(()),
    }
}

/// A file that can be opened for reading.
pub(super) fn readable(key: &str, path: &Path) -> Result<(), ConfigError> {
    std::fs::File::open(path).map(drop).map_err(|error| {
        ConfigError::key(
            key,
            format!("cannot read '{}' ({error})", path.display()),
            "name a file that this user can read",
        )
    })
}
