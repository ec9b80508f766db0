//! What tests over a database share. PostgreSQL is the one that `conformance-tests/run` starts.

use std::sync::Arc;

use csc_server::{
    audit::Chain,
    store::{Location, Store},
};
use sqlx::Executor;

/// A database of its own for one test, and as many nodes on it as asked for.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) location: Location,
    _folder: Arc<tempfile::TempDir>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            location: Location::Sqlite(folder.path().join("store.sqlite")),
            _folder: Arc::new(folder),
        }
    }

    pub(crate) async fn postgres() -> Self {
        let url = std::env::var("CSC_TEST_POSTGRES")
            .expect("CSC_TEST_POSTGRES is not set: start `conformance-tests/run`");
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let name = format!("store_{}", csc_server::ids::random_id());
        let admin = sqlx::PgPool::connect_with(options.clone()).await.unwrap();
        admin
            .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .unwrap();
        Self {
            location: Location::Postgres(Box::new(options.database(&name))),
            _folder: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) async fn node(&self) -> Store {
        Store::open(&self.location, 2, Box::new(Chain::start()))
            .await
            .unwrap()
    }
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($(#[$doc:meta])* $name:ident => $test:expr;)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { $test($crate::support::Database::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { $test($crate::support::Database::postgres().await).await; })*
        }
    };
}

pub(crate) use on_both;
