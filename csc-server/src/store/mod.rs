//! The database: one SQL text for SQLite and PostgreSQL, reads by key, and writes that are durable when they return.
//!
//! SQLite (WAL, synchronous=FULL) is embedded; PostgreSQL serves several nodes. This folder knows no table's meaning:
//! the SQL of a row stands beside the type it reads.
//!
//! Writes are *units*. [`Store::write`] hands a unit to the one writer of the process, which gathers what is waiting, runs
//! each unit in a savepoint, adds the journal rows of all, and commits once: one fsync for many requests. A unit runs SQL
//! and nothing else: no HSM, no Argon2, no network. It may run again after a deadlock between nodes, so it takes
//! its inputs by reference and has no effect but its statements.

mod migrate;
mod postgres;
mod snapshot;
mod sqlite;
mod tx;
mod value;
mod writer;

use std::{path::PathBuf, sync::Arc};

pub use snapshot::Snapshot;
pub use tx::Tx;
pub use value::{Column, Kind, Row, Value};

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A PostgreSQL server; the options carry the password.
    Postgres(Box<sqlx::postgres::PgConnectOptions>),
}

/// A failure of the database, never of what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full.
    #[error("the database has too much to write; try again")]
    Busy,
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(String),
    /// Another node was in the way; the unit may run again.
    #[error("database: {0} (may be tried again)")]
    Conflict(String),
    /// A column is not what the code expects.
    #[error("column {0} is not of the type the code expects")]
    Column(usize),
    /// What is stored cannot be read as what it should be.
    #[error("stored value cannot be read: {0}")]
    Corrupt(&'static str),
}

/// One line for the journal: written in the transaction of the unit that recorded it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, milliseconds since 1970 UTC.
    pub time: i64,
    /// The event, JSON.
    pub event: String,
    /// Pseudonym of the person it is about; empty when there is none.
    pub person: String,
}

/// A statement with its parameters.
#[derive(Debug)]
pub struct Statement {
    /// SQL with `$1`, `$2`, ….
    pub sql: &'static str,
    /// Parameters in order.
    pub params: Vec<Value>,
}

/// What turns journal entries into rows; the audit chain.
pub trait Journal: Send + 'static {
    /// The statements that write these entries after everything settled so far.
    fn seal(&mut self, entries: &[Entry]) -> Vec<Statement>;
    /// Whether what was sealed last is durable; if not, it never happened.
    fn settle(&mut self, durable: bool);
}

/// The open database.
#[derive(Clone)]
pub struct Store {
    readers: Readers,
    writer: Arc<writer::Writer>,
}

#[derive(Clone)]
enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(sqlx::PgPool),
}

impl Store {
    /// Opens the database, brings its schema up to date, and starts the writer.
    ///
    /// # Errors
    /// When it cannot be opened, or its schema is newer than this program.
    pub async fn open(
        location: &Location,
        readers: usize,
        journal: Box<dyn Journal>,
    ) -> Result<Self, StoreError> {
        let (readers, source) = match location {
            Location::Sqlite(path) => {
                let connection = sqlite::connect(path)?;
                (
                    Readers::Sqlite(sqlite::Readers::open(path, readers)?),
                    tx::Source::Sqlite(Some(connection)),
                )
            }
            Location::Postgres(options) => {
                let pool = postgres::pool(options, readers).await?;
                (Readers::Postgres(pool.clone()), tx::Source::Postgres(pool))
            }
        };
        let writer = writer::Writer::start(source, journal).await?;
        Ok(Self {
            readers,
            writer: Arc::new(writer),
        })
    }

    /// Rows of a SELECT.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn query(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        match &self.readers {
            Readers::Sqlite(readers) => readers.query(sql, params).await,
            Readers::Postgres(pool) => {
                let mut connection = pool
                    .acquire()
                    .await
                    .map_err(|error| postgres::failure(&error))?;
                postgres::query(&mut connection, sql, params).await
            }
        }
    }

    /// The row of a SELECT by key, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        &self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a unit and returns when what it did, and what it recorded in the journal, is durable. A refusal is a result like
    /// any other and commits; only a [`StoreError`] rolls the unit back.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full: nothing was done.
    pub async fn write<R, F>(&self, unit: F) -> Result<R, StoreError>
    where
        F: AsyncFn(&mut Tx) -> Result<R, StoreError> + Send + 'static,
        R: Send + 'static,
    {
        self.writer.write(unit).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.query("SELECT version FROM schema_version", &[])
            .await
            .map(drop)
    }
}
