//! Accounts of operators, and what takes two of them.

use conformance_tests::{KeySpec, TestBed, password_of, register_secret};
use serde_json::{Value, json};

#[tokio::test]
async fn without_accounts_the_terminal_acts_and_with_one_every_command_wants_an_operator() {
    let bed = TestBed::builder().start().await;
    assert!(bed.log().contains("single-operator installation"));
    let holder = bed.holder();
    let otp = bed.mail_otp(&holder);
    let spec = KeySpec {
        key: "p256",
        multisign: 1,
    };
    let credential = bed.credential(&holder, &otp.id, &spec).id;
    let event = bed.sql(r#"SELECT event FROM audit WHERE event LIKE '{"event":"HOLDER_ADDED"%'"#);
    assert!(
        event.contains(r#""actor":{"kind":"terminal"}"#),
        "{event:?}"
    );

    let founder = ["operator", "add", "--name", "first", "--role"];
    let auditor = [&founder[..], &["auditor"]].concat();
    bed.cli(&auditor, &[&password_of("first")])
        .refused("the first two operators are security officers");
    bed.staff();
    for arguments in [
        &["slot", "init"][..],
        &["otp", "add", "--holder", &holder.name, "--kind", "mail"],
        &["credential", "revoke", "--credential", &credential],
        &["history", "--credential", &credential],
        &[&founder[..], &["security-officer"]].concat(),
    ] {
        bed.cli(arguments, &[]).refused("say who acts: --as NAME");
        let wrong = bed.cli(
            &[&["--as", "first"], arguments].concat(),
            &["a wrong password"],
        );
        wrong.refused("unknown operator or wrong password");
    }
    // What is public, and what is the holder's.
    bed.cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    bed.stop().await;
    bed.start().await;
    assert_eq!(bed.log().matches("single-operator installation").count(), 1);
}

#[tokio::test]
async fn an_operator_changes_his_own_password_of() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    let new = register_secret("another password");
    staff
        .run("auditor", &["operator", "password"], &[&new])
        .expect("operator password");
    let list = ["operator", "list"];
    staff
        .run("auditor", &list, &[])
        .refused("unknown operator or wrong password");
    bed.cli(&["--as", "auditor", "operator", "list"], &[&new])
        .expect("operator list");
}

#[tokio::test]
async fn an_account_that_sql_wrote_is_dead_and_the_log_raises_the_alarm() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    bed.sql("UPDATE operator SET roles = 'security-officer' WHERE name = 'auditor'");
    bed.sql("INSERT INTO operator (id, name, roles, password_salt, password_cost, password_hash, record_mac, login_failures,
             login_after, created)
         SELECT 'inserted', 'intruder', roles, password_salt, password_cost, password_hash, record_mac, 0, 0, created
         FROM operator WHERE name = 'first'",
    );
    for (name, typed) in [("auditor", "auditor"), ("intruder", "first")] {
        let list = ["--as", name, "operator", "list"];
        bed.cli(&list, &[&password_of(typed)])
            .refused("the account is not what the service wrote");
    }
    let listed = staff
        .run("first", &["operator", "list"], &[])
        .expect("operator list");
    let dead = listed
        .lines()
        .filter(|line| line.contains(r#""genuine":false"#));
    assert_eq!(dead.count(), 2, "{listed}");
    let recorded = bed
        .sql(r#"SELECT event FROM audit WHERE event LIKE '{"event":"OPERATOR_INTEGRITY_FAIL"%'"#);
    assert_eq!(recorded.lines().count(), 4, "{recorded}");

    bed.stop().await;
    assert!(!bed.log().contains("not what the service wrote"));
    bed.start().await;
    let alarms = bed.log();
    let alarms = alarms
        .lines()
        .filter(|line| line.contains("not what the service wrote"));
    assert_eq!(
        alarms
            .filter(|line| line.contains(r#""level":"ERROR""#))
            .count(),
        2
    );

    bed.sql("DELETE FROM approval");
    bed.sql("DELETE FROM operator");
    let add = ["--user", "x", "--given-name", "X", "--surname", "X"];
    let add = [&["holder", "add"], &add[..], &["--email", "x@example.test"]].concat();
    bed.cli(&add, &["password of x"])
        .refused("restore the database");
}

#[tokio::test]
async fn a_request_is_good_for_one_command_of_one_officer_once() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    let add = |name| ["operator", "add", "--name", name, "--role", "auditor"];
    let id = staff.request(&add("third"));
    staff
        .run("first", &["approval", "approve", &id], &[])
        .refused("who made a request cannot approve it");
    staff
        .run("auditor", &["approval", "approve", &id], &[])
        .refused("may not do this");
    let early = staff.with(&id, &add("third"), &["password of third"]);
    early.refused("still waits for a second officer");

    let listed = staff
        .run("second", &["approval", "list"], &[])
        .expect("the requests");
    let request = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON object"))
        .find(|request| request["approval"] == json!(id))
        .expect("the request is listed");
    assert_eq!(request["requester"], "first");
    assert_eq!(
        request["command"],
        json!({"command": "operator add", "arguments": {"name": ["third"], "role": ["auditor"]}})
    );
    staff
        .run("second", &["approval", "approve", &id], &[])
        .expect("an approval");

    let other = staff.with(&id, &add("fourth"), &["password of fourth"]);
    other.refused("another officer's, or for another command");
    let of_second = staff.run(
        "second",
        &[&["--approval", &id][..], &add("third")].concat(),
        &["password of third"],
    );
    of_second.refused("another officer's, or for another command");
    // Options may stand elsewhere: the command is the same.
    let reordered = ["operator", "add", "--role=auditor", "--name", "third"];
    // A password that is refused costs no approval.
    let short = staff.with(&id, &reordered, &["short"]);
    short.refused("a password has 8 to 256 characters");
    staff
        .with(&id, &reordered, &["password of third"])
        .expect("operator add");
    let again = staff.with(&id, &add("third"), &["password of third"]);
    again.refused("the request was used");

    let id = staff.request(&["slot", "init"]);
    staff
        .run("second", &["approval", "refuse", &id], &[])
        .expect("a refusal");
    staff
        .run("second", &["approval", "approve", &id], &[])
        .refused("the request was refused");
    staff
        .with(&id, &["slot", "init"], &[])
        .refused("the request was refused");
    let done = staff.by_two(&["slot", "init"], &[]).expect("slot init");
    assert!(done.contains("both slots are ready"));
}
