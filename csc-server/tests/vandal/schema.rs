//! Every column has a class.

use std::collections::{BTreeMap, BTreeSet};

use csc_server::inspection::TABLES;
use sqlx::{Executor as _, PgPool, Row as _};

use crate::{
    classes::{CLASSES, Class, uses},
    found,
    hands::Hands,
    support::Database,
};
use csc_server::store::Location;

fn classified() -> BTreeSet<(String, String)> {
    let columns = CLASSES.iter();
    let columns = columns.map(|(table, column, _)| ((*table).to_owned(), (*column).to_owned()));
    columns.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_every_table_has_a_class() {
    let database = Database::sqlite();
    let _service = database.node().await;
    let columns: BTreeSet<_> = Hands::on(&database).schema().into_iter().collect();
    let classified = classified();
    let without: Vec<_> = columns.difference(&classified).collect();
    assert!(without.is_empty(), "classify in classes.rs: {without:?}");
    let gone: Vec<_> = classified.difference(&columns).collect();
    assert!(
        gone.is_empty(),
        "there is no such column any more: {gone:?}"
    );
    assert_eq!(CLASSES.len(), columns.len(), "each column once");
    for (table, column, class) in CLASSES {
        if let Class::Free(reason) = class {
            assert!(!reason.is_empty(), "{table} {column}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_has_the_same_columns() {
    let database = Database::postgres().await;
    let _service = database.node().await;
    let Location::Postgres(options) = &database.location else {
        panic!("it is on PostgreSQL");
    };
    let pool = PgPool::connect_with(options.as_ref().clone())
        .await
        .unwrap();
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'";
    let rows = pool.fetch_all(sql).await.unwrap();
    let columns: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(columns, classified());
}

/// A table that is held against the log is so in each of its columns, but for those that a MAC or the HSM's own seal keeps.
#[test]
fn the_log_vouches_for_every_other_column_of_its_tables() {
    let tables: BTreeMap<_, _> = TABLES.iter().map(|table| (table.name, table)).collect();
    for (name, column, class) in CLASSES {
        let Some(table) = tables.get(name) else {
            assert!(!matches!(class, Class::Witnessed), "{name} {column}");
            continue;
        };
        let all = [table.keys, table.told, table.recorded].concat();
        let vouched = all.iter().any(|of| found::column(of) == *column);
        match class {
            Class::Witnessed => assert!(vouched, "{name} {column} stands in no event"),
            Class::Macd(_) | Class::Sealed(_) => assert!(!uses(*class).is_empty()),
            Class::Free(_) => assert!(!vouched, "{name} {column} stands in an event"),
            Class::Log => panic!("{name} is told by the log, and no part of it"),
        }
    }
}
