//! Does the work of the background: one look-out a node, and a few jobs at once, so that a slow gateway does not hold up
//! the mails.

use std::time::Duration;

use hsm_adapter::Vault;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    audit::{self, Event},
    clock::Clock,
    credential::Credential,
    holder::Accounts,
    ids::{CredentialId, HolderId},
    jobs::{self, Leased, Notice, Work},
    notify::{
        Message, Outgoing, Sender,
        callback::{self, Callbacks},
    },
    oauth::client::Clients,
    operation::Operations,
    store::{Store, StoreError},
};

/// How often a node looks for work that nobody told it about.
const LOOK: Duration = Duration::from_millis(250);
/// Jobs of a node at once.
const AT_ONCE: usize = 4;

/// Tells clients that operations of theirs have ended.
#[derive(Clone)]
pub struct Teller {
    /// Which operations there are.
    pub operations: Operations,
    /// Where their clients may be told.
    pub clients: Clients,
    /// Tells them.
    pub callbacks: Callbacks,
}

impl Teller {
    /// Whether there is nothing left to do. Who may not be told any more is not.
    async fn tell(&self, operation: &str) -> Result<bool, StoreError> {
        let Some((client, place)) = self.operations.to_tell(operation).await? else {
            return Ok(true);
        };
        let client = match self.clients.find(&client).await {
            Ok(Some(client)) => client,
            Ok(None) => return Ok(true),
            Err(error) => {
                tracing::warn!(operation, %error, "a client is not told yet");
                return Ok(false);
            }
        };
        let registered = &client.registration.response_uris;
        match self.callbacks.tell(&place, registered, operation).await {
            Ok(()) => Ok(true),
            Err(error @ callback::Error::NotRegistered) => {
                tracing::warn!(operation, %error, "a client is not told");
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(operation, %error, "a client could not be told; it is tried again");
                Ok(false)
            }
        }
    }
}

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
    /// Tells clients what has ended.
    pub teller: Teller,
}

impl Worker {
    /// Runs until `stop` becomes true, and until what was begun is done.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut begun = JoinSet::new();
        while !*stop.borrow() {
            while let Some(ended) = match begun.len() {
                AT_ONCE => begun.join_next().await,
                _ => begun.try_join_next(),
            } {
                report(ended);
            }
            match Leased::next(&self.store, self.clock.now()).await {
                Ok(Some(job)) => {
                    let worker = self.clone();
                    begun.spawn(async move { worker.work(job).await });
                }
                Ok(None) => {
                    let _ = tokio::time::timeout(LOOK, stop.changed()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "jobs cannot be read");
                    let _ = tokio::time::timeout(LOOK, stop.changed()).await;
                }
            }
        }
        while let Some(ended) = begun.join_next().await {
            report(ended);
        }
    }

    /// Does what is due now, one job after the other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drain(&self) -> Result<(), StoreError> {
        while let Some(job) = Leased::next(&self.store, self.clock.now()).await? {
            self.work(job).await?;
        }
        Ok(())
    }

    async fn work(&self, job: Leased) -> Result<(), StoreError> {
        let done = job.given_up || self.done(&job).await?;
        job.settle(&self.store, done, self.clock.now()).await
    }

    /// Whether there is nothing left to do for the job.
    async fn done(&self, job: &Leased) -> Result<bool, StoreError> {
        let id = job.id.as_str();
        let message = match job.open(&self.vault).await {
            Ok(Work::Message(message)) => Some(message),
            Ok(Work::Notice(notice)) => self.in_words(&notice).await?,
            Ok(Work::Callback(operation)) => return self.teller.tell(&operation).await,
            Err(jobs::Error::Hsm(error)) => {
                tracing::warn!(job = id, %error, "a message waits for the HSM");
                return Ok(false);
            }
            Err(error @ jobs::Error::Damaged(_)) => {
                tracing::error!(job = id, %error, "a job is dropped");
                let event = Event::JobIntegrityFail { job: id.to_owned() };
                audit::note(&self.store, self.clock.now(), "", event).await?;
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

/// A job whose work did not end is taken up again when its lease ends.
fn report(ended: Result<Result<(), StoreError>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a job is left for later"),
        Err(error) => tracing::error!(%error, "the work on a job panicked"),
    }
}
