//! Service tokens: 256 random bits to the client, SHA-256 of them in the database.

use std::time::Duration;

use sha2::{Digest, Sha256};

use hsm_adapter::{HsmError, Vault};
use zeroize::Zeroizing;

use super::{
    Caller, Proven, ServiceAccess,
    client::{Client, Stored},
    registration::Grant,
};
use crate::{
    audit::{self, Event, TokenRecord},
    clock::{Clock, Millis},
    ids::{ClientId, HolderId, random_id},
    params,
    store::{Store, StoreError, Tx},
};

/// What the audit log vouches for.
pub const TABLE: audit::Table = audit::table!(
    "token",
    key ["hash"],
    told ["revoked"],
    recorded ["kind", "grant_id", "client", "holder", "confirmation", "proven", "issued", "expires"]
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
    /// An authorization code: gets the first ones.
    Code,
    /// Takes up one new credential, once. Its grant is that credential.
    Creation,
    /// Ends one credential, once. Its grant is that credential.
    Deletion,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Code => "code",
            Self::Creation => "creation",
            Self::Deletion => "deletion",
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
    /// It was used before: everything of this grant has ended, for one of the two who had it is a thief (RFC 6749 10.4, 10.5).
    #[error("a token that was used before")]
    Reused(String),
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
        let (drawn, access, now) = (self.draw(remember).await?, access.clone(), self.clock.now());
        let (hashes, tokens) = (drawn.hashes(), self.clone());
        self.store
            .write(async move |tx| tokens.record(tx, &hashes, &access, now).await)
            .await?;
        Ok(drawn.issued(self.access_lifetime))
    }

    /// Issues an authorization code, `id.secret`, that answers the request `bound`: it is good with no other.
    ///
    /// # Errors
    /// When database or HSM fails.
    pub async fn issue_code(
        &self,
        access: &ServiceAccess,
        bound: &str,
        lifetime: Duration,
    ) -> Result<String, Error> {
        let code = format!("{}.{}", random_id(), self.vault.secret().await?.expose());
        let (access, now) = (access.clone(), self.clock.now());
        let row = (Kind::Code, code_hash(&code, bound), lifetime);
        let tokens = self.clone();
        self.store
            .write(async move |tx| tokens.record(tx, &[row], &access, now).await)
            .await?;
        Ok(code)
    }

    /// Trades a code for tokens, once. A code that comes twice ends what it gave.
    ///
    /// # Errors
    /// [`Error::Unknown`] also for a code of another client or another request; [`Error::Expired`], [`Error::Reused`].
    pub async fn trade(
        &self,
        client: &Client,
        code: &str,
        bound: &str,
        caller: Caller,
        gives: Kind,
    ) -> Result<Issued, Error> {
        let remember = gives == Kind::Access && client.registration.allows(Grant::RefreshToken);
        self.spend(
            Kind::Code,
            code_hash(code, bound),
            &client.id,
            caller,
            remember,
            gives,
        )
        .await
    }

    /// Trades a refresh token for a new pair, once. One that comes a second time ends the grant, whoever presents it.
    ///
    /// # Errors
    /// [`Error::Unknown`] also for a token of another client or another key; [`Error::Expired`], [`Error::Reused`].
    pub async fn refresh(
        &self,
        token: &str,
        client: &ClientId,
        caller: Caller,
    ) -> Result<Issued, Error> {
        let gives = Kind::Access;
        self.spend(Kind::Refresh, hash(token), client, caller, true, gives)
            .await
    }

    /// Spends a token or code for new ones, in one transaction.
    async fn spend(
        &self,
        kind: Kind,
        hash: [u8; 32],
        client: &ClientId,
        caller: Caller,
        remember: bool,
        gives: Kind,
    ) -> Result<Issued, Error> {
        let (drawn, client, now) = (
            self.draw(remember).await?.of(gives),
            client.clone(),
            self.clock.now(),
        );
        let (hashes, tokens) = (drawn.hashes(), self.clone());
        let spent = self
            .store
            .write(async move |tx| {
                // What a client without a secret got is bound to its key, if to any; the others prove who they are.
                let used = tx
                    .find(
                        "UPDATE token SET revoked = $4
                         WHERE hash = $1 AND kind = $2 AND client = $3 AND revoked IS NULL AND expires > $4
                             AND (proven <> 'none' OR confirmation IS NULL OR confirmation = $5)
                         RETURNING holder, grant_id",
                        params![hash, kind.name(), &client, now, caller.confirmation.clone()],
                    )
                    .await?;
                let Some(mut row) = used else {
                    return Ok(Err(tokens.unspent(tx, kind, hash, &client, now).await?));
                };
                let holder = row.optional::<String>(0)?.map(HolderId::new);
                let grant: String = row.get(1)?;
                let spent = Event::TokenSpent {
                    client: client.to_string(),
                    grant: grant.clone(),
                    token: hex::encode(hash),
                };
                audit::record(tx, now, "", &spent);
                let access = ServiceAccess {
                    grant,
                    ..ServiceAccess::new(client.clone(), holder).of(caller.clone())
                };
                tokens.record(tx, &hashes, &access, now).await?;
                Ok(Ok(()))
            })
            .await?;
        spent.map(|()| drawn.issued(self.access_lifetime))
    }

    /// Why nothing was given for it; what was used before ends its grant.
    async fn unspent(
        &self,
        tx: &mut Tx,
        kind: Kind,
        hash: [u8; 32],
        client: &ClientId,
        now: Millis,
    ) -> Result<Error, StoreError> {
        const SQL: &str = "SELECT grant_id, revoked, expires FROM token WHERE hash = $1 AND kind = $2 AND client = $3";
        let Some(mut row) = tx.find(SQL, params![hash, kind.name(), client]).await? else {
            return Ok(Error::Unknown);
        };
        let (grant, revoked): (String, Option<Millis>) = (row.get(0)?, row.optional(1)?);
        if revoked.is_none() {
            let expired = row.get::<Millis>(2)? <= now;
            return Ok(if expired {
                Error::Expired
            } else {
                Error::Unknown
            });
        }
        let reused = Event::TokenReused {
            client: client.to_string(),
            grant: grant.clone(),
            token: hex::encode(hash),
        };
        audit::record(tx, now, "", &reused);
        let sql =
            "UPDATE token SET revoked = $2 WHERE grant_id = $1 AND revoked IS NULL RETURNING hash";
        let revoked = tx.query(sql, params![grant.as_str(), now]).await?;
        let revoked = revoked
            .into_iter()
            .map(|mut row| row.get::<Vec<u8>>(0).map(hex::encode));
        let revoked = Event::TokenRevoked {
            client: client.to_string(),
            grant: grant.clone(),
            tokens: revoked.collect::<Result<_, _>>()?,
        };
        audit::record(tx, now, "", &revoked);
        Ok(Error::Reused(grant))
    }

    async fn draw(&self, remember: bool) -> Result<Drawn, Error> {
        let secret = self.vault.secret().await?;
        let access = Zeroizing::new(format!("at.{}", secret.expose()));
        let refresh = match remember {
            true => Some(Zeroizing::new(format!(
                "rt.{}",
                self.vault.secret().await?.expose()
            ))),
            false => None,
        };
        Ok(Drawn {
            kind: Kind::Access,
            access,
            refresh,
            lifetimes: [self.access_lifetime, self.refresh_lifetime],
        })
    }

    /// Puts tokens in, and records that they are there.
    async fn record(
        &self,
        tx: &mut Tx,
        tokens: &[(Kind, [u8; 32], Duration)],
        access: &ServiceAccess,
        now: Millis,
    ) -> Result<(), StoreError> {
        let mut inserted = Vec::new();
        for (kind, hash, lifetime) in tokens {
            inserted.push(insert(tx, *hash, *kind, *lifetime, access, now).await?);
        }
        let issued = Event::TokenIssued {
            client: access.client.to_string(),
            grant: access.grant.clone(),
            tokens: inserted,
        };
        audit::record(tx, now, "", &issued);
        Ok(())
    }

    /// Who a bearer token speaks for, and the registration of its client as it stands.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Expired`], or a failure of the database.
    pub async fn access(&self, token: &str) -> Result<(ServiceAccess, Stored), Error> {
        self.bearer(token, Kind::Access).await
    }

    /// Who a token of this kind speaks for.
    ///
    /// # Errors
    /// As [`Tokens::access`].
    pub async fn bearer(&self, token: &str, kind: Kind) -> Result<(ServiceAccess, Stored), Error> {
        const SQL: &str = "SELECT t.client, t.holder, t.expires, t.revoked, h.status, t.grant_id, t.confirmation, t.proven,
                               c.version, c.registration, c.secret_hash, c.record_mac
                           FROM token t JOIN client c ON c.id = t.client LEFT JOIN holder h ON h.id = t.holder
                           WHERE t.hash = $1 AND t.kind = $2";
        let mut row = self
            .store
            .find(SQL, params![hash(token), kind.name()])
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
        let access = ServiceAccess {
            client: ClientId::new(row.get::<String>(0)?),
            holder,
            grant: row.get(5)?,
            sad_goes_on: false,
            confirmation: row.optional(6)?,
            proven: Proven::parse(&row.get::<String>(7)?),
        };
        Ok((access, Stored::read(&mut row, 8)?))
    }

    /// Uses up a token that is good once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_up(
        &self,
        token: &str,
        kind: Kind,
        client: &ClientId,
    ) -> Result<(), StoreError> {
        let (hash, client, now) = (hash(token), client.clone(), self.clock.now());
        self.store
            .write(async move |tx| {
                const SQL: &str = "UPDATE token SET revoked = $4
                                   WHERE hash = $1 AND kind = $2 AND client = $3 AND revoked IS NULL AND expires > $4
                                   RETURNING grant_id";
                let values = params![hash, kind.name(), &client, now];
                let Some(mut row) = tx.find(SQL, values).await? else {
                    return Ok(());
                };
                let spent = Event::TokenSpent {
                    client: client.to_string(),
                    grant: row.get(0)?,
                    token: hex::encode(hash),
                };
                audit::record(tx, now, "", &spent);
                Ok(())
            })
            .await
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

async fn insert(
    tx: &mut Tx,
    hash: [u8; 32],
    kind: Kind,
    lifetime: Duration,
    access: &ServiceAccess,
    now: Millis,
) -> Result<TokenRecord, StoreError> {
    let holder = access.holder.as_ref();
    let holder = holder.map(|holder| holder.as_str().to_owned());
    let expires = now + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX / 2);
    tx.execute(
        "INSERT INTO token (hash, kind, grant_id, client, holder, confirmation, proven, issued, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            hash,
            kind.name(),
            access.grant.as_str(),
            &access.client,
            holder,
            access.confirmation.clone(),
            access.proven.name(),
            now,
            expires
        ],
    )
    .await?;
    Ok(TokenRecord {
        token: hex::encode(hash),
        record: TABLE.record(tx, hash).await?,
    })
}

/// A code is good only together with the request it answers.
fn code_hash(code: &str, bound: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((code.len() as u64).to_be_bytes());
    digest.update(code);
    digest.update(bound);
    digest.finalize().into()
}

/// Tokens that are not issued yet.
struct Drawn {
    kind: Kind,
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    lifetimes: [Duration; 2],
}

impl Drawn {
    fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn hashes(&self) -> Vec<(Kind, [u8; 32], Duration)> {
        let [access, refresh] = self.lifetimes;
        let refreshing = self.refresh.as_ref();
        let refreshing = refreshing.map(|token| (Kind::Refresh, hash(token), refresh));
        [(self.kind, hash(&self.access), access)]
            .into_iter()
            .chain(refreshing)
            .collect()
    }

    fn issued(self, lifetime: Duration) -> Issued {
        Issued {
            access: self.access.to_string(),
            refresh: self.refresh.map(|token| token.to_string()),
            expires_in: lifetime.as_secs(),
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
