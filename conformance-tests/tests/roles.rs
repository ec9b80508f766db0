//! Who may do what at the terminal, and what takes two. The table is the product's own (`csc-server operator roles`); every cell of it is tried.

use std::process::Command;

use conformance_tests::{
    Holder, KeySpec, Otp, Run, Signer, TestBed, V1, command, digest, digests, register_secret,
    shared,
};
use serde_json::{Value, json};

const ROLES: [&str; 4] = [
    "security-officer",
    "ra-officer",
    "auditor",
    "system-operator",
];

/// A bed with two security officers, `first` and `second`, and an operator of each other role, called as the role.
struct Staffed<'a>(&'a TestBed);

impl<'a> Staffed<'a> {
    fn new(bed: &'a TestBed) -> Self {
        let staffed = Self(bed);
        let add = |name| {
            [
                "operator",
                "add",
                "--name",
                name,
                "--role",
                "security-officer",
            ]
        };
        bed.cli(&add("first"), &[&password("first")])
            .expect("the first operator");
        staffed
            .run("first", &add("second"), &[&password("second")])
            .expect("the second operator");
        for role in &ROLES[1..] {
            let add = ["operator", "add", "--name", role, "--role", role];
            staffed.by_two(&add, &[&password(role)]).expect(role);
        }
        staffed
    }

    /// Runs a command as this operator.
    fn run(&self, name: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        let password = password(name);
        self.0.cli(
            &[&["--as", name], arguments].concat(),
            &[&[password.as_str()], stdin].concat(),
        )
    }

    /// Runs a command as `first`, who has it approved by `second`.
    fn by_two(&self, arguments: &[&str], stdin: &[&str]) -> Run {
        let id = self.request(arguments);
        self.run("second", &["approval", "approve", &id], &[])
            .expect("an approval");
        self.with(&id, arguments, stdin)
    }

    /// Runs a command as `first` with this approval.
    fn with(&self, id: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        self.run("first", &[&["--approval", id], arguments].concat(), stdin)
    }

    /// The request that a command of `first` makes.
    fn request(&self, arguments: &[&str]) -> String {
        let waiting = self.run("first", arguments, &[]);
        assert_eq!(waiting.code, Some(3), "{}", waiting.stderr);
        let id = waiting.stdout.split_whitespace().nth(1);
        let id = id.expect("'request ID waits …'").to_owned();
        let line = format!(
            "request {id} waits for a second officer: csc-server --as NAME approval approve {id}"
        );
        assert!(waiting.stdout.contains(&line), "{}", waiting.stdout);
        id
    }
}

fn password(name: &str) -> String {
    register_secret(format!("password of {name}"))
}

fn who_plays(role: &str) -> &str {
    if role == "security-officer" {
        "first"
    } else {
        role
    }
}

fn refused(run: &Run, why: &str) {
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(why), "{}", run.stderr);
}

/// Role and capability, and what the table says of them: `alone`, `two` or `-`.
fn table(bed: &TestBed) -> Vec<(String, String, String)> {
    let printed = bed.cli(&["operator", "roles"], &[]).expect("the table");
    let mut lines = printed.lines().map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let heads = lines.next().expect("a line with the roles");
    assert_eq!(heads[1..], ROLES);
    let lines: Vec<_> = lines.skip(1).collect();
    let cells = lines.iter().flat_map(|line| {
        let roles = heads[1..].iter().zip(&line[1..]);
        roles.map(|(role, cell)| (role.clone(), line[0].clone(), cell.clone()))
    });
    cells.collect()
}

/// A command that takes this capability; none when the product has no such command yet.
fn command_of<'a>(
    capability: &str,
    signer: &'a Signer<'_>,
    other: &'a Holder,
    otp: &'a Otp,
    client: &'a str,
) -> Option<(Vec<&'a str>, &'static [&'static str])> {
    let add = ["operator", "add", "--name", "new", "--role", "auditor"];
    let grant = |what| {
        [
            "operator",
            what,
            "--name",
            "ra-officer",
            "--role",
            "system-operator",
        ]
    };
    let person = [
        "--given-name",
        "A",
        "--surname",
        "B",
        "--email",
        "a@example.test",
    ];
    let credential = |what| vec!["credential", what, "--credential", &signer.credential.id];
    Some(match capability {
        "init-slots" => (vec!["slot", "init"], &[]),
        "create-operator" => (add.to_vec(), &["password of new"]),
        "grant-role" => (grant("grant").to_vec(), &[]),
        "remove-role" => (grant("remove").to_vec(), &[]),
        "read-operators" => (vec!["operator", "list"], &[]),
        "enrol-holder" => (
            [&["holder", "add", "--user", "newcomer"], &person[..]].concat(),
            &["password of a newcomer"],
        ),
        "enrol-factor" => (
            vec!["otp", "add", "--holder", &other.name, "--kind", "mail"],
            &[],
        ),
        "enrol-credential" => (
            vec![
                "credential",
                "add",
                "--holder",
                &other.name,
                "--otp",
                &otp.id,
            ],
            &["80172634"],
        ),
        "register-client" => (vec!["client", "add", "--id", client, "--name", "C"], &[]),
        "block-holder" => (vec!["holder", "block", "--user", &other.name], &[]),
        "suspend-credential" => (credential("suspend"), &[]),
        "reactivate-credential" => (credential("reactivate"), &[]),
        "revoke-credential" => (credential("revoke"), &[]),
        "read-history" => (vec!["history", "--credential", &signer.credential.id], &[]),
        "rotate-master-keys" | "read-audit" => return None,
        unknown => panic!("no command is tried for {unknown}"),
    })
}

#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let other = bed.holder();
    let otp = bed.mail_otp(&other);
    let staffed = Staffed::new(bed);

    let (mut tried, mut untried) = (0, Vec::new());
    for (role, capability, cell) in table(bed) {
        let Some((arguments, stdin)) = command_of(&capability, &signer, &other, &otp, "client")
        else {
            untried.push(capability);
            continue;
        };
        let run = staffed.run(who_plays(&role), &arguments, stdin);
        let said = format!("{role}, {capability}: {}{}", run.stdout, run.stderr);
        match cell.as_str() {
            "alone" => assert!(run.success, "{said}"),
            "two" => assert_eq!(run.code, Some(3), "{said}"),
            "-" => {
                assert_eq!(run.code, Some(1), "{said}");
                let why =
                    format!("may not do this: no role of his has the capability {capability}");
                assert!(run.stderr.contains(&why), "{said}");
            }
            cell => panic!("{cell}"),
        }
        tried += 1;
    }
    untried.dedup();
    assert_eq!(untried, ["rotate-master-keys", "read-audit"]);
    assert_eq!(tried, 4 * 14);

    an_operator_is_nobody_to_the_api(&staffed, &signer).await;
    a_request_is_good_for_one_command_of_one_officer_once(&staffed);
    roles_that_do_not_go_together_are_refused(&staffed);
    what_operators_did_names_them(bed);
}

/// SC-78: another table, other passwords; nothing of an operator opens the holders' door.
async fn an_operator_is_nobody_to_the_api(staffed: &Staffed<'_>, signer: &Signer<'_>) {
    let bed = staffed.0;
    for name in ["first", "ra-officer", "auditor", "system-operator"] {
        let login = bed.api().login(V1, name, &password(name), json!({})).await;
        login.refused_as("authentication_error");
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", name),
            ("client_secret", &password(name)),
        ];
        bed.api()
            .form("/oauth2/token", &fields)
            .await
            .refused("Invalid parameter client_id");
    }
    let holder = bed.cli(
        &["--as", &signer.holder.name, "operator", "list"],
        &[&signer.holder.password],
    );
    refused(&holder, "unknown operator or wrong password");
}

fn a_request_is_good_for_one_command_of_one_officer_once(staffed: &Staffed<'_>) {
    let add = |name| ["operator", "add", "--name", name, "--role", "auditor"];
    let id = staffed.request(&add("third"));
    refused(
        &staffed.run("first", &["approval", "approve", &id], &[]),
        "who made a request cannot approve it",
    );
    refused(
        &staffed.run("auditor", &["approval", "approve", &id], &[]),
        "may not do this",
    );
    let early = staffed.with(&id, &add("third"), &["password of third"]);
    refused(&early, "still waits for a second officer");

    let listed = staffed
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
    staffed
        .run("second", &["approval", "approve", &id], &[])
        .expect("an approval");

    let other = staffed.with(&id, &add("fourth"), &["password of fourth"]);
    refused(&other, "another officer's, or for another command");
    let of_second = staffed.run(
        "second",
        &[&["--approval", &id][..], &add("third")].concat(),
        &["password of third"],
    );
    refused(&of_second, "another officer's, or for another command");
    // Options may stand elsewhere: the command is the same.
    let reordered = ["operator", "add", "--role=auditor", "--name", "third"];
    // A password that is refused costs no approval.
    let short = staffed.with(&id, &reordered, &["short"]);
    refused(&short, "a password has 8 to 256 characters");
    staffed
        .with(&id, &reordered, &["password of third"])
        .expect("operator add");
    let again = staffed.with(&id, &add("third"), &["password of third"]);
    refused(&again, "the request was used");

    let id = staffed.request(&["slot", "init"]);
    staffed
        .run("second", &["approval", "refuse", &id], &[])
        .expect("a refusal");
    refused(
        &staffed.run("second", &["approval", "approve", &id], &[]),
        "the request was refused",
    );
    refused(
        &staffed.with(&id, &["slot", "init"], &[]),
        "the request was refused",
    );
    let done = staffed.by_two(&["slot", "init"], &[]).expect("slot init");
    assert!(done.contains("both slots are ready"));
}

fn roles_that_do_not_go_together_are_refused(staffed: &Staffed<'_>) {
    let change = |what, name, role| ["operator", what, "--name", name, "--role", role];
    for (name, role) in [
        ("auditor", "ra-officer"),
        ("ra-officer", "auditor"),
        ("system-operator", "security-officer"),
        ("second", "ra-officer"),
    ] {
        let granted = staffed.by_two(&change("grant", name, role), &[]);
        refused(&granted, "one person cannot be");
    }
    let both = ["operator", "add", "--name", "both"];
    let both = [
        &both[..],
        &["--role", "auditor", "--role", "security-officer"],
    ]
    .concat();
    refused(&staffed.run("first", &both, &[]), "one person cannot be");

    let enrol = ["otp", "add", "--holder", "nobody", "--kind", "mail"];
    refused(
        &staffed.run("system-operator", &enrol, &[]),
        "may not do this",
    );
    staffed
        .by_two(&change("grant", "system-operator", "ra-officer"), &[])
        .expect("operator grant");
    refused(
        &staffed.run("system-operator", &enrol, &[]),
        "there is no holder 'nobody'",
    );
    staffed
        .by_two(&change("remove", "system-operator", "ra-officer"), &[])
        .expect("operator remove");
    refused(
        &staffed.run("system-operator", &enrol, &[]),
        "may not do this",
    );
    refused(
        &staffed.by_two(&change("remove", "first", "security-officer"), &[]),
        "two security officers must remain",
    );
}

fn what_operators_did_names_them(bed: &TestBed) {
    let ids = sql(bed, "SELECT id FROM operator WHERE name = 'ra-officer'");
    let actor = json!({"kind": "operator", "id": ids[0], "role": "ra-officer"});
    for event in [
        "HOLDER_ADDED",
        "FACTOR_ADDED",
        "CERT_ISSUED",
        "CLIENT_REGISTERED",
        "HOLDER_BLOCKED",
        "CERT_SUSPENDED",
        "CERT_REACTIVATED",
        "CERT_REVOKED",
        "KEY_DESTROYED",
    ] {
        let newest = format!(
            "SELECT event FROM audit WHERE event LIKE '{{\"event\":\"{event}\"%' ORDER BY time DESC LIMIT 1"
        );
        let recorded: Value = serde_json::from_str(&sql(bed, &newest)[0]).expect("JSON");
        assert_eq!(recorded["actor"], actor, "{event}");
    }
}

#[tokio::test]
async fn no_role_signs_or_sets_a_pin() {
    let bed = TestBed::builder()
        .set("otp.max_failures", "100")
        .start()
        .await;
    // Codes of an app: none is sent when somebody tries.
    let holder = bed.holder();
    let app = bed.totp(&holder);
    let spec = KeySpec {
        key: "p256",
        multisign: 1,
    };
    let credential = bed.credential(&holder, &app.id, &spec);
    let token = bed.log_in(&holder).await;
    let authorize = async |pin: &str, otp: &str| {
        let hashes = digests(&[digest("contract")]);
        let body = json!({"credentialID": credential.id, "numSignatures": 1, "hash": hashes, "PIN": pin, "OTP": otp});
        bed.api()
            .call(V1, "credentials/authorize", &token, body)
            .await
    };

    let staffed = Staffed::new(&bed);
    for role in ROLES {
        let name = who_plays(role);
        for (what, stdin) in [
            ("change-pin", vec!["80172634", "000000", "80172635"]),
            ("reset-pin", vec!["1234567890", "000000", "80172635"]),
            ("unblock", vec!["1234567890", "000000"]),
        ] {
            let arguments = ["credential", what, "--credential", &credential.id];
            // No password of his opens anything: it is not even asked.
            refused(&staffed.run(name, &arguments, &stdin), "has exactly");
            let as_him = [&["--as", name], &arguments[..]].concat();
            refused(&bed.cli(&as_him, &stdin), "wrong OTP");
        }
        // What he knows in place of what the holder knows.
        authorize(&password(name), &app.code(0))
            .await
            .refused_as("invalid_pin");
    }
    let help = bed.cli(&["help"], &[]).stdout;
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|word| !word.is_empty())
        .collect();
    assert!(commands.contains(&"credential"), "{commands:?}");
    assert!(
        !commands
            .iter()
            .any(|command| command.contains("sign") || command.contains("authori")),
        "{commands:?}"
    );
    assert!(table(&bed).iter().all(|(_, capability, _)| {
        !["sign", "authorise", "pin", "secret"]
            .iter()
            .any(|word| capability.split('-').any(|part| part == *word))
    }));
    // The PIN is what it was.
    authorize(&credential.pin, &app.code(0))
        .await
        .text_of("SAD");
}

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
    let event = sql(
        &bed,
        r#"SELECT event FROM audit WHERE event LIKE '{"event":"HOLDER_ADDED"%'"#,
    );
    assert!(
        event[0].contains(r#""actor":{"kind":"terminal"}"#),
        "{event:?}"
    );

    let founder = ["operator", "add", "--name", "first", "--role"];
    let auditor = [&founder[..], &["auditor"]].concat();
    refused(
        &bed.cli(&auditor, &[&password("first")]),
        "the first two operators are security officers",
    );
    Staffed::new(&bed);
    for arguments in [
        &["slot", "init"][..],
        &["otp", "add", "--holder", &holder.name, "--kind", "mail"],
        &["credential", "revoke", "--credential", &credential],
        &["history", "--credential", &credential],
        &[&founder[..], &["security-officer"]].concat(),
    ] {
        refused(&bed.cli(arguments, &[]), "say who acts: --as NAME");
        let wrong = bed.cli(
            &[&["--as", "first"], arguments].concat(),
            &["a wrong password"],
        );
        refused(&wrong, "unknown operator or wrong password");
    }
    // What is public, and what is the holder's.
    bed.cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    bed.stop();
    bed.start().await;
    assert_eq!(bed.log().matches("single-operator installation").count(), 1);
}

#[tokio::test]
async fn an_operator_changes_his_own_password() {
    let bed = TestBed::builder().start().await;
    let staffed = Staffed::new(&bed);
    let new = register_secret("another password");
    staffed
        .run("auditor", &["operator", "password"], &[&new])
        .expect("operator password");
    let list = ["operator", "list"];
    refused(
        &staffed.run("auditor", &list, &[]),
        "unknown operator or wrong password",
    );
    bed.cli(&["--as", "auditor", "operator", "list"], &[&new])
        .expect("operator list");
}

#[tokio::test]
async fn an_account_that_sql_wrote_is_dead_and_the_log_raises_the_alarm() {
    let bed = TestBed::builder().start().await;
    let staffed = Staffed::new(&bed);
    sql(
        &bed,
        "UPDATE operator SET roles = 'security-officer' WHERE name = 'auditor'",
    );
    sql(
        &bed,
        "INSERT INTO operator (id, name, roles, password_salt, password_cost, password_hash, record_mac, login_failures,
             login_after, created)
         SELECT 'inserted', 'intruder', roles, password_salt, password_cost, password_hash, record_mac, 0, 0, created
         FROM operator WHERE name = 'first'",
    );
    for (name, typed) in [("auditor", "auditor"), ("intruder", "first")] {
        let list = ["--as", name, "operator", "list"];
        refused(
            &bed.cli(&list, &[&password(typed)]),
            "the account is not what the service wrote",
        );
    }
    let listed = staffed
        .run("first", &["operator", "list"], &[])
        .expect("operator list");
    let dead = listed
        .lines()
        .filter(|line| line.contains(r#""genuine":false"#));
    assert_eq!(dead.count(), 2, "{listed}");
    let recorded = sql(
        &bed,
        r#"SELECT event FROM audit WHERE event LIKE '{"event":"OPERATOR_INTEGRITY_FAIL"%'"#,
    );
    assert_eq!(recorded.len(), 4, "{recorded:?}");

    bed.stop();
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

    sql(&bed, "DELETE FROM approval");
    sql(&bed, "DELETE FROM operator");
    let add = ["--user", "x", "--given-name", "X", "--surname", "X"];
    let add = [&["holder", "add"], &add[..], &["--email", "x@example.test"]].concat();
    refused(&bed.cli(&add, &["password of x"]), "restore the database");
}

/// What SQL says: the first column of each row.
fn sql(bed: &TestBed, statement: &str) -> Vec<String> {
    const SCRIPT: &str = "import json, sqlite3, sys\n\
                          with sqlite3.connect(sys.argv[1], timeout=30) as database:\n    \
                          print(json.dumps([row[0] for row in database.execute(sys.argv[2])]))";
    let mut python = Command::new("python3");
    python
        .args(["-c", SCRIPT])
        .arg(bed.dir().join("csc.sqlite"))
        .arg(statement);
    serde_json::from_str(&command(&mut python, &[]).expect(statement)).expect("a list")
}
