//! The service that is measured: a holder, a credential, approvals made in advance.

use std::{fs, time::Duration};

use conformance_tests::{
    Builder, Client, Credential, Digest, Holder, KeySpec, Otp, TestBed, Token, V1, digest, digests,
    until,
};
use hyper::body::Bytes;
use serde_json::json;

use crate::{
    load::{Target, Work},
    raw::Place,
};

/// A service with one holder, whose token makes the codes.
pub(crate) struct Scene {
    pub(crate) bed: TestBed,
    holder: Holder,
    otp: Otp,
    token: Token,
    client: Client,
    counter: u64,
}

/// The registration of a client that may use an approval call by call without extending it.
const GOES_ON: &str = "name = \"Bench\"\n[switches]\nsad_goes_on = true\n";

/// Most hashes of one approval here.
pub(crate) const MOST: usize = 1000;

impl Scene {
    /// A service as in production, but for what measuring needs: long lives, large approvals, these settings of the holders' slot.
    pub(crate) async fn start(slot: &[(&str, &str)]) -> Self {
        Self::build(TestBed::builder(), slot).await
    }

    /// The same, with the forwarding module between service and token.
    pub(crate) async fn forwarded(slot: &[(&str, &str)]) -> Self {
        Self::build(TestBed::builder().forwarded(), slot).await
    }

    async fn build(builder: Builder, slot: &[(&str, &str)]) -> Self {
        let mut builder = builder
            .quiet()
            .set("rate.address_per_second", "0")
            .set("lifetime.sad", "\"2h\"")
            .set("lifetime.authorization", "\"2h\"")
            .set("credential.multisign", &MOST.to_string())
            .set("credential.max_hashes", &MOST.to_string());
        for (key, value) in slot {
            builder = builder.slot(key, value);
        }
        let bed = builder.start().await;
        let (holder, token, client) = (bed.holder(), Token::random(), bed.client_from(GOES_ON));
        bed.import(&[&token]).expect("otp import");
        let otp = bed.assign(&token, &holder);
        bed.link(&client, &holder);
        Self {
            bed,
            holder,
            otp,
            token,
            client,
            counter: 0,
        }
    }

    /// A new key of the holder.
    pub(crate) fn credential(&self, key: &str) -> Credential {
        let spec = KeySpec {
            key,
            multisign: MOST as u32,
        };
        self.bed.credential(&self.holder, &self.otp.id, &spec)
    }

    /// The raw loop's way to the token.
    pub(crate) fn place(&self) -> Place {
        Place {
            module: self.bed.module().to_owned(),
            dir: self.bed.dir().to_owned(),
        }
    }

    /// The process of the service.
    pub(crate) fn pid(&self) -> u32 {
        let pid = fs::read_to_string(self.bed.dir().join("server.pid")).expect("the service runs");
        pid.trim().parse().expect("a number")
    }

    /// The service as the client sees it.
    pub(crate) async fn target(&self) -> Target {
        let token = self.bed.client_token(&self.client).await;
        let certificate = self.bed.dir().join("tls/server.pem");
        Target::new(self.bed.address(), &certificate, token, self.pid())
    }

    /// The body of credentials/authorize for these hashes, with a new code.
    fn approval(&mut self, credential: &Credential, hashes: &[Digest]) -> Work {
        let code = self.token.code(self.counter);
        self.counter += 1;
        let body = json!({
            "credentialID": credential.id, "numSignatures": hashes.len(), "hash": digests(hashes),
            "PIN": credential.pin, "OTP": code,
        });
        Work {
            path: "/csc/v1/credentials/authorize",
            body: Bytes::from(body.to_string()),
            times: 1,
        }
    }

    /// Requests that sign: `approvals` approvals of `count` signatures, used up by calls with `each` hashes. The hash is always the
    /// same, approved as often as it is signed.
    pub(crate) async fn signing(
        &mut self,
        credential: &Credential,
        algorithm: &str,
        approvals: usize,
        count: usize,
        each: usize,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        for _ in 0..approvals {
            let hashes = |count| vec![digest("measured"); count];
            let sad = self.approved(credential, &hashes(count)).await;
            work.push(signature(
                credential,
                &sad,
                algorithm,
                &hashes(each),
                count / each,
            ));
        }
        work
    }

    /// Requests that sign a hash of their own each, so that those of one approval may come at the same time.
    pub(crate) async fn each_its_own(
        &mut self,
        credential: &Credential,
        algorithm: &str,
        approvals: usize,
        count: usize,
    ) -> Vec<Work> {
        let mut work = Vec::new();
        for approval in 0..approvals {
            let hashes = (0..count).map(|hash| digest(&format!("{approval}-{hash}")));
            let hashes: Vec<_> = hashes.collect();
            let sad = self.approved(credential, &hashes).await;
            work.extend(
                hashes.iter().map(|hash| {
                    signature(credential, &sad, algorithm, std::slice::from_ref(hash), 1)
                }),
            );
        }
        work
    }

    /// A SAD for these hashes.
    async fn approved(&mut self, credential: &Credential, hashes: &[Digest]) -> String {
        let (api, token) = (self.bed.api(), self.bed.client_token(&self.client).await);
        let approval = self.approval(credential, hashes);
        let body = serde_json::from_slice(&approval.body).expect("JSON");
        let answer = api.call(V1, "credentials/authorize", &token, body).await;
        answer.text_of("SAD")
    }

    /// Credentials beside this one, copies of it under other names, until there are so many.
    pub(crate) fn populate(&self, like: &Credential, many: u32) {
        let columns = self
            .bed
            .sql("SELECT name FROM pragma_table_info('credential')");
        let (names, values): (Vec<_>, Vec<_>) = columns
            .lines()
            .map(|name| match name {
                "id" => (name, "'ballast-' || n.i"),
                "spki_hash" => (name, "randomblob(32)"),
                other => (other, other),
            })
            .unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        self.bed.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT (SELECT count(*) FROM credential) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {many})
             INSERT INTO credential ({names}) SELECT {values} FROM credential, n WHERE credential.id = '{}'",
            like.id
        ));
    }

    /// How many signatures the service says it made.
    pub(crate) fn signed(&self) -> u64 {
        let count = self
            .bed
            .sql("SELECT count(*) FROM signing WHERE outcome = 'signed'");
        count.parse().expect("a number")
    }

    /// Has the module write down, at its next call, how many it has had.
    pub(crate) fn count_calls(&self, name: &str) {
        let report = format!("report {}", self.bed.dir().join(name).display());
        self.bed.rules(&[&report]);
    }

    /// What it has written down: that call included.
    pub(crate) async fn calls(&self, name: &str) -> u64 {
        let report = self.bed.dir().join(name);
        let text = until("the module's report", async || {
            fs::read_to_string(&report).ok()
        })
        .await;
        let counts = text
            .lines()
            .filter_map(|line| line.split_once(' ')?.1.parse::<u64>().ok());
        counts.sum()
    }
}

/// signHash with these hashes, `times` times.
pub(crate) fn signature(
    credential: &Credential,
    sad: &str,
    algorithm: &str,
    hashes: &[Digest],
    times: usize,
) -> Work {
    let body = json!({
        "credentialID": credential.id, "SAD": sad, "signAlgo": algorithm, "hashes": digests(hashes),
    });
    Work {
        path: "/csc/v2/signatures/signHash",
        body: Bytes::from(body.to_string()),
        times,
    }
}

/// ECDSA, and RSA PKCS#1 v1.5, with SHA-256.
pub(crate) const ECDSA: &str = "1.2.840.10045.4.3.2";
pub(crate) const RSA: &str = "1.2.840.113549.1.1.11";

/// CPU milliseconds of one Argon2id as the service does it for a PIN.
pub(crate) fn argon2() -> f64 {
    let parameters = argon2::Params::new(19_456, 2, 1, Some(32)).expect("parameters");
    let argon = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        parameters,
    );
    let before = crate::cpu::own();
    const TIMES: u32 = 40;
    for _ in 0..TIMES {
        let mut out = [0; 32];
        argon
            .hash_password_into(b"31415926", &[7; 16], &mut out)
            .expect("Argon2id");
    }
    let used: Duration = crate::cpu::own().saturating_sub(before);
    1000.0 * used.as_secs_f64() / f64::from(TIMES)
}
