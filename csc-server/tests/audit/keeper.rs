//! Who makes the checkpoints, and when.

use std::time::Duration;

use csc_server::audit::{Body, verify::Verdict};
use hsm_adapter::HsmError;

use crate::{
    book::{Book, EVERY},
    support::{Database, on_both},
};

on_both! {
    nothing_is_written_when_nothing_happened => super::idle;
    one_node_at_a_time_takes_the_turn_and_any_takes_the_next => super::turns;
    of_two_nodes_that_find_the_turn_due_one_takes_it => super::one_wins;
    two_nodes_that_seal_at_once_cover_each_row_once => super::at_once;
    an_hsm_that_fails_costs_a_checkpoint_and_no_row => super::failing_hsm;
    a_node_that_died_in_its_turn_is_replaced => super::died;
    a_turn_that_was_put_off_for_good_is_taken => super::put_off;
    a_proof_is_there_as_soon_as_a_checkpoint_is => super::proof;
}

async fn checkpoints(book: &Book) -> usize {
    book.tables().await.checkpoints.len()
}

async fn intact(book: &Book) -> Verdict {
    book.verify(None).await.unwrap()
}

async fn idle(database: Database) {
    let book = Book::open(&database, 1).await;
    let keeper = book.keeper(0).await;
    keeper.turn().await.unwrap();
    assert_eq!(keeper.seal().await.unwrap(), 0);
    book.record(0, 3).await;
    keeper.turn().await.unwrap();
    let sealed = book.tables().await;
    assert_eq!(sealed.checkpoints.len(), 1);
    book.pass(EVERY);
    keeper.turn().await.unwrap();
    assert_eq!(keeper.seal().await.unwrap(), 0);
    assert_eq!(book.tables().await, sealed);
}

async fn turns(database: Database) {
    let book = Book::open(&database, 2).await;
    let (one, other) = (book.keeper(0).await, book.keeper(1).await);
    book.record(0, 1).await;
    assert_eq!(one.turn().await.unwrap(), EVERY);
    book.record(1, 1).await;
    let wait = other.turn().await.unwrap();
    assert_eq!(checkpoints(&book).await, 1, "it was not due yet");
    assert_eq!(wait, EVERY - Duration::from_millis(1), "what is left");
    book.pass(EVERY);
    other.turn().await.unwrap();
    assert_eq!(checkpoints(&book).await, 2);
    assert_eq!(intact(&book).await.unsealed, 0);
}

async fn at_once(database: Database) {
    let book = Book::open(&database, 3).await;
    let (one, other) = (book.keeper(0).await, book.keeper(1).await);
    for _ in 0..5 {
        let writing = async {
            for node in 0..3 {
                book.record(node, 2).await;
            }
        };
        let (_, one, other) = tokio::join!(writing, one.seal(), other.seal());
        one.unwrap();
        other.unwrap();
    }
    one.seal().await.unwrap();
    let verdict = intact(&book).await;
    assert_eq!((verdict.rows, verdict.unsealed), (30, 0));
}

/// Both look, both see that it is due; the statement decides.
async fn one_wins(database: Database) {
    let book = Book::open(&database, 2).await;
    let (one, other) = (book.keeper(0).await, book.keeper(1).await);
    for round in 1..=5 {
        book.record(0, 1).await;
        let before = book.token.calls("sign");
        let (first, second) = tokio::join!(one.turn(), other.turn());
        first.unwrap();
        second.unwrap();
        assert_eq!(checkpoints(&book).await, round);
        assert_eq!(
            book.token.calls("sign"),
            before + 1,
            "the HSM signed for one"
        );
        book.pass(EVERY);
    }
}

async fn failing_hsm(database: Database) {
    let book = Book::open(&database, 1).await;
    let keeper = book.keeper(0).await;
    book.record(0, 2).await;
    let failure = || HsmError::OutcomeUnknown("on purpose".into());
    book.token.fail_next("sign", failure());
    assert!(keeper.turn().await.is_err());
    assert_eq!(checkpoints(&book).await, 0);
    book.record(0, 1).await;
    book.pass(EVERY);
    keeper.turn().await.unwrap();
    let verdict = intact(&book).await;
    assert_eq!((verdict.rows, verdict.unsealed), (3, 0));
}

async fn died(database: Database) {
    let book = Book::open(&database, 2).await;
    book.record(0, 1).await;
    let now = book.clock.now();
    // What a node leaves that was killed between taking the turn and the end of it.
    book.nodes[0]
        .write(async move |tx| {
            let sql = "INSERT INTO turn (name, due) VALUES ('checkpoint', $1)";
            tx.execute(sql, csc_server::params![now + 60_000]).await
        })
        .await
        .unwrap();
    let keeper = book.keeper(1).await;
    keeper.turn().await.unwrap();
    assert_eq!(checkpoints(&book).await, 0);
    book.pass(EVERY);
    keeper.turn().await.unwrap();
    assert_eq!(checkpoints(&book).await, 1);
}

async fn put_off(database: Database) {
    let book = Book::open(&database, 1).await;
    let keeper = book.keeper(0).await;
    book.record(0, 1).await;
    keeper.turn().await.unwrap();
    book.record(0, 1).await;
    let never = "UPDATE turn SET due = 9000000000000000000";
    let written = book.nodes[0].write(async move |tx| tx.execute(never, &[]).await);
    assert_eq!(written.await.unwrap(), 1);
    keeper.turn().await.unwrap();
    assert_eq!(checkpoints(&book).await, 2);
}

async fn proof(database: Database) {
    use csc_server::audit::proof;
    let book = Book::open(&database, 2).await;
    for rows in 1..4 {
        book.record(0, rows).await;
        book.record(1, 1).await;
        book.seal().await;
    }
    book.record(0, 1).await;
    let tables = book.tables().await;
    for (chain, sequence) in tables.rows.keys() {
        let made = proof::of(&book.nodes[0], chain, *sequence).await.unwrap();
        match tables.segment(&(chain.clone(), *sequence)) {
            Some(_) => {
                let body: Body = made.unwrap().check(&book.keys).unwrap();
                let heads = body.heads.iter();
                assert!(
                    heads
                        .map(|head| &head.chain)
                        .any(|covered| covered == chain)
                );
            }
            None => assert!(made.is_none()),
        }
    }
}
