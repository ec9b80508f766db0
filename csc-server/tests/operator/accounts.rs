//! Accounts: founding, enrolling, logging in, and what SQL cannot make.

use csc_server::{
    operator::{Capability, Error, Operator, Operators, Role, Roles, Standing, Watch},
    otp::Otp,
};
use totp_rs::Totp;

use crate::{
    support::{Database, on_both},
    world::{MINUTE, POLICY, STEP, World, first, name, password},
};

on_both! {
    two_security_officers_found_and_the_third_takes_both => super::founders;
    of_two_who_found_at_once_one_does => super::one_founding;
    a_new_operator_enrols_before_he_acts => super::enrols;
    a_code_lets_in_once_and_neither_factor_alone_does => super::two_factors;
    two_officers_who_remove_each_other_do_not_both_succeed => super::two_remain;
    what_sql_wrote_into_an_account_is_dead_and_alarmed => super::accounts_by_sql;
    accounts_that_are_gone_open_nothing => super::emptied;
    parallel_guesses_count_and_delay_also_the_right_password => super::delayed;
    an_audit_row_names_who_acted_in_which_role_and_who_approved => super::actors;
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
