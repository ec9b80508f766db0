//! The end of a key whose certificate has expired, or that nobody took up: it is destroyed, as that of a revoked one (SC-16).

use super::{Credential, Error, Keys, Status, TABLE, lifecycle};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::CredentialId,
    params,
    store::StoreError,
};

/// Credentials that are looked at together.
const BATCH: u32 = 32;

/// How long a credential waits for the application that it was made for.
const WAITS: Millis = 86_400_000;

/// What became of expired credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Keys that are destroyed now.
    pub destroyed: u64,
    /// Credentials whose record is not what it was: the end of their certificate proves nothing, and they stay as they are.
    pub damaged: u64,
}

impl Keys {
    /// Destroys the key of every credential whose certificate has expired by now, and whatever was authorised with it.
    ///
    /// # Errors
    /// When database or HSM fail; what was destroyed before stays so.
    pub async fn destroy_expired(&self) -> Result<Expired, Error> {
        const EXPIRED: &str =
            "SELECT id FROM credential WHERE not_after <= $1 AND store IS NOT NULL AND id > $2
                               ORDER BY id LIMIT $3";
        let (mut expired, mut after) = (Expired::default(), String::new());
        loop {
            let now = self.clock.now();
            let page = params![now, after.as_str(), BATCH].to_vec();
            let rows = self.store.query(EXPIRED, &page).await?;
            if rows.is_empty() {
                return Ok(expired);
            }
            for mut row in rows {
                after = row.get(0)?;
                let id = CredentialId::new(after.as_str());
                let found = Credential::by_id(&self.store, &id).await?;
                let credential = found.ok_or(StoreError::Corrupt("a credential"))?;
                if self.destroy_one(&credential).await? {
                    expired.destroyed += 1;
                } else {
                    expired.damaged += 1;
                }
            }
        }
    }

    /// Gives up every credential that was made for an application and never taken up by it.
    ///
    /// # Errors
    /// When database or HSM fail; what was given up before stays so.
    pub async fn give_up_abandoned(&self) -> Result<u64, Error> {
        const SQL: &str =
            "SELECT id FROM credential WHERE status = 'issued' AND created < $1 ORDER BY id";
        let before = self.clock.now() - WAITS;
        let mut given_up = 0;
        for mut row in self.store.query(SQL, params![before]).await? {
            let id = CredentialId::new(row.get::<String>(0)?);
            let found = Credential::by_id(&self.store, &id).await?;
            let Some(credential) = found.filter(|one| one.status == Status::Issued) else {
                continue;
            };
            match self.revoke_credential(&credential).await {
                Ok(()) => given_up += 1,
                // It was taken up just now.
                Err(Error::WrongState(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(given_up)
    }

    /// False when its record is not what it was.
    async fn destroy_one(&self, credential: &Credential) -> Result<bool, Error> {
        let now = self.clock.now();
        if !self.is_as_recorded(credential).await? {
            self.damaged(credential, now).await?;
            return Ok(false);
        }
        let without = self.recorded(credential.without_key()).await?;
        let (of, mac) = (credential.clone(), without.key.record_mac);
        self.store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE credential SET version = version + 1 WHERE id = $1 RETURNING version";
                lifecycle::end_activations(tx, &of, now).await?;
                if !lifecycle::destroy(tx, &of, &mac, now).await? {
                    return Ok(());
                }
                if let Some(mut row) = tx.find(SQL, params![&of.id]).await? {
                    let event = Event::CertExpired {
                        credential: of.id.to_string(),
                        version: row.get(0)?,
                        record: TABLE.record(tx, &of.id).await?,
                    };
                    audit::record(tx, now, &of.pseudonym, &event);
                }
                Ok(())
            })
            .await?;
        Ok(true)
    }
}
