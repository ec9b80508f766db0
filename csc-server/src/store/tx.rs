//! The transaction a unit runs in.

use std::sync::Arc;

use super::{Entry, Row, StoreError, Value, postgres, sqlite};
use crate::actor::Actor;

/// Where the writer's transactions come from.
pub(super) enum Source {
    /// The one connection that writes.
    Sqlite(Option<rusqlite::Connection>),
    /// A connection of the pool for each batch.
    Postgres(sqlx::PgPool),
}

enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

/// An open transaction: statements and journal entries, durable together.
pub struct Tx {
    connection: Connection,
    pub(super) entries: Vec<Entry>,
    /// Who acts in the unit that runs now.
    pub(super) actor: Option<Arc<Actor>>,
}

impl Tx {
    pub(super) async fn begin(source: &mut Source) -> Result<Self, StoreError> {
        let mut tx = match source {
            Source::Sqlite(connection) => {
                let connection = connection
                    .take()
                    .ok_or(StoreError::Corrupt("the writing connection is gone"))?;
                Self {
                    connection: Connection::Sqlite(connection),
                    entries: Vec::new(),
                    actor: None,
                }
            }
            Source::Postgres(pool) => {
                let connection = pool
                    .acquire()
                    .await
                    .map_err(|error| postgres::failure(&error))?;
                Self {
                    connection: Connection::Postgres(connection),
                    entries: Vec::new(),
                    actor: None,
                }
            }
        };
        let begin = match tx.connection {
            // IMMEDIATE: a second process (a command of the terminal) waits here, not in the middle.
            Connection::Sqlite(_) => "BEGIN IMMEDIATE",
            Connection::Postgres(_) => "BEGIN",
        };
        match tx.execute(begin, &[]).await {
            Ok(_) => Ok(tx),
            Err(error) => {
                tx.give_back(source);
                Err(error)
            }
        }
    }

    pub(super) async fn end(
        mut self,
        sql: &'static str,
        source: &mut Source,
    ) -> Result<(), StoreError> {
        let ended = self.execute(sql, &[]).await.map(drop);
        if ended.is_err() {
            // A failed COMMIT leaves SQLite inside the transaction; a second ROLLBACK is harmless.
            let _ = self.execute("ROLLBACK", &[]).await;
        }
        self.give_back(source);
        ended
    }

    fn give_back(self, source: &mut Source) {
        if let (Source::Sqlite(slot), Connection::Sqlite(connection)) = (source, self.connection) {
            *slot = Some(connection);
        }
    }

    /// Runs a statement: the number of rows it changed.
    ///
    /// # Errors
    /// When the database refuses it; the unit should then end with this error.
    pub async fn execute(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<u64, StoreError> {
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::execute(connection, sql, params),
            Connection::Postgres(connection) => postgres::execute(connection, sql, params).await,
        }
    }

    /// Rows of a SELECT or of a RETURNING clause.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn query(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::query(connection, sql, params),
            Connection::Postgres(connection) => postgres::query(connection, sql, params).await,
        }
    }

    /// The first such row.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn find(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Who acts, where somebody does.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_deref()
    }

    /// Adds an entry to the journal, durable with the unit.
    pub fn record(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    pub(super) async fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.connection {
            Connection::Sqlite(connection) => sqlite::script(connection, sql),
            Connection::Postgres(connection) => postgres::script(connection, sql).await,
        }
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }
}
