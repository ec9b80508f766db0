//! Time-stamps (RFC 3161): from the embedded authority, or from another one over HTTP. Each one obtained is recorded.

mod embedded;
mod remote;

use ades::timestamp::{Imprint, Nonce};
use hsm_adapter::HsmError;
use sha2::{Digest, Sha256};

pub use embedded::Embedded;
pub(crate) use embedded::KEY;
pub use remote::Remote;

use crate::{
    audit::{self, Event},
    clock::Clock,
    store::{Store, StoreError},
    timekeeper::Distrust,
};

/// Gives time-stamps; clones share what is behind it.
#[derive(Clone)]
pub struct Tsa {
    store: Store,
    clock: Clock,
    authority: Authority,
}

/// Who stamps.
#[derive(Clone)]
pub enum Authority {
    /// This service.
    Embedded(Box<Embedded>),
    /// Another one.
    Remote(Remote),
}

/// For whom a time-stamp is obtained.
#[derive(Clone, Debug)]
pub struct Asker<'a> {
    /// The client.
    pub client: &'a str,
    /// Pseudonym of the person it acts for; empty when it acts for itself.
    pub person: &'a str,
    /// Identifier of the request.
    pub request: &'a str,
}

/// Why there is no time-stamp.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The clock.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// The certificate of the embedded authority has ended.
    #[error("the certificate of the time-stamping authority has expired")]
    Expired,
    /// The other authority does not answer, or not as it should.
    #[error("the time-stamping authority: {0}")]
    Authority(String),
    /// A token cannot be made.
    #[error(transparent)]
    Token(#[from] ades::timestamp::Error),
    /// The issuer slot.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ades::cades::Error> for Error {
    fn from(error: ades::cades::Error) -> Self {
        Self::Token(error.into())
    }
}

impl Tsa {
    /// By this authority.
    pub fn new(store: Store, clock: Clock, authority: Authority) -> Self {
        Self {
            store,
            clock,
            authority,
        }
    }

    /// Whether a token can be expected now: asked before something is done that needs one afterwards.
    ///
    /// # Errors
    /// [`Error::Distrust`], [`Error::Expired`].
    pub fn check(&self) -> Result<(), Error> {
        match &self.authority {
            Authority::Embedded(embedded) => embedded.check(self.clock.now()),
            Authority::Remote(_) => Ok(()),
        }
    }

    /// A time-stamp token (DER) over a digest, with the certificates of who made it.
    ///
    /// # Errors
    /// [`Error`]: there is none.
    pub async fn stamp(
        &self,
        imprint: &Imprint,
        nonce: Option<Nonce>,
        asker: Asker<'_>,
    ) -> Result<Vec<u8>, Error> {
        let (token, authority) = match &self.authority {
            Authority::Embedded(embedded) => {
                let token = embedded.stamp(imprint, nonce, self.clock.now()).await?;
                (token, "embedded")
            }
            Authority::Remote(remote) => (remote.stamp(imprint, nonce).await?, "remote"),
        };
        let event = Event::TstObtained {
            client: asker.client.to_owned(),
            request: asker.request.to_owned(),
            authority,
            hash: hex::encode(imprint.digest()),
            token_hash: hex::encode(Sha256::digest(&token)),
        };
        audit::note(&self.store, self.clock.now(), asker.person, event).await?;
        metrics::counter!("csc_timestamps_total", "authority" => authority).increment(1);
        Ok(token)
    }
}
