//! Operators: what they live through, and what is refused to who writes their tables.

use csc_server::{
    clock::Clock,
    ids::ApprovalId,
    operator::{Capability, Error, Operator, Role, Token},
    otp::Otp,
};
use rusqlite::types::Value;
use totp_rs::Totp;

use crate::{
    classes::{CLASSES, Use, uses},
    hands::{Hands, Row, writings},
    operators::{self, COMMAND, POLICY, name},
    support::Database,
    world::{World, policy},
};

const OTHER_POLICY: &str = r#"{"pin":{"max_failures":4}}"#;
const WANTED: Capability = Capability::InitSlots;

/// Two security officers and a registration officer.
pub(crate) struct Staff {
    world: operators::World,
    officers: [Operator; 2],
    apps: [Totp; 2],
}

impl Staff {
    /// On the database, the token and the clock of a service.
    pub(crate) async fn hired(database: &Database, service: &World) -> Self {
        let Clock::Manual(time) = service.clock() else {
            panic!("a test moves its clock");
        };
        let world = operators::World::beside(database, &service.token, time).await;
        world.found().await.unwrap();
        let apps = [world.enrol(1).await.unwrap(), world.enrol(2).await.unwrap()];
        let (one, _) = world.log_in(1, &apps[0]).await.unwrap();
        let (other, _) = world.log_in(2, &apps[1]).await.unwrap();
        let officers = [one, other];
        world.made(&officers, 3, Role::RaOfficer).await.unwrap();
        world.enrol(3).await.unwrap();
        Self {
            world,
            officers,
            apps,
        }
    }

    /// One mistypes his password, another logs in.
    pub(crate) async fn logs_in(&self) {
        let node = &self.world.nodes[0];
        let code = Otp::parse("000000").unwrap();
        let wrong = node.log_in(&name(3), "a wrong password", &code).await;
        assert!(matches!(wrong, Err(Error::NotLoggedIn)), "{wrong:?}");
        self.session(1).await;
    }

    async fn session(&self, number: usize) -> Token {
        let app = &self.apps[number - 1];
        let (_, token) = self.world.log_in(number, app).await.unwrap();
        token
    }

    /// Requests of the first officer that wait.
    pub(crate) async fn requests(&self) -> [ApprovalId; 3] {
        [
            self.waiting().await,
            self.waiting().await,
            self.waiting().await,
        ]
    }

    async fn waiting(&self) -> ApprovalId {
        self.world.requested(&self.officers[0], WANTED).await
    }

    async fn approves(&self, request: &ApprovalId) -> Result<(), Error> {
        let [node, _] = &self.world.nodes;
        self.world.approve(node, &self.officers[1], request).await
    }

    async fn acts(&self, request: &ApprovalId) -> Result<(), Error> {
        let node = &self.world.nodes[1];
        let permitted = node.permit(&self.officers[0], WANTED, COMMAND, Some(request));
        permitted.await.map(drop)
    }

    /// One is refused, the others are approved.
    pub(crate) async fn decides(&self, request: ApprovalId) {
        let decided = "SELECT COUNT(*) FROM approval WHERE state = 'refused'";
        let row = self.world.store.find(decided, &[]).await.unwrap();
        match row.unwrap().get::<i64>(0).unwrap() {
            0 => {
                self.world.nodes[0]
                    .refuse(&self.officers[1], &request)
                    .await
            }
            _ => self.approves(&request).await,
        }
        .unwrap();
    }

    /// As two approve it.
    pub(crate) async fn changes_policy(&self) {
        let [one, other] = &self.officers;
        let permission = self.world.permitted(one, other, Capability::ChangePolicy);
        let node = &self.world.nodes[0];
        node.set_policy(permission.await, OTHER_POLICY)
            .await
            .unwrap();
    }

    /// A role is granted and removed, an account reset.
    pub(crate) async fn changes_roles(&self, mut between: impl FnMut()) {
        let [one, other] = &self.officers;
        let (node, name) = (&self.world.nodes[0], name(3));
        let permitted = |capability| self.world.permitted(one, other, capability);
        let grant = permitted(Capability::GrantRole).await;
        node.grant(grant, &name, Role::SystemOperator)
            .await
            .unwrap();
        between();
        let remove = permitted(Capability::RemoveRole).await;
        node.remove(remove, &name, Role::SystemOperator)
            .await
            .unwrap();
        between();
        let reset = permitted(Capability::ResetOperator).await;
        let first = "another first password";
        node.reset(reset, &name, first).await.unwrap();
    }
}

/// Who is attacked, with what he has in hand.
struct Scene<'a> {
    staff: &'a Staff,
    hands: &'a Hands,
    token: Token,
    request: ApprovalId,
}

impl<'a> Scene<'a> {
    async fn of(staff: &'a Staff, hands: &'a Hands) -> Self {
        let mut scene = Self {
            staff,
            hands,
            token: staff.session(1).await,
            request: staff.waiting().await,
        };
        scene.prepare(Use::Act).await;
        scene
    }

    /// What this use takes.
    async fn prepare(&mut self, what: Use) {
        match what {
            Use::Resume => self.token = self.staff.session(1).await,
            Use::Act => {
                self.request = self.staff.waiting().await;
                self.staff.approves(&self.request).await.unwrap();
            }
            Use::Decide => self.request = self.staff.waiting().await,
            _ => {}
        }
    }

    async fn does(&self, what: Use) -> Result<(), Error> {
        let world = &self.staff.world;
        match what {
            Use::LogIn => world.log_in(1, &self.staff.apps[0]).await.map(drop),
            Use::Resume => world.nodes[1].resume(&self.token).await.map(drop),
            Use::Act => self.staff.acts(&self.request).await,
            Use::Decide => self.staff.approves(&self.request).await,
            _ => world.nodes[1].check_policy(POLICY).await,
        }
    }

    /// The row that is attacked, and those of others.
    fn row(&self, table: &str) -> (Row, Vec<Row>) {
        let mut rows = self.hands.rows(table);
        let found = rows.iter().position(|row| match table {
            "operator" => *row.get("name") == Value::Text(name(1)),
            "approval" => *row.get("id") == Value::Text(self.request.to_string()),
            "operator_session" => row.number == rows.iter().map(|row| row.number).max().unwrap(),
            _ => true,
        });
        let row = rows.remove(found.unwrap());
        (row, rows)
    }

    /// Whatever is written into the column, the use is refused and alarmed; with the column as it was, it is not.
    async fn is_refused(&mut self, table: &str, column: &str, what: Use) {
        self.prepare(what).await;
        let (row, others) = self.row(table);
        let mut tried = 0;
        for value in writings(&row, &others, &[], column) {
            self.prepare(what).await;
            let (row, _) = self.row(table);
            let alarms = self.hands.alarms();
            if *row.get(column) == value || !self.hands.write(&row, column, &value) {
                continue;
            }
            let ended = self.does(what).await;
            let alarmed = self.hands.alarms() - alarms;
            let of =
                format!("{what:?} with {table} {column} = {value:?}: {ended:?}, {alarmed} alarms");
            match ended {
                Err(Error::Damaged | Error::DamagedRequest | Error::DamagedPolicy) => {
                    assert!(alarmed > 0, "{of}");
                }
                // Nobody of this name, no such session or request: it is not found, or cannot be read.
                Err(
                    Error::NotLoggedIn
                    | Error::Unknown(_)
                    | Error::NoSession
                    | Error::NoRequest(_)
                    | Error::Store(_),
                ) => {}
                Err(_) | Ok(()) => panic!("{of}"),
            }
            assert!(self.hands.write(&row, column, row.get(column)));
            tried += 1;
            // Also, wrong tries in a row would be answered late.
            self.staff.session(1).await;
        }
        assert!(tried > 0, "nothing was done to {table} {column}");
        self.prepare(what).await;
        self.does(what).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sql_writes_into_the_tables_of_operators_is_refused_and_alarmed() {
    let database = Database::sqlite();
    let service = World::new(&database, policy()).await;
    let staff = Staff::hired(&database, &service).await;
    let hands = Hands::on(&database);
    let mut scene = Scene::of(&staff, &hands).await;
    for (table, column, class) in CLASSES {
        let of_operators = ["operator", "operator_session", "approval", "policy"];
        for what in uses(*class).iter().filter(|_| of_operators.contains(table)) {
            scene.is_refused(table, column, *what).await;
        }
    }
}
