//! The embedded authority: its key is a token object of the issuer slot, its certificate is of the embedded CA, for time-stamping only.

use std::time::{Duration, SystemTime};

use ades::{
    Chain,
    timestamp::{self, Imprint, Nonce, Parameters},
};
use hsm_adapter::{Digest, Issuer, KeyAlgorithm};

use super::Error;
use crate::{ca, clock::Millis, config, timekeeper::TimeTrust};

/// The key type: its signatures are over SHA-256.
pub(crate) const KEY: KeyAlgorithm = KeyAlgorithm::P256;
const SCHEME: ades::Scheme = ades::Scheme::Ecdsa(ades::DigestAlgorithm::Sha256);

/// An authority that is ready to stamp.
#[derive(Clone)]
pub struct Embedded {
    issuer: Issuer,
    time: TimeTrust,
    chain: Chain,
    ends: Millis,
    config: config::Timestamp,
}

impl Embedded {
    /// The authority of these certificates (DER, its own first), whose key is in the issuer slot.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new(
        issuer: Issuer,
        time: TimeTrust,
        chain: Vec<Vec<u8>>,
        config: config::Timestamp,
    ) -> Result<Self, ca::Error> {
        let own = chain.first().map(Vec::as_slice).unwrap_or_default();
        let (_, ends) = ca::validity_of(own)?;
        let unreadable = |error: ades::ChainError| ca::Error::Encoding(error.to_string());
        Ok(Self {
            issuer,
            time,
            chain: Chain::new(chain).map_err(unreadable)?,
            ends,
            config,
        })
    }

    pub(super) fn check(&self, now: Millis) -> Result<(), Error> {
        self.time.check()?;
        if now >= self.ends {
            return Err(Error::Expired);
        }
        Ok(())
    }

    pub(super) async fn stamp(
        &self,
        imprint: &Imprint,
        nonce: Option<Nonce>,
        now: Millis,
    ) -> Result<Vec<u8>, Error> {
        self.check(now)?;
        let since_1970 = Duration::from_millis(u64::try_from(now).unwrap_or_default());
        let parameters = Parameters {
            policy: self.config.policy,
            // Random, as those of certificates: unique on every node and after every restart without a count.
            serial: ca::random_serial().to_vec(),
            time: SystemTime::UNIX_EPOCH + since_1970,
            accuracy: self.config.accuracy,
            nonce,
            scheme: SCHEME,
        };
        let prepared = timestamp::prepare(imprint, &self.chain, &parameters)?;
        let (scheme, _) = KEY.x509();
        let digest = Digest::of(scheme.digest(), prepared.to_be_signed());
        let signature = self.issuer.sign(ca::TSA_LABEL, scheme, &digest).await?;
        Ok(prepared.finish(&signature)?)
    }
}
