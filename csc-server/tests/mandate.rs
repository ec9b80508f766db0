//! Automatic signature: a key of its own, within bounds that hold on every node, ended at once (SC-97, SC-98).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "tests share what each uses a part of")]

mod support;
#[path = "support/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use csc_server::{
    config::PukPolicy,
    credential::{
        Approval, Credential, Error, Mode, SignOrder,
        mandate::{Given, Standing, Wanted},
    },
    factor::{Otp, Purpose},
    ids::{ActivationId, HolderId, random_id},
    oauth::{Caller, Proven, ServiceAccess},
    params,
};
use hsm_adapter::{Digest, DigestAlgorithm, HsmError, Pin, Rate, Scheme};

use support::{Database, on_both};
use world::{PIN, World, policy};

const MINUTE: i64 = 60_000;
const DAY: Duration = Duration::from_secs(86_400);

/// An automatic credential of the holder.
struct Ground {
    world: World,
    credential: Credential,
}

impl Ground {
    async fn new(database: Database) -> Self {
        let world = World::new(&database, policy()).await;
        let enrolled = world.node().factors.enrol_mail(&world.holder).await;
        let (mode, factor) = (Mode::Automatic, enrolled.unwrap());
        let made = world.enrol_as(mode, &world.holder, &factor, PukPolicy::Unblock);
        let (credential, _puk) = made.await.unwrap();
        Self { world, credential }
    }

    /// Five signatures in a day, two in a minute.
    fn wanted(&self) -> Wanted {
        Wanted {
            count: 5,
            rate: Rate {
                count: 2,
                period: MINUTE,
            },
            documents: vec!["invoices".into()],
            expires: self.world.clock().now() + DAY.as_millis() as i64,
        }
    }

    async fn tries(&self, wanted: Wanted, pin: &str, code: &str) -> Result<Given, Error> {
        let (keys, client) = (&self.world.node().keys, &self.world.client.id);
        let approval = Approval {
            pin: Pin::parse(pin).unwrap(),
            otp: Otp::parse(code).unwrap(),
        };
        keys.give_mandate(&self.credential, client, wanted, approval)
            .await
    }

    async fn code(&self) -> String {
        // Notices of what happened before.
        self.world.messages().await;
        self.world
            .code_for(&self.credential, Purpose::Mandate)
            .await
    }

    async fn gives(&self, wanted: Wanted) -> Given {
        let code = self.code().await;
        self.tries(wanted, PIN, &code).await.unwrap()
    }

    async fn now(&self) -> Credential {
        let found = Credential::by_id(&self.world.node().store, &self.credential.id).await;
        found.unwrap().unwrap()
    }

    /// The client, as it proved itself.
    fn access(&self, proven: Proven) -> ServiceAccess {
        let access = ServiceAccess::new(self.world.client.id.clone(), None);
        access.of(Caller {
            proven,
            confirmation: None,
        })
    }

    /// What the client does: so many signatures, on this node.
    async fn signs_on(&self, node: usize, mandate: &str, many: u8) -> Result<usize, Error> {
        let credential = self.now().await;
        let access = self.access(Proven::PrivateKeyJwt);
        let node = Arc::clone(&self.world.nodes[node]);
        let (order, request) = (order(many), random_id());
        let keys = &node.keys;
        let permit = keys.redeem(&access, &credential, mandate, order, &request);
        let permit = permit.await?;
        Ok(self.world.spend(permit).await?.len())
    }

    async fn signs(&self, mandate: &str, many: u8) -> Result<usize, Error> {
        self.signs_on(0, mandate, many).await
    }
}

fn order(many: u8) -> SignOrder {
    let digest = |octet| Digest::new(DigestAlgorithm::Sha256, vec![octet; 32]).unwrap();
    SignOrder {
        scheme: Scheme::Ecdsa(DigestAlgorithm::Sha256),
        digests: (1..=many).map(digest).collect(),
    }
}

async fn a_mandate_signs_within_count_rate_and_time(database: Database) {
    let ground = Ground::new(database).await;
    let given = ground.gives(ground.wanted()).await;
    let mandate = given.mandate.as_str();

    // The same document twice is two signatures.
    assert_eq!(ground.signs(mandate, 1).await.unwrap(), 1);
    assert_eq!(ground.signs(mandate, 1).await.unwrap(), 1);
    let refused = ground.signs(mandate, 1).await;
    let Err(Error::TooSoon { retry_after }) = refused else {
        panic!("the rate: {refused:?}");
    };
    assert_eq!(retry_after, Duration::from_secs(60));
    ground.world.pass(retry_after);
    assert_eq!(ground.signs(mandate, 2).await.unwrap(), 2);
    ground.world.pass(Duration::from_secs(60));
    let beyond = ground.signs(mandate, 2).await;
    assert!(
        matches!(beyond, Err(Error::InvalidSad)),
        "the count: {beyond:?}"
    );
    assert_eq!(ground.signs(mandate, 1).await.unwrap(), 1);
    let spent = ground.signs(mandate, 1).await;
    assert!(matches!(spent, Err(Error::InvalidSad)), "{spent:?}");

    let short = ground.gives(ground.wanted()).await.mandate;
    let many = ground.signs(&short, 3).await;
    assert!(
        matches!(many, Err(Error::NotAuthorised)),
        "no period has as many: {many:?}"
    );
    ground.world.pass(DAY);
    let late = ground.signs(&short, 1).await;
    assert!(matches!(late, Err(Error::SadExpired)), "{late:?}");
    assert_eq!(ground.world.events("MANDATE_CREATED").await, 2);
    assert_eq!(ground.world.events("MANDATE_USED").await, 4);
    ground.world.agrees().await;
}

async fn a_mandate_is_of_its_client_and_secret(database: Database) {
    let ground = Ground::new(database).await;
    let given = ground.gives(ground.wanted()).await;
    let another = ground.gives(ground.wanted()).await;
    let (id, _) = given.mandate.split_once('.').unwrap();
    let (_, secret) = another.mandate.split_once('.').unwrap();
    for forged in [format!("{id}.{secret}"), id.to_owned()] {
        let refused = ground.signs(&forged, 1).await;
        assert!(matches!(refused, Err(Error::InvalidSad)), "{refused:?}");
    }
    let shop = ServiceAccess::new(csc_server::ids::ClientId::new("shop"), None);
    let keys = &ground.world.node().keys;
    let redeemed = keys.redeem(
        &shop,
        &ground.credential,
        &given.mandate,
        order(1),
        "request",
    );
    assert!(matches!(redeemed.await, Err(Error::InvalidSad)));
    for weak in [Proven::Not, Proven::Secret] {
        let access = ground.access(weak);
        let redeemed = keys.redeem(
            &access,
            &ground.credential,
            &given.mandate,
            order(1),
            "request",
        );
        assert!(matches!(redeemed.await, Err(Error::WeakClient)), "{weak:?}");
    }
    // It cannot be extended to another, nor does that alarm anybody.
    let access = ground.world.access(&ground.credential);
    let hash = [csc_server::credential::Hash::new(vec![1; 32]).unwrap()];
    let extended = keys.extend(&access, &ground.credential, &given.mandate, &hash);
    assert!(matches!(extended.await, Err(Error::InvalidSad)));
    assert_eq!(ground.world.events("KEY_INTEGRITY_FAIL").await, 0);
    ground.world.agrees().await;
}

async fn parallel_calls_on_two_nodes_never_exceed_a_bound(database: Database) {
    let ground = Arc::new(Ground::new(database).await);
    for (rate, signed) in [(1000, 5), (3, 3)] {
        let wanted = Wanted {
            rate: Rate {
                count: rate,
                period: MINUTE,
            },
            ..ground.wanted()
        };
        let mandate = ground.gives(wanted).await.mandate;
        let tries = (0..16).map(|number| {
            let (ground, mandate) = (Arc::clone(&ground), mandate.clone());
            tokio::spawn(async move { ground.signs_on(number % 2, &mandate, 1).await.is_ok() })
        });
        let mut won = 0;
        for tried in tries.collect::<Vec<_>>() {
            won += usize::from(tried.await.unwrap());
        }
        assert_eq!(won, signed);
    }
    ground.world.agrees().await;
}

async fn a_mandate_ends_at_once(database: Database) {
    let ground = Ground::new(database).await;
    let keys = &ground.world.node().keys;
    let refused = async |mandate: &str, rule: &str| {
        let signed = ground.signs(mandate, 1).await;
        assert!(
            matches!(signed, Err(Error::InvalidSad | Error::Disabled)),
            "{rule}: {signed:?}"
        );
    };

    let (one, two) = (
        ground.gives(ground.wanted()).await,
        ground.gives(ground.wanted()).await,
    );
    let holder = &ground.credential.holder;
    let stranger = HolderId::new("x");
    assert!(!keys.stop_mandate(&stranger, &one.id).await.unwrap());
    assert!(keys.stop_mandate(holder, &one.id).await.unwrap());
    assert!(!keys.stop_mandate(holder, &one.id).await.unwrap(), "twice");
    refused(&one.mandate, "stopped by the holder").await;
    assert_eq!(ground.signs(&two.mandate, 1).await.unwrap(), 1);
    assert!(keys.mandates(&stranger, 10).await.unwrap().is_empty());
    let listed = keys.mandates(holder, 10).await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|listed| (&listed.id, listed.remaining, listed.standing))
        .collect();
    let (in_force, ended) = (Standing::InForce, Standing::Ended);
    assert_eq!(listed, [(&two.id, 4, in_force), (&one.id, 5, ended)]);
    let unknown = ActivationId::new("x");
    assert!(!keys.stop_mandate(holder, &unknown).await.unwrap());
    assert_eq!(keys.stop_mandates(&ground.credential).await.unwrap(), 1);
    refused(&two.mandate, "all stopped").await;

    let given = ground.gives(ground.wanted()).await;
    let access = ground.world.access(&ground.credential);
    keys.revoke(&access, &given.mandate).await.unwrap();
    refused(&given.mandate, "given back by the client").await;

    let given = ground.gives(ground.wanted()).await;
    let code = ground
        .world
        .code_for(&ground.credential, Purpose::ChangePin)
        .await;
    let (old, otp) = (Pin::parse(PIN).unwrap(), Otp::parse(&code).unwrap());
    let client = &ground.world.client.id;
    let changed = keys.change_pin(client, &ground.credential, &old, &otp, &old);
    changed.await.unwrap();
    refused(&given.mandate, "a new PIN").await;

    let mut ground = ground;
    ground.credential = ground.now().await;
    let keys = &ground.world.node().keys;
    let given = ground.gives(ground.wanted()).await;
    keys.suspend(&ground.credential).await.unwrap();
    keys.reactivate(&ground.now().await).await.unwrap();
    ground.credential = ground.now().await;
    let signed = ground.signs(&given.mandate, 1).await;
    assert!(matches!(signed, Err(Error::InvalidSad)), "{signed:?}");

    let keys = &ground.world.node().keys;
    let given = ground.gives(ground.wanted()).await;
    keys.revoke_credential(&ground.credential).await.unwrap();
    let signed = ground.signs(&given.mandate, 1).await;
    assert!(matches!(signed, Err(Error::InvalidSad)), "{signed:?}");
    assert_eq!(ground.world.events("MANDATE_ENDED").await, 6);
    ground.world.agrees().await;
}

async fn a_failed_signature_is_given_back_and_no_position_comes_twice(database: Database) {
    let ground = Ground::new(database).await;
    let mandate = ground.gives(ground.wanted()).await.mandate;
    assert_eq!(ground.signs(&mandate, 1).await.unwrap(), 1);
    let failure = HsmError::Refused("not today".into());
    ground.world.token.fail_next("sign", failure);
    ground.signs(&mandate, 1).await.unwrap_err();
    ground.world.pass(Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(ground.signs(&mandate, 2).await.unwrap(), 2);
        ground.world.pass(Duration::from_secs(60));
    }
    let spent = ground.signs(&mandate, 1).await;
    assert!(matches!(spent, Err(Error::InvalidSad)), "{spent:?}");
    ground.world.agrees().await;
}

on_both! {
    within_count_rate_and_time => crate::a_mandate_signs_within_count_rate_and_time;
    of_its_client_and_secret => crate::a_mandate_is_of_its_client_and_secret;
    parallel_calls => crate::parallel_calls_on_two_nodes_never_exceed_a_bound;
    ended_at_once => crate::a_mandate_ends_at_once;
    failed_signature => crate::a_failed_signature_is_given_back_and_no_position_comes_twice;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interactive_key_takes_no_mandate_and_an_automatic_one_gives_no_sad() {
    let mut ground = Ground::new(Database::sqlite()).await;
    let world = &ground.world;
    let code = world.code(&ground.credential).await;
    let approved = world.approve(&ground.credential, &code).await;
    assert!(matches!(approved, Err(Error::WrongMode)), "{approved:?}");

    let (_, interactive) = world.mailbox().await;
    let certificate = |credential: &Credential| {
        let text = b"Valido solo per firme apposte con procedura automatica";
        credential
            .certificate
            .windows(text.len())
            .any(|part| part == text)
    };
    assert!(certificate(&ground.credential) && !certificate(&interactive));
    ground.credential = interactive;
    let code = ground.code().await;
    let given = ground.tries(ground.wanted(), PIN, &code).await;
    assert!(matches!(given, Err(Error::WrongMode)));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_without_bounds_are_refused_and_burn_no_code() {
    let ground = Ground::new(Database::sqlite()).await;
    let code = ground.code().await;
    let year = 365 * DAY.as_millis() as i64;
    let now = ground.world.clock().now();
    let changes: [fn(&mut Wanted, i64, i64); 10] = [
        |wanted, _, _| wanted.count = 0,
        |wanted, _, _| wanted.rate.count = 0,
        |wanted, _, _| wanted.rate.period = 0,
        |wanted, _, year| wanted.rate.period = year,
        |wanted, now, _| wanted.expires = now,
        |wanted, now, year| wanted.expires = now + year + 1,
        |wanted, _, _| wanted.documents = vec![],
        |wanted, _, _| wanted.documents = vec![" ".into()],
        |wanted, _, _| wanted.documents = vec!["x".repeat(101)],
        |wanted, _, _| wanted.documents = vec!["x".into(); 21],
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut wanted = ground.wanted();
        change(&mut wanted, now, year);
        let given = ground.tries(wanted, PIN, &code).await;
        assert!(matches!(given, Err(Error::Terms(_))), "{number}");
    }
    let wrong = ground.tries(ground.wanted(), "13572468", &code).await;
    assert!(matches!(wrong, Err(Error::WrongPin)));
    let code = ground.code().await;
    ground.tries(ground.wanted(), PIN, &code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_to_sign_gives_no_mandate() {
    let ground = Ground::new(Database::sqlite()).await;
    let code = ground.world.code(&ground.credential).await;
    let given = ground.tries(ground.wanted(), PIN, &code).await;
    assert!(matches!(given, Err(Error::WrongOtp)));
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_terms_sign_nothing_and_are_alarmed() {
    let ground = Ground::new(Database::sqlite()).await;
    let mandate = ground.gives(ground.wanted()).await.mandate;
    let row = ground
        .world
        .node()
        .store
        .find("SELECT content FROM activation", &[]);
    let content: Vec<u8> = row.await.unwrap().unwrap().get(0).unwrap();
    let edited = String::from_utf8(content).unwrap();
    let edited = edited.replace("\"count\":5", "\"count\":9").into_bytes();
    let sql = "UPDATE activation SET content = $1, remaining = 9";
    ground.world.tamper(sql, params![edited]).await;
    let signed = ground.signs(&mandate, 1).await;
    assert!(matches!(signed, Err(Error::Damaged)), "{signed:?}");
    assert_eq!(ground.world.events("KEY_INTEGRITY_FAIL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mandate_of_a_blocked_holder_signs_nothing() {
    let ground = Ground::new(Database::sqlite()).await;
    let mandate = ground.gives(ground.wanted()).await.mandate;
    let sql = "UPDATE holder SET status = $1";
    ground.world.tamper(sql, params!["blocked"]).await;
    let signed = ground.signs(&mandate, 1).await;
    assert!(matches!(signed, Err(Error::Disabled)), "{signed:?}");
}
