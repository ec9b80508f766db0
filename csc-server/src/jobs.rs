//! Work of the background: rows with leases, taken by any node.
//!
//! A *message* is sealed, because it may carry a code. A *notice* stands in clear, so that it can be enqueued by the very unit
//! that makes it true (a unit asks no HSM): it names what happened to whom and holds no text and no address, so a row
//! that somebody else wrote can only make the service send a text of its own to the holder it has on record.

use hsm_adapter::{HsmError, Vault, version_of};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Millis,
    ids::{CredentialId, HolderId, OperationId, random_id},
    notify::Outgoing,
    params,
    sealed::{self, Column},
    store::{Store, StoreError, Tx},
};

/// How long a node may work on a job before another takes it.
const LEASE: Millis = 60_000;
/// How long a notice is worth sending.
const NOTICE_GIVES_UP: Millis = 24 * 3_600_000;
/// How long a client that cannot be told is tried.
const CALLBACK_GIVES_UP: Millis = 600_000;

/// What a rotation moves: messages that wait.
pub const PAYLOAD: Column = sealed::column!("job", "payload");

const MESSAGE: &str = "message";
const NOTICE: &str = "notice";
const CALLBACK: &str = "callback";

/// A job that is ready to be enqueued.
#[derive(Clone, Debug)]
pub struct Job {
    id: String,
    kind: &'static str,
    payload: Vec<u8>,
    gives_up: Millis,
}

/// What a holder is told without having asked (SC-57).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// Wrong PINs have locked a credential.
    PinLocked {
        /// Which.
        credential: String,
    },
    /// Wrong codes have locked a factor.
    OtpLocked {
        /// Whose.
        holder: String,
        /// For how long.
        minutes: u64,
    },
}

impl Job {
    /// A message, sealed. After `gives_up` it is dropped instead of sent.
    ///
    /// # Errors
    /// When the HSM fails.
    pub async fn message(
        vault: &Vault,
        message: &Outgoing,
        gives_up: Millis,
    ) -> Result<Self, HsmError> {
        let id = random_id();
        let payload = vault
            .seal(&PAYLOAD.place(&id), &message.to_octets())
            .await?;
        Ok(Self {
            id,
            kind: MESSAGE,
            payload,
            gives_up,
        })
    }

    /// A notice.
    pub fn notice(notice: &Notice, now: Millis) -> Self {
        Self {
            id: random_id(),
            kind: NOTICE,
            // Strings and integers always serialise.
            payload: serde_json::to_vec(notice).unwrap_or_default(),
            gives_up: now + NOTICE_GIVES_UP,
        }
    }

    /// Tells a client that the result of its operation is there, until its time is over. It stands in clear: who is told, and where, is looked up
    /// when it is done.
    pub fn callback(operation: &OperationId, now: Millis, ends: Millis) -> Self {
        Self {
            id: random_id(),
            kind: CALLBACK,
            payload: operation.as_str().as_bytes().to_vec(),
            gives_up: ends.min(now + CALLBACK_GIVES_UP),
        }
    }

    /// Enqueues the job, durable with the unit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue(&self, tx: &mut Tx, now: Millis) -> Result<(), StoreError> {
        let sealed = (self.kind == MESSAGE).then_some(self.payload.as_slice());
        tx.execute(
            "INSERT INTO job (id, kind, payload, store, due, attempts, gives_up) VALUES ($1, $2, $3, $6, $4, 0, $5)",
            params![
                self.id.as_str(),
                self.kind,
                self.payload.clone(),
                now,
                self.gives_up,
                version_of(sealed)
            ],
        )
        .await
        .map(drop)
    }
}

impl Notice {
    /// Wrong PINs have locked this credential.
    pub fn pin_locked(credential: &CredentialId) -> Self {
        Self::PinLocked {
            credential: credential.to_string(),
        }
    }

    /// Wrong codes have locked a factor of this holder for so many milliseconds.
    pub fn otp_locked(holder: &HolderId, locked: Millis) -> Self {
        Self::OtpLocked {
            holder: holder.to_string(),
            minutes: u64::try_from(locked).unwrap_or_default().div_ceil(60_000),
        }
    }
}

/// A job of this node, until its lease ends.
#[derive(Debug)]
pub struct Leased {
    /// Identifier.
    pub id: String,
    /// Which time it is tried, from 1.
    pub attempts: i64,
    /// Whether its time is over.
    pub given_up: bool,
    kind: String,
    payload: Vec<u8>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Work {
    /// Send this message.
    Message(Outgoing),
    /// Put this notice into words and send it.
    Notice(Notice),
    /// Tell a client that this operation has ended.
    Callback(String),
}

/// Why a job cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not what the service wrote: trying again does not help.
    #[error("the job cannot be read: {0}")]
    Damaged(String),
    /// The HSM is needed to open it.
    #[error(transparent)]
    Hsm(HsmError),
}

impl Leased {
    /// The next job that is due, leased to this node.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next(store: &Store, now: Millis) -> Result<Option<Self>, StoreError> {
        const DUE: &str = "SELECT id FROM job WHERE due <= $1 LIMIT 1";
        while store.find(DUE, params![now]).await?.is_some() {
            let leased = store
                .write(async move |tx| {
                    // The second look at `due` decides between two nodes.
                    tx.find(
                        "UPDATE job SET due = $2, attempts = attempts + 1
                         WHERE id = (SELECT id FROM job WHERE due <= $1 ORDER BY due LIMIT 1) AND due <= $1
                         RETURNING id, kind, payload, attempts, gives_up",
                        params![now, now + LEASE],
                    )
                    .await
                })
                .await?;
            if let Some(mut row) = leased {
                return Ok(Some(Self {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    payload: row.get(2)?,
                    attempts: row.get(3)?,
                    given_up: now > row.get::<Millis>(4)?,
                }));
            }
        }
        Ok(None)
    }

    /// What is to be done.
    ///
    /// # Errors
    /// [`Error::Damaged`], or the HSM is not there.
    pub async fn open(&self, vault: &Vault) -> Result<Work, Error> {
        let damaged = |what: &str| Error::Damaged(what.to_owned());
        match self.kind.as_str() {
            MESSAGE => {
                let opened = vault.unseal(&PAYLOAD.place(&self.id), &self.payload).await;
                let opened = opened.map_err(|error| match error {
                    HsmError::Refused(reason) => Error::Damaged(reason),
                    error => Error::Hsm(error),
                })?;
                Outgoing::from_octets(&opened)
                    .map(Work::Message)
                    .ok_or_else(|| damaged("no message"))
            }
            CALLBACK => String::from_utf8(self.payload.clone())
                .map(Work::Callback)
                .map_err(|_| damaged("no operation")),
            NOTICE => serde_json::from_slice(&self.payload)
                .map(Work::Notice)
                .map_err(|_| damaged("no notice")),
            _ => Err(damaged("an unknown kind")),
        }
    }

    /// Ends the lease: the job is gone, or due again later each time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(self, store: &Store, done: bool, now: Millis) -> Result<(), StoreError> {
        let retry = now + 1000 * (1 << self.attempts.min(6));
        store
            .write(async move |tx| {
                if done {
                    tx.execute("DELETE FROM job WHERE id = $1", params![self.id.as_str()])
                        .await
                } else {
                    tx.execute(
                        "UPDATE job SET due = $2 WHERE id = $1",
                        params![self.id.as_str(), retry],
                    )
                    .await
                }
            })
            .await
            .map(drop)
    }
}
