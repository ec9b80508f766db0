//! Service authorization: which client, on whose behalf. A service token lists and asks; it opens no key.

pub mod account;
pub mod client;
pub mod fields;
pub mod registration;
pub mod statement;
pub mod switches;
pub mod token;

use crate::ids::{ClientId, HolderId, random_id};

/// A checked service token: who may call, and for whom.
#[derive(Clone, Debug)]
pub struct ServiceAccess {
    /// The client that calls.
    pub client: ClientId,
    /// The holder who logged in; `None` for a client that acts by itself ("not user-specific", CSC v1 8.2).
    pub holder: Option<HolderId>,
    /// The grant the token came from: a log-in, or a client's own. What was authorised under it ends with it.
    pub grant: String,
    /// Whether its SADs sign on without being extended: a switch of its registration.
    pub sad_goes_on: bool,
    /// The key that the token is bound to: `jkt:` and the thumbprint of a JWK (RFC 9449), or `x5t:` and that of a certificate (RFC 8705).
    pub confirmation: Option<String>,
    /// How the client proved who it is when it got the token.
    pub proven: Proven,
}

/// How a client proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Not at all: a public client, or a log-in without one.
    Not,
    /// By its secret.
    Secret,
    /// By a statement signed with its key.
    PrivateKeyJwt,
    /// By its certificate.
    Tls,
}

impl Proven {
    const ALL: [Self; 4] = [Self::Not, Self::Secret, Self::PrivateKeyJwt, Self::Tls];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Not => "none",
            Self::Secret => "secret",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Tls => "tls",
        }
    }

    fn parse(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|proven| proven.name() == name);
        found.unwrap_or(Self::Not)
    }
}

/// Who is at the token endpoint: how he proved it, and the key that what he gets is bound to.
#[derive(Clone, Debug)]
pub struct Caller {
    /// How.
    pub proven: Proven,
    /// The key.
    pub confirmation: Option<String>,
}

impl ServiceAccess {
    /// A new grant.
    pub fn new(client: ClientId, holder: Option<HolderId>) -> Self {
        Self {
            client,
            holder,
            grant: random_id(),
            sad_goes_on: false,
            confirmation: None,
            proven: Proven::Not,
        }
    }

    /// The same, as this caller gets it.
    #[must_use]
    pub fn of(self, caller: Caller) -> Self {
        Self {
            confirmation: caller.confirmation,
            proven: caller.proven,
            ..self
        }
    }

    /// Whether the client proved who it is by what nobody can use again who sees it.
    pub fn is_strong(&self) -> bool {
        matches!(self.proven, Proven::PrivateKeyJwt | Proven::Tls)
    }
}
