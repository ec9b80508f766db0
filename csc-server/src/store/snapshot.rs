//! Reading at one instant.

use sqlx::{ConnectOptions as _, PgConnection};

use super::{Readers, Row, Store, StoreError, Value, postgres, sqlite};

/// The database as it was at one instant: what is read goes together, whatever is written meanwhile.
///
/// It has a connection of its own, so that nobody waits for a long reading. The database keeps what changed since the instant
/// for as long as this lives.
pub struct Snapshot(Source);

enum Source {
    Sqlite(rusqlite::Connection),
    Postgres(PgConnection),
}

impl Store {
    /// The database as it is now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let (source, begin) = match &self.readers {
            Readers::Sqlite(readers) => (Source::Sqlite(readers.another()?), "BEGIN"),
            Readers::Postgres(pool) => {
                let connection = pool.connect_options().connect().await;
                let connection = connection.map_err(|error| postgres::failure(&error))?;
                (
                    Source::Postgres(connection),
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                )
            }
        };
        let mut snapshot = Snapshot(source);
        snapshot.query(begin, &[]).await?;
        // Both databases take the snapshot with the first query.
        snapshot
            .query("SELECT version FROM schema_version", &[])
            .await?;
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Rows of a SELECT.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn query(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        match &mut self.0 {
            Source::Sqlite(connection) => sqlite::query(connection, sql, params),
            Source::Postgres(connection) => postgres::query(connection, sql, params).await,
        }
    }

    /// Every row of a SELECT, one after the other.
    ///
    /// # Errors
    /// When the database fails, or the first error of `each`.
    pub async fn each(
        &mut self,
        sql: &'static str,
        each: impl FnMut(Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &mut self.0 {
            Source::Sqlite(connection) => sqlite::each(connection, sql, &[], each),
            Source::Postgres(connection) => postgres::each(connection, sql, each).await,
        }
    }

    /// The row of a SELECT by key, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        &mut self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }
}
