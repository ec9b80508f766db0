//! The beginning and the end of a credential that an application asks for (CSC v2.2): the holder chooses the PIN of a new one on our page, and
//! agrees to either with PIN and code. Until then a new one is nobody's to use, and then only its client's to take up.

use std::sync::Arc;

use super::{Authorization, Authorizations, Error, Redirect, Scope};
use crate::{
    credential::{Approval, Credential, Status},
    enrolment::{self, NewPin},
    factor::Purpose,
    holder::Holder,
    ids::{CredentialId, HolderId},
    oauth::ServiceAccess,
    store::StoreError,
};

impl Authorization {
    /// What a new credential is called that this request leads to: one request makes one.
    fn to_be(&self) -> CredentialId {
        CredentialId::new(self.id.as_str())
    }

    /// What the code is asked for.
    fn purpose(&self) -> Purpose {
        match self.asked.scope {
            Scope::Deletion(_) => Purpose::Delete,
            _ => Purpose::Create,
        }
    }
}

impl Authorizations {
    /// The credential that the request is about: the new one, once its PIN is chosen, or the one that is to end.
    ///
    /// # Errors
    /// [`Error::Unknown`] when it is not this holder's, or has ended.
    pub async fn concerned(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
    ) -> Result<Option<Credential>, Error> {
        let (id, states): (_, &[Status]) = match &authorization.asked.scope {
            Scope::Creation => (authorization.to_be(), &[Status::Issued]),
            Scope::Deletion(id) => (id.clone(), &[Status::Active, Status::Suspended]),
            Scope::Service | Scope::Credential(_) => return Err(Error::Unknown),
        };
        let found = Credential::by_id(&self.store, &id).await?;
        let is_new = authorization.asked.scope == Scope::Creation;
        match found {
            Some(one) if one.holder == *holder && states.contains(&one.status) => Ok(Some(one)),
            None if is_new => Ok(None),
            _ => Err(Error::Unknown),
        }
    }

    /// What others know of a holder, and his PIN must not be; `None` when he has nothing that codes come from.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(&self, holder: &Holder) -> Result<Option<Vec<String>>, Error> {
        let factors = self.factors.of_holder(holder).await?;
        if factors.is_empty() {
            return Ok(None);
        }
        let addresses = factors.iter().filter_map(|factor| factor.address());
        let mut known: Vec<_> = addresses.map(str::to_owned).collect();
        known.extend([holder.user_name.clone(), holder.email.clone()]);
        Ok(Some(known))
    }

    /// He has chosen the PIN: the key is made under it, and certified.
    ///
    /// # Errors
    /// [`Error::Unknown`] when he has no factor, [`Error::Enrolment`].
    pub async fn make(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        pin: &NewPin,
        enrolment: &Arc<enrolment::ByHolder>,
    ) -> Result<(), Error> {
        if authorization.asked.scope != Scope::Creation {
            return Err(Error::Unknown);
        }
        let holder = self.holder(authorization, holder).await?;
        let factors = self.factors.of_holder(&holder).await?;
        let factor = factors.into_iter().next().ok_or(Error::Unknown)?;
        let made = enrolment.make(&holder, pin, authorization.to_be(), factor.id);
        made.await.map_err(Error::Enrolment)
    }

    /// Sends the code that confirms it.
    ///
    /// # Errors
    /// As [`Authorizations::send_code`].
    pub async fn send_life_code(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
    ) -> Result<(), Error> {
        let holder = self.holder(authorization, holder).await?;
        let credential = self.concerned(authorization, &holder.id).await?;
        let credential = credential.ok_or(Error::Unknown)?;
        let factor = self.factors.find(&credential.factor).await?;
        let factor = factor.ok_or(StoreError::Corrupt("a credential without its factor"))?;
        let purpose = authorization.purpose();
        let client = &authorization.client;
        self.factors
            .send(&factor, &credential, &holder, client, purpose)
            .await?;
        Ok(())
    }

    /// He agrees, with PIN and code: the client gets a token that is good for this, once.
    ///
    /// # Errors
    /// As [`Authorizations::approve`].
    pub async fn agree(
        &self,
        authorization: &Authorization,
        holder: &HolderId,
        approval: Approval,
        session: &str,
    ) -> Result<Redirect, Error> {
        let holder = self.holder(authorization, holder).await?;
        let credential = self.concerned(authorization, &holder.id).await?;
        let credential = credential.ok_or(Error::Unknown)?;
        let client = &authorization.client;
        self.keys
            .agree(&client.id, &credential, approval, authorization.purpose())
            .await?;
        let access = ServiceAccess {
            grant: credential.id.to_string(),
            ..ServiceAccess::new(client.id.clone(), Some(holder.id.clone()))
        };
        self.clients.link(client, &holder).await?;
        let lifetime = self.policy.code_lifetime;
        let code = self
            .tokens
            .issue_code(&access, &authorization.bound, lifetime)
            .await?;
        self.answered(authorization, &code, session).await
    }
}
