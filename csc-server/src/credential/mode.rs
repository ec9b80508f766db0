//! How a credential is authorised: what the CSC API calls its authorization mode, and automatic signature.

use std::str::FromStr;

/// Chosen when the credential is made, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The client collects PIN and OTP and passes them on.
    Explicit,
    /// On our own pages, reached through the OAuth code flow.
    Code,
    /// On our own page, which the service asks the holder to open.
    Implicit,
    /// By mandate: a credential of its own, that signs without the holder (SC-97).
    Automatic,
}

impl Mode {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Explicit, Self::Code, Self::Implicit, Self::Automatic];

    /// The name in commands, the database and the record that is MAC'd.
    pub fn name(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Code => "oauth2code",
            Self::Implicit => "implicit",
            Self::Automatic => "automatic",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| "use explicit, oauth2code, implicit or automatic".to_owned())
    }
}
