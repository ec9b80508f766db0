//! Passwords of people, holders and operators alike. What rests is Argon2id and then an HMAC in the HSM: a stolen database cannot even be
//! searched for them.

use std::ops::RangeInclusive;

use hsm_adapter::{Cost, HsmError, MacKey, Stretcher, Vault};
use subtle::ConstantTimeEq;

use crate::store::{Row, StoreError};

/// Wrong passwords in a row that are answered at once; each further one adds a minute of delay.
pub const PROMPT_FAILURES: i64 = 10;
/// ASVS 5.0 6.2.1 and 6.2.9: at least 8 characters; very long ones only cost time.
const LENGTH: RangeInclusive<usize> = 8..=256;

/// A password as it rests.
#[derive(Clone, Debug)]
pub struct Hashed {
    /// Argon2id salt, 16 octets.
    pub salt: Vec<u8>,
    /// Argon2id cost.
    pub cost: Cost,
    /// HMAC of what Argon2id gave and whose it is.
    pub hash: Vec<u8>,
}

/// Why a password cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too short or too long.
    #[error("a password has 8 to 256 characters")]
    Length,
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// Hashes passwords and compares them.
#[derive(Clone)]
pub struct Passwords {
    vault: Vault,
    stretcher: Stretcher,
}

impl Hashed {
    /// From three columns of a row, this one the first: salt, cost, hash.
    ///
    /// # Errors
    /// When they are not what they should be.
    pub fn read(row: &mut Row, column: usize) -> Result<Self, StoreError> {
        Ok(Self {
            salt: row.get(column)?,
            cost: serde_json::from_str(&row.get::<String>(column + 1)?)
                .map_err(|_| StoreError::Corrupt("the cost of a password"))?,
            hash: row.get(column + 2)?,
        })
    }

    /// The cost as its column has it.
    pub fn cost(&self) -> String {
        serde_json::to_string(&self.cost).unwrap_or_default()
    }
}

/// Whether a password can be set.
///
/// # Errors
/// [`Error::Length`].
pub fn check(password: &str) -> Result<(), Error> {
    if LENGTH.contains(&password.chars().count()) {
        Ok(())
    } else {
        Err(Error::Length)
    }
}

impl Passwords {
    /// Passwords peppered by this vault.
    pub fn new(vault: Vault, stretcher: Stretcher) -> Self {
        Self { vault, stretcher }
    }

    /// What rests of a new password of `owner`; it is good for no other.
    ///
    /// # Errors
    /// [`Error::Length`], or a failure of the HSM.
    pub async fn set(&self, owner: &str, password: &str) -> Result<Hashed, Error> {
        check(password)?;
        let (salt, cost) = (self.vault.random::<16>().await?, self.stretcher.cost());
        let hash = self.hash(owner, password, salt.as_slice(), cost).await?;
        Ok(Hashed {
            salt: salt.to_vec(),
            cost,
            hash: hash.to_vec(),
        })
    }

    /// Whether it is the password of `owner`.
    ///
    /// # Errors
    /// When the HSM fails.
    pub async fn matches(
        &self,
        owner: &str,
        password: &str,
        stored: &Hashed,
    ) -> Result<bool, HsmError> {
        let hash = self
            .hash(owner, password, &stored.salt, stored.cost)
            .await?;
        Ok(hash.ct_eq(&stored.hash).into())
    }

    /// The same work for an account that is not there, so that the time tells nothing.
    ///
    /// # Errors
    /// When the HSM fails.
    pub async fn matches_nobody(&self, password: &str) -> Result<(), HsmError> {
        self.hash("nobody", password, &[0; 16], self.stretcher.cost())
            .await
            .map(drop)
    }

    async fn hash(
        &self,
        owner: &str,
        password: &str,
        salt: &[u8],
        cost: Cost,
    ) -> Result<[u8; 32], HsmError> {
        let stretched = self
            .stretcher
            .stretch(password.as_bytes(), salt, cost)
            .await?;
        self.vault
            .mac(MacKey::Pepper, &[owner.as_bytes(), stretched.as_slice()])
            .await
    }
}
