//! Operators with accounts, made at the terminal as an installation makes them.

use crate::{bed::TestBed, binary::Run, canary};

/// The roles, as commands call them.
pub const ROLES: [&str; 4] = [
    "security-officer",
    "ra-officer",
    "auditor",
    "system-operator",
];

/// Two security officers, `first` and `second`, and an operator of each other role, called as the role.
pub struct Staff<'a>(pub &'a TestBed);

impl TestBed {
    /// Gives this bed its operators; from then on every command wants one.
    pub fn staff(&self) -> Staff<'_> {
        let staff = Staff(self);
        let officer = |name| {
            [
                "operator",
                "add",
                "--name",
                name,
                "--role",
                "security-officer",
            ]
        };
        self.cli(&officer("first"), &[&password("first")])
            .expect("the first operator");
        staff
            .run("first", &officer("second"), &[&password("second")])
            .expect("the second operator");
        for role in ROLES.iter().filter(|role| **role != "security-officer") {
            let add = ["operator", "add", "--name", role, "--role", role];
            staff.by_two(&add, &[&password(role)]).expect(role);
        }
        staff
    }
}

impl Staff<'_> {
    /// Runs a command as this operator.
    pub fn run(&self, name: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        let password = password(name);
        self.0.cli(
            &[&["--as", name], arguments].concat(),
            &[&[password.as_str()], stdin].concat(),
        )
    }

    /// Runs a command as `first`, who has it approved by `second`.
    pub fn by_two(&self, arguments: &[&str], stdin: &[&str]) -> Run {
        let id = self.request(arguments);
        self.run("second", &["approval", "approve", &id], &[])
            .expect("approval approve");
        self.with(&id, arguments, stdin)
    }

    /// Runs a command as `first` with this approval.
    pub fn with(&self, id: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        self.run("first", &[&["--approval", id], arguments].concat(), stdin)
    }

    /// The request that a command of `first` makes.
    pub fn request(&self, arguments: &[&str]) -> String {
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

    /// Somebody who has this role.
    pub fn of_role(role: &str) -> &str {
        match role {
            "security-officer" => "first",
            role => role,
        }
    }
}

/// The password of an operator.
pub fn password(name: &str) -> String {
    canary::register(format!("password of {name}"))
}

impl Run {
    /// Panics unless the command failed and said why.
    pub fn refused(&self, why: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(why), "{}", self.stderr);
    }
}
