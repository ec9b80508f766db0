//! The second officer: what he approves is good once, for one command of one officer, for a day.

use std::sync::atomic::Ordering;

use csc_server::{
    ids::ApprovalId,
    operator::{Capability, Error, Rejection, Role},
};

use crate::{
    support::{Database, on_both},
    world::{COMMAND, DAY, World, name, password},
};

on_both! {
    an_approval_is_used_once_on_whatever_node => super::used_once;
    of_an_approval_and_a_refusal_at_once_one_counts => super::decided_once;
    an_approval_is_good_for_its_requester_and_its_command_only => super::bound;
    a_request_is_good_for_a_day => super::expires;
    who_lost_the_role_has_approved_nothing => super::approver_gone;
    what_sql_approved_is_dead_and_alarmed => super::approvals_by_sql;
}

async fn used_once(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let id = world.requested(&officers[0], Capability::InitSlots).await;
    world
        .approve(&world.nodes[0], &officers[1], &id)
        .await
        .unwrap();
    let stores = [world.store.clone(), database.node().await];
    let uses = (0..16).map(|number| {
        let (node, store) = (world.nodes[number % 2].clone(), stores[number % 2].clone());
        let (officer, id, now) = (
            officers[0].clone(),
            id.clone(),
            world.time.load(Ordering::SeqCst),
        );
        tokio::spawn(async move {
            let permission = node
                .permit(&officer, Capability::InitSlots, COMMAND, Some(&id))
                .await;
            match permission {
                Ok(permission) => permission.begin(&store, now).await.is_ok(),
                Err(_) => false,
            }
        })
    });
    let mut used = 0;
    for use_of_it in uses.collect::<Vec<_>>() {
        used += usize::from(use_of_it.await.unwrap());
    }
    assert_eq!(used, 1);
    assert_eq!(world.recorded("DUAL_USED").await, 1);
}

async fn decided_once(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    for _ in 0..4 {
        let id = world.requested(&officers[0], Capability::InitSlots).await;
        let [one, other] = &world.nodes;
        let (approved, refused) = tokio::join!(
            world.approve(one, &officers[1], &id),
            other.refuse(&officers[2], &id)
        );
        // What was approved may be refused after that; what was refused is never approved.
        let usable = one
            .permit(&officers[0], Capability::InitSlots, COMMAND, Some(&id))
            .await
            .is_ok();
        assert_eq!(usable, approved.is_ok() && refused.is_err());
        assert!(approved.is_ok() || refused.is_ok());
    }
}

async fn bound(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    let node = &world.nodes[1];
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    let same = world.approve(node, &officers[0], &id).await;
    assert!(rejected(&same, Rejection::Requester), "{same:?}");
    let early = world.create(&officers[0], Some(&id)).await;
    assert!(rejected(&early, Rejection::Waiting), "{early:?}");
    let borrowed = node.approve(&officers[1], &password(1), &id).await;
    assert!(
        matches!(borrowed, Err(Error::NotLoggedIn)),
        "a session alone approves nothing: {borrowed:?}"
    );
    world.approve(node, &officers[1], &id).await.unwrap();

    for (operator, capability, command) in [
        (&officers[1], Capability::CreateOperator, COMMAND),
        (&officers[2], Capability::CreateOperator, COMMAND),
        (&officers[0], Capability::GrantRole, COMMAND),
        (&officers[0], Capability::CreateOperator, "{}"),
    ] {
        let other = node.permit(operator, capability, command, Some(&id)).await;
        assert!(rejected(&other, Rejection::Other), "{other:?}");
    }
    for (reason, count) in [("requester", 1), ("waiting", 1), ("other", 4)] {
        let what = format!(r#""DUAL_REJECTED"%"reason":"{reason}"%"actor""#);
        assert_eq!(world.recorded(&what).await, count, "{reason}");
    }
    let unknown = world
        .create(&officers[0], Some(&ApprovalId::new("nothing")))
        .await;
    assert!(matches!(unknown, Err(Error::NoRequest(_))), "{unknown:?}");
    world.create(&officers[0], Some(&id)).await.unwrap();
}

async fn expires(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let node = &world.nodes[1];
    let ids = [
        world
            .requested(&officers[0], Capability::CreateOperator)
            .await,
        world
            .requested(&officers[0], Capability::CreateOperator)
            .await,
    ];
    world.pass(DAY - 1);
    world.approve(node, &officers[1], &ids[0]).await.unwrap();
    let in_time = world.create(&officers[0], Some(&ids[0])).await.unwrap();
    assert_eq!(node.requests(&officers[1]).await.unwrap().len(), 2);
    world.pass(1);
    assert_eq!(node.requests(&officers[1]).await.unwrap().len(), 0);

    let late = world.approve(node, &officers[1], &ids[1]).await;
    assert!(rejected(&late, Rejection::Expired), "{late:?}");
    let late = world.create(&officers[0], Some(&ids[0])).await;
    assert!(rejected(&late, Rejection::Expired), "{late:?}");
    assert_eq!(
        world
            .recorded(r#""DUAL_REJECTED"%"reason":"expired""#)
            .await,
        2
    );
    let spent_late = world.add(in_time, 3, Role::Auditor).await;
    assert!(rejected(&spent_late, Rejection::Used), "{spent_late:?}");
}

fn rejected<T>(result: &Result<T, Error>, rejection: Rejection) -> bool {
    matches!(result, Err(Error::Rejected(found)) if *found == rejection)
}

async fn approver_gone(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    world
        .approve(&world.nodes[0], &officers[2], &id)
        .await
        .unwrap();
    let removal = world
        .permitted(&officers[0], &officers[1], Capability::RemoveRole)
        .await;
    world.nodes[0]
        .remove(removal, &name(3), Role::SecurityOfficer)
        .await
        .unwrap();
    let used = world.create(&officers[0], Some(&id)).await;
    assert!(rejected(&used, Rejection::Approver), "{used:?}");
}

async fn approvals_by_sql(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    for edit in [
        "UPDATE approval SET state = 'approved', approver = (SELECT id FROM operator WHERE name = 'officer-2')",
        "UPDATE approval SET state = 'waiting', approver = NULL, requester = (SELECT id FROM operator WHERE name = 'officer-2')",
    ] {
        let alarms = world.recorded("APPROVAL_INTEGRITY_FAIL").await;
        world.sql(edit).await;
        let used = world.create(&officers[0], Some(&id)).await;
        assert!(matches!(used, Err(Error::DamagedRequest)), "{used:?}");
        let approved = world.approve(&world.nodes[1], &officers[0], &id).await;
        assert!(
            matches!(approved, Err(Error::DamagedRequest)),
            "{approved:?}"
        );
        assert_eq!(
            world.recorded("APPROVAL_INTEGRITY_FAIL").await,
            alarms + 2,
            "{edit}"
        );
    }
}
