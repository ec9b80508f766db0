//! Accounts of operators and the second officer, on SQLite and on PostgreSQL: what statements decide, and what a MAC finds.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use csc_server::{
    actor::Actor,
    audit::{self, Event},
    clock::Clock,
    ids::ApprovalId,
    operator::{Capability, Error, Operator, Operators, Permission, Role, Roles, Standing},
    params,
    store::{Store, Tx},
};
use hsm_adapter::{Cost, Pool, PoolLimits, Stretcher, Vault, memory::MemoryToken};

use support::{Database, on_both};

on_both! {
    the_first_two_are_security_officers_and_the_third_takes_both => super::founders;
    of_two_who_make_the_first_account_at_once_one_does => super::one_founder;
    an_approval_is_used_once_on_whatever_node => super::used_once;
    of_an_approval_and_a_refusal_at_once_one_counts => super::decided_once;
    an_approval_is_good_for_its_requester_and_its_command_only => super::bound;
    a_request_is_good_for_a_day => super::expires;
    who_lost_the_role_has_approved_nothing => super::approver_gone;
    two_officers_who_remove_each_other_do_not_both_succeed => super::two_remain;
    what_sql_wrote_into_an_account_is_dead_and_alarmed => super::accounts_by_sql;
    what_sql_approved_is_dead_and_alarmed => super::approvals_by_sql;
    accounts_that_are_gone_open_nothing => super::emptied;
    parallel_guesses_count_and_delay_also_the_right_password => super::delayed;
    an_audit_row_names_who_acted_in_which_role_and_who_approved => super::actors;
}

const DAY: i64 = 24 * 60 * 60 * 1000;
const COMMAND: &str = r#"{"command":"operator add","arguments":{}}"#;

/// Two nodes on one database and one token, and the clock of both.
struct World {
    nodes: [Operators; 2],
    store: Store,
    time: Arc<AtomicI64>,
}

impl World {
    async fn new(database: &Database) -> Self {
        let limits = PoolLimits {
            sessions: 2,
            queue: 256,
            deadline: Duration::from_secs(30),
        };
        let cost = Cost {
            memory: 64,
            passes: 1,
            lanes: 1,
        };
        let stretcher = Stretcher::new(cost, 2, 256);
        let pool = Pool::start(Arc::new(MemoryToken::new("holder")), limits).unwrap();
        let vault = Vault::new(pool, stretcher.clone(), 1);
        vault.init().await.unwrap();
        let time = Arc::new(AtomicI64::new(1_800_000_000_000));
        let operators = |store| {
            let clock = Clock::Manual(time.clone());
            Operators::new(store, clock, vault.clone(), stretcher.clone())
        };
        let store = database.node().await;
        Self {
            nodes: [operators(store.clone()), operators(database.node().await)],
            store,
            time,
        }
    }

    /// A world with so many security officers, at least two.
    async fn with_officers(database: &Database, count: usize) -> (Self, Vec<Operator>) {
        let world = Self::new(database).await;
        let first = Permission::without_accounts(Capability::CreateOperator);
        world.add(first, 1, Role::SecurityOfficer).await.unwrap();
        let first = world.log_in(1).await;
        let second = world.create(&first, None).await.unwrap();
        world.add(second, 2, Role::SecurityOfficer).await.unwrap();
        let mut officers = vec![first, world.log_in(2).await];
        for number in 3..=count {
            let permission = world
                .permitted(&officers[0], &officers[1], Capability::CreateOperator)
                .await;
            world
                .add(permission, number, Role::SecurityOfficer)
                .await
                .unwrap();
            officers.push(world.log_in(number).await);
        }
        (world, officers)
    }

    async fn add(&self, permission: Permission, number: usize, role: Role) -> Result<(), Error> {
        let roles = Roles::new([role]).unwrap();
        self.nodes[0]
            .add(permission, &name(number), roles, &password(number))
            .await
            .map(drop)
    }

    async fn log_in(&self, number: usize) -> Operator {
        self.nodes[0]
            .log_in(&name(number), &password(number))
            .await
            .unwrap()
    }

    async fn create(
        &self,
        operator: &Operator,
        approval: Option<&ApprovalId>,
    ) -> Result<Permission, Error> {
        self.nodes[0]
            .permit(operator, Capability::CreateOperator, COMMAND, approval)
            .await
    }

    /// What this officer may do once that one has approved.
    async fn permitted(
        &self,
        requester: &Operator,
        approver: &Operator,
        capability: Capability,
    ) -> Permission {
        let node = &self.nodes[0];
        let id = self.requested(requester, capability).await;
        node.approve(approver, &id).await.unwrap();
        node.permit(requester, capability, COMMAND, Some(&id))
            .await
            .unwrap()
    }

    async fn requested(&self, requester: &Operator, capability: Capability) -> ApprovalId {
        let waiting = self.nodes[0]
            .permit(requester, capability, COMMAND, None)
            .await;
        match waiting {
            Err(Error::Waiting(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn sql(&self, sql: &'static str) {
        let changed = self
            .store
            .write(async move |tx: &mut Tx| tx.execute(sql, &[]).await)
            .await;
        assert!(changed.unwrap() > 0, "{sql}");
    }

    /// How many rows of the audit log have this in their event.
    async fn recorded(&self, what: &str) -> i64 {
        let sql = "SELECT COUNT(*) FROM audit WHERE event LIKE $1";
        let pattern = format!("%{what}%");
        let row = self.store.find(sql, params![pattern.as_str()]).await;
        row.unwrap().unwrap().get(0).unwrap()
    }

    fn pass(&self, time: i64) {
        self.time.fetch_add(time, Ordering::SeqCst);
    }
}

fn name(number: usize) -> String {
    format!("officer-{number}")
}

fn password(number: usize) -> String {
    format!("password of {number}")
}

async fn founders(database: Database) {
    let world = World::new(&database).await;
    assert_eq!(
        Operators::standing(&world.store).await.unwrap(),
        Standing::NoAccounts
    );
    let first = || Permission::without_accounts(Capability::CreateOperator);
    let auditor = world.add(first(), 1, Role::Auditor).await;
    assert!(matches!(auditor, Err(Error::FirstTwo)), "{auditor:?}");
    world.add(first(), 1, Role::SecurityOfficer).await.unwrap();
    let again = world.add(first(), 2, Role::SecurityOfficer).await;
    assert!(matches!(again, Err(Error::State(_))), "{again:?}");

    let officer = world.log_in(1).await;
    let second = world.create(&officer, None).await.unwrap();
    let auditor = world.add(second, 2, Role::Auditor).await;
    assert!(matches!(auditor, Err(Error::FirstTwo)), "{auditor:?}");
    let second = world.create(&officer, None).await.unwrap();
    world.add(second, 2, Role::SecurityOfficer).await.unwrap();

    let second = world.log_in(2).await;
    let permission = world
        .permitted(&officer, &second, Capability::CreateOperator)
        .await;
    world.add(permission, 3, Role::Auditor).await.unwrap();
}

async fn one_founder(database: Database) {
    let world = World::new(&database).await;
    let found = |node: usize| {
        let operators = world.nodes[node].clone();
        async move {
            let first = Permission::without_accounts(Capability::CreateOperator);
            let roles = Roles::new([Role::SecurityOfficer]).unwrap();
            operators
                .add(first, &name(node), roles, &password(node))
                .await
                .is_ok()
        }
    };
    let (one, other) = tokio::join!(tokio::spawn(found(0)), tokio::spawn(found(1)));
    assert!(one.unwrap() != other.unwrap());
}

async fn used_once(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let id = world
        .requested(&officers[0], Capability::RotateMasterKeys)
        .await;
    world.nodes[0].approve(&officers[1], &id).await.unwrap();
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
                .permit(&officer, Capability::RotateMasterKeys, COMMAND, Some(&id))
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
            one.approve(&officers[1], &id),
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
    let same = node.approve(&officers[0], &id).await;
    assert!(matches!(same, Err(Error::SamePerson)), "{same:?}");
    let early = world.create(&officers[0], Some(&id)).await;
    assert!(matches!(early, Err(Error::State(_))), "{early:?}");
    node.approve(&officers[1], &id).await.unwrap();

    for (operator, capability, command) in [
        (&officers[1], Capability::CreateOperator, COMMAND),
        (&officers[2], Capability::CreateOperator, COMMAND),
        (&officers[0], Capability::GrantRole, COMMAND),
        (&officers[0], Capability::CreateOperator, "{}"),
    ] {
        let other = node.permit(operator, capability, command, Some(&id)).await;
        assert!(matches!(other, Err(Error::OtherRequest)), "{other:?}");
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
    node.approve(&officers[1], &ids[0]).await.unwrap();
    let in_time = world.create(&officers[0], Some(&ids[0])).await.unwrap();
    assert_eq!(node.requests(&officers[1]).await.unwrap().len(), 2);
    world.pass(1);
    assert_eq!(node.requests(&officers[1]).await.unwrap().len(), 0);

    for (late, why) in [
        (
            node.approve(&officers[1], &ids[1]).await,
            "approved too late",
        ),
        (
            world.create(&officers[0], Some(&ids[0])).await.map(drop),
            "used too late",
        ),
        (
            world.add(in_time, 3, Role::Auditor).await,
            "spent too late, though permitted in time",
        ),
    ] {
        assert!(matches!(late, Err(Error::State(_))), "{why}: {late:?}");
    }
}

async fn approver_gone(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    world.nodes[0].approve(&officers[2], &id).await.unwrap();
    let removal = world
        .permitted(&officers[0], &officers[1], Capability::RemoveRole)
        .await;
    world.nodes[0]
        .remove(removal, &name(3), Role::SecurityOfficer)
        .await
        .unwrap();
    let used = world.create(&officers[0], Some(&id)).await;
    assert!(matches!(used, Err(Error::NotAllowed { .. })), "{used:?}");
}

async fn two_remain(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    let removals = [
        world
            .permitted(&officers[0], &officers[2], Capability::RemoveRole)
            .await,
        world
            .permitted(&officers[1], &officers[2], Capability::RemoveRole)
            .await,
    ];
    let [one, other] = removals;
    let names = [name(2), name(1)];
    let (one, other) = tokio::join!(
        world.nodes[0].remove(one, &names[0], Role::SecurityOfficer),
        world.nodes[1].remove(other, &names[1], Role::SecurityOfficer)
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let left = world.nodes[0].list().await.unwrap();
    let officers = left
        .iter()
        .filter(|account| account.roles == "security-officer");
    assert_eq!(officers.count(), 2);
}

async fn accounts_by_sql(database: Database) {
    let (world, officers) = World::with_officers(&database, 3).await;
    let permission = world
        .permitted(&officers[0], &officers[1], Capability::CreateOperator)
        .await;
    world.add(permission, 4, Role::Auditor).await.unwrap();
    let node = &world.nodes[1];
    let edits = [
        "INSERT INTO operator (id, name, roles, password_salt, password_cost, password_hash, record_mac, login_failures,
             login_after, created)
         SELECT 'inserted', 'officer-5', roles, password_salt, password_cost, password_hash, record_mac, 0, 0, created
         FROM operator WHERE name = 'officer-1'",
        "UPDATE operator SET roles = 'security-officer' WHERE name = 'officer-4'",
        "UPDATE operator SET password_hash = (SELECT o.password_hash FROM operator o WHERE o.name = 'officer-2')
         WHERE name = 'officer-1'",
        "UPDATE operator SET roles = '' WHERE name = 'officer-2'",
    ];
    for (edit, (number, typed)) in edits.into_iter().zip([(5, 1), (4, 4), (1, 2), (2, 2)]) {
        let alarms = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        world.sql(edit).await;
        let dead = node.log_in(&name(number), &password(typed)).await;
        assert!(matches!(dead, Err(Error::Damaged)), "{edit}: {dead:?}");
        assert_eq!(
            world.recorded("OPERATOR_INTEGRITY_FAIL").await,
            alarms + 1,
            "{edit}"
        );
    }
    let listed = node.list().await.unwrap();
    let genuine = listed.iter().filter(|account| account.genuine);
    assert_eq!(
        genuine
            .map(|account| account.name.as_str())
            .collect::<Vec<_>>(),
        ["officer-3"]
    );
    // One account for another: the names change places.
    world
        .sql("UPDATE operator SET name = 'officer-6' WHERE name = 'officer-3'")
        .await;
    let renamed = node.log_in("officer-6", &password(3)).await;
    assert!(matches!(renamed, Err(Error::Damaged)), "{renamed:?}");
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
        let approved = world.nodes[1].approve(&officers[0], &id).await;
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

async fn emptied(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let permission = world
        .permitted(&officers[0], &officers[1], Capability::CreateOperator)
        .await;
    world.sql("DELETE FROM approval").await;
    world
        .sql("DELETE FROM operator WHERE name = 'officer-2'")
        .await;
    let second = world.create(&officers[0], None).await.unwrap();
    let again = world.add(second, 2, Role::SecurityOfficer).await;
    assert!(
        matches!(again, Err(Error::State(_))),
        "a seat is taken once: {again:?}"
    );
    drop(permission);
    world.sql("DELETE FROM operator").await;

    assert_eq!(
        world.nodes[0].check().await.unwrap(),
        Standing::Emptied,
        "not as if there had never been one"
    );
    assert_eq!(
        world
            .recorded(r#""OPERATOR_INTEGRITY_FAIL","operator":null"#)
            .await,
        1
    );
    let first = Permission::without_accounts(Capability::CreateOperator);
    let again = world.add(first, 1, Role::SecurityOfficer).await;
    assert!(matches!(again, Err(Error::State(_))), "{again:?}");
}

async fn delayed(database: Database) {
    let (world, _) = World::with_officers(&database, 2).await;
    let guesses = (0..20).map(|number| {
        let node = world.nodes[number % 2].clone();
        tokio::spawn(async move { node.log_in("officer-1", "a wrong password").await.is_err() })
    });
    for guess in guesses.collect::<Vec<_>>() {
        assert!(guess.await.unwrap());
    }
    let right = world.nodes[0].log_in(&name(1), &password(1)).await;
    assert!(matches!(right, Err(Error::NotLoggedIn)), "{right:?}");
    world.pass(60_000);
    world.log_in(1).await;
    let unknown = world.nodes[0].log_in("nobody", "a wrong password").await;
    assert!(matches!(unknown, Err(Error::NotLoggedIn)), "{unknown:?}");
}

async fn actors(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    world.nodes[0].approve(&officers[1], &id).await.unwrap();
    let permission = world.create(&officers[0], Some(&id)).await.unwrap();
    world.add(permission, 3, Role::Auditor).await.unwrap();
    let auditor = world.log_in(3).await;
    let refused = world.create(&auditor, None).await;
    assert!(
        matches!(refused, Err(Error::NotAllowed { .. })),
        "{refused:?}"
    );

    let actor = |operator: &Operator, rest: &str| {
        format!(
            r#""actor":{{"kind":"operator","id":"{}","role":{rest}}}"#,
            operator.id
        )
    };
    let one = actor(&officers[0], r#""security-officer""#);
    let other = actor(&officers[1], r#""security-officer""#);
    let by_both = actor(
        &officers[0],
        &format!(r#""security-officer","approval":"{id}""#),
    );
    for (event, actor, count) in [
        ("USER_CREATED", r#""actor":{"kind":"terminal"}"#, 1),
        ("USER_CREATED", one.as_str(), 1),
        ("DUAL_REQUEST", one.as_str(), 1),
        ("DUAL_APPROVE", other.as_str(), 1),
        ("USER_CREATED", by_both.as_str(), 1),
        ("DUAL_USED", by_both.as_str(), 1),
        (
            "CAPABILITY_REFUSED",
            actor(&auditor, r#""auditor""#).as_str(),
            1,
        ),
    ] {
        let what = format!(r#""{event}"%{actor}"#);
        assert_eq!(world.recorded(&what).await, count, "{what}");
    }
}

#[tokio::test]
async fn units_of_one_commit_each_name_who_acts_in_it() {
    let store = Database::sqlite().node().await;
    let acting = store.acting(Actor::Terminal);
    let units = (0..40).map(|number| {
        let handle = if number % 2 == 0 { &acting } else { &store };
        audit::note(handle, 0, "", Event::Stop)
    });
    futures_util::future::try_join_all(units).await.unwrap();
    let sql = "SELECT event, COUNT(*) FROM audit GROUP BY event ORDER BY event";
    let rows = store.query(sql, &[]).await.unwrap();
    let events: Vec<(String, i64)> = rows
        .into_iter()
        .map(|mut row| (row.get(0).unwrap(), row.get(1).unwrap()))
        .collect();
    let named = r#"{"event":"STOP","actor":{"kind":"terminal"}}"#;
    assert_eq!(
        events,
        [
            (named.to_owned(), 20),
            (r#"{"event":"STOP"}"#.to_owned(), 20)
        ]
    );
}
