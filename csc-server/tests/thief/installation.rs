//! An installation made by the commands that make a real one, and what can be carried out of it.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use csc_server::config::{Config, Role, secret};
use hsm_adapter::{
    Pool, PoolLimits,
    memory::MemoryToken,
    pkcs11::{Pkcs11Token, TokenSelector},
};

/// Where the test that runs in this process has its installation.
const INSTALLATION: &str = "CSC_TEST_INSTALLATION";
/// The database, as the configuration names it.
const DATABASE: &str = "csc.sqlite";
/// Every file that the configuration names, but for the database, and the configuration itself.
const FILES: [&str; 4] = ["csc-server.toml", "server.pem", "server.key", "hsm.pin"];

/// Runs a test in a process of its own, because SoftHSM finds its tokens by the environment, on a new installation.
pub(crate) fn in_an_installation(name: &str, test: impl AsyncFnOnce(&Path)) {
    if let Some(dir) = env::var_os(INSTALLATION) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(test(Path::new(&dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    install(path);
    let mut this = Command::new(env::current_exe().unwrap());
    this.args(["--exact", name, "--nocapture"]);
    let this = this.env(INSTALLATION, path);
    let printed = run(this.env("SOFTHSM2_CONF", path.join("softhsm2.conf")), "");
    assert!(printed.contains("1 passed"), "{printed}");
}

/// A copy of the database, as one instant left it.
pub(crate) fn steal_db(from: &Path, to: &Path) {
    let database = rusqlite::Connection::open(from.join(DATABASE)).unwrap();
    let copy = to.join(DATABASE);
    database
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
}

/// The configuration and every file that it names.
pub(crate) fn steal_files(from: &Path, to: &Path) {
    for file in FILES {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// What somebody writes who has no configuration of the service.
pub(crate) fn own_files(to: &Path) {
    let mut configuration = CONFIGURATION.to_owned();
    for (role, label) in [("holder", "holders"), ("issuer", "issuers")] {
        configuration += &format!(
            "[[slot]]\nrole = \"{role}\"\ntoken = \"{label}\"\npin_file = \"hsm.pin\"\n\
             module = \"/usr/lib/softhsm/libsofthsm2.so\"\n"
        );
    }
    let tls = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    put(to, "hsm.pin", "hsm-user-pin\n");
    put(to, "server.pem", &tls.cert.pem());
    put(to, "server.key", &tls.signing_key.serialize_pem());
    put(to, "csc-server.toml", &configuration);
}

/// Sessions of the token that the configuration names for this role.
pub(crate) fn sessions(dir: &Path, role: Role) -> Pool {
    let config = Config::load(&dir.join("csc-server.toml")).unwrap();
    let slot = config.slots(role).next().unwrap();
    let token = Pkcs11Token::new(
        slot.name(),
        &slot.module,
        TokenSelector::Label(slot.token.clone().unwrap()),
        secret::read(&slot.pin_file).unwrap(),
        slot.profile.parse().unwrap(),
    );
    Pool::start(Arc::new(token), LIMITS).unwrap()
}

/// Sessions of an HSM of the thief's own.
pub(crate) fn sessions_elsewhere() -> Pool {
    Pool::start(Arc::new(MemoryToken::new("holders")), LIMITS).unwrap()
}

const LIMITS: PoolLimits = PoolLimits {
    sessions: 1,
    queue: 4,
    deadline: Duration::from_secs(10),
};

fn run(command: &mut Command, stdin: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{stdin}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn install(dir: &Path) {
    let conf = dir.join("softhsm2.conf");
    fs::create_dir(dir.join("tokens")).unwrap();
    put(
        dir,
        "softhsm2.conf",
        &format!("directories.tokendir = {}/tokens\n", dir.display()),
    );
    own_files(dir);
    for label in ["holders", "issuers"] {
        let mut token = Command::new("softhsm2-util");
        token.args(["--init-token", "--free", "--label", label]);
        token.args(["--so-pin", "hsm-so-pin", "--pin", "hsm-user-pin"]);
        run(token.env("SOFTHSM2_CONF", &conf), "");
    }
    let mut init = Command::new(env!("CARGO_BIN_EXE_csc-server"));
    init.arg("--config").arg(dir.join("csc-server.toml"));
    init.args(["slot", "init", "--officer", "anna", "--officer", "bruno"]);
    let passwords = "first password of anna\nfirst password of bruno";
    run(init.env("SOFTHSM2_CONF", &conf), passwords);
}

fn put(dir: &Path, name: &str, text: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    let mut file = file.open(dir.join(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

const CONFIGURATION: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://localhost:8443"
certificate = "server.pem"
private_key = "server.key"
[info]
name = "Test"
logo = "https://localhost:8443/logo.png"
region = "IT"
lang = "en"
description = "An installation to break into"
[store]
url = "sqlite:csc.sqlite"
[mail]
from = "sign@example.test"
outbox = "outbox"
[certificate]
organization = "Example"
ca_name = "Example CA"
"#;
