//! The permit to sign: what redeeming an activation gives, and what it leaves in the database and the audit log.

use hsm_adapter::{Activation, SealedKey};

use super::{Credential, Work};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::{ActivationId, ClientId, CredentialId},
    params,
    store::{StoreError, Tx},
};

/// What it vouches for of signatures.
pub const SIGNINGS: audit::Table = audit::table!(
    "signing",
    key ["activation", "position", "request"],
    told ["credential", "client", "hash", "outcome", "started"],
    recorded []
);

/// A permit to sign these digests with this key, once.
///
/// Only [`Keys::redeem`](super::Keys::redeem) makes one, after the count has gone down and the intent is durable in the audit log. It has no public
/// constructor and cannot be copied:
///
/// ```compile_fail
/// let permit = csc_server::credential::Permit { activation: todo!(), work: todo!() };
/// ```
/// ```compile_fail
/// fn twice(permit: csc_server::credential::Permit) -> (csc_server::credential::Permit, csc_server::credential::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    pub(crate) id: ActivationId,
    pub(crate) credential: CredentialId,
    pub(crate) pseudonym: String,
    pub(crate) request: String,
    pub(crate) key: SealedKey,
    pub(crate) activation: Activation,
    pub(crate) work: Work,
    pub(crate) positions: Vec<u32>,
    _seal: Seal,
}

/// What makes a [`Permit`] unforgeable: nothing outside this file can name a value of it.
#[derive(Debug)]
struct Seal;

impl Permit {
    /// What was counted down and is recorded durably.
    pub(super) fn new(
        id: ActivationId,
        credential: &Credential,
        request: &str,
        activation: Activation,
        work: Work,
        positions: Vec<u32>,
    ) -> Self {
        Self {
            id,
            credential: credential.id.clone(),
            pseudonym: credential.pseudonym.clone(),
            request: request.to_owned(),
            key: credential.key.clone(),
            activation,
            work,
            positions,
            _seal: Seal,
        }
    }
}

/// Signatures that an activation was counted down for.
pub(super) struct Started<'a> {
    pub(super) id: &'a ActivationId,
    pub(super) credential: &'a Credential,
    pub(super) client: &'a ClientId,
    pub(super) request: &'a str,
    /// Position and hash of each.
    pub(super) marks: &'a [(u32, Vec<u8>)],
    /// What is signed in their place: see [`Work::derived`].
    pub(super) derived: &'a [String],
    pub(super) version: i64,
    pub(super) remaining: i64,
    /// Of the activation from here on.
    pub(super) state: String,
}

impl Started<'_> {
    /// Marks each hash as signed and records the intent, in the transaction that counted down.
    pub(super) async fn mark(&self, tx: &mut Tx, now: Millis) -> Result<(), StoreError> {
        let Self {
            id,
            credential,
            client,
            request,
            marks,
            ..
        } = self;
        for (position, hash) in *marks {
            let marked = tx
                .execute(
                    "INSERT INTO signing (activation, position, request, credential, client, hash, outcome, started)
                     VALUES ($1, $2, $7, $3, $4, $5, 'started', $6) ON CONFLICT (activation, position) DO NOTHING",
                    params![*id, *position, &credential.id, *client, hash.clone(), now, *request],
                )
                .await?;
            if marked == 0 {
                // The unit is rolled back.
                return Err(StoreError::Corrupt(
                    "an activation that signed this hash before",
                ));
            }
        }
        let started = Event::SignStarted {
            activation: id.to_string(),
            credential: credential.id.to_string(),
            client: client.to_string(),
            request: (*request).to_owned(),
            hashes: marks.iter().map(|(_, hash)| hex::encode(hash)).collect(),
            derived: self.derived.to_vec(),
            version: self.version,
            remaining: self.remaining,
            state: self.state.clone(),
            positions: marks.iter().map(|(position, _)| *position).collect(),
        };
        audit::record(tx, now, &credential.pseudonym, &started);
        Ok(())
    }
}
