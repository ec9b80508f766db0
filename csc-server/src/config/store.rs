//! `[store]`: the database.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::{ConfigError, value};

/// Where the state is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite:path` or `postgres://user@host/database`.
    pub url: StoreUrl,
    /// File with the PostgreSQL password.
    pub password_file: Option<PathBuf>,
    /// Read connections of SQLite.
    #[serde(default = "readers")]
    pub readers: usize,
}

/// A database by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded database in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL database; the URL holds no password.
    Postgres(Url),
}

impl Store {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match &self.url {
            StoreUrl::Sqlite(_) if self.password_file.is_some() => Err(ConfigError::key(
                "store.password_file",
                "found a password for SQLite, which has none",
                "remove it, or make store.url a postgres:// URL",
            )),
            StoreUrl::Postgres(url) if url.password().is_some() => Err(ConfigError::key(
                "store.url",
                "found a password in the URL",
                "move it to a file of mode 0600 and name that file in store.password_file",
            )),
            StoreUrl::Postgres(url) => verified(url),
            StoreUrl::Sqlite(_) => Ok(()),
        }?;
        value::positive("store.readers", self.readers as u64)
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let file = match &mut self.url {
            StoreUrl::Sqlite(path) => Some(path),
            StoreUrl::Postgres(_) => None,
        };
        file.into_iter().chain(&mut self.password_file)
    }
}

/// A database on another machine is reached by TLS whose server is verified, name included (SC-68).
fn verified(url: &Url) -> Result<(), ConfigError> {
    let options: PgConnectOptions = url.as_str().parse().map_err(|_| {
        ConfigError::key(
            "store.url",
            "found a parameter that is not known",
            "write postgres://user@host/database?sslmode=verify-full",
        )
    })?;
    let here = options.get_socket().is_some() || value::is_here(options.get_host());
    if here || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        return Ok(());
    }
    Err(ConfigError::key(
        "store.url",
        format!(
            "found a database at '{}' without verified TLS",
            options.get_host()
        ),
        "add ?sslmode=verify-full, and &sslrootcert=/path/to/ca.pem when its CA is your own",
    ))
}

impl FromStr for StoreUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                Ok(Self::Sqlite(path.trim_start_matches("//").into()))
            }
            Some(("postgres" | "postgresql", _)) => {
                let url: Url = text.parse().map_err(|_| ())?;
                if url.host().is_none() || url.path().len() < 2 {
                    Err(())
                } else {
                    Ok(Self::Postgres(url))
                }
            }
            _ => Err(()),
        }
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text is not repeated: it may hold a password.
        String::deserialize(deserializer)?.parse().map_err(|()| {
            value::refuse(
                "found no database URL",
                "write sqlite:path or postgres://user@host/database",
            )
        })
    }
}

fn readers() -> usize {
    4
}
