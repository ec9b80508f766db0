//! Nobody signs without the holder: not with the database, the configuration and a session of the HSM together (SC-11).
//!
//! The installation is made by the commands that make a real one; then it is opened as the service opens it, by somebody who
//! has every file and may write the database, but knows no PIN and no SAD.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use csc_server::{
    app::{factor_policy, stretcher},
    audit::Chain,
    ca::{self, Ca},
    clock::Clock,
    config::{Config, PukPolicy, Role, StoreUrl, secret},
    credential::{self, Credential, Error, Keys, SignOrder},
    enrolment::{Enrolment, NewPin, Request},
    factor::Factors,
    holder::{Accounts, NewHolder},
    ids::{ClientId, CredentialId},
    oauth::ServiceAccess,
    params,
    signing::Signer,
    store::{Location, Store},
};
use hsm_adapter::{
    Activation, Content, Digest, DigestAlgorithm, Issuer, KeyAlgorithm, Pin, Pool, PoolLimits,
    Scheme, Secret, Vault, VaultError,
    pkcs11::{Pkcs11Token, TokenSelector},
};
use sha2::{Digest as _, Sha256};

const ECDSA: Scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
const PIN: &str = "31415926";
const THIEF_PIN: &str = "27182818";
const NEVER: i64 = i64::MAX / 2;

#[test]
fn who_has_everything_but_pin_and_sad_cannot_sign() {
    in_an_installation(
        "who_has_everything_but_pin_and_sad_cannot_sign",
        async |dir| {
            let thief = Thief::breaks_in(dir).await;
            let victim = thief.sees_enrolled(dir, "alice", PIN).await;
            let own = thief.sees_enrolled(dir, "mallory", THIEF_PIN).await;
            let digest = digest(b"a contract nobody read");
            let content = thief.content(&victim, &digest).await;

            thief.guesses_the_pin(&victim, &content).await;
            thief
                .uses_what_opens_an_own_key(&victim, &own, &content)
                .await;
            thief
                .takes_over_a_live_approval(&victim, &content, &digest)
                .await;
            thief.edits_a_live_approval(&victim, &digest).await;

            // The same hands with the PIN: so it was the PIN that was missing.
            let pin = Pin::parse(PIN).unwrap();
            let live = thief.approved(&victim, &pin, &content).await.unwrap();
            let key = thief.key(&victim).await;
            let signed = thief.vault.sign(&key, &live, ECDSA, &[digest], 0).await;
            assert_eq!(signed.unwrap().len(), 1);
        },
    );
}

/// Everything the service has.
struct Thief {
    store: Store,
    vault: Vault,
    keys: Keys,
    factors: Factors,
}

impl Thief {
    async fn breaks_in(dir: &Path) -> Self {
        let config = Config::load(&dir.join("csc-server.toml")).unwrap();
        let StoreUrl::Sqlite(file) = &config.store.url else {
            panic!("the installation is on SQLite");
        };
        let journal = Box::new(Chain::start());
        let store = Store::open(&Location::Sqlite(file.clone()), 1, journal).await;
        let pool = pool(&config, Role::Holder);
        let slot = config.slots(Role::Holder).next().unwrap();
        let (store, clock) = (store.unwrap(), Clock::System);
        let vault = Vault::new(pool, stretcher(&config), slot.open_keys);
        let policy = factor_policy(&config);
        let factors = Factors::new(store.clone(), clock.clone(), vault.clone(), policy);
        let of_holders = factors.clone();
        let policy = credential::Policy {
            max_pin_failures: config.pin.max_failures,
            sad_lifetime: config.lifetime.sad,
            authorization_lifetime: config.lifetime.authorization,
            algorithms: config.algorithms,
        };
        Self {
            keys: Keys::new(store.clone(), clock, vault.clone(), factors, policy),
            factors: of_holders,
            store,
            vault,
        }
    }

    /// A holder gets a credential under this PIN, as the registration officer's commands make it.
    async fn sees_enrolled(&self, dir: &Path, name: &str, pin: &str) -> CredentialId {
        let config = Config::load(&dir.join("csc-server.toml")).unwrap();
        let (store, clock, vault) = (self.store.clone(), Clock::System, self.vault.clone());
        let accounts = Accounts::new(
            store.clone(),
            clock.clone(),
            vault.clone(),
            stretcher(&config),
        );
        let new = NewHolder {
            user_name: name.into(),
            given_name: name.into(),
            surname: "Rossi".into(),
            email: format!("{name}@example.test"),
            language: "it".into(),
        };
        let id = accounts.add(new, "a password").await.unwrap();
        let holder = accounts.by_id(&id).await.unwrap().unwrap();
        let sql = "SELECT certificate FROM issuer WHERE label = $1";
        let row = store.find(sql, params![ca::LABEL]).await.unwrap();
        let certificate = row.unwrap().get(0).unwrap();
        let issuer = Issuer::new(pool(&config, Role::Issuer));
        let enrolment = Enrolment {
            store,
            clock,
            vault,
            ca: Ca::open(issuer, ca::LABEL, certificate).await.unwrap(),
            profile: (&config.certificate).into(),
            algorithms: config.algorithms,
        };
        let request = Request {
            algorithm: KeyAlgorithm::P256,
            factor: self.factors.enrol_mail(&holder).await.unwrap(),
            description: "Firma".into(),
            multisign: 1,
            country: "IT".into(),
            puk: PukPolicy::Unblock,
            terms: None,
        };
        let pin = NewPin::choose(pin, &[]).unwrap();
        let (credential, _puk) = enrolment.credential(&holder, &pin, request).await.unwrap();
        credential
    }

    async fn credential(&self, id: &CredentialId) -> Credential {
        Credential::by_id(&self.store, id).await.unwrap().unwrap()
    }

    async fn key(&self, id: &CredentialId) -> hsm_adapter::SealedKey {
        self.credential(id).await.key
    }

    /// An approval as the service writes it, of one signature.
    async fn content(&self, id: &CredentialId, digest: &Digest) -> Content {
        let credential = self.credential(id).await;
        Content {
            version: Content::VERSION,
            id: "activation".into(),
            kind: "sad".into(),
            holder: credential.holder.to_string(),
            credential: id.to_string(),
            generation: credential.key.generation,
            certificate: credential.certificate_hash(),
            client: ClientId::direct().to_string(),
            digest: Some(digest.algorithm()),
            hash_type: None,
            hashes: vec![hex::encode(digest.octets())],
            count: 1,
            factors: Vec::new(),
            issued: 0,
            expires: NEVER,
        }
    }

    async fn approved(
        &self,
        id: &CredentialId,
        pin: &Pin,
        content: &Content,
    ) -> Result<Activation, VaultError> {
        let (content, secret) = (octets(content), Secret::random()?);
        let key = self.key(id).await;
        let wrapped = self.vault.authorise(&key, pin, &content, &secret).await?;
        Ok(Activation {
            content,
            wrapped,
            secret,
        })
    }

    async fn guesses_the_pin(&self, victim: &CredentialId, content: &Content) {
        for guess in ["00000000", "12345678", THIEF_PIN] {
            let pin = Pin::parse(guess).unwrap();
            let approved = self.approved(victim, &pin, content).await;
            assert!(
                matches!(approved, Err(VaultError::WrongPin)),
                "{approved:?}"
            );
        }
    }

    /// Makes the victim's row pass for his own PIN.
    async fn uses_what_opens_an_own_key(
        &self,
        victim: &CredentialId,
        own: &CredentialId,
        content: &Content,
    ) {
        let pin = Pin::parse(THIEF_PIN).unwrap();
        let (theirs, mine) = (self.key(victim).await, self.key(own).await);
        let (secret, content) = (Secret::random().unwrap(), octets(content));
        let mut only_the_check = theirs.clone();
        only_the_check.pin_check = mine.pin_check.clone();
        only_the_check.salt = mine.salt.clone();
        let mut all_of_the_pin = only_the_check.clone();
        all_of_the_pin.w_pin = mine.w_pin.clone();
        let mut in_my_name = mine.clone();
        in_my_name.key_blob = theirs.key_blob;
        for forged in [only_the_check, all_of_the_pin, in_my_name] {
            let approved = self.vault.authorise(&forged, &pin, &content, &secret).await;
            assert!(approved.is_err(), "{approved:?}");
        }
        // His own key opens, so the forgeries failed for the right reason.
        let digest = digest(b"his own contract");
        let content = octets(&self.content(own, &digest).await);
        let approved = self.vault.authorise(&mine, &pin, &content, &secret).await;
        approved.unwrap();
    }

    /// A SAD was issued and not used yet; its row says what it opens, and its secret is given a new hash.
    async fn takes_over_a_live_approval(
        &self,
        victim: &CredentialId,
        content: &Content,
        digest: &Digest,
    ) {
        self.holder_approves(victim, content).await;
        let secret = Secret::random().unwrap();
        let stolen = format!("{}.{}", content.id, secret.expose());
        assert!(matches!(
            self.redeems(victim, &stolen, digest).await,
            Err(Error::InvalidSad)
        ));
        let hash: [u8; 32] = Sha256::digest(secret.bits()).into();
        let written = self.store.write(async move |tx| {
            tx.execute("UPDATE activation SET secret_hash = $1", params![hash])
                .await
        });
        assert_eq!(written.await.unwrap(), 1);
        assert!(matches!(
            self.redeems(victim, &stolen, digest).await,
            Err(Error::Damaged)
        ));
    }

    /// A client comes with its SAD, for what the thief has put in the place of what was approved.
    async fn edits_a_live_approval(&self, victim: &CredentialId, smuggled: &Digest) {
        let approved = digest(b"a contract somebody read");
        let content = self.content(victim, &approved).await;
        let sad = self.holder_approves(victim, &content).await;
        let edited = octets(&self.content(victim, smuggled).await);
        let written = self.store.write(async move |tx| {
            tx.execute(
                "UPDATE activation SET content = $1",
                params![edited.clone()],
            )
            .await
        });
        assert_eq!(written.await.unwrap(), 1);
        assert!(matches!(
            self.redeems(victim, &sad, smuggled).await,
            Err(Error::Damaged)
        ));
    }

    /// What the service does with both factors of the holder; gives the SAD.
    async fn holder_approves(&self, id: &CredentialId, content: &Content) -> String {
        let pin = Pin::parse(PIN).unwrap();
        let live = self.approved(id, &pin, content).await.unwrap();
        let hash: [u8; 32] = Sha256::digest(live.secret.bits()).into();
        let (row, id, wrapped) = (content.id.clone(), id.clone(), live.wrapped.clone());
        let octets = live.content.clone();
        let written = self.store.write(async move |tx| {
            tx.execute("DELETE FROM activation", params![]).await?;
            tx.execute(
                "INSERT INTO activation (id, version, kind, credential, client, grant_id, secret_hash, content, wrapped, state, remaining,
                     expires, ends, created)
                 VALUES ($1, 1, 'sad', $2, $3, 'grant', $4, $5, $6, 'active', 1, $7, $7, 0)",
                params![row.as_str(), &id, &ClientId::direct(), hash, octets.clone(), wrapped.clone(), NEVER],
            )
            .await
        });
        assert_eq!(written.await.unwrap(), 1);
        format!("{}.{}", content.id, live.secret.expose())
    }

    /// The path of every signature of the service.
    async fn redeems(
        &self,
        id: &CredentialId,
        sad: &str,
        digest: &Digest,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let credential = self.credential(id).await;
        let access = ServiceAccess::new(ClientId::direct(), Some(credential.holder.clone()));
        let order = SignOrder {
            scheme: ECDSA,
            digests: vec![digest.clone()],
        };
        let permit = self
            .keys
            .redeem(&access, &credential, sad, order, "request");
        let signer = Signer::new(self.store.clone(), Clock::System, self.vault.clone());
        signer.sign(permit.await?).await
    }
}

fn octets(content: &Content) -> Vec<u8> {
    serde_json::to_vec(content).unwrap()
}

fn digest(message: &[u8]) -> Digest {
    Digest::new(DigestAlgorithm::Sha256, Sha256::digest(message).to_vec()).unwrap()
}

/// Sessions of the slot of this role.
fn pool(config: &Config, role: Role) -> Pool {
    let slot = config.slots(role).next().unwrap();
    let token = Pkcs11Token::new(
        slot.name(),
        &slot.module,
        TokenSelector::Label(slot.token.clone().unwrap()),
        secret::read(&slot.pin_file).unwrap(),
        slot.profile.parse().unwrap(),
    );
    let limits = PoolLimits {
        sessions: 1,
        queue: 4,
        deadline: slot.deadline,
    };
    Pool::start(Arc::new(token), limits).unwrap()
}

fn run(command: &mut Command, stdin: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{stdin}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Where the test that runs in this process has its installation.
const INSTALLATION: &str = "CSC_TEST_INSTALLATION";

/// Runs a test in a process of its own, because SoftHSM finds its tokens by the environment, on a new installation.
fn in_an_installation(name: &str, test: impl AsyncFnOnce(&Path)) {
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

fn install(dir: &Path) {
    let conf = dir.join("softhsm2.conf");
    fs::create_dir(dir.join("tokens")).unwrap();
    put(
        dir,
        "softhsm2.conf",
        &format!("directories.tokendir = {}/tokens\n", dir.display()),
    );
    put(dir, "hsm.pin", "hsm-user-pin\n");
    let tls = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    put(dir, "server.pem", &tls.cert.pem());
    put(dir, "server.key", &tls.signing_key.serialize_pem());
    let mut configuration = CONFIGURATION.to_owned();
    for (role, label) in [("holder", "holders"), ("issuer", "issuers")] {
        let mut token = Command::new("softhsm2-util");
        token.args(["--init-token", "--free", "--label", label]);
        token.args(["--so-pin", "hsm-so-pin", "--pin", "hsm-user-pin"]);
        run(token.env("SOFTHSM2_CONF", &conf), "");
        configuration += &format!(
            "[[slot]]\nrole = \"{role}\"\ntoken = \"{label}\"\npin_file = \"hsm.pin\"\n\
             module = \"/usr/lib/softhsm/libsofthsm2.so\"\n"
        );
    }
    put(dir, "csc-server.toml", &configuration);
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
