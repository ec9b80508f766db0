//! What no use can refuse is found by an inspection: what the log does not tell, or tells otherwise.

use std::time::Duration;

use csc_server::{
    audit::{self, Event, Keeper},
    ca,
    config::PukPolicy,
    credential::{self, Approval, Credential, Error, Hash, Mode, Order},
    enrolment::Enrolment,
    factor::{Otp, Purpose},
    holder::Accounts,
    ids::ClientId,
    inspection::{Report, TABLES},
    oauth::{
        Caller, Proven, ServiceAccess,
        client::Clients,
        registration::{Grant, Registration},
        token::Tokens,
    },
    params,
    question::Checked,
};
use hsm_adapter::{Cost, Pin, Puk, Secret, Stretcher};
use rusqlite::types::Value;

use crate::{
    classes::{CLASSES, Class},
    hands::{Hands, Row, flipped, writings},
    staff::Staff,
    support::{Database, on_both},
    world::{PIN, World, policy},
};

const WRONG: &str = "13572468";
const NEVER_SENT: &str = "00000000";
const OTHER_PIN: &str = "61839472";

/// A service in which everything has happened that the log tells of, and what the rows were on the way.
struct Life {
    world: World,
    hands: Hands,
    before: Vec<Row>,
}

impl Life {
    async fn lived() -> Self {
        let database = Database::sqlite();
        let mut life = Self {
            world: World::new(&database, policy()).await,
            hands: Hands::on(&database),
            before: Vec::new(),
        };
        life.is_run_by_operators(&database).await;
        life.makes_a_ca().await;
        life.is_asked().await;
        life.logs_in().await;
        life.has_clients().await;
        let (factor, credential) = life.world.mailbox().await;
        let (second, puk) = life
            .world
            .enrol_for(&life.world.holder, &factor, PukPolicy::Reset)
            .await
            .unwrap();
        life.remembers();
        life.approves(&credential).await;
        life.locks_and_unlocks(&second, &puk).await;
        life.moves(&credential, &second).await;
        life.world.agrees().await;
        life
    }

    /// What the tables hold now, they once held.
    fn remembers(&mut self) {
        for table in TABLES {
            self.before.extend(self.hands.rows(table.name));
        }
    }

    /// Accounts, requests and policies in each of their states.
    async fn is_run_by_operators(&mut self, database: &Database) {
        let staff = Staff::hired(database, &self.world).await;
        self.remembers();
        staff.logs_in().await;
        self.remembers();
        for request in staff.requests().await {
            self.remembers();
            staff.decides(request).await;
        }
        self.remembers();
        staff.changes_policy().await;
        self.remembers();
        staff.changes_roles(|| self.remembers()).await;
    }

    /// Questions in each of their states but approved, which lasts until the client comes.
    async fn is_asked(&mut self) {
        let world = &self.world;
        let enrolled = world.node().factors.enrol_mail(&world.holder).await;
        let (mode, factor) = (Mode::Implicit, enrolled.unwrap());
        let made = world.enrol_as(mode, &world.holder, &factor, PukPolicy::Unblock);
        let (credential, _puk) = made.await.unwrap();
        let (questions, access) = (world.questions(world.node()), world.access(&credential));
        let mut handles = Vec::new();
        for octet in 0..3 {
            let hash = Hash::new(vec![octet + 1; 32]).unwrap();
            let order = Order::new(&credential, 1, vec![hash], None).unwrap();
            let asked = questions.ask(&access, &credential, &order, None);
            handles.push(asked.await.unwrap());
        }
        let mails = world.messages().await;
        let mut words = mails.iter().flat_map(|mail| mail.split_ascii_whitespace());
        let link = words.find_map(|word| word.strip_prefix("https://sign.example/approve/"));
        let question = questions.find(link.unwrap()).await.unwrap();
        questions.send_code(&question).await.unwrap();
        let mails = world.messages().await;
        let mut words = mails.iter().flat_map(|mail| mail.split_ascii_whitespace());
        let eight = |word: &&str| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit());
        let approval = Approval {
            pin: Pin::parse(PIN).unwrap(),
            otp: Otp::parse(words.find(eight).unwrap()).unwrap(),
        };
        self.remembers();
        let questions = self.world.questions(self.world.node());
        questions.approve(&question, approval).await.unwrap();
        self.remembers();
        let mut taken = 0;
        for handle in &handles {
            let checked = questions.check(&access, handle).await.unwrap();
            taken += usize::from(matches!(checked, Checked::Approved(_)));
        }
        assert_eq!(taken, 1);
    }

    /// As `slot init` does.
    async fn makes_a_ca(&self) {
        let made = self.world.node().store.write(async |tx| {
            let sql = "INSERT INTO issuer (label, certificate, created) VALUES ($1, $2, 5)";
            let certificate = b"certificate".to_vec();
            tx.execute(sql, params![ca::LABEL, certificate]).await?;
            let created = Event::CaCreated {
                label: ca::LABEL,
                certificate_hash: String::new(),
                record: ca::TABLE.record(tx, ca::LABEL).await?,
            };
            audit::record(tx, 5, "", &created);
            Ok(())
        });
        made.await.unwrap();
    }

    async fn logs_in(&mut self) {
        let Enrolment {
            store,
            clock,
            vault,
            ..
        } = &self.world.enrolment;
        let cheap = Cost {
            memory: 8,
            passes: 1,
            lanes: 1,
        };
        let stretcher = Stretcher::new(cheap, 1, 1);
        let accounts = Accounts::new(store.clone(), clock.clone(), vault.clone(), stretcher);
        let client = self.world.client.id.clone();
        let holder = self.world.holder.clone();
        for password in ["wrong", "password of Anna", "wrong again"] {
            let _ = accounts.log_in("anna", password, &client).await;
            self.remembers();
        }
        for blocked in [true, false, true] {
            accounts.set_blocked(&holder, blocked).await.unwrap();
            self.remembers();
        }
        accounts.set_blocked(&holder, false).await.unwrap();
        let sessions = self.world.sessions();
        let ended = sessions.begin(&holder).await.unwrap();
        sessions.begin(&holder).await.unwrap();
        self.remembers();
        let ended = sessions.find(&ended).await.unwrap().unwrap();
        sessions.end(&ended).await.unwrap();
    }

    async fn has_clients(&mut self) {
        let Enrolment {
            store,
            clock,
            vault,
            ..
        } = &self.world.enrolment;
        let clients = Clients::new(store.clone(), clock.clone(), vault.clone());
        let hour = Duration::from_secs(3600);
        let tokens = Tokens::new(store.clone(), clock.clone(), vault.clone(), hour, hour);
        let secret = Secret::random().unwrap();
        let id = ClientId::new("shop");
        let registration = Registration::named("A shop");
        clients
            .add(&id, &registration, Some(&secret))
            .await
            .unwrap();
        self.remembers();
        let moved = Registration {
            redirect_uris: vec!["https://shop.example/back".into()],
            grants: vec![Grant::AuthorizationCode],
            ..registration
        };
        clients.change(&id, &moved, None).await.unwrap();
        let shop = clients.find(&id).await.unwrap().unwrap();
        let row = self.hands.row("client", "id", "shop");
        for column in ["registration", "secret_hash", "record_mac", "version"] {
            for value in flipped(row.get(column)) {
                assert!(self.hands.write(&row, column, &value));
                let alarms = self.hands.alarms();
                assert!(clients.find(&id).await.unwrap().is_none(), "{column}");
                assert_eq!(self.hands.alarms(), alarms + 1, "{column}");
            }
            self.hands.put_back(&row);
            assert!(clients.find(&id).await.unwrap().is_some());
        }
        clients.link(&shop, &self.world.holder).await.unwrap();
        clients.link(&shop, &self.world.holder).await.unwrap();
        let holder = Some(self.world.holder.id.clone());
        let of_holder = ServiceAccess::new(self.world.client.id.clone(), holder.clone());
        let pair = tokens.issue(&of_holder, true).await.unwrap();
        let of_shop = ServiceAccess::new(shop.id.clone(), None);
        let revoked = tokens.issue(&of_shop, true).await.unwrap();
        self.remembers();
        let refresh = pair.refresh.unwrap();
        let nobody = Caller {
            proven: Proven::Not,
            confirmation: None,
        };
        tokens
            .refresh(&refresh, &of_holder.client, nobody)
            .await
            .unwrap();
        let refresh = revoked.refresh.unwrap();
        tokens.revoke(&refresh, &shop.id, None).await.unwrap();
    }

    /// SADs in each of their states.
    async fn approves(&mut self, credential: &Credential) {
        let wrong = self.world.approve(credential, NEVER_SENT).await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
        let replaced = self.world.code(credential).await;
        self.remembers();
        let code = self.world.code(credential).await;
        self.remembers();
        let wrong = self.world.approve(credential, &replaced).await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
        let sad = self.approved(credential, &code, &[7, 8]).await;
        self.remembers();
        let unused = self.with_a_new_code(credential, &[9]).await;
        let permit = self
            .world
            .redeem(credential, &sad, &[[7; 32]])
            .await
            .unwrap();
        self.remembers();
        self.world.spend(permit).await.unwrap();
        self.remembers();
        let left = [Hash::new(vec![8; 32]).unwrap()];
        let access = self.world.access(credential);
        let keys = self.world.node().keys.clone();
        let extended = keys.extend(&access, credential, &sad, &left).await.unwrap();
        self.remembers();
        // What cannot be opened is not signed, and its count given back.
        let row = self
            .hands
            .row("activation", "id", sad.split('.').next().unwrap());
        let wrapped = row.get("wrapped").clone();
        assert!(self.hands.write(&row, "wrapped", &flipped(&wrapped)[0]));
        let damaged = self.signs(credential, &extended.sad, &[8]).await;
        assert!(matches!(damaged, Err(Error::Damaged)), "{damaged:?}");
        assert!(self.hands.write(&row, "wrapped", &wrapped));
        self.remembers();
        self.signs(credential, &extended.sad, &[8]).await.unwrap();
        self.remembers();
        keys.revoke(&access, &unused).await.unwrap();
        let live = self.with_a_new_code(credential, &[1, 2]).await;
        self.signs(credential, &live, &[2]).await.unwrap();
    }

    /// PIN and PUK, tried and changed.
    async fn locks_and_unlocks(&mut self, credential: &Credential, puk: &Puk) {
        let World { client, .. } = &self.world;
        for _ in 0..2 {
            let code = self.world.code(credential).await;
            let wrong = self
                .world
                .approve_on(self.world.node(), credential, WRONG, &code);
            assert!(matches!(wrong.await, Err(Error::WrongPin)));
        }
        let before: Vec<_> = TABLES
            .iter()
            .flat_map(|table| self.hands.rows(table.name))
            .collect();
        let keys = &self.world.node().keys;
        let otp = self.code_for(credential, Purpose::Unblock).await;
        let wrong = Puk::parse("0000000000").unwrap();
        let refused = keys.unblock(&client.id, credential, &wrong, &otp).await;
        assert!(matches!(refused, Err(Error::WrongPuk)), "{refused:?}");
        let otp = self.code_for(credential, Purpose::Unblock).await;
        keys.unblock(&client.id, credential, puk, &otp)
            .await
            .unwrap();
        let otp = self.code_for(credential, Purpose::ChangePin).await;
        let (old, new) = (Pin::parse(PIN).unwrap(), Pin::parse(OTHER_PIN).unwrap());
        let changed = keys.change_pin(&client.id, credential, &old, &otp, &new);
        changed.await.unwrap();
        let factor = self.world.factor(&credential.factor).await;
        let wrong = self.world.approve(credential, NEVER_SENT).await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
        self.before.extend(before);
        self.remembers();
        self.world.node().factors.unlock(&factor).await.unwrap();
    }

    /// Suspended, active again, revoked.
    async fn moves(&mut self, credential: &Credential, other: &Credential) {
        for move_on in [0, 1, 2] {
            let found = Credential::by_id(&self.world.node().store, &other.id).await;
            let (keys, other) = (&self.world.node().keys, found.unwrap().unwrap());
            let moved = match move_on {
                0 => keys.suspend(&other).await,
                1 => keys.reactivate(&other).await,
                _ => keys.revoke_credential(&other).await,
            };
            moved.unwrap();
            self.remembers();
        }
        let found = Credential::by_id(&self.world.node().store, &credential.id).await;
        let keys = &self.world.node().keys;
        keys.suspend(&found.unwrap().unwrap()).await.unwrap();
    }

    async fn code_for(&self, credential: &Credential, purpose: Purpose) -> Otp {
        let World { holder, client, .. } = &self.world;
        self.world.messages().await;
        let factor = self.world.factor(&credential.factor).await;
        let factors = &self.world.node().factors;
        let sent = factors.send(&factor, credential, holder, client, purpose);
        sent.await.unwrap();
        let mails = self.world.messages().await;
        let mut words = mails.iter().flat_map(|mail| mail.split_ascii_whitespace());
        let eight = |word: &&str| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit());
        Otp::parse(words.find(eight).unwrap()).unwrap()
    }

    async fn approved(&self, credential: &Credential, code: &str, octets: &[u8]) -> String {
        let world = &self.world;
        let digests: Vec<_> = octets.iter().map(|octet| [*octet; 32]).collect();
        let approved = world.sad_for(world.node(), credential, PIN, code, &digests);
        approved.await.unwrap()
    }

    async fn with_a_new_code(&self, credential: &Credential, octets: &[u8]) -> String {
        let code = self.world.code(credential).await;
        self.approved(credential, &code, octets).await
    }

    async fn signs(
        &self,
        credential: &Credential,
        sad: &str,
        octets: &[u8],
    ) -> Result<(), credential::Error> {
        let digests: Vec<_> = octets.iter().map(|octet| [*octet; 32]).collect();
        let permit = self.world.redeem(credential, sad, &digests).await?;
        self.world.spend(permit).await.map(drop)
    }
}

/// What names a row in a report.
fn name(row: &Row) -> String {
    let table = TABLES.iter().find(|table| table.name == row.table).unwrap();
    let keys = table.keys.iter().map(|key| match row.get(key) {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Blob(octets) => hex::encode(octets),
        other => panic!("{other:?} is no key"),
    });
    keys.collect::<Vec<_>>().join("/")
}

fn told(report: &Report, row: &Row) -> bool {
    let (table, name) = (&row.table, name(row));
    let mut all = report.disagreements.iter();
    all.any(|found| found.table == *table && found.row == name)
}

/// The column that an expression of a record is of. The log tells of it only whether there is anything.
pub(crate) fn column(recorded: &str) -> &str {
    if recorded.starts_with("CASE WHEN store") {
        return "store";
    }
    let inner = recorded.strip_prefix("length(");
    inner
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(recorded)
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Blob(octets) => !octets.is_empty(),
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_is_found_and_named() {
    let life = Life::lived().await;
    for table in TABLES {
        let rows = life.hands.rows(table.name);
        assert!(!rows.is_empty(), "nothing happened to {}", table.name);
        // The first, the last, and the one that has seen most.
        for index in [0, rows.len() / 2, rows.len() - 1] {
            let row = &rows[index];
            let mut others = rows.clone();
            others.remove(index);
            for of in [table.keys, table.told, table.recorded].concat() {
                let mut values = writings(row, &others, &life.before, column(of));
                if column(of) != of {
                    values.push(Value::Null);
                    values.retain(|value| is_there(value) != is_there(row.get(column(of))));
                }
                for value in values {
                    if !life.hands.write(row, column(of), &value) {
                        continue;
                    }
                    let report = life.world.inspected().await;
                    let changed = life.hands.rows(table.name);
                    let changed = changed.iter().find(|other| other.number == row.number);
                    let named = told(&report, row) || told(&report, changed.unwrap());
                    assert!(named, "{} {of} = {value:?}: {report:#?}", table.name);
                    assert!(life.hands.write(row, column(of), row.get(column(of))));
                }
            }
        }
    }
    life.world.agrees().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_taken_out_is_found_and_named() {
    let life = Life::lived().await;
    for table in TABLES {
        for row in life.hands.rows(table.name) {
            life.hands.delete(&row);
            let report = life.world.inspected().await;
            assert!(told(&report, &row), "{row:?}: {report:#?}");
            let mut found = report.disagreements.iter();
            assert!(found.all(|found| found.place.is_some()), "{report:#?}");
            life.hands.insert(&row).unwrap();
        }
    }
    life.world.agrees().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_put_in_is_found_and_named() {
    /// What may stand in one row only.
    const UNIQUE: [&str; 7] = [
        "id",
        "link",
        "user_name",
        "spki_hash",
        "serial",
        "name",
        "seat",
    ];
    let life = Life::lived().await;
    for table in TABLES {
        let row = &life.hands.rows(table.name)[0];
        let mut made = 0;
        for key in table.keys {
            let mut forged = row.clone();
            for (column, value) in &mut forged.columns {
                if column == key || UNIQUE.contains(&column.as_str()) && *value != Value::Null {
                    // Names that count are followed by others.
                    *value = flipped(value).pop().unwrap();
                }
            }
            let Some(number) = life.hands.insert(&forged) else {
                continue;
            };
            forged.number = number;
            let report = life.world.inspected().await;
            assert!(told(&report, &forged), "{forged:?}: {report:#?}");
            life.hands.delete(&forged);
            made += 1;
        }
        assert!(made > 0, "nothing was put into {}", table.name);
    }
    life.world.agrees().await;
}

/// With everything that was right then, MACs included.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_put_back_as_it_once_was_is_found_and_named() {
    let life = Life::lived().await;
    let mut tables: Vec<_> = Vec::new();
    for old in &life.before {
        let rows = life.hands.rows(&old.table);
        let Some(now) = rows.iter().find(|row| row.number == old.number) else {
            continue;
        };
        if now == old {
            continue;
        }
        life.hands.put_back(old);
        let report = life.world.inspected().await;
        assert!(told(&report, now), "{old:?}: {report:#?}");
        life.hands.put_back(now);
        tables.push(old.table.as_str());
    }
    life.world.agrees().await;
    for table in [
        "holder",
        "token",
        "factor",
        "credential",
        "otp_challenge",
        "activation",
        "signing",
        "operator",
        "approval",
        "policy",
    ] {
        assert!(tables.contains(&table), "no {table} had another past");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_taken_out_for_good_and_came_back_is_found() {
    let life = Life::lived().await;
    // The signature that could not be made.
    let gone = life.before.iter().filter(|old| {
        let rows = life.hands.rows(&old.table);
        old.table == "signing" && !rows.iter().any(|row| name(row) == name(old))
    });
    let mut gone: Vec<_> = gone.cloned().collect();
    gone.dedup();
    for old in gone {
        let mut old = old;
        let position = old.columns.iter_mut().find(|(name, _)| name == "position");
        position.unwrap().1 = Value::Integer(5);
        old.number = life.hands.insert(&old).unwrap();
        assert!(told(&life.world.inspected().await, &old));
        life.hands.delete(&old);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_log_is_found_and_the_tables_are_not_judged_by_it() {
    let life = Life::lived().await;
    let every = Duration::from_secs(60);
    let Enrolment { store, clock, .. } = &life.world.enrolment;
    let keeper = Keeper::new(
        store.clone(),
        clock.clone(),
        life.world.issuer.clone(),
        every,
    );
    keeper.await.unwrap().seal().await.unwrap();
    for (table, column, class) in CLASSES {
        if !matches!(class, Class::Log) {
            continue;
        }
        let rows = life.hands.rows(table);
        for row in rows.iter().step_by(1 + rows.len() / 10) {
            for value in flipped(row.get(column)) {
                if life.hands.write(row, column, &value) {
                    let report = life.world.inspected().await;
                    assert!(report.log.is_err(), "{table} {column} = {value:?}");
                    assert_eq!(report.rows, 0);
                    assert!(life.hands.write(row, column, row.get(column)));
                }
            }
        }
    }
    life.world.agrees().await;
}

/// An hour after a code was sent nobody asks for its row; until then it has to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_may_be_forgotten_after_an_hour() {
    let life = Life::lived().await;
    let row = &life.hands.rows("otp_challenge")[0];
    life.world
        .pass(Duration::from_secs(3600) - Duration::from_millis(1));
    life.hands.delete(row);
    assert!(told(&life.world.inspected().await, row));
    life.world.pass(Duration::from_millis(1));
    life.world.agrees().await;
}

on_both! {
    a_count_that_was_set_back_is_found_also_after_it_went_on => super::set_back;
    an_inspection_tells_of_itself => super::recorded;
}

/// What a later event says of the table contradicts those before: the change cannot be covered up by going on.
async fn set_back(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let wrong_pin = async || {
        let code = world.code(&credential).await;
        let wrong = world.approve_on(world.node(), &credential, WRONG, &code);
        assert!(matches!(wrong.await, Err(Error::WrongPin)));
    };
    wrong_pin().await;
    wrong_pin().await;
    world.agrees().await;
    let forgive = "UPDATE credential SET pin_failures = 0 WHERE id = $1";
    world.tamper(forgive, params![&credential.id]).await;
    let report = world.inspected().await;
    let found = &report.disagreements[0];
    assert_eq!(found.why, "pin_failures is 0, not 2");
    assert!(found.place.is_some());
    wrong_pin().await;
    let report = world.inspected().await;
    assert_eq!(report.disagreeing, 1, "{report:#?}");
    let found = &report.disagreements[0];
    assert_eq!(found.why, "pin_failures was found to be 1, and was 3");
    let sql = "SELECT event FROM audit WHERE chain = $1 AND sequence = $2";
    let place = found.place.clone().unwrap();
    let place = params![place.chain, place.sequence].to_vec();
    let row = world.node().store.find(sql, &place).await.unwrap();
    let event = row.map(|mut row| row.get::<String>(0).unwrap());
    assert!(event.unwrap().contains("PIN_TRIED"));
}

async fn recorded(database: Database) {
    use csc_server::inspection::inspect;
    let world = World::new(&database, policy()).await;
    world.mailbox().await;
    let key = async || audit::Keys::of(&world.issuer).await.unwrap();
    let (store, clock) = (&world.node().store, &world.clock());
    let report = inspect(store, clock, key().await, None, || true).await;
    let report = report.unwrap().unwrap();
    assert!(report.is_clean() && report.rows == 5, "{report:#?}");
    let clean = r#""intact":true,"rows":7,"checkpoint":0,"finding":null,"stateRows":5,"disagreeing":0,"disagreement":null}"#;
    let told = async |text: &str| {
        let rows = store.query("SELECT event FROM audit", &[]).await.unwrap();
        let mut events = rows
            .into_iter()
            .map(|mut row| row.get::<String>(0).unwrap());
        events.any(|event| event.contains("LOG_VERIFIED") && event.contains(text))
    };
    assert!(told(clean).await, "{report:#?}");
    world
        .tamper("UPDATE holder SET email = 'eve@example.org'", &[])
        .await;
    let report = inspect(store, clock, key().await, None, || true).await;
    let report = report.unwrap().unwrap();
    assert_eq!(report.disagreeing, 1);
    assert!(told(&format!("{}: it is not what was recorded", world.holder.id)).await);
}
