//! Service authorization: which client, on whose behalf. A service token lists and asks; it opens no key.

pub mod client;
pub mod registration;
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
}

impl ServiceAccess {
    /// A new grant.
    pub fn new(client: ClientId, holder: Option<HolderId>) -> Self {
        Self {
            client,
            holder,
            grant: random_id(),
            sad_goes_on: false,
        }
    }
}
