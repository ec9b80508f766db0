//! Who may do what at the terminal. The table is the product's own (`csc-server operator roles`); every cell of it is tried.
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Holder, KeySpec, Otp, ROLES, Signer, Staff, TestBed, Token, V1, digest, digests, password_of,
    request_of, shared,
};
use serde_json::{Value, json};

/// A cell of the table: a role, a capability, one of its commands, and what the role may do with it.
struct Cell {
    role: String,
    capability: String,
    command: String,
    /// `alone`, `two`, `approves` or `-`.
    may: String,
}

fn table(bed: &TestBed) -> Vec<Cell> {
    let printed = bed.cli(&["operator", "roles"], &[]).expect("the table");
    let mut lines = printed.lines().map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let heads = lines.next().expect("a line with the roles");
    assert_eq!(heads[2..], ROLES);
    let mut table = Vec::new();
    for line in lines.skip(1) {
        for command in line[1].split(", ") {
            for (role, may) in heads[2..].iter().zip(&line[2..]) {
                table.push(Cell {
                    role: role.clone(),
                    capability: line[0].clone(),
                    command: command.trim_matches('`').to_owned(),
                    may: may.clone(),
                });
            }
        }
    }
    table
}

/// What the commands are tried on.
struct World<'a> {
    signer: Signer<'a>,
    other: Holder,
    otp: Otp,
    tokens: [Token; 2],
    file: String,
    policy: String,
}

impl World<'_> {
    /// The arguments and the input of a command that succeeds for who may; a command that is not here fails the test.
    fn arguments(&self, command: &str) -> (Vec<String>, Vec<String>) {
        let credential = &self.signer.credential.id;
        let Self {
            other, otp, tokens, ..
        } = self;
        let (serial, holder) = (&tokens[0].serial, &other.name);
        let person = "--given-name A --surname B --email a@example.test";
        let (rest, stdin) = match command {
            "terminate" | "slot init" | "slot rotation" | "slot record" | "operator list" => {
                (String::new(), vec![])
            }
            "credential suspend-all" | "credential revoke-all" | "credential destroy-expired" => {
                (String::new(), vec![])
            }
            "audit verify" | "audit export" => (String::new(), vec![]),
            "slot rotate" => ("--key store".to_owned(), vec![]),
            "slot destroy" => ("--key store --version 1".to_owned(), vec![]),
            "policy set" => (self.policy.clone(), vec![]),
            "operator add" => (
                "--name new --role auditor".to_owned(),
                vec!["first password"],
            ),
            "operator reset" => ("--name ra-officer".to_owned(), vec!["first password"]),
            "operator grant" | "operator remove" => (
                "--name ra-officer --role system-operator".to_owned(),
                vec![],
            ),
            "holder add" => (
                format!("--user newcomer {person}"),
                vec!["password of a newcomer"],
            ),
            "holder block" | "holder unblock" => (format!("--user {holder}"), vec![]),
            "otp add" => (format!("--holder {holder} --kind mail"), vec![]),
            "otp list" => (format!("--holder {holder}"), vec![]),
            "otp import" => (format!("--format csv {}", self.file), vec![]),
            "otp assign" => (format!("--serial {serial} --holder {holder}"), vec![]),
            "otp resync" => {
                let id = self.signer_token();
                let codes = [tokens[1].code(0), tokens[1].code(1)];
                let line = format!("otp resync --otp {id}");
                return (words(&line), codes.to_vec());
            }
            "otp unlock" => (format!("--otp {}", otp.id), vec![]),
            "credential add" => (
                format!("--holder {holder} --otp {}", otp.id),
                vec!["80172634"],
            ),
            "credential suspend" | "credential reactivate" | "credential revoke" => {
                (format!("--credential {credential}"), vec![])
            }
            "client add" => ("--id client --name C".to_owned(), vec![]),
            "client change" => ("--id client --name D".to_owned(), vec![]),
            "client show" => ("--id client".to_owned(), vec![]),
            "client link" => (format!("--client client --holder {holder}"), vec![]),
            "history" => (format!("--credential {credential}"), vec![]),
            "audit proof" => (format!("--credential {credential} --hash AAAA"), vec![]),
            "audit export --holder" => (holder.clone(), vec![]),
            "audit export --credential" => (credential.clone(), vec![]),
            unknown => panic!("no arguments to try '{unknown}' with"),
        };
        let stdin = stdin.into_iter().map(str::to_owned).collect();
        (words(&format!("{command} {rest}")), stdin)
    }

    /// The factor of the second token.
    fn signer_token(&self) -> String {
        let serial = &self.tokens[1].serial;
        let sql = format!("SELECT id FROM factor WHERE serial = '{serial}'");
        self.signer.bed().sql(&sql).trim().to_owned()
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let bed = shared().await;
    let other = bed.holder();
    let otp = bed.mail_otp(&other);
    let tokens = [Token::random(), Token::random()];
    bed.import(&[&tokens[1]]).expect("otp import");
    let shown = bed.cli(&["policy", "show"], &[]).expect("policy show");
    let policy = shown.lines().find_map(|line| line.strip_prefix("hash: "));
    let world = World {
        file: bed.secret_file(&format!("serial,seed,digits,counter\n{}\n", tokens[0].line)),
        signer: bed.signer().await,
        other,
        otp,
        tokens,
        policy: policy.expect("a hash").to_owned(),
    };
    let staff = bed.staff();

    let table = table(bed);
    for cell in &table {
        let Cell {
            role,
            capability,
            command,
            may,
        } = cell;
        let (arguments, stdin) = world.arguments(command);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let stdin: Vec<_> = stdin.iter().map(String::as_str).collect();
        let run = staff.run(Staff::of_role(role), &arguments, &stdin);
        let said = format!("{role}, {command}: {}{}", run.stdout, run.stderr);
        match may.as_str() {
            // There is no such signature, which only who may ask is told.
            "alone" if command == "audit proof" => {
                assert!(run.stderr.contains("there is no such signature"), "{said}");
            }
            "alone" => assert!(run.success, "{said}"),
            "two" => assert_eq!(run.code, Some(3), "{said}"),
            "approves" | "-" => {
                assert_eq!(run.code, Some(1), "{said}");
                let why = format!("no role of his has the capability {capability}");
                assert!(run.stderr.contains(&why), "{said}");
            }
            may => panic!("{may}"),
        }
    }
    let may = |what| table.iter().filter(|cell| cell.may == what).count();
    assert!(may("alone") > 15 && may("two") > 10 && may("approves") == 2);

    who_approves_is_in_the_table(&staff, &table, &world);
    an_operator_is_nobody_to_the_api(&staff, &world.signer).await;
    roles_that_do_not_go_together_are_refused(&staff);
    what_operators_did_names_them(bed);
}

/// Every role tries to approve what takes two.
fn who_approves_is_in_the_table(staff: &Staff<'_>, table: &[Cell], world: &World<'_>) {
    for does in table.iter().filter(|cell| cell.may == "two") {
        let (arguments, stdin) = world.arguments(&does.command);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let stdin: Vec<_> = stdin.iter().map(String::as_str).collect();
        let requester = Staff::of_role(&does.role);
        for approves in table.iter().filter(|cell| cell.command == does.command) {
            let id = request_of(&staff.run(requester, &arguments, &stdin));
            let approver = match approves.role.as_str() {
                "security-officer" => "second",
                role => role,
            };
            let run = staff.approve(approver, &id);
            let said = format!("{} by {approver}: {}", does.command, run.stderr);
            if approver == requester {
                run.refused("who made a request cannot approve it");
            } else if approves.may == "-" {
                run.refused("may not do this");
            } else {
                assert!(run.success, "{said}");
            }
        }
    }
}

/// SC-78: another table, other passwords; nothing of an operator opens the holders' door.
async fn an_operator_is_nobody_to_the_api(staff: &Staff<'_>, signer: &Signer<'_>) {
    let bed = staff.0;
    for name in ["first", "ra-officer", "auditor", "system-operator"] {
        let login = bed
            .api()
            .login(V1, name, &password_of(name), json!({}))
            .await;
        login.refused_as("authentication_error");
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", name),
            ("client_secret", &password_of(name)),
        ];
        bed.api()
            .form("/oauth2/token", &fields)
            .await
            .refused("Invalid parameter client_id");
    }
    let holder = bed.terminal(
        None,
        &["login", &signer.holder.name],
        &[&signer.holder.password, "000000"],
    );
    holder.refused("unknown operator, wrong password or wrong code");
}

fn roles_that_do_not_go_together_are_refused(staff: &Staff<'_>) {
    let change = |what, name, role| ["operator", what, "--name", name, "--role", role];
    for (name, role) in [
        ("auditor", "ra-officer"),
        ("ra-officer", "auditor"),
        ("system-operator", "security-officer"),
        ("second", "ra-officer"),
    ] {
        let granted = staff.by_two(&change("grant", name, role), &[]);
        granted.refused("one person cannot be");
    }
    let both = ["operator", "add", "--name", "both"];
    let both = [
        &both[..],
        &["--role", "auditor", "--role", "security-officer"],
    ]
    .concat();
    staff
        .run("first", &both, &[])
        .refused("one person cannot be");

    let enrol = ["otp", "add", "--holder", "nobody", "--kind", "mail"];
    staff
        .run("system-operator", &enrol, &[])
        .refused("may not do this");
    staff
        .by_two(&change("grant", "system-operator", "ra-officer"), &[])
        .expect("operator grant");
    let ended = "your session has ended";
    staff.run("system-operator", &enrol, &[]).refused(ended);
    staff
        .log_in("system-operator", &password_of("system-operator"))
        .expect("login");
    staff
        .run("system-operator", &enrol, &[])
        .refused("there is no holder 'nobody'");
    staff
        .by_two(&change("remove", "system-operator", "ra-officer"), &[])
        .expect("operator remove");
    staff.run("system-operator", &enrol, &[]).refused(ended);
    staff
        .by_two(&change("remove", "first", "security-officer"), &[])
        .refused("two security officers must remain");
}

fn what_operators_did_names_them(bed: &TestBed) {
    let id = bed.sql("SELECT id FROM operator WHERE name = 'ra-officer'");
    let actor = json!({"kind": "operator", "id": id, "role": "ra-officer"});
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
        let recorded: Value = serde_json::from_str(&bed.sql(&newest)).expect("JSON");
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

    let staff = bed.staff();
    for role in ROLES {
        let name = Staff::of_role(role);
        for (what, stdin) in [
            ("change-pin", vec!["80172634", "000000", "80172635"]),
            ("reset-pin", vec!["1234567890", "000000", "80172635"]),
            ("unblock", vec!["1234567890", "000000"]),
        ] {
            let arguments = ["credential", what, "--credential", &credential.id];
            staff.run(name, &arguments, &stdin).refused("wrong OTP");
        }
        // What he knows in place of what the holder knows.
        authorize(&password_of(name), &app.code(0))
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
    for Cell {
        capability,
        command,
        ..
    } in table(&bed)
    {
        let mut words = capability.split('-').chain(command.split([' ', '-']));
        assert!(
            !words.any(|word| ["sign", "authorise", "pin", "puk", "secret"].contains(&word)),
            "{capability}: {command}"
        );
    }
    // The PIN is what it was.
    authorize(&credential.pin, &app.code(0))
        .await
        .text_of("SAD");
}
