//! What units may rely on, on SQLite and on PostgreSQL.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use csc_server::{
    audit::{self, Event},
    clock::Clock,
    config::Rate,
    params,
    rates::{self, Rates},
    store::{Store, StoreError, Tx},
};
use support::{Database, on_both};

on_both! {
    what_a_unit_wrote_is_there_for_every_node => super::written_is_there;
    a_refusal_commits_what_it_counted => super::refusal_commits;
    a_failing_unit_takes_nothing_with_it_and_leaves_its_neighbours => super::failure_is_alone;
    of_64_uses_on_two_nodes_exactly_five_win => super::exactly_five_win;
    each_node_writes_one_gapless_chain_of_audit_rows => super::gapless_chains;
    null_and_octets_come_back_as_they_went => super::values_come_back;
    a_count_is_one_for_all_nodes_and_ends_with_its_minute => super::counted_together;
}

async fn counted_together(database: Database) {
    const START: i64 = 1_800_000_000_000;
    let time = Arc::new(AtomicI64::new(START));
    let limits = Rate {
        logins_per_holder: 3,
        logins_per_address: 4,
        ..Rate::default()
    };
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let clock = Clock::Manual(time.clone());
        nodes.push(Rates::new(database.node().await, clock, limits.clone()));
    }
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| Some(text.parse().unwrap()));
    for attempt in 0..3 {
        nodes[attempt % 2].log_in("alice", one).await.unwrap();
    }
    let waits = |error| match error {
        rates::Error::TooOften { retry_after } => retry_after.as_secs(),
        rates::Error::Store(error) => panic!("{error}"),
    };
    // The fourth under this name, and the fourth from this address; the fifth from this address under whatever name.
    assert_eq!(waits(nodes[1].log_in("alice", one).await.unwrap_err()), 60);
    assert_eq!(waits(nodes[0].log_in("bob", one).await.unwrap_err()), 60);
    nodes[0].log_in("bob", other).await.unwrap();
    time.fetch_add(59_999, Ordering::SeqCst);
    assert_eq!(waits(nodes[0].log_in("alice", other).await.unwrap_err()), 0);
    time.fetch_add(1, Ordering::SeqCst);
    nodes[0].log_in("alice", one).await.unwrap();
}

#[tokio::test]
async fn an_address_that_asks_too_fast_waits_and_no_other_does() {
    let store = Database::sqlite().node().await;
    let limits = Rate {
        address_per_second: 1,
        ..Rate::default()
    };
    let rates = Rates::new(store, Clock::System, limits);
    let ask = |address: &str| rates.request(address.parse().unwrap()).is_ok();
    let asked: Vec<_> = (0..10).filter(|_| ask("2001:db8::1")).collect();
    assert!((2..5).contains(&asked.len()), "{asked:?}");
    assert!(!ask("2001:db8::ffff"), "the same network");
    assert!(ask("2001:db8:0:1::1") && ask("192.0.2.1"));
}

async fn add_turn(store: &Store, id: &'static str) -> Result<u64, StoreError> {
    store
        .write(async move |tx: &mut Tx| {
            let sql = "INSERT INTO turn (name, due) VALUES ($1, 0)";
            tx.execute(sql, params![id]).await
        })
        .await
}

async fn turns(store: &Store) -> i64 {
    store
        .find("SELECT COUNT(*) FROM turn", &[])
        .await
        .unwrap()
        .unwrap()
        .get(0)
        .unwrap()
}

async fn written_is_there(database: Database) {
    let (one, other) = (database.node().await, database.node().await);
    add_turn(&one, "a").await.unwrap();
    assert_eq!(turns(&other).await, 1);
}

async fn refusal_commits(database: Database) {
    let store = database.node().await;
    add_turn(&store, "a").await.unwrap();
    let refused: Result<(), &str> = store
        .write(async |tx: &mut Tx| {
            tx.execute("UPDATE turn SET due = due + 1 WHERE name = 'a'", &[])
                .await?;
            Ok(Err("no"))
        })
        .await
        .unwrap();
    assert_eq!(refused, Err("no"));
    let mut row = store
        .find("SELECT due FROM turn", &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.get::<i64>(0).unwrap(), 1);
}

async fn failure_is_alone(database: Database) {
    let store = database.node().await;
    add_turn(&store, "a").await.unwrap();
    let units = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(async move |tx: &mut Tx| {
                    let id = format!("c{number}");
                    let sql = "INSERT INTO turn (name, due) VALUES ($1, 0)";
                    tx.execute(sql, params![id.as_str()]).await?;
                    if number % 2 == 0 {
                        // A second row of the same key: refused by the database.
                        tx.execute(sql, params!["a"]).await?;
                    }
                    Ok(())
                })
                .await
        })
    });
    for (number, unit) in units.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(unit.await.unwrap().is_ok(), number % 2 == 1);
    }
    assert_eq!(turns(&store).await, 11);
}

async fn exactly_five_win(database: Database) {
    let nodes = [database.node().await, database.node().await];
    add_turn(&nodes[0], "a").await.unwrap();
    nodes[0]
        .write(async |tx: &mut Tx| {
            tx.execute("UPDATE turn SET due = 5 WHERE name = 'a'", &[])
                .await
        })
        .await
        .unwrap();
    let uses = (0..64).map(|number| {
        let store = nodes[number % 2].clone();
        tokio::spawn(async move {
            store
                .write(async |tx: &mut Tx| {
                    tx.execute(
                        "UPDATE turn SET due = due - 1 WHERE name = 'a' AND due > 0",
                        &[],
                    )
                    .await
                })
                .await
                .unwrap()
        })
    });
    let mut winners = 0;
    for used in uses.collect::<Vec<_>>() {
        winners += used.await.unwrap();
    }
    assert_eq!(winners, 5);
}

async fn gapless_chains(database: Database) {
    let nodes = [database.node().await, database.node().await];
    let records = (0..40).map(|number| {
        let store = nodes[number % 2].clone();
        tokio::spawn(async move {
            store
                .write(async move |tx: &mut Tx| {
                    audit::record(tx, 7, "", &Event::Stop);
                    // Every fourth unit fails after it recorded: its row must not appear.
                    if number % 8 < 2 {
                        Err(StoreError::Corrupt("on purpose"))
                    } else {
                        Ok(())
                    }
                })
                .await
                .is_ok()
        })
    });
    let mut kept = 0;
    for record in records.collect::<Vec<_>>() {
        kept += i64::from(record.await.unwrap());
    }
    assert_eq!(kept, 30);
    let sql = "SELECT chain, COUNT(*), MIN(sequence), MAX(sequence) FROM audit GROUP BY chain";
    let rows = nodes[0].query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    for mut row in rows {
        assert_eq!(row.get::<i64>(1).unwrap(), row.get::<i64>(3).unwrap());
        assert_eq!(row.get::<i64>(2).unwrap(), 1);
    }
}

async fn values_come_back(database: Database) {
    let store = database.node().await;
    let octets = vec![0_u8, 255, 1];
    let sent = octets.clone();
    store
        .write(async move |tx: &mut Tx| {
            let sql =
                "INSERT INTO client (created, id, registration, secret_hash, version, record_mac) VALUES ($2, $1, 'è', $3, 1, $4)";
            tx.execute(sql, params!["with", i64::MAX, Some(sent.clone()), sent.clone()])
                .await?;
            tx.execute(sql, params!["without", i64::MIN, None::<Vec<u8>>, sent.clone()])
                .await
        })
        .await
        .unwrap();
    let rows = store
        .query(
            "SELECT id, registration, secret_hash, created FROM client ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    let read = rows.into_iter().map(|mut row| {
        let text = (row.get::<String>(0).unwrap(), row.get::<String>(1).unwrap());
        (
            text,
            row.optional::<Vec<u8>>(2).unwrap(),
            row.get::<i64>(3).unwrap(),
        )
    });
    let expected = [
        (("with".into(), "è".into()), Some(octets), i64::MAX),
        (("without".into(), "è".into()), None, i64::MIN),
    ];
    assert_eq!(read.collect::<Vec<_>>(), expected);
}
