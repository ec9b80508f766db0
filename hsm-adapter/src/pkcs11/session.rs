//! One logged-in session of a PKCS#11 token.

use std::sync::Arc;

use cryptoki::{
    mechanism::{Mechanism, aead::GcmParams, ekdf::AesCbcDeriveParams},
    object::{Attribute, ObjectClass},
};
use cryptoki_sys::{
    CKA_CHECK_VALUE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_EXTRACTABLE, CKA_LABEL, CKA_MODULUS,
    CKA_PUBLIC_EXPONENT, CKA_SENSITIVE,
};
use zeroize::Zeroizing;

use super::{
    Login,
    canary::named,
    code::{self, Scope},
    lock, mechanism, public,
    raw::{self, Failure},
    template,
};
use crate::{Digest, Hsm, HsmError, Key, KeyAlgorithm, KeyUse, Scheme};

/// GCM as NIST SP 800-38D recommends it: a tag of 128 bits and a nonce of 96, drawn at random, which is good for 2^32
/// values under one key (8.3): more than a provider seals between two rotations.
const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

pub(super) struct Pkcs11Session {
    pub(super) session: raw::Session,
    // Last: the session is closed before its log-in may end.
    pub(super) login: Arc<Login>,
}

impl Pkcs11Session {
    pub(super) fn new(session: raw::Session, login: Arc<Login>) -> Self {
        Self { session, login }
    }

    /// What a failed call means to the caller.
    fn fault(&mut self, failure: Failure) -> HsmError {
        let text = failure.to_string();
        match code::scope(failure.code) {
            Scope::Input => HsmError::Refused(text),
            Scope::Capability => HsmError::Unfit(text),
            Scope::Session => HsmError::Unavailable(text),
            Scope::Key => HsmError::Missing(text),
            Scope::Login => HsmError::PinRefused(self.login.slot.clone()),
            // A changed blob is GENERAL_ERROR on one token and DEVICE_ERROR on the other; so is a lost HSM.
            Scope::Slot => match self.canary() {
                Ok(()) => HsmError::Refused(text),
                Err(reason) => HsmError::Unavailable(format!("{text}; {reason}")),
            },
        }
    }

    fn checked<T>(&mut self, result: Result<T, Failure>) -> Result<T, HsmError> {
        result.map_err(|failure| self.fault(failure))
    }

    /// The same for a call with a key that may be one of the token's own.
    fn checked_with<T>(&mut self, key: Key, result: Result<T, Failure>) -> Result<T, HsmError> {
        let result = self.checked(result);
        if matches!(result, Err(HsmError::Missing(_))) {
            lock(&self.login.handles).forget(key);
        }
        result
    }

    /// The only object of this class and label.
    fn find_one(&mut self, class: ObjectClass, label: &str) -> Result<Option<u64>, HsmError> {
        let found = self.session.find(&named(class, label));
        match self.checked(found)?.as_slice() {
            [] => Ok(None),
            [key] => Ok(Some(*key)),
            _ => Err(HsmError::Unfit(format!(
                "more than one object is labelled '{label}'"
            ))),
        }
    }

    /// Labels of the token's own secret keys.
    pub(super) fn list_masters(&mut self) -> Result<Vec<String>, Failure> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Token(true),
        ];
        let found = self.session.find(&template)?;
        found
            .into_iter()
            .map(|key| {
                let label = self.session.value(key, CKA_LABEL)?;
                Ok(String::from_utf8_lossy(&label).into_owned())
            })
            .collect()
    }

    /// Refuses an object that is not what was asked for: some tokens ignore templates.
    fn confirmed(&mut self, key: u64, extractable: bool) -> Result<Key, HsmError> {
        let flags = self.session.flags(key, [CKA_SENSITIVE, CKA_EXTRACTABLE]);
        let refusal = match self.checked(flags) {
            Ok(found) if found == [Some(true), Some(extractable)] => return Ok(Key(key)),
            Ok(_) => HsmError::Unfit("a new key has not the attributes asked for".to_owned()),
            Err(error) => error,
        };
        self.discard(key);
        Err(refusal)
    }

    fn discard(&mut self, key: u64) {
        if let Err(failure) = self.session.destroy(key) {
            tracing::warn!(%failure, "a session object stays behind until its session ends");
        }
    }

    fn public_key(&mut self, algorithm: KeyAlgorithm, public: u64) -> Result<Vec<u8>, HsmError> {
        let spki = if algorithm.is_rsa() {
            let modulus = self.session.value(public, CKA_MODULUS);
            let modulus = self.checked(modulus)?;
            let exponent = self.session.value(public, CKA_PUBLIC_EXPONENT);
            public::rsa_spki(&modulus, &self.checked(exponent)?)
        } else {
            let point = self.session.value(public, CKA_EC_POINT);
            public::ec_spki(algorithm, &self.checked(point)?)
        };
        spki.map_err(|error| HsmError::Unfit(format!("a public key that cannot be read: {error}")))
    }
}

impl Hsm for Pkcs11Session {
    fn serial(&self) -> &str {
        &self.login.serial
    }

    fn master(&mut self, label: &str, purpose: KeyUse) -> Result<Option<Key>, HsmError> {
        let known = lock(&self.login.handles).masters.get(label).copied();
        if let Some(Some(key)) = known {
            return Ok(Some(key));
        }
        let Some(key) = self.find_one(ObjectClass::SECRET_KEY, label)? else {
            if known.is_some() {
                self.master_labels()?;
            }
            return Ok(None);
        };
        let wanted = template::master_flags(purpose);
        let flags = self.session.flags(key, wanted.map(|(kind, _)| kind));
        if self.checked(flags)? != wanted.map(|(_, value)| Some(value)) {
            return Err(HsmError::Unfit(format!(
                "'{label}' may leave the token or do more than its purpose"
            )));
        }
        lock(&self.login.handles)
            .masters
            .insert(label.to_owned(), Some(Key(key)));
        Ok(Some(Key(key)))
    }

    fn create_master(&mut self, label: &str, purpose: KeyUse) -> Result<Key, HsmError> {
        let template = template::master(label, purpose);
        let made = self
            .session
            .generate_key(&mechanism::generation(purpose), &template);
        let key = self.checked(made)?;
        self.confirmed(key, false)
    }

    fn destroy_master(&mut self, label: &str) -> Result<bool, HsmError> {
        let found = self.find_one(ObjectClass::SECRET_KEY, label)?;
        if let Some(key) = found {
            let destroyed = self.session.destroy(key);
            self.checked(destroyed)?;
        }
        lock(&self.login.handles).masters.remove(label);
        Ok(found.is_some())
    }

    fn master_labels(&mut self) -> Result<Vec<String>, HsmError> {
        let listed = self.list_masters();
        let labels = self.checked(listed)?;
        if lock(&self.login.handles).keep_masters(&labels) {
            Ok(labels)
        } else {
            Err(HsmError::Unavailable(
                "the token's own objects are gone".to_owned(),
            ))
        }
    }

    fn token_pair(
        &mut self,
        label: &str,
    ) -> Result<Option<(Key, KeyAlgorithm, Vec<u8>)>, HsmError> {
        let known = lock(&self.login.handles).pairs.get(label).cloned();
        if let Some(Some(pair)) = known {
            return Ok(Some(pair));
        }
        let Some(private) = self.find_one(ObjectClass::PRIVATE_KEY, label)? else {
            if known.is_some() {
                // What was there is not for the operator to make: the token is gone.
                return Err(HsmError::Unavailable(format!(
                    "'{label}' is gone from the token"
                )));
            }
            return Ok(None);
        };
        let flags = self
            .session
            .flags(private, [CKA_SENSITIVE, CKA_EXTRACTABLE]);
        if self.checked(flags)? != [Some(true), Some(false)] {
            return Err(HsmError::Unfit(format!("'{label}' may leave the token")));
        }
        let public = self
            .find_one(ObjectClass::PUBLIC_KEY, label)?
            .ok_or_else(|| HsmError::Unfit(format!("'{label}' has no public key on the token")))?;
        let modulus = self.session.value(public, CKA_MODULUS);
        let algorithm = match modulus {
            Ok(modulus) => public::algorithm_of_modulus(&modulus),
            Err(_) => {
                let parameters = self.session.value(public, CKA_EC_PARAMS);
                public::algorithm_of_curve(&self.checked(parameters)?)
            }
        }
        .ok_or_else(|| HsmError::Unfit(format!("'{label}' is of no key type known here")))?;
        let pair = (Key(private), algorithm, self.public_key(algorithm, public)?);
        lock(&self.login.handles)
            .pairs
            .insert(label.to_owned(), Some(pair.clone()));
        Ok(Some(pair))
    }

    fn create_token_pair(
        &mut self,
        label: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Key, Vec<u8>), HsmError> {
        let made = self.session.generate_pair(
            &mechanism::pair_generation(algorithm),
            &template::public(algorithm, Some(label)),
            &template::private(algorithm, Some(label), false),
        );
        let (public, private) = self.checked(made)?;
        let key = self.confirmed(private, false)?;
        Ok((key, self.public_key(algorithm, public)?))
    }

    fn destroy_pair(&mut self, label: &str) -> Result<bool, HsmError> {
        let mut halves = Vec::new();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            halves.extend(self.find_one(class, label)?);
        }
        for half in &halves {
            let destroyed = self.session.destroy(*half);
            self.checked(destroyed)?;
        }
        lock(&self.login.handles).pairs.remove(label);
        Ok(!halves.is_empty())
    }

    fn throw_away(&mut self, purpose: KeyUse) -> Result<Key, HsmError> {
        let template = template::throw_away(purpose);
        let made = self
            .session
            .generate_key(&mechanism::generation(purpose), &template);
        let key = self.checked(made)?;
        self.confirmed(key, false)
    }

    fn check_value(&mut self, key: Key, purpose: KeyUse) -> Result<Option<[u8; 3]>, HsmError> {
        const ZEROS: &[u8; 16] = &[0; 16];
        let said = match purpose {
            // What the token keeps for an HMAC key is not the same on two of them.
            KeyUse::Mac => self.mac(key, ZEROS)?.to_vec(),
            KeyUse::Derive | KeyUse::Encrypt => {
                let kept = self.session.value(key.0, CKA_CHECK_VALUE);
                match kept {
                    Ok(value) if value.len() == 3 => value,
                    _ if purpose == KeyUse::Encrypt => {
                        let made = self.session.encrypt(&Mechanism::AesEcb, key.0, ZEROS);
                        self.checked_with(key, made)?
                    }
                    _ => return Ok(None),
                }
            }
        };
        Ok(said.first_chunk().copied())
    }

    fn attributes(&mut self, key: Key) -> Result<Vec<String>, HsmError> {
        let named = template::NAMED.map(|(kind, _)| kind);
        let flags = self.session.flags(key.0, named);
        let flags = self.checked_with(key, flags)?.into_iter();
        let named = flags.zip(template::NAMED);
        let held = named.filter(|(flag, _)| *flag == Some(true));
        Ok(held.map(|(_, (_, name))| name.to_owned()).collect())
    }

    fn count(&mut self, of_token: bool) -> Result<usize, HsmError> {
        let found = self.session.find(&[Attribute::Token(of_token)]);
        self.checked(found).map(|found| found.len())
    }

    fn generate_pair(&mut self, algorithm: KeyAlgorithm) -> Result<(Key, Vec<u8>), HsmError> {
        let made = self.session.generate_pair(
            &mechanism::pair_generation(algorithm),
            &template::public(algorithm, None),
            &template::private(algorithm, None, true),
        );
        let (public, private) = self.checked(made)?;
        let spki = self.public_key(algorithm, public);
        self.discard(public);
        let key = self.confirmed(private, true)?;
        match spki {
            Ok(spki) => Ok((key, spki)),
            Err(error) => {
                self.discard(private);
                Err(error)
            }
        }
    }

    fn generate_dek(&mut self) -> Result<Key, HsmError> {
        let made = self
            .session
            .generate_key(&Mechanism::AesKeyGen, &template::wrapping(true));
        let key = self.checked(made)?;
        self.confirmed(key, true)
    }

    fn derive(&mut self, master: Key, data: &[u8; 32]) -> Result<Key, HsmError> {
        let mechanism = Mechanism::AesCbcEncryptData(AesCbcDeriveParams::new([0; 16], data));
        let derived = self
            .session
            .derive(&mechanism, master.0, &template::wrapping(false));
        let key = self.checked_with(master, derived)?;
        self.confirmed(key, false)
    }

    fn wrap(&mut self, kek: Key, key: Key) -> Result<Vec<u8>, HsmError> {
        let mechanism = self.login.profile.wrap_mechanism;
        let wrapped = self.session.wrap(mechanism, kek.0, key.0);
        self.checked(wrapped)
    }

    fn unwrap_dek(&mut self, kek: Key, blob: &[u8], extractable: bool) -> Result<Key, HsmError> {
        let template = template::unwrapped_wrapping(extractable);
        let mechanism = self.login.profile.wrap_mechanism;
        let unwrapped = self.session.unwrap(mechanism, kek.0, blob, &template);
        let key = self.checked(unwrapped)?;
        self.confirmed(key, extractable)
    }

    fn unwrap_private(
        &mut self,
        dek: Key,
        blob: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Key, HsmError> {
        let template = template::private(algorithm, None, false);
        let mechanism = self.login.profile.wrap_mechanism;
        let unwrapped = self.session.unwrap(mechanism, dek.0, blob, &template);
        let key = self.checked(unwrapped)?;
        self.confirmed(key, false)
    }

    fn sign(
        &mut self,
        key: Key,
        algorithm: KeyAlgorithm,
        scheme: Scheme,
        digest: &Digest,
    ) -> Result<Vec<u8>, HsmError> {
        let (mechanism, data) = mechanism::signature(algorithm, scheme, digest)?;
        let ready = self.session.sign_init(&mechanism, key.0);
        self.checked_with(key, ready)?;
        let signature = match self.session.sign(&data) {
            // These codes leave open whether the token signed before it failed.
            Err(failure) if code::scope(failure.code) == Scope::Slot => {
                return Err(HsmError::OutcomeUnknown(failure.to_string()));
            }
            failed => self.checked_with(key, failed)?,
        };
        if algorithm.is_rsa() {
            return Ok(signature);
        }
        public::ecdsa_to_der(&signature)
            .map_err(|error| HsmError::OutcomeUnknown(format!("a malformed signature: {error}")))
    }

    fn verify(
        &mut self,
        spki: &[u8],
        scheme: Scheme,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<bool, HsmError> {
        let refused = |error: der::Error| HsmError::Refused(error.to_string());
        let (algorithm, value) = public::import(spki).map_err(refused)?;
        let (mechanism, data) = mechanism::signature(algorithm, scheme, digest)?;
        let signature = if algorithm.is_rsa() {
            signature.to_vec()
        } else {
            public::ecdsa_from_der(algorithm, signature).map_err(refused)?
        };
        let mut template = template::verifying(algorithm, None);
        template.extend(value);
        let imported = self.session.create(&template);
        let key = self.checked(imported)?;
        let verified = self.session.verify(&mechanism, key, &data, &signature);
        self.discard(key);
        match self.checked(verified) {
            Ok(()) => Ok(true),
            Err(HsmError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn mac(&mut self, key: Key, data: &[u8]) -> Result<[u8; 32], HsmError> {
        let ready = self.session.sign_init(&Mechanism::Sha256Hmac, key.0);
        self.checked_with(key, ready)?;
        let mac = self.session.sign(data);
        <[u8; 32]>::try_from(self.checked(mac)?)
            .map_err(|mac| HsmError::Unfit(format!("an HMAC of {} octets", mac.len())))
    }

    fn encrypt(&mut self, key: Key, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| HsmError::Unavailable(error.to_string()))?;
        let mut sealed = nonce.to_vec();
        let mechanism = gcm(&mut nonce, aad)?;
        let encrypted = self.session.encrypt(&mechanism, key.0, plain);
        sealed.extend(self.checked_with(key, encrypted)?);
        Ok(sealed)
    }

    fn decrypt(
        &mut self,
        key: Key,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE>() else {
            return Err(HsmError::Refused("a sealed value is too short".to_owned()));
        };
        let mut nonce = *nonce;
        let mechanism = gcm(&mut nonce, aad)?;
        let plain = self.session.decrypt(&mechanism, key.0, sealed);
        self.checked_with(key, plain)
    }

    fn random(&mut self, octets: &mut [u8]) -> Result<(), HsmError> {
        let filled = self.session.random(octets);
        self.checked(filled)
    }

    fn destroy(&mut self, key: Key) -> Result<(), HsmError> {
        let destroyed = self.session.destroy(key.0);
        self.checked(destroyed)
    }

    fn health(&mut self) -> Result<(), HsmError> {
        let told = self.login.module.library().token(self.login.slot_id);
        if told.is_ok_and(|token| token.failed) {
            return Err(HsmError::Tampered(self.login.slot.clone()));
        }
        self.canary().map_err(HsmError::Unavailable)
    }
}

fn gcm<'a>(nonce: &'a mut [u8], aad: &'a [u8]) -> Result<Mechanism<'a>, HsmError> {
    GcmParams::new(nonce, aad, TAG_BITS.into())
        .map(Mechanism::AesGcm)
        .map_err(|error| HsmError::Refused(error.to_string()))
}
