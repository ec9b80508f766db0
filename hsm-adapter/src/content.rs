//! What a holder approved, and the secret that goes with it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::DigestAlgorithm;

/// The content of an activation: exactly what the holder approved. Its canonical octets are part of the key-encryption
/// key, so an edited approval no longer opens the key.
///
/// Canonical form: JSON, members in the order below, no white space. Octets are made once, stored, and used as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Version of this structure: 1.
    pub version: u8,
    /// Identifier of the activation.
    pub id: String,
    /// What it is: `sad`, `code` or `token`; a mandate has [`Terms`](crate::Terms) instead.
    pub kind: String,
    /// Whose key.
    pub holder: String,
    /// Which credential.
    pub credential: String,
    /// Which key of the credential.
    pub generation: u32,
    /// SHA-256 of the certificate, hexadecimal.
    pub certificate: String,
    /// The client it was given to.
    pub client: String,
    /// What else belongs to it: the request that a code answers, the key that a token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// Digest algorithm of `hashes`, when the client named one.
    pub digest: Option<DigestAlgorithm>,
    /// What `hashes` are digests of, when the client said.
    pub hash_type: Option<HashType>,
    /// The approved digests, in the order given; hexadecimal.
    pub hashes: Vec<String>,
    /// How many signatures.
    pub count: u32,
    /// By what the holder proved himself.
    pub factors: Vec<Factor>,
    /// When it was issued, milliseconds since 1970 UTC.
    pub issued: i64,
    /// When it ends, milliseconds since 1970 UTC.
    pub expires: i64,
}

/// What an approved digest is the digest of (CSC v2.2, `hashType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashType {
    /// What the key signs: signed by signHash only.
    Dtbsr,
    /// A document: signed by signDoc only, within what is made of it.
    Sdr,
}

impl HashType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dtbsr => "dtbsr",
            Self::Sdr => "sdr",
        }
    }
}

impl Content {
    /// Version of this structure.
    pub const VERSION: u8 = 1;

    /// Whether it was issued later than now, by more than two nodes' clocks may differ: then one of them was set back, and the activation would
    /// live longer than it should (SC-87).
    pub fn is_of_the_future(&self, now: i64) -> bool {
        is_of_the_future(self.issued, now)
    }
}

/// [`Content::is_of_the_future`] of whatever was issued then.
pub(crate) fn is_of_the_future(issued: i64, now: i64) -> bool {
    /// Milliseconds.
    const SKEW: i64 = 5_000;
    issued > now.saturating_add(SKEW)
}

/// A factor that was checked for an activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// `pin`, `totp`, `mail`, ….
    pub kind: String,
    /// Which one.
    pub id: String,
    /// When, milliseconds since 1970 UTC.
    pub time: i64,
}

/// 256 random bits that only the other side keeps. Prints nothing, is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// These bits, which were drawn by [`Vault::secret`](crate::Vault::secret).
    pub(crate) fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// New random bits of the operating system alone, for tests.
    ///
    /// # Errors
    /// When the operating system has none.
    #[cfg(feature = "testing")]
    pub fn random() -> Result<Self, crate::HsmError> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)
            .map_err(|error| crate::HsmError::Unavailable(error.to_string()))?;
        Ok(Self(bits))
    }

    /// From the wire form: base64url without padding.
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let bits = <[u8; 32]>::try_from(octets.as_slice()).ok();
        octets.zeroize();
        bits.map(Self)
    }

    /// The wire form, for the one answer that carries it.
    pub fn expose(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The bits.
    pub fn bits(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
