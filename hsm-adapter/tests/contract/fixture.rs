//! Tokens, and what every rule needs on them.

use std::{
    env,
    ffi::OsString,
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use hsm_adapter::{
    Activation, Content, Cost, Digest, DigestAlgorithm, Issuer, KeyAlgorithm, Pin, Pool,
    PoolLimits, Scheme, SealedKey, Secret, Stretcher, Token, Vault,
    memory::MemoryToken,
    pkcs11::{Pkcs11Token, Profile, TokenSelector},
    process::{Care, ModuleSetup, Process, Program, Remote, SlotSetup},
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// SoftHSM, unless `CSC_TEST_MODULE` names another module; `CSC_TEST_PROFILE` is its profile then, and the program `CSC_TEST_SETUP` makes its tokens.
pub(crate) fn module() -> String {
    env::var("CSC_TEST_MODULE").unwrap_or_else(|_| "/usr/lib/softhsm/libsofthsm2.so".to_owned())
}

pub(crate) fn profile() -> Profile {
    let name = env::var("CSC_TEST_PROFILE").unwrap_or_else(|_| "softhsm2".to_owned());
    name.parse().unwrap()
}

/// Short enough for every module.
pub(crate) const USER_PIN: &str = "user-pin";
/// When every activation of a test is issued, and ends, unless it says otherwise.
pub(crate) const NOW: i64 = 1_000_000;
pub(crate) const END: i64 = 1_300_000;

/// commonName "A holder", as a Name in DER.
pub(crate) const SUBJECT: &[u8] = b"\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08A holder";

pub(crate) const ECDSA: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);

/// A token with a vault on it.
pub(crate) struct Fixture {
    /// As this process sees it, with a log-in of its own.
    pub(crate) token: Arc<dyn Token>,
    pub(crate) vault: Vault,
    pub(crate) kind: Kind,
    sessions: Sessions,
}

pub(crate) enum Kind {
    Memory(MemoryToken),
    SoftHsm(Arc<Pkcs11Token>),
    /// SoftHSM in a process of its own.
    Process,
}

/// Where vault and issuer have their sessions.
#[derive(Clone)]
pub(crate) enum Sessions {
    Here(Pool),
    There(Remote),
}

pub(crate) const LIMITS: PoolLimits = PoolLimits {
    sessions: 2,
    queue: 16,
    deadline: Duration::from_secs(20),
};

pub(crate) fn stretcher() -> Stretcher {
    let cost = Cost {
        memory: 64,
        passes: 1,
        lanes: 1,
    };
    Stretcher::new(cost, 2, 64)
}

impl Fixture {
    fn new(token: Arc<dyn Token>, kind: Kind) -> Self {
        let sessions = match kind {
            Kind::Process => Sessions::There(start_process().open(slot_setup()).unwrap()),
            _ => Sessions::Here(Pool::start(token.clone(), LIMITS).unwrap()),
        };
        Self {
            token,
            vault: sessions.vault(4),
            kind,
            sessions,
        }
    }

    pub(crate) fn on_memory(token: &MemoryToken) -> Self {
        Self::new(Arc::new(token.clone()), Kind::Memory(token.clone()))
    }

    /// The same token as another process has it: with a log-in and handles of its own.
    pub(crate) fn another(&self) -> Self {
        match &self.kind {
            Kind::Memory(token) => Self::on_memory(token),
            Kind::SoftHsm(_) => Self::on_softhsm(),
            Kind::Process => Self::in_a_process(),
        }
    }

    fn on_softhsm() -> Self {
        let token = Arc::new(softhsm_token("holders", USER_PIN));
        Self::new(token.clone(), Kind::SoftHsm(token))
    }

    fn in_a_process() -> Self {
        Self::new(Arc::new(softhsm_token("holders", USER_PIN)), Kind::Process)
    }

    /// A vault on the same sessions that keeps so many keys open.
    pub(crate) fn vault_of(&self, open_keys: usize) -> Vault {
        self.sessions.vault(open_keys)
    }

    /// The slot, when its sessions are in another process.
    pub(crate) fn slot(&self) -> &Remote {
        match &self.sessions {
            Sessions::There(slot) => slot,
            Sessions::Here(_) => panic!("its sessions are here"),
        }
    }

    /// An issuer on the same sessions.
    pub(crate) fn issuer(&self) -> Issuer {
        match &self.sessions {
            Sessions::Here(pool) => Issuer::new(pool.clone()),
            Sessions::There(slot) => Issuer::remote(slot.clone()),
        }
    }

    /// A key under [`pin`], with its record and master keys in place.
    pub(crate) async fn key(&self, credential: &str, algorithm: KeyAlgorithm) -> SealedKey {
        self.vault.init().await.unwrap();
        let pin = pin();
        let generated = self.vault.generate(credential, 1, algorithm, &pin, SUBJECT);
        let mut key = generated.await.unwrap().key;
        key.record = format!("record of {credential}").into_bytes();
        let mac = self.vault.record_mac(key.masters, &key.record).await;
        key.record_mac = mac.unwrap().to_vec();
        key
    }

    /// An activation of a key for these digests, and `count` signatures.
    pub(crate) async fn activation(
        &self,
        key: &SealedKey,
        digests: &[Digest],
        count: u32,
    ) -> Activation {
        let (content, secret) = (content(key, digests, count), Secret::random().unwrap());
        let authorised = self.vault.authorise(key, &pin(), &content, &secret).await;
        Activation {
            wrapped: authorised.unwrap(),
            content,
            secret,
        }
    }

    /// How many keys are on the token as session objects: what a process with its own eyes sees.
    pub(crate) fn session_keys(&self) -> usize {
        match &self.kind {
            Kind::Memory(token) => token.session_objects(),
            Kind::SoftHsm(_) => softhsm_session_objects(),
            Kind::Process => self.vault.state().open_keys,
        }
    }

    /// Asserts how many those are; another process says so in a moment.
    pub(crate) async fn has_session_keys(&self, count: usize) {
        if let Kind::Process = self.kind {
            let told = tokio::time::timeout(LIMITS.deadline, async {
                while self.session_keys() != count {
                    tokio::task::yield_now().await;
                }
            });
            let _ = told.await;
        }
        assert_eq!(self.session_keys(), count);
    }

    /// Calls of the device so far, by name.
    pub(crate) fn calls(&self) -> Vec<(&'static str, u64)> {
        match &self.kind {
            Kind::SoftHsm(token) => token.calls().into_iter().collect(),
            Kind::Process => Vec::new(),
            Kind::Memory(token) => {
                let names = [
                    "master",
                    "derive",
                    "unwrap_dek",
                    "unwrap_private",
                    "sign",
                    "verify",
                    "mac",
                    "decrypt",
                    "destroy",
                ];
                names
                    .into_iter()
                    .map(|name| (name, token.calls(name) as u64))
                    .collect()
            }
        }
    }
}

pub(crate) fn pin() -> Pin {
    Pin::parse("31415926").unwrap()
}

pub(crate) fn message(number: u8) -> Vec<u8> {
    format!("document {number}").into_bytes()
}

/// The digest of a message, computed by another library than the one that verifies.
pub(crate) fn digest_of(algorithm: DigestAlgorithm, message: &[u8]) -> Digest {
    let octets = match algorithm {
        DigestAlgorithm::Sha256 => Sha256::digest(message).to_vec(),
        DigestAlgorithm::Sha384 => Sha384::digest(message).to_vec(),
        DigestAlgorithm::Sha512 => Sha512::digest(message).to_vec(),
    };
    Digest::new(algorithm, octets).unwrap()
}

pub(crate) fn digest(number: u8) -> Digest {
    digest_of(DigestAlgorithm::Sha256, &message(number))
}

pub(crate) fn content_of(key: &SealedKey, digests: &[Digest], count: u32) -> Content {
    Content {
        version: 1,
        id: "activation".to_owned(),
        kind: "sad".to_owned(),
        holder: "holder".to_owned(),
        credential: key.credential.clone(),
        generation: key.generation,
        certificate: hex::encode([7; 32]),
        client: "client".to_owned(),
        bound: None,
        digest: None,
        hash_type: None,
        hashes: digests
            .iter()
            .map(|digest| hex::encode(digest.octets()))
            .collect(),
        count,
        factors: Vec::new(),
        issued: NOW,
        expires: END,
    }
}

pub(crate) fn octets(content: &Content) -> Vec<u8> {
    serde_json::to_vec(content).unwrap()
}

pub(crate) fn content(key: &SealedKey, digests: &[Digest], count: u32) -> Vec<u8> {
    octets(&content_of(key, digests, count))
}

/// Runs a rule on a fresh device in memory.
pub(crate) fn memory<F: Future<Output = ()>>(rule: impl FnOnce(Fixture) -> F) {
    run(rule(Fixture::on_memory(&MemoryToken::new("holders"))));
}

/// Runs a rule on a fresh SoftHSM token, in a process of its own.
pub(crate) fn softhsm<F: Future<Output = ()>>(name: &str, rule: impl FnOnce(Fixture) -> F) {
    in_own_process(name, |_| {
        run(rule(Fixture::on_softhsm()));
    });
}

/// Runs a rule on a fresh SoftHSM token whose module is in a process of its own.
pub(crate) fn process<F: Future<Output = ()>>(name: &str, rule: impl FnOnce(Fixture) -> F) {
    in_own_process(name, |_| {
        run(rule(Fixture::in_a_process()));
    });
}

impl Sessions {
    fn vault(&self, open_keys: usize) -> Vault {
        match self {
            Self::Here(pool) => Vault::new(pool.clone(), stretcher(), open_keys),
            Self::There(slot) => Vault::remote(slot.clone(), stretcher()),
        }
    }
}

/// The test of this binary that is the process of a module.
pub(crate) const PROCESS: &str = "process::the_process_of_a_module";

pub(crate) fn start_process() -> Process {
    start_process_with(CARE)
}

pub(crate) const CARE: Care = Care {
    patience: Duration::from_secs(20),
    memory: 1 << 40,
};

pub(crate) fn start_process_with(care: Care) -> Process {
    let program = Program {
        path: env::current_exe().unwrap(),
        arguments: ["--exact", PROCESS, "--nocapture"].map(Into::into).into(),
        user: None,
        logs: false,
    };
    let module = ModuleSetup {
        module: module().into(),
        network: false,
    };
    Process::start(program, module, care).unwrap()
}

pub(crate) fn slot_setup() -> SlotSetup {
    slot_setup_in(&tokens())
}

/// The same where the tokens are not those of this process.
pub(crate) fn slot_setup_in(tokens: &Path) -> SlotSetup {
    SlotSetup {
        name: "holders".to_owned(),
        selector: TokenSelector::Label("holders".to_owned()),
        pin_file: tokens.with_file_name("pin"),
        profile: profile().name.to_owned(),
        sessions: LIMITS.sessions,
        queue: LIMITS.queue,
        deadline: LIMITS.deadline,
        open_keys: 4,
    }
}

/// Where the SoftHSM of this process has its tokens.
pub(crate) fn tokens() -> PathBuf {
    env::var_os(TOKENS)
        .expect("the test runs in a process of its own")
        .into()
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

/// The token `label` of the process's SoftHSM.
pub(crate) fn softhsm_token(label: &str, pin: &str) -> Pkcs11Token {
    Pkcs11Token::new(
        label,
        module(),
        TokenSelector::Label(label.to_owned()),
        Zeroizing::new(pin.to_owned()),
        profile(),
    )
}

/// Where the test that runs in this process keeps its tokens.
const TOKENS: &str = "HSM_ADAPTER_TOKENS";

/// Runs this test in a process whose SoftHSM has two fresh tokens, `holders` and `issuers`; the body gets their directory.
pub(crate) fn in_own_process(name: &str, body: impl FnOnce(PathBuf)) {
    if let Some(tokens) = env::var_os(TOKENS) {
        return body(tokens.into());
    }
    // Tokens on a disk cost a second each.
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    let directory = directory.unwrap();
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    fs::write(directory.path().join("pin"), USER_PIN).unwrap();
    let environment = match env::var_os("CSC_TEST_SETUP") {
        Some(setup) => set_up(setup, directory.path()),
        None => softhsm_tokens(directory.path(), &tokens),
    };
    let ran = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs(environment)
        .env(TOKENS, &tokens)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}\n{}\n{}",
        ran.status,
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(
        String::from_utf8_lossy(&ran.stdout).contains("1 passed"),
        "no test is called {name}"
    );
}

/// Two tokens of SoftHSM, and what it must find in its environment.
fn softhsm_tokens(directory: &Path, tokens: &Path) -> Vec<(String, String)> {
    let configuration = directory.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&configuration, text).unwrap();
    for label in ["holders", "issuers"] {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label])
            .args(["--so-pin", "hsm-so-pin", "--pin", USER_PIN])
            .env("SOFTHSM2_CONF", &configuration)
            .output()
            .expect("softhsm2-util runs; install the package softhsm2");
        assert!(made.status.success(), "{made:?}");
    }
    let configuration = configuration.to_str().unwrap().to_owned();
    vec![("SOFTHSM2_CONF".to_owned(), configuration)]
}

/// Tokens of another module: the program gets a directory and the user PIN, and prints what the module must find in its environment.
fn set_up(program: OsString, directory: &Path) -> Vec<(String, String)> {
    let made = Command::new(program)
        .arg(directory)
        .arg(USER_PIN)
        .output()
        .expect("CSC_TEST_SETUP is a program");
    assert!(made.status.success(), "{made:?}");
    let printed = String::from_utf8(made.stdout).unwrap();
    let variables = printed.lines().filter_map(|line| line.split_once('='));
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A second user of the module in this process, as an operator's tool would see the token.
pub(crate) fn softhsm_session() -> cryptoki::session::Session {
    let module = cryptoki::context::Pkcs11::new(module()).unwrap();
    let slot = module.get_slots_with_token().unwrap();
    let slot = slot
        .into_iter()
        .find(|slot| module.get_token_info(*slot).unwrap().label() == "holders")
        .unwrap();
    module.open_ro_session(slot).unwrap()
}

fn softhsm_session_objects() -> usize {
    let session = softhsm_session();
    let found = session.find_objects(&[cryptoki::object::Attribute::Token(false)]);
    found.unwrap().len()
}
