//! The states of a credential: active ⇄ suspended, and revoked from either, for good. Each move is one transaction with its audit row; what was
//! authorised before ends with it.

use hsm_adapter::Terms;
use sha2::{Digest, Sha256};

use super::{Approval, Credential, Error, Keys, Status, TABLE, sad};
use crate::{
    audit::{self, Event},
    clock::Millis,
    factor::Purpose,
    ids::ClientId,
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
    /// [`Error::WrongState`] when it is not suspended: nothing brings a revoked one back; [`Error::Damaged`] when its record is not what
    /// it was.
    pub async fn reactivate(&self, credential: &Credential) -> Result<(), Error> {
        self.change_status(credential, &[Status::Suspended], Status::Active)
            .await
    }

    /// Puts a credential into use that was issued, once: the application that it was made for takes it up.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it was taken up, or given up, before; [`Error::Damaged`].
    pub async fn take_up(&self, credential: &Credential) -> Result<(), Error> {
        self.change_status(credential, &[Status::Issued], Status::Active)
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
            &[Status::Issued, Status::Active, Status::Suspended],
            Status::Revoked,
        )
        .await
    }

    /// Takes both factors for the beginning or the end of a credential, as for a signature.
    ///
    /// # Errors
    /// As [`Keys::authorise`].
    pub async fn agree(
        &self,
        client: &ClientId,
        credential: &Credential,
        approval: Approval,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let factor = self.factor(credential).await?;
        let claim = self
            .factors
            .judge(&factor, credential, &approval.otp, purpose)
            .await?;
        let taken = self.take_factors(client, credential, None, purpose.fingerprint(), claim, now);
        let tried = taken.await?;
        // Only the PIN opens what would be sealed anew; it stays as it is.
        let pin = &approval.pin;
        match self.vault.change_pin(&credential.key, pin, pin).await {
            Ok(_) => {
                let (of, client) = (credential.clone(), client.clone());
                self.store
                    .write(async move |tx| sad::pin_was_right(tx, &of, &client, now).await)
                    .await?;
                Ok(())
            }
            Err(error) => Err(self
                .not_authorised(client, credential, error.into(), tried, now)
                .await?),
        }
    }

    /// Ends every SAD that was authorised under a grant: who logs out leaves nothing behind that signs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_grant(&self, grant: &str) -> Result<(), StoreError> {
        let (grant, now) = (grant.to_owned(), self.clock.now());
        self.store
            .write(async move |tx| end_grant(tx, &grant, now).await)
            .await
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
        let mut next = Credential {
            status: to,
            ..credential.clone()
        };
        if to == Status::Revoked {
            next = next.without_key();
        }
        let as_recorded = self.is_as_recorded(credential).await?;
        let mac = if as_recorded {
            self.recorded(next).await?.key.record_mac
        } else {
            let damaged = self.damaged(credential, now).await?;
            if to == Status::Active {
                return Err(damaged);
            }
            // It may be taken out of use; what somebody else wrote is not blessed thereby, neither by a MAC nor by the log.
            credential.key.record_mac.clone()
        };
        let name = credential.description.clone();
        let issued = credential.status == Status::Issued;
        let message = match to {
            Status::Active if issued => Message::Created { credential: name },
            Status::Suspended => Message::Suspended { credential: name },
            Status::Issued | Status::Active => Message::Reactivated { credential: name },
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
                            mac.clone(),
                            of.key.record_mac.clone()
                        ],
                    )
                    .await?;
                let Some(mut row) = changed else {
                    return Ok(false);
                };
                end_activations(tx, &of, now).await?;
                if to == Status::Revoked {
                    destroy(tx, &of, &mac, now).await?;
                }
                let (credential, version) = (of.id.to_string(), row.get(0)?);
                let record = match as_recorded {
                    true => Some(TABLE.record(tx, &of.id).await?),
                    false => None,
                };
                let event = match to {
                    Status::Suspended => Event::CertSuspended {
                        credential,
                        version,
                        record,
                    },
                    Status::Active if issued => Event::CertTakenUp {
                        credential,
                        version,
                        record,
                    },
                    Status::Issued | Status::Active => Event::CertReactivated {
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

/// Ends every SAD, code and credential token of a grant.
pub(super) async fn end_grant(tx: &mut Tx, grant: &str, now: Millis) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                       WHERE grant_id = $1 AND state IN ('active', 'spent')
                       RETURNING id, credential, client, version, kind";
    let ended = tx.query(SQL, params![grant]).await?;
    record_ended(tx, ended, now).await
}

/// Ends every SAD of a credential.
pub(super) async fn end_activations(
    tx: &mut Tx,
    credential: &Credential,
    now: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                       WHERE credential = $1 AND state IN ('active', 'spent')
                       RETURNING id, credential, client, version, kind";
    let ended = tx.query(SQL, params![&credential.id]).await?;
    record_ended(tx, ended, now).await
}

/// Records each activation that was ended: identifier, credential, client, version, kind.
pub(super) async fn record_ended(
    tx: &mut Tx,
    rows: Vec<Row>,
    now: Millis,
) -> Result<(), StoreError> {
    for mut row in rows {
        let credential: String = row.get(1)?;
        let person = pseudonym(tx, &credential).await?;
        let kind: String = row.get(4)?;
        let event = ended(&kind, row.get(0)?, credential, row.get(2)?, row.get(3)?);
        audit::record(tx, now, &person, &event);
    }
    Ok(())
}

/// How the end of an activation of this kind is told.
pub(super) fn ended(
    kind: &str,
    activation: String,
    credential: String,
    client: String,
    version: i64,
) -> Event {
    if kind == Terms::KIND {
        return Event::MandateEnded {
            activation,
            credential,
            client,
            version,
        };
    }
    Event::SadRevoked {
        activation,
        credential,
        client,
        version,
    }
}

/// How the audit log calls the holder of a credential.
pub(super) async fn pseudonym(tx: &mut Tx, credential: &str) -> Result<String, StoreError> {
    const SQL: &str =
        "SELECT h.pseudonym FROM holder h JOIN credential c ON c.holder = h.id WHERE c.id = $1";
    let row = tx.find(SQL, params![credential]).await?;
    row.map_or(Ok(String::new()), |mut row| row.get(0))
}

impl Credential {
    /// The credential with nothing left of its key, nor of what opens it.
    pub(super) fn without_key(&self) -> Self {
        let mut without = self.clone();
        let key = &mut without.key;
        for part in [
            &mut key.key_blob,
            &mut key.w_pin,
            &mut key.pin_check,
            &mut key.salt,
        ] {
            part.clear();
        }
        without.puk = None;
        without
    }
}

/// Destroys a key: whatever opens it, and itself; the record is that of a credential without one. False when it was destroyed
/// before.
pub(super) async fn destroy(
    tx: &mut Tx,
    credential: &Credential,
    record_mac: &[u8],
    now: Millis,
) -> Result<bool, StoreError> {
    let none: &[u8] = &[];
    let destroyed = tx.execute(
        "UPDATE credential SET key_blob = $2, w_pin = $2, pin_check = $2, pin_salt = $2, puk_salt = NULL, puk_cost = NULL,
             puk_check = NULL, puk_masters = NULL, w_puk = NULL, store = NULL, record_mac = $3
         WHERE id = $1 AND store IS NOT NULL",
        params![&credential.id, none, record_mac],
    )
    .await?;
    if destroyed == 0 {
        return Ok(false);
    }
    let event = Event::KeyDestroyed {
        credential: credential.id.to_string(),
        blob_hash: hex::encode(Sha256::digest(&credential.key.key_blob)),
    };
    audit::record(tx, now, &credential.pseudonym, &event);
    Ok(true)
}
