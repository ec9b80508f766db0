//! Signatures that the service asks the holder about: implicit authorisation of CSC v1, and what v2 answers with 202 and a handle.
//!
//! ```text
//! ask ─► waiting ─ approve (PIN and code on our page) ─► approved ─ the client comes with its handle ─► taken
//!            ├──── refuse ─► refused
//!            └──── time, or the end of the grant ─► lapsed
//! ```
//!
//! At most three questions of a holder wait at once, and so many are asked in an hour: who is asked again and again says yes at last.

mod answer;
mod channel;
mod handle;
mod row;

use std::{sync::Arc, time::Duration};

use hsm_adapter::Vault;

pub use answer::Question;
pub use channel::{Channel, Mail, Waiting};
pub use row::{State, TABLE};

use self::{
    handle::Handle,
    row::{Asked, Stored},
};
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    credential::{Credential, Error, Hash, Issued, Keys, Order},
    factor::Factors,
    holder::Accounts,
    ids::{QuestionId, random_id},
    jobs::Job,
    oauth::{ServiceAccess, client::Clients},
    params,
    store::{Store, StoreError, Tx},
};

/// Questions of one holder that wait at once.
const OPEN: i64 = 3;
const HOUR: Millis = 3_600_000;
/// How long ended questions are kept.
pub(crate) const KEPT: Millis = 24 * HOUR;

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a question waits.
    pub lifetime: Duration,
    /// Questions to one holder in an hour.
    pub max_per_hour: u32,
}

/// Asks holders, and hands their answers to clients.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is its type")]
pub struct Questions {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub keys: Keys,
    pub factors: Factors,
    pub accounts: Accounts,
    pub clients: Clients,
    pub policy: Policy,
    pub channel: Arc<dyn Channel>,
}

/// What a handle gives.
pub enum Checked {
    /// Nobody has answered.
    Waiting,
    /// The SAD, this once.
    Approved(Issued),
}

/// What is sealed to a handle.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    sad: String,
    expires: Millis,
}

impl Questions {
    /// Asks the holder about this order; the handle.
    ///
    /// # Errors
    /// [`Error::Disabled`], [`Error::CertificateExpired`], [`Error::TooSoon`] when too many questions wait or were asked, or a failure of database
    /// or HSM.
    pub async fn ask(
        &self,
        access: &ServiceAccess,
        credential: &Credential,
        order: &Order,
        description: Option<&str>,
    ) -> Result<String, Error> {
        self.keys.usable(access, credential).await?;
        let now = self.clock.now();
        let (holder, client) = self.parties(credential, &access.client).await?;
        let handle = Handle::new(QuestionId::random(), self.vault.secret().await?);
        let lifetime = i64::try_from(self.policy.lifetime.as_millis()).unwrap_or(i64::MAX / 2);
        let mut question = Stored {
            id: handle.id.clone(),
            link: random_id(),
            holder: credential.holder.clone(),
            credential: credential.id.clone(),
            client: access.client.clone(),
            grant: access.grant.clone(),
            handle_hash: handle.hash().to_vec(),
            public_key: handle.public_key().map_err(broken)?,
            asked: Asked {
                hashes: order.hashes().iter().map(Hash::hex).collect(),
                digest: order.digest(),
                hash_type: order.hash_type(),
                description: description.map(ToOwned::to_owned),
            },
            state: State::Waiting,
            sealed: None,
            expires: now + lifetime,
            created: now,
            mac: Vec::new(),
        };
        question.mac = question.mac_of(&self.vault).await?.to_vec();
        let outgoing = self.channel.message(
            &holder,
            &Waiting {
                path: &format!("/approve/{}", question.link),
                client: &client,
                credential: &credential.description,
                order,
                minutes: self.policy.lifetime.as_secs().div_ceil(60),
            },
        );
        let mail = Job::message(&self.vault, &outgoing, question.expires).await?;
        let (of, bound) = (credential.clone(), self.policy.max_per_hour);
        let refused = self
            .store
            .write(async move |tx| {
                if let Some(wait) = refusal(tx, &question, bound, now).await? {
                    return Ok(Some(wait));
                }
                insert(tx, &question).await?;
                mail.enqueue(tx, now).await?;
                let asked = Event::QuestionAsked {
                    question: question.id.to_string(),
                    credential: of.id.to_string(),
                    client: question.client.to_string(),
                    hashes: question.asked.hashes.clone(),
                    record: TABLE.record(tx, &question.id).await?,
                };
                audit::record(tx, now, &of.pseudonym, &asked);
                Ok(None)
            })
            .await?;
        match refused {
            None => Ok(handle.wire()),
            Some(wait) => Err(Error::TooSoon {
                retry_after: Duration::from_millis(u64::try_from(wait).unwrap_or_default()),
            }),
        }
    }

    /// What became of a question; the SAD is given once.
    ///
    /// # Errors
    /// [`Error::InvalidHandle`] for one that is unknown, used, too old, or of another client or holder; [`Error::Denied`] when the holder said no.
    pub async fn check(&self, access: &ServiceAccess, handle: &str) -> Result<Checked, Error> {
        let handle = Handle::parse(handle).ok_or(Error::InvalidHandle)?;
        let found = Stored::by_handle(&self.store, &handle.id, handle.hash()).await?;
        let question = found.ok_or(Error::InvalidHandle)?;
        let holder = access.holder.as_ref();
        if question.client != access.client
            || holder.is_some_and(|holder| *holder != question.holder)
        {
            return Err(Error::InvalidHandle);
        }
        let now = self.clock.now();
        match question.state {
            State::Waiting if question.expires > now => return Ok(Checked::Waiting),
            State::Refused => return Err(Error::Denied),
            State::Waiting | State::Taken | State::Lapsed => return Err(Error::InvalidHandle),
            State::Approved => {}
        }
        let sealed = question.sealed.as_deref().unwrap_or_default();
        let opened = handle.open(&question.record(), sealed);
        let opened = opened
            .ok()
            .and_then(|octets| serde_json::from_slice(&octets).ok());
        let Some(Sealed { sad, expires }) = opened else {
            return Err(self.damaged(&question).await?);
        };
        if !self.end(&question, State::Approved, State::Taken).await? || expires <= now {
            return Err(Error::InvalidHandle);
        }
        Ok(Checked::Approved(Issued {
            sad,
            expires_in: (expires - now) / 1000,
        }))
    }

    /// Ends a question that nobody waits for any more; false when it was answered before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up(&self, handle: &str) -> Result<bool, Error> {
        let Some(handle) = Handle::parse(handle) else {
            return Ok(false);
        };
        let found = Stored::by_handle(&self.store, &handle.id, handle.hash()).await?;
        let Some(question) = found else {
            return Ok(false);
        };
        Ok(self.end(&question, State::Waiting, State::Lapsed).await?)
    }

    /// Ends every question of a grant that is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_grant(&self, grant: &str) -> Result<(), StoreError> {
        let (grant, now) = (grant.to_owned(), self.clock.now());
        self.store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE question SET state = 'lapsed', sealed = NULL, version = version + 1
                                   WHERE grant_id = $1 AND state IN ('waiting', 'approved') RETURNING id, version";
                for mut row in tx.query(SQL, params![grant.as_str()]).await? {
                    let (id, version): (String, i64) = (row.get(0)?, row.get(1)?);
                    record_ended(tx, &QuestionId::new(id), version, State::Lapsed, now).await?;
                }
                Ok(())
            })
            .await
    }

    /// Moves a question from one state to one in which nothing is sealed; false when another move came first.
    async fn end(&self, question: &Stored, from: State, to: State) -> Result<bool, StoreError> {
        let (id, now) = (question.id.clone(), self.clock.now());
        self.store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE question SET state = $3, sealed = NULL, version = version + 1
                                   WHERE id = $1 AND state = $2 RETURNING version";
                let moved = tx.find(SQL, params![&id, from.name(), to.name()]).await?;
                let Some(mut row) = moved else {
                    return Ok(false);
                };
                record_ended(tx, &id, row.get(0)?, to, now).await?;
                Ok(true)
            })
            .await
    }

    /// Alarms: a row is not what the service wrote.
    async fn damaged(&self, question: &Stored) -> Result<Error, StoreError> {
        tracing::error!(question = %question.id, "a question to a holder fails its integrity check");
        let event = Event::QuestionIntegrityFail {
            question: question.id.to_string(),
        };
        audit::note(&self.store, self.clock.now(), "", event).await?;
        Ok(Error::Damaged)
    }
}

fn broken(_: handle::Broken) -> Error {
    Error::Hsm(hsm_adapter::HsmError::Unfit("no X25519".into()))
}

/// How the end of a question is told.
async fn record_ended(
    tx: &mut Tx,
    id: &QuestionId,
    version: i64,
    state: State,
    now: Millis,
) -> Result<(), StoreError> {
    let ended = Event::QuestionEnded {
        question: id.to_string(),
        state: state.name(),
        version,
        record: TABLE.record(tx, id).await?,
    };
    audit::record(tx, now, "", &ended);
    Ok(())
}

/// Until when no question may be asked, if none may. Questions to one holder take turns: his row is kept until the unit commits, so that what two
/// nodes count here is exact.
async fn refusal(
    tx: &mut Tx,
    question: &Stored,
    bound: u32,
    now: Millis,
) -> Result<Option<Millis>, StoreError> {
    const TURN: &str = "UPDATE holder SET status = status WHERE id = $1";
    const OLD: &str = "DELETE FROM question WHERE holder = $1 AND created <= $2";
    const WAITING: &str = "SELECT COUNT(*), MIN(expires) FROM question WHERE holder = $1 AND state = 'waiting' AND expires > $2";
    const ASKED: &str =
        "SELECT COUNT(*), MIN(created) FROM question WHERE holder = $1 AND created > $2";
    let holder = &question.holder;
    tx.execute(TURN, params![holder]).await?;
    tx.execute(OLD, params![holder, now - KEPT]).await?;
    for (sql, since, bound, after) in [
        (WAITING, now, OPEN, 0),
        (ASKED, now - HOUR, i64::from(bound), HOUR),
    ] {
        let Some(mut row) = tx.find(sql, params![holder, since]).await? else {
            continue;
        };
        if row.get::<i64>(0)? >= bound {
            let first: Millis = row.optional(1)?.unwrap_or(now);
            return Ok(Some((first + after - now).max(1)));
        }
    }
    Ok(None)
}

async fn insert(tx: &mut Tx, question: &Stored) -> Result<(), StoreError> {
    let content = serde_json::to_vec(&question.asked).unwrap_or_default();
    tx.execute(
        "INSERT INTO question (id, version, link, holder, credential, client, grant_id, handle_hash, public_key, content, mac, state,
             expires, created)
         VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'waiting', $11, $12)",
        params![
            &question.id,
            question.link.as_str(),
            &question.holder,
            &question.credential,
            &question.client,
            question.grant.as_str(),
            question.handle_hash.clone(),
            question.public_key.clone(),
            content,
            question.mac.clone(),
            question.expires,
            question.created
        ],
    )
    .await
    .map(drop)
}
