//! What a rotation of master keys may rely on, on SQLite and on PostgreSQL, with a token in memory.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use csc_server::{
    clock::Clock,
    jobs::{self, Job, Leased, Work},
    notify::{Message, Outgoing},
    params,
    rotation::{self, Error, Mover, Rotation, State},
    store::{Store, StoreError, Tx},
};
use hsm_adapter::{
    Cost, HsmError, MasterSet, Pool, PoolLimits, Stretcher, Vault, memory::MemoryToken, version_of,
};
use support::{Database, on_both};
use tokio::sync::watch;

const MINUTE: i64 = 60_000;
const REQUEST: Duration = Duration::from_secs(30);

on_both! {
    a_row_cannot_name_a_version_that_was_retired => super::retired_is_not_named;
    a_version_that_a_row_names_is_not_retired => super::named_is_not_retired;
    a_row_that_another_node_is_storing_is_not_left_behind => super::stored_meanwhile;
    a_version_that_requests_may_still_use_is_not_retired => super::young_is_not_retired;
    a_rotation_that_failed_halfway_is_completed => super::failed_is_completed;
    a_rotation_whose_process_died_is_taken_over_after_a_minute => super::dead_is_taken_over;
    two_rotations_at_once_make_one_version => super::one_at_a_time;
    nodes_move_all_rows_together => super::nodes_move_all;
    a_value_that_does_not_open_holds_nobody_up => super::damaged_stays;
    who_changes_a_row_goes_before_who_moves_it => super::change_goes_first;
    a_token_without_the_keys_of_the_database_is_refused => super::other_token;
    an_empty_database_starts_with_the_versions_of_the_token => super::empty_database;
}

/// One node on a database and a token.
struct Node {
    store: Store,
    vault: Vault,
    rotation: Rotation,
    time: Arc<AtomicI64>,
}

impl Node {
    async fn on(database: &Database, token: &MemoryToken) -> Self {
        let node = Self::unregistered(database, token).await;
        node.rotation.register().await.unwrap();
        node
    }

    async fn unregistered(database: &Database, token: &MemoryToken) -> Self {
        let limits = PoolLimits {
            sessions: 2,
            queue: 256,
            deadline: Duration::from_secs(20),
        };
        let pool = Pool::start(Arc::new(token.clone()), limits).unwrap();
        let vault = Vault::new(pool, Stretcher::new(Cost::default(), 1, 1), 4);
        vault.init().await.unwrap();
        let (store, time) = (
            database.node().await,
            Arc::new(AtomicI64::new(MINUTE * 1000)),
        );
        let clock = Clock::Manual(time.clone());
        let rotation = Rotation::new(store.clone(), clock, vault.clone(), REQUEST);
        Self {
            store,
            vault,
            rotation,
            time,
        }
    }

    /// Rotates, and lets the time pass in which the version before may still be used.
    async fn rotate(&self, set: MasterSet) {
        self.rotation.rotate(set).await.unwrap();
        self.time.fetch_add(MINUTE, Ordering::SeqCst);
    }

    async fn states(&self, set: MasterSet) -> Vec<(u32, State)> {
        let versions = self.rotation.versions(set).await.unwrap();
        let states = versions.iter().map(|found| (found.version, found.state));
        states.collect()
    }

    async fn job(&self) -> Job {
        let message = Message::PinChanged {
            credential: "A key".into(),
        };
        let mail = Outgoing::mail("a@example.test", &message.render("en"));
        Job::message(&self.vault, &mail, i64::MAX).await.unwrap()
    }

    async fn enqueue(&self, job: Job) -> Result<(), StoreError> {
        self.store
            .write(async move |tx: &mut Tx| job.enqueue(tx, 0).await)
            .await
    }

    /// The versions of the payloads of all jobs, as stored and as the column says.
    async fn versions_of_jobs(&self) -> Vec<(u32, u32)> {
        let sql = "SELECT payload, store FROM job";
        let rows = self.store.query(sql, &[]).await.unwrap();
        rows.into_iter()
            .map(|mut row| {
                let payload: Vec<u8> = row.get(0).unwrap();
                (
                    version_of([payload.as_slice()]).unwrap(),
                    row.get(1).unwrap(),
                )
            })
            .collect()
    }

    fn mover(&self, stop: &watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
        let mover = Mover {
            store: self.store.clone(),
            vault: self.vault.clone(),
        };
        tokio::spawn(mover.run(stop.clone()))
    }

    async fn left(&self) -> i64 {
        rotation::left(&self.store, MasterSet::Store, 2)
            .await
            .unwrap()
    }
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition comes true");
}

async fn retired_is_not_named(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    // Sealed before, stored after: the pause of a node, or a transaction that waits.
    let late = node.job().await;
    node.rotate(MasterSet::Store).await;
    node.rotation.retire(MasterSet::Store, 1).await.unwrap();

    let refused = node.enqueue(late).await;

    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    node.enqueue(node.job().await).await.unwrap();
    assert_eq!(node.versions_of_jobs().await, [(2, 2)]);
    let destroyed = node.rotation.destroy(MasterSet::Store, 1).await.unwrap();
    assert_eq!(destroyed, ["store/v1"]);
}

async fn named_is_not_retired(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    node.enqueue(node.job().await).await.unwrap();
    let refused = node.rotation.retire(MasterSet::Store, 1).await;
    assert!(matches!(refused, Err(Error::InUse(1))));
    node.rotate(MasterSet::Store).await;

    for refused in [
        node.rotation.retire(MasterSet::Store, 1).await,
        node.rotation.destroy(MasterSet::Store, 1).await.map(drop),
    ] {
        let Err(Error::Needed(usage)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(
            usage.to_string(),
            "0 credentials, 0 seeds, 1 jobs, 0 results"
        );
    }

    // Nor behind the service's back.
    let behind = node
        .store
        .write(async |tx: &mut Tx| {
            tx.execute("DELETE FROM store_version WHERE version = 1", &[])
                .await
        })
        .await;
    assert!(behind.is_err());
    let versions = node.vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 2));
}

async fn stored_meanwhile(database: Database) {
    const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let token = MemoryToken::new("holders");
    let (node, other) = (
        Node::on(&database, &token).await,
        Node::on(&database, &token).await,
    );
    let job = other.job().await;
    node.rotate(MasterSet::Store).await;
    let (stored, is_stored) = watch::channel(false);
    let (go_on, may_go_on) = watch::channel(false);
    let store = other.store.clone();
    let storing = tokio::spawn(async move {
        let unit = async move |tx: &mut Tx| {
            job.enqueue(tx, 0).await?;
            stored.send_replace(true);
            let _ = may_go_on.clone().wait_for(|go_on| *go_on).await;
            Ok(())
        };
        store.write(unit).await
    });
    is_stored.clone().wait_for(|stored| *stored).await.unwrap();

    let rotation = node.rotation.clone();
    let retiring = tokio::spawn(async move { rotation.retire(MasterSet::Store, 1).await });
    // SQLite lets no other writer begin; of PostgreSQL we wait to see that it lets none end.
    until(async || match other.store.query(WAITING, &[]).await {
        Ok(mut rows) => rows.remove(0).get::<i64>(0).unwrap() > 0,
        Err(_) => true,
    })
    .await;
    go_on.send_replace(true);

    storing.await.unwrap().unwrap();
    let refused = retiring.await.unwrap();
    let Err(Error::Needed(usage)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(usage.rows(), 1);
    assert_eq!(other.versions_of_jobs().await, [(1, 1)]);
}

async fn young_is_not_retired(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    node.rotation.rotate(MasterSet::Store).await.unwrap();
    node.time
        .fetch_add(REQUEST.as_millis() as i64, Ordering::SeqCst);

    let refused = node.rotation.retire(MasterSet::Store, 1).await;

    let Err(Error::TooYoung(left)) = refused else {
        panic!("{refused:?}");
    };
    node.time
        .fetch_add(left.as_millis() as i64, Ordering::SeqCst);
    node.rotation.retire(MasterSet::Store, 1).await.unwrap();
    // One that no node has heard of.
    node.rotate(MasterSet::Store).await;
    let unnoted = async |tx: &mut Tx| {
        let sql = "UPDATE store_version SET made = NULL WHERE version = 3";
        tx.execute(sql, &[]).await
    };
    node.store.write(unnoted).await.unwrap();
    let refused = node.rotation.retire(MasterSet::Store, 2).await;
    assert!(matches!(refused, Err(Error::UnderWay)), "{refused:?}");
}

async fn failed_is_completed(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    token.fail_nth("create_master", 3, HsmError::Unfit("full".to_owned()));
    let failed = node.rotation.rotate(MasterSet::Sealing).await;
    assert!(matches!(failed, Err(Error::Hsm(_))), "{failed:?}");
    assert_eq!(
        node.states(MasterSet::Sealing).await,
        [(1, State::InUse), (2, State::Begun)]
    );

    let made = node.rotation.rotate(MasterSet::Sealing).await.unwrap();

    let created: Vec<_> = made.iter().map(|master| master.created).collect();
    assert_eq!(created, [false, false, true, true]);
    let versions = node.vault.versions(MasterSet::Sealing).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 2));
}

async fn dead_is_taken_over(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    let now = node.time.load(Ordering::SeqCst);
    // Announced, and no more.
    node.store
        .write(async move |tx: &mut Tx| {
            let sql = "INSERT INTO store_version (version, announced) VALUES (2, $1)";
            tx.execute(sql, params![now]).await
        })
        .await
        .unwrap();
    let refused = node.rotation.rotate(MasterSet::Store).await;
    assert!(matches!(refused, Err(Error::UnderWay)), "{refused:?}");

    node.time.fetch_add(MINUTE, Ordering::SeqCst);
    node.rotation.rotate(MasterSet::Store).await.unwrap();

    let versions = node.vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 2));
    // Made, and not noted.
    node.store
        .write(async |tx: &mut Tx| {
            let sql = "UPDATE store_version SET made = NULL WHERE version = 2";
            tx.execute(sql, &[]).await
        })
        .await
        .unwrap();
    node.time.fetch_add(MINUTE, Ordering::SeqCst);
    node.rotation.rotate(MasterSet::Store).await.unwrap();
    let versions = node.vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 2));
}

async fn one_at_a_time(database: Database) {
    let token = MemoryToken::new("holders");
    let (one, other) = (
        Node::on(&database, &token).await,
        Node::on(&database, &token).await,
    );
    let hold = token.hold("create_master");
    let rotation = one.rotation.clone();
    let first = tokio::spawn(async move { rotation.rotate(MasterSet::Store).await });
    let hold = tokio::task::spawn_blocking(move || hold.reached(1).then_some(hold));
    let hold = hold.await.unwrap().expect("the first one has begun");

    let second = other.rotation.rotate(MasterSet::Store).await;

    assert!(matches!(second, Err(Error::UnderWay)), "{second:?}");
    drop(hold);
    first.await.unwrap().unwrap();
    let versions = other.vault.versions(MasterSet::Store).await.unwrap();
    assert_eq!(versions, (vec![1, 2], 2));
}

async fn nodes_move_all(database: Database) {
    let token = MemoryToken::new("holders");
    let (one, other) = (
        Node::on(&database, &token).await,
        Node::on(&database, &token).await,
    );
    for _ in 0..100 {
        one.enqueue(one.job().await).await.unwrap();
    }
    let (stop, stopped) = watch::channel(false);
    let movers = [one.mover(&stopped), other.mover(&stopped)];

    one.rotate(MasterSet::Store).await;

    until(async || one.left().await == 0).await;
    // Who did not rotate has heard of it.
    until(async || other.vault.known_version(MasterSet::Store) == 2).await;
    stop.send(true).unwrap();
    for mover in movers {
        mover.await.unwrap();
    }
    assert_eq!(one.versions_of_jobs().await, vec![(2, 2); 100]);
    one.rotation.destroy(MasterSet::Store, 1).await.unwrap();
    for _ in 0..100 {
        let job = Leased::next(&one.store, 1).await.unwrap();
        let work = job.expect("one more").open(&other.vault).await;
        assert!(matches!(work, Ok(Work::Message(_))), "{work:?}");
    }
}

async fn damaged_stays(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    for _ in 0..40 {
        node.enqueue(node.job().await).await.unwrap();
    }
    node.store
        .write(async |tx: &mut Tx| {
            // The payload of another job: it opens in its own place only.
            let sql = "UPDATE job SET payload = (SELECT payload FROM job WHERE id = (SELECT MAX(id) FROM job))
                       WHERE id = (SELECT MIN(id) FROM job)";
            tx.execute(sql, &[]).await
        })
        .await
        .unwrap();
    let (stop, stopped) = watch::channel(false);
    node.rotate(MasterSet::Store).await;
    let mover = node.mover(&stopped);

    until(async || node.left().await == 1).await;

    stop.send(true).unwrap();
    mover.await.unwrap();
    let refused = node.rotation.retire(MasterSet::Store, 1).await;
    assert!(matches!(refused, Err(Error::Needed(_))), "{refused:?}");
}

async fn change_goes_first(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    node.enqueue(node.job().await).await.unwrap();
    node.rotation.rotate(MasterSet::Store).await.unwrap();
    let hold = token.hold("decrypt");
    let (store, vault) = (node.store.clone(), node.vault.clone());
    let moving = tokio::spawn(async move { jobs::PAYLOAD.reseal(&store, &vault, 1, "").await });
    let hold = tokio::task::spawn_blocking(move || hold.reached(1).then_some(hold));
    let hold = hold.await.unwrap().expect("the row was read");

    let changed = b"\0\0\0\x01what somebody else has written".to_vec();
    let written = changed.clone();
    node.store
        .write(async move |tx: &mut Tx| {
            tx.execute("UPDATE job SET payload = $1", params![written.clone()])
                .await
        })
        .await
        .unwrap();
    drop(hold);
    let moved = moving.await.unwrap().unwrap();

    assert_eq!((moved.moved, moved.failed), (0, 0));
    let rows = node.store.query("SELECT payload FROM job", &[]).await;
    let mut row = rows.unwrap().remove(0);
    assert_eq!(row.get::<Vec<u8>>(0).unwrap(), changed);
}

async fn empty_database(database: Database) {
    let token = MemoryToken::new("holders");
    let before = Node::on(&Database::sqlite(), &token).await;
    before.rotate(MasterSet::Store).await;
    before.rotation.destroy(MasterSet::Store, 1).await.unwrap();

    let node = Node::on(&database, &token).await;

    node.enqueue(node.job().await).await.unwrap();
    assert_eq!(node.versions_of_jobs().await, [(2, 2)]);
}

async fn other_token(database: Database) {
    let token = MemoryToken::new("holders");
    let node = Node::on(&database, &token).await;
    node.enqueue(node.job().await).await.unwrap();
    node.rotate(MasterSet::Store).await;
    let old = MemoryToken::new("holders");

    let elsewhere = Node::unregistered(&database, &old).await;

    let refused = elsewhere.rotation.register().await;
    assert!(
        matches!(refused, Err(Error::OtherToken("store", 2))),
        "{refused:?}"
    );
    // A database from before a destruction is served; it says what is lost.
    let destroyed = node.vault.destroy_version(MasterSet::Store, 1).await;
    assert_eq!(destroyed.unwrap(), ["store/v1"]);
    node.rotation.register().await.unwrap();
    assert_eq!(
        node.states(MasterSet::Store).await,
        [(1, State::Lost), (2, State::InUse)]
    );
}
