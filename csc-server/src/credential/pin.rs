//! PIN and PUK: the holder changes the one, and with the other gets out of a lock. Nobody else can: there is no way to a key but through what
//! the holder knows.

use hsm_adapter::{HsmError, Pin, Puk, SealedKey, SealedPuk, version_of};

use super::{Credential, Error, Keys, TABLE};
use crate::{
    audit::{self, Event},
    clock::Millis,
    factor::{Otp, Purpose, Taken},
    ids::ClientId,
    jobs::Job,
    notify::{Message, Outgoing},
    params,
    store::{StoreError, Tx},
};

/// Wrong PUKs, in all, after which it is dead.
const PUK_TRIES: i64 = 10;
/// How often a PUK sets the PIN's count back in the life of a certificate.
const UNBLOCKS: i64 = 3;

impl Keys {
    /// Changes the PIN: old PIN and a code asked for this, as for a signature. Every pending SAD dies with the old PIN.
    ///
    /// # Errors
    /// As [`Keys::authorise`].
    pub async fn change_pin(
        &self,
        client: &ClientId,
        credential: &Credential,
        old: &Pin,
        otp: &Otp,
        new: &Pin,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        credential.usable(now)?;
        let factor = self.factor(credential).await?;
        let claim = self
            .factors
            .judge(&factor, credential, otp, Purpose::ChangePin)
            .await?;
        let tried = self
            .take_factors(
                client,
                credential,
                None,
                Purpose::ChangePin.fingerprint(),
                claim,
                now,
            )
            .await?;
        match self.vault.change_pin(&credential.key, old, new).await {
            Ok(next) => {
                let event = |credential, version, record| Event::PinChanged {
                    credential,
                    version,
                    record,
                };
                self.store_new_pin(credential, next, event).await
            }
            Err(error) => Err(self
                .not_authorised(client, credential, error.into(), tried, now)
                .await?),
        }
    }

    /// Sets the count of wrong PINs back: PUK and a code asked for this. At most three times in the life of a certificate; the holder must still know
    /// the PIN.
    ///
    /// # Errors
    /// [`Error::WrongPuk`], [`Error::PukLocked`] also when there is no PUK, [`Error::WrongOtp`], [`Error::OtpLocked`].
    pub async fn unblock(
        &self,
        client: &ClientId,
        credential: &Credential,
        puk: &Puk,
        otp: &Otp,
    ) -> Result<(), Error> {
        let sealed = self.take_puk(client, credential, otp).await?;
        match self.vault.judge_puk(&credential.key, &sealed, puk).await {
            Ok(()) => {
                let (now, of) = (self.clock.now(), credential.clone());
                self.store
                    .write(async move |tx| puk_was_right(tx, &of, now).await)
                    .await?;
                self.refresh_puk(credential, puk).await;
                Ok(())
            }
            Err(error) => Err(self.wrong_puk(credential, error.into()).await?),
        }
    }

    /// Sets a new PIN by PUK and a code asked for this, where the profile lets a PUK do so.
    ///
    /// # Errors
    /// As [`Keys::unblock`].
    pub async fn reset_pin(
        &self,
        client: &ClientId,
        credential: &Credential,
        puk: &Puk,
        otp: &Otp,
        new: &Pin,
    ) -> Result<(), Error> {
        let sealed = self.take_puk(client, credential, otp).await?;
        match self
            .vault
            .reset_pin(&credential.key, &sealed, puk, new)
            .await
        {
            Ok(next) => {
                let (now, of) = (self.clock.now(), credential.clone());
                self.store
                    .write(async move |tx| puk_was_right(tx, &of, now).await)
                    .await?;
                let event: Resealed = |credential, version, record| Event::PinReset {
                    credential,
                    version,
                    record,
                };
                self.store_new_pin(credential, next, event).await?;
                self.refresh_puk(credential, puk).await;
                Ok(())
            }
            Err(error) => Err(self.wrong_puk(credential, error.into()).await?),
        }
    }

    /// Seals a key anew under its own PIN when master keys or cost have moved on since; the PIN was judged just before. A failure costs
    /// nothing: the next PIN tries again.
    pub(super) async fn refresh_seal(&self, credential: &Credential, pin: &Pin) {
        if self.vault.is_current(&credential.key) {
            return;
        }
        let refreshed = async {
            let next = self.vault.change_pin(&credential.key, pin, pin).await?;
            let next = self.sealed_anew(credential, next).await?;
            let event: Resealed = |credential, version, record| Event::KeyResealed {
                credential,
                version,
                record,
            };
            let (of, now) = (credential.clone(), self.clock.now());
            self.store
                .write(async move |tx| replace_seal(tx, &of, &next, event, now).await)
                .await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = refreshed.await {
            tracing::warn!(credential = %credential.id, %error, "a key could not be sealed anew");
        }
    }

    /// The same of a PUK, which was judged just before.
    async fn refresh_puk(&self, credential: &Credential, puk: &Puk) {
        let refreshed = async {
            // As it is now: with the PUK came a new PIN, perhaps.
            let found = Credential::by_id(&self.store, &credential.id).await?;
            let old = found.ok_or(Error::Unknown)?;
            let Some(sealed) = old
                .puk
                .as_ref()
                .filter(|puk| !self.vault.is_current_puk(puk))
            else {
                return Ok(());
            };
            let resealed = self.vault.reseal_puk(&old.key, sealed, puk).await?;
            let next = Credential {
                puk: Some(resealed),
                ..old.clone()
            };
            let (next, now) = (self.recorded(next).await?, self.clock.now());
            self.store
                .write(async move |tx| replace_puk(tx, &old, &next, now).await)
                .await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = refreshed.await {
            tracing::warn!(credential = %credential.id, %error, "a PUK could not be sealed anew");
        }
    }

    async fn store_new_pin(
        &self,
        credential: &Credential,
        next: SealedKey,
        event: Resealed,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let next = self.sealed_anew(credential, next).await?;
        let notice = self
            .notice(
                credential,
                &Message::PinChanged {
                    credential: credential.description.clone(),
                },
            )
            .await?;
        let of = credential.clone();
        let replaced = self
            .store
            .write(async move |tx| {
                let replaced = replace_seal(tx, &of, &next, event, now).await?;
                if replaced {
                    super::lifecycle::end_activations(tx, &of, now).await?;
                    tx.execute(
                        "UPDATE credential SET pin_failures = 0 WHERE id = $1",
                        params![&of.id],
                    )
                    .await?;
                    notice.enqueue(tx, now).await?;
                }
                Ok(replaced)
            })
            .await?;
        // Another change came first: this PIN is not the one any more.
        if replaced {
            Ok(())
        } else {
            Err(Error::WrongPin)
        }
    }

    /// The key as it is sealed now, with the record of the credential it then has.
    async fn sealed_anew(
        &self,
        credential: &Credential,
        key: SealedKey,
    ) -> Result<SealedKey, HsmError> {
        let next = Credential {
            key,
            ..credential.clone()
        };
        Ok(self.recorded(next).await?.key)
    }

    /// A mail to the holder, ready to be enqueued.
    pub(super) async fn notice(
        &self,
        credential: &Credential,
        message: &Message,
    ) -> Result<Job, Error> {
        const SQL: &str = "SELECT email, language FROM holder WHERE id = $1";
        const DAY: Millis = 86_400_000;
        let mut row = self
            .store
            .find(SQL, params![&credential.holder])
            .await?
            .ok_or(Error::Unknown)?;
        let (email, language): (String, String) = (row.get(0)?, row.get(1)?);
        let mail = Outgoing::mail(&email, &message.render(&language));
        Ok(Job::message(&self.vault, &mail, self.clock.now() + 3 * DAY).await?)
    }

    /// Takes the code and reserves a PUK try; what the store keeps of the PUK.
    async fn take_puk(
        &self,
        client: &ClientId,
        credential: &Credential,
        otp: &Otp,
    ) -> Result<SealedPuk, Error> {
        let now = self.clock.now();
        match credential.usable(now) {
            Ok(()) => {}
            Err(error) => return Err(error),
        }
        let Some(puk) = credential.puk.clone() else {
            return Err(Error::PukLocked);
        };
        let factor = self.factor(credential).await?;
        let claim = self
            .factors
            .judge(&factor, credential, otp, Purpose::Unblock)
            .await?;
        let (of, client) = (credential.clone(), client.clone());
        self.store
            .write(async move |tx| {
                match claim.consume(tx, &of, &client, &Purpose::Unblock.fingerprint(), now).await? {
                    Taken::Right => {}
                    Taken::Wrong => return Ok(Err(Error::WrongOtp)),
                    Taken::Locked => return Ok(Err(Error::OtpLocked)),
                }
                let row = tx
                    .find(
                        "UPDATE credential SET puk_failures = puk_failures + 1, version = version + 1
                         WHERE id = $1 AND puk_failures < $2 AND unblocks < $3 AND puk_check IS NOT NULL
                         RETURNING version, puk_failures",
                        params![&of.id, PUK_TRIES, UNBLOCKS],
                    )
                    .await?;
                let Some(mut row) = row else { return Ok(Err(Error::PukLocked)) };
                let tried = Event::PukTried {
                    credential: of.id.to_string(),
                    version: row.get(0)?,
                    failures: row.get(1)?,
                };
                audit::record(tx, now, &of.pseudonym, &tried);
                Ok(Ok(puk.clone()))
            })
            .await?
    }

    /// Records a wrong PUK; a failure that is not the holder's gives the try back.
    async fn wrong_puk(&self, credential: &Credential, error: Error) -> Result<Error, StoreError> {
        let now = self.clock.now();
        if matches!(error, Error::Damaged) {
            self.damaged(credential, now).await?;
        }
        let (of, wrong) = (credential.clone(), matches!(error, Error::WrongPuk));
        self.store
            .write(async move |tx| {
                if wrong {
                    audit::record(
                        tx,
                        now,
                        &of.pseudonym,
                        &Event::PukFail {
                            credential: of.id.to_string(),
                        },
                    );
                    return Ok(());
                }
                let sql =
                    "UPDATE credential SET puk_failures = puk_failures - 1, version = version + 1
                           WHERE id = $1 AND puk_failures > 0 RETURNING version, puk_failures";
                if let Some(mut row) = tx.find(sql, params![&of.id]).await? {
                    let returned = Event::PukTryReturned {
                        credential: of.id.to_string(),
                        version: row.get(0)?,
                        failures: row.get(1)?,
                    };
                    audit::record(tx, now, &of.pseudonym, &returned);
                }
                Ok(())
            })
            .await?;
        Ok(error)
    }
}

async fn puk_was_right(
    tx: &mut Tx,
    credential: &Credential,
    now: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE credential SET pin_failures = 0, puk_failures = puk_failures - 1, unblocks = unblocks + 1,
                           version = version + 1
                       WHERE id = $1 RETURNING version";
    if let Some(mut row) = tx.find(SQL, params![&credential.id]).await? {
        let used = Event::PukUsed {
            credential: credential.id.to_string(),
            version: row.get(0)?,
        };
        audit::record(tx, now, &credential.pseudonym, &used);
    }
    Ok(())
}

/// The event of a credential, by its version and record.
type Resealed = fn(String, i64, String) -> Event;

/// Replaces what the PIN opens, if PIN and record are still what was read.
async fn replace_seal(
    tx: &mut Tx,
    credential: &Credential,
    next: &SealedKey,
    event: Resealed,
    now: Millis,
) -> Result<bool, StoreError> {
    let cost = serde_json::to_string(&next.cost).unwrap_or_default();
    let replaced = tx
        .find(
            "UPDATE credential SET w_pin = $4, pin_check = $5, pin_salt = $6, pin_cost = $7, masters = $8, record_mac = $9,
                 store = CASE WHEN store > $10 THEN $10 ELSE store END, version = version + 1
             WHERE id = $1 AND pin_check = $2 AND record_mac = $3 RETURNING version",
            params![
                &credential.id,
                credential.key.pin_check.clone(),
                credential.key.record_mac.clone(),
                next.w_pin.clone(),
                next.pin_check.clone(),
                next.salt.clone(),
                cost.as_str(),
                next.masters,
                next.record_mac.clone(),
                version_of([next.w_pin.as_slice()])
            ],
        )
        .await?;
    let Some(mut row) = replaced else {
        return Ok(false);
    };
    let record = TABLE.record(tx, &credential.id).await?;
    let event = event(credential.id.to_string(), row.get(0)?, record);
    audit::record(tx, now, &credential.pseudonym, &event);
    Ok(true)
}

/// Replaces what the PUK opens, if PUK and record are still what was read.
async fn replace_puk(
    tx: &mut Tx,
    old: &Credential,
    next: &Credential,
    now: Millis,
) -> Result<(), StoreError> {
    let Some(puk) = &next.puk else {
        return Ok(());
    };
    let cost = serde_json::to_string(&puk.cost).unwrap_or_default();
    let replaced = tx
        .find(
            "UPDATE credential SET puk_check = $3, puk_salt = $4, puk_cost = $5, puk_masters = $6, w_puk = $7, record_mac = $8,
                 store = CASE WHEN store > $9 THEN $9 ELSE store END, version = version + 1
             WHERE id = $1 AND record_mac = $2 RETURNING version",
            params![
                &old.id,
                old.key.record_mac.clone(),
                puk.check.clone(),
                puk.salt.clone(),
                cost.as_str(),
                puk.masters,
                puk.w_puk.clone(),
                next.key.record_mac.clone(),
                version_of(puk.w_puk.as_deref())
            ],
        )
        .await?;
    if let Some(mut row) = replaced {
        let event = Event::KeyResealed {
            credential: old.id.to_string(),
            version: row.get(0)?,
            record: TABLE.record(tx, &old.id).await?,
        };
        audit::record(tx, now, &old.pseudonym, &event);
    }
    Ok(())
}
