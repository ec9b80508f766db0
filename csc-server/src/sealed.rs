//! Rows that rest under a master key and are moved to another version of it. A row repeats the oldest version it needs in a column
//! (`store`, `masters`), so that the database keeps that version in use as long as a row names it.

use hsm_adapter::{HsmError, Place, Vault, version_of};

use crate::{
    params,
    store::{Store, StoreError, Value},
};

/// Rows that are moved together.
pub const BATCH: u32 = 32;

/// Why rows were not moved.
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
    /// Rows that are not what the service wrote: reported, and left as they are.
    pub failed: u64,
}

impl Batch {
    /// A row that is not what the service wrote.
    pub fn fail(&mut self, table: &str, row: &str, reason: &str) {
        tracing::error!(
            table,
            row,
            reason,
            "a row does not open and stays under its old master key"
        );
        self.failed += 1;
    }

    /// Runs the statement that replaces a row once for each row. It changes only a row that is still what was read: whoever changed
    /// it meanwhile has gone first.
    ///
    /// # Errors
    /// When the database fails; nothing is replaced then.
    pub async fn replace(
        &mut self,
        store: &Store,
        sql: &'static str,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        self.moved = store
            .write(async move |tx| {
                let mut moved = 0;
                for row in &rows {
                    moved += tx.execute(sql, row).await?;
                }
                Ok(moved)
            })
            .await?;
        Ok(())
    }
}

/// A column of values under `store`, in a table whose rows have an `id` and name the version in `store`. Made by `column!`.
pub struct Column {
    pub(crate) table: &'static str,
    pub(crate) field: &'static str,
    pub(crate) select: &'static str,
    pub(crate) update: &'static str,
}

/// Writes the SQL of a [`Column`].
macro_rules! column {
    ($table:literal, $field:literal) => {
        $crate::sealed::Column {
            table: $table,
            field: $field,
            select: concat!(
                "SELECT id, ",
                $field,
                " FROM ",
                $table,
                " WHERE store = $1 AND id > $2 ORDER BY id LIMIT $3"
            ),
            update: concat!(
                "UPDATE ",
                $table,
                " SET ",
                $field,
                " = $2, store = $3 WHERE id = $1 AND ",
                $field,
                " = $4"
            ),
        }
    };
}
pub(crate) use column;

impl Column {
    /// Where the value of a row is, which it opens for alone.
    pub fn place<'a>(&self, row: &'a str) -> Place<'a> {
        Place {
            table: self.table,
            row,
            field: self.field,
        }
    }

    /// Moves the values of some rows, after this one, from a version of the master key to the one in use.
    ///
    /// # Errors
    /// When database or HSM fail; nothing is moved then.
    pub async fn reseal(
        &self,
        store: &Store,
        vault: &Vault,
        version: u32,
        after: &str,
    ) -> Result<Batch, Error> {
        let (mut batch, mut rows) = (Batch::default(), Vec::new());
        let page = params![version, after, BATCH].to_vec();
        for mut row in store.query(self.select, &page).await? {
            let (id, old): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            match vault.reseal_value(&self.place(&id), &old).await {
                Ok(new) => {
                    let new = new.unwrap_or_else(|| old.clone());
                    let version = version_of([new.as_slice()]);
                    rows.push(params![id.as_str(), new, version, old].to_vec());
                }
                Err(HsmError::Refused(reason)) => batch.fail(self.table, &id, &reason),
                Err(error) => return Err(error.into()),
            }
            batch.last = Some(id);
        }
        batch.replace(store, self.update, rows).await?;
        Ok(batch)
    }
}
