//! What a new credential is made of, on SQLite and on PostgreSQL.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "support/world.rs"]
mod world;

use csc_server::{enrolment::Error, params, store::Value};
use sha2::{Digest, Sha256};
use support::{Database, on_both};
use world::{World, policy};

on_both! {
    a_key_that_was_there_before_gets_no_certificate => super::known_keys;
    a_public_key_stands_in_one_credential => super::one_credential;
    where_and_when_a_key_was_made_is_recorded => super::generation;
}

/// SC-05: also when the credential that had it is gone.
async fn known_keys(database: Database) {
    let world = World::new(&database, policy()).await;
    let (factor, credential) = world.mailbox().await;
    world.token.repeat_pairs();
    for gone in [false, true] {
        if gone {
            let id = [Value::from(credential.id.as_str())];
            world
                .tamper("DELETE FROM credential WHERE id = $1", &id)
                .await;
        }
        let made = world.enrol(&factor).await;
        assert!(matches!(made, Err(Error::KnownKey)), "{made:?}");
    }
    assert_eq!(world.told("CERT_ISSUED").await.len(), 1);
}

/// SC-05: the database itself takes no second credential of a key.
async fn one_credential(database: Database) {
    let world = World::new(&database, policy()).await;
    let (factor, credential) = world.mailbox().await;
    let other = world.credential(&factor).await;
    let spki_hash: [u8; 32] = Sha256::digest(&credential.key.spki).into();
    let store = &world.node().store;
    let changed = store.write(async move |tx| {
        let sql = "UPDATE credential SET spki_hash = $2 WHERE id = $1";
        tx.execute(sql, params![&other.id, spki_hash]).await
    });
    assert!(changed.await.is_err());
}

/// SC-08.
async fn generation(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let told = world.told("KEY_GENERATED").await;
    assert_eq!(told.len(), 1);
    let told = &told[0];
    assert_eq!(told["credential"], credential.id.as_str());
    assert_eq!(told["algorithm"], "p256");
    assert_eq!(
        told["spkiHash"],
        hex::encode(Sha256::digest(&credential.key.spki))
    );
    assert_eq!(told["requestHash"].as_str().map(str::len), Some(64));
    assert_eq!(told["device"], "holder", "the serial number of the HSM");
}
