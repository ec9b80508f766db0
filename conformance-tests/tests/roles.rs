//! Who may do what at the terminal. The table is the product's own (`csc-server operator roles`); every cell of it is tried.
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Holder, KeySpec, Otp, ROLES, Signer, Staff, TestBed, V1, digest, digests, password_of, shared,
};
use serde_json::{Value, json};

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
        "read-audit" => (vec!["audit", "verify"], &[]),
        "rotate-master-keys" => return None,
        unknown => panic!("no command is tried for {unknown}"),
    })
}

#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let other = bed.holder();
    let otp = bed.mail_otp(&other);
    let staff = bed.staff();

    let (mut tried, mut untried) = (0, Vec::new());
    for (role, capability, cell) in table(bed) {
        let Some((arguments, stdin)) = command_of(&capability, &signer, &other, &otp, "client")
        else {
            untried.push(capability);
            continue;
        };
        let run = staff.run(Staff::of_role(&role), &arguments, stdin);
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
    assert_eq!(untried, ["rotate-master-keys"]);
    assert_eq!(tried, 4 * 15);

    an_operator_is_nobody_to_the_api(&staff, &signer).await;
    roles_that_do_not_go_together_are_refused(&staff);
    what_operators_did_names_them(bed);
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
    let holder = bed.cli(
        &["--as", &signer.holder.name, "operator", "list"],
        &[&signer.holder.password],
    );
    holder.refused("unknown operator or wrong password");
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
    staff
        .run("system-operator", &enrol, &[])
        .refused("there is no holder 'nobody'");
    staff
        .by_two(&change("remove", "system-operator", "ra-officer"), &[])
        .expect("operator remove");
    staff
        .run("system-operator", &enrol, &[])
        .refused("may not do this");
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
            // No password of his opens anything: it is not even asked.
            staff.run(name, &arguments, &stdin).refused("has exactly");
            let as_him = [&["--as", name], &arguments[..]].concat();
            bed.cli(&as_him, &stdin).refused("wrong OTP");
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
