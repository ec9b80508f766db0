//! Asynchronous operations (CSC v2 10.5, `operationMode` `A`): accepted now, done by the node that accepted them, asked for later.
//!
//! A row says who asked and until when the result is kept. The permit, and with it what opens the key, stays in the memory of the node that
//! took it: nothing of it rests. That node renews a lease on the row while it works; when it is gone the lease ends, and the operation has
//! failed. Nothing is done twice.
//!
//! A result rests under a key of its own, which is sealed for this place: a rotation moves the key and not the result. It says itself whose it
//! is and until when, so that an edited row shows nobody what is not his.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hsm_adapter::{HsmError, Vault, version_of};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    ids::{ClientId, HolderId, OperationId},
    jobs::Job,
    params,
    sealed::{self, Column},
    store::{Store, StoreError},
};

/// What a rotation moves: the keys of results.
pub const KEY: Column = sealed::column!("operation", "result_key");

/// How long an operation counts as being worked on without a sign of life.
const LEASE: Millis = 6_000;
/// How often the node that works on it says that it is alive.
const RENEW: Duration = Duration::from_millis(1_500);
/// Operations of a node at once.
const AT_ONCE: u32 = 64;
/// How often a node looks for results whose time is over.
const LOOK: Duration = Duration::from_secs(1);

/// The operations of this service.
#[derive(Clone)]
pub struct Operations {
    store: Store,
    clock: Clock,
    vault: Vault,
    running: Arc<Semaphore>,
}

/// Who asked for what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client.
    pub client: ClientId,
    /// Whose credential.
    pub holder: HolderId,
    /// His pseudonym.
    pub person: String,
    /// Identifier of the request.
    pub request: String,
    /// How long the result is kept.
    pub validity: Duration,
    /// Whom to tell that it is there.
    pub response_uri: Option<String>,
}

/// An operation that was accepted. The place of a node that it takes is free again when this is dropped.
pub struct Accepted {
    /// What the client asks for it by.
    pub id: OperationId,
    asked: Asked,
    ends: Millis,
    _place: OwnedSemaphorePermit,
}

/// How an operation ended: the answer that a client who had waited would have got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub body: String,
}

/// Where an operation stands.
#[derive(Debug)]
pub enum Standing {
    /// It is being worked on.
    Pending,
    /// It has ended.
    Ended(Outcome),
    /// Who worked on it is gone.
    Lost,
}

/// A result and whose it is.
#[derive(Serialize, Deserialize)]
struct Kept {
    client: String,
    holder: String,
    ends: Millis,
    outcome: Outcome,
}

/// Why an operation cannot be accepted, ended or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This node has enough to do.
    #[error("too many asynchronous operations at once")]
    Full,
    /// There is none, it is somebody else's, or its time is over: one answer for all.
    #[error("unknown operation")]
    Unknown,
    /// The row is not what the service wrote.
    #[error("the result of an operation cannot be read")]
    Damaged,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl Operations {
    /// Operations in this database.
    pub fn new(store: Store, clock: Clock, vault: Vault) -> Self {
        Self {
            store,
            clock,
            vault,
            running: Arc::new(Semaphore::new(AT_ONCE as usize)),
        }
    }

    /// Accepts an operation, before anything of it is done.
    ///
    /// # Errors
    /// [`Error::Full`], or a failure of the database.
    pub async fn accept(&self, asked: Asked) -> Result<Accepted, Error> {
        let place = self.running.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::Full)?;
        let (id, now) = (OperationId::random(), self.clock.now());
        let validity = i64::try_from(asked.validity.as_millis()).unwrap_or(i64::MAX / 2);
        let ends = now.saturating_add(validity);
        let (new, of) = (id.clone(), asked.clone());
        self.store
            .write(async move |tx| {
                tx.execute(
                    "INSERT INTO operation (id, client, holder, ends, lease, response_uri) VALUES ($1, $2, $3, $4, $5, $6)",
                    params![&new, &of.client, &of.holder, ends, now + LEASE, of.response_uri.clone()],
                )
                .await?;
                let accepted = Event::OperationAccepted {
                    operation: new.to_string(),
                    client: of.client.to_string(),
                    request: of.request.clone(),
                    ends,
                };
                audit::record(tx, now, &of.person, &accepted);
                Ok(())
            })
            .await?;
        Ok(Accepted {
            id,
            asked,
            ends,
            _place: place,
        })
    }

    /// Forgets an operation that was accepted and is refused after all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(&self, accepted: Accepted) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM operation WHERE id = $1";
        let id = accepted.id.clone();
        self.store
            .write(async move |tx| tx.execute(SQL, params![&id]).await)
            .await?;
        Ok(())
    }

    /// Does the work and keeps how it ended, while the lease is renewed.
    pub async fn work(&self, accepted: Accepted, work: impl Future<Output = Outcome>) {
        let outcome = tokio::select! {
            outcome = work => outcome,
            never = self.renew(&accepted.id) => match never {},
        };
        if let Err(error) = self.end(&accepted, outcome).await {
            tracing::error!(operation = %accepted.id, %error, "the result of an operation is lost");
        }
    }

    async fn renew(&self, id: &OperationId) -> std::convert::Infallible {
        const SQL: &str =
            "UPDATE operation SET lease = $2 WHERE id = $1 AND result IS NULL AND lease > $3";
        loop {
            tokio::time::sleep(RENEW).await;
            let (id, now) = (id.clone(), self.clock.now());
            let renewed = self
                .store
                .write(async move |tx| tx.execute(SQL, params![&id, now + LEASE, now]).await)
                .await;
            if let Err(error) = renewed {
                tracing::warn!(%error, "the lease of an operation is not renewed");
            }
        }
    }

    /// Keeps the result, unless the operation counts as failed already.
    async fn end(&self, accepted: &Accepted, outcome: Outcome) -> Result<(), Error> {
        let kept = Kept {
            client: accepted.asked.client.to_string(),
            holder: accepted.asked.holder.to_string(),
            ends: accepted.ends,
            outcome,
        };
        let key = self.vault.random::<32>().await?;
        let result = seal(&key, &accepted.id, &kept)?;
        let sealed = self
            .vault
            .seal(&KEY.place(accepted.id.as_str()), &*key)
            .await?;
        let (id, now) = (accepted.id.clone(), self.clock.now());
        let notice = accepted.asked.response_uri.as_ref();
        let notice = notice.map(|_| Job::callback(&accepted.id, now, accepted.ends));
        self.store
            .write(async move |tx| {
                let kept = tx
                    .execute(
                        "UPDATE operation SET result = $2, result_key = $3, store = $4
                         WHERE id = $1 AND result IS NULL AND lease > $5",
                        params![
                            &id,
                            result.clone(),
                            sealed.clone(),
                            version_of([sealed.as_slice()]),
                            now
                        ],
                    )
                    .await?;
                if let (1, Some(notice)) = (kept, &notice) {
                    notice.enqueue(tx, now).await?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Where the operation of this client and holder stands.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Damaged`], or a failure of database or HSM.
    pub async fn find(
        &self,
        id: &OperationId,
        client: &ClientId,
        holder: &HolderId,
    ) -> Result<Standing, Error> {
        const SQL: &str = "SELECT lease, result, result_key FROM operation
                           WHERE id = $1 AND client = $2 AND holder = $3 AND ends > $4";
        let now = self.clock.now();
        let found = self
            .store
            .find(SQL, params![id, client, holder, now])
            .await?;
        let mut row = found.ok_or(Error::Unknown)?;
        let (lease, result): (Millis, Option<Vec<u8>>) = (row.get(0)?, row.optional(1)?);
        let Some(result) = result else {
            return Ok(if lease > now {
                Standing::Pending
            } else {
                Standing::Lost
            });
        };
        let sealed: Vec<u8> = row.get(2)?;
        let kept = match self.vault.unseal(&KEY.place(id.as_str()), &sealed).await {
            Ok(key) => open(&key, id, result),
            Err(HsmError::Refused(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let his = |kept: &Kept| {
            kept.client == client.as_str() && kept.holder == holder.as_str() && kept.ends > now
        };
        match kept.filter(his) {
            Some(kept) => Ok(Standing::Ended(kept.outcome)),
            None => {
                tracing::error!(operation = %id, "the result of an operation is not what was kept");
                let job = id.to_string();
                audit::note(&self.store, now, "", Event::JobIntegrityFail { job }).await?;
                Err(Error::Damaged)
            }
        }
    }

    /// Whom to tell of an operation: its client, and where; `None` when nobody is to be told any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn to_tell(&self, id: &str) -> Result<Option<(ClientId, String)>, StoreError> {
        const SQL: &str = "SELECT client, response_uri FROM operation WHERE id = $1 AND ends > $2 AND response_uri IS NOT NULL";
        let found = self.store.find(SQL, params![id, self.clock.now()]).await?;
        let told = found.map(|mut row| {
            Ok::<_, StoreError>((ClientId::new(row.get::<String>(0)?), row.get(1)?))
        });
        told.transpose()
    }

    /// Deletes what is kept no longer, until `stop` becomes true; then waits for what was begun on this node.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.sweep().await {
                tracing::error!(%error, "results whose time is over are not deleted");
            }
            let _ = tokio::time::timeout(LOOK, stop.changed()).await;
        }
        // Closed to nobody: listeners have stopped, so that nothing new comes.
        let _ = self.running.acquire_many(AT_ONCE).await;
    }

    /// Deletes the results whose time is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let over = "SELECT id FROM operation WHERE ends <= $1 LIMIT 1";
        if self.store.find(over, params![now]).await?.is_none() {
            return Ok(());
        }
        let sql = "DELETE FROM operation WHERE ends <= $1";
        let deleted = self
            .store
            .write(async move |tx| tx.execute(sql, params![now]).await);
        deleted.await.map(drop)
    }
}

/// Under a key that encrypts nothing else, so that its nonce need not differ.
fn seal(key: &[u8; 32], id: &OperationId, kept: &Kept) -> Result<Vec<u8>, Error> {
    let mut octets = serde_json::to_vec(kept).map_err(|_| Error::Damaged)?;
    let key = aead(key).ok_or(Error::Damaged)?;
    key.seal_in_place_append_tag(nonce(), Aad::from(id.as_str()), &mut octets)
        .map_err(|_| Error::Damaged)?;
    Ok(octets)
}

fn open(key: &[u8], id: &OperationId, mut sealed: Vec<u8>) -> Option<Kept> {
    let octets = aead(key)?
        .open_in_place(nonce(), Aad::from(id.as_str()), &mut sealed)
        .ok()?;
    serde_json::from_slice(octets).ok()
}

fn aead(key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key)
        .ok()
        .map(LessSafeKey::new)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_opens_under_its_key_and_in_its_place_only() {
        let kept = Kept {
            client: "client".into(),
            holder: "holder".into(),
            ends: 7,
            outcome: Outcome {
                status: 200,
                body: "{}".into(),
            },
        };
        let (one, other) = (OperationId::random(), OperationId::random());
        let sealed = seal(&[1; 32], &one, &kept).unwrap();
        assert!(open(&[1; 32], &one, sealed.clone()).is_some());
        assert!(open(&[2; 32], &one, sealed.clone()).is_none());
        assert!(open(&[1; 32], &other, sealed.clone()).is_none());
        assert!(open(&[1; 32], &one, sealed[1..].to_vec()).is_none());
    }
}
