//! What nobody uses is found as well: log and tables are inspected every night.

use std::time::Duration;

use csc_server::inspection::Inspector;
use tokio::sync::watch;

use crate::{
    support::{Database, on_both},
    world::{World, policy},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

on_both! {
    log_and_tables_are_inspected_every_night_by_one_node => super::every_night;
}

async fn every_night(database: Database) {
    let world = World::new(&database, policy()).await;
    world.mailbox().await;
    let (stop, stopped) = watch::channel(false);
    let inspector = |node: usize| {
        let store = world.nodes[node].store.clone();
        Inspector::new(store, world.clock(), world.issuer.clone(), DAY)
    };
    let (mut one, mut other) = (inspector(0), inspector(1));

    let (first, second) = tokio::join!(one.turn(&stopped), other.turn(&stopped));
    let reports = [first.unwrap(), second.unwrap()];
    let report = reports.iter().flatten().next().unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let told = async || {
        let (verified, alarms) = (world.events("LOG_VERIFIED"), world.events("LOG_ALARM"));
        (verified.await, alarms.await)
    };
    assert_eq!(told().await, (1, 0), "one of two nodes, and no alarm");

    // It is eight in the morning.
    world.pass(18 * HOUR - Duration::from_millis(1));
    assert!(other.turn(&stopped).await.unwrap().is_none());
    let renamed = "UPDATE holder SET email = 'eve@example.org'";
    world.tamper(renamed, &[]).await;
    world.pass(Duration::from_millis(1));
    let report = other.turn(&stopped).await.unwrap().unwrap();
    assert_eq!(report.disagreeing, 1, "{report:#?}");
    assert!(one.turn(&stopped).await.unwrap().is_none());
    assert_eq!(told().await, (2, 1));
    let alarms = world.told("LOG_ALARM").await;
    let finding = alarms[0]["finding"].as_str().unwrap();
    let of = format!("holder {}: it is not what was recorded", world.holder.id);
    assert!(finding.starts_with(&of), "{finding}");

    // A node that is told to stop leaves it to the next.
    world.pass(DAY);
    stop.send(true).unwrap();
    assert!(one.turn(&stopped).await.unwrap().is_none());
    assert_eq!(told().await, (2, 1));
    stop.send(false).unwrap();
    assert!(other.turn(&stopped).await.unwrap().is_some());
    assert_eq!(told().await, (3, 2));

    // Nobody puts it off for good.
    let never = "UPDATE turn SET due = 9000000000000000000 WHERE name = 'inspection'";
    world.tamper(never, &[]).await;
    assert!(one.turn(&stopped).await.unwrap().is_some());
}
