//! Opened keys: private keys that stay in the HSM, as session objects, for the life of their activation.
//!
//! An entry is found only by who presents secret and content: its name is a hash of what derives the key-encryption key,
//! and that itself is not kept. A key dies with the session that opened it; entries know theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Activation, SealedKey, Vault, formula,
    master::MasterKey,
    scratch::{Scratch, discard},
    seal::{self, damaged},
};
use crate::{
    Content, Digest, Hsm, HsmError, Key, Scheme, VaultError,
    pool::{Living, Session, SessionId, Speed},
    verify,
};

/// The keys that are open, at most `bound`.
pub(super) struct OpenKeys {
    bound: usize,
    living: Arc<Living>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: HashMap<[u8; 32], OpenKey>,
    /// Closed, but not destroyed yet.
    retired: Vec<(Key, SessionId)>,
    uses: u64,
}

struct OpenKey {
    key: Key,
    session: SessionId,
    /// Hash of the sealed key it came from: a changed row opens anew, and is judged anew.
    origin: [u8; 32],
    /// End of the activation, milliseconds since 1970 UTC.
    expires: i64,
    last_use: u64,
}

impl OpenKeys {
    pub(super) fn new(living: Arc<Living>, bound: usize) -> Self {
        Self {
            bound,
            living,
            table: Mutex::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        let table = self.table();
        table.open.len() + table.retired.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &[u8; 32], origin: &[u8; 32]) -> Option<Key> {
        let mut table = self.table();
        table.uses += 1;
        let now = table.uses;
        let entry = table.open.get_mut(name)?;
        if entry.origin != *origin || !self.living.contains(entry.session) {
            table.retire(name);
            return None;
        }
        entry.last_use = now;
        Some(entry.key)
    }

    /// Keeps a key, and retires what has to go for it: an earlier key of the same name, and the least recently used.
    fn keep(&self, name: [u8; 32], mut entry: OpenKey) {
        let mut table = self.table();
        table.retire(&name);
        while table.open.len() >= self.bound {
            let oldest = table.open.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(name, _)| *name) else {
                break;
            };
            table.retire(&oldest);
        }
        table.uses += 1;
        entry.last_use = table.uses;
        table.open.insert(name, entry);
    }

    fn retire(&self, name: &[u8; 32]) {
        self.table().retire(name);
    }

    fn retire_expired(&self, now: i64) {
        let mut table = self.table();
        let expired = table.open.extract_if(|_, entry| entry.expires <= now);
        let expired: Vec<_> = expired
            .map(|(_, entry)| (entry.key, entry.session))
            .collect();
        table.retired.extend(expired);
    }

    /// Destroys what was retired. Session objects can be destroyed from any session.
    fn destroy_retired(&self, hsm: &mut dyn Hsm) {
        let retired = std::mem::take(&mut self.table().retired);
        for (key, session) in retired {
            if self.living.contains(session) {
                discard(hsm, key);
            }
        }
    }
}

impl Table {
    fn retire(&mut self, name: &[u8; 32]) {
        if let Some(entry) = self.open.remove(name) {
            self.retired.push((entry.key, entry.session));
        }
    }
}

impl Vault {
    /// Opens the key (or finds it open), signs each digest, and verifies each signature with the public key. The content must
    /// name this credential and generation, must not have expired at `now` (milliseconds since 1970 UTC), and must list
    /// every digest. All or nothing, in the order given.
    ///
    /// # Errors
    /// [`VaultError::NotBound`], [`VaultError::Expired`] and [`VaultError::Damaged`] before anything is signed;
    /// [`HsmError::OutcomeUnknown`] once something may have been; any other error of the HSM when nothing was.
    pub async fn sign(
        &self,
        key: &SealedKey,
        activation: &Activation,
        scheme: Scheme,
        digests: &[Digest],
        now: i64,
    ) -> Result<Vec<Vec<u8>>, VaultError> {
        let content = formula::content_for(&activation.content, &key.credential, key.generation)?;
        permitted(&content, key, scheme, digests, now)?;
        let opening = formula::activation(&activation.secret, &activation.content);
        let order = Order {
            name: name(&opening),
            origin: origin(key),
            key: key.clone(),
            opening,
            wrapped: activation.wrapped.clone(),
            scheme,
            digests: digests.to_vec(),
            expires: content.expires,
            // What this call uses up will not be asked for again.
            keep: self.opened.bound > 0 && digests.len() < content.count as usize,
        };
        let opened = self.opened.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                opened.retire_expired(now);
                let signed = order.sign(session, &opened);
                opened.destroy_retired(session.hsm.as_mut());
                signed
            })
            .await
    }

    /// Destroys the opened key of an activation, if it is open.
    pub async fn close(&self, activation: &Activation) {
        let opening = formula::activation(&activation.secret, &activation.content);
        self.opened.retire(&name(&opening));
        self.destroy_retired().await;
    }

    /// Destroys the opened keys of activations that have ended at `now` (milliseconds since 1970 UTC); signing does it in
    /// passing.
    pub async fn sweep(&self, now: i64) {
        self.opened.retire_expired(now);
        self.destroy_retired().await;
    }

    async fn destroy_retired(&self) {
        if self.opened.table().retired.is_empty() {
            return;
        }
        let opened = self.opened.clone();
        let destroyed: Result<(), HsmError> = self
            .pool
            .run(Speed::Fast, move |session| {
                opened.destroy_retired(session.hsm.as_mut());
                Ok(())
            })
            .await;
        if let Err(error) = destroyed {
            // The next job that signs does it.
            tracing::debug!(%error, "closed keys are not destroyed yet");
        }
    }
}

/// Whether the holder approved these signatures.
fn permitted(
    content: &Content,
    key: &SealedKey,
    scheme: Scheme,
    digests: &[Digest],
    now: i64,
) -> Result<(), VaultError> {
    if now >= content.expires {
        return Err(VaultError::Expired);
    }
    let algorithm_fits = key.algorithm.allows(scheme)
        && content
            .digest
            .is_none_or(|digest| digest == scheme.digest())
        && digests
            .iter()
            .all(|digest| digest.algorithm() == scheme.digest());
    if !algorithm_fits || digests.is_empty() || digests.len() > content.count as usize {
        return Err(VaultError::NotBound);
    }
    // A digest listed once is signed once, a digest listed twice twice.
    let mut approved = content.hashes.clone();
    for digest in digests {
        let hash = hex::encode(digest.octets());
        let place = approved.iter().position(|approved| *approved == hash);
        approved.swap_remove(place.ok_or(VaultError::NotBound)?);
    }
    Ok(())
}

/// Signatures to be made with a key that is opened first, unless it is open.
struct Order {
    name: [u8; 32],
    origin: [u8; 32],
    key: SealedKey,
    opening: Zeroizing<[u8; 32]>,
    wrapped: Vec<u8>,
    scheme: Scheme,
    digests: Vec<Digest>,
    expires: i64,
    keep: bool,
}

impl Order {
    fn sign(&self, session: &mut Session, opened: &OpenKeys) -> Result<Vec<Vec<u8>>, VaultError> {
        if let Some(key) = opened.find(&self.name, &self.origin) {
            match self.sign_all(session.hsm.as_mut(), key) {
                // It went with its session, or to make room: open it again.
                Err(HsmError::Missing(_)) => opened.retire(&self.name),
                signed => {
                    if !self.keep {
                        opened.retire(&self.name);
                    }
                    return Ok(signed?);
                }
            }
        }
        let mut scratch = Scratch::new(session.hsm.as_mut());
        let key = self.open(&mut scratch)?;
        let signed = self.sign_all(scratch.hsm(), key)?;
        if self.keep {
            scratch.release(key);
            opened.keep(
                self.name,
                OpenKey {
                    key,
                    session: session.id,
                    origin: self.origin,
                    expires: self.expires,
                    last_use: 0,
                },
            );
        }
        Ok(signed)
    }

    /// `KEK(secret, content) → DEK → private key`; only the private key is left when this returns.
    fn open(&self, scratch: &mut Scratch<'_>) -> Result<Key, VaultError> {
        seal::judge_record(scratch.hsm(), &self.key)?;
        let key_blob = seal::key_blob(scratch.hsm(), &self.key)?;
        let master = MasterKey::SealDerive
            .find(scratch.hsm(), self.key.masters)
            .map_err(damaged)?;
        let algorithm = self.key.algorithm;
        let private = scratch.key(|hsm| {
            let mut scratch = Scratch::new(hsm);
            let kek = scratch.key(|hsm| hsm.derive(master, &self.opening))?;
            let dek = scratch.key(|hsm| hsm.unwrap_dek(kek, &self.wrapped, false))?;
            scratch.hsm().unwrap_private(dek, &key_blob, algorithm)
        });
        private.map_err(damaged)
    }

    fn sign_all(&self, hsm: &mut dyn Hsm, key: Key) -> Result<Vec<Vec<u8>>, HsmError> {
        let mut signatures = Vec::with_capacity(self.digests.len());
        for digest in &self.digests {
            let signed = verify::signed(
                hsm,
                key,
                self.key.algorithm,
                &self.key.spki,
                self.scheme,
                digest,
            );
            match signed {
                Ok(signature) => signatures.push(signature),
                Err(error) if signatures.is_empty() => return Err(error),
                // Signatures exist that nobody gets.
                Err(error) => return Err(HsmError::OutcomeUnknown(error.to_string())),
            }
        }
        Ok(signatures)
    }
}

fn name(opening: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(opening).into()
}

fn origin(key: &SealedKey) -> [u8; 32] {
    let parts: [&[u8]; 7] = [
        key.credential.as_bytes(),
        &key.generation.to_be_bytes(),
        key.algorithm.name().as_bytes(),
        &key.spki,
        &key.key_blob,
        &key.record,
        &key.record_mac,
    ];
    Sha256::digest(&*formula::prefixed(&parts)).into()
}
