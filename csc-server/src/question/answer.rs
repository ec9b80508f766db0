//! The holder's side: what the page shows, and his answer.

use super::{Questions, Sealed, State, Stored, TABLE, broken, handle};
use crate::{
    audit::{self, Event},
    clock::Millis,
    credential::{Approval, Credential, Error, Hash, Order},
    factor::{self, Factor},
    holder::Holder,
    ids::ClientId,
    oauth::{ServiceAccess, client},
    params,
    store::StoreError,
};

/// A question as its holder sees it.
pub struct Question {
    /// What will sign.
    pub credential: Credential,
    /// What the holder proves possession with.
    pub factor: Factor,
    /// Who is asked.
    pub holder: Holder,
    /// What the application that asks is called.
    pub client: String,
    /// What it says about it.
    pub description: Option<String>,
    /// What is to be signed.
    pub order: Order,
    /// Where it stands.
    pub state: State,
    /// When it ends.
    pub expires: Millis,
    stored: Stored,
}

impl Questions {
    /// The question of a mailed link, as it stands.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Damaged`], or a failure of database or HSM.
    pub async fn find(&self, link: &str) -> Result<Question, Error> {
        let found = Stored::by_link(&self.store, link).await?;
        let mut stored = found.ok_or(Error::Unknown)?;
        if !stored.is_genuine(&self.vault).await? {
            return Err(self.damaged(&stored).await?);
        }
        if stored.state == State::Waiting && stored.expires <= self.clock.now() {
            stored.state = State::Lapsed;
        }
        let credential = Credential::by_id(&self.store, &stored.credential).await?;
        let credential = credential.ok_or(Error::Unknown)?;
        let (holder, client) = self.parties(&credential, &stored.client).await?;
        let hashes = stored.asked.hashes.iter();
        let hashes = hashes.map(|hash| hex::decode(hash).ok().and_then(Hash::new));
        let hashes: Vec<_> = hashes.collect::<Option<_>>().ok_or(Error::Damaged)?;
        let count = u32::try_from(hashes.len()).map_err(|_| Error::TooMany)?;
        let factor = self.factors.find(&credential.factor).await?;
        Ok(Question {
            order: Order::new(&credential, count, hashes, stored.asked.digest)?
                .of_type(stored.asked.hash_type),
            factor: factor.ok_or(Error::Damaged)?,
            description: stored.asked.description.clone(),
            state: stored.state,
            expires: stored.expires,
            credential,
            holder,
            client,
            stored,
        })
    }

    /// Sends the code for a question, where the holder's device does not make it.
    ///
    /// # Errors
    /// As [`factor::Factors::send`].
    pub async fn send_code(&self, question: &Question) -> Result<(), factor::Error> {
        let client = self.clients.find(&question.stored.client).await;
        let client = client.map_err(unclear)?;
        let client = client.ok_or(StoreError::Corrupt("a question of no client"))?;
        let Question {
            factor,
            credential,
            holder,
            order,
            ..
        } = question;
        self.factors
            .send_for(order, factor, credential, holder, &client, &[])
            .await
    }

    /// The holder says yes: both factors give a SAD, which is sealed to the client's handle.
    ///
    /// # Errors
    /// [`Error::InvalidHandle`] when it does not wait any more, and as [`Keys::authorise`](crate::credential::Keys::authorise).
    pub async fn approve(&self, question: &Question, approval: Approval) -> Result<(), Error> {
        if question.state != State::Waiting {
            return Err(Error::InvalidHandle);
        }
        let stored = &question.stored;
        let mut access = ServiceAccess::new(stored.client.clone(), Some(stored.holder.clone()));
        access.grant.clone_from(&stored.grant);
        let issued = self
            .keys
            .authorise(&access, &question.credential, &question.order, approval)
            .await?;
        let now = self.clock.now();
        let content = Sealed {
            sad: issued.sad.clone(),
            expires: now + issued.expires_in * 1000,
        };
        let content = zeroize::Zeroizing::new(serde_json::to_vec(&content).unwrap_or_default());
        let sealed =
            handle::seal(&stored.public_key, &stored.record(), &content).map_err(broken)?;
        let (id, person) = (stored.id.clone(), question.credential.pseudonym.clone());
        let answered = self
            .store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE question SET state = 'approved', sealed = $2, version = version + 1
                                   WHERE id = $1 AND state = 'waiting' AND expires > $3 RETURNING version";
                let Some(mut row) = tx.find(SQL, params![&id, sealed.clone(), now]).await? else {
                    return Ok(false);
                };
                let approved = Event::QuestionAnswered {
                    question: id.to_string(),
                    state: State::Approved.name(),
                    version: row.get(0)?,
                    record: TABLE.record(tx, &id).await?,
                };
                audit::record(tx, now, &person, &approved);
                Ok(true)
            })
            .await?;
        if !answered {
            // Nobody will come for it.
            self.keys.revoke(&access, &issued.sad).await?;
            return Err(Error::InvalidHandle);
        }
        Ok(())
    }

    /// The holder says no.
    ///
    /// # Errors
    /// [`Error::InvalidHandle`] when it does not wait any more.
    pub async fn refuse(&self, question: &Question) -> Result<(), Error> {
        let (id, now) = (question.stored.id.clone(), self.clock.now());
        let person = question.credential.pseudonym.clone();
        let refused = self
            .store
            .write(async move |tx| {
                const SQL: &str = "UPDATE question SET state = 'refused', version = version + 1
                                   WHERE id = $1 AND state = 'waiting' AND expires > $2 RETURNING version";
                let Some(mut row) = tx.find(SQL, params![&id, now]).await? else {
                    return Ok(false);
                };
                let refused = Event::QuestionAnswered {
                    question: id.to_string(),
                    state: State::Refused.name(),
                    version: row.get(0)?,
                    record: TABLE.record(tx, &id).await?,
                };
                audit::record(tx, now, &person, &refused);
                Ok(true)
            })
            .await?;
        refused.then_some(()).ok_or(Error::InvalidHandle)
    }

    /// The holder of a credential, and what a client is called.
    pub(super) async fn parties(
        &self,
        credential: &Credential,
        client: &ClientId,
    ) -> Result<(Holder, String), Error> {
        let holder = self.accounts.by_id(&credential.holder).await?;
        let client = self.clients.find(client).await.map_err(unclear)?;
        let client = client.ok_or(StoreError::Corrupt("a question of no client"))?;
        let holder = holder.ok_or(StoreError::Corrupt("a credential of nobody"))?;
        Ok((holder, client.registration.name.clone()))
    }
}

fn unclear(error: client::Error) -> StoreError {
    match error {
        client::Error::Store(error) => error,
        error => StoreError::Database(error.to_string()),
    }
}
