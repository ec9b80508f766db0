//! Service tokens: 256 random bits to the client, SHA-256 of them in the database.

use std::time::Duration;

use sha2::{Digest, Sha256};

use hsm_adapter::{HsmError, Vault};

use super::ServiceAccess;
use crate::{
    audit::{self, Event, TokenRecord},
    clock::{Clock, Millis},
    ids::{ClientId, HolderId},
    params,
    store::{Store, StoreError, Tx},
};

/// What the audit log vouches for.
pub const TABLE: audit::Table = audit::table!(
    "token",
    key ["hash"],
    told ["revoked"],
    recorded ["kind", "grant_id", "client", "holder", "issued", "expires"]
);

/// Tokens that were just made: the only time their values exist on this side.
pub struct Issued {
    /// Bearer token.
    pub access: String,
    /// Refresh token, when one was asked for.
    pub refresh: Option<String>,
    /// Seconds the access token lives.
    pub expires_in: u64,
}

/// Which kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Authorises calls.
    Access,
    /// Gets new access tokens.
    Refresh,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// Why a token is not good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody was given this token, or not this client.
    #[error("unknown token")]
    Unknown,
    /// It was good once.
    #[error("expired or revoked token")]
    Expired,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] HsmError),
}

/// The tokens.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    clock: Clock,
    vault: Vault,
    access_lifetime: Duration,
    refresh_lifetime: Duration,
}

impl Tokens {
    /// Tokens in this database, drawn with this vault.
    pub fn new(
        store: Store,
        clock: Clock,
        vault: Vault,
        access_lifetime: Duration,
        refresh_lifetime: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            vault,
            access_lifetime,
            refresh_lifetime,
        }
    }

    /// Issues an access token, with a refresh token when `remember`.
    ///
    /// # Errors
    /// When database or HSM fails.
    pub async fn issue(&self, access: &ServiceAccess, remember: bool) -> Result<Issued, Error> {
        let access = access.clone();
        let access_token = format!("at.{}", self.vault.secret().await?.expose());
        let refresh_token = if remember {
            Some(format!("rt.{}", self.vault.secret().await?.expose()))
        } else {
            None
        };
        let (access_hash, refresh_hash) = (hash(&access_token), refresh_token.as_deref().map(hash));
        let (now, tokens) = (self.clock.now(), self.clone());
        self.store
            .write(async move |tx| {
                let token = tokens.insert(tx, access_hash, Kind::Access, &access, now);
                let mut inserted = vec![token.await?];
                if let Some(hash) = refresh_hash {
                    let token = tokens.insert(tx, hash, Kind::Refresh, &access, now);
                    inserted.push(token.await?);
                }
                let issued = Event::TokenIssued {
                    client: access.client.to_string(),
                    grant: access.grant.clone(),
                    tokens: inserted,
                };
                audit::record(tx, now, "", &issued);
                Ok(())
            })
            .await?;
        Ok(Issued {
            access: access_token,
            refresh: refresh_token,
            expires_in: self.access_lifetime.as_secs(),
        })
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        hash: [u8; 32],
        kind: Kind,
        access: &ServiceAccess,
        now: Millis,
    ) -> Result<TokenRecord, StoreError> {
        let lifetime = match kind {
            Kind::Access => self.access_lifetime,
            Kind::Refresh => self.refresh_lifetime,
        };
        let holder = access
            .holder
            .as_ref()
            .map(|holder| holder.as_str().to_owned());
        let expires = now + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
        tx.execute(
            "INSERT INTO token (hash, kind, grant_id, client, holder, issued, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![hash, kind.name(), access.grant.as_str(), &access.client, holder, now, expires],
        )
        .await?;
        Ok(TokenRecord {
            token: hex::encode(hash),
            record: TABLE.record(tx, hash).await?,
        })
    }

    /// Who a bearer token speaks for.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Expired`], or a failure of the database.
    pub async fn access(&self, token: &str) -> Result<ServiceAccess, Error> {
        const SQL: &str = "SELECT t.client, t.holder, t.expires, t.revoked, h.status, t.grant_id
                           FROM token t LEFT JOIN holder h ON h.id = t.holder
                           WHERE t.hash = $1 AND t.kind = 'access'";
        let mut row = self
            .store
            .find(SQL, params![hash(token)])
            .await?
            .ok_or(Error::Unknown)?;
        let (expires, revoked): (Millis, Option<Millis>) = (row.get(2)?, row.optional(3)?);
        let blocked = row
            .optional::<String>(4)?
            .is_some_and(|status| status != "active");
        if revoked.is_some() || blocked || expires <= self.clock.now() {
            return Err(Error::Expired);
        }
        let holder = row.optional::<String>(1)?.map(HolderId::new);
        Ok(ServiceAccess {
            client: ClientId::new(row.get::<String>(0)?),
            holder,
            grant: row.get(5)?,
            sad_goes_on: false,
        })
    }

    /// Trades a refresh token for a new pair; the old one is dead afterwards, whoever presents it again.
    ///
    /// # Errors
    /// [`Error::Unknown`] also for a token of another client; [`Error::Expired`].
    pub async fn refresh(&self, token: &str, client: &ClientId) -> Result<Issued, Error> {
        let (hash, client, now) = (hash(token), client.clone(), self.clock.now());
        let used = self
            .store
            .write(async move |tx| {
                let used = tx
                    .find(
                        "UPDATE token SET revoked = $3
                         WHERE hash = $1 AND kind = 'refresh' AND client = $2 AND revoked IS NULL AND expires > $3
                         RETURNING client, holder, grant_id",
                        params![hash, &client, now],
                    )
                    .await?;
                if let Some(mut row) = used {
                    let holder = row.optional::<String>(1)?.map(HolderId::new);
                    let client = ClientId::new(row.get::<String>(0)?);
                    let access = ServiceAccess { client, holder, grant: row.get(2)?, sad_goes_on: false };
                    let spent = Event::TokenSpent {
                        client: access.client.to_string(),
                        grant: access.grant.clone(),
                        token: hex::encode(hash),
                    };
                    audit::record(tx, now, "", &spent);
                    return Ok(Ok(access));
                }
                let known = "SELECT kind FROM token WHERE hash = $1 AND kind = 'refresh' AND client = $2";
                let known = tx.find(known, params![hash, &client]).await?.is_some();
                Ok(Err(known))
            })
            .await?;
        match used {
            Ok(access) => self.issue(&access, true).await,
            Err(true) => Err(Error::Expired),
            Err(false) => Err(Error::Unknown),
        }
    }

    /// Revokes a token of this client (and, for a log-in, of this holder). With a refresh token die the access tokens of its grant; an
    /// access token dies alone (CSC v1 11.3). The grant it belonged to, so that what was authorised under it can end too.
    ///
    /// # Errors
    /// [`Error::Unknown`] when this caller has no such token.
    pub async fn revoke(
        &self,
        token: &str,
        client: &ClientId,
        holder: Option<&HolderId>,
    ) -> Result<String, Error> {
        let (hash, now) = (hash(token), self.clock.now());
        let (client, caller) = (client.clone(), holder.cloned());
        let known = self
            .store
            .write(async move |tx| {
                const SQL: &str = "SELECT kind, grant_id, holder FROM token WHERE hash = $1 AND client = $2";
                let Some(mut row) = tx.find(SQL, params![hash, &client]).await? else { return Ok(None) };
                let (kind, grant): (String, String) = (row.get(0)?, row.get(1)?);
                let holder = row.optional::<String>(2)?.map(HolderId::new);
                if caller.is_some() && caller != holder {
                    return Ok(None);
                }
                let sql = if kind == Kind::Refresh.name() {
                    "UPDATE token SET revoked = $3 WHERE (hash = $1 OR grant_id = $2) AND revoked IS NULL RETURNING hash"
                } else {
                    "UPDATE token SET revoked = $3 WHERE hash = $1 AND grant_id = $2 AND revoked IS NULL RETURNING hash"
                };
                let revoked = tx.query(sql, params![hash, grant.as_str(), now]).await?;
                let revoked = revoked.into_iter().map(|mut row| row.get::<Vec<u8>>(0).map(hex::encode));
                let revoked = Event::TokenRevoked {
                    client: client.to_string(),
                    grant: grant.clone(),
                    tokens: revoked.collect::<Result<_, _>>()?,
                };
                audit::record(tx, now, "", &revoked);
                Ok(Some(grant))
            })
            .await?;
        known.ok_or(Error::Unknown)
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
