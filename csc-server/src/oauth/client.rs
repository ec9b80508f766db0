//! Registered applications. Who may get tokens, by what keys and to which address, is under a MAC: whoever writes the database adds
//! neither a key nor a redirect URI.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use hsm_adapter::{HsmError, MacKey, Secret, Vault};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    registration::{Authentication, Registration, Unfit},
    switches::{Switch, used},
};
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    holder::Holder,
    ids::ClientId,
    params,
    store::{Row, Store, StoreError},
};

/// What the audit log vouches for: of registrations, and of who may see whom.
pub const TABLES: [audit::Table; 2] = [
    audit::table!("client", key ["id"], told ["version"], recorded ["registration", "secret_hash", "record_mac", "created"]),
    audit::table!("client_holder", key ["client", "holder"], told ["created"], recorded []),
];

/// Checked rows that are remembered.
const REMEMBERED: usize = 1000;

/// A registered application whose row is what the service wrote.
#[derive(Debug)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// What was agreed.
    pub registration: Registration,
    secret_hash: Option<Vec<u8>>,
}

/// Why a client was not added, changed or believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identifier is taken.
    #[error("the client '{0}' exists already")]
    Taken(ClientId),
    /// There is none.
    #[error("there is no client '{0}'; run `csc-server client add`")]
    Missing(ClientId),
    /// The identifier has characters that a form or a header could not carry.
    #[error("a client id has 1 to 64 letters, digits, '-', '_' or '.'")]
    BadId,
    /// It cannot be registered so.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// The registrations.
#[derive(Clone)]
pub struct Clients {
    store: Store,
    clock: Clock,
    vault: Vault,
    checked: Arc<Mutex<HashMap<ClientId, Checked>>>,
    origins: Arc<Mutex<Option<Origins>>>,
}

/// Every registered origin, and when they were read.
type Origins = (Millis, Arc<HashSet<String>>);

/// How long the list of origins is believed: registering takes effect after that.
const ORIGINS_FOR: Millis = 10_000;

/// A row that was checked, and what it says.
type Checked = (Stored, Arc<Client>);

/// A row as it stands, which nobody has judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    version: i64,
    registration: String,
    secret_hash: Option<Vec<u8>>,
    record_mac: Vec<u8>,
}

impl Stored {
    /// From `version`, `registration`, `secret_hash` and `record_mac`, which begin at this column.
    pub(super) fn read(row: &mut Row, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.get(first)?,
            registration: row.get(first + 1)?,
            secret_hash: row.optional(first + 2)?,
            record_mac: row.get(first + 3)?,
        })
    }
}

impl Clients {
    /// Clients in this database, under MACs of this vault.
    pub fn new(store: Store, clock: Clock, vault: Vault) -> Self {
        Self {
            store,
            clock,
            vault,
            checked: Arc::default(),
            origins: Arc::default(),
        }
    }

    /// Registers a client; the database has its secret as SHA-256 only, which is also the key of its account tokens (CSC v1 8.3.1).
    ///
    /// # Errors
    /// A bad or used identifier, an unfit registration, or a failure of database or HSM.
    pub async fn add(
        &self,
        id: &ClientId,
        registration: &Registration,
        secret: Option<&Secret>,
    ) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let text = id.as_str();
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err(Error::BadId);
        }
        registration.check()?;
        let stored = self.stored(id, 1, registration, secret.map(hash)).await?;
        if self.insert(id, stored).await? {
            Ok(())
        } else {
            Err(Error::Taken(id.clone()))
        }
    }

    /// Puts another registration in place of a client's; with a new secret, the old one is good no more.
    ///
    /// # Errors
    /// [`Error::Missing`], an unfit registration, or a failure of database or HSM.
    pub async fn change(
        &self,
        id: &ClientId,
        registration: &Registration,
        secret: Option<&Secret>,
    ) -> Result<(), Error> {
        registration.check()?;
        let missing = || Error::Missing(id.clone());
        let old = self.row(id).await?.ok_or_else(missing)?;
        let secret_hash = match (&registration.authentication, secret) {
            (_, Some(secret)) => Some(hash(secret)),
            (Authentication::Secret, None) => old.secret_hash.clone(),
            (_, None) => None,
        };
        let (version, id_) = (old.version, id.clone());
        let new = self
            .stored(id, version + 1, registration, secret_hash)
            .await?;
        let now = self.clock.now();
        let changed = self
            .store
            .write(async move |tx| {
                let changed = tx
                    .execute(
                        "UPDATE client SET version = $3, registration = $4, secret_hash = $5, record_mac = $6
                         WHERE id = $1 AND version = $2",
                        params![
                            &id_,
                            version,
                            new.version,
                            new.registration.as_str(),
                            new.secret_hash.clone(),
                            new.record_mac.clone()
                        ],
                    )
                    .await?;
                if changed == 1 {
                    let [table, _] = &TABLES;
                    let changed = Event::ClientChanged {
                        client: id_.to_string(),
                        version: new.version,
                        record: table.record(tx, &id_).await?,
                    };
                    audit::record(tx, now, "", &changed);
                }
                Ok(changed == 1)
            })
            .await?;
        if changed { Ok(()) } else { Err(missing()) }
    }

    /// Makes sure that the client of holders who log in by themselves exists; `name` is what their messages call it. No token endpoint
    /// knows it.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn ensure_direct(&self, name: &str) -> Result<(), Error> {
        let registration = Registration {
            grants: Vec::new(),
            ..Registration::named(name)
        };
        let id = ClientId::direct();
        let stored = self.stored(&id, 1, &registration, None).await?;
        Ok(self.insert(&id, stored).await.map(drop)?)
    }

    /// The row of a registration.
    async fn stored(
        &self,
        id: &ClientId,
        version: i64,
        registration: &Registration,
        secret_hash: Option<Vec<u8>>,
    ) -> Result<Stored, Error> {
        let registration = serde_json::to_string(registration)
            .map_err(|_| StoreError::Corrupt("a registration"))?;
        let mut stored = Stored {
            version,
            registration,
            secret_hash,
            record_mac: Vec::new(),
        };
        stored.record_mac = self.mac(id, &stored).await?.to_vec();
        Ok(stored)
    }

    async fn mac(&self, id: &ClientId, stored: &Stored) -> Result<[u8; 32], HsmError> {
        let version = stored.version.to_be_bytes();
        let parts: [&[u8]; 5] = [
            b"client/1",
            id.as_str().as_bytes(),
            &version,
            stored.registration.as_bytes(),
            stored.secret_hash.as_deref().unwrap_or_default(),
        ];
        self.vault.mac(MacKey::Client, &parts).await
    }

    async fn insert(&self, id: &ClientId, stored: Stored) -> Result<bool, StoreError> {
        let (id, now) = (id.clone(), self.clock.now());
        self.store
            .write(async move |tx| {
                let changed = tx
                    .execute(
                        "INSERT INTO client (id, version, registration, secret_hash, record_mac, created) VALUES ($1, 1, $2, $3, $4, $5)
                         ON CONFLICT (id) DO NOTHING",
                        params![
                            &id,
                            stored.registration.as_str(),
                            stored.secret_hash.clone(),
                            stored.record_mac.clone(),
                            now
                        ],
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

    /// The origins of all clients, a few seconds old.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn origins(&self) -> Result<Arc<HashSet<String>>, Error> {
        let now = self.clock.now();
        let known = self
            .origins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((read, origins)) = known
            && (read..read + ORIGINS_FOR).contains(&now)
        {
            return Ok(origins);
        }
        let mut origins = HashSet::new();
        for mut row in self.store.query("SELECT id FROM client", &[]).await? {
            if let Some(client) = self.find(&ClientId::new(row.get::<String>(0)?)).await? {
                origins.extend(client.registration.cors_origins.iter().cloned());
            }
        }
        let origins = Arc::new(origins);
        *self.origins.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, origins.clone()));
        Ok(origins)
    }

    /// Records that somebody did not prove to be this client.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn not_believed(&self, client: &Client) -> Result<(), StoreError> {
        let event = Event::LoginFail {
            client: client.id.to_string(),
        };
        audit::note(&self.store, self.clock.now(), "", event).await
    }

    /// The client with this identifier; a row that the service did not write is none, and alarmed.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn find(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        match self.row(id).await? {
            Some(stored) => self.genuine(id, stored).await,
            None => Ok(None),
        }
    }

    /// The client of a row that was read with something else.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn genuine(
        &self,
        id: &ClientId,
        stored: Stored,
    ) -> Result<Option<Arc<Client>>, Error> {
        if let Some(client) = self.remembered(id, &stored) {
            return Ok(Some(client));
        }
        let mac = self.mac(id, &stored).await?;
        let genuine: bool = mac.ct_eq(&stored.record_mac).into();
        let registration = serde_json::from_str(&stored.registration);
        let (true, Ok(registration)) = (genuine, registration) else {
            tracing::error!(client = %id, "a registration fails its integrity check");
            let event = Event::ClientIntegrityFail {
                client: id.to_string(),
            };
            audit::note(&self.store, self.clock.now(), "", event).await?;
            return Ok(None);
        };
        let client = Arc::new(Client {
            id: id.clone(),
            registration,
            secret_hash: stored.secret_hash.clone(),
        });
        self.remember(stored, &client);
        Ok(Some(client))
    }

    async fn row(&self, id: &ClientId) -> Result<Option<Stored>, StoreError> {
        const SQL: &str =
            "SELECT version, registration, secret_hash, record_mac FROM client WHERE id = $1";
        let row = self.store.find(SQL, params![id]).await?;
        row.map(|mut row| Stored::read(&mut row, 0)).transpose()
    }

    /// The client, if the row is octet for octet one that was checked.
    fn remembered(&self, id: &ClientId, stored: &Stored) -> Option<Arc<Client>> {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, client) = checked.get(id)?;
        (seen == stored).then(|| client.clone())
    }

    fn remember(&self, stored: Stored, client: &Arc<Client>) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(client.id.clone(), (stored, client.clone()));
    }
}

impl Client {
    /// Whether it has this switch, which is counted: to be asked only where it makes a difference.
    pub fn may(&self, switch: Switch) -> bool {
        let has = self.registration.switches.has(switch);
        if has {
            used(&self.id, switch);
        }
        has
    }

    /// Whether this is its secret.
    pub fn has_secret(&self, secret: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(secret).into();
        self.secret_hash
            .as_deref()
            .is_some_and(|stored| stored.ct_eq(hash.as_slice()).into())
    }

    /// The key of its account tokens: SHA-256 of its secret (CSC v1 8.3.1).
    pub(super) fn account_key(&self) -> Option<&[u8]> {
        self.secret_hash.as_deref()
    }

    /// A client that is in no database.
    #[cfg(test)]
    pub(super) fn for_test(id: ClientId, registration: Registration, secret: &str) -> Self {
        Self {
            id,
            registration,
            secret_hash: Some(Sha256::digest(secret).to_vec()),
        }
    }
}

fn hash(secret: &Secret) -> Vec<u8> {
    Sha256::digest(secret.expose()).to_vec()
}
