//! The states of a credential: active ⇄ suspended, and revoked from either, for good. Each move is one transaction with its audit row; what was
//! authorised before ends with it.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Credential, Error, Keys, Status, TABLE, refusal::alarm};
use crate::{
    audit::{self, Event},
    clock::Millis,
    notify::Message,
    params,
    store::{Row, StoreError, Tx},
};

impl Keys {
    /// Suspends an active credential: no authorisation, no signature, until it is reactivated.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it is not active.
    pub async fn suspend(&self, credential: &Credential) -> Result<(), Error> {
        self.change_status(credential, &[Status::Active], Status::Suspended)
            .await
    }

    /// Reactivates a suspended credential.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it is not suspended: nothing brings a revoked one back.
    pub async fn reactivate(&self, credential: &Credential) -> Result<(), Error> {
        self.change_status(credential, &[Status::Suspended], Status::Active)
            .await
    }

    /// Revokes a credential and destroys its key: every wrap and blob is overwritten and gone. Backups die with the next rotation of the
    /// store key.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it is revoked already.
    pub async fn revoke_credential(&self, credential: &Credential) -> Result<(), Error> {
        self.change_status(
            credential,
            &[Status::Active, Status::Suspended],
            Status::Revoked,
        )
        .await
    }

    /// Ends every SAD that was authorised under a grant: who logs out leaves nothing behind that signs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_grant(&self, grant: &str) -> Result<(), StoreError> {
        let (grant, now) = (grant.to_owned(), self.clock.now());
        self.store
            .write(async move |tx| {
                const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                                   WHERE grant_id = $1 AND state IN ('active', 'spent')
                                   RETURNING id, credential, client, version";
                let ended = tx.query(SQL, params![grant.as_str()]).await?;
                record_ended(tx, ended, now).await
            })
            .await
    }

    /// Whether the record is what the service wrote; alarms when not.
    async fn unchanged(&self, credential: &Credential, now: Millis) -> Result<(), Error> {
        let key = &credential.key;
        let mac = self.vault.record_mac(key.masters, &key.record).await?;
        if bool::from(mac.ct_eq(&key.record_mac)) {
            return Ok(());
        }
        alarm(&self.store, credential, now).await?;
        Err(Error::Damaged)
    }

    async fn change_status(
        &self,
        credential: &Credential,
        from: &[Status],
        to: Status,
    ) -> Result<(), Error> {
        if !from.contains(&credential.status) {
            return Err(Error::WrongState(credential.status.name()));
        }
        let now = self.clock.now();
        match self.unchanged(credential, now).await {
            // What was changed is not made good by a new MAC; but nothing keeps a key from being destroyed.
            Err(Error::Damaged) if to == Status::Revoked => {}
            unchanged => unchanged?,
        }
        let mut next = Credential {
            status: to,
            ..credential.clone()
        };
        if to == Status::Revoked {
            next.destroy();
        }
        let next = self.recorded(next).await?;
        let name = credential.description.clone();
        let message = match to {
            Status::Suspended => Message::Suspended { credential: name },
            Status::Active => Message::Reactivated { credential: name },
            Status::Revoked => Message::Revoked { credential: name },
        };
        let notice = self.notice(credential, &message).await?;
        let of = credential.clone();
        let changed = self
            .store
            .write(async move |tx| {
                let changed = tx
                    .find(
                        "UPDATE credential SET status = $3, record_mac = $4, version = version + 1
                         WHERE id = $1 AND status = $2 AND record_mac = $5 RETURNING version",
                        params![
                            &of.id,
                            of.status.name(),
                            to.name(),
                            next.key.record_mac.clone(),
                            of.key.record_mac.clone()
                        ],
                    )
                    .await?;
                let Some(mut row) = changed else {
                    return Ok(false);
                };
                end_activations(tx, &of, now).await?;
                if to == Status::Revoked {
                    destroy(tx, &of, &next, now).await?;
                }
                let (credential, version) = (of.id.to_string(), row.get(0)?);
                let record = TABLE.record(tx, &of.id).await?;
                let event = match to {
                    Status::Suspended => Event::CertSuspended {
                        credential,
                        version,
                        record,
                    },
                    Status::Active => Event::CertReactivated {
                        credential,
                        version,
                        record,
                    },
                    Status::Revoked => Event::CertRevoked {
                        credential,
                        version,
                        record,
                    },
                };
                audit::record(tx, now, &of.pseudonym, &event);
                notice.enqueue(tx, now).await?;
                Ok(true)
            })
            .await?;
        // Another move, or another PIN, came first.
        if changed {
            Ok(())
        } else {
            Err(Error::WrongState(credential.status.name()))
        }
    }
}

/// Ends every SAD of a credential.
pub(super) async fn end_activations(
    tx: &mut Tx,
    credential: &Credential,
    now: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                       WHERE credential = $1 AND state IN ('active', 'spent')
                       RETURNING id, credential, client, version";
    let ended = tx.query(SQL, params![&credential.id]).await?;
    record_ended(tx, ended, now).await
}

/// Records each activation that was ended: identifier, credential, client, version.
async fn record_ended(tx: &mut Tx, ended: Vec<Row>, now: Millis) -> Result<(), StoreError> {
    for mut row in ended {
        let credential: String = row.get(1)?;
        let person = pseudonym(tx, &credential).await?;
        let revoked = Event::SadRevoked {
            activation: row.get(0)?,
            credential,
            client: row.get(2)?,
            version: row.get(3)?,
        };
        audit::record(tx, now, &person, &revoked);
    }
    Ok(())
}

/// How the audit log calls the holder of a credential.
pub(super) async fn pseudonym(tx: &mut Tx, credential: &str) -> Result<String, StoreError> {
    const SQL: &str =
        "SELECT h.pseudonym FROM holder h JOIN credential c ON c.holder = h.id WHERE c.id = $1";
    let row = tx.find(SQL, params![credential]).await?;
    row.map_or(Ok(String::new()), |mut row| row.get(0))
}

impl Credential {
    /// Leaves nothing of the key, nor of what opens it.
    fn destroy(&mut self) {
        let key = &mut self.key;
        for part in [
            &mut key.key_blob,
            &mut key.w_pin,
            &mut key.pin_check,
            &mut key.salt,
        ] {
            part.clear();
        }
        self.puk = None;
    }
}

/// Destroys a key: whatever opens it, and itself.
async fn destroy(
    tx: &mut Tx,
    credential: &Credential,
    destroyed: &Credential,
    now: Millis,
) -> Result<(), StoreError> {
    let key = &destroyed.key;
    tx.execute(
        "UPDATE credential SET key_blob = $2, w_pin = $3, pin_check = $4, pin_salt = $5, puk_salt = NULL, puk_cost = NULL,
             puk_check = NULL, puk_masters = NULL, w_puk = NULL
         WHERE id = $1",
        params![
            &credential.id,
            key.key_blob.clone(),
            key.w_pin.clone(),
            key.pin_check.clone(),
            key.salt.clone()
        ],
    )
    .await?;
    let event = Event::KeyDestroyed {
        credential: credential.id.to_string(),
        blob_hash: hex::encode(Sha256::digest(&credential.key.key_blob)),
    };
    audit::record(tx, now, &credential.pseudonym, &event);
    Ok(())
}
