//! Moves what rests to the version in use, in the background of every node.
//!
//! Each step is decided by its UPDATE, so that any number of nodes may do it at once, stop anywhere and begin anew: what is left to do is
//! what the rows say. Nodes begin at random places, so that they seldom take the same row. Values are moved on
//! the slow lane of the HSM, where no signature waits.

use std::time::Duration;

use hsm_adapter::{MasterSet, Vault};
use tokio::{sync::watch, time::Instant};

use super::{Error, name, versions};
use crate::{clock::Millis, credential, factor, ids::random_id, jobs, sealed::Batch, store::Store};

/// How often a node looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);
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
    RevokedRecords,
}

impl Rows {
    fn of(set: MasterSet) -> &'static [Self] {
        match set {
            MasterSet::Store => &[Self::Credentials, Self::Factors, Self::Jobs],
            // What else is under them needs its holder.
            MasterSet::Sealing => &[Self::Factors, Self::RevokedRecords],
        }
    }
}

impl Mover {
    /// Runs until `stop` becomes true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut rest = Instant::now();
        while !*stop.borrow() {
            match self.pass(&stop, Instant::now() >= rest).await {
                Ok(Batch { moved: 1.., .. }) => continue,
                Ok(Batch { failed: 1.., .. }) => rest = Instant::now() + REST,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "rows wait for their new master key"),
            }
            let _ = tokio::time::timeout(LOOK, stop.changed()).await;
        }
    }

    /// Looks which versions are in use, and, unless it rests, once at every row that is under an older one.
    async fn pass(&self, stop: &watch::Receiver<bool>, walk: bool) -> Result<Batch, Error> {
        let mut pass = Batch::default();
        for set in MasterSet::ALL {
            let old = self.old_versions(set).await?;
            for version in old.into_iter().filter(|_| walk) {
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

    /// The versions before the one in use; follows a rotation that another process has made.
    async fn old_versions(&self, set: MasterSet) -> Result<Vec<u32>, Error> {
        let sql = versions!(set, "SELECT version, made FROM", "ORDER BY version");
        let (mut named, mut newest) = (Vec::new(), 0);
        for mut row in self.store.query(sql, &[]).await? {
            let version = row.get(0)?;
            named.push(version);
            if row.optional::<Millis>(1)?.is_some() {
                newest = version;
            }
        }
        let known = self.vault.known_version(set);
        if newest > known {
            let (_, current) = self.vault.versions(set).await?;
            if current > known {
                let key = name(set);
                tracing::info!(key, version = current, "master keys were rotated");
            }
        }
        let current = self.vault.known_version(set);
        Ok(named.into_iter().filter(|old| *old < current).collect())
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
            Rows::Jobs => jobs::reseal(store, vault, version, after).await,
            Rows::RevokedRecords => {
                credential::reseal::revoked_records(store, vault, version, after).await
            }
        };
        Ok(done?)
    }
}
