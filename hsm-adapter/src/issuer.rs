//! Keys of the provider itself (CA, audit): token objects of a slot of their own.

use crate::{
    Digest, HsmError, KeyAlgorithm, Pool, PoolState, Scheme,
    pool::{Session, Speed},
    verify,
};

/// The issuer slot.
#[derive(Clone)]
pub struct Issuer {
    pool: Pool,
}

impl Issuer {
    /// Over the pool of the slot that holds the provider's keys.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
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
        self.pool
            .run(Speed::Slow, move |session| {
                let pair = session.hsm.token_pair(&label)?;
                Ok(pair.map(|(_, algorithm, spki)| (algorithm, spki)))
            })
            .await
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
        self.pool
            .run(Speed::Slow, move |session| {
                match session.hsm.token_pair(&label)? {
                    Some((_, found, spki)) if found == algorithm => Ok((spki, false)),
                    Some((_, found, _)) => Err(HsmError::Unfit(format!(
                        "'{label}' is of type {}, not {}",
                        found.name(),
                        algorithm.name()
                    ))),
                    None => {
                        let (_, spki) = session.hsm.create_token_pair(&label, algorithm)?;
                        Ok((spki, true))
                    }
                }
            })
            .await
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
        self.pool
            .run(Speed::Fast, move |session| {
                let hsm = session.hsm.as_mut();
                let (key, algorithm, spki) = hsm
                    .token_pair(&label)?
                    .ok_or_else(|| HsmError::Missing(label.clone()))?;
                verify::signed(hsm, key, algorithm, &spki, scheme, &digest)
            })
            .await
    }

    /// Serial number of the device.
    ///
    /// # Errors
    /// When the HSM does not answer.
    pub async fn device(&self) -> Result<String, HsmError> {
        let serial = |session: &mut Session| Ok(session.hsm.serial().to_owned());
        self.pool.run(Speed::Slow, serial).await
    }

    /// Whether the slot signs, on the slow lane.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), HsmError> {
        self.pool
            .run(Speed::Slow, |session| session.hsm.health())
            .await
    }

    /// Sessions and queue, for metrics.
    pub fn state(&self) -> PoolState {
        self.pool.state()
    }
}
