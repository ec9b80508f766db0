//! Signing: what was approved, with a key that only secret and content open.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Activation, Opening, SealedKey, Vault,
    approved::Approved,
    formula,
    master::{MasterKey, Masters},
    opened::{OpenKey, OpenKeys},
    scratch::Scratch,
    seal::{self, damaged},
};
use crate::{
    Digest, Hsm, HsmError, Key, Scheme, Secret, Statement, VaultError,
    call::{Call, IfLost, Route, Tools},
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
        let what = ToSign::Digests(scheme, digests.to_vec());
        self.sign_tasks(key, activation, what, now).await
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
        let what = ToSign::Statements(statements.to_vec());
        self.sign_tasks(key, activation, what, now).await
    }

    async fn sign_tasks(
        &self,
        key: &SealedKey,
        activation: &Activation,
        what: ToSign,
        now: i64,
    ) -> Result<Vec<Vec<u8>>, VaultError> {
        let call = Sign {
            key: key.clone(),
            opening: activation.into(),
            what,
            now,
            approved: OnceLock::new(),
        };
        self.route.call(call).await
    }

    /// Destroys the opened key of an activation, if it is open.
    pub async fn close(&self, activation: &Activation) {
        let name = name(&Opening::from(activation).unlock());
        match &self.route {
            Route::There(slots) if slots.slots().count() > 1 => slots.mention(Close { name }),
            _ => not_destroyed(self.route.call(Close { name }).await),
        }
    }

    /// Destroys the opened keys of activations that have ended at `now` (milliseconds since 1970 UTC); signing does it in
    /// passing.
    pub async fn sweep(&self, now: i64) {
        match &self.route {
            Route::Here(_) => not_destroyed(self.route.call(Sweep { now }).await),
            // A process that has no session free does it when it has.
            Route::There(slots) => slots.mention(Sweep { now }),
        }
    }
}

fn not_destroyed(ended: Result<(), HsmError>) {
    if let Err(error) = ended {
        // The next job that signs does it.
        tracing::debug!(%error, "closed keys are not destroyed yet");
    }
}

/// [`Vault::sign`] and [`Vault::sign_statements`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Sign {
    key: SealedKey,
    opening: Opening,
    what: ToSign,
    now: i64,
    /// What the opening's content says, once it was found to permit this.
    #[serde(skip)]
    approved: OnceLock<Approved>,
}

#[derive(Serialize, Deserialize)]
enum ToSign {
    Digests(Scheme, Vec<Digest>),
    Statements(Vec<Statement>),
}

impl Call for Sign {
    type Answer = Vec<Vec<u8>>;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;
    const IF_LOST: IfLost = IfLost::Unknown;

    /// Where the key may be open.
    fn affinity(&self) -> Option<u64> {
        let name = name(&self.opening.unlock());
        name.first_chunk().map(|octets| u64::from_be_bytes(*octets))
    }

    fn at_once(&self, _: &Tools) -> Option<Result<Vec<Vec<u8>>, VaultError>> {
        self.permitted().err().map(Err)
    }

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<Vec<u8>>, VaultError> {
        let approved = self.permitted()?;
        let secret = Secret::new(*self.opening.secret);
        let unlock = formula::opening(&secret, &self.opening.content, approved.is_mandate());
        let tasks = self.what.tasks();
        let order = Order {
            name: name(&unlock),
            origin: origin(&self.key),
            key: &self.key,
            masters: &tools.masters,
            opening: unlock,
            wrapped: &self.opening.wrapped,
            expires: approved.kept_until(self.now),
            // What this call uses up will not be asked for again.
            keep: tools.opened.keeps() && tasks.len() < approved.count() as usize,
            tasks,
        };
        tools.opened.retire_expired(self.now);
        let signed = order.sign(session, &tools.opened);
        tools.opened.destroy_retired(session.hsm.as_mut());
        signed
    }
}

impl Sign {
    /// The approval, when it is for these signatures.
    fn permitted(&self) -> Result<&Approved, VaultError> {
        if let Some(approved) = self.approved.get() {
            return Ok(approved);
        }
        let (octets, key) = (&self.opening.content, &self.key);
        let approved = Approved::read(octets, &key.credential, key.generation)?;
        match &self.what {
            ToSign::Digests(scheme, digests) => approved.permits(key, *scheme, digests, self.now),
            ToSign::Statements(statements) => {
                approved.permits_statements(key, statements, self.now)
            }
        }?;
        Ok(self.approved.get_or_init(|| approved))
    }
}

impl ToSign {
    fn tasks(&self) -> Vec<(Scheme, &Digest)> {
        match self {
            Self::Digests(scheme, digests) => {
                digests.iter().map(|digest| (*scheme, digest)).collect()
            }
            Self::Statements(statements) => statements
                .iter()
                .map(|statement| (statement.scheme(), statement.to_sign()))
                .collect(),
        }
    }
}

/// [`Vault::close`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Close {
    name: [u8; 32],
}

impl Call for Close {
    type Answer = ();
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn at_once(&self, tools: &Tools) -> Option<Result<(), HsmError>> {
        tools.opened.retire(&self.name);
        (!tools.opened.has_retired()).then_some(Ok(()))
    }

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(), HsmError> {
        tools.opened.destroy_retired(session.hsm.as_mut());
        Ok(())
    }
}

/// [`Vault::sweep`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Sweep {
    now: i64,
}

impl Call for Sweep {
    type Answer = ();
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;

    fn at_once(&self, tools: &Tools) -> Option<Result<(), HsmError>> {
        tools.opened.retire_expired(self.now);
        (!tools.opened.has_retired()).then_some(Ok(()))
    }

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(), HsmError> {
        tools.opened.destroy_retired(session.hsm.as_mut());
        Ok(())
    }
}

/// Signatures to be made with a key that is opened first, unless it is open.
struct Order<'a> {
    name: [u8; 32],
    origin: [u8; 32],
    key: &'a SealedKey,
    masters: &'a Masters,
    opening: Zeroizing<[u8; 32]>,
    wrapped: &'a [u8],
    tasks: Vec<(Scheme, &'a Digest)>,
    expires: i64,
    keep: bool,
}

impl Order<'_> {
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
        let masters = self.masters;
        seal::judge_record(scratch.hsm(), masters, self.key)?;
        let key_blob = seal::key_blob(scratch.hsm(), masters, self.key)?;
        let (version, wrapped) = formula::version(self.wrapped).ok_or(VaultError::Damaged)?;
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
