//! What holders have: codes are taken once, wrong ones are counted exactly, changed rows are refused; on two nodes over
//! SQLite and over PostgreSQL.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "support/world.rs"]
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use csc_server::{
    credential::{Credential, Error},
    factor::{self, Algorithm, Otp, Policy, Purpose, seeds},
    ids::FactorId,
    params,
    store::Value,
};
use hsm_adapter::{HsmError, Pin};
use support::{Database, on_both};
use totp_rs::Totp;
use world::{PIN, World, policy};

on_both! {
    a_code_of_every_kind_approves_once => super::every_kind_approves_once;
    an_app_of_every_form_may_drift_one_step => super::apps_drift_one_step;
    a_token_may_be_ten_codes_ahead_and_is_brought_back_by_two => super::tokens_look_ahead;
    one_code_on_two_nodes_approves_once => super::one_of_parallel_uses_wins;
    two_hundred_guesses_at_once_count_exactly_and_lock_at_the_limit => super::parallel_guesses;
    a_lock_doubles_with_each_wrong_code_and_ends_with_the_right_one => super::growing_locks;
    an_operator_unlocks_and_nothing_else => super::unlocking;
    five_wrong_guesses_kill_a_code => super::a_code_dies;
    a_sent_code_dies_of_age_and_by_the_next => super::codes_expire;
    a_sent_code_serves_its_credential_only => super::codes_are_bound;
    of_fifty_sends_at_once_one_goes_out => super::parallel_sends;
    an_hour_has_so_many_codes_for_a_holder_not_for_each_factor => super::sends_an_hour;
    a_changed_row_is_refused_and_alarmed => super::changed_rows;
    a_token_that_sql_handed_out_is_nobody_s => super::forged_holder;
    tokens_are_imported_all_or_none_and_handed_out_once => super::tokens_come_and_go;
    a_locked_pin_is_told_to_its_holder => super::pin_locks_are_told;
    of_wrong_pins_at_once_one_locks_and_is_told => super::locked_once;
    whatever_call_of_the_hsm_fails_no_try_of_the_pin_is_lost => super::tries_are_kept;
    a_notice_of_another_s_making_says_nothing_of_theirs => super::forged_jobs;
}

const SEED: &str = "3132333435363738393031323334353637383930";

/// A token of the maker's file, in the holder's hands, and what it shows.
async fn token(world: &World, digits: u8) -> (FactorId, Totp) {
    let file = format!("serial,seed,digits,counter\nA1,{SEED},{digits},0\n");
    let factors = &world.node().factors;
    factors
        .import(seeds::csv(&file).unwrap(), || {})
        .await
        .unwrap();
    let token = factors.by_serial("A1").await.unwrap().unwrap();
    let id = token.id.clone();
    assert!(factors.assign(token, &world.holder).await.unwrap());
    let shown = totp_rs::Builder::new()
        .with_secret(b"12345678901234567890".to_vec())
        .with_digits(digits)
        .with_step_duration(1)
        .build();
    (id, shown.unwrap())
}

/// An authenticator app of the holder.
async fn app(world: &World, algorithm: Algorithm, digits: u32) -> (FactorId, Totp) {
    let factors = &world.node().factors;
    let enrolled = factors.enrol_totp(&world.holder, algorithm, digits);
    let (id, uri) = enrolled.await.unwrap();
    (id, Totp::from_url(uri.as_str()).unwrap())
}

/// Another code of the same form.
fn another(code: &str) -> String {
    let first = if code.starts_with('7') { "3" } else { "7" };
    format!("{first}{}", &code[1..])
}

async fn every_kind_approves_once(database: Database) {
    let world = World::new(&database, policy()).await;
    let number = "+39 333 1234567".parse().unwrap();
    let sms = world.node().factors.enrol_sms(&world.holder, &number).await;
    let mail = world.node().factors.enrol_mail(&world.holder).await;
    for sent in [mail.unwrap(), sms.unwrap()] {
        let credential = world.credential(&sent).await;
        let code = world.code(&credential).await;
        approves_once(&world, &credential, &code).await;
    }
    let (id, token) = token(&world, 8).await;
    let credential = world.credential(&id).await;
    approves_once(&world, &credential, &token.generate(0).to_string()).await;
    let (id, app) = app(&world, Algorithm::Sha1, 6).await;
    let credential = world.credential(&id).await;
    let code = app.generate(world.seconds()).to_string();
    approves_once(&world, &credential, &code).await;
    world.agrees().await;
}

async fn approves_once(world: &World, credential: &Credential, code: &str) {
    let wrong = world.approve(credential, &another(code)).await;
    assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
    world.approve(credential, code).await.unwrap();
    assert_eq!(world.failures(&credential.factor).await, 0);
    let again = world.approve(credential, code).await;
    assert!(matches!(again, Err(Error::WrongOtp)), "{again:?}");
}

async fn apps_drift_one_step(database: Database) {
    let world = World::new(&database, policy()).await;
    for (algorithm, digits) in [
        (Algorithm::Sha1, 6),
        (Algorithm::Sha1, 8),
        (Algorithm::Sha256, 6),
        (Algorithm::Sha256, 8),
    ] {
        let (id, app) = app(&world, algorithm, digits).await;
        let credential = world.credential(&id).await;
        let now = world.seconds();
        let code = |seconds| app.generate(seconds).to_string();
        for far in [now - 60, now + 60] {
            let refused = world.approve(&credential, &code(far)).await;
            assert!(matches!(refused, Err(Error::WrongOtp)), "{refused:?}");
        }
        assert_eq!(code(now).len(), digits as usize);
        world.approve(&credential, &code(now - 30)).await.unwrap();
        world.approve(&credential, &code(now + 30)).await.unwrap();
        let earlier = world.approve(&credential, &code(now)).await;
        assert!(matches!(earlier, Err(Error::WrongOtp)), "{earlier:?}");
    }
    world.agrees().await;
}

async fn tokens_look_ahead(database: Database) {
    let world = World::new(&database, policy()).await;
    let (id, token) = token(&world, 6).await;
    let credential = world.credential(&id).await;
    let code = |count| token.generate(count).to_string();
    let beyond = world.approve(&credential, &code(11)).await;
    assert!(matches!(beyond, Err(Error::WrongOtp)), "{beyond:?}");
    world.approve(&credential, &code(10)).await.unwrap();
    for used in [10, 9, 0] {
        let passed = world.approve(&credential, &code(used)).await;
        assert!(matches!(passed, Err(Error::WrongOtp)), "{passed:?}");
    }

    let resync = async |first: String, second: String| {
        let token = world.factor(&id).await;
        let factors = &world.node().factors;
        factors.resync(&token, [&first, &second]).await.unwrap()
    };
    assert!(!resync(code(50), code(52)).await, "not consecutive");
    assert!(!resync(code(9), code(10)).await, "passed");
    assert!(!resync(code(111), code(112)).await, "out of reach");
    assert!(resync(code(50), code(51)).await);
    assert_eq!(world.events("FACTOR_RESYNCED").await, 1);
    let used = world.approve(&credential, &code(51)).await;
    assert!(matches!(used, Err(Error::WrongOtp)), "{used:?}");
    world.approve(&credential, &code(52)).await.unwrap();
    world.agrees().await;
}

async fn one_of_parallel_uses_wins(database: Database) {
    let world = Arc::new(World::new(&database, policy()).await);
    let (id, token) = token(&world, 6).await;
    let credential = world.credential(&id).await;
    let sent = world.mailbox().await.1;
    let code = world.code(&sent).await;
    for (credential, code) in [(credential, token.generate(0).to_string()), (sent, code)] {
        let uses = (0..20).map(|number| {
            let (world, credential, code) = (world.clone(), credential.clone(), code.clone());
            tokio::spawn(async move {
                let node = &world.nodes[number % 2];
                world
                    .approve_on(node, &credential, PIN, &code)
                    .await
                    .is_ok()
            })
        });
        let mut won = 0;
        for used in uses.collect::<Vec<_>>() {
            won += usize::from(used.await.unwrap());
        }
        assert_eq!(won, 1);
    }
    world.agrees().await;
}

async fn parallel_guesses(database: Database) {
    let world = Arc::new(World::new(&database, policy()).await);
    let (mail, sent) = world.mailbox().await;
    let right = world.code(&sent).await;
    let (app, shown) = app(&world, Algorithm::Sha1, 6).await;
    let credential = world.credential(&app).await;
    let shown = shown.generate(world.seconds()).to_string();
    for (factor, credential, right) in [(mail, sent, right), (app, credential, shown)] {
        let before = (
            world.events("OTP_FAIL").await,
            world.events("OTP_LOCKED").await,
        );
        let guesses = (0..200).map(|number| {
            let (world, credential) = (world.clone(), credential.clone());
            let code = another(&right);
            tokio::spawn(async move {
                let node = &world.nodes[number % 2];
                match world.approve_on(node, &credential, PIN, &code).await {
                    Err(Error::WrongOtp) => (1, 0),
                    Err(Error::OtpLocked) => (0, 1),
                    other => panic!("{other:?}"),
                }
            })
        });
        let mut ends = (0, 0);
        for guess in guesses.collect::<Vec<_>>() {
            let (wrong, locked) = guess.await.unwrap();
            ends = (ends.0 + wrong, ends.1 + locked);
        }
        assert_eq!(ends, (10, 190));
        assert_eq!(world.failures(&factor).await, 10);
        let events = (
            world.events("OTP_FAIL").await,
            world.events("OTP_LOCKED").await,
        );
        assert_eq!((events.0 - before.0, events.1 - before.1), (10, 1));
        let late = world.approve(&credential, &right).await;
        assert!(matches!(late, Err(Error::OtpLocked)), "{late:?}");
        let notices = world.messages().await;
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains("To: anna@example.org"), "{notices:?}");
        assert!(notices[0].contains("accepted for 1 minute."), "{notices:?}");
    }
    world.agrees().await;
}

async fn growing_locks(database: Database) {
    let world = World::new(&database, policy()).await;
    let (id, app) = app(&world, Algorithm::Sha1, 6).await;
    let credential = world.credential(&id).await;
    let now = |world: &World| app.generate(world.seconds()).to_string();
    let wrong = async || world.approve(&credential, &another(&now(&world))).await;
    for _ in 0..9 {
        assert!(matches!(wrong().await, Err(Error::WrongOtp)));
    }
    for minutes in [1, 2, 4] {
        assert!(matches!(wrong().await, Err(Error::WrongOtp)), "{minutes}");
        world.pass(Duration::from_secs(60 * minutes - 1));
        let locked = world.approve(&credential, &now(&world)).await;
        assert!(
            matches!(locked, Err(Error::OtpLocked)),
            "{minutes}: {locked:?}"
        );
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.messages().await.len(), 3, "one notice a lock");
    world.approve(&credential, &now(&world)).await.unwrap();
    for _ in 0..9 {
        assert!(matches!(wrong().await, Err(Error::WrongOtp)));
    }
    world.pass(Duration::from_secs(30));
    world.approve(&credential, &now(&world)).await.unwrap();
    world.agrees().await;
}

async fn unlocking(database: Database) {
    let world = World::new(&database, policy()).await;
    let (id, credential) = world.mailbox().await;
    for _ in 0..10 {
        let wrong = world.approve(&credential, "00000000").await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
    }
    let sent = world.send(world.node(), &credential).await;
    assert!(matches!(sent, Err(factor::Error::Locked)), "{sent:?}");
    let before = world.factor(&id).await;
    world.node().factors.unlock(&before).await.unwrap();
    assert_eq!(world.events("FACTOR_UNLOCKED").await, 1);
    assert_eq!(world.failures(&id).await, 0);
    let after = world.factor(&id).await;
    assert_eq!((after.locked_until, after.address()), (0, before.address()));
    world.messages().await;
    let code = world.code(&credential).await;
    world.approve(&credential, &code).await.unwrap();
    world.agrees().await;
}

async fn a_code_dies(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let code = world.code(&credential).await;
    for _ in 0..5 {
        let wrong = world.approve(&credential, &another(&code)).await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
    }
    let dead = world.approve(&credential, &code).await;
    assert!(matches!(dead, Err(Error::WrongOtp)), "{dead:?}");
    let next = world.code(&credential).await;
    for _ in 0..3 {
        let wrong = world.approve(&credential, &another(&next)).await;
        assert!(matches!(wrong, Err(Error::WrongOtp)), "{wrong:?}");
    }
    world.approve(&credential, &next).await.unwrap();
    world.agrees().await;
}

async fn codes_expire(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let old = world.code(&credential).await;
    world.pass(Duration::from_secs(300));
    let late = world.approve(&credential, &old).await;
    assert!(matches!(late, Err(Error::WrongOtp)), "{late:?}");
    let first = world.code(&credential).await;
    world.pass(Duration::from_secs(1));
    let second = world.code(&credential).await;
    let replaced = world.approve(&credential, &first).await;
    assert!(matches!(replaced, Err(Error::WrongOtp)), "{replaced:?}");
    world.approve(&credential, &second).await.unwrap();
    let replaced = world.approve(&credential, &first).await;
    assert!(matches!(replaced, Err(Error::WrongOtp)), "{replaced:?}");
    world.agrees().await;
}

async fn codes_are_bound(database: Database) {
    let world = World::new(&database, policy()).await;
    let (id, one) = world.mailbox().await;
    let other = world.credential(&id).await;
    let code = world.code(&one).await;
    let elsewhere = world.approve(&other, &code).await;
    assert!(matches!(elsewhere, Err(Error::WrongOtp)), "{elsewhere:?}");
    world
        .tamper(
            "UPDATE otp_challenge SET credential = $1",
            params![&other.id],
        )
        .await;
    let moved = world.approve(&other, &code).await;
    assert!(matches!(moved, Err(Error::WrongOtp)), "{moved:?}");
    world
        .tamper("UPDATE otp_challenge SET credential = $1", params![&one.id])
        .await;
    world.approve(&one, &code).await.unwrap();

    // Nor does it serve another act, whatever the row says.
    let factor = world.factor(&one.factor).await;
    let (node, client) = (world.node(), &world.client);
    let sent = node
        .factors
        .send(&factor, &one, &world.holder, client, Purpose::ChangePin);
    sent.await.unwrap();
    let mail = world.messages().await.pop().unwrap();
    let mut words = mail.split_ascii_whitespace();
    let code = words.find(|word| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit()));
    let code = code.unwrap();
    let signs = world.approve(&one, code).await;
    assert!(matches!(signs, Err(Error::WrongOtp)), "{signs:?}");
    let purpose = "UPDATE otp_challenge SET purpose = $1 WHERE consumed IS NULL";
    let name = |purpose: Purpose| purpose.name();
    world.tamper(purpose, params![name(Purpose::Sign)]).await;
    let signs = world.approve(&one, code).await;
    assert!(matches!(signs, Err(Error::WrongOtp)), "{signs:?}");
    world
        .tamper(purpose, params![name(Purpose::ChangePin)])
        .await;
    let (old, new) = (Pin::parse(PIN).unwrap(), Pin::parse("61839472").unwrap());
    let code = Otp::parse(code).unwrap();
    let changed = node.keys.change_pin(&client.id, &one, &old, &code, &new);
    changed.await.unwrap();
}

/// How many of fifty sends at once, over two nodes and these credentials, went out.
async fn fifty_sends(world: &Arc<World>, credentials: &[Credential]) -> usize {
    let sends = (0..50).map(|number| {
        let world = world.clone();
        let credential = credentials[number % credentials.len()].clone();
        tokio::spawn(async move {
            match world.send(&world.nodes[number / 2 % 2], &credential).await {
                Ok(()) => 1,
                Err(factor::Error::TooSoon { .. }) => 0,
                other => panic!("{other:?}"),
            }
        })
    });
    let mut went = 0;
    for send in sends.collect::<Vec<_>>() {
        went += send.await.unwrap();
    }
    assert_eq!(world.messages().await.len(), went);
    went
}

async fn parallel_sends(database: Database) {
    let policy = Policy {
        resend_after: Duration::from_secs(30),
        ..policy()
    };
    let world = Arc::new(World::new(&database, policy).await);
    let credentials = [world.mailbox().await.1, world.mailbox().await.1];
    assert_eq!(fifty_sends(&world, &credentials).await, 1);
    world.pass(Duration::from_millis(29_999));
    assert_eq!(fifty_sends(&world, &credentials).await, 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(fifty_sends(&world, &credentials).await, 1);
    world.agrees().await;
}

async fn sends_an_hour(database: Database) {
    let policy = Policy {
        max_per_hour: 10,
        ..policy()
    };
    let world = Arc::new(World::new(&database, policy).await);
    let credentials = [world.mailbox().await.1, world.mailbox().await.1];
    assert_eq!(fifty_sends(&world, &credentials).await, 10);
    world.pass(Duration::from_secs(3599));
    let sent = world.send(world.node(), &credentials[0]).await;
    let Err(factor::Error::TooSoon { retry_after }) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    world.pass(Duration::from_secs(1));
    assert_eq!(fifty_sends(&world, &credentials).await, 10);
    let rows = world
        .node()
        .store
        .query("SELECT id FROM otp_challenge", &[]);
    assert_eq!(rows.await.unwrap().len(), 10, "older codes are forgotten");
    world.agrees().await;
}

async fn changed_rows(database: Database) {
    let world = World::new(&database, policy()).await;
    let number = "+39 333 1234567".parse().unwrap();
    let sms = world.node().factors.enrol_sms(&world.holder, &number).await;
    let (sms, mail) = (sms.unwrap(), world.mailbox().await.0);
    let (app, _) = app(&world, Algorithm::Sha1, 6).await;
    let (token, _) = token(&world, 6).await;
    let seed = sealed_seed(&world, &app).await;
    let other = other_holder(&world).await;
    let text = |text: &str| Value::from(text);
    for (factor, sql, value) in [
        (
            &sms,
            "UPDATE factor SET address = $2 WHERE id = $1",
            text("+393337654321"),
        ),
        (
            &mail,
            "UPDATE factor SET address = $2 WHERE id = $1",
            text("eve@example.org"),
        ),
        (
            &mail,
            "UPDATE factor SET kind = $2 WHERE id = $1",
            text("sms"),
        ),
        (
            &mail,
            "UPDATE factor SET kind = $2 WHERE id = $1",
            text("totp"),
        ),
        (
            &mail,
            "UPDATE factor SET holder = $2 WHERE id = $1",
            text(&other),
        ),
        (
            &app,
            "UPDATE factor SET digits = $2 WHERE id = $1",
            Value::Int(8),
        ),
        (
            &app,
            "UPDATE factor SET algorithm = $2 WHERE id = $1",
            text("sha256"),
        ),
        (
            &token,
            "UPDATE factor SET seed = $2 WHERE id = $1",
            Value::Octets(seed),
        ),
        (
            &token,
            "UPDATE factor SET serial = $2 WHERE id = $1",
            text("B2"),
        ),
        (
            &token,
            "UPDATE factor SET record_mac = $2 WHERE id = $1",
            Value::Octets(vec![0; 32]),
        ),
    ] {
        let credential = world.credential(factor).await;
        let before = world.events("FACTOR_INTEGRITY_FAIL").await;
        let kept = row(&world, factor).await;
        world.tamper(sql, &[factor.into(), value]).await;
        let approved = world.approve(&credential, "00000000").await;
        assert!(
            matches!(approved, Err(Error::Damaged)),
            "{sql}: {approved:?}"
        );
        let sent = world.send(world.node(), &credential).await;
        assert!(
            matches!(sent, Err(factor::Error::Damaged | factor::Error::Offline)),
            "{sql}: {sent:?}"
        );
        let alarms = world.events("FACTOR_INTEGRITY_FAIL").await - before;
        let expected = 1 + usize::from(matches!(sent, Err(factor::Error::Damaged)));
        assert_eq!(alarms, expected, "{sql}");
        assert_eq!(world.failures(factor).await, 0, "{sql}: counts no try");
        put_back(&world, kept).await;
        let approved = world.approve(&credential, "00000000").await;
        assert!(
            matches!(approved, Err(Error::WrongOtp)),
            "{sql}: {approved:?}"
        );
        world
            .node()
            .factors
            .unlock(&world.factor(factor).await)
            .await
            .unwrap();
    }
    assert_eq!(world.messages().await, Vec::<String>::new());
}

const COLUMNS: &str =
    "SELECT kind, digits, holder, algorithm, seed, serial, address, record_mac, id
                       FROM factor WHERE id = $1";

async fn row(world: &World, factor: &FactorId) -> Vec<Value> {
    let row = world.node().store.find(COLUMNS, params![factor]).await;
    let mut row = row.unwrap().unwrap();
    vec![
        row.get::<String>(0).unwrap().into(),
        row.get::<i64>(1).unwrap().into(),
        row.optional::<String>(2).unwrap().into(),
        row.optional::<String>(3).unwrap().into(),
        row.optional::<Vec<u8>>(4).unwrap().into(),
        row.optional::<String>(5).unwrap().into(),
        row.optional::<String>(6).unwrap().into(),
        row.get::<Vec<u8>>(7).unwrap().into(),
        row.get::<String>(8).unwrap().into(),
    ]
}

async fn put_back(world: &World, row: Vec<Value>) {
    let sql = "UPDATE factor SET kind = $1, digits = $2, holder = $3, algorithm = $4, seed = $5, serial = $6, address = $7,
                   record_mac = $8 WHERE id = $9";
    world.tamper(sql, &row).await;
}

async fn sealed_seed(world: &World, factor: &FactorId) -> Vec<u8> {
    let row = world.node().store.find(COLUMNS, params![factor]).await;
    row.unwrap().unwrap().get(4).unwrap()
}

async fn other_holder(world: &World) -> String {
    let sql = "INSERT INTO holder (id, version, user_name, given_name, surname, email, language, status, pseudonym, password_salt,
                   password_cost, password_hash, login_failures, login_after, created)
               SELECT 'eve', 1, 'eve', given_name, surname, email, language, status, pseudonym, password_salt, password_cost,
                   password_hash, 0, 0, created FROM holder WHERE id = $1";
    world.tamper(sql, params![&world.holder.id]).await;
    "eve".to_owned()
}

async fn forged_holder(database: Database) {
    let world = World::new(&database, policy()).await;
    let factors = &world.node().factors;
    let file = |serial: &str| format!("serial,seed,digits,counter\n{serial},{SEED},6,0\n");
    for serial in ["A1", "A2"] {
        let token = seeds::csv(&file(serial)).unwrap();
        factors.import(token, || {}).await.unwrap();
    }
    let shown = totp_rs::Builder::new()
        .with_secret(b"12345678901234567890".to_vec())
        .with_digits(6)
        .with_step_duration(1)
        .build()
        .unwrap();
    let code = shown.generate(0).to_string();
    let (forged, given) = ("A1", "A2");
    let hand_out = "UPDATE factor SET holder = $2 WHERE serial = $1";
    let holder = world.holder.id.to_string();
    world
        .tamper(hand_out, params![forged, holder.as_str()])
        .await;
    let token = factors.by_serial(given).await.unwrap().unwrap();
    assert!(factors.assign(token, &world.holder).await.unwrap());

    for (serial, genuine) in [(forged, false), (given, true)] {
        let token = factors.by_serial(serial).await.unwrap().unwrap();
        let credential = world.credential(&token.id).await;
        let approved = world.approve(&credential, &code).await;
        match genuine {
            true => approved.unwrap(),
            false => assert!(matches!(approved, Err(Error::Damaged)), "{approved:?}"),
        }
    }
    assert_eq!(world.events("FACTOR_INTEGRITY_FAIL").await, 1);
}

async fn tokens_come_and_go(database: Database) {
    let world = World::new(&database, policy()).await;
    let factors = &world.node().factors;
    let file = |serials: &[&str]| {
        let lines = serials
            .iter()
            .map(|serial| format!("{serial},{SEED},6,0\n"));
        let text = format!("serial,seed,digits,counter\n{}", lines.collect::<String>());
        seeds::csv(&text).unwrap()
    };
    let sealed = AtomicUsize::new(0);
    let count = || {
        sealed.fetch_add(1, Ordering::SeqCst);
    };
    factors.import(file(&["A1", "A2"]), count).await.unwrap();
    assert_eq!(sealed.into_inner(), 2);
    assert_eq!(factors.known(&file(&["A0", "A2"])).await.unwrap(), ["A2"]);
    assert!(
        factors
            .import(file(&["A3", "A2", "A4"]), || {})
            .await
            .is_err()
    );
    assert!(factors.by_serial("A3").await.unwrap().is_none());
    assert_eq!(world.events("TOKEN_IMPORTED").await, 2);

    let token = factors.by_serial("A1").await.unwrap().unwrap();
    assert!(!token.belongs_to(&world.holder));
    assert!(factors.assign(token.clone(), &world.holder).await.unwrap());
    assert!(
        !factors.assign(token, &world.holder).await.unwrap(),
        "an old view of it"
    );
    let token = factors.by_serial("A1").await.unwrap().unwrap();
    assert!(token.belongs_to(&world.holder));
    assert!(!factors.assign(token, &world.holder).await.unwrap());
    assert_eq!(world.events("FACTOR_ADDED").await, 1);

    // A token whose row was changed is not handed out, nor one that somebody gave himself.
    let changed = "UPDATE factor SET digits = $1 WHERE serial = 'A2'";
    world.tamper(changed, params![8_i64]).await;
    let token = factors.by_serial("A2").await.unwrap().unwrap();
    let assigned = factors.assign(token, &world.holder).await;
    assert!(
        matches!(assigned, Err(factor::Error::Damaged)),
        "{assigned:?}"
    );
    world.tamper(changed, params![6_i64]).await;
    let taken = "UPDATE factor SET holder = $1 WHERE serial = 'A2'";
    world.tamper(taken, params![&world.holder.id]).await;
    let token = factors.by_serial("A2").await.unwrap().unwrap();
    let credential = world.credential(&token.id).await;
    let approved = world.approve(&credential, "755224").await;
    assert!(matches!(approved, Err(Error::Damaged)), "{approved:?}");
}

async fn pin_locks_are_told(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    for number in 1..=3 {
        assert_eq!(world.events("PIN_LOCKED").await, 0, "{number}");
        let code = world.code(&credential).await;
        let wrong = world.approve_on(world.node(), &credential, "13572468", &code);
        assert!(matches!(wrong.await, Err(Error::WrongPin)));
    }
    assert_eq!(world.events("PIN_LOCKED").await, 1);
    let notices = world.messages().await;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("Firma di Anna"), "{notices:?}");
    let code = world.code(&credential).await;
    let locked = world.approve(&credential, &code).await;
    assert!(matches!(locked, Err(Error::PinLocked)), "{locked:?}");
    world.agrees().await;
}

async fn locked_once(database: Database) {
    let world = World::new(&database, policy()).await;
    let mut met = 0;
    for round in 1..=8 {
        let (factor, shown) = app(&world, Algorithm::Sha1, 6).await;
        let credential = world.credential(&factor).await;
        let wrong = async |node: usize, time: u64| {
            let code = shown.generate(time).to_string();
            let node = &world.nodes[node];
            world.approve_on(node, &credential, "13572468", &code).await
        };
        let now = world.seconds();
        assert!(matches!(wrong(0, now - 30).await, Err(Error::WrongPin)));
        let (one, other) = tokio::join!(wrong(0, now), wrong(1, now + 30));
        // The code of the step before may have come second.
        let both = [one, other]
            .iter()
            .all(|end| matches!(end, Err(Error::WrongPin)));
        let locks = world.told("PIN_LOCKED").await.into_iter();
        let locks = locks.filter(|event| event["credential"] == credential.id.as_str());
        assert_eq!(locks.count(), usize::from(both), "round {round}");
        let told = world.messages().await;
        assert_eq!(told.len(), usize::from(both), "{told:?}");
        met += usize::from(both);
    }
    assert!(met > 0, "no two tries met");
    world.agrees().await;
}

async fn tries_are_kept(database: Database) {
    let world = World::new(&database, policy()).await;
    let (_, credential) = world.mailbox().await;
    let calls = ["mac", "random", "decrypt", "derive", "unwrap_dek", "wrap"];
    let counts = || calls.map(|call| world.token.calls(call));
    // What was judged genuine once is not judged again: the first time has more calls than the others.
    let code = world.code(&credential).await;
    world.approve(&credential, &code).await.unwrap();
    let code = world.code(&credential).await;
    let before = counts();
    world.approve(&credential, &code).await.unwrap();
    let after = counts();
    let mut failed = 0;
    for (call, times) in calls.into_iter().zip(before.iter().zip(after)) {
        for nth in 1..=times.1 - times.0 {
            let code = world.code(&credential).await;
            let failure = HsmError::Unfit("on purpose".into());
            world.token.fail_nth(call, nth, failure);
            let ended = world.approve(&credential, &code).await;
            assert!(ended.is_err(), "{call} {nth}");
            assert!(!matches!(ended, Err(Error::WrongPin)), "{call} {nth}");
            let tries = "SELECT pin_failures FROM credential";
            assert_eq!(world.number(tries).await, 0, "{call} {nth}: {ended:?}");
            failed += 1;
        }
    }
    assert!(failed > 8, "{failed}");
    let code = world.code(&credential).await;
    world.approve(&credential, &code).await.unwrap();
    world.agrees().await;
}

async fn forged_jobs(database: Database) {
    let world = World::new(&database, policy()).await;
    let forge = "INSERT INTO job (id, kind, payload, due, attempts, gives_up)
                 VALUES ($1, $2, $3, 0, 0, 9000000000000)";
    let mail = br#"["mail","eve@example.org","Your PIN","Write it to eve@example.org"]"#;
    let notice = format!(
        r#"{{"notice":"otp-locked","holder":"{}","minutes":7,"email":"eve@example.org","text":"Write"}}"#,
        world.holder.id
    );
    let nobody = br#"{"notice":"otp-locked","holder":"nobody","minutes":7}"#;
    for (id, kind, payload) in [
        ("1", "message", mail.to_vec()),
        ("2", "notice", mail.to_vec()),
        ("3", "notice", nobody.to_vec()),
        ("4", "mail", mail.to_vec()),
        ("5", "notice", notice.into_bytes()),
    ] {
        let row = [id.into(), kind.into(), Value::Octets(payload)];
        world.tamper(forge, &row).await;
    }
    let messages = world.messages().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("To: anna@example.org"), "{messages:?}");
    assert!(!messages[0].contains("eve") && !messages[0].contains("Write"));
}
