//! The keys that sign checkpoints: `audit/v1`, `audit/v2`, … in the issuer slot, one after the other. The last checkpoint of a key
//! announces its successor, whose first checkpoint names that one by its hash: both keys sign the succession. All stay on the
//! token, so that what they signed can be verified; what an old one signs from then on is refused.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use hsm_adapter::{HsmError, Issuer};
use x509_cert::{
    der::{Decode, DecodePem, Encode, EncodePem, pem::LineEnding},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    checkpoint::{Body, Checkpoint, VERSION},
    row::Hash,
};

/// Label of the first key.
pub const LABEL: &str = "audit/v1";

/// The label of a key.
pub(super) fn label(version: u32) -> String {
    format!("audit/v{version}")
}

/// A public key that checkpoints are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    spki: Vec<u8>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(super) id: Hash,
}

impl Key {
    pub(super) fn new(spki: Vec<u8>) -> Self {
        let id = Hash::of(&spki);
        Self { spki, id }
    }

    /// What a checkpoint says, if this key signed it.
    pub(super) fn open(&self, checkpoint: &Checkpoint) -> Result<Body, &'static str> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.spki)
            .verify(checkpoint.body.as_bytes(), &checkpoint.signature)
            .map_err(|_| match claimed(checkpoint) {
                Some(key) if key != self.id => "another key signed it",
                _ => "the signature does not fit",
            })?;
        serde_json::from_str(&checkpoint.body)
            .ok()
            .filter(|body: &Body| body.version == VERSION)
            .ok_or("it is signed, but of no version that is known here")
    }
}

/// The key that a checkpoint says signed it, whether it did or not.
fn claimed(checkpoint: &Checkpoint) -> Option<Hash> {
    let body: Option<Body> = serde_json::from_str(&checkpoint.body).ok();
    body.map(|body| body.key)
}

/// The public keys that somebody trusts, oldest first; never none.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Their labels.
    pub fn labels(&self) -> Vec<String> {
        (1..)
            .zip(&self.0)
            .map(|(version, _)| label(version))
            .collect()
    }

    /// The keys of the issuer slot.
    ///
    /// # Errors
    /// [`HsmError::Missing`] before `slot init`.
    pub async fn of(issuer: &Issuer) -> Result<Self, HsmError> {
        let mut keys = Vec::new();
        for version in 1.. {
            match issuer.public_key(&label(version)).await? {
                Some((_, spki)) => keys.push(Key::new(spki)),
                None => break,
            }
        }
        if keys.is_empty() {
            return Err(HsmError::Missing(LABEL.to_owned()));
        }
        Ok(Self(keys))
    }

    /// From PEM, one or more.
    ///
    /// # Errors
    /// When it is no public key.
    pub fn from_pem(pem: &str) -> Result<Self, x509_cert::der::Error> {
        const END: &str = "-----END PUBLIC KEY-----";
        let keys = pem.trim().split_inclusive(END).map(|pem| {
            let spki = SubjectPublicKeyInfoOwned::from_pem(pem.trim())?;
            Ok(Key::new(spki.to_der()?))
        });
        keys.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// As PEM.
    ///
    /// # Errors
    /// When the HSM gave something that is no public key.
    pub fn to_pem(&self) -> Result<String, x509_cert::der::Error> {
        let pem =
            |key: &Key| SubjectPublicKeyInfoOwned::from_der(&key.spki)?.to_pem(LineEnding::LF);
        self.0.iter().map(pem).collect()
    }

    /// What a checkpoint says, if one of these keys signed it.
    ///
    /// # Errors
    /// In words, why not.
    pub fn open(&self, checkpoint: &Checkpoint) -> Result<Body, &'static str> {
        self.signer(checkpoint)?.open(checkpoint)
    }

    /// The key that a checkpoint says signed it.
    pub(super) fn signer(&self, checkpoint: &Checkpoint) -> Result<&Key, &'static str> {
        let claimed = claimed(checkpoint).ok_or("it cannot be read")?;
        let mut keys = self.0.iter();
        keys.find(|key| key.id == claimed)
            .ok_or("another key signed it")
    }

    /// Version and key of what signs after this key was last said to; the newest where that is none of these.
    pub(super) fn in_use(&self, id: Option<Hash>) -> Result<(u32, &Key), HsmError> {
        let named = (1..).zip(&self.0).find(|(_, key)| Some(key.id) == id);
        named
            .or_else(|| (1..).zip(&self.0).last())
            .ok_or_else(|| HsmError::Missing(LABEL.to_owned()))
    }
}
