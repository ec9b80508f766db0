//! Accounts of operators and the second officer, on SQLite and on PostgreSQL: what statements decide, and what a MAC finds.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod accounts;
mod policy;
mod requests;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod world;

use csc_server::{
    actor::Actor,
    audit::{self, Event},
};

use support::Database;

#[tokio::test]
async fn units_of_one_commit_each_name_who_acts_in_it() {
    let store = Database::sqlite().node().await;
    let acting = store.acting(Actor::Installation);
    let units = (0..40).map(|number| {
        let handle = if number % 2 == 0 { &acting } else { &store };
        audit::note(handle, 0, "", Event::Stop)
    });
    futures_util::future::try_join_all(units).await.unwrap();
    let sql = "SELECT event, COUNT(*) FROM audit GROUP BY event ORDER BY event";
    let rows = store.query(sql, &[]).await.unwrap();
    let events: Vec<(String, i64)> = rows
        .into_iter()
        .map(|mut row| (row.get(0).unwrap(), row.get(1).unwrap()))
        .collect();
    let named = r#"{"event":"STOP","actor":{"kind":"installation"}}"#;
    assert_eq!(
        events,
        [
            (named.to_owned(), 20),
            (r#"{"event":"STOP"}"#.to_owned(), 20)
        ]
    );
}
