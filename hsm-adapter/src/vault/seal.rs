//! Sealing: a new key under a PIN, and its DEK from one key-encryption key to another.

use subtle::ConstantTimeEq;

use super::{
    Activation, MacKey, Pin, Place, SealedKey, Vault, formula,
    master::{self, MasterKey, VERSION},
    scratch::Scratch,
};
use crate::{
    Digest, DigestAlgorithm, Hsm, HsmError, KeyAlgorithm, Scheme, Secret, VaultError, pool::Speed,
    verify,
};

/// Table and columns of a sealed key, for its additional authenticated data.
const TABLE: &str = "credential";
const KEY_BLOB: &str = "key_blob";
const W_PIN: &str = "w_pin";
const W_PUK: &str = "w_puk";

impl Vault {
    /// Makes a key pair in the HSM, tests it, and seals it under the PIN. The key is extractable only until it is wrapped, and
    /// what is given out was opened again and has signed. Record and its MAC are left empty: [`Self::mac`] makes it when
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
    ) -> Result<SealedKey, VaultError> {
        let mut key = SealedKey {
            credential: credential.to_owned(),
            generation,
            algorithm,
            spki: Vec::new(),
            key_blob: Vec::new(),
            w_pin: Vec::new(),
            pin_check: Vec::new(),
            salt: salt()?,
            cost: self.stretcher.cost(),
            masters: VERSION,
            record: Vec::new(),
            record_mac: Vec::new(),
        };
        let unlock = self.unlock(&key, pin).await?;
        self.pool
            .run(Speed::Slow, move |session| {
                let hsm = session.hsm.as_mut();
                let sealed = seal_new(hsm, algorithm, &unlock)?;
                key.spki = sealed.spki;
                key.key_blob =
                    master::seal_value(hsm, &place(&key_row(&key), KEY_BLOB), &sealed.key_blob)?;
                key.w_pin = master::seal_value(hsm, &place(&key_row(&key), W_PIN), &sealed.w_pin)?;
                key.pin_check = master::mac(hsm, MacKey::PinCheck, VERSION, &[&*unlock])?.to_vec();
                Ok(key.clone())
            })
            .await
    }

    /// Judges the PIN and re-wraps the DEK under secret and content: the wrapped DEK of a new [`Activation`].
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
        formula::content_for(content, &key.credential, key.generation)?;
        let unlock = self.unlock(key, pin).await?;
        let target = formula::activation(secret, content);
        let key = key.clone();
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                judge_record(hsm, &key)?;
                judge_pin(hsm, &key, &unlock)?;
                let w_pin = w_pin(hsm, &key)?;
                rewrap(hsm, key.masters, &unlock, &w_pin, &target)
            })
            .await
    }

    /// Re-wraps the DEK of a live activation under another content and secret; the old one stays as it is.
    ///
    /// # Errors
    /// [`VaultError::NotBound`] when either content is of another key, [`VaultError::Damaged`] when the activation does not
    /// open it.
    pub async fn extend(
        &self,
        key: &SealedKey,
        from: &Activation,
        content: &[u8],
        secret: &Secret,
    ) -> Result<Vec<u8>, VaultError> {
        formula::content_for(&from.content, &key.credential, key.generation)?;
        formula::content_for(content, &key.credential, key.generation)?;
        let source = formula::activation(&from.secret, &from.content);
        let target = formula::activation(secret, content);
        let (key, wrapped) = (key.clone(), from.wrapped.clone());
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                judge_record(hsm, &key)?;
                rewrap(hsm, key.masters, &source, &wrapped, &target)
            })
            .await
    }

    /// U("pin", PIN) of a key. Never inside a pool job: it takes longer than a signature.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] for a salt or cost that no key was sealed with.
    pub(super) async fn unlock(
        &self,
        key: &SealedKey,
        pin: &Pin,
    ) -> Result<zeroize::Zeroizing<[u8; 32]>, VaultError> {
        let stretched = self
            .stretcher
            .stretch(pin.0.as_bytes(), &key.salt, key.cost);
        let stretched = stretched.await.map_err(damaged)?;
        Ok(formula::unlock(
            "pin",
            &key.credential,
            key.generation,
            &stretched,
        ))
    }
}

/// A pair that was made, wrapped, opened again and tried.
pub(super) struct NewKey {
    spki: Vec<u8>,
    key_blob: Vec<u8>,
    w_pin: Vec<u8>,
}

/// Makes a pair and its DEK, wraps both, opens what was wrapped as a signer would, and tries whether what signs then goes
/// with the public key that was made.
pub(super) fn seal_new(
    hsm: &mut dyn Hsm,
    algorithm: KeyAlgorithm,
    unlock: &[u8; 32],
) -> Result<NewKey, VaultError> {
    let mut scratch = Scratch::new(hsm);
    let mut spki = Vec::new();
    let private = scratch.key(|hsm| {
        let (key, public) = hsm.generate_pair(algorithm)?;
        spki = public;
        Ok(key)
    })?;
    let dek = scratch.key(|hsm| hsm.generate_dek())?;
    let key_blob = scratch.hsm().wrap(dek, private)?;
    let master = MasterKey::SealDerive.find(scratch.hsm(), VERSION)?;
    let kek = scratch.key(|hsm| hsm.derive(master, unlock))?;
    let w_pin = scratch.hsm().wrap(kek, dek)?;

    let dek = scratch.key(|hsm| hsm.unwrap_dek(kek, &w_pin, false))?;
    let opened = scratch.key(|hsm| hsm.unwrap_private(dek, &key_blob, algorithm))?;
    let (scheme, digest) = trial(algorithm);
    verify::signed(scratch.hsm(), opened, algorithm, &spki, scheme, &digest)?;
    Ok(NewKey {
        spki,
        key_blob,
        w_pin,
    })
}

/// What a new key signs to be tried.
fn trial(algorithm: KeyAlgorithm) -> (Scheme, Digest) {
    let digest = DigestAlgorithm::Sha256;
    let scheme = if algorithm.is_rsa() {
        Scheme::RsaPkcs1(digest)
    } else {
        Scheme::Ecdsa(digest)
    };
    (scheme, Digest::zero(digest))
}

/// From one key-encryption key to another. The DEK is extractable here, and only here.
fn rewrap(
    hsm: &mut dyn Hsm,
    masters: u32,
    source: &[u8; 32],
    wrapped: &[u8],
    target: &[u8; 32],
) -> Result<Vec<u8>, VaultError> {
    rewrap_under(hsm, (masters, source), wrapped, (masters, target))
}

/// The same between versions of the master keys.
fn rewrap_under(
    hsm: &mut dyn Hsm,
    (from, source): (u32, &[u8; 32]),
    wrapped: &[u8],
    (to, target): (u32, &[u8; 32]),
) -> Result<Vec<u8>, VaultError> {
    let old = MasterKey::SealDerive.find(hsm, from).map_err(damaged)?;
    let new = MasterKey::SealDerive.find(hsm, to).map_err(damaged)?;
    let mut scratch = Scratch::new(hsm);
    let kek = scratch.key(|hsm| hsm.derive(old, source))?;
    let dek = scratch
        .key(|hsm| hsm.unwrap_dek(kek, wrapped, true))
        .map_err(damaged)?;
    let kek = scratch.key(|hsm| hsm.derive(new, target))?;
    Ok(scratch.hsm().wrap(kek, dek)?)
}

/// Seals the DEK of a key under another PIN, and today's master keys, into `next`, which has that PIN's salt and cost.
pub(super) fn reseal(
    hsm: &mut dyn Hsm,
    masters: u32,
    source: &[u8; 32],
    wrapped: &[u8],
    target: &[u8; 32],
    next: &mut SealedKey,
) -> Result<(), VaultError> {
    let w_pin = rewrap_under(hsm, (masters, source), wrapped, (VERSION, target))?;
    next.w_pin = master::seal_value(hsm, &place(&key_row(next), W_PIN), &w_pin)?;
    next.pin_check = master::mac(hsm, MacKey::PinCheck, VERSION, &[target])?.to_vec();
    next.record_mac = master::mac(hsm, MacKey::Record, VERSION, &[&next.record])?.to_vec();
    next.masters = VERSION;
    Ok(())
}

/// The DEK wrapped under a PUK, sealed for the store.
pub(super) fn wrap_for_puk(
    hsm: &mut dyn Hsm,
    key: &SealedKey,
    source: &[u8; 32],
    w_pin: &[u8],
    target: &[u8; 32],
) -> Result<Vec<u8>, VaultError> {
    let wrapped = rewrap_under(hsm, (key.masters, source), w_pin, (VERSION, target))?;
    Ok(master::seal_value(
        hsm,
        &place(&key_row(key), W_PUK),
        &wrapped,
    )?)
}

/// The DEK as the PIN wraps it.
pub(super) fn w_pin(
    hsm: &mut dyn Hsm,
    key: &SealedKey,
) -> Result<zeroize::Zeroizing<Vec<u8>>, VaultError> {
    master::unseal_value(hsm, &place(&key_row(key), W_PIN), &key.w_pin).map_err(damaged)
}

/// The DEK as the PUK wraps it.
pub(super) fn w_puk(
    hsm: &mut dyn Hsm,
    key: &SealedKey,
    sealed: &[u8],
) -> Result<zeroize::Zeroizing<Vec<u8>>, VaultError> {
    master::unseal_value(hsm, &place(&key_row(key), W_PUK), sealed).map_err(damaged)
}

/// Before anything is unwrapped: an HSM that fails to unwrap must not count as a wrong PIN. After the record, which says what a PIN
/// is judged by: what was changed there must not count either.
pub(super) fn judge_pin(
    hsm: &mut dyn Hsm,
    key: &SealedKey,
    unlock: &[u8; 32],
) -> Result<(), VaultError> {
    let check = master::mac(hsm, MacKey::PinCheck, key.masters, &[unlock]).map_err(damaged)?;
    if bool::from(check.ct_eq(&key.pin_check)) {
        Ok(())
    } else {
        Err(VaultError::WrongPin)
    }
}

/// Identity, certificate and status are what they were when they were recorded.
pub(super) fn judge_record(hsm: &mut dyn Hsm, key: &SealedKey) -> Result<(), VaultError> {
    let mac = master::mac(hsm, MacKey::Record, key.masters, &[&key.record]).map_err(damaged)?;
    if bool::from(mac.ct_eq(&key.record_mac)) {
        Ok(())
    } else {
        Err(VaultError::Damaged)
    }
}

/// The wrapped private key of a sealed key.
pub(super) fn key_blob(
    hsm: &mut dyn Hsm,
    key: &SealedKey,
) -> Result<zeroize::Zeroizing<Vec<u8>>, VaultError> {
    master::unseal_value(hsm, &place(&key_row(key), KEY_BLOB), &key.key_blob).map_err(damaged)
}

/// A refusal of what came out of the store means that it was changed.
pub(super) fn damaged(error: HsmError) -> VaultError {
    match error {
        HsmError::Refused(_) => VaultError::Damaged,
        other => VaultError::Hsm(other),
    }
}

fn key_row(key: &SealedKey) -> String {
    format!("{}/{}", key.credential, key.generation)
}

fn place<'a>(row: &'a str, field: &'a str) -> Place<'a> {
    Place {
        table: TABLE,
        row,
        field,
    }
}

pub(super) fn salt() -> Result<Vec<u8>, HsmError> {
    let mut salt = vec![0; 16];
    getrandom::fill(&mut salt).map_err(|error| HsmError::Unavailable(error.to_string()))?;
    Ok(salt)
}
