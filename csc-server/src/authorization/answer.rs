//! The holder's answer, on our own page: he logged in there, and saw what is asked.

use super::{Authorization, Authorizations, Error, Redirect, Refusal, Scope, Wanted, with_query};
use crate::{
    credential::{Approval, Credential, Mode, Order},
    holder::Holder,
    ids::{CredentialId, HolderId},
    oauth::ServiceAccess,
    params,
    store::{StoreError, Tx},
};

/// Most certificates to choose from.
const CHOICES: u32 = 50;

impl Authorizations {
    /// Whether this holder may answer.
    ///
    /// # Errors
    /// [`Error::OtherAccount`] when the client named another (CSC v1 8.3.1).
    pub async fn holder(
        &self,
        authorization: &Authorization,
        id: &HolderId,
    ) -> Result<Holder, Error> {
        if authorization
            .asked
            .account
            .as_ref()
            .is_some_and(|account| account != id)
        {
            return Err(Error::OtherAccount);
        }
        let holder = self.accounts.by_id(id).await?;
        holder.ok_or(Error::Unknown)
    }

    /// The certificates the holder may sign with: the one that the client named, or those that can be used now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn choices(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
    ) -> Result<Vec<Credential>, Error> {
        let Scope::Credential(wanted) = &authorization.asked.scope else {
            return Ok(Vec::new());
        };
        let all = Credential::of_holder(&self.store, holder, "", CHOICES).await?;
        let now = self.clock.now();
        let fits = |credential: &Credential| {
            let named = wanted.credential.as_ref();
            credential.mode != Mode::Automatic
                && wanted
                    .qualifier
                    .as_deref()
                    .is_none_or(|kind| credential.qualifier() == kind)
                && named.is_none_or(|id| *id == credential.id)
                && self.keys.may_sign(credential, now).is_ok()
                && order(wanted, credential).is_ok()
        };
        Ok(all.into_iter().filter(fits).collect())
    }

    /// He lets the client use the API in his name.
    ///
    /// # Errors
    /// [`Error::Ended`] when it was answered before, or a failure of database or HSM.
    pub async fn grant_service(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        session: &str,
    ) -> Result<Redirect, Error> {
        if authorization.asked.scope != Scope::Service {
            return Err(Error::Unknown);
        }
        let holder = self.holder(authorization, holder).await?;
        self.clients.link(&authorization.client, &holder).await?;
        let access = ServiceAccess::new(authorization.client.id.clone(), Some(holder.id));
        let lifetime = self.policy.code_lifetime;
        let code = self
            .tokens
            .issue_code(&access, &authorization.bound, lifetime)
            .await?;
        self.answered(authorization, &code, session).await
    }

    /// Sends the code that is asked for with the PIN, where the holder's factor takes one.
    ///
    /// # Errors
    /// [`Error::Factor`] when none is sent now, [`Error::Unknown`] for a credential that is not his to choose.
    pub async fn send_code(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        credential: &CredentialId,
    ) -> Result<(), Error> {
        let Scope::Credential(wanted) = &authorization.asked.scope else {
            return Err(Error::Unknown);
        };
        let holder = self.holder(authorization, holder).await?;
        let credential = self.chosen(authorization, &holder.id, credential).await?;
        let order = order(wanted, &credential)?;
        let labels = wanted.documents.iter();
        let labels: Vec<_> = labels.map(|document| document.label.clone()).collect();
        let factor = self.factors.find(&credential.factor).await?;
        let factor = factor.ok_or(StoreError::Corrupt("a credential without its factor"))?;
        let client = &authorization.client;
        self.factors
            .send_for(&order, &factor, &credential, &holder, client, &labels)
            .await?;
        Ok(())
    }

    /// He approves exactly this order, with PIN and code. A wrong one may be tried again, until it locks.
    ///
    /// # Errors
    /// [`Error::Credential`] as [`crate::credential::Keys::authorise`]; [`Error::Ended`] when it was answered before.
    pub async fn approve(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        credential: &CredentialId,
        approval: Approval,
        session: &str,
    ) -> Result<Redirect, Error> {
        let Scope::Credential(wanted) = &authorization.asked.scope else {
            return Err(Error::Unknown);
        };
        let holder = self.holder(authorization, holder).await?;
        let credential = self.chosen(authorization, &holder.id, credential).await?;
        let order = order(wanted, &credential)?;
        let access = ServiceAccess::new(authorization.client.id.clone(), Some(holder.id));
        let bound = authorization.bound.clone();
        let code = self
            .keys
            .authorise_code(&access, &credential, &order, approval, bound)
            .await?;
        let answered = self.answered(authorization, &code.sad, session).await;
        if answered.is_err() {
            // Nobody gets this code.
            self.keys.end_grant(&access.grant).await?;
        }
        answered
    }

    /// He says no.
    ///
    /// # Errors
    /// [`Error::Ended`] when it was answered before.
    pub async fn refuse(&self, authorization: &Authorization) -> Result<Redirect, Error> {
        self.end(authorization, "refused", None, None).await?;
        let refusal = Refusal::new(
            "access_denied",
            "The user, authorization server or remote service denied the request.",
        );
        let asked = &authorization.asked;
        Ok(self.back(&asked.redirect_uri, asked.state.as_deref(), &refusal))
    }

    async fn chosen(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        id: &CredentialId,
    ) -> Result<Credential, Error> {
        let choices = self.choices(authorization, holder).await?;
        let chosen = choices.into_iter().find(|credential| credential.id == *id);
        chosen.ok_or(Error::Unknown)
    }

    /// The way back with the code.
    pub(super) async fn answered(
        &self,
        authorization: &Authorization,
        code: &str,
        session: &str,
    ) -> Result<Redirect, Error> {
        let name = code.split('.').next().unwrap_or_default();
        self.end(authorization, "answered", Some(name), Some(session))
            .await?;
        let asked = &authorization.asked;
        let mut parameters = vec![("code", code), ("iss", &*self.issuer)];
        parameters.extend(asked.state.as_deref().map(|state| ("state", state)));
        Ok(Redirect {
            location: with_query(&asked.redirect_uri, &parameters),
        })
    }

    /// One statement decides which answer is the answer.
    async fn end(
        &self,
        authorization: &Authorization,
        state: &'static str,
        code: Option<&str>,
        session: Option<&str>,
    ) -> Result<(), Error> {
        const SQL: &str = "UPDATE oauth_request SET state = $2, code = $3, session = $4
                           WHERE id = $1 AND state = 'pending' AND expires > $5 RETURNING id";
        let (id, now) = (authorization.id.clone(), self.clock.now());
        let (code, session) = (code.map(str::to_owned), session.map(str::to_owned));
        let ended = self
            .store
            .write(async move |tx| {
                let values = params![&id, state, code.clone(), session.clone(), now];
                Ok(tx.find(SQL, values).await?.is_some())
            })
            .await?;
        if ended { Ok(()) } else { Err(Error::Ended) }
    }

    /// Who logs out leaves no code behind that was not traded yet (SC-46).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(tx: &mut Tx, session: &str) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE oauth_request SET state = 'refused' WHERE session = $1 AND state = 'answered'",
            params![session],
        )
        .await
        .map(drop)
    }
}

/// What is approved with this credential.
fn order(wanted: &Wanted, credential: &Credential) -> Result<Order, Error> {
    let order = Order::new(credential, wanted.count(), wanted.hashes(), wanted.digest);
    Ok(order?.of_type(wanted.hash_type))
}
