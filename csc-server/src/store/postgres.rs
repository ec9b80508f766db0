//! PostgreSQL, through sqlx.

use futures_util::TryStreamExt as _;
use sqlx::{
    Column as _, Executor, PgConnection, PgPool, Row as _, TypeInfo, ValueRef as _,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::Query,
};

use super::{Kind, Row, StoreError, Value};

pub(super) async fn pool(options: &PgConnectOptions, readers: usize) -> Result<PgPool, StoreError> {
    PgPoolOptions::new()
        // One more for the writer.
        .max_connections(u32::try_from(readers).unwrap_or(u32::MAX).saturating_add(1))
        .acquire_timeout(std::time::Duration::from_secs(10))
        .connect_with(options.clone())
        .await
        .map_err(|error| failure(&error))
}

pub(super) async fn execute(
    connection: &mut PgConnection,
    sql: &'static str,
    params: &[Value],
) -> Result<u64, StoreError> {
    let done = bind(sql, params)
        .execute(connection)
        .await
        .map_err(|error| failure(&error))?;
    Ok(done.rows_affected())
}

pub(super) async fn query(
    connection: &mut PgConnection,
    sql: &'static str,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let rows = bind(sql, params)
        .fetch_all(connection)
        .await
        .map_err(|error| failure(&error))?;
    rows.iter().map(read).collect()
}

/// Hands over one row after the other, as they come.
pub(super) async fn each(
    connection: &mut PgConnection,
    sql: &'static str,
    mut each: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut rows = bind(sql, &[]).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(|error| failure(&error))? {
        each(read(&row)?)?;
    }
    Ok(())
}

pub(super) async fn script(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<(), StoreError> {
    connection
        .execute(sqlx::raw_sql(sql))
        .await
        .map(drop)
        .map_err(|error| failure(&error))
}

fn bind<'q>(sql: &'static str, params: &'q [Value]) -> Query<'q, sqlx::Postgres, PgArguments> {
    params
        .iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Null(Kind::Int) => query.bind(None::<i64>),
            Value::Null(Kind::Text) => query.bind(None::<&str>),
            Value::Null(Kind::Octets) => query.bind(None::<&[u8]>),
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Octets(value) => query.bind(value),
        })
}

fn read(row: &PgRow) -> Result<Row, StoreError> {
    let values = row.columns().iter().map(|column| {
        let index = column.ordinal();
        let raw = row.try_get_raw(index).map_err(|error| failure(&error))?;
        if raw.is_null() {
            return Ok(Value::Null(Kind::Int));
        }
        let name = raw.type_info().name().to_owned();
        match name.as_str() {
            "INT8" => row.try_get(index).map(Value::Int),
            "INT4" => row
                .try_get::<i32, _>(index)
                .map(|value| Value::Int(value.into())),
            "TEXT" => row.try_get(index).map(Value::Text),
            "BYTEA" => row.try_get(index).map(Value::Octets),
            _ => return Err(StoreError::Column(index)),
        }
        .map_err(|error| failure(&error))
    });
    values.collect::<Result<_, _>>().map(Row)
}

pub(super) fn failure(error: &sqlx::Error) -> StoreError {
    // 40001 serialization failure, 40P01 deadlock: the other node went first.
    match error
        .as_database_error()
        .and_then(|error| error.code())
        .as_deref()
    {
        Some("40001" | "40P01") => StoreError::Conflict(error.to_string()),
        _ => StoreError::Database(error.to_string()),
    }
}
