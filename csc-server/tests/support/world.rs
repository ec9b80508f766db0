//! A holder with a key in memory, on as many nodes as a test asks for, under a clock that the test moves.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use csc_server::{
    audit,
    authorization::{self, Authorizations},
    ca::{self, Ca},
    clock::Clock,
    config,
    credential::{self, Approval, Credential, Hash, Keys, Mode, Order, Permit, SignOrder, Status},
    enrolment::{self, Enrolment, NewPin, Request},
    factor::{self, Factor, Factors, Otp, Policy, Purpose},
    holder::{Accounts, Holder, NewHolder, Sessions},
    ids::{ClientId, CredentialId, FactorId, random_id},
    inspection::{Report, examine},
    notify::{Sender, callback::Callbacks},
    oauth::{
        ServiceAccess,
        client::{Client, Clients},
        token::Tokens,
    },
    operation::Operations,
    params,
    question::{self, Questions},
    rotation::Rotation,
    signing::Signer,
    store::{Store, Value},
    worker::{Teller, Worker},
};
use hsm_adapter::{
    Cost, Digest, DigestAlgorithm, Issuer, KeyAlgorithm, Pin, Pool, PoolLimits, Puk, Scheme,
    Stretcher, Vault, memory::MemoryToken,
};

use crate::support::Database;

/// The holder's PIN.
pub(crate) const PIN: &str = "72946183";
/// The digest that is approved.
const APPROVED: [u8; 32] = [7; 32];
/// 2027-01-15 08:00:00 UTC.
const START: i64 = 1_800_000_000_000;

/// One process of the service.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) factors: Factors,
    pub(crate) keys: Keys,
    signer: Signer,
    worker: Worker,
}

/// The nodes, and the holder they serve.
pub(crate) struct World {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) holder: Holder,
    /// The HSM of the master keys.
    pub(crate) token: MemoryToken,
    pub(crate) client: Arc<Client>,
    pub(crate) enrolment: Enrolment,
    pub(crate) issuer: Issuer,
    time: Arc<AtomicI64>,
    outbox: tempfile::TempDir,
    _database: Database,
}

/// What the tests go by where they do not say otherwise.
pub(crate) fn policy() -> Policy {
    Policy {
        max_failures: 10,
        lock: Duration::from_secs(60),
        longest_lock: Duration::from_secs(24 * 3600),
        lifetime: Duration::from_secs(300),
        resend_after: Duration::ZERO,
        max_per_hour: 1000,
        drift: 1,
    }
}

fn pool(token: &MemoryToken) -> Pool {
    let limits = PoolLimits {
        sessions: 2,
        queue: 1000,
        deadline: Duration::from_secs(60),
    };
    Pool::start(Arc::new(token.clone()), limits).unwrap()
}

impl World {
    /// Two nodes on one database, with their tokens and a holder.
    pub(crate) async fn new(database: &Database, policy: Policy) -> Self {
        let time = Arc::new(AtomicI64::new(START));
        let clock = Clock::Manual(time.clone());
        let (masters, issuers) = (MemoryToken::new("holder"), MemoryToken::new("issuer"));
        let outbox = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        let mut first = None;
        for _ in 0..2 {
            let store = database.node().await;
            let cheap = Cost {
                memory: 8,
                passes: 1,
                lanes: 1,
            };
            let stretcher = Stretcher::new(cheap, 2, 1000);
            let vault = Vault::new(pool(&masters), stretcher.clone(), 10);
            vault.init().await.unwrap();
            let request = Duration::from_secs(30);
            let rotation = Rotation::new(store.clone(), clock.clone(), vault.clone(), request);
            rotation.register().await.unwrap();
            let accounts = Accounts::new(store.clone(), clock.clone(), vault.clone(), stretcher);
            let factors = Factors::new(store.clone(), clock.clone(), vault.clone(), policy);
            let bounds = credential::Policy {
                max_pin_failures: 3,
                sad_lifetime: Duration::from_secs(300),
                authorization_lifetime: Duration::from_secs(1800),
                code_lifetime: Duration::from_secs(60),
                algorithms: config::Algorithms::default(),
            };
            let keys = Keys::new(
                store.clone(),
                clock.clone(),
                vault.clone(),
                factors.clone(),
                bounds,
            );
            let mail = config::Mail {
                from: "Signing <sign@sign.example>".parse().unwrap(),
                transport: config::Transport::Outbox(outbox.path().to_owned()),
            };
            let sms = config::Sms::Outbox(outbox.path().to_owned());
            let worker = Worker {
                store: store.clone(),
                clock: clock.clone(),
                vault: vault.clone(),
                accounts: accounts.clone(),
                sender: Sender::from_config(&mail, Some(&sms), clock.clone()).unwrap(),
                teller: Teller {
                    operations: Operations::new(store.clone(), clock.clone(), vault.clone()),
                    clients: Clients::new(store.clone(), clock.clone(), vault.clone()),
                    callbacks: Callbacks::from_config(&config::Callback::default()).unwrap(),
                },
            };
            first.get_or_insert((vault.clone(), accounts));
            nodes.push(Arc::new(Node {
                signer: Signer::new(store.clone(), clock.clone(), vault),
                store,
                factors,
                keys,
                worker,
            }));
        }
        let (vault, accounts) = first.unwrap();
        let store = nodes[0].store.clone();
        let issuer = Issuer::new(pool(&issuers));
        issuer
            .ensure(audit::LABEL, KeyAlgorithm::P256)
            .await
            .unwrap();
        let clients = Clients::new(store.clone(), clock.clone(), vault.clone());
        clients.ensure_direct("Portale").await.unwrap();
        let client = clients.find(&ClientId::direct()).await.unwrap().unwrap();
        let new = NewHolder {
            user_name: "anna".into(),
            given_name: "Anna".into(),
            surname: "Bianchi".into(),
            email: "anna@example.org".into(),
            language: "en".into(),
        };
        let id = accounts.add(new, "password of Anna").await.unwrap();
        Self {
            holder: accounts.by_id(&id).await.unwrap().unwrap(),
            issuer: issuer.clone(),
            enrolment: Enrolment {
                store,
                clock,
                vault,
                ca: certification(issuer).await,
                profile: (&config::Certificate::default()).into(),
                algorithms: config::Algorithms::default(),
            },
            nodes,
            token: masters,
            client,
            time,
            outbox,
            _database: database.clone(),
        }
    }

    /// Sessions that last a day, and a quarter of an hour without use.
    pub(crate) fn sessions(&self) -> Sessions {
        let Enrolment {
            store,
            clock,
            vault,
            ..
        } = &self.enrolment;
        let (idle, day) = (Duration::from_secs(900), Duration::from_secs(24 * 3600));
        Sessions::new(store.clone(), clock.clone(), vault.clone(), idle, day)
    }

    /// The first node.
    pub(crate) fn node(&self) -> &Node {
        &self.nodes[0]
    }

    /// A credential that goes with this factor.
    pub(crate) async fn credential(&self, factor: &FactorId) -> Credential {
        self.enrol(factor).await.unwrap()
    }

    /// Tries to make one.
    pub(crate) async fn enrol(&self, factor: &FactorId) -> Result<Credential, enrolment::Error> {
        let policy = config::PukPolicy::Unblock;
        Ok(self.enrol_for(&self.holder, factor, policy).await?.0)
    }

    /// The same for this holder, with a PUK.
    pub(crate) async fn enrol_for(
        &self,
        holder: &Holder,
        factor: &FactorId,
        policy: config::PukPolicy,
    ) -> Result<(Credential, Puk), enrolment::Error> {
        self.enrol_as(Mode::Explicit, holder, factor, policy).await
    }

    /// The same, authorised in this way.
    pub(crate) async fn enrol_as(
        &self,
        mode: Mode,
        holder: &Holder,
        factor: &FactorId,
        policy: config::PukPolicy,
    ) -> Result<(Credential, Puk), enrolment::Error> {
        let request = Request {
            id: CredentialId::random(),
            status: Status::Active,
            algorithm: KeyAlgorithm::P256,
            factor: factor.clone(),
            mode,
            description: "Firma di Anna".into(),
            multisign: 2,
            country: "IT".into(),
            puk: policy,
            terms: None,
        };
        let pin = NewPin::choose(PIN, &[]).unwrap();
        let made = self.enrolment.credential(holder, &pin, request);
        let (id, puk) = made.await?;
        let found = Credential::by_id(&self.node().store, &id).await?;
        Ok((found.unwrap(), puk.unwrap()))
    }

    /// What asks holders, on this node: five questions an hour.
    pub(crate) fn questions(&self, node: &Node) -> Questions {
        let (store, clock, vault) = (
            node.store.clone(),
            self.clock(),
            self.enrolment.vault.clone(),
        );
        let cheap = Cost {
            memory: 8,
            passes: 1,
            lanes: 1,
        };
        let stretcher = Stretcher::new(cheap, 1, 10);
        Questions {
            keys: node.keys.clone(),
            factors: node.factors.clone(),
            accounts: Accounts::new(store.clone(), clock.clone(), vault.clone(), stretcher),
            clients: Clients::new(store.clone(), clock.clone(), vault.clone()),
            policy: question::Policy {
                lifetime: Duration::from_secs(300),
                max_per_hour: 5,
            },
            channel: Arc::new(question::Mail {
                public_url: "https://sign.example".into(),
            }),
            store,
            clock,
            vault,
        }
    }

    /// The factor as it stands in the database now.
    pub(crate) async fn factor(&self, id: &FactorId) -> Factor {
        self.node().factors.find(id).await.unwrap().unwrap()
    }

    /// The factor and a credential of a new mailbox.
    pub(crate) async fn mailbox(&self) -> (FactorId, Credential) {
        let id = self.node().factors.enrol_mail(&self.holder).await.unwrap();
        let credential = self.credential(&id).await;
        (id, credential)
    }

    /// The registrations.
    pub(crate) fn clients(&self) -> Clients {
        let Enrolment { store, vault, .. } = &self.enrolment;
        Clients::new(store.clone(), self.clock(), vault.clone())
    }

    /// The service tokens.
    pub(crate) fn tokens(&self) -> Tokens {
        let Enrolment { store, vault, .. } = &self.enrolment;
        let hour = Duration::from_secs(3600);
        Tokens::new(store.clone(), self.clock(), vault.clone(), hour, hour)
    }

    /// The code flow on the first node.
    pub(crate) fn authorizations(&self) -> Authorizations {
        let node = self.node();
        let parts = authorization::Parts {
            store: node.store.clone(),
            clock: self.clock(),
            vault: self.enrolment.vault.clone(),
            clients: self.clients(),
            accounts: node.worker.accounts.clone(),
            factors: node.factors.clone(),
            keys: node.keys.clone(),
            tokens: self.tokens(),
        };
        let minute = Duration::from_secs(60);
        let policy = authorization::Policy {
            request_lifetime: 10 * minute,
            push_lifetime: minute,
            code_lifetime: minute,
            documents: 10,
        };
        Authorizations::new(parts, policy, "https://sign.example".into())
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.time
            .fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub(crate) fn back(&self, time: Duration) {
        self.time
            .fetch_sub(time.as_millis() as i64, Ordering::SeqCst);
    }

    /// The clock.
    pub(crate) fn clock(&self) -> Clock {
        Clock::Manual(self.time.clone())
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        self.time.load(Ordering::SeqCst) as u64 / 1000
    }

    /// Has a code sent.
    pub(crate) async fn send(
        &self,
        node: &Node,
        credential: &Credential,
    ) -> Result<(), factor::Error> {
        self.send_for(node, credential, Purpose::Sign).await
    }

    /// Has a code sent for this.
    async fn send_for(
        &self,
        node: &Node,
        credential: &Credential,
        purpose: Purpose,
    ) -> Result<(), factor::Error> {
        let factor = node.factors.find(&credential.factor).await?.unwrap();
        let (holder, client) = (&self.holder, &self.client);
        let sent = node
            .factors
            .send(&factor, credential, holder, client, purpose);
        sent.await
    }

    /// Has a code sent and reads it.
    pub(crate) async fn code(&self, credential: &Credential) -> String {
        self.code_for(credential, Purpose::Sign).await
    }

    /// Has a code sent for this and reads it.
    pub(crate) async fn code_for(&self, credential: &Credential, purpose: Purpose) -> String {
        let sent = self.send_for(self.node(), credential, purpose);
        sent.await.unwrap();
        self.sent_code().await
    }

    /// Reads the code that was sent last.
    pub(crate) async fn sent_code(&self) -> String {
        let messages = self.messages().await;
        let message = messages.last().unwrap();
        // Neither the numbers of the header nor a telephone number has a space before and after it.
        let mut words = message.split_ascii_whitespace();
        let code = words.find(|word| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit()));
        code.unwrap().to_owned()
    }

    /// Does what waits to be done, and takes the new messages out of the outbox.
    pub(crate) async fn messages(&self) -> Vec<String> {
        self.node().worker.drain().await.unwrap();
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.outbox.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let taken = files.iter().map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            std::fs::remove_file(file).unwrap();
            text
        });
        taken.collect()
    }

    /// Approves one signature with this code and the right PIN.
    pub(crate) async fn approve(
        &self,
        credential: &Credential,
        code: &str,
    ) -> Result<(), credential::Error> {
        self.approve_on(self.node(), credential, PIN, code).await
    }

    /// Approves one signature.
    pub(crate) async fn approve_on(
        &self,
        node: &Node,
        credential: &Credential,
        pin: &str,
        code: &str,
    ) -> Result<(), credential::Error> {
        self.sad(node, credential, pin, code).await.map(drop)
    }

    /// The same; gives the SAD.
    pub(crate) async fn sad(
        &self,
        node: &Node,
        credential: &Credential,
        pin: &str,
        code: &str,
    ) -> Result<String, credential::Error> {
        self.sad_for(node, credential, pin, code, &[APPROVED]).await
    }

    /// The client, for the holder of this credential.
    pub(crate) fn access(&self, credential: &Credential) -> ServiceAccess {
        ServiceAccess::new(self.client.id.clone(), Some(credential.holder.clone()))
    }

    /// Approves signatures over these digests.
    pub(crate) async fn sad_for(
        &self,
        node: &Node,
        credential: &Credential,
        pin: &str,
        code: &str,
        digests: &[[u8; 32]],
    ) -> Result<String, credential::Error> {
        let access = self.access(credential);
        let hashes = digests.iter().map(|digest| Hash::new(digest.to_vec()));
        let hashes: Vec<_> = hashes.map(Option::unwrap).collect();
        let order = Order::new(credential, hashes.len() as u32, hashes, None)?;
        let approval = Approval {
            pin: Pin::parse(pin).unwrap(),
            otp: Otp::parse(code).unwrap(),
        };
        let issued = node.keys.authorise(&access, credential, &order, approval);
        issued.await.map(|issued| issued.sad)
    }

    /// Signs what was approved: the path of every signature of the service.
    pub(crate) async fn sign(
        &self,
        credential: &Credential,
        sad: &str,
    ) -> Result<Vec<Vec<u8>>, credential::Error> {
        let permit = self.redeem(credential, sad, &[APPROVED]).await?;
        self.spend(permit).await
    }

    /// The first half of a signature of these digests.
    pub(crate) async fn redeem(
        &self,
        credential: &Credential,
        sad: &str,
        digests: &[[u8; 32]],
    ) -> Result<Permit, credential::Error> {
        let digest = |digest: &[u8; 32]| Digest::new(DigestAlgorithm::Sha256, digest.to_vec());
        let order = SignOrder {
            scheme: Scheme::Ecdsa(DigestAlgorithm::Sha256),
            digests: digests.iter().map(digest).map(Option::unwrap).collect(),
        };
        let (keys, access) = (&self.node().keys, self.access(credential));
        keys.redeem(&access, credential, sad, order, &random_id())
            .await
    }

    /// The second half.
    pub(crate) async fn spend(&self, permit: Permit) -> Result<Vec<Vec<u8>>, credential::Error> {
        self.node().signer.sign(permit).await
    }

    /// A number that the database has.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let row = self.node().store.find(sql, &[]).await.unwrap();
        row.unwrap().get(0).unwrap()
    }

    /// Changes a row behind the service's back.
    pub(crate) async fn tamper(&self, sql: &'static str, with: &[Value]) {
        let with = with.to_vec();
        let store = &self.node().store;
        let changed = store.write(async move |tx| tx.execute(sql, &with).await);
        assert_eq!(changed.await.unwrap(), 1, "{sql}");
    }

    /// The events of this name in the audit log.
    pub(crate) async fn told(&self, name: &str) -> Vec<serde_json::Value> {
        let rows = self
            .node()
            .store
            .query("SELECT event FROM audit ORDER BY sequence", &[]);
        let events = rows.await.unwrap().into_iter().map(|mut row| {
            let event: String = row.get(0).unwrap();
            serde_json::from_str::<serde_json::Value>(&event).unwrap()
        });
        events.filter(|event| event["event"] == name).collect()
    }

    /// How many events of this name the audit log has.
    pub(crate) async fn events(&self, name: &str) -> usize {
        self.told(name).await.len()
    }

    /// What an inspection of log and tables finds.
    pub(crate) async fn inspected(&self) -> Report {
        let key = audit::Keys::of(&self.issuer).await.unwrap();
        let (store, now) = (&self.node().store, self.clock().now());
        let report = examine(store, now, key, None, || true).await;
        report.unwrap().unwrap()
    }

    /// Every row of the tables is what the log says.
    pub(crate) async fn agrees(&self) {
        let report = self.inspected().await;
        assert!(report.is_clean(), "{report:#?}");
    }

    /// Wrong codes of a factor in a row.
    pub(crate) async fn failures(&self, factor: &FactorId) -> i64 {
        const SQL: &str = "SELECT failures FROM factor WHERE id = $1";
        let row = self.node().store.find(SQL, params![factor]).await;
        row.unwrap().unwrap().get(0).unwrap()
    }
}

async fn certification(issuer: Issuer) -> Ca {
    issuer.ensure(ca::LABEL, KeyAlgorithm::P256).await.unwrap();
    let name = ca::CaName {
        common_name: "Signing CA".into(),
        organization: "Example".into(),
        country: "IT".into(),
    };
    let serial = ca::random_serial();
    let root = ca::create_root(issuer.clone(), ca::LABEL, &name, 3650, &serial, START);
    Ca::open(issuer, ca::LABEL, root.await.unwrap())
        .await
        .unwrap()
}
