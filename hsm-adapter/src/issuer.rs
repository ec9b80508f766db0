//! Keys of the provider itself (CA, audit): token objects of a slot of their own.

use serde::{Deserialize, Serialize};

use crate::{
    Digest, HsmError, KeyAlgorithm, Pool, PoolState, Scheme,
    call::{Call, Engine, IfLost, Route, Tools},
    pool::{Session, Speed},
    process::{Remote, Spread},
    vault::{Device, Health},
    verify,
};

/// The issuer slot.
#[derive(Clone)]
pub struct Issuer {
    route: Route,
}

impl Issuer {
    /// Over the pool of the slot that holds the provider's keys.
    pub fn new(pool: Pool) -> Self {
        Self {
            route: Route::Here(Engine::new(pool, 0)),
        }
    }

    /// Over a slot of a module in a process of its own.
    pub fn remote(slot: Remote) -> Self {
        Self {
            route: Route::There(Spread::new(vec![(slot, 1)])),
        }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The key type and SubjectPublicKeyInfo (DER) of the key with this label.
    ///
    /// # Errors
    /// When the HSM does not answer, or the object is none that can be used.
    pub async fn public_key(
        &self,
        label: &str,
    ) -> Result<Option<(KeyAlgorithm, Vec<u8>)>, HsmError> {
        let label = label.to_owned();
        self.route.call(PublicKey { label }).await
    }

    /// Makes the key if it is missing: its SubjectPublicKeyInfo (DER), and whether this call made it.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when there is a key of this label and another type.
    pub async fn ensure(
        &self,
        label: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Vec<u8>, bool), HsmError> {
        let label = label.to_owned();
        self.route.call(Ensure { label, algorithm }).await
    }

    /// Signs a digest with the key of this label, and verifies the signature before it leaves.
    ///
    /// # Errors
    /// [`HsmError::Missing`] without such a key, [`HsmError::Refused`] when its type does not allow the scheme,
    /// [`HsmError::OutcomeUnknown`] when something was signed and cannot be given out.
    pub async fn sign(
        &self,
        label: &str,
        scheme: Scheme,
        digest: &Digest,
    ) -> Result<Vec<u8>, HsmError> {
        let (label, digest) = (label.to_owned(), digest.clone());
        let call = IssuerSign {
            label,
            scheme,
            digest,
        };
        self.route.call(call).await
    }

    /// Serial number of the device.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn device(&self) -> Result<String, HsmError> {
        self.route.call(Device {}).await
    }

    /// Whether the slot signs, on the slow lane.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), HsmError> {
        self.route.call(Health { masters: false }).await
    }

    /// Sessions and queue, for metrics.
    pub fn state(&self) -> PoolState {
        self.route.state()
    }

    /// The slots, when their sessions are in other processes.
    pub fn slots(&self) -> Vec<Remote> {
        self.route.slots()
    }
}

/// [`Issuer::public_key`].
#[derive(Serialize, Deserialize)]
pub(crate) struct PublicKey {
    label: String,
}

impl Call for PublicKey {
    type Answer = Option<(KeyAlgorithm, Vec<u8>)>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Self::Answer, HsmError> {
        let pair = session.hsm.token_pair(&self.label)?;
        Ok(pair.map(|(_, algorithm, spki)| (algorithm, spki)))
    }
}

/// [`Issuer::ensure`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Ensure {
    label: String,
    algorithm: KeyAlgorithm,
}

impl Call for Ensure {
    type Answer = (Vec<u8>, bool);
    type Error = HsmError;
    const SPEED: Speed = Speed::Slow;
    const IF_LOST: IfLost = IfLost::Fails;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Self::Answer, HsmError> {
        let Self { label, algorithm } = self;
        match session.hsm.token_pair(label)? {
            Some((_, found, spki)) if found == *algorithm => Ok((spki, false)),
            Some((_, found, _)) => Err(HsmError::Unfit(format!(
                "'{label}' is of type {}, not {}",
                found.name(),
                algorithm.name()
            ))),
            None => {
                let (_, spki) = session.hsm.create_token_pair(label, *algorithm)?;
                Ok((spki, true))
            }
        }
    }
}

/// [`Issuer::sign`].
#[derive(Serialize, Deserialize)]
pub(crate) struct IssuerSign {
    label: String,
    scheme: Scheme,
    digest: Digest,
}

impl Call for IssuerSign {
    type Answer = Vec<u8>;
    type Error = HsmError;
    const SPEED: Speed = Speed::Fast;
    const IF_LOST: IfLost = IfLost::Unknown;

    fn run(&self, session: &mut Session, _: &Tools) -> Result<Vec<u8>, HsmError> {
        let hsm = session.hsm.as_mut();
        let (key, algorithm, spki) = hsm
            .token_pair(&self.label)?
            .ok_or_else(|| HsmError::Missing(self.label.clone()))?;
        verify::signed(hsm, key, algorithm, &spki, self.scheme, &self.digest)
    }
}
