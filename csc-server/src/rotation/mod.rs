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
mod usage;

use std::{collections::BTreeMap, time::Duration};

use hsm_adapter::{HsmError, Master, MasterSet, Vault};

pub use self::{
    mover::Mover,
    usage::{Usage, left},
};
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    params, sealed,
    store::{Store, StoreError, Tx},
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

    /// Lets rows name the versions that are in use: in a new database, or in one that is older than the token.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn register(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for set in MasterSet::ALL {
            let version = self.vault.current_version(set).await?;
            self.store
                .write(async move |tx| {
                    let sql = versions!(
                        set,
                        "INSERT INTO",
                        "(version, announced, made) VALUES ($1, $2, $2) ON CONFLICT (version) DO NOTHING"
                    );
                    tx.execute(sql, params![version, now]).await
                })
                .await?;
        }
        Ok(())
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

    /// Takes a version, and those before it, out of use for good: no row needs them, and from now on none can.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::TooYoung`], [`Error::Needed`], or a failure of database or HSM.
    pub async fn retire(&self, set: MasterSet, version: u32) -> Result<(), Error> {
        let (_, current) = self.vault.versions(set).await?;
        if version >= current {
            return Err(Error::InUse(current));
        }
        let now = self.clock.now();
        self.followed(set, current, now).await?;
        let retired = self
            .store
            .write(async move |tx| {
                if set == MasterSet::Sealing {
                    usage::forget_ended(tx, version, now).await?;
                }
                let usage = usage::up_to(tx, set, version, now).await?;
                if usage.rows() > 0 {
                    return Ok(usage);
                }
                let sql = versions!(set, "DELETE FROM", "WHERE version <= $1");
                if tx.execute(sql, params![version]).await? > 0 {
                    let retired = Event::MasterRetired {
                        key: name(set),
                        version,
                    };
                    audit::record(tx, now, "", &retired);
                }
                Ok(usage)
            })
            .await;
        let usage = match retired {
            Ok(usage) => usage,
            // A row of another node came in between counting and deleting: the database let neither pass the other.
            Err(error @ StoreError::Database(_)) => {
                let again = async move |tx: &mut Tx| usage::up_to(tx, set, version, now).await;
                match self.store.write(again).await? {
                    usage if usage.rows() > 0 => usage,
                    _ => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        if usage.rows() > 0 {
            return Err(Error::Needed(usage));
        }
        Ok(())
    }

    /// Every node has followed the rotation to this version, and what it had sealed before is stored.
    async fn followed(&self, set: MasterSet, current: u32, now: Millis) -> Result<(), Error> {
        let sql = versions!(set, "SELECT made FROM", "WHERE version = $1");
        let made = match self.store.find(sql, params![current]).await? {
            Some(mut row) => row.optional::<Millis>(0)?,
            None => None,
        };
        // One that was made and not noted: no node has heard of it.
        let made = made.ok_or(Error::UnderWay)?;
        let age = Duration::from_millis(u64::try_from(now - made).unwrap_or_default());
        match (2 * mover::LOOK + self.request).checked_sub(age) {
            Some(left) if !left.is_zero() => Err(Error::TooYoung(left)),
            _ => Ok(()),
        }
    }

    /// Destroys a retired version, and those before it, on the token: the labels that were there. Requests that read their row before it was
    /// moved must have ended.
    ///
    /// # Errors
    /// As [`Rotation::retire`].
    pub async fn destroy(&self, set: MasterSet, version: u32) -> Result<Vec<String>, Error> {
        self.retire(set, version).await?;
        let (versions, _) = self.vault.versions(set).await?;
        let mut labels = Vec::new();
        for version in versions.into_iter().filter(|older| *older <= version) {
            let destroyed = self.vault.destroy_version(set, version).await?;
            let event = Event::MasterDestroyed {
                key: name(set),
                version,
            };
            audit::note(&self.store, self.clock.now(), "", event).await?;
            labels.extend(destroyed);
        }
        Ok(labels)
    }

    /// The version in use, and what rests under each that is on the token.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn usage(&self, set: MasterSet) -> Result<(u32, BTreeMap<u32, Usage>), Error> {
        let (versions, current) = self.vault.versions(set).await?;
        let now = self.clock.now();
        let usage = usage::by_version(&self.store, set, &versions, now).await?;
        Ok((current, usage))
    }
}
