//! What a holder has: an authenticator app (TOTP) or a mailbox that receives codes. What he knows, the PIN, is sealed into
//! the credential itself.
//!
//! A code is judged in two steps. Outside the transaction, where the HSM may be asked, [`Factors::judge`] turns what the
//! client sent into a [`Claim`]; inside it, [`Claim::consume`] takes the code in one statement, so that of parallel
//! uses one wins and every wrong guess counts.

mod sent;
mod totp;

use std::time::Duration;

use hsm_adapter::{HsmError, Vault, version_of};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use self::totp::SEEDS;
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    credential::Credential,
    holder::Holder,
    ids::{ClientId, FactorId},
    params,
    store::{Store, StoreError, Tx},
};

/// Which kind of factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 6238, in an app of the holder.
    Totp,
    /// A code the service sends by mail.
    Mail,
}

impl Kind {
    /// The name in commands, the database and the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Mail => "mail",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Totp, Self::Mail]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What a code is asked for: one asked for one purpose does for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A signature.
    Sign,
    /// A new PIN.
    ChangePin,
    /// The use of the PUK.
    Unblock,
}

impl Purpose {
    /// The name in the database and in the code's MAC.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::ChangePin => "change-pin",
            Self::Unblock => "unblock",
        }
    }

    /// What a code stands for that is taken for this and nothing further.
    pub fn fingerprint(self) -> [u8; 32] {
        Sha256::digest(self.name()).into()
    }
}

/// A factor of a holder.
#[derive(Clone, Debug)]
pub struct Factor {
    /// Identifier; `OTP/ID` of the CSC API.
    pub id: FactorId,
    /// Which kind.
    pub kind: Kind,
    seed: Option<Vec<u8>>,
}

/// A one-time password as a client sent it: 6 or 8 digits. Prints nothing, is wiped when dropped.
pub struct Otp(Zeroizing<String>);

impl Otp {
    /// `None` when it can be no code at all: refused without counting as a try.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = matches!(text.len(), 6 | 8) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

impl std::fmt::Debug for Otp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Otp(…)")
    }
}

/// Why a factor did not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many wrong codes.
    #[error("the factor is locked")]
    Locked,
    /// A code was sent just before, or too many in the last hour.
    #[error("a code was sent already; another may be asked for in {} s", .retry_after.as_secs())]
    TooSoon {
        /// When to ask again.
        retry_after: Duration,
    },
    /// This factor makes its codes by itself: nothing can be sent.
    #[error("no code is sent for this factor")]
    Offline,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// Bounds of guessing and sending.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Wrong codes in a row that lock a factor.
    pub max_failures: u32,
    /// How long a sent code is good.
    pub lifetime: Duration,
    /// How long until another code may be sent.
    pub resend_after: Duration,
    /// Codes an hour.
    pub max_per_hour: u32,
}

/// The factors.
#[derive(Clone)]
pub struct Factors {
    store: Store,
    clock: Clock,
    vault: Vault,
    policy: Policy,
}

/// What is claimed by a code: judged, not yet taken.
#[derive(Clone, Debug)]
pub struct Claim {
    factor: FactorId,
    max_failures: i64,
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    /// The code belongs to this step.
    Step(i64),
    /// The code, if it is right, has this MAC.
    Code { challenge: String, mac: [u8; 32] },
    /// The code is wrong already.
    Wrong { challenge: Option<String> },
}

/// How taking a code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was right, and is spent.
    Right,
    /// It was wrong, and was counted.
    Wrong,
    /// The factor is locked.
    Locked,
}

impl Factors {
    /// Factors in this database.
    pub fn new(store: Store, clock: Clock, vault: Vault, policy: Policy) -> Self {
        Self {
            store,
            clock,
            vault,
            policy,
        }
    }

    /// The factor with this identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &FactorId) -> Result<Option<Factor>, StoreError> {
        const SQL: &str = "SELECT kind, seed FROM factor WHERE id = $1";
        let Some(mut row) = self.store.find(SQL, params![id]).await? else {
            return Ok(None);
        };
        let kind = Kind::parse(&row.get::<String>(0)?)
            .ok_or(StoreError::Corrupt("the kind of a factor"))?;
        Ok(Some(Factor {
            id: id.clone(),
            kind,
            seed: row.optional(1)?,
        }))
    }

    /// Whether the factor is this holder's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn belongs_to(&self, id: &FactorId, holder: &Holder) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT kind FROM factor WHERE id = $1 AND holder = $2";
        Ok(self
            .store
            .find(SQL, params![id, &holder.id])
            .await?
            .is_some())
    }

    async fn insert(
        &self,
        id: FactorId,
        kind: Kind,
        seed: Option<Vec<u8>>,
        holder: &Holder,
    ) -> Result<(), StoreError> {
        let (holder, person, now) = (
            holder.id.clone(),
            holder.pseudonym.clone(),
            self.clock.now(),
        );
        self.store
            .write(async move |tx| {
                tx.execute(
                    "INSERT INTO factor (id, holder, kind, seed, store, last_step, failures, created)
                     VALUES ($1, $2, $3, $4, $6, 0, 0, $5)",
                    params![&id, &holder, kind.name(), seed.clone(), now, version_of(seed.as_deref())],
                )
                .await?;
                let added = Event::FactorAdded {
                    factor: id.to_string(),
                    kind: kind.name(),
                };
                audit::record(tx, now, &person, &added);
                Ok(())
            })
            .await
    }

    /// Judges a code for a credential, asking the HSM where needed. Nothing is counted yet.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn judge(
        &self,
        factor: &Factor,
        credential: &Credential,
        otp: &Otp,
        purpose: Purpose,
    ) -> Result<Claim, Error> {
        let proof = match factor.kind {
            Kind::Totp => self.judge_totp(factor, otp).await?,
            Kind::Mail => self.judge_sent(factor, credential, otp, purpose).await?,
        };
        Ok(Claim {
            factor: factor.id.clone(),
            max_failures: self.policy.max_failures.into(),
            proof,
        })
    }
}

impl Claim {
    /// Takes the code, or counts the wrong guess; `bound_to` is the digest over what the code now stands for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consume(
        &self,
        tx: &mut Tx,
        credential: &Credential,
        client: &ClientId,
        bound_to: &[u8; 32],
        now: Millis,
    ) -> Result<Taken, StoreError> {
        let right = match &self.proof {
            Proof::Step(step) => totp::take(tx, &self.factor, *step, self.max_failures).await?,
            Proof::Code { challenge, mac } => {
                sent::take(
                    tx,
                    &self.factor,
                    challenge,
                    mac,
                    bound_to,
                    self.max_failures,
                    now,
                )
                .await?
            }
            Proof::Wrong { .. } => false,
        };
        let named = |factor: &FactorId| (credential.id.to_string(), factor.to_string());
        let (credential_id, factor) = named(&self.factor);
        if right {
            tx.execute(
                "UPDATE factor SET failures = 0 WHERE id = $1",
                params![&self.factor],
            )
            .await?;
            let event = Event::OtpOk {
                credential: credential_id,
                factor,
                client: client.to_string(),
            };
            audit::record(tx, now, &credential.pseudonym, &event);
            return Ok(Taken::Right);
        }
        if let Proof::Code { challenge, .. }
        | Proof::Wrong {
            challenge: Some(challenge),
        } = &self.proof
        {
            tx.execute(
                "UPDATE otp_challenge SET failures = failures + 1 WHERE id = $1",
                params![challenge.as_str()],
            )
            .await?;
        }
        let counted = tx
            .find(
                "UPDATE factor SET failures = failures + 1 WHERE id = $1 AND failures < $2 RETURNING failures",
                params![&self.factor, self.max_failures],
            )
            .await?;
        let Some(mut row) = counted else {
            return Ok(Taken::Locked);
        };
        let failures = row.get::<i64>(0)?;
        let event = Event::OtpFail {
            credential: credential_id.clone(),
            factor: factor.clone(),
            client: client.to_string(),
            failures,
        };
        audit::record(tx, now, &credential.pseudonym, &event);
        if failures >= self.max_failures {
            audit::record(
                tx,
                now,
                &credential.pseudonym,
                &Event::OtpLocked {
                    credential: credential_id,
                    factor,
                },
            );
        }
        Ok(Taken::Wrong)
    }
}
