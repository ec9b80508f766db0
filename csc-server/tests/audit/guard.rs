//! Who opens keys, or guesses PINs, at a rate that no holders make is alarmed (T-10).

use std::time::Duration;

use csc_server::{
    credential::{Credential, Error},
    guard::Guard,
};
use hsm_adapter::{Content, Pin, Secret};

use crate::{
    support::{Database, on_both},
    world::{PIN, World, policy},
};

const WRONG: &str = "13572468";

on_both! {
    keys_that_are_opened_without_a_request_are_alarmed => super::opened;
    a_few_guesses_at_each_of_many_pins_are_alarmed_once => super::guessed;
}

async fn guard(world: &World) -> Guard {
    let store = world.node().store.clone();
    let row = store.find("SELECT chain FROM audit LIMIT 1", &[]).await;
    let chain = row.unwrap().unwrap().get(0).unwrap();
    let vault = world.enrolment.vault.clone();
    Guard::new(store, world.clock(), vault, chain, 5)
}

/// As the service approves, without a row in the log.
async fn opens(world: &World, credential: &Credential) {
    let content = Content {
        version: Content::VERSION,
        id: "activation".into(),
        kind: "sad".into(),
        holder: credential.holder.to_string(),
        credential: credential.id.to_string(),
        generation: credential.key.generation,
        certificate: credential.certificate_hash(),
        client: "direct".into(),
        digest: None,
        bound: None,
        hash_type: None,
        hashes: Vec::new(),
        count: 1,
        factors: Vec::new(),
        issued: 0,
        expires: i64::MAX / 2,
    };
    let content = serde_json::to_vec(&content).unwrap();
    let (pin, secret) = (Pin::parse(PIN).unwrap(), Secret::random().unwrap());
    let vault = &world.enrolment.vault;
    let opened = vault.authorise(&credential.key, &pin, &content, &secret);
    opened.await.unwrap();
}

async fn opened(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let mut guard = guard(&world).await;
    // Holders sign as often as they like.
    for _ in 0..40 {
        let code = world.code(&credential).await;
        let sad = world.sad(world.node(), &credential, PIN, &code).await;
        world.sign(&credential, &sad.unwrap()).await.unwrap();
    }
    guard.look().await.unwrap();
    assert_eq!(world.events("DERIVE_RATE_ALARM").await, 0);

    for _ in 0..50 {
        opens(&world, &credential).await;
    }
    guard.look().await.unwrap();
    guard.look().await.unwrap();
    let alarms = world.told("DERIVE_RATE_ALARM").await;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0]["derivations"], 100);
    assert_eq!(alarms[0]["acts"], 0);
}

async fn guessed(database: Database) {
    let world = World::new(&database, policy()).await;
    let mut guard = guard(&world).await;
    let guess = async |node: usize| {
        let (_, credential) = world.mailbox().await;
        for _ in 0..2 {
            let code = world.code(&credential).await;
            let node = &world.nodes[node];
            let wrong = world.approve_on(node, &credential, WRONG, &code).await;
            assert!(matches!(wrong, Err(Error::WrongPin)), "{wrong:?}");
        }
    };
    guess(0).await;
    guess(1).await;
    guard.look().await.unwrap();
    assert_eq!(world.events("DERIVE_RATE_ALARM").await, 0);
    guess(1).await;
    guard.look().await.unwrap();
    world.pass(Duration::from_secs(300));
    guard.look().await.unwrap();
    let alarms = world.told("DERIVE_RATE_ALARM").await;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0]["wrong"], 6);
    // What is ten minutes old is no rate any more.
    world.pass(Duration::from_secs(300));
    guard.look().await.unwrap();
    assert_eq!(world.events("DERIVE_RATE_ALARM").await, 1);
}
