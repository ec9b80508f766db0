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
    operator::{
        Capability, Error, NewOperator, Operator, Operators, Permission, Rejection, Role, Roles,
        Standing, Token, Watch,
    },
    otp::Otp,
    params,
    store::{Store, Tx},
};
use hsm_adapter::{Cost, Pool, PoolLimits, Stretcher, Vault, memory::MemoryToken};

use support::{Database, on_both};
use totp_rs::Totp;

on_both! {
    two_security_officers_found_and_the_third_takes_both => super::founders;
    of_two_who_found_at_once_one_does => super::one_founding;
    a_new_operator_enrols_before_he_acts => super::enrols;
    a_code_lets_in_once_and_neither_factor_alone_does => super::two_factors;
    a_session_ends_when_it_is_left_alone_or_grows_old => super::sessions_end;
    a_session_ends_with_the_account_it_was_begun_for => super::sessions_of_changed_accounts;
    a_session_that_sql_wrote_is_dead_and_alarmed => super::sessions_by_sql;
    a_policy_is_what_two_approved_and_nothing_else => super::policy;
    what_is_refused_or_forged_is_an_alarm_once => super::watched;
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
const STEP: i64 = 30_000;
const MINUTE: i64 = 60_000;
const POLICY: &str = r#"{"pin":{"max_failures":5}}"#;
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
        world.found().await.unwrap();
        let mut officers = vec![world.enter(1).await, world.enter(2).await];
        for number in 3..=count {
            world
                .made(&officers, number, Role::SecurityOfficer)
                .await
                .unwrap();
            officers.push(world.enter(number).await);
        }
        (world, officers)
    }

    async fn found(&self) -> Result<(), Error> {
        let (names, passwords) = ([name(1), name(2)], [first(1), first(2)]);
        let founders = [
            (names[0].as_str(), passwords[0].as_str()),
            (names[1].as_str(), passwords[1].as_str()),
        ];
        self.nodes[0].found(founders, POLICY).await.map(drop)
    }

    async fn add(&self, permission: Permission, number: usize, role: Role) -> Result<(), Error> {
        let new = NewOperator {
            name: &name(number),
            roles: Roles::new([role]).unwrap(),
            password: &first(number),
        };
        self.nodes[0].add(permission, &new).await.map(drop)
    }

    /// Makes an operator, approved by the second officer.
    async fn made(&self, officers: &[Operator], number: usize, role: Role) -> Result<(), Error> {
        let permission = self
            .permitted(&officers[0], &officers[1], Capability::CreateOperator)
            .await;
        self.add(permission, number, role).await
    }

    /// Enrols and logs in.
    async fn enter(&self, number: usize) -> Operator {
        let app = self.enrol(number).await.unwrap();
        self.log_in(number, &app).await.unwrap().0
    }

    async fn enrol(&self, number: usize) -> Result<Totp, Error> {
        let uri = self.nodes[0]
            .enrol(&name(number), &first(number), &password(number))
            .await?;
        Ok(Totp::from_url_unchecked(&*uri).unwrap())
    }

    /// Logs in with the code of a step that was not used yet.
    async fn log_in(&self, number: usize, app: &Totp) -> Result<(Operator, Token), Error> {
        self.pass(STEP);
        self.nodes[0]
            .log_in(&name(number), &password(number), &self.code(app))
            .await
    }

    fn code(&self, app: &Totp) -> Otp {
        let now = self.time.load(Ordering::SeqCst).unsigned_abs() / 1000;
        Otp::parse(&app.generate(now).to_string()).unwrap()
    }

    /// This officer approves.
    async fn approve(
        &self,
        node: &Operators,
        approver: &Operator,
        id: &ApprovalId,
    ) -> Result<(), Error> {
        let number = approver.name.rsplit('-').next().unwrap().parse().unwrap();
        node.approve(approver, &password(number), id).await
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
        self.approve(node, approver, &id).await.unwrap();
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

fn first(number: usize) -> String {
    format!("first password of {number}")
}

async fn founders(database: Database) {
    let world = World::new(&database).await;
    assert_eq!(
        Operators::standing(&world.store).await.unwrap(),
        Standing::NoAccounts
    );
    let one = [("anna", "a password"), ("anna", "another password")];
    let one = world.nodes[0].found(one, POLICY).await;
    assert!(matches!(one, Err(Error::OneFounder)), "{one:?}");
    world.found().await.unwrap();
    let again = [("x", "a password"), ("y", "a password")];
    let again = world.nodes[1].found(again, POLICY).await;
    assert!(matches!(again, Err(Error::Founded)), "{again:?}");

    let officers = [world.enter(1).await, world.enter(2).await];
    for officer in &officers {
        assert_eq!(officer.roles, Roles::officer());
        let alone = world.create(officer, None).await;
        assert!(matches!(alone, Err(Error::Waiting(_))), "{alone:?}");
    }
    world.made(&officers, 3, Role::Auditor).await.unwrap();
}

async fn one_founding(database: Database) {
    let world = World::new(&database).await;
    let found = |node: usize| {
        let operators = world.nodes[node].clone();
        async move {
            let names = [name(node), name(node + 2)];
            let founders = [
                (names[0].as_str(), "a password"),
                (names[1].as_str(), "a password"),
            ];
            operators.found(founders, POLICY).await.is_ok()
        }
    };
    let (one, other) = tokio::join!(tokio::spawn(found(0)), tokio::spawn(found(1)));
    assert!(one.unwrap() != other.unwrap());
    assert_eq!(world.nodes[0].list().await.unwrap().len(), 2);
}

async fn enrols(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    world.made(&officers, 3, Role::Auditor).await.unwrap();
    let node = &world.nodes[1];
    let same = node.enrol(&name(3), &first(3), &first(3)).await;
    assert!(matches!(same, Err(Error::SamePassword)), "{same:?}");
    let app = world.enrol(3).await.unwrap();
    // Who lost what the first one showed does it again; it is the same app.
    let again = node.enrol(&name(3), &password(3), &first(3)).await.unwrap();
    let again = Totp::from_url_unchecked(&*again).unwrap();
    assert_eq!(again.generate(0).to_string(), app.generate(0).to_string());
    node.enrol(&name(3), &first(3), &password(3)).await.unwrap();
    world.log_in(3, &app).await.unwrap();
    let late = node.enrol(&name(3), &password(3), &first(3)).await;
    assert!(matches!(late, Err(Error::Enrolled(_))), "{late:?}");

    let reset = world
        .permitted(&officers[0], &officers[1], Capability::ResetOperator)
        .await;
    node.reset(reset, &name(3), &first(3)).await.unwrap();
    let old = world.log_in(3, &app).await;
    assert!(matches!(old, Err(Error::NotLoggedIn)), "{old:?}");
    let other = world.enrol(3).await.unwrap();
    let old = world.log_in(3, &app).await;
    assert!(
        matches!(old, Err(Error::NotLoggedIn)),
        "the old app: {old:?}"
    );
    world.log_in(3, &other).await.unwrap();
}

async fn two_factors(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    world.made(&officers, 3, Role::Auditor).await.unwrap();
    let app = world.enrol(3).await.unwrap();
    let node = &world.nodes[1];
    let code = world.code(&app);
    let wrong = Otp::parse(if app.generate(0).to_string() == "000000" {
        "000001"
    } else {
        "000000"
    });
    for (password, code, why) in [
        ("a wrong password", &code, "the code alone"),
        (password(3).as_str(), &wrong.unwrap(), "the password alone"),
    ] {
        let one = node.log_in(&name(3), password, code).await;
        assert!(matches!(one, Err(Error::NotLoggedIn)), "{why}: {one:?}");
    }
    let logins = (0..8).map(|number| {
        let (node, code) = (world.nodes[number % 2].clone(), world.code(&app));
        tokio::spawn(async move { node.log_in(&name(3), &password(3), &code).await.is_ok() })
    });
    let mut logged_in = 0;
    for login in logins.collect::<Vec<_>>() {
        logged_in += usize::from(login.await.unwrap());
    }
    assert_eq!(logged_in, 1);
    // The code of the step before is older than the one that was used.
    world.pass(-STEP);
    let code = world.code(&app);
    world.pass(STEP);
    let earlier = node.log_in(&name(3), &password(3), &code).await;
    assert!(matches!(earlier, Err(Error::NotLoggedIn)), "{earlier:?}");
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
    world.made(&officers, 4, Role::Auditor).await.unwrap();
    let node = &world.nodes[1];
    let edits = [
        "INSERT INTO operator (id, name, roles, state, device, password_salt, password_cost, password_hash, record_mac,
             login_failures, login_after, next_step, created)
         SELECT 'inserted', 'officer-5', roles, state, device, password_salt, password_cost, password_hash, record_mac, 0, 0, 0,
             created
         FROM operator WHERE name = 'officer-1'",
        "UPDATE operator SET roles = 'security-officer' WHERE name = 'officer-4'",
        "UPDATE operator SET password_hash = (SELECT o.password_hash FROM operator o WHERE o.name = 'officer-2')
         WHERE name = 'officer-1'",
        "UPDATE operator SET state = 'new' WHERE name = 'officer-2'",
    ];
    let code = Otp::parse("123456").unwrap();
    for (edit, (number, typed)) in edits.into_iter().zip([(5, 1), (4, 4), (1, 2), (2, 2)]) {
        let alarms = world.recorded("OPERATOR_INTEGRITY_FAIL").await;
        world.sql(edit).await;
        let dead = node.log_in(&name(number), &password(typed), &code).await;
        assert!(matches!(dead, Err(Error::Damaged)), "{edit}: {dead:?}");
        let dead = node
            .enrol(&name(number), &password(typed), "another password")
            .await;
        assert!(matches!(dead, Err(Error::Damaged)), "{edit}: {dead:?}");
        assert_eq!(
            world.recorded("OPERATOR_INTEGRITY_FAIL").await,
            alarms + 2,
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
    let renamed = node.log_in("officer-6", &password(3), &code).await;
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

async fn emptied(database: Database) {
    let (world, _) = World::with_officers(&database, 2).await;
    world.sql("DELETE FROM operator_session").await;
    world.sql("DELETE FROM operator").await;
    assert_eq!(
        Watch::new(world.nodes[0].clone()).look().await.unwrap(),
        Standing::Emptied,
        "not as if there had never been one"
    );
    assert_eq!(
        world
            .recorded(r#""OPERATOR_INTEGRITY_FAIL","operator":null"#)
            .await,
        1
    );
    let again = world.found().await;
    assert!(matches!(again, Err(Error::Founded)), "{again:?}");
}

async fn delayed(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    world.made(&officers, 3, Role::Auditor).await.unwrap();
    let app = world.enrol(3).await.unwrap();
    let guesses = (0..20).map(|number| {
        let node = world.nodes[number % 2].clone();
        let code = world.code(&app);
        tokio::spawn(async move {
            let name = name(3);
            node.log_in(&name, "a wrong password", &code).await.is_err()
        })
    });
    for guess in guesses.collect::<Vec<_>>() {
        assert!(guess.await.unwrap());
    }
    let right = world.log_in(3, &app).await;
    assert!(matches!(right, Err(Error::NotLoggedIn)), "{right:?}");
    world.pass(MINUTE);
    world.log_in(3, &app).await.unwrap();
    let code = world.code(&app);
    let unknown = world.nodes[0]
        .log_in("nobody", "a wrong password", &code)
        .await;
    assert!(matches!(unknown, Err(Error::NotLoggedIn)), "{unknown:?}");
}

async fn actors(database: Database) {
    let (world, officers) = World::with_officers(&database, 2).await;
    let id = world
        .requested(&officers[0], Capability::CreateOperator)
        .await;
    world
        .approve(&world.nodes[0], &officers[1], &id)
        .await
        .unwrap();
    let permission = world.create(&officers[0], Some(&id)).await.unwrap();
    world.add(permission, 3, Role::Auditor).await.unwrap();
    let auditor = world.enter(3).await;
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
        ("USER_CREATED", r#""actor":{"kind":"installation"}"#, 2),
        ("POLICY_CHANGED", r#""actor":{"kind":"installation"}"#, 1),
        ("OPERATOR_LOGIN_OK", one.as_str(), 1),
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
    let acting = store.acting(Actor::Installation);
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
    let named = r#"{"event":"STOP","actor":{"kind":"installation"}}"#;
    assert_eq!(
        events,
        [
            (named.to_owned(), 20),
            (r#"{"event":"STOP"}"#.to_owned(), 20)
        ]
    );
}
