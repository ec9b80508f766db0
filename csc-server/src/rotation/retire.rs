//! The end of a version: retired in the database first, then destroyed on the token. SC-75: whether two officers agreed is asked before
//! either, where the command begins.

use std::time::Duration;

use hsm_adapter::MasterSet;

use super::{Error, Rotation, mover, name, usage, versions};
use crate::{
    audit::{self, Event},
    clock::Millis,
    params,
    store::{StoreError, Tx},
};

impl Rotation {
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
}
