//! Signing: what was approved, with a key that only secret and content open.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Activation, SealedKey, Vault,
    approved::Approved,
    formula,
    master::{MasterKey, Masters},
    opened::{OpenKey, OpenKeys},
    scratch::Scratch,
    seal::{self, damaged},
};
use crate::{
    Digest, Hsm, HsmError, Key, Scheme, Statement, VaultError,
    pool::{Session, Speed},
    verify,
};

impl Vault {
    /// Opens the key (or finds it open), signs each digest, and verifies each signature with the public key. The content must
    /// name this credential and generation, must have begun and not have expired at `now` (milliseconds since 1970 UTC), and must list
    /// every digest, or be the terms of a mandate for as many. All or nothing, in the order given.
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
        let approved = Approved::read(&activation.content, &key.credential, key.generation)?;
        approved.permits(key, scheme, digests, now)?;
        let tasks = digests.iter().map(|digest| (scheme, digest.clone()));
        self.sign_tasks(key, activation, &approved, tasks.collect(), now)
            .await
    }

    /// Signs what was derived from approved documents, as [`Vault::sign`] signs approved digests. The content must list the digest of
    /// each document, and name the certificate that each statement names.
    ///
    /// # Errors
    /// As [`Vault::sign`].
    pub async fn sign_statements(
        &self,
        key: &SealedKey,
        activation: &Activation,
        statements: &[Statement],
        now: i64,
    ) -> Result<Vec<Vec<u8>>, VaultError> {
        let approved = Approved::read(&activation.content, &key.credential, key.generation)?;
        approved.permits_statements(key, statements, now)?;
        let tasks = statements
            .iter()
            .map(|statement| (statement.scheme(), statement.to_sign().clone()));
        self.sign_tasks(key, activation, &approved, tasks.collect(), now)
            .await
    }

    async fn sign_tasks(
        &self,
        key: &SealedKey,
        activation: &Activation,
        approved: &Approved,
        tasks: Vec<(Scheme, Digest)>,
        now: i64,
    ) -> Result<Vec<Vec<u8>>, VaultError> {
        let opening = formula::activation(&activation.secret, &activation.content);
        let order = Order {
            name: name(&opening),
            origin: origin(key),
            key: key.clone(),
            masters: self.masters.clone(),
            opening,
            wrapped: activation.wrapped.clone(),
            expires: approved.kept_until(now),
            // What this call uses up will not be asked for again.
            keep: self.opened.keeps() && tasks.len() < approved.count() as usize,
            tasks,
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
        if !self.opened.has_retired() {
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

/// Signatures to be made with a key that is opened first, unless it is open.
struct Order {
    name: [u8; 32],
    origin: [u8; 32],
    key: SealedKey,
    masters: Masters,
    opening: Zeroizing<[u8; 32]>,
    wrapped: Vec<u8>,
    tasks: Vec<(Scheme, Digest)>,
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
                },
            );
        }
        Ok(signed)
    }

    /// `KEK(secret, content) → DEK → private key`; only the private key is left when this returns.
    fn open(&self, scratch: &mut Scratch<'_>) -> Result<Key, VaultError> {
        let masters = &self.masters;
        seal::judge_record(scratch.hsm(), masters, &self.key)?;
        let key_blob = seal::key_blob(scratch.hsm(), masters, &self.key)?;
        let (version, wrapped) = formula::version(&self.wrapped).ok_or(VaultError::Damaged)?;
        let master = masters
            .find(scratch.hsm(), MasterKey::SealDerive, version)
            .map_err(damaged)?;
        let algorithm = self.key.algorithm;
        let private = scratch.key(|hsm| {
            let mut scratch = Scratch::new(hsm);
            let kek = scratch.key(|hsm| masters.derive(hsm, master, &self.opening))?;
            let dek = scratch.key(|hsm| hsm.unwrap_dek(kek, wrapped, false))?;
            scratch.hsm().unwrap_private(dek, &key_blob, algorithm)
        });
        private.map_err(damaged)
    }

    fn sign_all(&self, hsm: &mut dyn Hsm, key: Key) -> Result<Vec<Vec<u8>>, HsmError> {
        let mut signatures = Vec::with_capacity(self.tasks.len());
        for (scheme, digest) in &self.tasks {
            let signed = verify::signed(
                hsm,
                key,
                self.key.algorithm,
                &self.key.spki,
                *scheme,
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
