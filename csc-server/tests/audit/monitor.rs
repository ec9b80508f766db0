//! What becomes of the HSM stands in the log.

use std::{sync::Arc, time::Duration};

use csc_server::monitor::Monitor;
use hsm_adapter::{Cost, Pool, Stretcher, Vault, memory::MemoryToken};

use tokio::{sync::watch, time::timeout};

use crate::{
    book::{Book, LIMITS},
    support::Database,
    world::{PIN, World, policy},
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_is_lost_and_comes_back_is_recorded_once_each() {
    let book = Book::open(&Database::sqlite(), 1).await;
    let pool = Pool::start(Arc::new(MemoryToken::new("holder")), LIMITS).unwrap();
    let cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };
    let vault = Vault::new(pool, Stretcher::new(cost, 1, 1), 1);
    let (store, clock) = (book.nodes[0].clone(), book.clock.clone());
    let mut monitor = Monitor::new(store, clock, vault, book.issuer.clone());
    let told = async || {
        let rows = book.tables().await.rows;
        rows.into_values().map(|row| row.event).collect::<Vec<_>>()
    };
    let look = async |monitor: &mut Monitor| {
        monitor.look().await.unwrap();
        monitor.look().await.unwrap();
    };

    look(&mut monitor).await;
    let connected = r#"{"event":"HSM_CONNECTED","slot":"holder"}"#;
    let issuer_connected = r#"{"event":"HSM_CONNECTED","slot":"issuer"}"#;
    assert_eq!(told().await, [connected, issuer_connected]);

    book.token.lose();
    let gone = async {
        while book.issuer.state().sessions > 0 {
            assert!(book.issuer.health().await.is_err());
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    look(&mut monitor).await;
    let issuer_lost = r#"{"event":"HSM_LOST","slot":"issuer"}"#;
    assert_eq!(told().await, [connected, issuer_connected, issuer_lost]);

    book.token.restore();
    let back = async {
        while book.issuer.state().sessions == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, back).await.unwrap();
    look(&mut monitor).await;
    assert_eq!(told().await.last().unwrap(), issuer_connected);
}

/// Also where nobody signs any more (SC-13).
#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_open_no_longer_than_its_activation() {
    let world = World::new(&Database::sqlite(), policy()).await;
    let (_, credential) = world.mailbox().await;
    let digests = [[1; 32], [2; 32]];
    let code = world.code(&credential).await;
    let sad = world.sad_for(world.node(), &credential, PIN, &code, &digests);
    let sad = sad.await.unwrap();
    let permit = world
        .redeem(&credential, &sad, &digests[..1])
        .await
        .unwrap();
    world.spend(permit).await.unwrap();
    let vault = &world.enrolment.vault;
    assert_eq!(vault.state().open_keys, 1);

    let (stop, stopped) = watch::channel(false);
    let store = world.node().store.clone();
    let monitor = Monitor::new(store, world.clock(), vault.clone(), world.issuer.clone());
    world.pass(Duration::from_secs(300));
    let running = tokio::spawn(monitor.run(stopped));
    let closed = async {
        while vault.state().open_keys > 0 || world.token.session_objects() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_was_tampered_with_is_recorded_and_stays_out() {
    let book = Book::open(&Database::sqlite(), 1).await;
    let token = MemoryToken::new("holder");
    let pool = Pool::start(Arc::new(token.clone()), LIMITS).unwrap();
    let cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };
    let vault = Vault::new(pool, Stretcher::new(cost, 1, 1), 1);
    let (store, clock) = (book.nodes[0].clone(), book.clock.clone());
    let mut monitor = Monitor::new(store, clock, vault.clone(), book.issuer.clone());
    monitor.look().await.unwrap();

    token.tamper();
    monitor.examine().await;
    let out = async {
        while vault.state().sessions > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, out).await.unwrap();
    token.forget_tampering();
    monitor.look().await.unwrap();
    monitor.look().await.unwrap();
    assert!(vault.health().await.is_err(), "not ready");
    let rows = book.tables().await.rows;
    let last = rows.into_values().next_back().unwrap();
    assert_eq!(last.event, r#"{"event":"HSM_TAMPER","slot":"holder"}"#);
}
