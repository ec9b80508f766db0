//! What a check has in hand: the server, chance that can be repeated, and the record of what went over the wire.

use std::cell::{Cell, RefCell};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    check::{Stop, Version, broken, must},
    keys::Algorithm,
    refusal::string,
    session::{Session, Subject},
    wire::{Answer, Request, World},
};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was sent.
    pub request: Request,
    /// What came back.
    pub answer: Answer,
    /// Whether the check only prepared itself; such exchanges are shared and happen once.
    pub shared: bool,
}

/// What a check did, enough to do it again without a server.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What went over the wire, in order.
    pub exchanges: Vec<Exchange>,
    /// The codes that reached the person.
    pub codes: Vec<String>,
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// What its chance was drawn from.
    pub seed: [u8; 32],
}

/// A check's view of the world.
pub(super) struct Context<'r> {
    pub(super) session: &'r Session,
    world: &'r dyn World,
    record: RefCell<Record>,
    drawn: Cell<u64>,
    shared: Cell<bool>,
}

/// A document that was hashed: signatures are verified over it.
#[derive(Clone, Debug)]
pub(super) struct Document(Vec<u8>);

/// An authorization to sign these documents.
#[derive(Clone, Debug)]
pub(super) struct Sad {
    pub(super) value: String,
    pub(super) documents: Vec<Document>,
}

impl Document {
    /// Its digest, base64.
    pub(super) fn hash(&self, algorithm: &Algorithm) -> String {
        STANDARD.encode(algorithm.digest(&self.0))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'r> Context<'r> {
    pub(super) fn new(session: &'r Session, world: &'r dyn World, at: u64, seed: [u8; 32]) -> Self {
        let record = Record {
            at,
            seed,
            ..Record::default()
        };
        Self {
            session,
            world,
            record: RefCell::new(record),
            drawn: Cell::new(0),
            shared: Cell::new(false),
        }
    }

    pub(super) fn into_record(self) -> Record {
        self.record.into_inner()
    }

    /// When the check began.
    pub(super) fn at(&self) -> u64 {
        self.record.borrow().at
    }

    /// Thirty-two octets that no other check gets, the same when the check is repeated.
    pub(super) fn random(&self) -> [u8; 32] {
        let count = self.drawn.get();
        self.drawn.set(count + 1);
        let seed = self.record.borrow().seed;
        Sha256::digest([&seed[..], &count.to_be_bytes()].concat()).into()
    }

    /// Documents nobody has signed before.
    pub(super) fn documents(&self, count: usize) -> Vec<Document> {
        let document = |_| Document(self.random().to_vec());
        (0..count).map(document).collect()
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Stop> {
        let answer = self.world.send(&request).await;
        let answer = answer.map_err(|why| broken(format!("no answer: {why}")))?;
        self.keep_secrets(&answer);
        self.record.borrow_mut().exchanges.push(Exchange {
            request,
            answer: answer.clone(),
            shared: self.shared.get(),
        });
        Ok(answer)
    }

    /// What is done in here prepares the check and is not what it is about.
    pub(super) async fn aside<T>(&self, doing: impl Future<Output = T>) -> T {
        let before = self.shared.replace(true);
        let done = doing.await;
        self.shared.set(before);
        done
    }

    /// A POST to a method, without a token.
    pub(super) fn post(&self, version: Version, method: &str) -> Request {
        let base = self.session.settings.base(version).unwrap_or_default();
        Request::post(format!("{base}/{method}"))
    }

    /// A POST to a method with the service token.
    pub(super) fn authorized(&self, version: Version, method: &str) -> Request {
        let request = self.post(version, method);
        match self.session.facts(version).token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Calls a method with the service token.
    pub(super) async fn call(
        &self,
        version: Version,
        method: &str,
        body: &Value,
    ) -> Result<Answer, Stop> {
        self.send(self.authorized(version, method).json(body)).await
    }

    /// Calls a method with this token.
    pub(super) async fn call_with(
        &self,
        version: Version,
        method: &str,
        token: &str,
        body: &Value,
    ) -> Result<Answer, Stop> {
        let request = self.post(version, method);
        let request = request.header("Authorization", format!("Bearer {token}"));
        self.send(request.json(body)).await
    }

    /// The credential under test.
    pub(super) fn subject(&self, version: Version) -> Result<Subject, Stop> {
        let subject = self.session.facts(version).credential;
        subject.ok_or_else(|| Stop::Skip("no credential is known".to_owned()))
    }

    /// The algorithm that the checks sign with.
    pub(super) fn algorithm(&self, version: Version) -> Result<Algorithm, Stop> {
        let algorithm = self.subject(version)?.algorithm;
        algorithm.ok_or_else(|| {
            Stop::Skip("key/algo has no algorithm that the checks can verify".to_owned())
        })
    }

    /// The body of credentials/authorize for these documents, with the right factors; has a code sent.
    pub(super) async fn authorization(
        &self,
        version: Version,
        documents: &[Document],
    ) -> Result<Value, Stop> {
        let mut body = self.unproven(version, documents)?;
        self.prove(version, &mut body).await?;
        Ok(body)
    }

    /// The body of credentials/authorize with a form of factors that nobody looks at when the rest is wrong.
    pub(super) fn unproven(&self, version: Version, documents: &[Document]) -> Result<Value, Stop> {
        let (subject, algorithm) = (self.subject(version)?, self.algorithm(version)?);
        let mut body = json!({"credentialID": subject.id, "numSignatures": documents.len()});
        let hashes: Vec<_> = documents
            .iter()
            .map(|document| document.hash(&algorithm))
            .collect();
        let body_hashes = json!(hashes);
        set(&mut body, version.hashes(), body_hashes);
        if version == Version::V2 {
            set(&mut body, "hashAlgorithmOID", json!(algorithm.hash.oid));
        }
        let pin = subject.pin.as_ref().map(|_| "00000000".to_owned());
        let code = subject.code.as_ref().map(|_| "00000000".to_owned());
        put_factors(version, &subject, &mut body, pin, code);
        Ok(body)
    }

    /// Puts the right PIN and a new code into the body of credentials/authorize.
    pub(super) async fn prove(&self, version: Version, body: &mut Value) -> Result<(), Stop> {
        let subject = self.subject(version)?;
        let pin = self.session.settings.credential.pin.as_ref();
        let pin = pin.map(|pin| pin.value().to_owned());
        let code = match &subject.code {
            Some(_) => Some(self.new_code(version).await?),
            None => None,
        };
        let pin = subject.pin.as_ref().and(pin);
        put_factors(version, &subject, body, pin, code);
        Ok(())
    }

    /// Has a code sent, where it is sent on request, and gives it.
    pub(super) async fn new_code(&self, version: Version) -> Result<String, Stop> {
        const TRIES: usize = 5;
        let subject = self.subject(version)?;
        self.world.expect_code();
        if let Some(object) = subject.code.filter(|code| code.online) {
            for left in (0..TRIES).rev() {
                let answer = self.send_code(version, &subject.id, &object.id).await?;
                let pause = answer
                    .header("retry-after")
                    .and_then(|text| text.parse().ok());
                match (answer.status, pause) {
                    (429, Some(seconds)) if left > 0 => {
                        self.wait(seconds).await?;
                    }
                    (200 | 204, _) => break,
                    _ => return Err(broken(format!("no code was sent: {}", said(&answer)))),
                }
            }
        }
        self.take_code().await
    }

    /// A code will be asked for: whatever came before does not count.
    pub(super) fn expect_code(&self) {
        self.world.expect_code();
    }

    /// The code that reached the person.
    pub(super) async fn take_code(&self) -> Result<String, Stop> {
        let code = self.world.code().await;
        let code = code.map_err(|why| broken(format!("no code: {why}")))?;
        self.session.secrets.borrow_mut().push(code.clone());
        self.record.borrow_mut().codes.push(code.clone());
        Ok(code)
    }

    pub(super) async fn send_code(
        &self,
        version: Version,
        credential: &str,
        object: &str,
    ) -> Result<Answer, Stop> {
        let facts = self.session.facts(version);
        if version == Version::V2 && facts.lists("credentials/getChallenge") {
            let body = json!({"credentialID": credential, "authObjectID": object});
            return self.call(version, "credentials/getChallenge", &body).await;
        }
        let body = json!({"credentialID": credential});
        self.call(version, "credentials/sendOTP", &body).await
    }

    /// Authorizes these documents.
    pub(super) async fn sad(&self, version: Version, documents: &[Document]) -> Result<Sad, Stop> {
        let body = self.authorization(version, documents).await?;
        let answer = self.call(version, "credentials/authorize", &body).await?;
        let body = answer.ok()?;
        let value = string(&body, "/SAD")?;
        must!(!value.is_empty(), "SAD is empty");
        Ok(Sad {
            value: value.to_owned(),
            documents: documents.to_vec(),
        })
    }

    /// An authorization that nobody spends: refusals are tried on it.
    pub(super) async fn idle_sad(&self, version: Version) -> Result<Sad, Stop> {
        const GOOD_FOR: u64 = 120;
        let idle = self.session.facts(version).idle;
        if let Some((sad, made)) = idle
            && self.at() < made + GOOD_FOR
        {
            return Ok(sad);
        }
        let documents = self.documents(1);
        let sad = self.aside(self.sad(version, &documents)).await?;
        let idle = Some((sad.clone(), self.at()));
        self.session.change(version, |facts| facts.idle = idle);
        Ok(sad)
    }

    /// The body of signatures/signHash.
    pub(super) fn order(
        &self,
        version: Version,
        sad: &str,
        documents: &[Document],
    ) -> Result<Value, Stop> {
        let (subject, algorithm) = (self.subject(version)?, self.algorithm(version)?);
        let mut body = json!({"credentialID": subject.id, "SAD": sad, "signAlgo": algorithm.oid});
        let hashes: Vec<_> = documents
            .iter()
            .map(|document| document.hash(&algorithm))
            .collect();
        set(&mut body, version.hashes(), json!(hashes));
        set(
            &mut body,
            version.hash_algorithm(),
            json!(algorithm.hash.oid),
        );
        Ok(body)
    }

    pub(super) async fn wait(&self, seconds: u64) -> Result<(), Stop> {
        const LONGEST: u64 = 120;
        let waited = self.world.wait(seconds.min(LONGEST)).await;
        waited.map_err(broken)
    }

    /// What the server hands out once is a secret from then on.
    fn keep_secrets(&self, answer: &Answer) {
        const MEMBERS: [&str; 4] = ["access_token", "refresh_token", "SAD", "handle"];
        let body = answer.json();
        let found = MEMBERS
            .into_iter()
            .filter_map(|name| body.get(name)?.as_str());
        let mut secrets = self.session.secrets.borrow_mut();
        secrets.extend(found.filter(|secret| secret.len() > 5).map(str::to_owned));
    }
}

/// Sets a member of a JSON object.
pub(super) fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(members) = body.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Puts these factors into the body of credentials/authorize, as the version has them.
pub(super) fn put_factors(
    version: Version,
    subject: &Subject,
    body: &mut Value,
    pin: Option<String>,
    code: Option<String>,
) {
    let named = [
        ("PIN", subject.pin.as_deref(), pin),
        (
            "OTP",
            subject.code.as_ref().map(|code| code.id.as_str()),
            code,
        ),
    ];
    if version == Version::V2 {
        let given = named
            .into_iter()
            .filter_map(|(_, id, value)| Some(json!({"id": id?, "value": value?})));
        let given: Vec<_> = given.collect();
        return set(body, "authData", json!(given));
    }
    for (name, _, value) in named {
        if let Some(value) = value {
            set(body, name, json!(value));
        }
    }
}

/// An answer in a few words.
pub(super) fn said(answer: &Answer) -> String {
    let words: Vec<_> = answer.body.split_whitespace().collect();
    let body: String = words.join(" ").chars().take(200).collect();
    format!("status {}, {body}", answer.status)
}
