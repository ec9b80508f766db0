//! SQLite, through rusqlite. Point reads take microseconds from the page cache: they run where they are called, which is
//! cheaper than any hop to another thread.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use tokio::sync::Semaphore;

use super::{Kind, Row, StoreError, Value};

pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|error| {
        StoreError::Database(format!("cannot open {}: {error}", path.display()))
    })?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(failure)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;",
        )
        .map_err(failure)
}

/// Connections that only read.
#[derive(Clone)]
pub(super) struct Readers {
    path: Arc<Path>,
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let connections = (0..count.max(1))
            .map(|_| reader(path))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self {
            path: path.into(),
            permits: Arc::new(Semaphore::new(connections.len())),
            free: Arc::new(Mutex::new(connections)),
        })
    }

    /// A connection beside those that take turns.
    pub(super) fn another(&self) -> Result<Connection, StoreError> {
        reader(&self.path)
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Busy)?;
        let lent = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = lent.ok_or(StoreError::Busy)?;
        let rows = query(&connection, sql, params);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        rows
    }
}

fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
    prepare(&connection)?;
    connection
        .execute_batch("PRAGMA query_only = ON")
        .map_err(failure)?;
    Ok(connection)
}

pub(super) fn execute(
    connection: &Connection,
    sql: &'static str,
    params: &[Value],
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    bind(&mut statement, params)?;
    statement
        .raw_execute()
        .map(|changed| changed as u64)
        .map_err(failure)
}

pub(super) fn query(
    connection: &Connection,
    sql: &'static str,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let mut found = Vec::new();
    each(connection, sql, params, |row| {
        found.push(row);
        Ok(())
    })?;
    Ok(found)
}

/// Hands over one row after the other.
pub(super) fn each(
    connection: &Connection,
    sql: &'static str,
    params: &[Value],
    mut each: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    bind(&mut statement, params)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failure)? {
        let values = (0..columns)
            .map(|column| row.get_ref(column).map_err(failure).and_then(value))
            .collect::<Result<_, _>>()?;
        each(Row(values))?;
    }
    Ok(())
}

pub(super) fn script(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.execute_batch(sql).map_err(failure)
}

/// Binds `$3` to the third parameter, whatever the order in the text (SQLite numbers names by first appearance).
fn bind(statement: &mut rusqlite::Statement<'_>, params: &[Value]) -> Result<(), StoreError> {
    for index in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(index)
            .and_then(|name| name.get(1..)?.parse::<usize>().ok());
        let value = number.and_then(|number| params.get(number.checked_sub(1)?));
        match value.ok_or(StoreError::Corrupt(
            "a statement has more parameters than values",
        ))? {
            Value::Null(_) => statement.raw_bind_parameter(index, rusqlite::types::Null),
            Value::Int(value) => statement.raw_bind_parameter(index, value),
            Value::Text(value) => statement.raw_bind_parameter(index, value),
            Value::Octets(value) => statement.raw_bind_parameter(index, value),
        }
        .map_err(failure)?;
    }
    Ok(())
}

fn value(value: ValueRef<'_>) -> Result<Value, StoreError> {
    Ok(match value {
        ValueRef::Null => Value::Null(Kind::Int),
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(_) => return Err(StoreError::Corrupt("a floating-point value")),
        ValueRef::Text(text) => Value::Text(
            String::from_utf8(text.to_vec())
                .map_err(|_| StoreError::Corrupt("text that is not UTF-8"))?,
        ),
        ValueRef::Blob(octets) => Value::Octets(octets.to_vec()),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failure(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Conflict(error.to_string())
        }
        _ => StoreError::Database(error.to_string()),
    }
}
