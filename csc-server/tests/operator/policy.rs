//! The settings that two approved, and the alarms of a running service.

use csc_server::operator::{Capability, Error, Watch};

use crate::{
    support::{Database, on_both},
    world::{POLICY, World},
};

on_both! {
    a_policy_is_what_two_approved_and_nothing_else => super::policy;
    what_is_refused_or_forged_is_an_alarm_once => super::watched;
}

async fn policy(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let node = &world.nodes[1];
    node.check_policy(POLICY).await.unwrap();
    let weaker = r#"{"pin":{"max_failures":50}}"#;
    let other = node.check_policy(weaker).await;
    assert!(matches!(other, Err(Error::Policy(_))), "{other:?}");
    let permission = world
        .permitted(&officers[0], &officers[1], Capability::ChangePolicy)
        .await;
    node.set_policy(permission, weaker).await.unwrap();
    node.check_policy(weaker).await.unwrap();

    for edit in [
        r#"UPDATE policy SET settings = '{"pin":{"max_failures":500}}'"#,
        "DELETE FROM policy",
    ] {
        let alarms = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        world.sql(edit).await;
        let forged = node.check_policy(r#"{"pin":{"max_failures":500}}"#).await;
        assert!(
            matches!(forged, Err(Error::DamagedPolicy)),
            "{edit}: {forged:?}"
        );
        let now = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        assert_eq!(now, alarms + 1, "{edit}");
    }
}

async fn watched(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let mut watch = Watch::new(world.nodes[1].clone());
    watch.look().await.unwrap();
    assert_eq!(world.recorded("OPERATOR_INTEGRITY_FAIL").await, 0);
    world
        .sql("UPDATE operator SET roles = 'auditor' WHERE name = 'officer-2'")
        .await;
    for _ in 0..3 {
        watch.look().await.unwrap();
        assert_eq!(world.recorded("OPERATOR_INTEGRITY_FAIL").await, 1);
    }
    world.sql("DELETE FROM operator_session").await;
    world
        .sql("DELETE FROM operator WHERE name = 'officer-2'")
        .await;
    for _ in 0..3 {
        watch.look().await.unwrap();
        assert_eq!(world.recorded("OPERATOR_INTEGRITY_FAIL").await, 2);
    }
    drop(officers);
}
