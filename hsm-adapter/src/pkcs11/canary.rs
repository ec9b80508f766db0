//! Whether the token still works: neither session information nor any single return value says so.

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
};
use cryptoki_sys::{CKA_EC_POINT, CKA_SENSITIVE};

use super::{lock, mechanism, public, session::Pkcs11Session, template};
use crate::{Digest, DigestAlgorithm, Key, KeyAlgorithm, Scheme, verify};

impl Pkcs11Session {
    /// Signs with a throw-away key and verifies, and looks whether the token's own objects are still there (session keys
    /// work on without them).
    pub(super) fn canary(&mut self) -> Result<(), String> {
        let digest = Digest::zero(DigestAlgorithm::Sha256);
        let (public, private) = self
            .session
            .generate_pair(
                &mechanism::pair_generation(KeyAlgorithm::P256),
                &template::public(KeyAlgorithm::P256, None),
                &template::private(KeyAlgorithm::P256, None, false),
            )
            .map_err(|failure| failure.to_string())?;
        let signed = self.session.value(public, CKA_EC_POINT).and_then(|point| {
            self.session.sign_init(&Mechanism::Ecdsa, private)?;
            Ok((point, self.session.sign(digest.octets())?))
        });
        for key in [public, private] {
            self.session
                .destroy(key)
                .map_err(|failure| failure.to_string())?;
        }
        let (point, signature) = signed.map_err(|failure| failure.to_string())?;
        let spki = public::ec_spki(KeyAlgorithm::P256, &point);
        let signature = public::ecdsa_to_der(&signature);
        let (Ok(spki), Ok(signature)) = (spki, signature) else {
            return Err("the canary's signature is malformed".to_owned());
        };
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        if verify::in_software(KeyAlgorithm::P256, &spki, scheme, &digest, &signature) != Some(true)
        {
            return Err("the canary's signature does not verify".to_owned());
        }
        self.own_objects()
    }

    fn own_objects(&mut self) -> Result<(), String> {
        let known: Vec<(String, ObjectClass, Option<Key>)> = {
            let handles = lock(&self.login.handles);
            let masters = handles.masters.iter();
            let pairs = handles.pairs.iter();
            masters
                .map(|(label, key)| (label.clone(), ObjectClass::SECRET_KEY, *key))
                .chain(pairs.map(|(label, pair)| {
                    let key = pair.as_ref().map(|(key, ..)| *key);
                    (label.clone(), ObjectClass::PRIVATE_KEY, key)
                }))
                .collect()
        };
        for (label, class, key) in known {
            let there = match key {
                Some(Key(key)) => self.session.flags(key, [CKA_SENSITIVE]).map(|_| true),
                None => self
                    .session
                    .find(&named(class, &label))
                    .map(|found| !found.is_empty()),
            };
            // A master key alone may have been destroyed after a rotation.
            let destroyed = |session: &mut Self| {
                let labels = session.list_masters().unwrap_or_default();
                class == ObjectClass::SECRET_KEY
                    && !labels.contains(&label)
                    && lock(&session.login.handles).keep_masters(&labels)
            };
            if !there.unwrap_or(false) && !destroyed(self) {
                return Err(format!("'{label}' is gone from the token"));
            }
        }
        Ok(())
    }
}

/// What finds the token's own object of this class and label.
pub(super) fn named(class: ObjectClass, label: &str) -> [Attribute; 3] {
    [
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Label(label.into()),
    ]
}
