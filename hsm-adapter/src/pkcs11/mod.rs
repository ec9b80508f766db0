//! The real HSM: a PKCS#11 module.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::{Hsm, HsmError, Token};

/// Which token of a module: never by slot number, which changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// `CKA_LABEL` of the token.
    Label(String),
    /// Serial number of the token.
    Serial(String),
}

/// What differs between vendors, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The number of the wrap mechanism that is RFC 5649 on this module.
    pub wrap_mechanism: u64,
}

impl Profile {
    /// SoftHSM 2.
    pub const SOFTHSM2: Self = Self { wrap_mechanism: 0x210A };
    /// Kryoptic.
    pub const KRYOPTIC: Self = Self { wrap_mechanism: 0x210B };
}

impl Default for Profile {
    fn default() -> Self {
        Self::SOFTHSM2
    }
}

impl std::str::FromStr for Profile {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        todo!()
    }
}

/// A token of a PKCS#11 module.
pub struct Pkcs11Token {}

impl Pkcs11Token {
    /// Names the token; nothing is loaded before [`Token::open`]. `slot` is its name in the configuration.
    pub fn new(
        slot: impl Into<String>,
        module: impl Into<PathBuf>,
        selector: TokenSelector,
        pin: Zeroizing<String>,
        profile: Profile,
    ) -> Self {
        todo!()
    }
}

impl Token for Pkcs11Token {
    fn name(&self) -> &str {
        todo!()
    }
    fn open(&self) -> Result<Box<dyn Hsm>, HsmError> {
        todo!()
    }
}
