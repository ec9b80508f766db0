//! One service under test, with everything it needs, in a directory of its own.

use std::{
    env,
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use crate::{
    binary::{self, Run},
    canary,
    config::Settings,
    database::Database,
    mail::MailServer,
    server::Server,
    staff::Desk,
    wait,
    wire::Api,
};

/// A further process of a service, on the same database and tokens. Killed when it is dropped.
pub struct Node {
    server: Option<Server>,
    tls: reqwest::Certificate,
    pid: PathBuf,
}

/// A running service with its tokens, database, outbox and log. Everything goes when it is dropped, or with the test
/// process, however that ends; only the log stays when `CSC_TEST_LOGS` says where.
pub struct TestBed {
    dir: PathBuf,
    log: PathBuf,
    tls: reqwest::Certificate,
    database: Database,
    server: Mutex<Option<Server>>,
    terminal: Mutex<()>,
    pub(crate) desk: Desk,
    /// The module behind the forwarding one.
    /// The module that tokens are reached through without the forwarding one.
    module: String,
    forwarded: bool,
    quiet: bool,
    _mail_server: Option<MailServer>,
    _janitor: Child,
}

/// What differs from the usual test bed.
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    postgres: bool,
    mail_server: bool,
    forwarded: bool,
    quiet: bool,
    slot: Vec<String>,
}

impl Builder {
    /// A setting of the configuration file by its full name, as in `set("lifetime.sad", "\"1s\"")`; the value is TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.set(key, value);
        self
    }

    /// Keeps the state in a new database of the server at `CSC_TEST_POSTGRES`, not in SQLite.
    pub fn postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Sends mail through a mail server, by SMTP, not into a folder.
    pub fn mail_server(mut self) -> Self {
        self.mail_server = true;
        self
    }

    /// Puts the forwarding module before SoftHSM2, so that [`TestBed::rules`] can make an HSM fail.
    pub fn forwarded(mut self) -> Self {
        self.forwarded = true;
        self
    }

    /// A setting of the holders' slot, as in `slot("open_keys", "8")`; the value is TOML.
    pub fn slot(mut self, key: &str, value: &str) -> Self {
        self.slot.push(format!("{key} = {value}"));
        self
    }

    /// Logs as much as in production, not all there is.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Makes tokens, keys and configuration, and starts the service.
    pub async fn start(mut self) -> TestBed {
        let dir = scratch();
        let name = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let logs = env::var_os("CSC_TEST_LOGS").map_or_else(|| dir.clone(), PathBuf::from);
        let janitor = janitor(&dir);
        let database = match self.postgres {
            true => Database::postgres(&name),
            false => Database::Sqlite(dir.join("csc.sqlite")),
        };
        if let Database::Postgres(url) = &database {
            self.settings.set("store.url", &format!("\"{url}\""));
        }
        let mail_server = self.mail_server.then(|| MailServer::start(&dir));
        if let Some(server) = &mail_server {
            self.settings.remove("mail.outbox");
            self.settings
                .set("mail.smtp", &format!("\"smtp://{}\"", server.address));
        }
        let setup = binary::run(
            Command::new(binary::path("softhsm-setup"))
                .arg("--dir")
                .arg(dir.join("softhsm")),
            &[],
        );
        let mut slots = setup.expect("softhsm-setup");
        let module = module(&slots);
        if self.forwarded {
            let forwarder = binary::path("libpkcs11_forwarder.so");
            forward(&mut slots, &module, &forwarder);
        }
        settle(&mut slots, &self.slot);
        for pin in [
            "csc-holder.pin",
            "csc-holder.so-pin",
            "csc-issuer.pin",
            "csc-issuer.so-pin",
        ] {
            let pin = fs::read_to_string(dir.join("softhsm/pins").join(pin))
                .expect("softhsm-setup leaves PINs");
            canary::register(pin);
        }
        let tls = certificate(&dir);
        write(&dir.join("csc-server.toml"), &self.settings.toml(&slots));

        let log = logs.join(format!("{name}.log"));
        let bed = TestBed {
            dir,
            log,
            tls,
            database,
            server: Mutex::default(),
            terminal: Mutex::default(),
            desk: Desk::default(),
            module,
            forwarded: self.forwarded,
            quiet: self.quiet,
            _mail_server: mail_server,
            _janitor: janitor,
        };
        bed.found();
        bed.start().await;
        bed
    }
}

impl TestBed {
    /// A test bed with a database of its own, usual lifetimes, and OTPs without a pause between them.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `csc-server` at the terminal of this operator, or of nobody.
    pub fn terminal(&self, name: Option<&str>, arguments: &[&str], stdin: &[&str]) -> Run {
        // One after the other: SoftHSM shows a token without its name while another process logs in to it.
        let _terminal = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        let session = self.staff().session(name.unwrap_or("nobody"));
        let mut command = self.csc_server();
        binary::run(command.env("CSC_SESSION", session).args(arguments), stdin)
    }

    /// The audit log is intact, and every row of the tables is what it says.
    pub fn inspect(&self) {
        self.cli(&["audit", "verify"], &[]).expect("audit verify");
    }

    /// The API where it listens now.
    pub fn api(&self) -> Api {
        let address = self.with_server(|server| server.api);
        Api::new(format!("https://{address}"), &self.tls)
    }

    /// Where the API listens now.
    pub fn address(&self) -> SocketAddr {
        self.with_server(|server| server.api)
    }

    /// The operator's listener where it is now: health and metrics.
    pub fn admin(&self) -> Api {
        let address = self.with_server(|server| server.admin);
        Api::new(format!("http://{address}"), &self.tls)
    }

    /// SIGKILL, as a crash; everything not durable is lost.
    pub fn kill(&self) {
        self.take_server().kill();
        self.forget_pid();
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&self) -> ExitStatus {
        let server = self.take_server();
        // On a thread of its own: connections of this test answer the goodbye meanwhile.
        let stopped = tokio::task::spawn_blocking(|| server.stop()).await;
        self.forget_pid();
        stopped.expect("the service stops")
    }

    /// Starts the service again, after [`TestBed::kill`] or [`TestBed::stop`]; it listens on other ports then.
    pub async fn start(&self) {
        let server = Server::start(self.csc_server().arg("serve"), &self.log);
        write(&self.dir.join(PID), &server.pid().to_string());
        let earlier = self.lock().replace(server);
        assert!(earlier.is_none(), "the service was running already");
        let admin = self.admin();
        wait::until("the service to be ready", async || {
            (admin.status("/readyz").await == Some(200)).then_some(())
        })
        .await;
    }

    /// What the service has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a statement on the database behind the service's back; gives the rows, a line each, columns parted by `|`.
    pub fn sql(&self, statement: &str) -> String {
        self.database.run(statement)
    }

    /// Takes a backup of the database while the service runs: its file.
    pub fn dump(&self, name: &str) -> PathBuf {
        let to = self.dir.join(name);
        self.database.dump(&to);
        to
    }

    /// Stops the service, makes a new database from a backup, and starts the service on it, with the tokens that are there.
    pub async fn restore(&self, dump: &Path) {
        assert!(self.stop().await.success(), "the service stops");
        self.replace_database(dump);
        self.start().await;
    }

    /// Makes a new database from a backup, while the service does not run.
    pub fn replace_database(&self, dump: &Path) {
        self.database.restore(dump);
    }

    /// Starts a second process on the same database and tokens: on PostgreSQL only, as operators do.
    pub fn another_node(&self) -> Node {
        assert!(
            matches!(self.database, Database::Postgres(_)),
            "SQLite serves one node"
        );
        let server = Server::start(self.csc_server().arg("serve"), &self.log);
        let pid = self.dir.join(format!("server-{}.pid", server.pid()));
        write(&pid, &server.pid().to_string());
        Node {
            server: Some(server),
            tls: self.tls.clone(),
            pid,
        }
    }

    /// The directory with the configuration, `csc.sqlite`, `outbox` and `tls/server.pem`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the forwarding module does from the next call on: the lines that it explains, one a call. Without lines all goes
    /// through again.
    pub fn rules(&self, lines: &[&str]) {
        assert!(self.forwarded, "the bed has no forwarding module");
        let draft = self.dir.join("hsm.rules.draft");
        write(&draft, &lines.join("\n"));
        fs::rename(draft, self.dir.join(RULES)).expect("rules can be replaced");
    }

    /// The PKCS#11 module that tokens are reached through without the forwarding one.
    pub fn module(&self) -> &str {
        &self.module
    }

    fn csc_server(&self) -> Command {
        let mut command = Command::new(binary::path("csc-server"));
        command
            .arg("--config")
            .arg(self.dir.join("csc-server.toml"));
        command.env("SOFTHSM2_CONF", self.dir.join("softhsm/softhsm2.conf"));
        // Each operator has his own session, whoever runs the tests.
        command.env_remove("SUDO_UID");
        if self.forwarded {
            command.env("FORWARD_TO", &self.module);
            command.env("FORWARD_CONTROL", self.dir.join(RULES));
        }
        if !self.quiet {
            // No secret at any level.
            command.env("RUST_LOG", "debug,csc_server=trace,hsm_adapter=trace");
        }
        command
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_server<T>(&self, look: impl FnOnce(&Server) -> T) -> T {
        look(self.lock().as_ref().expect("the service is not running"))
    }

    fn take_server(&self) -> Server {
        self.lock().take().expect("the service is not running")
    }

    fn forget_pid(&self) {
        fs::remove_file(self.dir.join(PID)).expect("the number of the process was kept");
    }
}

impl Node {
    /// The API where this process listens.
    pub fn api(&self) -> Api {
        let server = self.server.as_ref().expect("it runs until it is dropped");
        Api::new(format!("https://{}", server.api), &self.tls)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        let _ = fs::remove_file(&self.pid);
    }
}

/// The bed that the tests of one file share: starting one takes a moment.
pub async fn shared() -> &'static TestBed {
    static SHARED: OnceCell<TestBed> = OnceCell::const_new();
    SHARED.get_or_init(|| TestBed::builder().start()).await
}

/// The same on PostgreSQL.
pub async fn shared_on_postgres() -> &'static TestBed {
    static SHARED: OnceCell<TestBed> = OnceCell::const_new();
    let start = || TestBed::builder().postgres().start();
    SHARED.get_or_init(start).await
}

const PID: &str = "server.pid";
const RULES: &str = "hsm.rules";

/// Puts these lines into the section of the holders' slot, in the place of what stood there.
fn settle(slots: &mut String, lines: &[String]) {
    const HOLDER: &str = "[[slot]]\nrole = \"holder\"\n";
    let (before, section) = slots.split_once(HOLDER).expect("holders have a slot");
    let (section, after) = section.split_once("\n\n").unwrap_or((section, ""));
    let named = |line: &str| {
        let key = line.split_once(" = ").map(|(key, _)| key.to_owned());
        lines
            .iter()
            .any(|set| set.split_once(" = ").map(|(key, _)| key.to_owned()) == key)
    };
    let kept = section
        .lines()
        .filter(|line| !named(line))
        .map(str::to_owned);
    let section: Vec<String> = kept.chain(lines.iter().cloned()).collect();
    *slots = format!("{before}{HOLDER}{}\n\n{after}", section.join("\n"));
}

/// Puts this module into the sections of slots; gives the one that stood there.
fn forward(slots: &mut String, module: &str, forwarder: &Path) {
    *slots = slots.replace(module, &forwarder.to_string_lossy());
}

/// The module of the slots.
fn module(slots: &str) -> String {
    let value = |line: &str| line.strip_prefix("module = ").map(str::to_owned);
    let quoted = slots.lines().find_map(value).expect("a slot has a module");
    quoted.trim_matches('"').to_owned()
}

/// A directory in memory where there is one: SoftHSM writes a file an object, and databases sync.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if env::var_os("TMPDIR").is_none() && memory.is_dir() {
        memory.to_owned()
    } else {
        env::temp_dir()
    };
    let dir = tempfile::Builder::new()
        .prefix("csc-")
        .rand_bytes(8)
        .tempdir_in(parent);
    dir.expect("a directory for the test").keep()
}

/// A process that outlives this one by a moment: when its standard input ends, however this process ends, it kills the
/// services and removes the directory. Shared beds live in statics, which are never dropped.
fn janitor(dir: &Path) -> Child {
    let script = r#"cat; cat "$0"/server*.pid | xargs kill -9; rm -rf "$0""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(dir);
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell.spawn().expect("a shell can be started")
}

/// A certificate for localhost and 127.0.0.1, with its key, in `tls/`.
fn certificate(dir: &Path) -> reqwest::Certificate {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let certified = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    fs::create_dir(dir.join("tls")).expect("the directory is new");
    write(&dir.join("tls/server.pem"), &certified.cert.pem());
    write(
        &dir.join("tls/server.key"),
        &certified.signing_key.serialize_pem(),
    );
    reqwest::Certificate::from_der(certified.cert.der()).expect("a certificate just made")
}

/// A file that nobody else may read.
pub(crate) fn write(path: &Path, text: &str) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
