//! What a holder has: a device that makes codes (an authenticator app, TOTP; a token, HOTP), or an address that codes are
//! sent to (mail, SMS). What he knows, the PIN, is sealed into the credential itself.
//!
//! A code is judged in two steps. Outside the transaction, where the HSM may be asked, [`Factors::judge`] turns what the
//! client sent into a [`Claim`]; inside it, [`Claim::consume`] takes the code in one statement, so that of parallel
//! uses one wins and every wrong guess counts.
//!
//! Whose a factor is, how its codes come about and where they go stands under a MAC, which is checked before the factor is
//! used: whoever changes a telephone number in the database gets no code there (SC-31).

mod claim;
mod device;
mod record;
pub mod reseal;
pub mod seeds;
mod sent;
mod token;

use std::time::Duration;

use hsm_adapter::{HsmError, Vault};
use sha2::{Digest, Sha256};

pub use claim::{Claim, Taken};
pub use record::{Factor, Kind, TABLE};
pub use sent::CHALLENGES;
pub(crate) use sent::HOUR;

pub use crate::otp::{Algorithm, Otp};

use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    credential::Credential,
    ids::FactorId,
    params,
    store::{Store, StoreError},
};

/// What a code is asked for: one asked for one purpose does for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A signature, with the code given to an application.
    Sign,
    /// The order of signatures with this fingerprint, with the code given on a page of ours.
    Approve([u8; 32]),
    /// A new PIN.
    ChangePin,
    /// The use of the PUK.
    Unblock,
    /// A mandate for automatic signature.
    Mandate,
    /// The credential that an application asked to have made.
    Create,
    /// Its end, that an application asked for.
    Delete,
}

impl Purpose {
    /// The name in the database and in the code's MAC.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Approve(_) => "approve",
            Self::ChangePin => "change-pin",
            Self::Unblock => "unblock",
            Self::Mandate => "mandate",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    /// What a code is bound to when it is sent: nothing, where the wire names only the credential.
    pub(crate) fn bound_to(&self) -> &[u8] {
        match self {
            Self::Approve(order) => order,
            Self::Sign
            | Self::Mandate
            | Self::ChangePin
            | Self::Unblock
            | Self::Create
            | Self::Delete => &[],
        }
    }

    /// What a code stands for that is taken for this and nothing further.
    pub fn fingerprint(self) -> [u8; 32] {
        Sha256::digest(self.name()).into()
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
    /// The row is not what the service wrote. Alarmed.
    #[error("the factor fails its integrity check")]
    Damaged,
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
    /// How long the first lock lasts; each further wrong code doubles it.
    pub lock: Duration,
    /// How long a lock lasts at most.
    pub longest_lock: Duration,
    /// How long a sent code is good.
    pub lifetime: Duration,
    /// How long until another code may be sent to the same holder.
    pub resend_after: Duration,
    /// Codes to one holder in an hour.
    pub max_per_hour: u32,
    /// Time steps an authenticator app may be early or late.
    pub drift: u16,
}

impl Policy {
    /// How long so many wrong codes in a row lock a factor; `None` when they do not.
    fn lock_after(&self, failures: i64) -> Option<Duration> {
        let beyond = u32::try_from(failures)
            .ok()?
            .checked_sub(self.max_failures)?;
        let doubled = self.lock.saturating_mul(2_u32.saturating_pow(beyond));
        Some(doubled.min(self.longest_lock))
    }
}

/// The factors.
#[derive(Clone)]
pub struct Factors {
    store: Store,
    clock: Clock,
    vault: Vault,
    policy: Policy,
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

    /// Judges a code for a credential, asking the HSM where needed. Nothing is counted yet.
    ///
    /// # Errors
    /// [`Error::Damaged`], or when database or HSM fail.
    pub async fn judge(
        &self,
        factor: &Factor,
        credential: &Credential,
        otp: &Otp,
        purpose: Purpose,
    ) -> Result<Claim, Error> {
        self.genuine(factor, credential).await?;
        let proof = match factor.kind {
            Kind::Totp | Kind::Hotp => self.judge_device(factor, otp).await?,
            Kind::Mail | Kind::Sms => self.judge_sent(factor, credential, otp, purpose).await?,
        };
        Ok(Claim::new(factor, self.policy, proof))
    }

    /// How long a code is good that is sent.
    pub fn lifetime(&self) -> Duration {
        self.policy.lifetime
    }

    /// Wrong codes that are left until the factor locks, and until when it is locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tries(&self, id: &FactorId) -> Result<(u32, Millis), StoreError> {
        const SQL: &str = "SELECT failures, locked_until FROM factor WHERE id = $1";
        let Some(mut row) = self.store.find(SQL, params![id]).await? else {
            return Ok((0, 0));
        };
        let left = self.policy.max_failures.saturating_sub(row.get(0)?);
        Ok((left, row.get(1)?))
    }

    /// Lets codes in again after wrong ones; changes nothing else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unlock(&self, factor: &Factor) -> Result<(), StoreError> {
        let (id, now) = (factor.id.clone(), self.clock.now());
        let person = self.pseudonym(factor.holder()).await?;
        self.store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE factor SET failures = 0, locked_until = 0, version = version + 1
                                   WHERE id = $1 RETURNING version";
                if let Some(mut row) = tx.find(SQL, params![&id]).await? {
                    let unlocked = Event::FactorUnlocked {
                        factor: id.to_string(),
                        version: row.get(0)?,
                    };
                    audit::record(tx, now, &person, &unlocked);
                }
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_code_beyond_the_limit_doubles_the_lock_up_to_the_longest() {
        let policy = Policy {
            max_failures: 5,
            lock: Duration::from_secs(60),
            longest_lock: Duration::from_secs(24 * 3600),
            lifetime: Duration::from_secs(300),
            resend_after: Duration::from_secs(30),
            max_per_hour: 10,
            drift: 1,
        };
        let minutes = |failures| policy.lock_after(failures).map(|lock| lock.as_secs() / 60);
        assert_eq!(minutes(4), None);
        let locks: Vec<_> = (5..10).filter_map(minutes).collect();
        assert_eq!(locks, [1, 2, 4, 8, 16]);
        assert_eq!(minutes(15), Some(1024));
        assert_eq!(minutes(16), Some(1440));
        assert_eq!(minutes(i64::from(u32::MAX)), Some(1440));
    }
}
