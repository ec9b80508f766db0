//! What is sealed or under a MAC: changed, it is refused and alarmed where it is used; put back, it serves again.

use csc_server::{
    config::PukPolicy,
    credential::{Credential, Error, Hash},
    enrolment::{Enrolment, NewPin},
    factor::{Otp, Purpose, seeds},
    holder::{Accounts, Holder, NewHolder},
    ids::{FactorId, random_id},
    store::StoreError,
};
use hsm_adapter::{Cost, Pin, Puk, Stretcher};
use rusqlite::types::Value;
use totp_rs::Totp;

use crate::{
    classes::{CLASSES, Use, uses},
    hands::{Hands, Row, writings},
    support::Database,
    world::{Node, PIN, World, policy},
};

const NEW_PIN: &str = "61839472";
const CHEAP: Cost = Cost {
    memory: 8,
    passes: 1,
    lanes: 1,
};
const SEED: &str = "3132333435363738393031323334353637383930";

/// Where it happens, and a second holder.
struct Ground {
    world: World,
    hands: Hands,
    other: Holder,
}

impl Ground {
    async fn new() -> Self {
        let database = Database::sqlite();
        let world = World::new(&database, policy()).await;
        let Enrolment {
            store,
            clock,
            vault,
            ..
        } = &world.enrolment;
        let stretcher = Stretcher::new(CHEAP, 1, 1);
        let accounts = Accounts::new(store.clone(), clock.clone(), vault.clone(), stretcher);
        let bruno = NewHolder {
            user_name: "bruno".into(),
            given_name: "Bruno".into(),
            surname: "Verdi".into(),
            email: "bruno@example.org".into(),
            language: "it".into(),
        };
        let id = accounts.add(bruno, "password of Bruno").await.unwrap();
        let other = accounts.by_id(&id).await.unwrap().unwrap();
        Self {
            hands: Hands::on(&database),
            world,
            other,
        }
    }
}

/// What the holder has in hand before anybody touches the row.
struct Scene<'a> {
    world: &'a World,
    hands: &'a Hands,
    holder: &'a Holder,
    credential: Credential,
    puk: Puk,
    pin: &'static str,
    /// Where codes come from: nothing is a mailbox.
    token: Option<(Totp, u64)>,
    code: String,
    sad: String,
    /// The SAD is used up.
    signed: bool,
}

/// How a use ended: refused as it should be, with alarms or because the row cannot even be read; or not.
#[derive(Debug)]
enum Ended {
    Well,
    Damaged,
    Unreadable,
    Otherwise(String),
}

fn ended<T: std::fmt::Debug>(result: Result<T, Error>) -> Ended {
    match result {
        Ok(_) => Ended::Well,
        Err(Error::Damaged) => Ended::Damaged,
        Err(Error::Unknown | Error::Store(StoreError::Corrupt(_) | StoreError::Column(_))) => {
            Ended::Unreadable
        }
        Err(error) => Ended::Otherwise(error.to_string()),
    }
}

impl<'a> Scene<'a> {
    /// A credential with a life: its PIN was changed, it was suspended and is active again. And what its rows were on the way.
    async fn new(ground: &'a Ground, holder: &'a Holder, token: bool) -> (Self, Vec<Row>) {
        let Ground { world, hands, .. } = ground;
        let (factor, token) = match token {
            true => hardware(world, holder).await,
            false => (world.node().factors.enrol_mail(holder).await.unwrap(), None),
        };
        let (credential, puk) = world
            .enrol_for(holder, &factor, PukPolicy::Reset)
            .await
            .unwrap();
        let mut scene = Self {
            world,
            hands,
            holder,
            credential,
            puk,
            pin: PIN,
            token,
            code: String::new(),
            sad: String::new(),
            signed: false,
        };
        let mut before = scene.rows();
        scene.next_code(Purpose::ChangePin).await;
        let (old, new) = (
            Pin::parse(PIN).unwrap(),
            NewPin::choose(NEW_PIN, &[]).unwrap(),
        );
        let (keys, otp) = (&world.node().keys, scene.otp());
        let changed = keys.change_pin(&world.client.id, &scene.credential, &old, &otp, new.pin());
        changed.await.unwrap();
        scene.pin = NEW_PIN;
        scene.read().await;
        world.node().keys.suspend(&scene.credential).await.unwrap();
        before.extend(scene.rows());
        scene.read().await;
        world
            .node()
            .keys
            .reactivate(&scene.credential)
            .await
            .unwrap();
        scene.read().await;
        scene.next_code(Purpose::Sign).await;
        scene.sad = scene.approve().await.unwrap();
        before.extend(scene.rows());
        let access = world.access(&scene.credential);
        let hash = [Hash::new(vec![7; 32]).unwrap()];
        let keys = &world.node().keys;
        let extended = keys.extend(&access, &scene.credential, &scene.sad, &hash);
        scene.sad = extended.await.unwrap().sad;
        (scene, before)
    }

    /// The rows as they are.
    fn rows(&self) -> Vec<Row> {
        let tables = ["credential", "factor", "activation"].iter();
        tables.flat_map(|table| self.hands.rows(table)).collect()
    }

    async fn read(&mut self) {
        self.credential = self.as_it_is().await.unwrap();
    }

    async fn as_it_is(&self) -> Result<Credential, Error> {
        let found = Credential::by_id(&self.world.node().store, &self.credential.id).await?;
        found.ok_or(Error::Unknown)
    }

    fn otp(&self) -> Otp {
        Otp::parse(&self.code).unwrap()
    }

    async fn next_code(&mut self, purpose: Purpose) {
        self.code = match &mut self.token {
            Some((token, count)) => {
                *count += 1;
                token.generate(*count - 1).to_string()
            }
            None => {
                self.world.messages().await;
                self.send_for(purpose).await.unwrap();
                let mails = self.world.messages().await;
                let mut words = mails.iter().flat_map(|mail| mail.split_ascii_whitespace());
                let code =
                    words.find(|word| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit()));
                code.unwrap().to_owned()
            }
        };
    }

    async fn approve(&self) -> Result<String, Error> {
        let credential = self.as_it_is().await?;
        let node: &Node = self.world.node();
        let approved = self.world.sad(node, &credential, self.pin, &self.code);
        approved.await
    }

    async fn sign(&self) -> Result<usize, Error> {
        let credential = self.as_it_is().await?;
        let signed = self.world.sign(&credential, &self.sad).await?;
        Ok(signed.len())
    }

    async fn unblock(&self) -> Result<(), Error> {
        let credential = self.as_it_is().await?;
        let (keys, client) = (&self.world.node().keys, &self.world.client.id);
        keys.unblock(client, &credential, &self.puk, &self.otp())
            .await
    }

    async fn reset(&self) -> Result<(), Error> {
        let credential = self.as_it_is().await?;
        let (keys, client) = (&self.world.node().keys, &self.world.client.id);
        let (otp, pin) = (self.otp(), Pin::parse(NEW_PIN).unwrap());
        keys.reset_pin(client, &credential, &self.puk, &otp, &pin)
            .await
    }

    async fn send(&self) -> Result<(), Error> {
        self.send_for(Purpose::Sign).await
    }

    async fn send_for(&self, purpose: Purpose) -> Result<(), Error> {
        let credential = self.as_it_is().await?;
        let (factors, client) = (&self.world.node().factors, &self.world.client);
        let factor = factors.find(&credential.factor).await?.unwrap();
        let sent = factors.send(&factor, &credential, self.holder, client, purpose);
        Ok(sent.await?)
    }

    async fn prepare(&mut self, what: Use) {
        match what {
            Use::Approve => self.next_code(Purpose::Sign).await,
            Use::Unblock | Use::Reset => self.next_code(Purpose::Unblock).await,
            Use::Sign if self.signed => {
                self.next_code(Purpose::Sign).await;
                self.sad = self.approve().await.unwrap();
                self.signed = false;
            }
            _ => {}
        }
    }

    async fn does(&mut self, what: Use) -> Ended {
        match what {
            Use::Approve => ended(self.approve().await),
            Use::Sign => {
                let ended = ended(self.sign().await);
                self.signed = matches!(ended, Ended::Well);
                ended
            }
            Use::Unblock => ended(self.unblock().await),
            Use::Reset => ended(self.reset().await),
            Use::Send => ended(self.send().await),
            of_operators => panic!("no holder does this: {of_operators:?}"),
        }
    }
}

/// A token of its maker's file, handed out.
async fn hardware(world: &World, holder: &Holder) -> (FactorId, Option<(Totp, u64)>) {
    let serial = random_id();
    let file = format!("serial,seed,digits,counter\n{serial},{SEED},6,0\n");
    let factors = &world.node().factors;
    let imported = factors.import(seeds::csv(&file).unwrap(), || {});
    imported.await.unwrap();
    let token = factors.by_serial(&serial).await.unwrap().unwrap();
    let id = token.id.clone();
    assert!(factors.assign(token, holder).await.unwrap());
    let shown = totp_rs::Builder::new()
        .with_secret(b"12345678901234567890".to_vec())
        .with_digits(6)
        .with_step_duration(1)
        .build();
    (id, Some((shown.unwrap(), 0)))
}

/// The row of the scene in this table.
fn attacked(scene: &Scene<'_>, table: &str) -> Row {
    let id = match table {
        "credential" => scene.credential.id.as_str(),
        "factor" => scene.credential.factor.as_str(),
        _ => scene.sad.split('.').next().unwrap(),
    };
    scene.hands.row(table, "id", id)
}

/// Whose rows are attacked, another whose values are used, and what the rows were before.
struct Pair<'a> {
    scene: Scene<'a>,
    other: Scene<'a>,
    before: Vec<Row>,
}

impl<'a> Pair<'a> {
    async fn new(ground: &'a Ground, token: bool) -> Self {
        let (scene, before) = Scene::new(ground, &ground.world.holder, token).await;
        let (other, _) = Scene::new(ground, &ground.other, token).await;
        Self {
            scene,
            other,
            before,
        }
    }

    /// Whatever is written into the column, the use is refused and alarmed; with the column as it was, it is not.
    async fn is_refused(&mut self, table: &str, column: &str, what: Use) {
        let others = [attacked(&self.other, table)];
        let scene = &mut self.scene;
        let mut tried = 0;
        for value in writings(&attacked(scene, table), &others, &self.before, column) {
            scene.prepare(what).await;
            let row = attacked(scene, table);
            let alarms = scene.hands.alarms();
            if !scene.hands.write(&row, column, &value) {
                continue;
            }
            let ended = scene.does(what).await;
            let alarmed = scene.hands.alarms() - alarms;
            let of =
                format!("{what:?} with {table} {column} = {value:?}: {ended:?}, {alarmed} alarms");
            match ended {
                Ended::Damaged => assert!(alarmed > 0, "{of}"),
                // What cannot be read is refused before anybody could judge it.
                Ended::Unreadable => {}
                // Another state than active, or a certificate that has not begun, is refused as such.
                Ended::Otherwise(why) if ["status", "not_before"].contains(&column) => {
                    assert_eq!(why, Error::Disabled.to_string());
                }
                Ended::Well | Ended::Otherwise(_) => panic!("{of}"),
            }
            assert!(scene.hands.write(&row, column, row.get(column)));
            tried += 1;
        }
        assert!(tried > 0, "nothing was done to {table} {column}");
        // A PUK does so only three times.
        let control = match what {
            Use::Unblock | Use::Reset => Use::Approve,
            what => what,
        };
        self.serves(control).await;
    }

    async fn serves(&mut self, what: Use) {
        self.scene.prepare(what).await;
        let ended = self.scene.does(what).await;
        assert!(matches!(ended, Ended::Well), "{what:?}: {ended:?}");
    }
}

async fn every_use_is_refused(of: &str) {
    let ground = Ground::new().await;
    // A token has a seed and makes its codes by itself; a mailbox has an address.
    let mut mailbox = Pair::new(&ground, false).await;
    let mut token = Pair::new(&ground, true).await;
    for (table, column, class) in CLASSES {
        if *table != of {
            continue;
        }
        for what in uses(*class) {
            match (of, what) {
                // Each has an extended SAD of its own.
                ("activation", _) => {
                    let mut fresh = Pair::new(&ground, false).await;
                    fresh.is_refused(table, column, *what).await;
                }
                ("factor", Use::Approve) => token.is_refused(table, column, *what).await,
                _ => mailbox.is_refused(table, column, *what).await,
            }
        }
    }
    for what in [Use::Approve, Use::Sign, Use::Unblock, Use::Reset, Use::Send] {
        mailbox.serves(what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_credential_is_refused_and_alarmed() {
    every_use_is_refused("credential").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_factor_is_refused_and_alarmed() {
    every_use_is_refused("factor").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_activation_is_refused_and_alarmed() {
    every_use_is_refused("activation").await;
}

/// Suspended, and set to active in the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_on_hold_does_not_come_back_by_its_status() {
    let ground = Ground::new().await;
    let Ground { world, hands, .. } = &ground;
    let (mut scene, _) = Scene::new(&ground, &world.holder, false).await;
    scene.read().await;
    world.node().keys.suspend(&scene.credential).await.unwrap();
    let row = attacked(&scene, "credential");
    assert!(hands.write(&row, "status", &Value::Text("active".into())));
    for what in [Use::Approve, Use::Unblock, Use::Reset] {
        scene.prepare(what).await;
        let alarms = scene.hands.alarms();
        let ended = scene.does(what).await;
        assert!(matches!(ended, Ended::Damaged), "{what:?}: {ended:?}");
        assert_eq!(scene.hands.alarms(), alarms + 1, "{what:?}");
    }
    // An operator may take it out of use, and does not make good what somebody else wrote thereby.
    let eve = Value::Text("Firma di Eva".into());
    assert!(hands.write(&row, "description", &eve));
    let forged = scene.as_it_is().await.unwrap();
    let alarms = hands.alarms();
    world.node().keys.suspend(&forged).await.unwrap();
    let suspended = scene.as_it_is().await.unwrap();
    let reactivated = world.node().keys.reactivate(&suspended).await;
    assert!(
        matches!(reactivated, Err(Error::Damaged)),
        "{reactivated:?}"
    );
    assert_eq!(hands.alarms(), alarms + 2);
    assert_eq!(world.inspected().await.disagreements[0].table, "credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_message_is_not_sent_and_alarmed() {
    let ground = Ground::new().await;
    let world = &ground.world;
    let (_, credential) = world.mailbox().await;
    let two_wait = async || {
        world.messages().await;
        for _ in 0..2 {
            world.send(world.node(), &credential).await.unwrap();
        }
        ground.hands.rows("job")
    };
    for (table, column, class) in CLASSES {
        if *table != "job" || uses(*class).is_empty() {
            continue;
        }
        let rows = two_wait().await;
        for kind in 0..writings(&rows[0], &rows[1..], &[], column).len() {
            let rows = two_wait().await;
            let value = &writings(&rows[0], &rows[1..], &[], column)[kind];
            let alarms = ground.hands.alarms();
            if ground.hands.write(&rows[0], column, value) {
                let of = format!("{column} = {value:?}");
                assert_eq!(world.messages().await.len(), 1, "{of}: the other one");
                let alarmed = ground.hands.alarms() - alarms;
                assert_eq!(alarmed, 1, "{of}");
            }
        }
    }
    two_wait().await;
    assert_eq!(world.messages().await.len(), 2);
}
