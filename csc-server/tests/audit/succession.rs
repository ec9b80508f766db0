//! From one audit key to the next: who knows the first key follows, and what an old key signs later is refused.

use csc_server::audit::{
    Body, Checkpoint, Hash, KeeperError, Keys, Spki, export,
    verify::{Kind, Where},
};
use hsm_adapter::{Digest, DigestAlgorithm, HsmError, Scheme};

use crate::{
    book::{Book, EVERY},
    support::{Database, on_both},
};

on_both! {
    who_knows_the_first_key_verifies_what_all_keys_signed => super::first_key_suffices;
    every_node_signs_with_the_new_key_at_once => super::nodes_follow;
    what_an_old_key_signs_after_its_successor_is_refused => super::old_key_is_out;
    a_successor_that_the_old_key_did_not_announce_is_refused => super::forged_successor;
    a_succession_that_failed_is_completed => super::failed_is_completed;
    two_successions_at_once_make_one_key => super::one_at_a_time;
}

async fn bodies(book: &Book) -> Vec<Body> {
    let checkpoints = book.tables().await.checkpoints.into_values();
    checkpoints
        .map(|checkpoint| serde_json::from_str(&checkpoint.body).unwrap())
        .collect()
}

async fn first_key_suffices(database: Database) {
    let book = Book::open(&database, 2).await;
    let keeper = book.keeper(0).await;
    book.record(0, 2).await;
    for version in [2, 3] {
        assert_eq!(keeper.rotate().await.unwrap(), version);
        book.record(1, 2).await;
        book.seal().await;
    }

    // The book knows the first key only.
    let verdict = book.verify(None).await.unwrap();
    assert_eq!(verdict.unsealed, 0);
    let text = book.export().await;
    let verify = |keys: &Keys| export::verify(text.as_bytes(), keys.clone(), None, |_| {}).unwrap();
    verify(&book.keys).unwrap();
    let all = Keys::of(&book.issuer).await.unwrap();
    let pem = all.to_pem().unwrap();
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 3);
    verify(&Keys::from_pem(&pem).unwrap()).unwrap();
    // Who knows only the last cannot know the first.
    let (_, last) = pem.trim().rsplit_once("-----BEGIN").unwrap();
    let last = Keys::from_pem(&format!("-----BEGIN{last}")).unwrap();
    let found = verify(&last).unwrap_err();
    assert_eq!(found.place, Where::Checkpoint(1));
    // Old and new sign the succession: the one by naming its successor, the other by naming that checkpoint.
    let bodies = bodies(&book).await;
    let announced = bodies.iter().position(|body| body.successor.is_some());
    let announced = announced.unwrap();
    let (announced, next) = (&bodies[announced], &bodies[announced + 1]);
    let Some(Spki(spki)) = &announced.successor else {
        panic!("the first key announces its successor");
    };
    assert_eq!(next.key, Hash::of(spki));
    assert_eq!(book.events("\"MASTER_ROTATED\"").await, 2);
}

async fn nodes_follow(database: Database) {
    let book = Book::open(&database, 2).await;
    let (one, other) = (book.keeper(0).await, book.keeper(1).await);
    book.record(1, 1).await;
    other.turn().await.unwrap();
    one.rotate().await.unwrap();

    book.record(1, 1).await;
    book.pass(EVERY);
    other.turn().await.unwrap();

    let bodies = bodies(&book).await;
    let keys: Vec<_> = bodies.iter().map(|body| body.key).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
    assert_eq!(keys[2], *keys.last().unwrap());
    assert_eq!(book.verify(None).await.unwrap().unsealed, 0);
}

async fn old_key_is_out(database: Database) {
    let book = Book::open(&database, 1).await;
    let keeper = book.keeper(0).await;
    book.record(0, 1).await;
    keeper.seal().await.unwrap();
    let old = bodies(&book).await[0].key;
    keeper.rotate().await.unwrap();
    book.record(0, 1).await;
    keeper.seal().await.unwrap();
    book.verify(None).await.unwrap();

    let mut tables = book.tables().await;
    let (number, _) = tables.checkpoints.last_key_value().unwrap();
    let number = *number;
    let body = Body {
        key: old,
        ..bodies(&book).await.pop().unwrap()
    };
    let forged = signed(&book, &body).await;
    // It is the key's, and stands where a checkpoint of that content stood.
    book.keys.open(&forged).unwrap();
    tables.checkpoints.insert(number, forged);
    book.put(&tables).await;

    let found = book.verify(None).await.unwrap_err();
    assert_eq!(
        (found.place, found.kind, found.why),
        (
            Where::Checkpoint(number),
            Kind::BadCheckpoint,
            "another key signed it"
        )
    );
}

/// A checkpoint that the first key signed.
async fn signed(book: &Book, body: &Body) -> Checkpoint {
    let body = serde_json::to_string(body).unwrap();
    let algorithm = DigestAlgorithm::Sha256;
    let digest = Digest::new(algorithm, Hash::of(body.as_bytes()).0.into()).unwrap();
    let signature = book
        .issuer
        .sign("audit/v1", Scheme::Ecdsa(algorithm), &digest);
    Checkpoint {
        body,
        signature: signature.await.unwrap(),
    }
}

async fn forged_successor(database: Database) {
    let book = Book::open(&database, 1).await;
    let stranger = Book::open(&Database::sqlite(), 1).await;
    book.record(0, 1).await;
    book.seal().await;
    let theirs = stranger.issuer.public_key("audit/v1").await;
    let (_, theirs) = theirs.unwrap().unwrap();

    let mut tables = book.tables().await;
    let body = Body {
        successor: Some(Spki(theirs)),
        ..bodies(&book).await.remove(0)
    };
    let checkpoint = tables.checkpoints.get_mut(&1).unwrap();
    checkpoint.body = serde_json::to_string(&body).unwrap();
    book.put(&tables).await;

    let found = book.verify(None).await.unwrap_err();
    assert_eq!(found.place, Where::Checkpoint(1));
    assert_eq!(found.why, "the signature does not fit");
}

async fn failed_is_completed(database: Database) {
    let book = Book::open(&database, 1).await;
    let keeper = book.keeper(0).await;
    book.record(0, 1).await;
    keeper.seal().await.unwrap();
    let failure = HsmError::OutcomeUnknown("on purpose".into());
    book.token.fail_next("sign", failure);
    assert!(keeper.rotate().await.is_err());
    // The second key is there, and nobody has heard of it.
    keeper.seal().await.unwrap();
    assert_eq!(bodies(&book).await.len(), 2);
    book.verify(None).await.unwrap();

    assert_eq!(keeper.rotate().await.unwrap(), 2);

    let keys = Keys::of(&book.issuer).await.unwrap().to_pem().unwrap();
    assert_eq!(keys.matches("BEGIN PUBLIC KEY").count(), 2);
    assert_eq!(book.verify(None).await.unwrap().unsealed, 0);
}

async fn one_at_a_time(database: Database) {
    let book = Book::open(&database, 2).await;
    let (one, other) = (book.keeper(0).await, book.keeper(1).await);
    let hold = book.token.hold("create_token_pair");
    let first = tokio::spawn(async move { one.rotate().await });
    let hold = tokio::task::spawn_blocking(move || hold.reached(1).then_some(hold));
    let hold = hold.await.unwrap().expect("the first one has begun");

    let second = other.rotate().await;

    assert!(matches!(second, Err(KeeperError::UnderWay)), "{second:?}");
    drop(hold);
    assert_eq!(first.await.unwrap().unwrap(), 2);
    let keys = Keys::of(&book.issuer).await.unwrap().to_pem().unwrap();
    assert_eq!(keys.matches("BEGIN PUBLIC KEY").count(), 2);
}
