//! The code flow without a browser: what a client asks, the holder's answer, the code, and the token that signs what he approved and nothing
//! else; over SQLite and over PostgreSQL.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;
#[expect(dead_code, reason = "each file uses its part")]
#[path = "support/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use csc_server::{
    authorization::{
        Arrived, Authorization, Authorizations, CodeRequest, Error, Granted, Redirect, Untraded,
    },
    credential::{self, Approval, Credential, SignOrder, TokenAccess},
    factor::Otp,
    ids::{ClientId, random_id},
    oauth::{
        Caller, Proven, ServiceAccess,
        client::Client,
        fields::Fields,
        registration::{Grant, Registration},
        token,
    },
    store::Value,
};
use hsm_adapter::{Digest, DigestAlgorithm, Pin, Scheme, Secret};
use support::{Database, on_both};
use url::Url;
use world::{PIN, World, policy};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "https://shop.example/back?from=sign";
const SESSION: &str = "session";
/// SHA-256 of what is signed.
const FIRST: [u8; 32] = [7; 32];
const SECOND: [u8; 32] = [8; 32];

on_both! {
    a_code_gives_one_token_that_signs_what_was_approved => super::token_signs_what_was_approved;
    a_code_that_comes_twice_ends_what_it_gave => super::code_twice;
    a_code_is_no_sad_and_goes_with_its_request_only => super::code_is_bound;
    whoever_edits_the_request_spoils_the_code => super::edited_request;
    one_of_parallel_trades_wins_and_then_nothing_is_left => super::parallel_trades;
    a_token_signs_each_hash_once_without_being_extended => super::each_hash_once;
    a_wrong_pin_leaves_the_request_and_one_answer_is_the_answer => super::one_answer;
    a_service_code_gives_tokens_once => super::service_code;
    a_refresh_token_that_comes_twice_ends_its_grant => super::refresh_twice;
    a_code_dies_with_its_time_and_with_the_session => super::code_dies;
    a_pushed_request_is_picked_up_once_by_its_client => super::pushed_once;
    an_account_token_opens_the_page_once_for_its_account => super::account_tokens;
}

/// A client, a holder with a certificate, and what they ask.
struct Flow {
    world: World,
    authorizations: Authorizations,
    client: Arc<Client>,
    credential: Credential,
}

impl Flow {
    async fn new(database: Database) -> Self {
        Self::with(database, |_| ()).await
    }

    async fn with(database: Database, change: impl FnOnce(&mut Registration)) -> Self {
        let world = World::new(&database, policy()).await;
        let (_, credential) = world.mailbox().await;
        let mut registration = Registration {
            redirect_uris: vec![BACK.to_owned()],
            grants: vec![Grant::AuthorizationCode, Grant::RefreshToken],
            ..Registration::named("A shop")
        };
        change(&mut registration);
        let id = ClientId::new("shop");
        let secret = Secret::parse(&"A".repeat(43)).unwrap();
        let clients = world.clients();
        clients
            .add(&id, &registration, Some(&secret))
            .await
            .unwrap();
        Self {
            authorizations: world.authorizations(),
            client: clients.find(&id).await.unwrap().unwrap(),
            world,
            credential,
        }
    }

    /// The query of a request for signatures over these.
    fn signatures(&self, hashes: &[[u8; 32]]) -> String {
        use base64::Engine;
        let encode = |hash: &[u8; 32]| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(hash);
        let all: Vec<_> = hashes.iter().map(encode).collect();
        format!(
            "scope=credential&credentialID={}&numSignatures={}&hashes={}&hashAlgorithmOID=2.16.840.1.101.3.4.2.1",
            self.credential.id,
            hashes.len(),
            all.join(",")
        )
    }

    fn query(more: &str) -> Fields {
        let text = format!(
            "response_type=code&client_id=shop&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256&{more}"
        );
        Fields::parse(text.as_bytes()).unwrap()
    }

    /// What the page shows.
    async fn asks(&self, more: &str) -> Authorization {
        match self
            .authorizations
            .arrive(&Self::query(more))
            .await
            .unwrap()
        {
            Arrived::Page { cookie } => self.authorizations.find(&cookie).await.unwrap(),
            Arrived::Back(redirect) => panic!("{}", redirect.location),
        }
    }

    async fn approves(&self, asked: &Authorization, pin: &str) -> Result<Redirect, Error> {
        let holder = &self.world.holder.id;
        let id = &self.credential.id;
        self.authorizations.send_code(asked, holder, id).await?;
        let approval = Approval {
            pin: Pin::parse(pin).unwrap(),
            otp: Otp::parse(&self.world.sent_code().await).unwrap(),
        };
        self.authorizations
            .approve(asked, holder, id, approval, SESSION)
            .await
    }

    async fn code(&self, hashes: &[[u8; 32]]) -> String {
        let asked = self.asks(&self.signatures(hashes)).await;
        code_of(&self.approves(&asked, PIN).await.unwrap())
    }

    async fn trade(&self, code: &str, verifier: &str) -> Result<Granted, Untraded> {
        let request = CodeRequest {
            code,
            redirect_uri: None,
            code_verifier: Some(verifier),
            authorization_details: None,
        };
        self.authorizations
            .trade(&self.client, &request, caller())
            .await
    }

    async fn token(&self, code: &str) -> String {
        match self
            .trade(code, VERIFIER)
            .await
            .map_err(|error| error.to_string())
        {
            Ok(Granted::Credential { traded, .. }) => traded.token.sad,
            Ok(Granted::Service(_)) => panic!("a service token"),
            Ok(Granted::Life { .. }) => panic!("another token"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Signs with this as SAD.
    async fn signs(&self, sad: &str, hashes: &[[u8; 32]]) -> Result<(), credential::Error> {
        let digest = |digest: &[u8; 32]| Digest::new(DigestAlgorithm::Sha256, digest.to_vec());
        let order = SignOrder {
            scheme: Scheme::Ecdsa(DigestAlgorithm::Sha256),
            digests: hashes.iter().map(digest).map(Option::unwrap).collect(),
        };
        let holder = Some(self.credential.holder.clone());
        let access = ServiceAccess::new(self.client.id.clone(), holder);
        let keys = &self.world.node().keys;
        let permit = keys
            .redeem(&access, &self.credential, sad, order, &random_id())
            .await?;
        self.world.spend(permit).await.map(drop)
    }

    async fn bearer(&self, token: &str) -> Result<Option<TokenAccess>, credential::Error> {
        self.world.node().keys.bearer(token).await
    }
}

fn caller() -> Caller {
    Caller {
        proven: Proven::Secret,
        confirmation: None,
    }
}

fn parameter(redirect: &Redirect, name: &str) -> Option<String> {
    let url = Url::parse(&redirect.location).unwrap();
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

fn code_of(redirect: &Redirect) -> String {
    assert!(redirect.location.starts_with(BACK));
    assert_eq!(parameter(redirect, "state").as_deref(), Some("s"));
    assert_eq!(
        parameter(redirect, "iss").as_deref(),
        Some("https://sign.example")
    );
    parameter(redirect, "code").unwrap()
}

async fn token_signs_what_was_approved(database: Database) {
    let flow = Flow::new(database).await;
    let token = flow.token(&flow.code(&[FIRST]).await).await;
    let access = flow.bearer(&token).await.unwrap().unwrap();
    assert_eq!(access.credential, flow.credential.id);
    assert_eq!(access.service.client, flow.client.id);
    let other = flow.signs(&token, &[SECOND]).await;
    assert!(matches!(other, Err(credential::Error::NotAuthorised)));
    flow.signs(&token, &[FIRST]).await.unwrap();
    let again = flow.signs(&token, &[FIRST]).await;
    assert!(matches!(again, Err(credential::Error::InvalidSad)));
    assert!(matches!(
        flow.bearer(&token).await,
        Err(credential::Error::SadExpired)
    ));
    flow.world.agrees().await;
}

async fn code_twice(database: Database) {
    let flow = Flow::new(database).await;
    let code = flow.code(&[FIRST]).await;
    let token = flow.token(&code).await;
    assert!(matches!(
        flow.trade(&code, VERIFIER).await,
        Err(Untraded::Unknown)
    ));
    let dead = flow.signs(&token, &[FIRST]).await;
    assert!(matches!(dead, Err(credential::Error::InvalidSad)));
    assert_eq!(flow.world.events("CODE_REUSED").await, 1);
    flow.world.agrees().await;
}

async fn code_is_bound(database: Database) {
    let flow = Flow::new(database).await;
    let code = flow.code(&[FIRST]).await;
    let as_sad = flow.signs(&code, &[FIRST]).await;
    assert!(matches!(as_sad, Err(credential::Error::InvalidSad)));
    assert!(flow.bearer(&code).await.unwrap().is_none());
    let other = "A".repeat(43);
    assert!(matches!(
        flow.trade(&code, &other).await,
        Err(Untraded::OtherVerifier)
    ));
    let mut request = CodeRequest {
        code: &code,
        redirect_uri: None,
        code_verifier: None,
        authorization_details: None,
    };
    let trade = async |request: &CodeRequest<'_>| {
        flow.authorizations
            .trade(&flow.client, request, caller())
            .await
    };
    assert!(matches!(trade(&request).await, Err(Untraded::NoVerifier)));
    request.redirect_uri = Some("https://shop.example/other");
    assert!(matches!(
        trade(&request).await,
        Err(Untraded::OtherRedirect)
    ));
    request.redirect_uri = None;
    let clients = flow.world.clients();
    let id = ClientId::new("other");
    let registration = &flow.client.registration;
    let secret = Secret::random().unwrap();
    clients.add(&id, registration, Some(&secret)).await.unwrap();
    let stranger = clients.find(&id).await.unwrap().unwrap();
    request.code_verifier = Some(VERIFIER);
    let stolen = flow.authorizations.trade(&stranger, &request, caller());
    assert!(matches!(stolen.await, Err(Untraded::Unknown)));
    // None of this has spent it.
    flow.token(&code).await;
}

async fn edited_request(database: Database) {
    let flow = Flow::new(database).await;
    let code = flow.code(&[FIRST]).await;
    // The thief's own challenge, for a verifier he knows.
    let sql = "UPDATE oauth_request SET request = replace(request, $1, $2)";
    let thief = "2Wsyhj4D51PKMpzHsfm3mPl2yK5Hm0B3W5LPQ_VhBlE";
    flow.world
        .tamper(sql, &[Value::from(CHALLENGE), Value::from(thief)])
        .await;
    assert!(matches!(
        flow.trade(&code, VERIFIER).await,
        Err(Untraded::OtherVerifier)
    ));
    flow.world
        .tamper(sql, &[Value::from(thief), Value::from(CHALLENGE)])
        .await;
    let sql = "UPDATE oauth_request SET request = replace(request, $1, $2)";
    flow.world
        .tamper(
            sql,
            &[
                Value::from("\"state\":\"s\""),
                Value::from("\"state\":\"t\""),
            ],
        )
        .await;
    assert!(matches!(
        flow.trade(&code, VERIFIER).await,
        Err(Untraded::Unknown)
    ));
}

async fn parallel_trades(database: Database) {
    let flow = Arc::new(Flow::new(database).await);
    let code = flow.code(&[FIRST]).await;
    let trades = (0..4).map(|_| {
        let (flow, code) = (flow.clone(), code.clone());
        tokio::spawn(async move { flow.trade(&code, VERIFIER).await.ok() })
    });
    let mut tokens = Vec::new();
    for trade in trades.collect::<Vec<_>>() {
        if let Some(Granted::Credential { traded, .. }) = trade.await.unwrap() {
            tokens.push(traded.token.sad);
        }
    }
    assert_eq!(tokens.len(), 1);
    let dead = flow.signs(&tokens[0], &[FIRST]).await;
    assert!(matches!(dead, Err(credential::Error::InvalidSad)));
}

async fn each_hash_once(database: Database) {
    let flow = Arc::new(Flow::new(database).await);
    let token = flow.token(&flow.code(&[FIRST, SECOND]).await).await;
    let parallel = (0..4).map(|_| {
        let (flow, token) = (flow.clone(), token.clone());
        tokio::spawn(async move { flow.signs(&token, &[FIRST]).await.is_ok() })
    });
    let mut signed = 0;
    for one in parallel.collect::<Vec<_>>() {
        signed += usize::from(one.await.unwrap());
    }
    assert_eq!(signed, 1);
    let again = flow.signs(&token, &[FIRST]).await;
    assert!(matches!(again, Err(credential::Error::NotAuthorised)));
    flow.signs(&token, &[SECOND]).await.unwrap();
    assert_eq!(flow.world.events("KEY_INTEGRITY_FAIL").await, 0);
    flow.world.agrees().await;
}

async fn one_answer(database: Database) {
    let flow = Flow::new(database).await;
    let asked = flow.asks(&flow.signatures(&[FIRST])).await;
    let wrong = flow.approves(&asked, "13572468").await;
    assert!(matches!(
        wrong,
        Err(Error::Credential(credential::Error::WrongPin))
    ));
    flow.approves(&asked, PIN).await.unwrap();
    let second = flow.approves(&asked, PIN).await;
    assert!(matches!(second, Err(Error::Ended)));
    assert!(matches!(
        flow.authorizations.refuse(&asked).await,
        Err(Error::Ended)
    ));

    let asked = flow.asks(&flow.signatures(&[FIRST])).await;
    let refused = flow.authorizations.refuse(&asked).await.unwrap();
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("access_denied")
    );
    assert!(matches!(
        flow.approves(&asked, PIN).await,
        Err(Error::Ended)
    ));
    flow.world.agrees().await;
}

async fn service_code(database: Database) {
    let flow = Flow::new(database).await;
    let asked = flow.asks("scope=service").await;
    let holder = &flow.world.holder.id;
    let answer = flow.authorizations.grant_service(&asked, holder, SESSION);
    let code = code_of(&answer.await.unwrap());
    let Ok(Granted::Service(issued)) = flow.trade(&code, VERIFIER).await else {
        panic!("no service token");
    };
    let tokens = flow.world.tokens();
    let (access, _) = tokens.access(&issued.access).await.unwrap();
    assert_eq!(access.holder.as_ref(), Some(holder));
    assert!(matches!(
        flow.trade(&code, VERIFIER).await,
        Err(Untraded::Expired)
    ));
    let dead = tokens.access(&issued.access).await;
    assert!(matches!(dead, Err(token::Error::Expired)));
    assert_eq!(flow.world.events("TOKEN_REUSED").await, 1);
    flow.world.agrees().await;
}

async fn refresh_twice(database: Database) {
    let flow = Flow::new(database).await;
    let tokens = flow.world.tokens();
    let id = &flow.client.id;
    let access = ServiceAccess::new(id.clone(), None).of(caller());
    let first = tokens.issue(&access, true).await.unwrap();
    let old = first.refresh.unwrap();
    let second = tokens.refresh(&old, id, caller()).await.unwrap();
    tokens.access(&second.access).await.unwrap();
    let reused = tokens.refresh(&old, id, caller()).await;
    assert!(matches!(reused, Err(token::Error::Reused(_))));
    for token in [&first.access, &second.access] {
        let dead = tokens.access(token).await;
        assert!(matches!(dead, Err(token::Error::Expired)));
    }
    let dead = tokens.refresh(&second.refresh.unwrap(), id, caller()).await;
    assert!(matches!(dead, Err(token::Error::Reused(_))));
    flow.world.agrees().await;
}

async fn code_dies(database: Database) {
    let flow = Flow::new(database).await;
    let ended = flow.code(&[SECOND]).await;
    let store = &flow.world.node().store;
    store
        .write(async |tx| Authorizations::end_session(tx, SESSION).await)
        .await
        .unwrap();
    assert!(matches!(
        flow.trade(&ended, VERIFIER).await,
        Err(Untraded::Unknown)
    ));
    let late = flow.code(&[FIRST]).await;
    flow.world.pass(Duration::from_secs(61));
    assert!(matches!(
        flow.trade(&late, VERIFIER).await,
        Err(Untraded::Expired)
    ));
}

async fn pushed_once(database: Database) {
    let flow = Flow::with(database, |registration| registration.require_par = true).await;
    let query = flow.signatures(&[FIRST]);
    let direct = flow
        .authorizations
        .arrive(&Flow::query(&query))
        .await
        .unwrap();
    assert!(
        matches!(direct, Arrived::Back(back) if parameter(&back, "error").as_deref() == Some("invalid_request"))
    );
    let pushed = flow
        .authorizations
        .push(&flow.client, &Flow::query(&query))
        .await
        .unwrap();
    let arrive = async |client: &str| {
        let text = format!("client_id={client}&request_uri={}", pushed.request_uri);
        let fields = Fields::parse(text.as_bytes()).unwrap();
        flow.authorizations.arrive(&fields).await
    };
    assert!(matches!(arrive("direct").await, Err(Error::Unknown)));
    let Ok(Arrived::Page { cookie }) = arrive("shop").await else {
        panic!("it was pushed");
    };
    flow.authorizations.find(&cookie).await.unwrap();
    assert!(matches!(arrive("shop").await, Err(Error::Unknown)));
    let other_browser = format!(
        "{}{}",
        &cookie[..cookie.len() - 1],
        if cookie.ends_with('A') { 'E' } else { 'A' }
    );
    assert!(matches!(
        flow.authorizations.find(&other_browser).await,
        Err(Error::Unknown)
    ));
}

async fn account_tokens(database: Database) {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use sha2::Digest as _;
    let flow = Flow::with(database, |registration| {
        registration.require_account_token = true
    })
    .await;
    let key = sha2::Sha256::digest("A".repeat(43));
    let token = |account: &str, name: &str| {
        let claims = serde_json::json!({
            "sub": account, "iat": flow.world.seconds(), "jti": name, "azp": "shop",
        });
        encode(&Header::default(), &claims, &EncodingKey::from_secret(&key)).unwrap()
    };
    let arrive = async |more: &str| {
        flow.authorizations
            .arrive(&Flow::query(more))
            .await
            .unwrap()
    };
    let refused = |arrived: Arrived| match arrived {
        Arrived::Back(back) => parameter(&back, "error_description").unwrap(),
        Arrived::Page { .. } => panic!("it was let in"),
    };
    assert_eq!(
        refused(arrive("scope=service").await),
        "Missing parameter account_token"
    );
    let stranger = format!("account_token={}", token("nobody", "1"));
    assert_eq!(
        refused(arrive(&stranger).await),
        "Invalid parameter account_token"
    );
    let anna = format!("account_token={}", token("anna", "2"));
    let Arrived::Page { cookie } = arrive(&anna).await else {
        panic!("it is hers");
    };
    let asked = flow.authorizations.find(&cookie).await.unwrap();
    let other = csc_server::ids::HolderId::random();
    let answer = flow
        .authorizations
        .grant_service(&asked, &other, SESSION)
        .await;
    assert!(matches!(answer, Err(Error::OtherAccount)));
    assert_eq!(
        refused(arrive(&anna).await),
        "Invalid parameter account_token"
    );
}
