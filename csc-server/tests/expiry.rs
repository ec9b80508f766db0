//! What becomes of a key whose certificate has expired, on SQLite and on PostgreSQL.

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
