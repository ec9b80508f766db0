//! Does the work of the background: a few loops a node, so that a slow gateway does not hold up the mails.

use std::time::Duration;

use hsm_adapter::Vault;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    clock::Clock,
    credential::Credential,
    holder::Accounts,
    ids::{CredentialId, HolderId},
    jobs::{self, Leased, Notice, Work},
    notify::{Message, Outgoing, Sender},
    store::{Store, StoreError},
};

/// How often a node looks for work that nobody told it about.
const LOOK: Duration = Duration::from_millis(250);

/// Loops a node.
const LOOPS: usize = 4;

/// Does the jobs until told to stop.
#[derive(Clone)]
pub struct Worker {
    /// Where the jobs are.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Opens what is sealed.
    pub vault: Vault,
    /// Whom notices are for.
    pub accounts: Accounts,
    /// Sends the messages.
    pub sender: Sender,
}

impl Worker {
    /// Runs until `stop` becomes true.
    ///
    /// # Errors
    /// When a loop panicked.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), JoinError> {
        let mut loops = JoinSet::new();
        for _ in 0..LOOPS {
            loops.spawn(self.clone().one(stop.clone()));
        }
        while let Some(ended) = loops.join_next().await {
            ended?;
        }
        Ok(())
    }

    async fn one(self, mut stop: watch::Receiver<bool>) {
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
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Some(job) = Leased::next(&self.store, now).await? else {
            return Ok(false);
        };
        let done = job.given_up || self.done(&job).await?;
        job.settle(&self.store, done, now).await?;
        Ok(true)
    }

    /// Whether there is nothing left to do for the job.
    async fn done(&self, job: &Leased) -> Result<bool, StoreError> {
        let id = job.id.as_str();
        let message = match job.open(&self.vault).await {
            Ok(Work::Message(message)) => Some(message),
            Ok(Work::Notice(notice)) => self.in_words(&notice).await?,
            Err(jobs::Error::Hsm(error)) => {
                tracing::warn!(job = id, %error, "a message waits for the HSM");
                return Ok(false);
            }
            Err(error @ jobs::Error::Damaged(_)) => {
                tracing::error!(job = id, %error, "a job is dropped");
                return Ok(true);
            }
        };
        let Some(message) = message else {
            tracing::error!(job = id, "a notice is about nobody; dropped");
            return Ok(true);
        };
        match self.sender.send(&message, id).await {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::warn!(job = id, attempts = job.attempts, %error, "a message could not be sent; it is tried again");
                Ok(false)
            }
        }
    }

    /// The mail that a notice is; `None` when whom it is about is not there.
    async fn in_words(&self, notice: &Notice) -> Result<Option<Outgoing>, StoreError> {
        let (holder, message) = match notice {
            Notice::PinLocked { credential } => {
                let id = CredentialId::new(credential.as_str());
                let Some(credential) = Credential::by_id(&self.store, &id).await? else {
                    return Ok(None);
                };
                let message = Message::PinLocked {
                    credential: credential.description,
                };
                (credential.holder, message)
            }
            Notice::OtpLocked { holder, minutes } => (
                HolderId::new(holder.as_str()),
                Message::OtpLocked { minutes: *minutes },
            ),
        };
        let holder = self.accounts.by_id(&holder).await?;
        Ok(holder.map(|holder| Outgoing::mail(&holder.email, &message.render(&holder.language))))
    }
}
