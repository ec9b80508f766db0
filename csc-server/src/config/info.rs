//! `[info]`: how the service presents itself (CSC API v2, info).

use serde::Deserialize;
use url::Url;

use super::{ConfigError, value};

/// What `info` answers about the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// Commercial name of the service.
    pub name: String,
    /// Where the provider's logo is: JPEG or PNG, at most 256 × 256 pixels.
    #[serde(deserialize_with = "value::url")]
    pub logo: Url,
    /// Country where the provider is established: ISO 3166-1 alpha-2, upper case. Also the country of the CA's name.
    pub region: String,
    /// Language of the service's answers: RFC 5646.
    #[serde(default = "lang")]
    pub lang: String,
    /// What the service is, in one sentence of that language.
    pub description: String,
}

impl Info {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.name.trim().is_empty() {
            return Err(ConfigError::key(
                "info.name",
                "found nothing",
                "write the name of the service",
            ));
        }
        let region = self.region.as_bytes();
        if region.len() != 2 || !region.iter().all(u8::is_ascii_uppercase) {
            let found = format!("found '{}'", self.region);
            return Err(ConfigError::key(
                "info.region",
                found,
                "write a country as two upper-case letters, such as IT",
            ));
        }
        if !matches!(self.lang.as_str(), "it" | "en") {
            let found = format!("found '{}'", self.lang);
            return Err(ConfigError::key(
                "info.lang",
                found,
                "write it or en, the languages of the service",
            ));
        }
        Ok(())
    }
}

fn lang() -> String {
    "en".to_owned()
}
