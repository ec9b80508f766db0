//! Rows that rest under a master key and are moved to another version of it. A row repeats the oldest version it needs in a column
//! (`store`, `masters`), so that the database keeps that version in use as long as a row names it.

use hsm_adapter::HsmError;

use crate::store::{Store, StoreError, Value};

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
