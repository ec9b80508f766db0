//! What a wrong clock does, and what it does not.

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

use std::time::Duration;

use csc_server::{
    config,
    credential::Error,
    timekeeper::{Compared, Distrust, Timekeeper},
};
use support::{Database, on_both};
use world::{PIN, World, policy};

on_both! {
    a_sad_of_the_future_signs_nothing => super::future;
}

const SECOND: Duration = Duration::from_secs(1);

/// The clock was set back after the approval: the SAD would live longer than it should.
async fn future(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let code = world.code(&credential).await;
    let sad = world
        .sad(world.node(), &credential, PIN, &code)
        .await
        .unwrap();

    world.back(6 * SECOND);
    let signed = world.sign(&credential, &sad).await;
    assert!(matches!(signed, Err(Error::InvalidSad)), "{signed:?}");
    let remaining = "SELECT remaining FROM activation";
    assert_eq!(world.number(remaining).await, 1, "nothing was counted");
    world.pass(6 * SECOND);
    world.sign(&credential, &sad).await.unwrap();
}

async fn keeper(world: &World, sources: &[&str]) -> Timekeeper {
    let config = config::Clock {
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        ..config::Clock::default()
    };
    Timekeeper::new(world.node().store.clone(), world.clock(), config)
}

fn answer(offset: i64) -> Option<Compared> {
    Some(Compared {
        source: "ntp.example".to_owned(),
        offset,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_went_back_is_trusted_when_it_has_caught_up() {
    let world = World::new(&Database::sqlite(), policy()).await;
    let mut keeper = keeper(&world, &[]).await;
    let trust = keeper.trust();
    world.pass(SECOND);
    keeper.look(SECOND, None).await.unwrap();
    trust.check().unwrap();

    world.back(9 * SECOND);
    for _ in 0..4 {
        world.pass(SECOND);
        keeper.look(SECOND, None).await.unwrap();
        assert_eq!(trust.check(), Err(Distrust::WentBack(9_000)));
    }
    assert_eq!(world.events("CLOCK_ALARM").await, 1, "once");
    // What the machine's own clock says of itself does not help; that it is where it was does.
    world.pass(4 * SECOND);
    keeper.look(Duration::ZERO, None).await.unwrap();
    trust.check().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_not_trusted_until_a_source_agrees() {
    let world = World::new(&Database::sqlite(), policy()).await;
    let mut keeper = keeper(&world, &["ntp.example"]).await;
    let trust = keeper.trust();
    assert_eq!(trust.check(), Err(Distrust::Unknown), "before any answer");
    for offset in [5_000, -5_000] {
        keeper.look(SECOND, answer(offset)).await.unwrap();
        trust.check().unwrap();
    }
    for offset in [5_001, -5_001] {
        keeper.look(SECOND, answer(offset)).await.unwrap();
        assert_eq!(trust.check(), Err(Distrust::Off(offset)));
        // No answer is no better one.
        keeper.look(SECOND, None).await.unwrap();
        assert_eq!(trust.check(), Err(Distrust::Off(offset)));
    }
    keeper.look(SECOND, answer(20)).await.unwrap();
    trust.check().unwrap();

    assert_eq!(world.events("CLOCK_ALARM").await, 1);
    let agreed = world.told("CLOCK_SYNC").await;
    let offsets: Vec<_> = agreed
        .iter()
        .map(|event| event["offset"].as_i64())
        .collect();
    assert_eq!(
        offsets,
        [Some(5_000), Some(20)],
        "first, and when trust returned"
    );

    // A source that agrees after a step back says that the step was right.
    world.back(60 * SECOND);
    keeper.look(SECOND, None).await.unwrap();
    assert!(matches!(trust.check(), Err(Distrust::WentBack(_))));
    keeper.look(SECOND, answer(0)).await.unwrap();
    trust.check().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_is_good_for_a_day() {
    let world = World::new(&Database::sqlite(), policy()).await;
    let mut keeper = keeper(&world, &["ntp.example"]).await;
    let trust = keeper.trust();
    keeper.look(SECOND, answer(0)).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    world.pass(day - SECOND);
    keeper.look(day - SECOND, None).await.unwrap();
    trust.check().unwrap();
    world.pass(SECOND);
    keeper.look(SECOND, None).await.unwrap();
    assert_eq!(trust.check(), Err(Distrust::Unknown));
    keeper.look(SECOND, answer(0)).await.unwrap();
    trust.check().unwrap();
    assert_eq!(world.events("CLOCK_SYNC").await, 2, "one a day");
}
