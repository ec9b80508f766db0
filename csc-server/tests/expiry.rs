//! What becomes of a key whose certificate has expired, and of a session whose time is over, on SQLite and on PostgreSQL.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;
#[path = "support/world.rs"]
#[expect(dead_code, reason = "each test uses some of it")]
mod world;

use std::time::Duration;

use csc_server::{
    credential::{Credential, Error, Expired},
    params,
};
use support::{Database, on_both};
use world::{World, policy};

const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

on_both! {
    an_expired_key_is_destroyed_once => super::destroyed_once;
    a_certificate_whose_end_was_edited_destroys_no_key => super::edited_end;
    a_session_ends_when_it_is_not_used => super::idle_session;
    a_session_ends_after_its_longest_life_however_much_it_is_used => super::longest_session;
    a_session_ends_when_its_holder_logs_out_or_is_blocked => super::ended_session;
}

/// How many keys there are, by what is left of them.
async fn keys(world: &World) -> i64 {
    let sql = "SELECT COUNT(*) FROM credential WHERE store IS NOT NULL OR length(key_blob) + length(w_pin) + length(pin_check) > 0
               OR puk_check IS NOT NULL";
    let row = world.node().store.find(sql, &[]).await;
    row.unwrap().unwrap().get(0).unwrap()
}

async fn destroy_expired(world: &World) -> (u64, u64) {
    let Expired { destroyed, damaged } = world.node().keys.destroy_expired().await.unwrap();
    (destroyed, damaged)
}

async fn destroyed_once(database: Database) {
    let world = World::new(&database, policy()).await;
    let mut credential = None;
    // More than are looked at together.
    for _ in 0..33 {
        credential = Some(world.mailbox().await.1);
    }
    assert_eq!(destroy_expired(&world).await, (0, 0));
    assert_eq!(keys(&world).await, 33);

    world.pass(TEN_YEARS);

    assert_eq!(destroy_expired(&world).await, (33, 0));
    assert_eq!(destroy_expired(&world).await, (0, 0));
    assert_eq!(keys(&world).await, 0);
    assert_eq!(world.events("KEY_DESTROYED").await, 33);
    let id = credential.unwrap().id;
    let found = Credential::by_id(&world.node().store, &id).await;
    let refused = world.approve(&found.unwrap().unwrap(), "12345678").await;
    assert!(
        matches!(refused, Err(Error::CertificateExpired { .. })),
        "{refused:?}"
    );
}

async fn edited_end(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let sql = "UPDATE credential SET not_after = 1 WHERE id = $1";
    world.tamper(sql, params![&credential.id]).await;

    assert_eq!(destroy_expired(&world).await, (0, 1));

    assert_eq!(keys(&world).await, 1);
    assert_eq!(world.events("KEY_INTEGRITY_FAIL").await, 1);
}

async fn idle_session(database: Database) {
    let world = World::new(&database, policy()).await;
    let sessions = world.sessions();
    let secret = sessions.begin(&world.holder).await.unwrap();
    for _ in 0..3 {
        world.pass(Duration::from_secs(899));
        let found = sessions.find(&secret).await.unwrap().unwrap();
        assert_eq!(found.holder.id, world.holder.id);
    }
    world.pass(Duration::from_secs(901));
    assert!(sessions.find(&secret).await.unwrap().is_none());
    world.agrees().await;
}

async fn longest_session(database: Database) {
    let world = World::new(&database, policy()).await;
    let sessions = world.sessions();
    let secret = sessions.begin(&world.holder).await.unwrap();
    for _ in 0..24 * 6 - 1 {
        world.pass(Duration::from_secs(600));
        assert!(sessions.find(&secret).await.unwrap().is_some());
    }
    world.pass(Duration::from_secs(600));
    assert!(sessions.find(&secret).await.unwrap().is_none());
    // The next log-in takes the row out.
    sessions.begin(&world.holder).await.unwrap();
    let sql = "SELECT COUNT(*) FROM holder_session";
    assert_eq!(world.number(sql).await, 1);
    world.agrees().await;
}

async fn ended_session(database: Database) {
    let world = World::new(&database, policy()).await;
    let sessions = world.sessions();
    let [ended, kept] = [
        sessions.begin(&world.holder).await.unwrap(),
        sessions.begin(&world.holder).await.unwrap(),
    ];
    let session = sessions.find(&ended).await.unwrap().unwrap();
    sessions.end(&session).await.unwrap();
    sessions.end(&session).await.unwrap();
    assert!(sessions.find(&ended).await.unwrap().is_none());
    assert_eq!(world.events("SESSION_ENDED").await, 1);
    assert!(sessions.find(&kept).await.unwrap().is_some());
    let block = "UPDATE holder SET status = 'blocked' WHERE id = $1";
    world.tamper(block, params![&world.holder.id]).await;
    assert!(sessions.find(&kept).await.unwrap().is_none());
    for nonsense in ["", "x", &kept[1..], "'; DROP TABLE holder_session; --"] {
        assert!(sessions.find(nonsense).await.unwrap().is_none());
    }
}
