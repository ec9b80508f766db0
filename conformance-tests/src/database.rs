//! The database of a service under test, as who administers it sees it.

use std::{env, path::PathBuf, process::Command, time::Duration};

use rusqlite::{Connection, OptionalExtension, types::Value};

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
        psql(&server, &format!("create database \"{name}\""));
        let mut url = reqwest::Url::parse(&server).expect("CSC_TEST_POSTGRES is a URL");
        url.set_path(name);
        Self::Postgres(url.into())
    }

    /// Runs a statement.
    pub(crate) fn run(&self, statement: &str) {
        match self {
            Self::Sqlite(path) => {
                let done = open(path).execute(statement, []);
                done.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
            Self::Postgres(url) => {
                psql(url, statement);
            }
        }
    }

    /// The first column of the first row, as text.
    pub(crate) fn look_up(&self, select: &str) -> Option<String> {
        match self {
            Self::Sqlite(path) => {
                let found = open(path)
                    .query_row(select, [], |row| row.get(0))
                    .optional();
                let found = found.unwrap_or_else(|error| panic!("{select}: {error}"));
                found.map(|value| match value {
                    Value::Integer(number) => number.to_string(),
                    Value::Text(text) => text,
                    other => panic!("{select}: {other:?} is no text"),
                })
            }
            Self::Postgres(url) => psql(url, select).lines().next().map(str::to_owned),
        }
    }
}

fn open(path: &PathBuf) -> Connection {
    let connection = Connection::open(path).expect("the database can be opened");
    let patience = connection.busy_timeout(Duration::from_secs(10));
    patience.expect("a time-out can be set");
    connection
}

fn psql(url: &str, command: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
    psql.args(["--dbname", url, "--command", command]);
    binary::run(&mut psql, &[]).expect(command)
}
