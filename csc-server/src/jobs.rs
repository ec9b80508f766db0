//! Work of the background: rows with leases, taken by any node. Payloads are sealed, because a mail may carry a code.

use std::time::Duration;

use hsm_adapter::{HsmError, Vault, version_of};
use tokio::sync::watch;

use crate::{
    clock::{Clock, Millis},
    ids::random_id,
    notify::{Mailer, Outgoing},
    params,
    sealed::SealedColumn,
    store::{Store, StoreError, Tx},
};

/// How long a node may work on a job before another takes it.
const LEASE: Millis = 60_000;
/// How often a node looks for work that nobody told it about.
const LOOK: Duration = Duration::from_secs(1);

/// The payloads.
pub static PAYLOADS: SealedColumn = SealedColumn {
    table: "job",
    field: "payload",
    select: "SELECT id, payload FROM job WHERE store = $1 AND id > $2 ORDER BY id LIMIT $3",
    update: "UPDATE job SET payload = $3, store = $4 WHERE id = $1 AND payload = $2",
};

/// A job that is ready to be enqueued.
#[derive(Clone, Debug)]
pub struct Job {
    id: String,
    kind: &'static str,
    payload: Vec<u8>,
    gives_up: Millis,
}

impl Job {
    /// A mail, sealed. After `gives_up` it is dropped instead of sent.
    ///
    /// # Errors
    /// When the HSM fails.
    pub async fn mail(vault: &Vault, mail: &Outgoing, gives_up: Millis) -> Result<Self, HsmError> {
        let id = random_id();
        let payload = vault.seal(&PAYLOADS.place(&id), &mail.to_octets()).await?;
        Ok(Self {
            id,
            kind: "mail",
            payload,
            gives_up,
        })
    }

    /// Enqueues the job, durable with the unit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue(&self, tx: &mut Tx, now: Millis) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO job (id, kind, payload, store, due, attempts, gives_up) VALUES ($1, $2, $3, $6, $4, 0, $5)",
            params![
                self.id.as_str(),
                self.kind,
                self.payload.clone(),
                now,
                self.gives_up,
                version_of([self.payload.as_slice()])
            ],
        )
        .await
        .map(drop)
    }
}

/// Does the jobs until told to stop.
pub struct Runner {
    /// Where the jobs are.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Opens the payloads.
    pub vault: Vault,
    /// Sends the mails.
    pub mailer: Mailer,
}

impl Runner {
    /// Runs until `stop` becomes true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.next().await {
                Ok(true) => {}
                Ok(false) => {
                    let _ = tokio::time::timeout(LOOK, stop.changed()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "jobs cannot be read");
                    let _ = tokio::time::timeout(LOOK, stop.changed()).await;
                }
            }
        }
    }

    /// Leases and does one job; false when there is none.
    async fn next(&self) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT id FROM job WHERE due <= $1 LIMIT 1";
        let now = self.clock.now();
        if self.store.find(DUE, params![now]).await?.is_none() {
            return Ok(false);
        }
        let leased = self
            .store
            .write(async move |tx| {
                // The second look at `due` decides between two nodes.
                tx.find(
                    "UPDATE job SET due = $2, attempts = attempts + 1
                     WHERE id = (SELECT id FROM job WHERE due <= $1 ORDER BY due LIMIT 1) AND due <= $1
                     RETURNING id, payload, attempts, gives_up",
                    params![now, now + LEASE],
                )
                .await
            })
            .await?;
        let Some(mut row) = leased else {
            return Ok(true);
        };
        let (id, payload): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let (attempts, gives_up): (i64, Millis) = (row.get(2)?, row.get(3)?);
        let done = now > gives_up || self.send(&id, &payload, attempts).await;
        let retry = now + 1000 * (1 << attempts.min(6));
        self.store
            .write(async move |tx| {
                if done {
                    tx.execute("DELETE FROM job WHERE id = $1", params![id.as_str()])
                        .await
                } else {
                    tx.execute(
                        "UPDATE job SET due = $2 WHERE id = $1",
                        params![id.as_str(), retry],
                    )
                    .await
                }
            })
            .await?;
        Ok(true)
    }

    async fn send(&self, id: &str, payload: &[u8], attempts: i64) -> bool {
        let opened = match self.vault.unseal(&PAYLOADS.place(id), payload).await {
            Ok(opened) => opened,
            Err(HsmError::Refused(reason)) => {
                tracing::error!(job = id, %reason, "a sealed mail does not open; dropped");
                return true;
            }
            Err(error) => {
                tracing::warn!(job = id, %error, "a mail waits for the HSM");
                return false;
            }
        };
        let Some(mail) = Outgoing::from_octets(&opened) else {
            tracing::error!(job = id, "a mail cannot be read; dropped");
            return true;
        };
        match self.mailer.send(&mail, id).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(job = id, attempts, %error, "a mail could not be sent; it is tried again");
                false
            }
        }
    }
}
