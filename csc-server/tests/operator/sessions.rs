//! Sessions, and what ends them.

use std::sync::atomic::Ordering;

use csc_server::operator::{Capability, Error, Operator, Role, Token};
use totp_rs::Totp;

use crate::{
    support::{Database, on_both},
    world::{MINUTE, World, name, password},
};

on_both! {
    a_session_ends_when_it_is_left_alone_or_grows_old => super::sessions_end;
    a_session_ends_with_the_account_it_was_begun_for => super::sessions_of_changed_accounts;
    a_session_that_sql_wrote_is_dead_and_alarmed => super::sessions_by_sql;
}

/// A world with an operator who has a session.
async fn with_session(database: &Database) -> (World, Vec<Operator>, Totp, Token) {
    let (world, officers) = World::with_officers(database, 2).await;
    world.made(&officers, 3, Role::Auditor).await.unwrap();
    let app = world.enrol(3).await.unwrap();
    let (_, token) = world.log_in(3, &app).await.unwrap();
    (world, officers, app, token)
}

async fn sessions_end(database: Database) {
    let (world, _, app, token) = with_session(&database).await;
    let node = &world.nodes[1];
    let began = world.time.load(Ordering::SeqCst);
    // Used every 14 minutes it lasts for a shift.
    while world.time.load(Ordering::SeqCst) - began < 8 * 60 * MINUTE {
        assert_eq!(node.resume(&token).await.unwrap().name, name(3));
        world.pass(14 * MINUTE);
    }
    let old = node.resume(&token).await;
    assert!(matches!(old, Err(Error::NoSession)), "{old:?}");

    let (operator, token) = world.log_in(3, &app).await.unwrap();
    world.pass(15 * MINUTE - 1);
    node.resume(&token).await.unwrap();
    world.pass(15 * MINUTE);
    let idle = node.resume(&token).await;
    assert!(matches!(idle, Err(Error::NoSession)), "{idle:?}");

    let (_, token) = world.log_in(3, &app).await.unwrap();
    node.log_out(&operator, &token).await.unwrap();
    let ended = node.resume(&token).await;
    assert!(matches!(ended, Err(Error::NoSession)), "{ended:?}");
    let unknown = node.resume(&Token::new("nothing")).await;
    assert!(matches!(unknown, Err(Error::NoSession)), "{unknown:?}");
}

async fn sessions_of_changed_accounts(database: Database) {
    let (world, officers, app, token) = with_session(&database).await;
    let node = &world.nodes[0];
    let operator = node.resume(&token).await.unwrap();
    let wrong = node
        .change_password(&operator, "a wrong password", "another password")
        .await;
    assert!(matches!(wrong, Err(Error::NotLoggedIn)), "{wrong:?}");
    node.resume(&token).await.unwrap();
    node.change_password(&operator, &password(3), &password(3))
        .await
        .unwrap();
    let changed = node.resume(&token).await;
    assert!(matches!(changed, Err(Error::NoSession)), "{changed:?}");

    let (_, token) = world.log_in(3, &app).await.unwrap();
    let removal = world
        .permitted(&officers[0], &officers[1], Capability::RemoveRole)
        .await;
    node.remove(removal, &name(3), Role::Auditor).await.unwrap();
    let removed = node.resume(&token).await;
    assert!(matches!(removed, Err(Error::NoSession)), "{removed:?}");
}

async fn sessions_by_sql(database: Database) {
    let (world, _, _, token) = with_session(&database).await;
    for edit in [
        "UPDATE operator_session SET operator = (SELECT id FROM operator WHERE name = 'officer-1')",
        "UPDATE operator_session SET begun = begun + 1",
    ] {
        let alarms = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        world.sql(edit).await;
        let forged = world.nodes[1].resume(&token).await;
        assert!(matches!(forged, Err(Error::Damaged)), "{edit}: {forged:?}");
        let now = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        assert_eq!(now, alarms + 1, "{edit}");
    }
}
