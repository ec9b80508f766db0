//! The command as its users run it; what it leaves is looked at with SoftHSM's own tool.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const LABELS: [&str; 2] = ["csc-holder", "csc-issuer"];

/// SoftHSM writes a file an object: on a memory disk where there is one.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

fn setup(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softhsm-setup"));
    command.arg("--dir").arg(dir).env_remove("SOFTHSM2_CONF");
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it succeeded");
    assert!(
        output.stdout.is_empty(),
        "a refusal prints no configuration"
    );
    String::from_utf8(output.stderr).unwrap()
}

fn slots(dir: &Path) -> String {
    let mut command = Command::new("softhsm2-util");
    command
        .arg("--show-slots")
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"));
    String::from_utf8(run(&mut command).stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn pin(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join("pins").join(name)).unwrap()
}

#[test]
fn two_tokens_are_made_and_found_by_their_labels() {
    let dir = scratch();
    run(&mut setup(dir.path()));
    let slots = slots(dir.path());
    for label in LABELS {
        let lines = slots
            .lines()
            .filter(|line| line.trim_start().starts_with("Label:") && line.contains(label));
        assert_eq!(lines.count(), 1, "{slots}");
    }
    assert_eq!(
        slots.matches("User PIN init.:   yes").count(),
        LABELS.len(),
        "{slots}"
    );
}

#[test]
fn the_printed_sections_name_each_token_its_role_and_its_pin() {
    let dir = scratch();
    let printed = String::from_utf8(run(&mut setup(dir.path())).stdout).unwrap();
    let dir = dir.path().canonicalize().unwrap();
    assert_eq!(printed.matches("[[slot]]").count(), 2, "{printed}");
    for (role, label) in [("holder", "csc-holder"), ("issuer", "csc-issuer")] {
        let pin_file = dir.join("pins").join(format!("{label}.pin"));
        for line in [
            format!("role = \"{role}\""),
            format!("token = \"{label}\""),
            format!("pin_file = \"{}\"", pin_file.display()),
        ] {
            assert!(
                printed.lines().any(|printed| printed == line),
                "{line} is missing in:\n{printed}"
            );
        }
        assert!(
            !printed.contains(&pin(&dir, &format!("{label}.pin"))),
            "a PIN was printed"
        );
    }
    let export = format!(
        "export SOFTHSM2_CONF='{}'",
        dir.join("softhsm2.conf").display()
    );
    assert!(printed.contains(&export), "{printed}");
}

#[test]
fn pins_are_random_and_only_their_owner_may_read_them() {
    let dir = scratch();
    run(&mut setup(dir.path()));
    let mut pins = Vec::new();
    for name in [
        "csc-holder.pin",
        "csc-holder.so-pin",
        "csc-issuer.pin",
        "csc-issuer.so-pin",
    ] {
        assert_eq!(mode(&dir.path().join("pins").join(name)), 0o600, "{name}");
        let pin = pin(dir.path(), name);
        assert_eq!(pin.len(), 32, "{name} holds 128 bits");
        pins.push(pin);
    }
    pins.sort();
    pins.dedup();
    assert_eq!(pins.len(), 4, "no PIN opens two doors");
    assert_eq!(mode(&dir.path().join("softhsm2.conf")), 0o600);
    for folder in ["tokens", "pins"] {
        assert_eq!(mode(&dir.path().join(folder)), 0o700, "{folder}");
    }
}

#[test]
fn a_second_run_changes_nothing_and_prints_the_same() {
    let dir = scratch();
    let first = run(&mut setup(dir.path())).stdout;
    let before = (
        slots(dir.path()),
        LABELS.map(|label| pin(dir.path(), &format!("{label}.pin"))),
    );
    let second = run(&mut setup(dir.path())).stdout;
    let after = (
        slots(dir.path()),
        LABELS.map(|label| pin(dir.path(), &format!("{label}.pin"))),
    );
    assert_eq!(first, second);
    assert_eq!(before, after);
}

#[test]
fn what_an_operator_changed_in_the_softhsm_configuration_stays() {
    let dir = scratch();
    run(&mut setup(dir.path()));
    let conf = dir.path().join("softhsm2.conf");
    let edited = fs::read_to_string(&conf).unwrap().replace("ERROR", "INFO");
    fs::write(&conf, &edited).unwrap();
    run(&mut setup(dir.path()));
    assert_eq!(fs::read_to_string(&conf).unwrap(), edited);
}

#[test]
fn without_a_directory_the_user_s_data_directory_is_used() {
    let data = scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_softhsm-setup"));
    run(command
        .env("XDG_DATA_HOME", data.path())
        .env_remove("SOFTHSM2_CONF"));
    assert!(
        data.path()
            .join("csc-server/softhsm/pins/csc-holder.pin")
            .is_file()
    );
}

#[test]
fn a_pin_that_does_not_open_its_token_is_reported_and_not_replaced() {
    let dir = scratch();
    run(&mut setup(dir.path()));
    let file = dir.path().join("pins/csc-holder.pin");
    fs::write(&file, "not the pin").unwrap();
    let message = refusal(&mut setup(dir.path()));
    assert!(
        message.contains("csc-holder") && message.contains("does not open"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "not the pin");
}

#[test]
fn a_token_whose_pin_file_is_gone_is_not_made_anew() {
    let dir = scratch();
    run(&mut setup(dir.path()));
    let before = slots(dir.path());
    fs::remove_file(dir.path().join("pins/csc-issuer.pin")).unwrap();
    let message = refusal(&mut setup(dir.path()));
    assert!(message.contains("csc-issuer.pin"), "{message}");
    assert_eq!(before, slots(dir.path()));
}

#[test]
fn a_missing_module_is_named_with_what_to_install() {
    let dir = scratch();
    let message = refusal(setup(dir.path()).args(["--module", "/nowhere/libsofthsm2.so"]));
    for word in ["/nowhere/libsofthsm2.so", "apt-get install softhsm2"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_file_that_is_no_pkcs11_library_is_refused_by_name() {
    let dir = scratch();
    let message = refusal(setup(dir.path()).args(["--module", "/etc/hostname"]));
    assert!(message.contains("/etc/hostname"), "{message}");
}
