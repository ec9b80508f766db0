//! Accounts of operators, their sessions, and what takes two of them.

use std::{fs, os::unix::fs::PermissionsExt};

use conformance_tests::{TestBed, first_password_of, password_of, register_secret, until};
use serde_json::{Value, json};

const LIST: [&str; 2] = ["operator", "list"];

#[tokio::test]
async fn an_installation_takes_two_officers_and_happens_once() {
    let bed = TestBed::builder().start().await;
    let init = ["slot", "init"];
    let found = |names: &[&str]| {
        let officers = names.iter().flat_map(|name| ["--officer", name]);
        let arguments: Vec<_> = init.into_iter().chain(officers).collect();
        let passwords = ["a first password", "a first password"];
        bed.terminal(None, &arguments, &passwords[..names.len()])
    };
    found(&[]).refused("you are not logged in");
    found(&["x", "y"]).refused("this installation has had operators already");

    // Another database on the same tokens: nobody who empties tables becomes an officer.
    bed.stop().await;
    for file in ["csc.sqlite", "csc.sqlite-wal", "csc.sqlite-shm"] {
        let _ = fs::remove_file(bed.dir().join(file));
    }
    found(&[]).refused("csc-server slot init --officer NAME --officer NAME");
    found(&["x"]).refused("csc-server slot init --officer NAME --officer NAME");
    found(&["x", "y"]).refused("this installation has had operators already");
    bed.terminal(None, &LIST, &[])
        .refused("no operator has an account yet");
    let serve = bed.terminal(None, &["serve"], &[]);
    assert_eq!(serve.code, Some(1));
}

#[tokio::test]
async fn every_command_wants_a_session_and_a_session_wants_both_factors() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff.hire("auditor");
    for arguments in [
        &["slot", "init"][..],
        &["otp", "list", "--holder", "x"],
        &["credential", "revoke-all"],
        &["history", "--credential", "x"],
        &["audit", "export"],
        &["approval", "list"],
        &["operator", "password"],
        &["logout"],
    ] {
        bed.terminal(None, arguments, &[])
            .refused("you are not logged in, or your session has ended: csc-server login NAME");
    }
    let session = staff.session("auditor");
    let mode = fs::metadata(&session)
        .expect("the session is kept")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = register_secret(fs::read_to_string(&session).expect("a token").trim());
    assert!(
        bed.sql("SELECT COUNT(*) FROM operator_session").trim() == "3",
        "with the founders"
    );
    assert!(
        !bed.sql("SELECT hash, record_mac FROM operator_session")
            .contains(&token)
    );

    let wrong = ["login", "auditor"];
    let refusal = "unknown operator, wrong password or wrong code";
    bed.terminal(None, &wrong, &[&password_of("auditor"), "000000"])
        .refused(refusal);
    bed.terminal(None, &["login", "nobody"], &["a wrong password", "000000"])
        .refused(refusal);
    bed.terminal(None, &wrong, &[&first_password_of("auditor"), "000000"])
        .refused(refusal);
    bed.terminal(
        None,
        &["operator", "enrol", "auditor"],
        &[&password_of("auditor"), "another password"],
    )
    .refused("is enrolled");

    staff.run("auditor", &["logout"], &[]).expect("logout");
    assert!(!session.exists());
    fs::write(&session, &token).expect("the token is put back");
    fs::set_permissions(&session, fs::Permissions::from_mode(0o600)).expect("mode 0600");
    staff
        .run("auditor", &LIST, &[])
        .refused("you are not logged in");
}

#[tokio::test]
async fn an_operator_changes_his_own_password() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    let new = register_secret("another password");
    let change = ["operator", "password"];
    staff
        .run("auditor", &change, &["a wrong password", &new])
        .refused("wrong password");
    staff
        .run("auditor", &change, &[&password_of("auditor"), &new])
        .expect("operator password");
    staff
        .run("auditor", &LIST, &[])
        .refused("your session has ended");
    staff.log_in("auditor", &new).expect("login");
    staff.run("auditor", &LIST, &[]).expect("operator list");
}

#[tokio::test]
async fn who_lost_his_app_is_reset_by_two_and_enrols_again() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff.hire("auditor");
    let reset = ["operator", "reset", "--name", "auditor"];
    staff
        .run("auditor", &reset, &["x"])
        .refused("may not do this");
    staff
        .by_two(&reset, &[&first_password_of("auditor")])
        .expect("operator reset");
    staff
        .run("auditor", &LIST, &[])
        .refused("your session has ended");
    staff
        .log_in("auditor", &password_of("auditor"))
        .refused("wrong password or wrong code");
    staff.enrol("auditor").expect("operator enrol");
    staff
        .log_in("auditor", &password_of("auditor"))
        .expect("login");
    staff.run("auditor", &LIST, &[]).expect("operator list");
}

#[tokio::test]
async fn an_account_that_sql_wrote_is_dead_and_the_log_raises_the_alarm() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff.hire("auditor");
    bed.sql("UPDATE operator SET roles = 'security-officer' WHERE name = 'auditor'");
    bed.sql(
        "INSERT INTO operator (id, version, name, roles, state, device, password_salt, password_cost, password_hash, record_mac,
             login_failures, login_after, next_step, created)
         SELECT 'inserted', 1, 'intruder', roles, state, device, password_salt, password_cost, password_hash, record_mac, 0, 0, 0,
             created
         FROM operator WHERE name = 'first'",
    );
    let dead = "the account is not what the service wrote";
    staff.run("auditor", &LIST, &[]).refused(dead);
    bed.terminal(
        None,
        &["login", "intruder"],
        &[&password_of("first"), "000000"],
    )
    .refused(dead);
    let listed = staff.run("first", &LIST, &[]).expect("operator list");
    let dead = listed
        .lines()
        .filter(|line| line.contains(r#""genuine":false"#));
    assert_eq!(dead.count(), 2, "{listed}");
    let recorded = bed
        .sql(r#"SELECT event FROM audit WHERE event LIKE '{"event":"OPERATOR_INTEGRITY_FAIL"%'"#);
    assert_eq!(recorded.lines().count(), 2, "{recorded}");

    bed.stop().await;
    assert!(!bed.log().contains("not what the service wrote"));
    bed.start().await;
    let log = bed.log();
    let alarms = log
        .lines()
        .filter(|line| line.contains("not what the service wrote") && line.contains("ERROR"));
    assert_eq!(alarms.count(), 2, "{log}");

    bed.sql("DELETE FROM operator_session");
    bed.sql("DELETE FROM approval");
    bed.sql("DELETE FROM operator");
    staff
        .run("first", &LIST, &[])
        .refused("restore the database");
}

/// SC-84: nobody uses the row, and nobody asks.
#[tokio::test]
async fn what_the_inspection_finds_is_an_alarm() {
    let every = ("audit.inspect_every", "\"1s\"");
    let bed = TestBed::builder().set(every.0, every.1).start().await;
    let holder = bed.holder();
    let told = |event: &str| {
        let sql = format!(r#"SELECT event FROM audit WHERE event LIKE '{{"event":"{event}"%'"#);
        bed.sql(&sql)
    };
    let before = told("LOG_VERIFIED").lines().count();
    until("an inspection", async || {
        (told("LOG_VERIFIED").lines().count() > before).then_some(())
    })
    .await;
    assert_eq!(told("LOG_ALARM"), "");
    let name = &holder.name;
    bed.sql(&format!(
        "UPDATE holder SET email = 'eve@example.org' WHERE user_name = '{name}'"
    ));
    let line = until("the alarm in the log", async || {
        let log = bed.log();
        let mut lines = log.lines();
        let alarm = lines
            .find(|line| line.contains("alarm: see the audit log") && line.contains("LOG_ALARM"));
        alarm.map(str::to_owned)
    })
    .await;
    assert!(
        line.contains("ERROR") && line.contains("it is not what was recorded"),
        "{line}"
    );
}

#[tokio::test]
async fn a_refused_act_is_an_alarm_of_the_running_service() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff
        .run("ra-officer", &["slot", "init"], &[])
        .refused("may not do this");
    let id = staff.request(&["slot", "init"]);
    staff
        .approve("first", &id)
        .refused("who made a request cannot approve it");
    until("both alarms in the log", async || {
        let log = bed.log();
        let alarm = |what: &str| {
            log.lines()
                .any(|line| line.contains("see the audit log") && line.contains(what))
        };
        (alarm("CAPABILITY_REFUSED") && alarm("DUAL_REJECTED")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_two_have_not_approved_stops_the_service() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff.hire("ra-officer");
    bed.stop().await;
    let path = bed.dir().join("csc-server.toml");
    let text = fs::read_to_string(&path).expect("the configuration is there");
    let weaker = format!("{text}\n[pin]\nmax_failures = 9\n");
    fs::write(&path, &weaker).expect("it can be written");

    let differs = "pin.max_failures: approved the default, configured 9";
    bed.terminal(None, &["serve"], &[]).refused(differs);
    staff
        .run("ra-officer", &["otp", "list", "--holder", "x"], &[])
        .refused(differs);
    let shown = bed.cli(&["policy", "show"], &[]).expect("policy show");
    let hash = shown.lines().find_map(|line| line.strip_prefix("hash: "));
    let hash = hash.expect("a line with the hash").to_owned();
    let set = ["policy", "set", &hash];
    staff
        .run("ra-officer", &set, &[])
        .refused("may not do this");
    bed.terminal(None, &["policy", "set", "0000"], &[])
        .refused("the policy of the configuration has the hash");

    let id = staff.request(&set);
    staff.approve("second", &id).expect("approval approve");
    // What was approved is this policy: no other takes its place.
    fs::write(&path, weaker.replace("= 9", "= 90")).expect("it can be written");
    staff
        .with(&id, &set, &[])
        .refused("the policy of the configuration has the hash");
    fs::write(&path, &weaker).expect("it can be written");
    staff.with(&id, &set, &[]).expect("policy set");
    bed.start().await;
    bed.stop().await;
    fs::write(&path, &text).expect("it can be written");
    bed.terminal(None, &["serve"], &[])
        .refused("pin.max_failures: approved 9, configured the default");
}

#[tokio::test]
async fn a_request_is_good_for_one_command_of_one_officer_once() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    let add = |name| ["operator", "add", "--name", name, "--role", "auditor"];
    let id = staff.request(&add("third"));
    staff
        .approve("first", &id)
        .refused("who made a request cannot approve it");
    staff.approve("auditor", &id).refused("may not do this");
    staff
        .run(
            "second",
            &["approval", "approve", &id],
            &[&password_of("first")],
        )
        .refused("wrong password");
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
    staff.approve("second", &id).expect("an approval");

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
        .approve("second", &id)
        .refused("the request was refused");
    staff
        .with(&id, &["slot", "init"], &[])
        .refused("the request was refused");
    let done = staff.by_two(&["slot", "init"], &[]).expect("slot init");
    assert!(done.contains("both slots are ready"));
}

/// What no MAC finds: a row put back as it was, with the MAC it had then.
#[tokio::test]
async fn a_row_of_an_operator_that_was_put_back_disagrees_with_the_log() {
    let bed = TestBed::builder().start().await;
    let staff = bed.staff();
    staff.hire("ra-officer");
    bed.inspect();
    let remove = ["operator", "remove", "--name", "ra-officer", "--role"];
    let remove = [&remove[..], &["ra-officer"]].concat();
    let id = staff.request(&remove);
    staff.approve("second", &id).expect("approval approve");
    let approved = put_back(&bed, "approval", &format!("id = '{id}'"));
    let with_role = put_back(&bed, "operator", "name = 'ra-officer'");
    staff.with(&id, &remove, &[]).expect("operator remove");
    bed.inspect();

    for (put_back, what) in [
        (with_role, "operator "),
        (approved, "approval "),
        (
            "UPDATE operator SET next_step = 0 WHERE name = 'first'".to_owned(),
            "operator ",
        ),
    ] {
        let now = bed.dump("now");
        bed.sql(&put_back);
        let verified = bed.cli(&["audit", "verify"], &[]);
        verified.refused("the tables do not agree with the audit log");
        assert!(verified.stderr.contains(what), "{}", verified.stderr);
        bed.restore(&now).await;
        fs::remove_file(now).expect("the copy goes");
    }
}

/// The statement that makes a row again what it is now.
fn put_back(bed: &TestBed, table: &str, row: &str) -> String {
    let columns = bed.sql(&format!("SELECT name FROM pragma_table_info('{table}')"));
    let quoted = columns
        .lines()
        .map(|column| format!("'{column} = ' || quote({column})"));
    let quoted = quoted.collect::<Vec<_>>().join(" || ', ' || ");
    let set = bed.sql(&format!("SELECT {quoted} FROM {table} WHERE {row}"));
    format!("UPDATE {table} SET {set} WHERE {row}")
}
