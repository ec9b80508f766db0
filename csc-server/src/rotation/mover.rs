//! Moves what rests to the version in use, in the background of every node.
//!
//! Each step is decided by its UPDATE, so that any number of nodes may do it at once, stop anywhere and begin anew: what is left to do is
//! what the rows say. Nodes begin at random places, so that they seldom take the same row. Values are moved on
//! the slow lane of the HSM, where no signature waits.

use std::time::Duration;

use hsm_adapter::{MasterSet, Vault};
use tokio::sync::watch;

use super::{Error, name, versions};
use crate::{
    credential, factor,
    ids::random_id,
    jobs, operation, params,
    sealed::Batch,
    store::{Store, StoreError},
};

/// How often a node looks whether keys were rotated, and whether there is something to move.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long it leaves rows alone when only those are left that do not open.
const REST: Duration = Duration::from_secs(60);

/// Moves rows until told to stop.
pub struct Mover {
    /// Where the rows are.
    pub store: Store,
    /// Whose keys they are under.
    pub vault: Vault,
}

/// Rows that move in one way.
#[derive(Clone, Copy)]
enum Rows {
    Credentials,
    Factors,
    Jobs,
    Operations,
    KeylessRecords,
}

impl Rows {
    fn of(set: MasterSet) -> &'static [Self] {
        match set {
            MasterSet::Store => &[
                Self::Credentials,
                Self::Factors,
                Self::Jobs,
                Self::Operations,
            ],
            // What else is under them needs its holder.
            MasterSet::Sealing => &[Self::Factors, Self::KeylessRecords],
        }
    }
}

impl Mover {
    /// Runs until `stop` becomes true.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        tokio::join!(self.follow(stop.clone()), self.move_rows(stop));
    }

    /// Follows rotations that other processes make, also while rows are being moved.
    async fn follow(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            for set in MasterSet::ALL {
                if let Err(error) = self.follow_set(set).await {
                    tracing::warn!(%error, key = name(set), "whether master keys were rotated cannot be seen");
                }
            }
            let _ = tokio::time::timeout(LOOK, stop.changed()).await;
        }
    }

    async fn follow_set(&self, set: MasterSet) -> Result<(), Error> {
        let sql = versions!(set, "SELECT MAX(version) FROM", "WHERE made IS NOT NULL");
        let newest = match self.store.find(sql, &[]).await? {
            Some(mut row) => row.optional::<u32>(0)?,
            None => None,
        };
        let known = self.vault.known_version(set);
        if newest > Some(known) {
            let (_, current) = self.vault.versions(set).await?;
            if current > known {
                tracing::info!(
                    key = name(set),
                    version = current,
                    "master keys were rotated"
                );
            }
        }
        Ok(())
    }

    async fn move_rows(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.pass(&stop).await {
                Ok(Batch { moved: 1.., .. }) => continue,
                Ok(Batch { failed: 1.., .. }) => REST,
                Ok(_) => LOOK,
                Err(error) => {
                    tracing::warn!(%error, "rows wait for their new master key");
                    LOOK
                }
            };
            let _ = tokio::time::timeout(pause, stop.changed()).await;
        }
    }

    /// Looks once at every row that is under an older version than the one in use.
    async fn pass(&self, stop: &watch::Receiver<bool>) -> Result<Batch, Error> {
        let mut pass = Batch::default();
        for set in MasterSet::ALL {
            for version in self.old_versions(set).await? {
                for rows in Rows::of(set) {
                    let done = self.walk(*rows, set, version, stop).await?;
                    metrics::counter!("csc_rotation_rows_moved_total", "key" => name(set))
                        .increment(done.moved);
                    pass.moved += done.moved;
                    pass.failed += done.failed;
                }
            }
        }
        Ok(pass)
    }

    /// The versions before the one in use that rows may name.
    async fn old_versions(&self, set: MasterSet) -> Result<Vec<u32>, Error> {
        let sql = versions!(
            set,
            "SELECT version FROM",
            "WHERE version < $1 ORDER BY version"
        );
        let current = self.vault.known_version(set);
        let rows = self.store.query(sql, params![current]).await?;
        let versions = rows.into_iter().map(|mut row| row.get(0));
        Ok(versions.collect::<Result<_, StoreError>>()?)
    }

    /// Moves all rows of a kind that are under this version: from a random place to the end, and from the beginning.
    async fn walk(
        &self,
        rows: Rows,
        set: MasterSet,
        version: u32,
        stop: &watch::Receiver<bool>,
    ) -> Result<Batch, Error> {
        let mut walked = Batch::default();
        let start = random_id();
        for (after, until) in [(start.as_str(), None), ("", Some(start.as_str()))] {
            let mut after = after.to_owned();
            while !*stop.borrow() && until.is_none_or(|until| *after <= *until) {
                let done = self.step(rows, set, version, &after).await?;
                walked.moved += done.moved;
                walked.failed += done.failed;
                let Some(last) = done.last else { break };
                after = last;
            }
        }
        Ok(walked)
    }

    async fn step(
        &self,
        rows: Rows,
        set: MasterSet,
        version: u32,
        after: &str,
    ) -> Result<Batch, Error> {
        let (store, vault) = (&self.store, &self.vault);
        let done = match rows {
            Rows::Credentials => credential::reseal::blobs(store, vault, version, after).await,
            Rows::Factors => factor::reseal::factors(store, vault, set, version, after).await,
            Rows::Jobs => jobs::PAYLOAD.reseal(store, vault, version, after).await,
            Rows::Operations => operation::KEY.reseal(store, vault, version, after).await,
            Rows::KeylessRecords => {
                credential::reseal::keyless_records(store, vault, version, after).await
            }
        };
        Ok(done?)
    }
}
