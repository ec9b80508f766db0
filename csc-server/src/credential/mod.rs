//! Credential authorization: what a holder may sign with, and how an approval becomes a permit to sign, once.
//!
//! [`Credential::owned_by`] finds it, [`Order`] says what is to be approved, [`Keys::authorise`] takes both factors and
//! gives a SAD, [`Keys::redeem`] counts the SAD down and gives a [`Permit`], and only [`crate::signing::Signer`] takes one.

mod authorise;
mod code;
mod expiry;
pub mod history;
mod lifecycle;
pub mod mandate;
mod mode;
mod order;
mod owned;
mod permit;
mod pin;
mod qualifier;
mod refusal;
pub mod reseal;
mod sad;

use std::time::Duration;

use hsm_adapter::{HsmError, Vault, VaultError};
use subtle::ConstantTimeEq;

pub use authorise::{Approval, Issued};
pub use code::{Kind, TokenAccess, Traded};
pub use expiry::Expired;
pub use mode::Mode;
pub use order::{Hash, Order, SignOrder, Work, verification_code};
pub use owned::{Credential, Status, TABLE};
pub use permit::{Permit, SIGNINGS};
pub(crate) use reseal::oldest;
pub use sad::TABLE as ACTIVATIONS;

use crate::{
    clock::{Clock, Millis},
    config::Algorithms,
    factor::Factors,
    ids::CredentialId,
    params,
    store::Store,
    store::StoreError,
};

/// Why a credential was not authorised or not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such credential, or not this caller's: one answer for both.
    #[error("unknown credential")]
    Unknown,
    /// Suspended, revoked, expired, or its holder is blocked.
    #[error("the credential cannot be used")]
    Disabled,
    /// The certificate is past its end.
    #[error("the certificate has expired")]
    CertificateExpired {
        /// Organisation and common name of the subject.
        organization: String,
        /// Common name of the subject.
        common_name: String,
    },
    /// Too many wrong PINs.
    #[error("the PIN is locked")]
    PinLocked,
    /// Too many wrong codes.
    #[error("the OTP is locked")]
    OtpLocked,
    /// Not the holder's PIN.
    #[error("wrong PIN")]
    WrongPin,
    /// Not the holder's PUK.
    #[error("wrong PUK")]
    WrongPuk,
    /// No PUK, too many wrong ones, or it was used up.
    #[error("the PUK cannot be used")]
    PukLocked,
    /// The credential is in another state than this needs.
    #[error("the credential is {0}")]
    WrongState(&'static str),
    /// Not the code, or no longer.
    #[error("wrong OTP")]
    WrongOtp,
    /// The credential is not authorised this way.
    #[error("the credential is not authorised this way")]
    WrongMode,
    /// A mandate with bounds that none may have.
    #[error("{0}")]
    Terms(&'static str),
    /// A mandate is used by a client that proves who it is by a key of its own.
    #[error("the client must authenticate by mutual TLS or private_key_jwt")]
    WeakClient,
    /// More signatures than the mandate has left for this while.
    #[error("more signatures than the mandate's rate")]
    TooSoon {
        /// When its next period begins.
        retry_after: Duration,
    },
    /// More signatures than one authorisation of this credential may have.
    #[error("too many signatures")]
    TooMany,
    /// Under SCAL2 each signature has its hash: their numbers must agree.
    #[error("the number of signatures is not the number of hashes")]
    CountMismatch,
    /// Unknown, spent, of another client or credential, or not its secret: one answer for all.
    #[error("the SAD is not valid")]
    InvalidSad,
    /// Unknown, used, too old, or of another client: one answer for all.
    #[error("the handle is not valid")]
    InvalidHandle,
    /// The holder says no, or nothing in time.
    #[error("the holder has not approved")]
    Denied,
    /// It was good, until its time was up.
    #[error("the SAD has expired")]
    SadExpired,
    /// The holder did not approve this hash, or it was signed already.
    #[error("a hash is not authorised by the SAD")]
    NotAuthorised,
    /// The stored record or blob is not what the service wrote. Alarmed.
    #[error("the credential fails its integrity check")]
    Damaged,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<crate::factor::Error> for Error {
    fn from(error: crate::factor::Error) -> Self {
        match error {
            crate::factor::Error::Store(error) => Self::Store(error),
            crate::factor::Error::Hsm(error) => Self::Hsm(error),
            crate::factor::Error::Locked => Self::OtpLocked,
            crate::factor::Error::Damaged => Self::Damaged,
            crate::factor::Error::TooSoon { .. } | crate::factor::Error::Offline => Self::WrongOtp,
        }
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::WrongPin => Self::WrongPin,
            VaultError::WrongPuk => Self::WrongPuk,
            VaultError::NotBound => Self::NotAuthorised,
            VaultError::Expired => Self::SadExpired,
            VaultError::Damaged => Self::Damaged,
            VaultError::Hsm(error) => Self::Hsm(error),
        }
    }
}

/// Bounds of authorising.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Wrong PINs in a row that lock a credential.
    pub max_pin_failures: u32,
    /// How long a SAD lives.
    pub sad_lifetime: Duration,
    /// How long a SAD may be extended, from its first issue.
    pub authorization_lifetime: Duration,
    /// How long an authorization code lives.
    pub code_lifetime: Duration,
    /// Until when key types may sign.
    pub algorithms: Algorithms,
}

/// Authorises the use of keys; cannot sign.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    clock: Clock,
    vault: Vault,
    factors: Factors,
    policy: Policy,
}

impl Keys {
    /// The keys of this vault.
    pub fn new(store: Store, clock: Clock, vault: Vault, factors: Factors, policy: Policy) -> Self {
        Self {
            store,
            clock,
            vault,
            factors,
            policy,
        }
    }

    /// Whether a credential may sign at this time: its state, its certificate, and the type of its key (SC-03, SC-15).
    ///
    /// # Errors
    /// [`Error::Disabled`], [`Error::CertificateExpired`].
    pub fn may_sign(&self, credential: &Credential, now: Millis) -> Result<(), Error> {
        credential.usable(now)?;
        if self
            .policy
            .algorithms
            .may_sign(credential.key.algorithm, now)
        {
            Ok(())
        } else {
            Err(Error::Disabled)
        }
    }

    /// Wrong PINs that are left until the credential locks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pin_tries(&self, id: &CredentialId) -> Result<u32, StoreError> {
        const SQL: &str = "SELECT pin_failures FROM credential WHERE id = $1";
        let Some(mut row) = self.store.find(SQL, params![id]).await? else {
            return Ok(0);
        };
        Ok(self.policy.max_pin_failures.saturating_sub(row.get(0)?))
    }

    /// Whether the record is what the service wrote.
    async fn is_as_recorded(&self, credential: &Credential) -> Result<bool, HsmError> {
        let key = &credential.key;
        match self.vault.record_mac(key.masters, &key.record).await {
            Ok(mac) => Ok(mac.ct_eq(&key.record_mac).into()),
            // Of master keys that there are not.
            Err(HsmError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The credential as it is now, under a new record MAC.
    async fn recorded(&self, mut credential: Credential) -> Result<Credential, HsmError> {
        let record = credential.record();
        let masters = credential.key.masters;
        credential.key.record_mac = self.vault.record_mac(masters, &record).await?.to_vec();
        credential.key.record = record;
        Ok(credential)
    }
}
