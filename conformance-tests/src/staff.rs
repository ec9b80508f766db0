//! Operators, made at the terminal as an installation makes them: two security officers found it, and make the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    bed::TestBed,
    binary::Run,
    canary,
    enrol::{App, app_of},
};

/// The roles, as commands call them.
pub const ROLES: [&str; 4] = [
    "security-officer",
    "ra-officer",
    "auditor",
    "system-operator",
];

/// The operators of a bed by name: two security officers, `first` and `second`, and one of each other role, called as the role. Each but the
/// founders is made when first needed.
pub struct Staff<'a>(pub &'a TestBed);

/// What is known of the operators of a bed.
#[derive(Default)]
pub(crate) struct Desk {
    /// Who has a session.
    hired: Mutex<BTreeSet<String>>,
    apps: Mutex<BTreeMap<String, App>>,
}

impl TestBed {
    /// The operators of this bed.
    pub fn staff(&self) -> Staff<'_> {
        Staff(self)
    }

    /// Runs `csc-server` with these arguments, and these lines on standard input, on this bed's configuration: as the operator whose command it
    /// is, and with the approval of `second` where it takes two.
    pub fn cli(&self, arguments: &[&str], stdin: &[&str]) -> Run {
        match whose(arguments) {
            None => self.terminal(None, arguments, stdin),
            Some(name) => self.staff().approved(name, arguments, stdin),
        }
    }

    /// Installs: the first two operators, and the keys in the tokens.
    pub(crate) fn found(&self) {
        let founding = ["slot", "init", "--officer", "first", "--officer", "second"];
        let passwords = ["first", "second"].map(first_password);
        self.terminal(None, &founding, &passwords.each_ref().map(String::as_str))
            .expect("slot init");
    }
}

impl Staff<'_> {
    /// Runs a command as this operator.
    pub fn run(&self, name: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        self.hire(name);
        self.0.terminal(Some(name), arguments, stdin)
    }

    /// Runs a command as `first`, who has it approved by `second`.
    pub fn by_two(&self, arguments: &[&str], stdin: &[&str]) -> Run {
        let id = self.request(arguments);
        self.approve("second", &id).expect("approval approve");
        self.with(&id, arguments, stdin)
    }

    /// Runs a command as this operator, who has it approved by `second` where it takes two.
    fn approved(&self, name: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        let run = self.run(name, arguments, stdin);
        if run.code != Some(3) {
            return run;
        }
        let id = request_of(&run);
        self.approve("second", &id).expect("approval approve");
        self.run(name, &[&["--approval", &id], arguments].concat(), stdin)
    }

    /// Approves a request as this operator.
    pub fn approve(&self, name: &str, id: &str) -> Run {
        self.run(name, &["approval", "approve", id], &[&password(name)])
    }

    /// Runs a command as `first` with this approval.
    pub fn with(&self, id: &str, arguments: &[&str], stdin: &[&str]) -> Run {
        self.run("first", &[&["--approval", id], arguments].concat(), stdin)
    }

    /// The request that a command of `first` makes.
    pub fn request(&self, arguments: &[&str]) -> String {
        request_of(&self.run("first", arguments, &[]))
    }

    /// Makes the configuration as it stands the approved policy.
    pub fn set_policy(&self) {
        let shown = self.0.cli(&["policy", "show"], &[]).expect("policy show");
        let hash = shown.lines().find_map(|line| line.strip_prefix("hash: "));
        let hash = hash.unwrap_or_else(|| panic!("no hash in:\n{shown}"));
        self.by_two(&["policy", "set", hash], &[])
            .expect("policy set");
    }

    /// Begins a session of this operator; the password may be another than the usual one.
    pub fn log_in(&self, name: &str, password: &str) -> Run {
        let code = lock(&self.0.desk.apps).get_mut(name).map(App::next_code);
        let code = code.unwrap_or_else(|| panic!("{name} has no app"));
        self.0
            .terminal(Some(name), &["login", name], &[password, &code])
    }

    /// Gives an operator who is new a password of his own and an app: what the command printed.
    pub fn enrol(&self, name: &str) -> Run {
        let enrol = ["operator", "enrol", name];
        let passwords = [first_password(name), password(name)];
        let run = self
            .0
            .terminal(None, &enrol, &passwords.each_ref().map(String::as_str));
        if run.success {
            lock(&self.0.desk.apps).insert(name.to_owned(), App::new(app_of(&run.stdout)));
        }
        run
    }

    /// Makes sure that this operator is there and has a session.
    pub fn hire(&self, name: &str) {
        let mut hired = lock(&self.0.desk.hired);
        for name in ["first", "second", name] {
            if hired.contains(name) {
                continue;
            }
            if !["first", "second"].contains(&name) {
                self.add(name);
            }
            self.enrol(name).expect("operator enrol");
            self.log_in(name, &password(name)).expect("login");
            hired.insert(name.to_owned());
        }
    }

    fn add(&self, role: &str) {
        let add = ["operator", "add", "--name", role, "--role", role];
        let bed = self.0;
        let id = request_of(&bed.terminal(Some("first"), &add, &[]));
        let approve = ["approval", "approve", &id];
        bed.terminal(Some("second"), &approve, &[&password("second")])
            .expect("approval approve");
        let add = [&["--approval", &id], &add[..]].concat();
        bed.terminal(Some("first"), &add, &[&first_password(role)])
            .expect("operator add");
    }

    /// Somebody who has this role.
    pub fn of_role(role: &str) -> &str {
        match role {
            "security-officer" => "first",
            role => role,
        }
    }

    /// Where the terminal of this operator keeps his session.
    pub fn session(&self, name: &str) -> PathBuf {
        self.0.dir().join(format!("{name}.session"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operator whose command it is; nobody's when it takes none.
fn whose(arguments: &[&str]) -> Option<&'static str> {
    match arguments {
        ["holder" | "otp" | "client" | "history", ..]
        | [
            "credential",
            "add" | "suspend" | "reactivate" | "revoke" | "suspend-all" | "revoke-all",
            ..,
        ] => Some("ra-officer"),
        ["audit", "verify", "--export", ..] | ["audit", "key", ..] => None,
        ["audit", ..] => Some("auditor"),
        ["operator", "roles" | "enrol", ..] | ["policy", "show", ..] => None,
        ["credential", "destroy-expired"] => Some("system-operator"),
        ["slot" | "operator" | "policy" | "terminate", ..] => Some("first"),
        _ => None,
    }
}

/// The request that a command made, which waits for a second officer.
pub fn request_of(waiting: &Run) -> String {
    assert_eq!(
        waiting.code,
        Some(3),
        "{}{}",
        waiting.stdout,
        waiting.stderr
    );
    let id = waiting.stdout.split_whitespace().nth(1);
    let id = id.expect("'request ID waits …'").to_owned();
    let line = format!("request {id} waits for a second officer: csc-server approval approve {id}");
    assert!(waiting.stdout.contains(&line), "{}", waiting.stdout);
    id
}

/// The first password of an operator, which who makes him types.
pub fn first_password(name: &str) -> String {
    canary::register(format!("first password of {name}"))
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
