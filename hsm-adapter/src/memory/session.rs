//! One session of the device in memory.

use zeroize::Zeroizing;

use super::{Material, MemoryToken, State};
use crate::{Digest, DigestAlgorithm, Hsm, HsmError, Key, KeyAlgorithm, KeyUse, Scheme, verify};

/// An object of the device.
#[derive(Clone)]
pub(super) struct Object {
    material: Material,
    role: Role,
    extractable: bool,
    /// The session it dies with; `None` for an object of the token.
    pub(super) session: Option<u64>,
    label: Option<String>,
    spki: Vec<u8>,
}

/// The one thing an object may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Master(KeyUse),
    Wrap,
    Sign(KeyAlgorithm),
}

pub(super) struct MemorySession {
    token: MemoryToken,
    id: u64,
}

impl MemorySession {
    pub(super) fn new(token: MemoryToken, id: u64) -> Self {
        Self { token, id }
    }

    fn call<T>(
        &mut self,
        call: &'static str,
        act: impl FnOnce(&mut State, u64) -> Result<T, HsmError>,
    ) -> Result<T, HsmError> {
        let mut state = self.token.enter(call, Some(self.id))?;
        act(&mut state, self.id)
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        let mut state = self.token.state();
        state
            .objects
            .retain(|_, object| object.session != Some(self.id));
    }
}

impl State {
    fn add(&mut self, object: Object) -> Key {
        let handle = self.next();
        self.objects.insert(handle, object);
        Key(handle)
    }

    fn find(&self, key: Key) -> Result<&Object, HsmError> {
        self.objects
            .get(&key.0)
            .ok_or_else(|| HsmError::Missing(format!("handle {}", key.0)))
    }

    /// A key for what it may do.
    fn able(&self, key: Key, role: Role) -> Result<&Material, HsmError> {
        let object = self.find(key)?;
        if object.role == role {
            Ok(&object.material)
        } else {
            Err(HsmError::Refused(format!(
                "a key that may {:?} may not {role:?}",
                object.role
            )))
        }
    }

    fn labelled(&self, label: &str) -> Option<(Key, &Object)> {
        self.objects
            .iter()
            .find(|(_, object)| object.label.as_deref() == Some(label))
            .map(|(handle, object)| (Key(*handle), object))
    }
}

fn temporary(material: Material, role: Role, extractable: bool, session: u64) -> Object {
    Object {
        material,
        role,
        extractable,
        session: Some(session),
        label: None,
        spki: Vec::new(),
    }
}

impl Hsm for MemorySession {
    fn serial(&self) -> &str {
        &self.token.name
    }

    fn master(&mut self, label: &str, purpose: KeyUse) -> Result<Option<Key>, HsmError> {
        self.call("master", |state, _| match state.labelled(label) {
            None => Ok(None),
            Some((key, object)) if object.role == Role::Master(purpose) => Ok(Some(key)),
            Some(_) => Err(HsmError::Unfit(format!(
                "'{label}' may leave the token or do more than its purpose"
            ))),
        })
    }

    fn create_master(&mut self, label: &str, purpose: KeyUse) -> Result<Key, HsmError> {
        self.call("create_master", |state, _| {
            Ok(state.add(Object {
                material: Material::random()?,
                role: Role::Master(purpose),
                extractable: false,
                session: None,
                label: Some(label.to_owned()),
                spki: Vec::new(),
            }))
        })
    }

    fn destroy_master(&mut self, label: &str) -> Result<bool, HsmError> {
        self.call("destroy_master", |state, _| {
            let Some((key, _)) = state.labelled(label) else {
                return Ok(false);
            };
            Ok(state.objects.remove(&key.0).is_some())
        })
    }

    fn master_labels(&mut self) -> Result<Vec<String>, HsmError> {
        self.call("master_labels", |state, _| {
            let masters = state.objects.values();
            let masters = masters.filter(|object| matches!(object.role, Role::Master(_)));
            Ok(masters.filter_map(|object| object.label.clone()).collect())
        })
    }

    fn token_pair(
        &mut self,
        label: &str,
    ) -> Result<Option<(Key, KeyAlgorithm, Vec<u8>)>, HsmError> {
        self.call("token_pair", |state, _| match state.labelled(label) {
            None => Ok(None),
            Some((key, object)) => match object.role {
                Role::Sign(algorithm) => Ok(Some((key, algorithm, object.spki.clone()))),
                _ => Err(HsmError::Unfit(format!("'{label}' is no signing key"))),
            },
        })
    }

    fn create_token_pair(
        &mut self,
        label: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Key, Vec<u8>), HsmError> {
        self.call("create_token_pair", |state, _| {
            let (material, spki) = Material::pair(algorithm)?;
            let key = state.add(Object {
                material,
                role: Role::Sign(algorithm),
                extractable: false,
                session: None,
                label: Some(label.to_owned()),
                spki: spki.clone(),
            });
            Ok((key, spki))
        })
    }

    fn destroy_pair(&mut self, label: &str) -> Result<bool, HsmError> {
        self.call("destroy_pair", |state, _| {
            let Some((key, _)) = state.labelled(label) else {
                return Ok(false);
            };
            Ok(state.objects.remove(&key.0).is_some())
        })
    }

    fn throw_away(&mut self, purpose: KeyUse) -> Result<Key, HsmError> {
        self.call("throw_away", |state, session| {
            let role = Role::Master(purpose);
            Ok(state.add(temporary(Material::random()?, role, false, session)))
        })
    }

    fn check_value(&mut self, key: Key, purpose: KeyUse) -> Result<Option<[u8; 3]>, HsmError> {
        self.call("check_value", |state, _| {
            let material = state.able(key, Role::Master(purpose))?;
            material.check_value(purpose).map(Some)
        })
    }

    fn attributes(&mut self, key: Key) -> Result<Vec<String>, HsmError> {
        self.call("attributes", |state, _| {
            let object = state.find(key)?;
            let of_session = object.session.is_some();
            let mut names = vec!["SENSITIVE"];
            names.extend((!of_session).then_some("TOKEN"));
            names.extend(object.extractable.then_some("EXTRACTABLE"));
            Ok(names.into_iter().map(str::to_owned).collect())
        })
    }

    fn count(&mut self, of_token: bool) -> Result<usize, HsmError> {
        self.call("count", |state, _| {
            let objects = state.objects.values();
            Ok(objects
                .filter(|object| object.session.is_none() == of_token)
                .count())
        })
    }

    fn generate_pair(&mut self, algorithm: KeyAlgorithm) -> Result<(Key, Vec<u8>), HsmError> {
        self.call("generate_pair", |state, session| {
            let repeated = state.pair.clone().filter(|_| state.repeats);
            let (material, spki) = match repeated {
                Some(pair) => pair,
                None => Material::pair(algorithm)?,
            };
            state.pair = Some((material.clone(), spki.clone()));
            let key = state.add(temporary(material, Role::Sign(algorithm), true, session));
            Ok((key, spki))
        })
    }

    fn generate_dek(&mut self) -> Result<Key, HsmError> {
        self.call("generate_dek", |state, session| {
            let dek = Material::random()?;
            Ok(state.add(temporary(dek, Role::Wrap, true, session)))
        })
    }

    fn derive(&mut self, master: Key, data: &[u8; 32]) -> Result<Key, HsmError> {
        self.call("derive", |state, session| {
            let master = state.able(master, Role::Master(KeyUse::Derive))?;
            let kek = master.derive(data)?;
            Ok(state.add(temporary(kek, Role::Wrap, false, session)))
        })
    }

    fn wrap(&mut self, kek: Key, key: Key) -> Result<Vec<u8>, HsmError> {
        self.call("wrap", |state, _| {
            let object = state.find(key)?;
            if !object.extractable {
                return Err(HsmError::Refused("the key is not extractable".to_owned()));
            }
            state.able(kek, Role::Wrap)?.wrap(&object.material)
        })
    }

    fn unwrap_dek(&mut self, kek: Key, blob: &[u8], extractable: bool) -> Result<Key, HsmError> {
        self.call("unwrap_dek", |state, session| {
            let dek = state.able(kek, Role::Wrap)?.unwrap_secret(blob)?;
            Ok(state.add(temporary(dek, Role::Wrap, extractable, session)))
        })
    }

    fn unwrap_private(
        &mut self,
        dek: Key,
        blob: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<Key, HsmError> {
        self.call("unwrap_private", |state, session| {
            let private = state.able(dek, Role::Wrap)?;
            let private = private.unwrap_private(blob, algorithm)?;
            Ok(state.add(temporary(private, Role::Sign(algorithm), false, session)))
        })
    }

    fn sign(
        &mut self,
        key: Key,
        algorithm: KeyAlgorithm,
        scheme: Scheme,
        digest: &Digest,
    ) -> Result<Vec<u8>, HsmError> {
        self.call("sign", |state, _| {
            let key = state.able(key, Role::Sign(algorithm))?;
            let mut signature = key.sign(scheme, digest)?;
            if std::mem::take(&mut state.spoil)
                && let Some(last) = signature.last_mut()
            {
                *last ^= 1;
            }
            Ok(signature)
        })
    }

    fn verify(
        &mut self,
        _spki: &[u8],
        scheme: Scheme,
        _digest: &Digest,
        _signature: &[u8],
    ) -> Result<bool, HsmError> {
        self.call("verify", |_, _| {
            Err(HsmError::Unfit(format!("{scheme:?} is not verified here")))
        })
    }

    fn mac(&mut self, key: Key, data: &[u8]) -> Result<[u8; 32], HsmError> {
        self.call("mac", |state, _| {
            state.able(key, Role::Master(KeyUse::Mac))?.mac(data)
        })
    }

    fn encrypt(&mut self, key: Key, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.call("encrypt", |state, _| {
            let key = state.able(key, Role::Master(KeyUse::Encrypt))?;
            key.encrypt(aad, plain)
        })
    }

    fn decrypt(
        &mut self,
        key: Key,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.call("decrypt", |state, _| {
            let key = state.able(key, Role::Master(KeyUse::Encrypt))?;
            key.decrypt(aad, sealed)
        })
    }

    fn random(&mut self, octets: &mut [u8]) -> Result<(), HsmError> {
        self.call("random", |state, _| {
            if state.stuck {
                octets.fill(0x5A);
                return Ok(());
            }
            getrandom::fill(octets).map_err(|error| HsmError::Unavailable(error.to_string()))
        })
    }

    fn destroy(&mut self, key: Key) -> Result<(), HsmError> {
        self.call("destroy", |state, _| {
            state.find(key)?;
            state.objects.remove(&key.0);
            Ok(())
        })
    }

    fn health(&mut self) -> Result<(), HsmError> {
        self.call("health", |_, _| {
            let (canary, spki) = Material::pair(KeyAlgorithm::P256)?;
            let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
            let digest = Digest::zero(DigestAlgorithm::Sha256);
            let signature = canary.sign(scheme, &digest)?;
            match verify::in_software(KeyAlgorithm::P256, &spki, scheme, &digest, &signature) {
                Some(true) => Ok(()),
                _ => Err(HsmError::Unavailable("the canary is wrong".to_owned())),
            }
        })
    }
}
