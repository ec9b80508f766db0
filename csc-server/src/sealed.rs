//! Values that rest sealed. Each is bound to its place and begins with the version of the master key that it needs; the column
//! `store` of its row repeats the version, so that the database keeps it in use as long as a row names it.

use hsm_adapter::{HsmError, Place, Vault, version_of};

use crate::{
    params,
    store::{Store, StoreError},
};

/// Rows that are moved together.
pub const BATCH: u32 = 32;

/// Why values were not moved to another version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// What became of some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The last row that was looked at; `None` when there was none.
    pub last: Option<String>,
    /// Rows that are on the version in use now.
    pub moved: u64,
    /// Rows whose value does not open: reported, and left as they are.
    pub failed: u64,
}

/// A column of sealed values.
#[derive(Debug)]
pub struct SealedColumn {
    /// The table, as in the place of its values.
    pub table: &'static str,
    /// The column, as in the place of its values.
    pub field: &'static str,
    /// Identifier and value of at most `$3` rows of version `$1`, in the order of their identifiers, after `$2`.
    pub select: &'static str,
    /// Puts `$3`, of version `$4`, in the place of `$2` in row `$1`.
    pub update: &'static str,
}

impl SealedColumn {
    /// The place of a row's value.
    pub fn place<'a>(&self, row: &'a str) -> Place<'a> {
        Place {
            table: self.table,
            row,
            field: self.field,
        }
    }

    /// Moves some values of an old version to the one in use. Whoever changed a row meanwhile has gone first.
    ///
    /// # Errors
    /// When database or HSM fail; nothing is moved then.
    pub async fn reseal(
        &'static self,
        store: &Store,
        vault: &Vault,
        version: u32,
        after: &str,
    ) -> Result<Batch, Error> {
        let rows = store
            .query(self.select, params![version, after, BATCH])
            .await?;
        let (mut batch, mut moves) = (Batch::default(), Vec::new());
        for mut row in rows {
            let (id, old): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            match vault.reseal_value(&self.place(&id), &old).await {
                Ok(new) => moves.push((id.clone(), new.unwrap_or_else(|| old.clone()), old)),
                Err(HsmError::Refused(reason)) => batch.fail(self.table, &id, &reason),
                Err(error) => return Err(error.into()),
            }
            batch.last = Some(id);
        }
        batch.moved = store
            .write(async move |tx| {
                let mut moved = 0;
                for (id, new, old) in &moves {
                    let version = version_of([new.as_slice()]);
                    let values = params![id.as_str(), old.clone(), new.clone(), version];
                    moved += tx.execute(self.update, values).await?;
                }
                Ok(moved)
            })
            .await?;
        Ok(batch)
    }
}

impl Batch {
    /// A row whose value does not open.
    pub fn fail(&mut self, table: &str, row: &str, reason: &str) {
        tracing::error!(
            table,
            row,
            reason,
            "a sealed value does not open and stays under its old master key"
        );
        self.failed += 1;
    }
}
