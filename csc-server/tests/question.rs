//! Signatures that the service asks the holder about: he answers once, the client gets what he unlocked and nobody else does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "tests share what each uses a part of")]

mod support;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use csc_server::{
    config::PukPolicy,
    credential::{Approval, Credential, Error, Hash, Mode, Order},
    factor::Otp,
    ids::ClientId,
    oauth::ServiceAccess,
    params,
    question::{Checked, Questions, State},
};
use hsm_adapter::{Pin, Secret};

use support::{Database, on_both};
use world::{PIN, World, policy};

const LIFETIME: Duration = Duration::from_secs(300);

struct Ground {
    world: World,
    credential: Credential,
    access: ServiceAccess,
    /// One a node.
    questions: Vec<Questions>,
}

impl Ground {
    async fn new(database: Database) -> Self {
        let world = World::new(&database, policy()).await;
        let enrolled = world.node().factors.enrol_mail(&world.holder).await;
        let (mode, factor) = (Mode::Implicit, enrolled.unwrap());
        let made = world.enrol_as(mode, &world.holder, &factor, PukPolicy::Unblock);
        let (credential, _puk) = made.await.unwrap();
        Self {
            questions: world
                .nodes
                .iter()
                .map(|node| world.questions(node))
                .collect(),
            access: world.access(&credential),
            credential,
            world,
        }
    }

    fn here(&self) -> &Questions {
        &self.questions[0]
    }

    /// Asks; the handle, and the link of the mail.
    async fn asks(&self) -> (String, String) {
        self.world.messages().await;
        let handle = self.tries_to_ask().await.unwrap();
        let mails = self.world.messages().await;
        assert_eq!(mails.len(), 1);
        assert!(!mails[0].contains(handle.split('.').next_back().unwrap()));
        let mut words = mails[0].split_ascii_whitespace();
        let link = words.find_map(|word| word.strip_prefix("https://sign.example/approve/"));
        (handle, link.unwrap().to_owned())
    }

    async fn tries_to_ask(&self) -> Result<String, Error> {
        let hashes = vec![Hash::new(vec![7; 32]).unwrap()];
        let order = Order::new(&self.credential, 1, hashes, None).unwrap();
        let asked = self
            .here()
            .ask(&self.access, &self.credential, &order, Some("A lease"));
        asked.await
    }

    async fn approves(&self, link: &str, pin: &str) -> Result<(), Error> {
        let question = self.here().find(link).await.unwrap();
        assert_eq!(question.description.as_deref(), Some("A lease"));
        self.world.messages().await;
        self.here().send_code(&question).await.unwrap();
        let mails = self.world.messages().await;
        let mut words = mails.iter().flat_map(|mail| mail.split_ascii_whitespace());
        let code = words.find(|word| word.len() == 8 && word.bytes().all(|c| c.is_ascii_digit()));
        let approval = Approval {
            pin: Pin::parse(pin).unwrap(),
            otp: Otp::parse(code.unwrap()).unwrap(),
        };
        self.here().approve(&question, approval).await
    }

    async fn checks(&self, handle: &str) -> Result<Checked, Error> {
        self.questions[1].check(&self.access, handle).await
    }

    async fn is_invalid(&self, access: &ServiceAccess, handle: &str, rule: &str) {
        let checked = self.here().check(access, handle).await;
        assert!(matches!(checked, Err(Error::InvalidHandle)), "{rule}");
    }
}

async fn an_approval_gives_the_client_its_sad_once(database: Database) {
    let ground = Ground::new(database).await;
    let (handle, link) = ground.asks().await;
    assert!(matches!(ground.checks(&handle).await, Ok(Checked::Waiting)));
    let wrong = ground.approves(&link, "13572468").await;
    assert!(matches!(wrong, Err(Error::WrongPin)), "{wrong:?}");
    assert!(matches!(ground.checks(&handle).await, Ok(Checked::Waiting)));
    ground.approves(&link, PIN).await.unwrap();

    // Nobody but who holds the handle, of the right client and holder.
    let (id, secret) = handle.split_once('.').unwrap();
    let forged = format!("{id}.{}", Secret::random().unwrap().expose());
    let shop = ServiceAccess::new(ClientId::new("shop"), ground.access.holder.clone());
    let other = csc_server::ids::HolderId::random();
    let stranger = ServiceAccess::new(ground.access.client.clone(), Some(other));
    let renamed = format!("{}.{secret}", csc_server::ids::QuestionId::random());
    for unknown in ["", "x", &forged, &renamed] {
        ground.is_invalid(&ground.access, unknown, unknown).await;
    }
    ground.is_invalid(&shop, &handle, "another client").await;
    ground
        .is_invalid(&stranger, &handle, "another holder")
        .await;

    let Ok(Checked::Approved(issued)) = ground.checks(&handle).await else {
        panic!("no SAD");
    };
    assert_eq!(issued.expires_in, 300);
    let signed = ground.world.sign(&ground.credential, &issued.sad).await;
    assert_eq!(signed.unwrap().len(), 1);
    ground.is_invalid(&ground.access, &handle, "used").await;
    let again = ground.approves(&link, PIN).await;
    assert!(matches!(again, Err(Error::InvalidHandle)), "{again:?}");
    ground.world.agrees().await;
}

async fn a_refusal_is_an_error_and_final(database: Database) {
    let ground = Ground::new(database).await;
    let (handle, link) = ground.asks().await;
    let question = ground.here().find(&link).await.unwrap();
    ground.here().refuse(&question).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(ground.checks(&handle).await, Err(Error::Denied)));
    }
    let late = ground.approves(&link, PIN).await;
    assert!(matches!(late, Err(Error::InvalidHandle)), "{late:?}");
    let twice = ground.here().refuse(&question).await;
    assert!(matches!(twice, Err(Error::InvalidHandle)), "{twice:?}");
    ground.world.agrees().await;
}

async fn a_question_does_not_wait_for_ever(database: Database) {
    let ground = Ground::new(database).await;
    let (late, link) = ground.asks().await;
    ground.world.pass(LIFETIME);
    ground.is_invalid(&ground.access, &late, "its time").await;
    assert_eq!(
        ground.here().find(&link).await.unwrap().state,
        State::Lapsed
    );

    let (given_up, _) = ground.asks().await;
    assert!(ground.here().give_up(&given_up).await.unwrap());
    assert!(!ground.here().give_up(&given_up).await.unwrap());
    ground
        .is_invalid(&ground.access, &given_up, "given up")
        .await;

    let (waiting, _) = ground.asks().await;
    let (approved, link) = ground.asks().await;
    ground.approves(&link, PIN).await.unwrap();
    let ended = ground.here().end_grant(&ground.access.grant).await;
    ended.unwrap();
    for handle in [waiting, approved] {
        ground
            .is_invalid(&ground.access, &handle, "logged out")
            .await;
    }
    ground.world.agrees().await;
}

async fn a_fourth_question_at_once_is_refused_and_a_sixth_in_an_hour(database: Database) {
    let ground = Ground::new(database).await;
    for _ in 0..3 {
        ground.tries_to_ask().await.unwrap();
    }
    let Err(Error::TooSoon { retry_after }) = ground.tries_to_ask().await else {
        panic!("a fourth question");
    };
    assert_eq!(retry_after, LIFETIME);
    ground.world.pass(LIFETIME);
    for _ in 0..2 {
        ground.tries_to_ask().await.unwrap();
    }
    let Err(Error::TooSoon { retry_after }) = ground.tries_to_ask().await else {
        panic!("a sixth question");
    };
    assert_eq!(retry_after, Duration::from_secs(3600) - LIFETIME);
    ground.world.pass(Duration::from_secs(86_400));
    ground.tries_to_ask().await.unwrap();
    let left = ground.world.number("SELECT COUNT(*) FROM question").await;
    assert_eq!(left, 1, "old ones are forgotten");
    ground.world.agrees().await;
}

on_both! {
    an_approval => super::an_approval_gives_the_client_its_sad_once;
    a_refusal => super::a_refusal_is_an_error_and_final;
    time => super::a_question_does_not_wait_for_ever;
    limits => super::a_fourth_question_at_once_is_refused_and_a_sixth_in_an_hour;
}

/// Who writes the database makes the holder approve for a key of his own: seen before anything is shown or unlocked.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_question_is_refused_and_alarmed() {
    let ground = Ground::new(Database::sqlite()).await;
    let (handle, link) = ground.asks().await;
    let question = ground.here().find(&link).await.unwrap();
    for (number, sql) in [
        "UPDATE question SET public_key = $1",
        "UPDATE question SET handle_hash = $1",
    ]
    .into_iter()
    .enumerate()
    {
        let mine = vec![9_u8; 32];
        ground.world.tamper(sql, params![mine]).await;
        let found = ground.here().find(&link).await;
        assert!(matches!(found, Err(Error::Damaged)), "{sql}");
        let alarms = ground.world.events("QUESTION_INTEGRITY_FAIL").await;
        assert_eq!(alarms, number + 1);
    }
    let report = ground.world.inspected().await;
    assert_eq!(report.disagreements[0].table, "question");
    drop((handle, question));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_not_the_sad() {
    let ground = Ground::new(Database::sqlite()).await;
    let (handle, link) = ground.asks().await;
    ground.approves(&link, PIN).await.unwrap();
    let store = &ground.world.node().store;
    let row = store.find("SELECT sealed, mac FROM question", &[]).await;
    let sealed: Vec<u8> = row.unwrap().unwrap().get(0).unwrap();
    let Ok(Checked::Approved(issued)) = ground.checks(&handle).await else {
        panic!("no SAD");
    };
    let sad = issued.sad.as_bytes();
    assert!(!sealed.windows(sad.len()).any(|part| part == sad));
    let gone = "SELECT COUNT(*) FROM question WHERE sealed IS NOT NULL";
    assert_eq!(ground.world.number(gone).await, 0);
}
