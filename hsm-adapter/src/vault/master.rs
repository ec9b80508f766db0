//! The master keys of the holder slot: which there are, which version is in use, and what each does alone.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{MacKey, Place, formula};
use crate::{Hsm, HsmError, Key, KeyUse};

/// The version of a key that does not rotate, and the first of one that does.
pub(super) const FIRST: u32 = 1;

/// Master keys that rotate together: a new version is made beside the old one, which is destroyed when nothing rests under it
/// any more. The others stay: pseudonyms must read the same as long as the audit log is kept, a password's hash cannot
/// be made again without the password, codes live for minutes, and the few accounts of operators can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterSet {
    /// `store`: the outer layer of what is at rest, renewed without any holder.
    Store,
    /// `seal-derive`, `pin-check`, `puk-check` and `record-mac`: renewed by the holder's PIN or PUK alone.
    Sealing,
}

impl MasterSet {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Store, Self::Sealing];

    pub(super) fn keys(self) -> impl Iterator<Item = MasterKey> {
        MasterKey::ALL
            .into_iter()
            .filter(move |key| key.set() == Some(self))
    }

    /// The versions of which any key is among these labels, ascending.
    pub(super) fn versions(self, labels: &[String]) -> BTreeSet<u32> {
        let of_key = |key: MasterKey| {
            labels.iter().filter_map(move |label| {
                let version = label.strip_prefix(key.name())?.strip_prefix("/v")?;
                version.parse().ok().filter(|version| *version >= FIRST)
            })
        };
        self.keys().flat_map(of_key).collect()
    }

    /// The version that these labels put into use: the highest that is complete. One that is being made is not.
    pub(super) fn in_use(self, labels: &[String]) -> Option<u32> {
        let complete = |version: &u32| self.keys().all(|key| labels.contains(&key.label(*version)));
        self.versions(labels).into_iter().rev().find(complete)
    }
}

/// The versions of both sets that these labels put into use; `None` when they are not enough for any.
pub(crate) fn in_use(labels: &[String]) -> Option<[u32; 2]> {
    let [store, sealing] = MasterSet::ALL.map(|set| set.in_use(labels));
    Some([store?, sealing?])
}

/// A master key. One purpose each: with ENCRYPT beside DERIVE anyone with a session could compute the derived keys in
/// clear, and a MAC made for one use must not pass in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MasterKey {
    SealDerive,
    Store,
    PinCheck,
    PukCheck,
    Record,
    Mac(MacKey),
}

impl MasterKey {
    pub(super) const ALL: [Self; 11] = [
        Self::SealDerive,
        Self::Store,
        Self::PinCheck,
        Self::PukCheck,
        Self::Mac(MacKey::Otp),
        Self::Mac(MacKey::Pepper),
        Self::Record,
        Self::Mac(MacKey::Pseudonym),
        Self::Mac(MacKey::Operator),
        Self::Mac(MacKey::OperatorCode),
        Self::Mac(MacKey::Client),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SealDerive => "seal-derive",
            Self::Store => "store",
            Self::PinCheck => "pin-check",
            Self::PukCheck => "puk-check",
            Self::Mac(MacKey::Otp) => "otp",
            Self::Mac(MacKey::Pepper) => "pepper",
            Self::Record => "record-mac",
            Self::Mac(MacKey::Pseudonym) => "pseudonym",
            Self::Mac(MacKey::Operator) => "operator-mac",
            Self::Mac(MacKey::OperatorCode) => "operator-otp",
            Self::Mac(MacKey::Client) => "client-mac",
        }
    }

    pub(super) fn label(self, version: u32) -> String {
        format!("{}/v{version}", self.name())
    }

    pub(super) fn purpose(self) -> KeyUse {
        match self {
            Self::SealDerive => KeyUse::Derive,
            Self::Store => KeyUse::Encrypt,
            Self::PinCheck | Self::PukCheck | Self::Record | Self::Mac(_) => KeyUse::Mac,
        }
    }

    /// What it rotates with; `None` for a key that does not.
    pub(super) fn set(self) -> Option<MasterSet> {
        match self {
            Self::Store => Some(MasterSet::Store),
            Self::SealDerive | Self::PinCheck | Self::PukCheck | Self::Record => {
                Some(MasterSet::Sealing)
            }
            Self::Mac(_) => None,
        }
    }
}

/// The version of each set that is in use, found on the token and remembered; clones share it. Another process may rotate at
/// any time: the token is looked at again when a value is of a higher version, or a key is not there.
#[derive(Clone, Default)]
pub(crate) struct Masters(Arc<Known>);

/// 0: not looked for yet.
#[derive(Default)]
struct Known {
    store: AtomicU32,
    sealing: AtomicU32,
    derivations: AtomicU64,
    genuine: Mutex<HashSet<[u8; 32]>>,
}

/// Records that are remembered as genuine.
const REMEMBERED: usize = 10_000;

impl Masters {
    fn slot(&self, set: MasterSet) -> &AtomicU32 {
        match set {
            MasterSet::Store => &self.0.store,
            MasterSet::Sealing => &self.0.sealing,
        }
    }

    /// The version in use as far as is known here; 0 before the token was looked at.
    pub(crate) fn known(&self, set: MasterSet) -> u32 {
        self.slot(set).load(Ordering::Acquire)
    }

    /// Takes over what another process found; it does not forget.
    pub(crate) fn learn(&self, found: impl Iterator<Item = (MasterSet, u32)>) {
        for (set, version) in found.filter(|(_, version)| *version >= FIRST) {
            self.slot(set).store(version, Ordering::Release);
        }
    }

    /// Looks on the token which versions are in use; gives the labels that are there.
    pub(super) fn refresh(&self, hsm: &mut dyn Hsm) -> Result<Vec<String>, HsmError> {
        let labels = hsm.master_labels()?;
        for set in MasterSet::ALL {
            if let Some(version) = set.in_use(&labels) {
                self.slot(set).store(version, Ordering::Release);
            }
        }
        Ok(labels)
    }

    /// The version in use. One job asks once: it may move between two.
    pub(super) fn current(&self, hsm: &mut dyn Hsm, set: MasterSet) -> Result<u32, HsmError> {
        let known = self.known(set);
        if known >= FIRST && all_there(hsm, set, known)?.is_none() {
            return Ok(known);
        }
        self.refresh(hsm)?;
        let found = self.known(set).max(FIRST);
        all_there(hsm, set, found)?.map_or(Ok(found), |label| Err(HsmError::Missing(label)))
    }

    /// The key of this version; it is not made here. A version that is not in use and not there either was destroyed, or what
    /// names it was changed.
    pub(super) fn find(
        &self,
        hsm: &mut dyn Hsm,
        key: MasterKey,
        version: u32,
    ) -> Result<Key, HsmError> {
        if key.set().is_some_and(|set| version > self.known(set)) {
            self.refresh(hsm)?;
        }
        let label = key.label(version);
        if let Some(found) = hsm.master(&label, key.purpose())? {
            return Ok(found);
        }
        if let Some(set) = key.set() {
            self.refresh(hsm)?;
            if version != self.known(set) {
                return Err(HsmError::Refused(format!("there is no '{label}' any more")));
            }
        }
        Err(HsmError::Missing(label))
    }

    /// Derives a key-encryption key, and counts it: who tries PINs derives as often.
    pub(super) fn derive(
        &self,
        hsm: &mut dyn Hsm,
        master: Key,
        data: &[u8; 32],
    ) -> Result<Key, HsmError> {
        self.0.derivations.fetch_add(1, Ordering::Relaxed);
        hsm.derive(master, data)
    }

    /// How many were derived since this was last asked: another process counts on.
    pub(crate) fn take_derivations(&self) -> u64 {
        self.0.derivations.swap(0, Ordering::Relaxed)
    }

    /// So many were derived in another process.
    pub(crate) fn add_derivations(&self, count: u64) {
        self.0.derivations.fetch_add(count, Ordering::Relaxed);
    }

    /// How many key-encryption keys were derived.
    pub(crate) fn derivations(&self) -> u64 {
        self.0.derivations.load(Ordering::Relaxed)
    }

    /// HMAC over length-prefixed parts.
    pub(super) fn mac(
        &self,
        hsm: &mut dyn Hsm,
        key: MasterKey,
        version: u32,
        parts: &[&[u8]],
    ) -> Result<[u8; 32], HsmError> {
        let key = self.find(hsm, key, version)?;
        hsm.mac(key, &formula::prefixed(parts))
    }

    /// Whether this is the MAC of the record. What was genuine once is, octet for octet, as long as this process lives: the token is not
    /// asked again.
    pub(super) fn is_genuine(
        &self,
        hsm: &mut dyn Hsm,
        version: u32,
        record: &[u8],
        mac: &[u8],
    ) -> Result<bool, HsmError> {
        let parts: [&[u8]; 3] = [&version.to_be_bytes(), record, mac];
        let name: [u8; 32] = Sha256::digest(&*formula::prefixed(&parts)).into();
        let remembered = || {
            let genuine = self.0.genuine.lock();
            genuine.unwrap_or_else(PoisonError::into_inner)
        };
        if remembered().contains(&name) {
            return Ok(true);
        }
        let right = self.mac(hsm, MasterKey::Record, version, &[record])?;
        let genuine = bool::from(right.ct_eq(mac));
        if genuine {
            let mut remembered = remembered();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(name);
        }
        Ok(genuine)
    }

    /// Seals a value for its place: the version of the master key (32 bits), then nonce, ciphertext and tag.
    pub(super) fn seal(
        &self,
        hsm: &mut dyn Hsm,
        place: &Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, HsmError> {
        let version = self.current(hsm, MasterSet::Store)?;
        let store = self.find(hsm, MasterKey::Store, version)?;
        let sealed = hsm.encrypt(store, &formula::aad(place, version), plain)?;
        Ok(formula::versioned(version, &sealed))
    }

    /// Opens a value sealed for this place.
    pub(super) fn unseal(
        &self,
        hsm: &mut dyn Hsm,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let (version, sealed) = formula::version(sealed)
            .ok_or_else(|| HsmError::Refused("a sealed value is too short".to_owned()))?;
        let store = self.find(hsm, MasterKey::Store, version)?;
        hsm.decrypt(store, &formula::aad(place, version), sealed)
    }

    /// The same value under the version in use; `None` when it is.
    pub(super) fn reseal(
        &self,
        hsm: &mut dyn Hsm,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, HsmError> {
        let current = self.current(hsm, MasterSet::Store)?;
        if formula::version(sealed).is_some_and(|(version, _)| version == current) {
            return Ok(None);
        }
        let plain = self.unseal(hsm, place, sealed)?;
        self.seal(hsm, place, &plain).map(Some)
    }
}

/// The label of the first key of a version that is missing.
fn all_there(hsm: &mut dyn Hsm, set: MasterSet, version: u32) -> Result<Option<String>, HsmError> {
    for key in set.keys() {
        let label = key.label(version);
        if hsm.master(&label, key.purpose())?.is_none() {
            return Ok(Some(label));
        }
    }
    Ok(None)
}
