//! The database of a service under test, as who administers it sees it.

use std::{env, path::PathBuf, process::Command, time::Duration};

use rusqlite::{Connection, types::ValueRef};

use crate::binary;

/// Where the state is.
pub(crate) enum Database {
    /// In this file.
    Sqlite(PathBuf),
    /// At this URL.
    Postgres(String),
}

impl Database {
    /// A new database of the server at `CSC_TEST_POSTGRES`.
    pub(crate) fn postgres(name: &str) -> Self {
        let server = env::var("CSC_TEST_POSTGRES")
            .expect("CSC_TEST_POSTGRES names no PostgreSQL: use conformance-tests/run");
        let name = name.replace('-', "_").to_lowercase();
        psql(&server, &format!("create database {name}"));
        let mut url = reqwest::Url::parse(&server).expect("CSC_TEST_POSTGRES is a URL");
        url.set_path(&name);
        Self::Postgres(url.into())
    }

    /// Runs a statement; gives the rows, a line each, columns parted by `|`.
    pub(crate) fn run(&self, statement: &str) -> String {
        match self {
            Self::Sqlite(path) => sqlite(path, statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"))
                .join("\n"),
            Self::Postgres(url) => psql(url, statement),
        }
    }
}

fn sqlite(path: &PathBuf, statement: &str) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let mut statement = connection.prepare(statement)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let columns = (0..columns).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(octets) => hex::encode(octets),
            })
        });
        Ok(columns.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    })?;
    rows.collect()
}

fn psql(url: &str, statement: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
    psql.args(["--dbname", url, "--command", statement]);
    binary::run(&mut psql, &[])
        .expect(statement)
        .trim()
        .to_owned()
}
