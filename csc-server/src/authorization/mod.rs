//! The code flow without its pages: a client's request, the holder's answer, and what the client gets for the code. It joins service
//! authorization (`oauth`) and credential authorization (`credential`), which know nothing of each other's steps.
//!
//! ```text
//! [pushed ─►] pending ─ approve or grant ─► answered ─ trade ─► tokens
//!                └───── refuse ────────────► refused
//! ```
//!
//! A request may be asked by anybody, so its row is worth nothing by itself: the browser that holds its secret is asked, and what a code
//! opens is bound to every octet of it.

mod answer;
mod details;
mod life;
mod request;
mod stored;
mod trade;

use std::{sync::Arc, time::Duration};

use hsm_adapter::{HsmError, Vault};

pub use details::{CREATION, DELETION, TYPES};
pub use request::{Asked, Document, Refusal, Scope, Wanted};
pub use trade::{CodeRequest, Granted, Untraded};

use crate::{
    clock::{Clock, Millis},
    credential::{self, Keys},
    enrolment,
    factor::{self, Factors},
    holder::Accounts,
    ids::RequestId,
    oauth::{
        client::{self, Client, Clients},
        token::{self, Tokens},
    },
    store::{Store, StoreError},
};

/// A request that waits for the holder's answer.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// Identifier.
    pub id: RequestId,
    /// Who asks.
    pub client: Arc<Client>,
    /// What was asked.
    pub asked: Asked,
    /// Until when it can be answered.
    pub expires: Millis,
    /// Digest of client and request: what the code answers.
    bound: String,
}

/// Where the browser goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its address; it may carry a code.
    pub location: String,
}

/// Where a request from a browser ends.
#[derive(Debug)]
pub enum Arrived {
    /// At our page, with this cookie.
    Page {
        /// `id.secret`; the database has the secret's SHA-256.
        cookie: String,
    },
    /// Back at the client, with an error.
    Back(Redirect),
}

/// Why a request cannot be shown, answered or traded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no client of this name: the browser is sent nowhere.
    #[error("unknown client")]
    UnknownClient,
    /// The address to go back to is not registered: the browser is sent nowhere.
    #[error("unregistered redirect_uri")]
    BadRedirect,
    /// No such request, or another browser's.
    #[error("unknown authorization request")]
    Unknown,
    /// It was there; it is answered, or too old.
    #[error("the authorization request has ended")]
    Ended,
    /// The client named another account.
    #[error("the request is for another account")]
    OtherAccount,
    /// The client's request is refused, in these words.
    #[error("{} ({})", .0.text, .0.error)]
    Refused(Refusal),
    /// The credential was not authorised: a wrong PIN or code may be tried again.
    #[error(transparent)]
    Credential(credential::Error),
    /// No code was sent.
    #[error(transparent)]
    Factor(factor::Error),
    /// No credential was made.
    #[error(transparent)]
    Enrolment(enrolment::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<credential::Error> for Error {
    fn from(error: credential::Error) -> Self {
        match error {
            credential::Error::Store(error) => Self::Store(error),
            credential::Error::Hsm(error) => Self::Hsm(error),
            error => Self::Credential(error),
        }
    }
}

impl From<factor::Error> for Error {
    fn from(error: factor::Error) -> Self {
        match error {
            factor::Error::Store(error) => Self::Store(error),
            factor::Error::Hsm(error) => Self::Hsm(error),
            error => Self::Factor(error),
        }
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Store(error) => Self::Store(error),
            client::Error::Hsm(error) => Self::Hsm(error),
            _ => Self::UnknownClient,
        }
    }
}

impl From<token::Error> for Error {
    fn from(error: token::Error) -> Self {
        match error {
            token::Error::Store(error) => Self::Store(error),
            token::Error::Random(error) => Self::Hsm(error),
            _ => Self::Ended,
        }
    }
}

/// Bounds of requests.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// From the browser's arrival to the holder's answer.
    pub request_lifetime: Duration,
    /// From the push to the browser's arrival.
    pub push_lifetime: Duration,
    /// Of an authorization code.
    pub code_lifetime: Duration,
    /// Most documents of a request.
    pub documents: usize,
}

/// Authorization requests, from their arrival to the tokens they give.
#[derive(Clone)]
pub struct Authorizations {
    store: Store,
    clock: Clock,
    vault: Vault,
    clients: Clients,
    accounts: Accounts,
    factors: Factors,
    keys: Keys,
    tokens: Tokens,
    policy: Policy,
    /// Name of this authorization server (RFC 9207).
    issuer: Arc<str>,
}

/// What requests are answered with.
#[expect(missing_docs, reason = "each field is its type")]
pub struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub vault: Vault,
    pub clients: Clients,
    pub accounts: Accounts,
    pub factors: Factors,
    pub keys: Keys,
    pub tokens: Tokens,
}

impl Authorizations {
    /// Requests in this database.
    pub fn new(parts: Parts, policy: Policy, issuer: Arc<str>) -> Self {
        Self {
            store: parts.store,
            clock: parts.clock,
            vault: parts.vault,
            clients: parts.clients,
            accounts: parts.accounts,
            factors: parts.factors,
            keys: parts.keys,
            tokens: parts.tokens,
            policy,
            issuer,
        }
    }
}

/// The address with these parameters added to its query, everything else as registered.
fn with_query(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{}", query.finish())
}
