//! What a token and its library say of themselves, before anybody has logged in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A token, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Manufacturer, description and version of the library.
    pub library: String,
    /// Version of PKCS#11 that the library follows.
    pub cryptoki: String,
    /// Label of the token.
    pub label: String,
    /// Serial number of the token.
    pub serial: String,
    /// Manufacturer and model.
    pub model: String,
    /// Version of the hardware.
    pub hardware: String,
    /// Version of the firmware.
    pub firmware: String,
    /// Whether it has a user PIN.
    pub pin_set: bool,
    /// Whether objects can be made on it.
    pub writable: bool,
    /// What it says of its user PIN.
    pub pin: PinState,
    /// Its time, `YYYYMMDDhhmmss00`, when it has a clock.
    pub clock: Option<String>,
    /// Sessions that are open in it, by whomever; `None` when it does not say.
    pub sessions: Option<u64>,
    /// Sessions that it allows; `None` when it does not say, or has no bound.
    pub most_sessions: Option<u64>,
    /// The mechanisms it has.
    pub mechanisms: Vec<Mechanism>,
}

/// What is known of the user PIN without trying it, the worst of what the token says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// Nothing is said of it.
    #[default]
    Fine,
    /// `CKF_USER_PIN_COUNT_LOW`: a wrong one was tried since the last right one.
    CountLow,
    /// `CKF_USER_PIN_TO_BE_CHANGED`: it is the one the token was made with, or has expired.
    ToBeChanged,
    /// `CKF_USER_PIN_FINAL_TRY`: the next wrong one locks it.
    FinalTry,
    /// `CKF_USER_PIN_LOCKED`.
    Locked,
}

/// A mechanism, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mechanism(pub u64);

impl Mechanism {
    /// Makes RSA pairs.
    pub const RSA_KEY_PAIR_GEN: Self = Self(0x0000);
    /// RSASSA-PKCS1-v1_5.
    pub const RSA_PKCS: Self = Self(0x0001);
    /// RSASSA-PSS over a ready hash.
    pub const RSA_PSS: Self = Self(0x000D);
    /// HMAC-SHA-256.
    pub const SHA256_HMAC: Self = Self(0x0251);
    /// Makes keys for HMAC.
    pub const GENERIC_SECRET_KEY_GEN: Self = Self(0x0350);
    /// Makes EC pairs.
    pub const EC_KEY_PAIR_GEN: Self = Self(0x1040);
    /// ECDSA over a ready hash.
    pub const ECDSA: Self = Self(0x1041);
    /// Makes AES keys.
    pub const AES_KEY_GEN: Self = Self(0x1080);
    /// AES-GCM.
    pub const AES_GCM: Self = Self(0x1087);
    /// Derives a key by encrypting data with another.
    pub const AES_CBC_ENCRYPT_DATA: Self = Self(0x1105);
    /// What is RFC 5649 on some modules and something else on others.
    pub const AES_KEY_WRAP_PAD: Self = Self(0x210A);
    /// RFC 5649.
    pub const AES_KEY_WRAP_KWP: Self = Self(0x210B);
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::RSA_KEY_PAIR_GEN => "RSA_PKCS_KEY_PAIR_GEN",
            Self::RSA_PKCS => "RSA_PKCS",
            Self::RSA_PSS => "RSA_PKCS_PSS",
            Self::SHA256_HMAC => "SHA256_HMAC",
            Self::GENERIC_SECRET_KEY_GEN => "GENERIC_SECRET_KEY_GEN",
            Self::EC_KEY_PAIR_GEN => "EC_KEY_PAIR_GEN",
            Self::ECDSA => "ECDSA",
            Self::AES_KEY_GEN => "AES_KEY_GEN",
            Self::AES_GCM => "AES_GCM",
            Self::AES_CBC_ENCRYPT_DATA => "AES_CBC_ENCRYPT_DATA",
            Self::AES_KEY_WRAP_PAD => "AES_KEY_WRAP_PAD",
            Self::AES_KEY_WRAP_KWP => "AES_KEY_WRAP_KWP",
            Self(other) => return write!(f, "{other:#x}"),
        };
        f.write_str(name)
    }
}
