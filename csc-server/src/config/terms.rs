//! `[terms]`: the provider's terms, practice statement included, in the version that is in force.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use url::Url;

use super::{ConfigError, value};

/// The terms (ETSI EN 319 401, 6.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The name of the version.
    pub version: String,
    /// The document as it is published.
    pub file: PathBuf,
    /// Where it is published: https.
    #[serde(deserialize_with = "published")]
    pub url: Url,
}

impl Terms {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.version.trim().is_empty() || self.version.chars().count() > 64 {
            return Err(ConfigError::key(
                "terms.version",
                format!("found '{}'", self.version),
                "write a name of 1 to 64 characters, such as \"2026-11\"",
            ));
        }
        Ok(())
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        std::iter::once(&mut self.file)
    }

    /// SHA-256 of the document, hexadecimal.
    ///
    /// # Errors
    /// [`ConfigError::Key`] when it cannot be read.
    pub fn hash(&self) -> Result<String, ConfigError> {
        let document = std::fs::read(&self.file).map_err(|error| {
            let found = format!("cannot read '{}' ({error})", self.file.display());
            ConfigError::key("terms.file", found, "name a file that this user can read")
        })?;
        Ok(hex::encode(Sha256::digest(document)))
    }
}

fn published<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let url = value::url(deserializer)?;
    if url.scheme() == "https" {
        Ok(url)
    } else {
        Err(value::refuse(
            format!("found '{url}'"),
            "write the https URL where holders read it",
        ))
    }
}
