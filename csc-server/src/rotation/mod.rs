//! Rotation of master keys, while the service runs on any number of nodes.
//!
//! ```text
//! announce (rows may name it) ─► make on the token ─► every node seals under it ─► rows move ─► retire ─► destroy
//! ```
//!
//! The token says which version is in use, the database which versions rows may name: a row names the oldest it needs, by foreign key.
//! So a version is announced before it is made, and retired (which the database refuses while a row names it, and after which it refuses
//! rows that name it) before it is destroyed. Nothing that rests can lose its key, whatever crashes in between, and
//! each step may be run again.
//!
//! Rows under `store` are moved by the [`Mover`] of every node. What is sealed under the sealing keys moves when its holder types the
//! PIN, or the PUK (`credential::pin`); the old version stays as long as that takes.

mod mover;
mod retire;
mod usage;

use std::{collections::BTreeSet, time::Duration};

use hsm_adapter::{HsmError, Master, MasterSet, Vault};

pub use self::{
    mover::Mover,
    usage::{Usage, left},
};
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    params, sealed,
    store::{Store, StoreError},
};

/// After this time a rotation that was announced and not made is taken to have been interrupted.
const INTERRUPTED: Millis = 60_000;

/// Why nothing was rotated or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two at once would make two keys of one label.
    #[error(
        "another rotation is under way, or was interrupted within the last minute; try again then"
    )]
    UnderWay,
    /// It seals what is new.
    #[error("version {0} is in use; rotate first")]
    InUse(u32),
    /// A node that has not followed the rotation yet, or a request that was under way then, may still store what is sealed under it.
    #[error("the rotation is too young: a request may still use the version before for {} s", .0.as_secs() + 1)]
    TooYoung(Duration),
    /// What rests needs a later version than any that is there.
    #[error(
        "the database was sealed under {0}/v{1}, which this token does not have: it is another token, or an old copy of it"
    )]
    OtherToken(&'static str, u32),
    /// It opens what rests.
    #[error("it is needed: {0}")]
    Needed(Usage),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<sealed::Error> for Error {
    fn from(error: sealed::Error) -> Self {
        match error {
            sealed::Error::Store(error) => Self::Store(error),
            sealed::Error::Hsm(error) => Self::Hsm(error),
        }
    }
}

/// A statement on the table of a set's versions.
macro_rules! versions {
    ($set:expr, $before:literal, $after:literal) => {
        match $set {
            MasterSet::Store => concat!($before, " store_version ", $after),
            MasterSet::Sealing => concat!($before, " sealing_version ", $after),
        }
    };
}
use versions;

/// The name of a set: on the command line, in the audit log and in metrics.
pub fn name(set: MasterSet) -> &'static str {
    match set {
        MasterSet::Store => "store",
        MasterSet::Sealing => "masters",
    }
}

/// Rotates and destroys.
#[derive(Clone)]
pub struct Rotation {
    store: Store,
    clock: Clock,
    vault: Vault,
    request: Duration,
}

impl Rotation {
    /// The master keys of this vault, and the rows of this database. `request` is how long a request may take from reading or sealing to
    /// storing.
    pub fn new(store: Store, clock: Clock, vault: Vault, request: Duration) -> Self {
        Self {
            store,
            clock,
            vault,
            request,
        }
    }

    /// Lets rows name the versions that are in use: in a new database, or in one that is older than the token. Of one that is older than a
    /// destruction the log says so.
    ///
    /// # Errors
    /// [`Error::OtherToken`], or when database or HSM fail.
    pub async fn register(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for set in MasterSet::ALL {
            let (versions, current) = self.vault.versions(set).await?;
            for version in self.named(set).await? {
                if version > current {
                    return Err(Error::OtherToken(name(set), version));
                }
                if !versions.contains(&version) {
                    tracing::error!(
                        key = name(set),
                        version,
                        "the database is older than the destruction of a master key: what rests under it opens for nobody"
                    );
                }
            }
            self.store
                .write(async move |tx| {
                    let sql = versions!(
                        set,
                        "INSERT INTO",
                        "(version, announced, made) VALUES ($1, $2, $2) ON CONFLICT (version) DO NOTHING"
                    );
                    tx.execute(sql, params![current, now]).await
                })
                .await?;
        }
        Ok(())
    }

    /// The versions that were made and that rows may name.
    async fn named(&self, set: MasterSet) -> Result<BTreeSet<u32>, StoreError> {
        let sql = versions!(set, "SELECT version FROM", "WHERE made IS NOT NULL");
        let rows = self.store.query(sql, &[]).await?;
        rows.into_iter().map(|mut row| row.get(0)).collect()
    }

    /// Makes the next version and uses it from then on: its keys. A rotation that was interrupted is completed instead.
    ///
    /// # Errors
    /// [`Error::UnderWay`], or a failure of database or HSM.
    pub async fn rotate(&self, set: MasterSet) -> Result<Vec<Master>, Error> {
        let (_, current) = self.vault.versions(set).await?;
        let version = self.announce(set, current).await?;
        let made = match self.vault.rotate(set, version).await {
            Ok(made) => made,
            Err(error) => {
                // Whoever tries again need not wait.
                self.store
                    .write(async move |tx| {
                        let sql = versions!(
                            set,
                            "UPDATE",
                            "SET announced = 0 WHERE version = $1 AND made IS NULL"
                        );
                        tx.execute(sql, params![version]).await
                    })
                    .await?;
                return Err(error.into());
            }
        };
        let now = self.clock.now();
        self.store
            .write(async move |tx| {
                let sql = versions!(
                    set,
                    "UPDATE",
                    "SET made = $2 WHERE version = $1 AND made IS NULL"
                );
                if tx.execute(sql, params![version, now]).await? == 1 {
                    let rotated = Event::MasterRotated {
                        key: name(set),
                        version,
                    };
                    audit::record(tx, now, "", &rotated);
                }
                Ok(())
            })
            .await?;
        Ok(made)
    }

    /// Lets rows name the next version, or takes over an interrupted rotation.
    async fn announce(&self, set: MasterSet, current: u32) -> Result<u32, Error> {
        let now = self.clock.now();
        let announced = self
            .store
            .write(async move |tx| {
                let take_over = versions!(
                    set,
                    "UPDATE",
                    "SET announced = $2 WHERE version = $1 AND made IS NULL AND announced <= $3"
                );
                let unfinished = versions!(
                    set,
                    "SELECT version FROM",
                    "WHERE version = $1 AND made IS NULL"
                );
                let next = current.saturating_add(1);
                for version in [current, next] {
                    let taken = params![version, now, now - INTERRUPTED];
                    if tx.execute(take_over, taken).await? == 1 {
                        return Ok(Some(version));
                    }
                    if tx.find(unfinished, params![version]).await?.is_some() {
                        return Ok(None);
                    }
                }
                let announce = versions!(
                    set,
                    "INSERT INTO",
                    "(version, announced) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING"
                );
                let announced = tx.execute(announce, params![next, now]).await?;
                Ok((announced == 1).then_some(next))
            })
            .await?;
        announced.ok_or(Error::UnderWay)
    }

    /// What rests under each version that is on the token or that rows may name.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn versions(&self, set: MasterSet) -> Result<Vec<Version>, Error> {
        let (on_token, current) = self.vault.versions(set).await?;
        let mut versions = self.named(set).await?;
        versions.extend(&on_token);
        let usage = usage::by_version(&self.store, set, versions, self.clock.now()).await?;
        let state = |version| match version {
            _ if !on_token.contains(&version) => State::Lost,
            _ if version == current => State::InUse,
            _ if version > current => State::Begun,
            _ => State::Old,
        };
        let versions = usage.into_iter().map(|(version, usage)| Version {
            version,
            state: state(version),
            usage,
        });
        Ok(versions.collect())
    }
}

/// A version of a set of master keys.
#[derive(Debug)]
pub struct Version {
    /// Its number.
    pub version: u32,
    /// What becomes of it.
    pub state: State,
    /// What rests under it.
    pub usage: Usage,
}

/// What becomes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its making was interrupted.
    Begun,
    /// It seals what is new.
    InUse,
    /// It opens what rests, until nothing does.
    Old,
    /// It is not on the token: the database is older than its destruction, and what rests under it opens for nobody.
    Lost,
}
