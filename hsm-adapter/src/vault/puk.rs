//! Changing the PIN, and what a PUK may do about a locked one. Only the 40 octets of the wrapped DEK change; the private key stays as it
//! was sealed.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    MacKey, Pin, SealedKey, Vault, formula,
    master::{self, VERSION},
    seal,
};
use crate::{Cost, HsmError, VaultError, pool::Speed};

/// A PIN unblocking key: ten digits. Prints nothing, is wiped when dropped.
pub struct Puk(Zeroizing<String>);

/// What the store keeps of a PUK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPuk {
    /// Argon2id salt, 16 octets.
    pub salt: Vec<u8>,
    /// Argon2id cost.
    pub cost: Cost,
    /// HMAC(puk-check/vN, U("puk", PUK)).
    pub check: Vec<u8>,
    /// AES-KWP(KEK(U("puk", PUK)), DEK), sealed for the store: only when the PUK may set a new PIN.
    pub w_puk: Option<Vec<u8>>,
    /// Version N of the master keys it was sealed under.
    pub masters: u32,
}

impl Puk {
    /// `None` unless it is exactly ten ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 10 && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// A new one from random bits; the bias of 64 bits modulo 10¹⁰ is below 10⁻⁹.
    fn from_bits(bits: [u8; 8]) -> Self {
        let number = u64::from_be_bytes(bits) % 10_000_000_000;
        Self(Zeroizing::new(format!("{number:010}")))
    }

    /// The digits, for the one time they are shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Puk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Puk(…)")
    }
}

impl Vault {
    /// Whether a key is sealed as a new one would be: same master keys, same cost. One that is not is sealed anew at the holder's next PIN
    /// ([`Self::change_pin`] to the same PIN).
    pub fn is_current(&self, key: &SealedKey) -> bool {
        key.masters == VERSION && key.cost == self.stretcher.cost()
    }

    /// Judges the old PIN and seals the DEK under the new one: new salt, today's cost and master keys. The private key's blob stays.
    ///
    /// # Errors
    /// [`VaultError::WrongPin`] and nothing else counts as a try; [`VaultError::Damaged`] when the key or its record is not what it was.
    pub async fn change_pin(
        &self,
        key: &SealedKey,
        old: &Pin,
        new: &Pin,
    ) -> Result<SealedKey, VaultError> {
        let source = self.unlock(key, old).await?;
        let next = self.renewed(key)?;
        let target = self.unlock(&next, new).await?;
        let key = key.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                seal::judge_record(hsm, &key)?;
                seal::judge_pin(hsm, &key, &source)?;
                let w_pin = seal::w_pin(hsm, &key)?;
                let mut next = next.clone();
                seal::reseal(hsm, key.masters, &source, &w_pin, &target, &mut next)?;
                Ok(next)
            })
            .await
    }

    /// Makes a PUK for a key whose PIN is known: the PUK, shown once, and what the store keeps. `resets`: it may also set a new PIN,
    /// which makes it as strong as the PIN.
    ///
    /// # Errors
    /// [`VaultError::WrongPin`], [`VaultError::Damaged`], or a failure of the HSM.
    pub async fn make_puk(
        &self,
        key: &SealedKey,
        pin: &Pin,
        resets: bool,
    ) -> Result<(Puk, SealedPuk), VaultError> {
        let puk = Puk::from_bits(*self.random::<8>().await?);
        let mut sealed = SealedPuk {
            salt: seal::salt()?,
            cost: self.stretcher.cost(),
            check: Vec::new(),
            w_puk: None,
            masters: VERSION,
        };
        let source = self.unlock(key, pin).await?;
        let target = self.unlock_puk(key, &sealed, &puk).await?;
        let key = key.clone();
        let sealed = self
            .pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                seal::judge_pin(hsm, &key, &source)?;
                sealed.check = master::mac(hsm, MacKey::PukCheck, VERSION, &[&*target])?.to_vec();
                if resets {
                    let w_pin = seal::w_pin(hsm, &key)?;
                    sealed.w_puk = Some(seal::wrap_for_puk(hsm, &key, &source, &w_pin, &target)?);
                }
                Ok::<_, VaultError>(sealed.clone())
            })
            .await?;
        Ok((puk, sealed))
    }

    /// Judges a PUK.
    ///
    /// # Errors
    /// [`VaultError::WrongPuk`] and nothing else counts as a try; [`VaultError::Damaged`] when the record is not what it was.
    pub async fn judge_puk(
        &self,
        key: &SealedKey,
        sealed: &SealedPuk,
        puk: &Puk,
    ) -> Result<(), VaultError> {
        let unlock = self.unlock_puk(key, sealed, puk).await?;
        let (key, sealed) = (key.clone(), sealed.clone());
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                seal::judge_record(hsm, &key)?;
                judge(hsm, &sealed, &unlock)
            })
            .await
    }

    /// Judges the PUK and seals the DEK under a new PIN.
    ///
    /// # Errors
    /// [`VaultError::WrongPuk`]; [`VaultError::Damaged`], also when this PUK may not set a PIN.
    pub async fn reset_pin(
        &self,
        key: &SealedKey,
        sealed: &SealedPuk,
        puk: &Puk,
        new: &Pin,
    ) -> Result<SealedKey, VaultError> {
        let source = self.unlock_puk(key, sealed, puk).await?;
        let next = self.renewed(key)?;
        let target = self.unlock(&next, new).await?;
        let (key, sealed) = (key.clone(), sealed.clone());
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                seal::judge_record(hsm, &key)?;
                judge(hsm, &sealed, &source)?;
                let w_puk = sealed.w_puk.as_deref().ok_or(VaultError::Damaged)?;
                let w_puk = seal::w_puk(hsm, &key, w_puk)?;
                let mut next = next.clone();
                seal::reseal(hsm, sealed.masters, &source, &w_puk, &target, &mut next)?;
                Ok(next)
            })
            .await
    }

    /// The key with a new salt at today's cost, to be sealed under today's master keys.
    fn renewed(&self, key: &SealedKey) -> Result<SealedKey, HsmError> {
        Ok(SealedKey {
            salt: seal::salt()?,
            cost: self.stretcher.cost(),
            ..key.clone()
        })
    }

    /// U("puk", PUK) of a key.
    async fn unlock_puk(
        &self,
        key: &SealedKey,
        sealed: &SealedPuk,
        puk: &Puk,
    ) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let stretched = self
            .stretcher
            .stretch(puk.0.as_bytes(), &sealed.salt, sealed.cost)
            .await
            .map_err(seal::damaged)?;
        Ok(formula::unlock(
            "puk",
            &key.credential,
            key.generation,
            &stretched,
        ))
    }
}

fn judge(
    hsm: &mut dyn crate::Hsm,
    sealed: &SealedPuk,
    unlock: &[u8; 32],
) -> Result<(), VaultError> {
    let right = master::mac(hsm, MacKey::PukCheck, sealed.masters, &[unlock]);
    let right = right.map_err(seal::damaged)?;
    if bool::from(right.ct_eq(&sealed.check)) {
        Ok(())
    } else {
        Err(VaultError::WrongPuk)
    }
}
