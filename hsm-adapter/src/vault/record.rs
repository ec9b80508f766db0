//! What a record of a ceremony says of keys: enough to know them again by, and nothing that opens anything.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    MasterSet, Vault,
    master::{FIRST, MasterKey},
};
use crate::{
    Hsm, HsmError, Issuer, KeyUse,
    call::{Call, Tools},
    pool::{Session, Speed},
};

/// A key as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Label on the token.
    pub label: String,
    /// The set that it rotates with, and its version in it.
    pub rotates: Option<(MasterSet, u32)>,
    /// Key type and purpose.
    pub kind: String,
    /// Its check value: of a pair, the SHA-256 of its SubjectPublicKeyInfo. `None` when the token does not tell.
    pub check_value: Option<Vec<u8>>,
    /// Its attributes that are true.
    pub attributes: Vec<String>,
}

impl Vault {
    /// Every master key that is on the token, all versions.
    ///
    /// # Errors
    /// When the HSM does not answer, or a key is not what it must be.
    pub async fn recorded(&self) -> Result<Vec<Recorded>, HsmError> {
        self.route.call(RecordMasters {}).await
    }
}

impl Issuer {
    /// The pairs of these labels that are there.
    ///
    /// # Errors
    /// As [`Vault::recorded`].
    pub async fn recorded(&self, labels: Vec<String>) -> Result<Vec<Recorded>, HsmError> {
        self.route().call(RecordPairs { labels }).await
    }
}

/// [`Vault::recorded`].
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordMasters {}

impl Call for RecordMasters {
    type Answer = Vec<Recorded>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Vec<Recorded>, HsmError> {
        let hsm = session.hsm.as_mut();
        let labels = hsm.master_labels()?;
        let mut recorded = Vec::new();
        for key in MasterKey::ALL {
            let versions = match key.set() {
                Some(set) => set.versions(&labels).into_iter().collect(),
                None => vec![FIRST],
            };
            for version in versions {
                recorded.extend(master(hsm, key, version)?);
            }
        }
        Ok(recorded)
    }
}

fn master(hsm: &mut dyn Hsm, key: MasterKey, version: u32) -> Result<Option<Recorded>, HsmError> {
    let (label, purpose) = (key.label(version), key.purpose());
    let Some(found) = hsm.master(&label, purpose)? else {
        return Ok(None);
    };
    let kind = match purpose {
        KeyUse::Derive | KeyUse::Encrypt => "AES-256",
        KeyUse::Mac => "HMAC-SHA-256",
    };
    Ok(Some(Recorded {
        label,
        rotates: key.set().map(|set| (set, version)),
        kind: kind.to_owned(),
        check_value: hsm.check_value(found, purpose)?.map(Vec::from),
        attributes: hsm.attributes(found)?,
    }))
}

/// [`Issuer::recorded`].
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordPairs {
    labels: Vec<String>,
}

impl Call for RecordPairs {
    type Answer = Vec<Recorded>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Vec<Recorded>, HsmError> {
        let hsm = session.hsm.as_mut();
        let mut recorded = Vec::new();
        for label in &self.labels {
            let Some((key, algorithm, spki)) = hsm.token_pair(label)? else {
                continue;
            };
            recorded.push(Recorded {
                label: label.clone(),
                rotates: None,
                kind: algorithm.name().to_owned(),
                check_value: Some(Sha256::digest(&spki).to_vec()),
                attributes: hsm.attributes(key)?,
            });
        }
        Ok(recorded)
    }
}
