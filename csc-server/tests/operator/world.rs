//! Two nodes with operators, on one database and one token.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use csc_server::{
    clock::Clock,
    ids::ApprovalId,
    operator::{
        Capability, Error, NewOperator, Operator, Operators, Permission, Role, Roles, Token,
    },
    otp::Otp,
    params,
    store::{Store, Tx},
};
use hsm_adapter::{Cost, Pool, PoolLimits, Stretcher, Vault, memory::MemoryToken};
use totp_rs::Totp;

use crate::support::Database;

pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;
pub(crate) const STEP: i64 = 30_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const POLICY: &str = r#"{"pin":{"max_failures":5}}"#;
pub(crate) const COMMAND: &str = r#"{"command":"operator add","arguments":{}}"#;

/// Two nodes on one database and one token, and the clock of both.
pub(crate) struct World {
    pub(crate) nodes: [Operators; 2],
    pub(crate) store: Store,
    pub(crate) time: Arc<AtomicI64>,
}

impl World {
    pub(crate) async fn new(database: &Database) -> Self {
        let time = Arc::new(AtomicI64::new(1_800_000_000_000));
        Self::beside(database, &MemoryToken::new("holder"), time).await
    }

    /// On a token that may serve others too, by their clock.
    pub(crate) async fn beside(
        database: &Database,
        token: &MemoryToken,
        time: Arc<AtomicI64>,
    ) -> Self {
        let limits = PoolLimits {
            sessions: 2,
            queue: 256,
            deadline: Duration::from_secs(30),
        };
        let cost = Cost {
            memory: 64,
            passes: 1,
            lanes: 1,
        };
        let stretcher = Stretcher::new(cost, 2, 256);
        let pool = Pool::start(Arc::new(token.clone()), limits).unwrap();
        let vault = Vault::new(pool, stretcher.clone(), 1);
        vault.init().await.unwrap();
        let operators = |store| {
            let clock = Clock::Manual(time.clone());
            Operators::new(store, clock, vault.clone(), stretcher.clone())
        };
        let store = database.node().await;
        Self {
            nodes: [operators(store.clone()), operators(database.node().await)],
            store,
            time,
        }
    }

    /// A world with so many security officers, at least two.
    pub(crate) async fn with_officers(database: &Database, count: usize) -> (Self, Vec<Operator>) {
        let world = Self::new(database).await;
        world.found().await.unwrap();
        let mut officers = vec![world.enter(1).await, world.enter(2).await];
        for number in 3..=count {
            world
                .made(&officers, number, Role::SecurityOfficer)
                .await
                .unwrap();
            officers.push(world.enter(number).await);
        }
        (world, officers)
    }

    pub(crate) async fn found(&self) -> Result<(), Error> {
        let (names, passwords) = ([name(1), name(2)], [first(1), first(2)]);
        let founders = [
            (names[0].as_str(), passwords[0].as_str()),
            (names[1].as_str(), passwords[1].as_str()),
        ];
        self.nodes[0].found(founders, POLICY).await.map(drop)
    }

    pub(crate) async fn add(
        &self,
        permission: Permission,
        number: usize,
        role: Role,
    ) -> Result<(), Error> {
        let new = NewOperator {
            name: &name(number),
            roles: Roles::new([role]).unwrap(),
            password: &first(number),
        };
        self.nodes[0].add(permission, &new).await.map(drop)
    }

    /// Makes an operator, approved by the second officer.
    pub(crate) async fn made(
        &self,
        officers: &[Operator],
        number: usize,
        role: Role,
    ) -> Result<(), Error> {
        let permission = self
            .permitted(&officers[0], &officers[1], Capability::CreateOperator)
            .await;
        self.add(permission, number, role).await
    }

    /// Enrols and logs in.
    pub(crate) async fn enter(&self, number: usize) -> Operator {
        let app = self.enrol(number).await.unwrap();
        self.log_in(number, &app).await.unwrap().0
    }

    pub(crate) async fn enrol(&self, number: usize) -> Result<Totp, Error> {
        let uri = self.nodes[0]
            .enrol(&name(number), &first(number), &password(number))
            .await?;
        Ok(Totp::from_url_unchecked(&*uri).unwrap())
    }

    /// Logs in with the code of a step that was not used yet.
    pub(crate) async fn log_in(
        &self,
        number: usize,
        app: &Totp,
    ) -> Result<(Operator, Token), Error> {
        self.pass(STEP);
        self.nodes[0]
            .log_in(&name(number), &password(number), &self.code(app))
            .await
    }

    pub(crate) fn code(&self, app: &Totp) -> Otp {
        let now = self.time.load(Ordering::SeqCst).unsigned_abs() / 1000;
        Otp::parse(&app.generate(now).to_string()).unwrap()
    }

    /// This officer approves.
    pub(crate) async fn approve(
        &self,
        node: &Operators,
        approver: &Operator,
        id: &ApprovalId,
    ) -> Result<(), Error> {
        let number = approver.name.rsplit('-').next().unwrap().parse().unwrap();
        node.approve(approver, &password(number), id).await
    }

    pub(crate) async fn create(
        &self,
        operator: &Operator,
        approval: Option<&ApprovalId>,
    ) -> Result<Permission, Error> {
        self.nodes[0]
            .permit(operator, Capability::CreateOperator, COMMAND, approval)
            .await
    }

    /// What this officer may do once that one has approved.
    pub(crate) async fn permitted(
        &self,
        requester: &Operator,
        approver: &Operator,
        capability: Capability,
    ) -> Permission {
        let node = &self.nodes[0];
        let id = self.requested(requester, capability).await;
        self.approve(node, approver, &id).await.unwrap();
        node.permit(requester, capability, COMMAND, Some(&id))
            .await
            .unwrap()
    }

    pub(crate) async fn requested(
        &self,
        requester: &Operator,
        capability: Capability,
    ) -> ApprovalId {
        let waiting = self.nodes[0]
            .permit(requester, capability, COMMAND, None)
            .await;
        match waiting {
            Err(Error::Waiting(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn sql(&self, sql: &'static str) {
        let changed = self
            .store
            .write(async move |tx: &mut Tx| tx.execute(sql, &[]).await)
            .await;
        assert!(changed.unwrap() > 0, "{sql}");
    }

    /// How many rows of the audit log have this in their event.
    pub(crate) async fn recorded(&self, what: &str) -> i64 {
        let sql = "SELECT COUNT(*) FROM audit WHERE event LIKE $1";
        let pattern = format!("%{what}%");
        let row = self.store.find(sql, params![pattern.as_str()]).await;
        row.unwrap().unwrap().get(0).unwrap()
    }

    pub(crate) fn pass(&self, time: i64) {
        self.time.fetch_add(time, Ordering::SeqCst);
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("officer-{number}")
}

pub(crate) fn password(number: usize) -> String {
    format!("password of {number}")
}

pub(crate) fn first(number: usize) -> String {
    format!("first password of {number}")
}
