//! `[credential]`: bounds of a credential and of a request to sign.

use serde::Deserialize;

use super::{ConfigError, value};

/// How much one authorization and one request may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credential {
    /// Signatures one authorization may give: `multisign` of the CSC API.
    pub multisign: u32,
    /// Hashes one request may carry, at least `multisign`.
    pub max_hashes: u32,
    /// What the PUK of a new credential may do.
    pub puk: PukPolicy,
}

/// What a PUK may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PukPolicy {
    /// There is none: a locked or forgotten PIN means a new credential.
    Strict,
    /// It sets the count of wrong PINs back; the holder must still know the PIN.
    Unblock,
    /// It may also set a new PIN, and is then as strong as the PIN.
    Reset,
}

impl Default for Credential {
    fn default() -> Self {
        Self {
            multisign: 100,
            max_hashes: 1000,
            puk: PukPolicy::Unblock,
        }
    }
}

impl Credential {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("credential.multisign", self.multisign)?;
        if self.max_hashes < self.multisign {
            let found = format!("found {}, less than credential.multisign", self.max_hashes);
            return Err(ConfigError::key(
                "credential.max_hashes",
                found,
                format!("write at least {}", self.multisign),
            ));
        }
        Ok(())
    }
}
