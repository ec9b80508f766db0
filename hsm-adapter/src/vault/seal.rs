//! Sealing: a new key under a PIN, and its DEK from one key-encryption key to another.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Activation, MasterSet, NewKey, Opening, Pin, Place, SealedKey, Vault,
    approved::Approved,
    formula,
    master::{MasterKey, Masters},
    scratch::Scratch,
};
use crate::{
    Hsm, HsmError, KeyAlgorithm, Secret, VaultError,
    call::{Call, Tools},
    octets,
    pool::{Session, Speed},
    request,
};

/// Table and columns of a sealed key, for its additional authenticated data.
const TABLE: &str = "credential";
pub(super) const KEY_BLOB: &str = "key_blob";
pub(super) const W_PIN: &str = "w_pin";
pub(super) const W_PUK: &str = "w_puk";

impl Vault {
    /// Makes a key pair in the HSM, seals it under the PIN, and has it sign its certification request for this subject (a Name, DER). The key
    /// is extractable only until it is wrapped; what signs the request is the sealed key, opened again. Record and its MAC are left empty: [`Self::mac`] makes it when
    /// the certificate is there.
    ///
    /// # Errors
    /// When the HSM cannot.
    pub async fn generate(
        &self,
        credential: &str,
        generation: u32,
        algorithm: KeyAlgorithm,
        pin: &Pin,
        subject: &[u8],
    ) -> Result<NewKey, VaultError> {
        let key = SealedKey {
            credential: credential.to_owned(),
            generation,
            algorithm,
            spki: Vec::new(),
            key_blob: Vec::new(),
            w_pin: Vec::new(),
            pin_check: Vec::new(),
            salt: self.salt().await?,
            cost: self.stretcher.cost(),
            masters: 0,
            record: Vec::new(),
            record_mac: Vec::new(),
        };
        let (pin, subject) = (self.stretched(&key, pin).await?, subject.to_vec());
        self.route.call(Generate { key, pin, subject }).await
    }

    /// Judges the PIN and re-wraps the DEK under secret and content, and the master keys in use: the wrapped DEK of a new
    /// [`Activation`].
    ///
    /// # Errors
    /// [`VaultError::WrongPin`] and nothing else counts as a try; [`VaultError::NotBound`] for the content of another key,
    /// [`VaultError::Damaged`] when the key or its record is not what it was.
    pub async fn authorise(
        &self,
        key: &SealedKey,
        pin: &Pin,
        content: &[u8],
        secret: &Secret,
    ) -> Result<Vec<u8>, VaultError> {
        Approved::read(content, &key.credential, key.generation)?;
        let call = Authorise {
            key: key.clone(),
            pin: self.stretched(key, pin).await?,
            content: content.to_vec(),
            secret: Zeroizing::new(*secret.bits()),
        };
        self.route.call(call).await
    }

    /// Re-wraps the DEK of a live activation under another content and secret; the old one stays as it is.
    ///
    /// # Errors
    /// [`VaultError::NotBound`] when either content is of another key or a mandate, [`VaultError::Damaged`] when the activation does not
    /// open it.
    pub async fn extend(
        &self,
        key: &SealedKey,
        from: &Activation,
        content: &[u8],
        secret: &Secret,
    ) -> Result<Vec<u8>, VaultError> {
        let call = Extend {
            key: key.clone(),
            from: from.into(),
            content: content.to_vec(),
            secret: Zeroizing::new(*secret.bits()),
        };
        self.route.call(call).await
    }

    /// The PIN of a key, stretched. Never where a session waits: it takes longer than a signature.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] for a salt or cost that no key was sealed with.
    pub(super) async fn stretched(
        &self,
        key: &SealedKey,
        pin: &Pin,
    ) -> Result<Stretched, VaultError> {
        let stretched = self
            .stretcher
            .stretch(pin.0.as_bytes(), &key.salt, key.cost);
        stretched.await.map_err(damaged)
    }
}

/// A PIN or PUK after Argon2id.
pub(super) type Stretched = Zeroizing<[u8; 32]>;

/// U("pin", PIN) of a key.
pub(super) fn unlock(key: &SealedKey, pin: &Stretched) -> Zeroizing<[u8; 32]> {
    formula::unlock("pin", &key.credential, key.generation, pin)
}

/// [`Vault::generate`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Generate {
    /// What there will be of it, with salt and cost.
    key: SealedKey,
    pin: Stretched,
    subject: Vec<u8>,
}

impl Call for Generate {
    type Answer = NewKey;
    type Error = VaultError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<NewKey, VaultError> {
        let (hsm, masters) = (session.hsm.as_mut(), &tools.masters);
        let (mut key, unlock) = (self.key.clone(), unlock(&self.key, &self.pin));
        let (row, algorithm) = (row_of(&key), key.algorithm);
        key.masters = masters.current(hsm, MasterSet::Sealing)?;
        let sealed = seal_new(hsm, masters, key.masters, algorithm, &unlock, &self.subject)?;
        key.spki = sealed.spki;
        key.key_blob = masters.seal(hsm, &place(&row, KEY_BLOB), &sealed.key_blob)?;
        key.w_pin = masters.seal(hsm, &place(&row, W_PIN), &sealed.w_pin)?;
        let check = masters.mac(hsm, MasterKey::PinCheck, key.masters, &[&*unlock])?;
        key.pin_check = check.to_vec();
        Ok(NewKey {
            key,
            request: sealed.request,
            device: hsm.serial().to_owned(),
        })
    }
}

/// [`Vault::authorise`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Authorise {
    key: SealedKey,
    pin: Stretched,
    #[serde(with = "octets")]
    content: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

impl Call for Authorise {
    type Answer = Vec<u8>;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<u8>, VaultError> {
        let (hsm, masters, key) = (session.hsm.as_mut(), &tools.masters, &self.key);
        Approved::read(&self.content, &key.credential, key.generation)?;
        let source = unlock(key, &self.pin);
        let target = formula::activation(&Secret::new(*self.secret), &self.content);
        judge_record(hsm, masters, key)?;
        judge_pin(hsm, masters, key, &source)?;
        let w_pin = w_pin(hsm, masters, key)?;
        let current = masters.current(hsm, MasterSet::Sealing)?;
        let (from, to) = ((key.masters, &*source), (current, &*target));
        let wrapped = rewrap(hsm, masters, from, &w_pin, to)?;
        Ok(formula::versioned(current, &wrapped))
    }
}

/// [`Vault::extend`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Extend {
    key: SealedKey,
    from: Opening,
    #[serde(with = "octets")]
    content: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

impl Call for Extend {
    type Answer = Vec<u8>;
    type Error = VaultError;
    const SPEED: Speed = Speed::Fast;

    fn at_once(&self, _: &Tools) -> Option<Result<Vec<u8>, VaultError>> {
        let SealedKey {
            credential,
            generation,
            ..
        } = &self.key;
        let bound = |octets: &[u8]| match Approved::read(octets, credential, *generation)? {
            Approved::Exactly(_) => Ok(()),
            Approved::Within(_) => Err(VaultError::NotBound),
        };
        let bound = bound(&self.from.content).and_then(|()| bound(&self.content));
        bound.err().map(Err)
    }

    fn run(&self, session: &mut Session, tools: &Tools) -> Result<Vec<u8>, VaultError> {
        let (hsm, masters) = (session.hsm.as_mut(), &tools.masters);
        let source = self.from.unlock();
        let target = formula::activation(&Secret::new(*self.secret), &self.content);
        judge_record(hsm, masters, &self.key)?;
        let (version, wrapped) = formula::version(&self.from.wrapped).ok_or(VaultError::Damaged)?;
        let current = masters.current(hsm, MasterSet::Sealing)?;
        let (from, to) = ((version, &*source), (current, &*target));
        let wrapped = rewrap(hsm, masters, from, wrapped, to)?;
        Ok(formula::versioned(current, &wrapped))
    }
}

/// A pair that was made, wrapped, opened again and tried.
pub(super) struct Sealed {
    spki: Vec<u8>,
    request: Vec<u8>,
    key_blob: Vec<u8>,
    w_pin: Vec<u8>,
}

/// Makes a pair and its DEK, wraps both, opens what was wrapped as a signer would, and has it sign its request: whether what signs then goes
/// with the public key that was made is tried with it.
pub(super) fn seal_new(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    version: u32,
    algorithm: KeyAlgorithm,
    unlock: &[u8; 32],
    subject: &[u8],
) -> Result<Sealed, VaultError> {
    let mut scratch = Scratch::new(hsm);
    let mut spki = Vec::new();
    let private = scratch.key(|hsm| {
        let (key, public) = hsm.generate_pair(algorithm)?;
        spki = public;
        Ok(key)
    })?;
    let dek = scratch.key(|hsm| hsm.generate_dek())?;
    let key_blob = scratch.hsm().wrap(dek, private)?;
    let master = masters.find(scratch.hsm(), MasterKey::SealDerive, version)?;
    let kek = scratch.key(|hsm| masters.derive(hsm, master, unlock))?;
    let w_pin = scratch.hsm().wrap(kek, dek)?;

    let dek = scratch.key(|hsm| hsm.unwrap_dek(kek, &w_pin, false))?;
    let opened = scratch.key(|hsm| hsm.unwrap_private(dek, &key_blob, algorithm))?;
    let request = request::made(scratch.hsm(), opened, algorithm, &spki, subject)?;
    Ok(Sealed {
        spki,
        request,
        key_blob,
        w_pin,
    })
}

/// From one key-encryption key to another, each under its version of the master keys. The DEK is extractable here, and
/// only here.
pub(super) fn rewrap(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    (from, source): (u32, &[u8; 32]),
    wrapped: &[u8],
    (to, target): (u32, &[u8; 32]),
) -> Result<Vec<u8>, VaultError> {
    let old = masters.find(hsm, MasterKey::SealDerive, from);
    let old = old.map_err(damaged)?;
    let new = masters.find(hsm, MasterKey::SealDerive, to)?;
    let mut scratch = Scratch::new(hsm);
    let kek = scratch.key(|hsm| masters.derive(hsm, old, source))?;
    let dek = scratch
        .key(|hsm| hsm.unwrap_dek(kek, wrapped, true))
        .map_err(damaged)?;
    let kek = scratch.key(|hsm| masters.derive(hsm, new, target))?;
    Ok(scratch.hsm().wrap(kek, dek)?)
}

/// Seals the DEK of a key under another PIN, and today's master keys, into `next`, which has that PIN's salt and cost.
pub(super) fn reseal(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    from: (u32, &[u8; 32]),
    wrapped: &[u8],
    target: &[u8; 32],
    next: &mut SealedKey,
) -> Result<(), VaultError> {
    let current = masters.current(hsm, MasterSet::Sealing)?;
    let w_pin = rewrap(hsm, masters, from, wrapped, (current, target))?;
    next.w_pin = masters.seal(hsm, &place(&row_of(next), W_PIN), &w_pin)?;
    next.pin_check = masters
        .mac(hsm, MasterKey::PinCheck, current, &[target])?
        .to_vec();
    next.record_mac = masters
        .mac(hsm, MasterKey::Record, current, &[&next.record])?
        .to_vec();
    next.masters = current;
    Ok(())
}

/// The DEK as the PIN wraps it.
pub(super) fn w_pin(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let row = row_of(key);
    let sealed = masters.unseal(hsm, &place(&row, W_PIN), &key.w_pin);
    sealed.map_err(damaged)
}

/// Before anything is unwrapped: an HSM that fails to unwrap must not count as a wrong PIN. After the record, which says what a PIN
/// is judged by: what was changed there must not count either.
pub(super) fn judge_pin(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
    unlock: &[u8; 32],
) -> Result<(), VaultError> {
    let check = masters.mac(hsm, MasterKey::PinCheck, key.masters, &[unlock]);
    if bool::from(check.map_err(damaged)?.ct_eq(&key.pin_check)) {
        Ok(())
    } else {
        Err(VaultError::WrongPin)
    }
}

/// Identity, certificate and status are what they were when they were recorded.
pub(super) fn judge_record(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
) -> Result<(), VaultError> {
    let genuine = masters.is_genuine(hsm, key.masters, &key.record, &key.record_mac);
    match genuine.map_err(damaged)? {
        true => Ok(()),
        false => Err(VaultError::Damaged),
    }
}

/// The wrapped private key of a sealed key.
pub(super) fn key_blob(
    hsm: &mut dyn Hsm,
    masters: &Masters,
    key: &SealedKey,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let row = row_of(key);
    let sealed = masters.unseal(hsm, &place(&row, KEY_BLOB), &key.key_blob);
    sealed.map_err(damaged)
}

/// A refusal of what came out of the store means that it was changed.
pub(super) fn damaged(error: HsmError) -> VaultError {
    match error {
        HsmError::Refused(_) => VaultError::Damaged,
        other => VaultError::Hsm(other),
    }
}

pub(super) fn key_row(credential: &str, generation: u32) -> String {
    format!("{credential}/{generation}")
}

pub(super) fn row_of(key: &SealedKey) -> String {
    key_row(&key.credential, key.generation)
}

pub(super) fn place<'a>(row: &'a str, field: &'a str) -> Place<'a> {
    Place {
        table: TABLE,
        row,
        field,
    }
}
