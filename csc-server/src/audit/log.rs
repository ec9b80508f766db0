//! The log as it stands in the database at one instant, read in the order in which it is proven: the rows of a checkpoint, the checkpoint, the rows
//! of the next; then the rows that no checkpoint covers yet. Every row is read, wherever it stands.

use std::{collections::HashMap, ops::ControlFlow};

use super::{
    checkpoint::{Body, Checkpoint},
    row::{Row, columns},
};
use crate::{
    params,
    store::{self, Snapshot, Store, StoreError},
};

/// Rows of one query.
const PAGE: usize = 1000;

/// What the log is made of.
#[derive(Clone, Debug)]
pub enum Item {
    /// A row.
    Row(Row),
    /// A row of which some column has a value that none of ours has.
    Garbled {
        /// Its chain.
        chain: String,
        /// Its place.
        sequence: i64,
    },
    /// A checkpoint over the rows since the one before, and the number it is stored under.
    Checkpoint(i64, Checkpoint),
    /// The rows from here on are covered by no checkpoint yet.
    Unsealed,
}

/// Every chain, in order: one step of the index a chain, however many rows it has.
macro_rules! chains {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE c(chain) AS (
                 SELECT MIN(chain) FROM audit
                 UNION ALL
                 SELECT (SELECT MIN(a.chain) FROM audit a WHERE a.chain > c.chain) FROM c WHERE c.chain IS NOT NULL
             ) ",
            $rest
        )
    };
}
pub(super) use chains;

/// Reads the whole log; `each` may end it early with a value.
///
/// # Errors
/// When the database fails.
pub async fn walk<B>(
    snapshot: &mut Snapshot,
    each: impl FnMut(Item) -> ControlFlow<B>,
) -> Result<Option<B>, StoreError> {
    let mut walk = Walk {
        snapshot,
        each,
        read: HashMap::new(),
    };
    match walk.all().await {
        Ok(()) => Ok(None),
        Err(Stop::Told(value)) => Ok(Some(value)),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// How many rows there are.
///
/// # Errors
/// When the database fails.
pub async fn count(store: &Store) -> Result<u64, StoreError> {
    let row = store.find("SELECT COUNT(*) FROM audit", &[]).await?;
    let rows: Option<i64> = row.map(|mut row| row.get(0)).transpose()?;
    Ok(rows.unwrap_or_default().unsigned_abs())
}

struct Walk<'a, F> {
    snapshot: &'a mut Snapshot,
    each: F,
    /// How far each chain was read.
    read: HashMap<String, i64>,
}

enum Stop<B> {
    Told(B),
    Store(StoreError),
}

impl<B> From<StoreError> for Stop<B> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<B, F: FnMut(Item) -> ControlFlow<B>> Walk<'_, F> {
    async fn all(&mut self) -> Result<(), Stop<B>> {
        const NEXT: &str = "SELECT number, body, signature FROM checkpoint WHERE number > $1 ORDER BY number LIMIT 1";
        const CHAINS: &str = chains!("SELECT chain FROM c WHERE chain IS NOT NULL");
        let mut number = i64::MIN;
        while let Some(mut row) = self.snapshot.find(NEXT, params![number]).await? {
            number = row.get(0)?;
            // One that cannot be read has no rows before it, and is found out when it comes.
            let checkpoint = Checkpoint {
                body: row.get(1).unwrap_or_default(),
                signature: row.get(2).unwrap_or_default(),
            };
            let body: Option<Body> = serde_json::from_str(&checkpoint.body).ok();
            for head in body.iter().flat_map(|body| &body.heads) {
                self.rows(&head.chain, head.last).await?;
            }
            self.tell(Item::Checkpoint(number, checkpoint))?;
        }
        self.tell(Item::Unsealed)?;
        for mut row in self.snapshot.query(CHAINS, &[]).await? {
            self.rows(&row.get::<String>(0)?, i64::MAX).await?;
        }
        self.strays().await
    }

    /// The rows of a chain that were not read yet, up to this one.
    async fn rows(&mut self, chain: &str, last: i64) -> Result<(), Stop<B>> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM audit WHERE chain = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT 1000"
        );
        loop {
            let read = self.read.get(chain).copied().unwrap_or_default();
            let rows = self.snapshot.query(SQL, params![chain, read, last]).await?;
            let full = rows.len() == PAGE;
            for row in rows {
                let sequence = self.row(row, chain)?;
                self.read.insert(chain.to_owned(), sequence);
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Rows where none of ours stands: before the first of a chain, or (SQLite) at a place that is no number.
    async fn strays(&mut self) -> Result<(), Stop<B>> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM audit WHERE sequence < 1 OR sequence > 9223372036854775807 ORDER BY chain, sequence LIMIT 1000"
        );
        for row in self.snapshot.query(SQL, &[]).await? {
            self.row(row, "")?;
        }
        Ok(())
    }

    fn row(&mut self, row: store::Row, chain: &str) -> Result<i64, Stop<B>> {
        let sequence = row.clone().get(1).unwrap_or_default();
        let item = match Row::read(row) {
            Ok(row) => Item::Row(row),
            Err(StoreError::Column(_)) => Item::Garbled {
                chain: chain.to_owned(),
                sequence,
            },
            Err(error) => return Err(error.into()),
        };
        self.tell(item)?;
        Ok(sequence)
    }

    fn tell(&mut self, item: Item) -> Result<(), Stop<B>> {
        match (self.each)(item) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(value) => Err(Stop::Told(value)),
        }
    }
}
