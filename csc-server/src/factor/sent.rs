//! Codes the service sends: eight digits, bound to one credential when sent and to the approved hashes when taken. The
//! database holds their HMAC under an HSM key; the message itself waits sealed.

use std::time::Duration;

use hsm_adapter::MacKey;
use zeroize::Zeroizing;

use super::{Error, Factor, Factors, Kind, Otp, Proof, Purpose};
use crate::{
    audit::{self, Event},
    clock::Millis,
    credential::Credential,
    holder::Holder,
    ids::{FactorId, random_id},
    jobs, notify,
    oauth::client::Client,
    params,
    store::{StoreError, Tx},
};

impl Factors {
    /// Makes the mailbox of a holder a factor.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enrol_mail(&self, holder: &Holder) -> Result<FactorId, Error> {
        let id = FactorId::random();
        self.insert(id.clone(), Kind::Mail, None, holder).await?;
        Ok(id)
    }

    /// Sends a code for a credential. When this returns, the message is durably on its way.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::TooSoon`], [`Error::Offline`], or a failure of database or HSM.
    pub async fn send(
        &self,
        factor: &Factor,
        credential: &Credential,
        holder: &Holder,
        client: &Client,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if factor.kind != Kind::Mail {
            return Err(Error::Offline);
        }
        let now = self.clock.now();
        let challenge = random_id();
        let expires = now + millis(self.policy.lifetime);
        let code = self.code().await?;
        let mac = self
            .code_mac(&challenge, credential, purpose, &code, expires)
            .await?;
        let valid_minutes = self.policy.lifetime.as_secs().div_ceil(60);
        let message = match purpose {
            Purpose::Sign => notify::Message::Code {
                code,
                credential: credential.description.clone(),
                client: client.name.clone(),
                valid_minutes,
            },
            Purpose::ChangePin | Purpose::Unblock => notify::Message::PinCode {
                code,
                credential: credential.description.clone(),
                valid_minutes,
            },
        };
        let mail = notify::Outgoing::new(&holder.email, &message.render(&holder.language));
        let job = jobs::Job::mail(&self.vault, &mail, expires).await?;

        let (policy, factor, credential, client) = (
            self.policy,
            factor.id.clone(),
            credential.clone(),
            client.id.to_string(),
        );
        let refused = self
            .store
            .write(async move |tx| {
                if let Some(refusal) = refusal(tx, &factor, policy, now).await? {
                    return Ok(Some(refusal));
                }
                // The newest code is the only one that counts.
                tx.execute(
                    "UPDATE otp_challenge SET expires = $3
                     WHERE factor = $1 AND credential = $2 AND consumed IS NULL AND expires > $3",
                    params![&factor, &credential.id, now],
                )
                .await?;
                tx.execute(
                    "INSERT INTO otp_challenge (id, factor, credential, purpose, code_mac, sent, expires, failures)
                     VALUES ($1, $2, $3, $7, $4, $5, $6, 0)",
                    params![challenge.as_str(), &factor, &credential.id, mac, now, expires, purpose.name()],
                )
                .await?;
                job.enqueue(tx, now).await?;
                let sent = Event::OtpSent {
                    credential: credential.id.to_string(),
                    factor: factor.to_string(),
                    client: client.clone(),
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
                           WHERE factor = $1 AND credential = $2 AND purpose = $3 ORDER BY sent DESC LIMIT 1";
        let Some(mut row) = self
            .store
            .find(SQL, params![&factor.id, &credential.id, purpose.name()])
            .await?
        else {
            return Ok(Proof::Wrong { challenge: None });
        };
        let (challenge, expires): (String, Millis) = (row.get(0)?, row.get(1)?);
        if expires <= self.clock.now() {
            return Ok(Proof::Wrong {
                challenge: Some(challenge),
            });
        }
        let mac = self
            .code_mac(&challenge, credential, purpose, &otp.0, expires)
            .await?;
        Ok(Proof::Code { challenge, mac })
    }

    async fn code_mac(
        &self,
        challenge: &str,
        credential: &Credential,
        purpose: Purpose,
        code: &str,
        expires: Millis,
    ) -> Result<[u8; 32], Error> {
        let parts = [
            challenge.as_bytes(),
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

/// Why no code may be sent now.
async fn refusal(
    tx: &mut Tx,
    factor: &FactorId,
    policy: super::Policy,
    now: Millis,
) -> Result<Option<Error>, StoreError> {
    let locked = "SELECT failures FROM factor WHERE id = $1 AND failures >= $2";
    if tx
        .find(locked, params![factor, i64::from(policy.max_failures)])
        .await?
        .is_some()
    {
        return Ok(Some(Error::Locked));
    }
    let hour_ago = now - 3_600_000;
    let sent =
        "SELECT COUNT(*), MAX(sent), MIN(sent) FROM otp_challenge WHERE factor = $1 AND sent > $2";
    let Some(mut row) = tx.find(sent, params![factor, hour_ago]).await? else {
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

/// Takes a code once, in time, before too many wrong ones.
pub(super) async fn take(
    tx: &mut Tx,
    factor: &FactorId,
    challenge: &str,
    mac: &[u8; 32],
    bound_to: &[u8; 32],
    max_failures: i64,
    now: Millis,
) -> Result<bool, StoreError> {
    let taken = tx
        .execute(
            "UPDATE otp_challenge SET consumed = $4, consumed_for = $5
             WHERE id = $1 AND factor = $2 AND code_mac = $3 AND consumed IS NULL AND expires > $4 AND failures < $6
                 AND EXISTS (SELECT 1 FROM factor WHERE id = $2 AND failures < $6)",
            params![challenge, factor, *mac, now, *bound_to, max_failures],
        )
        .await?;
    Ok(taken == 1)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
