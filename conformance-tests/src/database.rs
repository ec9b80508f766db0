//! The database of a service under test, as who administers it sees it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

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
        let server = server();
        let name = name.replace('-', "_").to_lowercase();
        psql(&server, &format!("create database {name}"));
        let mut url = reqwest::Url::parse(&server).expect("CSC_TEST_POSTGRES is a URL");
        url.set_path(&name);
        Self::Postgres(url.into())
    }

    /// Writes a backup as an operator does, while the service runs.
    pub(crate) fn dump(&self, to: &Path) {
        match self {
            Self::Sqlite(_) => drop(self.run(&format!("VACUUM INTO '{}'", to.display()))),
            Self::Postgres(url) => {
                let mut dump = Command::new("pg_dump");
                dump.args(["--dbname", url, "--file"]).arg(to);
                binary::run(&mut dump, &[]).expect("pg_dump");
            }
        }
    }

    /// Puts a new database, made from a backup, in the place of this one, which no process uses.
    pub(crate) fn restore(&self, from: &Path) {
        match self {
            Self::Sqlite(path) => {
                for suffix in ["-wal", "-shm"] {
                    let mut beside = path.clone().into_os_string();
                    beside.push(suffix);
                    let _ = fs::remove_file(beside);
                }
                fs::copy(from, path).expect("a backup can be copied");
            }
            Self::Postgres(url) => {
                let name = reqwest::Url::parse(url).expect("it is a URL");
                let name = name.path().trim_start_matches('/');
                psql(&server(), &format!("drop database {name} with (force)"));
                psql(&server(), &format!("create database {name}"));
                let mut psql = Command::new("psql");
                psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
                psql.args(["--dbname", url, "--file"]).arg(from);
                binary::run(&mut psql, &[]).expect("psql");
            }
        }
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

fn server() -> String {
    env::var("CSC_TEST_POSTGRES")
        .expect("CSC_TEST_POSTGRES names no PostgreSQL: use conformance-tests/run")
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
