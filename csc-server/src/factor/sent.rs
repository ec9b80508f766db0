//! Codes the service sends: eight digits, bound to one credential when sent and to the approved hashes when taken. The
//! database holds their HMAC under an HSM key; the message itself waits sealed.

use std::time::Duration;

use hsm_adapter::MacKey;
use zeroize::Zeroizing;

use super::{Error, Factor, Factors, Kind, Otp, Policy, Purpose, claim::Proof, record::Written};
use crate::{
    audit::{self, Event},
    clock::Millis,
    credential::{Credential, Order},
    holder::Holder,
    ids::{FactorId, HolderId, random_id},
    jobs::Job,
    notify::{Approval, Document, Message, Outgoing, PhoneNumber},
    oauth::client::Client,
    params,
    store::{StoreError, Tx},
};

/// What the audit log vouches for of codes that were sent. One that is older than an hour may be gone.
pub const CHALLENGES: audit::Table = audit::table!(
    "otp_challenge",
    key ["id"],
    told ["expires", "failures", "consumed", "consumed_for"],
    recorded ["holder", "factor", "credential", "purpose", "code_mac", "sent"]
);

/// Digits of a code.
const DIGITS: u32 = 8;
/// Wrong guesses that kill a code.
const TRIES: i64 = 5;
/// What `otp.max_per_hour` counts; longer than a code lives.
pub(crate) const HOUR: Millis = 3_600_000;

impl Factors {
    /// Makes the mailbox that a holder has now a factor.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn enrol_mail(&self, holder: &Holder) -> Result<FactorId, Error> {
        self.enrol_address(holder, Kind::Mail, &holder.email).await
    }

    /// Makes the telephone of a holder a factor.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn enrol_sms(
        &self,
        holder: &Holder,
        number: &PhoneNumber,
    ) -> Result<FactorId, Error> {
        self.enrol_address(holder, Kind::Sms, number.as_str()).await
    }

    async fn enrol_address(
        &self,
        holder: &Holder,
        kind: Kind,
        address: &str,
    ) -> Result<FactorId, Error> {
        let written = Written {
            holder: Some(holder.id.clone()),
            address: Some(address.to_owned()),
            ..Written::default()
        };
        let factor = Factor::new(FactorId::random(), kind, DIGITS, written);
        self.add(factor, holder).await
    }

    /// Sends a code for a credential. When this returns, the message is durably on its way.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::TooSoon`], [`Error::Offline`], [`Error::Damaged`], or a failure of database or HSM.
    pub async fn send(
        &self,
        factor: &Factor,
        credential: &Credential,
        holder: &Holder,
        client: &Client,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let (name, client_name) = (
            credential.description.clone(),
            client.registration.name.clone(),
        );
        let message = move |code, valid_minutes| match purpose {
            Purpose::Sign | Purpose::Approve(_) => Message::Code {
                code,
                credential: name,
                client: client_name,
                valid_minutes,
            },
            Purpose::Mandate => Message::MandateCode {
                code,
                credential: name,
                client: client_name,
                valid_minutes,
            },
            Purpose::Create | Purpose::Delete => Message::LifeCode {
                code,
                credential: name,
                client: client_name,
                ends: purpose == Purpose::Delete,
                valid_minutes,
            },
            Purpose::ChangePin | Purpose::Unblock => Message::PinCode {
                code,
                credential: name,
                valid_minutes,
            },
        };
        self.deliver(factor, credential, holder, client, purpose, message)
            .await
    }

    /// Sends a code for exactly these signatures; the message names them. No other order takes it.
    ///
    /// # Errors
    /// As [`Factors::send`].
    pub async fn send_for(
        &self,
        order: &Order,
        factor: &Factor,
        credential: &Credential,
        holder: &Holder,
        client: &Client,
        labels: &[Option<String>],
    ) -> Result<(), Error> {
        let hashes = order.hashes().iter().enumerate();
        let documents = hashes.map(|(index, hash)| Document {
            label: labels.get(index).cloned().flatten(),
            hash: hash.hex(),
        });
        let (documents, check) = (documents.collect(), order.verification_code());
        let (name, client_name) = (
            credential.description.clone(),
            client.registration.name.clone(),
        );
        let message = move |code, valid_minutes| {
            Message::Approval(Approval {
                code,
                credential: name,
                client: client_name,
                documents,
                check,
                valid_minutes,
            })
        };
        let purpose = Purpose::Approve(order.fingerprint());
        self.deliver(factor, credential, holder, client, purpose, message)
            .await
    }

    async fn deliver(
        &self,
        factor: &Factor,
        credential: &Credential,
        holder: &Holder,
        client: &Client,
        purpose: Purpose,
        message: impl FnOnce(Zeroizing<String>, u64) -> Message,
    ) -> Result<(), Error> {
        if !factor.kind.is_sent() {
            return Err(Error::Offline);
        }
        self.genuine(factor, credential).await?;
        let address = factor
            .address()
            .ok_or(StoreError::Corrupt("a factor without its address"))?;
        let now = self.clock.now();
        let challenge = random_id();
        let expires = now + millis(self.policy.lifetime);
        let code = self.code().await?;
        let mac = self
            .code_mac(&challenge, factor, credential, purpose, &code, expires)
            .await?;
        let valid_minutes = self.policy.lifetime.as_secs().div_ceil(60);
        let message = message(code, valid_minutes);
        let outgoing = match (factor.kind, message.short(&holder.language)) {
            (Kind::Sms, Some(text)) => Outgoing::sms(address, text),
            _ => Outgoing::mail(address, &message.render(&holder.language)),
        };
        let job = Job::message(&self.vault, &outgoing, expires).await?;

        let (policy, factor, credential, client) = (
            self.policy,
            factor.id.clone(),
            credential.clone(),
            client.id.to_string(),
        );
        let refused = self
            .store
            .write(async move |tx| {
                if let Some(refusal) = refusal(tx, &factor, &credential.holder, policy, now).await? {
                    return Ok(Some(refusal));
                }
                // Nothing asks for codes older than the hour that is counted.
                tx.execute(
                    "DELETE FROM otp_challenge WHERE holder = $1 AND sent <= $2",
                    params![&credential.holder, now - HOUR],
                )
                .await?;
                // The newest code is the only one that counts.
                let replaced = tx
                    .query(
                        "UPDATE otp_challenge SET expires = $3
                         WHERE factor = $1 AND credential = $2 AND consumed IS NULL AND expires > $3 RETURNING id",
                        params![&factor, &credential.id, now],
                    )
                    .await?;
                let replaced = replaced.into_iter().map(|mut row| row.get(0));
                tx.execute(
                    "INSERT INTO otp_challenge (id, holder, factor, credential, purpose, code_mac, sent, expires, failures)
                     VALUES ($1, $2, $3, $4, $8, $5, $6, $7, 0)",
                    params![challenge.as_str(), &credential.holder, &factor, &credential.id, mac, now, expires, purpose.name()],
                )
                .await?;
                job.enqueue(tx, now).await?;
                let sent = Event::OtpSent {
                    credential: credential.id.to_string(),
                    factor: factor.to_string(),
                    client: client.clone(),
                    record: CHALLENGES.record(tx, challenge.as_str()).await?,
                    challenge: challenge.clone(),
                    expires,
                    replaced: replaced.collect::<Result<_, _>>()?,
                };
                audit::record(tx, now, &credential.pseudonym, &sent);
                Ok(None)
            })
            .await?;
        refused.map_or(Ok(()), Err)
    }

    pub(super) async fn judge_sent(
        &self,
        factor: &Factor,
        credential: &Credential,
        otp: &Otp,
        purpose: Purpose,
    ) -> Result<Proof, Error> {
        const SQL: &str = "SELECT id, expires FROM otp_challenge
                           WHERE factor = $1 AND credential = $2 AND purpose = $4 AND consumed IS NULL AND expires > $3
                           ORDER BY sent DESC LIMIT 1";
        let now = self.clock.now();
        let newest = self
            .store
            .find(
                SQL,
                params![&factor.id, &credential.id, now, purpose.name()],
            )
            .await?;
        let Some(mut row) = newest else {
            return Ok(Proof::Wrong);
        };
        let (challenge, expires): (String, Millis) = (row.get(0)?, row.get(1)?);
        let mac = self
            .code_mac(
                &challenge,
                factor,
                credential,
                purpose,
                otp.expose(),
                expires,
            )
            .await?;
        Ok(Proof::Code { challenge, mac })
    }

    async fn code_mac(
        &self,
        challenge: &str,
        factor: &Factor,
        credential: &Credential,
        purpose: Purpose,
        code: &str,
        expires: Millis,
    ) -> Result<[u8; 32], Error> {
        let parts = [
            challenge.as_bytes(),
            purpose.bound_to(),
            factor.id.as_str().as_bytes(),
            credential.id.as_str().as_bytes(),
            purpose.name().as_bytes(),
            code.as_bytes(),
            &expires.to_be_bytes(),
        ];
        Ok(self.vault.mac(MacKey::Otp, &parts).await?)
    }

    /// Eight digits. The bias of taking 64 random bits modulo 10⁸ is below 10⁻¹¹.
    async fn code(&self) -> Result<Zeroizing<String>, Error> {
        let bits = u64::from_be_bytes(*self.vault.random::<8>().await?);
        Ok(Zeroizing::new(format!("{:08}", bits % 100_000_000)))
    }
}

/// Why no code may be sent now. Sends to one holder take turns: his row is kept until the unit commits, so that what two
/// nodes count here is exact.
async fn refusal(
    tx: &mut Tx,
    factor: &FactorId,
    holder: &HolderId,
    policy: Policy,
    now: Millis,
) -> Result<Option<Error>, StoreError> {
    tx.execute(
        "UPDATE holder SET status = status WHERE id = $1",
        params![holder],
    )
    .await?;
    let locked = "SELECT id FROM factor WHERE id = $1 AND locked_until > $2";
    if tx.find(locked, params![factor, now]).await?.is_some() {
        return Ok(Some(Error::Locked));
    }
    let hour_ago = now - HOUR;
    let sent =
        "SELECT COUNT(*), MAX(sent), MIN(sent) FROM otp_challenge WHERE holder = $1 AND sent > $2";
    let Some(mut row) = tx.find(sent, params![holder, hour_ago]).await? else {
        return Ok(None);
    };
    let count = row.get::<i64>(0)?;
    let (newest, oldest) = (row.optional::<i64>(1)?, row.optional::<i64>(2)?);
    let mut wait = newest.map_or(0, |newest| newest + millis(policy.resend_after) - now);
    if count >= i64::from(policy.max_per_hour) {
        wait = wait.max(oldest.map_or(0, |oldest| oldest - hour_ago));
    }
    let retry_after = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
    Ok((wait > 0).then_some(Error::TooSoon { retry_after }))
}

/// Takes a code once, in time, before too many wrong ones; a wrong one counts.
pub(super) async fn take(
    tx: &mut Tx,
    challenge: &str,
    mac: &[u8; 32],
    bound_to: &[u8; 32],
    now: Millis,
) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE otp_challenge SET consumed = $3, consumed_for = $4
             WHERE id = $1 AND code_mac = $2 AND consumed IS NULL AND expires > $3 AND failures < $5",
            params![challenge, *mac, now, *bound_to, TRIES],
        )
        .await?;
    if taken == 0 {
        tx.execute(
            "UPDATE otp_challenge SET failures = failures + 1 WHERE id = $1",
            params![challenge],
        )
        .await?;
    }
    Ok(taken == 1)
}

pub(super) fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
