//! Registered applications.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use hsm_adapter::Secret;

use crate::{
    audit::{self, Event},
    clock::Clock,
    holder::Holder,
    ids::ClientId,
    params,
    store::{Store, StoreError},
};

/// What the audit log vouches for: of registrations, and of who may see whom.
pub const TABLES: [audit::Table; 2] = [
    audit::table!("client", key ["id"], told [], recorded ["name", "secret_hash", "created"]),
    audit::table!("client_holder", key ["client", "holder"], told ["created"], recorded []),
];

/// A registered application.
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    secret_hash: Option<Vec<u8>>,
}

/// Why a client was not added or not believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identifier is taken.
    #[error("the client '{0}' exists already")]
    Taken(String),
    /// The identifier has characters that a form or a header could not carry.
    #[error("a client id has 1 to 64 letters, digits, '-', '_' or '.'")]
    BadId,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The registrations.
#[derive(Clone)]
pub struct Clients {
    store: Store,
    clock: Clock,
}

impl Clients {
    /// Clients in this database.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Registers a client with this secret, which the database has as SHA-256 only.
    ///
    /// # Errors
    /// A bad or used identifier, or a failure of the database.
    pub async fn add(&self, id: &str, name: &str, secret: &Secret) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 64 || !id.chars().all(allowed) {
            return Err(Error::BadId);
        }
        let hash: [u8; 32] = Sha256::digest(secret.expose()).into();
        if self
            .insert(ClientId::new(id), name.to_owned(), Some(hash.to_vec()))
            .await?
        {
            Ok(())
        } else {
            Err(Error::Taken(id.to_owned()))
        }
    }

    /// Makes sure that the client of holders who log in by themselves exists; `name` is what their messages call it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_direct(&self, name: &str) -> Result<(), StoreError> {
        self.insert(ClientId::direct(), name.to_owned(), None)
            .await
            .map(drop)
    }

    async fn insert(
        &self,
        id: ClientId,
        name: String,
        secret_hash: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.store
            .write(async move |tx| {
                let changed = tx
                    .execute(
                        "INSERT INTO client (id, name, secret_hash, created) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (id) DO NOTHING",
                        params![&id, name.as_str(), secret_hash.clone(), now],
                    )
                    .await?;
                if changed == 1 {
                    let [table, _] = &TABLES;
                    let registered = Event::ClientRegistered {
                        client: id.to_string(),
                        record: table.record(tx, &id).await?,
                    };
                    audit::record(tx, now, "", &registered);
                }
                Ok(changed == 1)
            })
            .await
    }

    /// Lets a client see a holder.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn link(&self, client: &Client, holder: &Holder) -> Result<(), StoreError> {
        let (client, id, person, now) = (
            client.id.clone(),
            holder.id.clone(),
            holder.pseudonym.clone(),
            self.clock.now(),
        );
        self.store
            .write(async move |tx| {
                let changed = tx
                    .execute(
                        "INSERT INTO client_holder (client, holder, created) VALUES ($1, $2, $3)
                         ON CONFLICT (client, holder) DO NOTHING",
                        params![&client, &id, now],
                    )
                    .await?;
                if changed == 0 {
                    return Ok(());
                }
                let linked = Event::ClientLinked {
                    client: client.to_string(),
                    holder: id.to_string(),
                };
                audit::record(tx, now, &person, &linked);
                Ok(())
            })
            .await
    }

    /// Whether the client may see the holder.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sees(&self, client: &ClientId, holder: &Holder) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT created FROM client_holder WHERE client = $1 AND holder = $2";
        Ok(self
            .store
            .find(SQL, params![client, &holder.id])
            .await?
            .is_some())
    }

    /// Whether this is the client's secret; a wrong one is recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn believes(&self, client: &Client, secret: &str) -> Result<bool, StoreError> {
        let believed = client.has_secret(secret);
        if !believed {
            let event = Event::LoginFail {
                client: client.id.to_string(),
            };
            audit::note(&self.store, self.clock.now(), "", event).await?;
        }
        Ok(believed)
    }

    /// The client with this identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        const SQL: &str = "SELECT name, secret_hash FROM client WHERE id = $1";
        let Some(mut row) = self.store.find(SQL, params![id]).await? else {
            return Ok(None);
        };
        Ok(Some(Client {
            id: id.clone(),
            name: row.get(0)?,
            secret_hash: row.optional(1)?,
        }))
    }
}

impl Client {
    fn has_secret(&self, secret: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(secret).into();
        self.secret_hash
            .as_deref()
            .is_some_and(|stored| stored.ct_eq(hash.as_slice()).into())
    }
}
