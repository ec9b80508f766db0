//! Changing the PIN, and what a PUK may do about a locked one. Only the 40 octets of the wrapped DEK change; the private key stays as it
//! was sealed.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    MasterSet, Pin, SealedKey, Vault, formula,
    master::{MasterKey, Masters},
    seal::{self, Stretched, damaged},
};
use crate::{
    Cost, Hsm, HsmError, VaultError,
    call::{Call, Tools},
    pool::{Session, Speed},
};

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
        self.is_up_to_date(key.masters, key.cost)
    }

    /// The same of a PUK, which is sealed anew at its next use ([`Self::reseal_puk`]).
    pub fn is_current_puk(&self, sealed: &SealedPuk) -> bool {
        self.is_up_to_date(sealed.masters, sealed.cost)
    }

    fn is_up_to_date(&self, masters: u32, cost: Cost) -> bool {
        masters == self.route.masters().known(MasterSet::Sealing) && cost == self.stretcher.cost()
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
        let next = self.renewed(key).await?;
        let call = ChangePin {
            old: self.stretched(key, old).await?,
            new: self.stretched(&next, new).await?,
            key: key.clone(),
            next,
        };
        self.route.call(call).await
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
        let next = self.new_puk().await?;
        let call = MakePuk {
            pin: self.stretched(key, pin).await?,
            puk: self.stretched_puk(&next, &puk).await?,
            key: key.clone(),
            next,
            resets,
        };
        Ok((puk, self.route.call(call).await?))
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
        let call = JudgePuk {
            key: key.clone(),
            sealed: sealed.clone(),
            puk: self.stretched_puk(sealed, puk).await?,
        };
        self.route.call(call).await
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
        let next = self.renewed(key).await?;
        let call = ResetPin {
            key: key.clone(),
            sealed: sealed.clone(),
            puk: self.stretched_puk(sealed, puk).await?,
            pin: self.stretched(&next, new).await?,
            next,
        };
        self.route.call(call).await
    }

    /// Judges the PUK and seals it anew: new salt, today's cost and master keys.
    ///
    /// # Errors
    /// [`VaultError::WrongPuk`], [`VaultError::Damaged`], or a failure of the HSM.
    pub async fn reseal_puk(
        &self,
        key: &SealedKey,
        sealed: &SealedPuk,
        puk: &Puk,
    ) -> Result<SealedPuk, VaultError> {
        let next = self.new_puk().await?;
        let call = ResealPuk {
            key: key.clone(),
            sealed: sealed.clone(),
            puk: self.stretched_puk(sealed, puk).await?,
            again: self.stretched_puk(&next, puk).await?,
            next,
        };
        self.route.call(call).await
    }

    /// The key with a new salt at today's cost, to be sealed under today's master keys.
    async fn renewed(&self, key: &SealedKey) -> Result<SealedKey, HsmError> {
        Ok(SealedKey {
            salt: self.salt().await?,
            cost: self.stretcher.cost(),
            ..key.clone()
        })
    }

    /// What there will be of a PUK, with a new salt at today's cost.
    async fn new_puk(&self) -> Result<SealedPuk, HsmError> {
        Ok(SealedPuk {
            salt: self.salt().await?,
            cost: self.stretcher.cost(),
            check: Vec::new(),
            w_puk: None,
            masters: 0,
        })
    }

    /// A PUK, stretched.
    async fn stretched_puk(&self, sealed: &SealedPuk, puk: &Puk) -> Result<Stretched, VaultError> {
        let stretched = self
            .stretcher
            .stretch(puk.0.as_bytes(), &sealed.salt, sealed.cost);
        stretched.await.map_err(damaged)
    }
}

/// U("puk", PUK) of a key.
fn unlock(key: &SealedKey, puk: &Stretched) -> Zeroizing<[u8; 32]> {
    formula::unlock("puk", &key.credential, key.generation, puk)
}

/// [`Vault::change_pin`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ChangePin {
    key: SealedKey,
    old: Stretched,
    /// The key with its new salt and cost.
    next: SealedKey,
    new: Stretched,
}

impl Call for ChangePin {
    type Answer = SealedKey;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<SealedKey, VaultError> {
        let (hsm, masters, key) = (session.hsm.as_mut(), &tools.masters, &self.key);
        let (source, mut next) = (seal::unlock(key, &self.old), self.next.clone());
        let target = seal::unlock(&next, &self.new);
        seal::judge_record(hsm, masters, key)?;
        seal::judge_pin(hsm, masters, key, &source)?;
        let w_pin = seal::w_pin(hsm, masters, key)?;
        let from = (key.masters, &*source);
        seal::reseal(hsm, masters, from, &w_pin, &target, &mut next)?;
        Ok(next)
    }
}

/// [`Vault::make_puk`].
#[derive(Serialize, Deserialize)]
pub(crate) struct MakePuk {
    key: SealedKey,
    pin: Stretched,
    next: SealedPuk,
    puk: Stretched,
    resets: bool,
}

impl Call for MakePuk {
    type Answer = SealedPuk;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<SealedPuk, VaultError> {
        let (hsm, masters, key) = (session.hsm.as_mut(), &tools.masters, &self.key);
        let (source, target) = (seal::unlock(key, &self.pin), unlock(key, &self.puk));
        seal::judge_pin(hsm, masters, key, &source)?;
        let dek = match self.resets {
            true => Some(seal::w_pin(hsm, masters, key)?),
            false => None,
        };
        let from = (key.masters, &*source, dek.as_ref());
        seal(hsm, masters, key, from, &target, self.next.clone())
    }
}

/// [`Vault::judge_puk`].
#[derive(Serialize, Deserialize)]
pub(crate) struct JudgePuk {
    key: SealedKey,
    sealed: SealedPuk,
    puk: Stretched,
}

impl Call for JudgePuk {
    type Answer = ();
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<(), VaultError> {
        let (hsm, masters) = (session.hsm.as_mut(), &tools.masters);
        seal::judge_record(hsm, masters, &self.key)?;
        judge(hsm, masters, &self.sealed, &unlock(&self.key, &self.puk))
    }
}

/// [`Vault::reset_pin`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ResetPin {
    key: SealedKey,
    sealed: SealedPuk,
    puk: Stretched,
    /// The key with its new salt and cost.
    next: SealedKey,
    pin: Stretched,
}

impl Call for ResetPin {
    type Answer = SealedKey;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<SealedKey, VaultError> {
        let (hsm, masters, key) = (session.hsm.as_mut(), &tools.masters, &self.key);
        let (source, mut next) = (unlock(key, &self.puk), self.next.clone());
        let target = seal::unlock(&next, &self.pin);
        seal::judge_record(hsm, masters, key)?;
        judge(hsm, masters, &self.sealed, &source)?;
        let w_puk = w_puk(hsm, masters, key, &self.sealed)?;
        let w_puk = w_puk.ok_or(VaultError::Damaged)?;
        let from = (self.sealed.masters, &*source);
        seal::reseal(hsm, masters, from, &w_puk, &target, &mut next)?;
        Ok(next)
    }
}

/// [`Vault::reseal_puk`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ResealPuk {
    key: SealedKey,
    sealed: SealedPuk,
    puk: Stretched,
    next: SealedPuk,
    /// The same PUK under the next one's salt and cost.
    again: Stretched,
}

impl Call for ResealPuk {
    type Answer = SealedPuk;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<SealedPuk, VaultError> {
        let (hsm, masters, key) = (session.hsm.as_mut(), &tools.masters, &self.key);
        let (source, target) = (unlock(key, &self.puk), unlock(key, &self.again));
        judge(hsm, masters, &self.sealed, &source)?;
        let dek = w_puk(hsm, masters, key, &self.sealed)?;
        let from = (self.sealed.masters, &*source, dek.as_ref());
        seal(hsm, masters, key, from, &target, self.next.clone())
    }
}

fn judge(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    sealed: &SealedPuk,
    unlock: &[u8; 32],
) -> Result<(), VaultError> {
    let right = masters.mac(hsm, MasterKey::PukCheck, sealed.masters, &[unlock]);
    if bool::from(right.map_err(damaged)?.ct_eq(&sealed.check)) {
        Ok(())
    } else {
        Err(VaultError::WrongPuk)
    }
}

/// Seals a PUK under today's master keys: its check value, and the DEK where it is handed over, as a PIN or PUK wraps it now.
fn seal(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
    (from, source, dek): (u32, &[u8; 32], Option<&Zeroizing<Vec<u8>>>),
    target: &[u8; 32],
    mut next: SealedPuk,
) -> Result<SealedPuk, VaultError> {
    next.masters = masters.current(hsm, MasterSet::Sealing)?;
    let check = masters.mac(hsm, MasterKey::PukCheck, next.masters, &[target])?;
    next.check = check.to_vec();
    if let Some(dek) = dek {
        let to = (next.masters, target);
        let wrapped = seal::rewrap(hsm, masters, (from, source), dek, to)?;
        let row = seal::row_of(key);
        next.w_puk = Some(masters.seal(hsm, &seal::place(&row, seal::W_PUK), &wrapped)?);
    }
    Ok(next)
}

/// The DEK as the PUK wraps it, if it does.
fn w_puk(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
    sealed: &SealedPuk,
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let Some(w_puk) = &sealed.w_puk else {
        return Ok(None);
    };
    let row = seal::row_of(key);
    let opened = masters.unseal(hsm, &seal::place(&row, seal::W_PUK), w_puk);
    opened.map(Some).map_err(damaged)
}
