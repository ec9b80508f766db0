//! Master keys rotate under load (SC-19), old versions are destroyed and older backups with them (SC-16), and a backup
//! restores a service only together with the token (SC-17).

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use conformance_tests::{
    Answer, Api, Credential, Digest, KeySpec, Signer, TestBed, Totp, V1, digest, digests, until,
};
use serde_json::{Value, json};

/// What `slot rotation` says of each version: `store/v1` → `(can be destroyed): 0 credentials, …`.
fn versions(bed: &TestBed) -> BTreeMap<String, String> {
    let printed = bed.cli(&["slot", "rotation"], &[]).expect("slot rotation");
    let lines = printed.lines().map(|line| {
        let end = line.find([' ', ':']).unwrap_or(line.len());
        let (label, rest) = line.split_at(end);
        (label.to_owned(), rest.trim().to_owned())
    });
    lines.collect()
}

fn rotate(bed: &TestBed, key: &str) {
    bed.cli(&["slot", "rotate", "--key", key], &[])
        .expect("slot rotate");
}

fn destroy(bed: &TestBed, key: &str) -> conformance_tests::Run {
    bed.cli(&["slot", "destroy", "--key", key, "--version", "1"], &[])
}

/// Waits until nothing rests under this version.
async fn empty(bed: &TestBed, label: &str) {
    until(&format!("nothing to rest under {label}"), async || {
        let found = versions(bed);
        found.get(label)?.contains("can be destroyed").then_some(())
    })
    .await;
}

/// A copy of the database, taken while the service runs.
fn dump(bed: &TestBed, name: &str) -> PathBuf {
    let to = bed.dir().join(name);
    bed.sql(&format!("VACUUM INTO '{}'", to.display()));
    to
}

/// Starts the service on a copy of a database instead of its own.
async fn restore(bed: &TestBed, dump: &Path) {
    assert!(bed.stop().await.success());
    replace(bed, dump);
    bed.start().await;
}

/// Puts a copy of a database in the place of its own.
fn replace(bed: &TestBed, dump: &Path) {
    for name in ["csc.sqlite", "csc.sqlite-wal", "csc.sqlite-shm"] {
        let _ = fs::remove_file(bed.dir().join(name));
    }
    fs::copy(dump, bed.dir().join("csc.sqlite")).expect("a copy of the copy");
}

/// A column of all rows, read behind the service's back.
fn column(bed: &TestBed, sql: &str) -> Vec<String> {
    bed.sql(sql).lines().map(str::to_owned).collect()
}

/// Signs one approval after the other, each hash in a call of its own; panics at the first answer that is no success.
async fn load(api: Api, signer: &Signer<'_>, stop: &AtomicBool) -> usize {
    let token = signer.token.as_str();
    let id = json!({"credentialID": signer.credential.id});
    let hashes = ["first", "second", "third"].map(digest);
    let call = async |method: &str, body: Value| api.call(V1, method, token, body).await;
    let mut signatures = 0;
    while !stop.load(Ordering::Relaxed) {
        call("credentials/sendOTP", id.clone()).await.done();
        let code = signer.holder.next_code().await;
        let body = signer.authorization(V1, &hashes, hashes.len(), &code);
        let mut sad = call("credentials/authorize", body).await.text_of("SAD");
        for (position, hash) in hashes.iter().enumerate() {
            if position > 0 {
                let body = signer.extension(V1, &sad, hashes.split_at(position).1);
                sad = call("credentials/extendTransaction", body)
                    .await
                    .text_of("SAD");
            }
            let body = signer.order(V1, &sad, &[*hash]);
            call("signatures/signHash", body).await.ok();
            signatures += 1;
        }
    }
    signatures
}

/// Ends the load, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The operator's commands block, so that each side has a thread of its own.
fn run<T>(side: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(side)
}

#[test]
fn a_rotation_under_load_fails_no_signature() {
    let bed = run(TestBed::builder()
        .postgres()
        .set("server.request_timeout", "\"5s\"")
        .set("lifetime.sad", "\"10s\"")
        .set("credential.puk", "\"strict\"")
        .start());
    let node = bed.another_node();
    let stop = AtomicBool::new(false);
    let signatures = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = Stop(&stop);
            run(rotate_all(&bed));
        });
        run(async {
            let signers = [bed.signer().await, bed.signer().await, bed.signer().await];
            let [one, two, three] = &signers;
            tokio::join!(
                load(bed.api(), one, &stop),
                load(node.api(), two, &stop),
                load(node.api(), three, &stop)
            )
        })
    });

    let (one, two, three) = signatures;
    for signatures in [one, two, three] {
        assert!(signatures >= 3, "{signatures}");
    }
    let found = versions(&bed);
    let labels: Vec<_> = found.keys().collect();
    assert_eq!(labels, ["masters/v2", "store/v2"], "{found:?}");
    let sealed = found.get("masters/v2").expect("the version in use");
    assert!(sealed.contains("3 PINs"), "{found:?}");
}

/// Rotates both keys and destroys their first version, as an operator may at any time.
async fn rotate_all(bed: &TestBed) {
    until("keys to be rotated", async || {
        let store = versions(bed).remove("store/v1")?;
        store.contains("3 credentials").then_some(())
    })
    .await;
    rotate(bed, "store");
    empty(bed, "store/v1").await;
    destroy(bed, "store").expect("slot destroy");
    // Who types the PIN moves to the new version; what was authorised before ends by itself.
    rotate(bed, "masters");
    empty(bed, "masters/v1").await;
    destroy(bed, "masters").expect("slot destroy");
}

#[tokio::test]
async fn a_backup_from_before_a_destruction_signs_no_more() {
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"1s\"")
        .start()
        .await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let stolen = dump(&bed, "stolen.sqlite");
    rotate(&bed, "store");
    empty(&bed, "store/v1").await;
    let live = dump(&bed, "live.sqlite");

    // As long as both versions are there, both copies sign.
    restore(&bed, &stolen).await;
    signer.sad(V1, &hash).await;
    restore(&bed, &live).await;
    destroy(&bed, "store").expect("slot destroy");

    restore(&bed, &stolen).await;
    // With the token, the right PIN and a right code.
    refused(&signer.authorize(V1, &hash, 1).await);
    signer
        .sign(V1, &sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    restore(&bed, &live).await;
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

/// What opens nothing is the service's trouble, not the holder's.
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(answer.body.get("error"), Some(&json!("server_error")));
}

/// A row that nobody can change until this is dropped.
struct Lock(Child);

impl Lock {
    fn on(url: &str, row: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--dbname",
            url,
        ]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().expect("psql");
        let input = child.stdin.as_mut().expect("a pipe");
        writeln!(
            input,
            "begin; select 'locked' from factor where id = '{row}' for update;"
        )
        .expect("psql reads");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let said = output.lines().next().and_then(Result::ok);
        assert_eq!(said.as_deref(), Some("locked"));
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_rotation_killed_in_the_middle_goes_on_at_the_next_start() {
    let bed = TestBed::builder()
        .postgres()
        .set("server.request_timeout", "\"1s\"")
        .start()
        .await;
    let app = WithApp::new(&bed).await;
    let config = fs::read_to_string(bed.dir().join("csc-server.toml")).expect("the configuration");
    let url = config.lines().find_map(|line| line.strip_prefix("url = "));
    let url = url.expect("the URL of the database").trim_matches('"');
    let lock = Lock::on(url, &app.totp.id);

    rotate(&bed, "store");
    until("the credential to be moved, and the seed not", async || {
        let store = versions(&bed).remove("store/v1")?;
        store.starts_with(": 0 credentials, 1 seeds").then_some(())
    })
    .await;
    bed.kill();
    drop(lock);

    let refused = destroy(&bed, "store");
    assert!(
        refused
            .stderr
            .contains("it is needed: 0 credentials, 1 seeds"),
        "{}",
        refused.stderr
    );
    bed.start().await;
    app.signs(&bed, -1).await;
    empty(&bed, "store/v1").await;
    destroy(&bed, "store").expect("slot destroy");
    app.signs(&bed, 0).await;
}

#[tokio::test]
async fn a_backup_restores_a_service_only_with_its_token() {
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let backup = dump(&bed, "backup.sqlite");
    restore(&bed, &backup).await;
    signer.sign(V1, &sad, &hash).await.ok();
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();

    // Elsewhere, with tokens that are there but not these; the mails come to the same holder.
    let outbox = format!("{:?}", bed.dir().join("outbox"));
    let thief = TestBed::builder().set("mail.outbox", &outbox).start().await;
    let sad = signer.sad(V1, &hash).await;
    let backup = dump(&bed, "backup-2.sqlite");
    let policy = thief.sql(
        "SELECT 'UPDATE policy SET settings = ' || quote(settings) || ', record_mac = ' || quote(record_mac) FROM policy",
    );
    thief.stop().await;
    replace(&thief, &backup);
    thief
        .terminal(None, &["serve"], &[])
        .refused("the policy is not what the service wrote");
    // One of his own, which his token wrote.
    thief.sql(&policy);
    thief.start().await;
    let api = thief.api();
    let call = async |method: &str, body: Value| api.call(V1, method, &signer.token, body).await;
    let id = json!({"credentialID": signer.credential.id});
    call("credentials/info", id.clone()).await.ok();
    refused(&call("credentials/sendOTP", id).await);
    let code = signer.code().await;
    let body = signer.authorization(V1, &hash, 1, &code);
    refused(&call("credentials/authorize", body).await);
    call("signatures/signHash", signer.order(V1, &sad, &hash))
        .await
        .refused("Invalid parameter SAD");
    // The same SAD where it belongs.
    signer.sign(V1, &sad, &hash).await.ok();
}

#[tokio::test]
async fn a_dearer_stretching_takes_hold_at_the_next_pin() {
    const COST: &str = "SELECT pin_cost FROM credential";
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let [before] = &column(&bed, COST)[..] else {
        panic!("one credential");
    };
    let file = bed.dir().join("csc-server.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    let dearer = "[pin.argon2]\nmemory = 20480\npasses = 3\nlanes = 1\n";
    assert!(bed.stop().await.success());
    fs::write(&file, format!("{dearer}\n{config}")).expect("another configuration");
    bed.staff().set_policy();
    bed.start().await;
    assert_eq!(column(&bed, COST), [before.as_str()]);

    let first = signer.sad(V1, &hash).await;

    let after = json!({"memory": 20480, "passes": 3, "lanes": 1});
    let [row] = &column(&bed, COST)[..] else {
        panic!("one credential");
    };
    assert_eq!(serde_json::from_str::<Value>(row).ok(), Some(after));
    // The SAD of the old sealing, and the PIN under the new one.
    signer.sign(V1, &first, &hash).await.ok();
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

#[tokio::test]
async fn what_a_pin_or_a_puk_seals_moves_when_it_is_typed() {
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"1s\"")
        .set("lifetime.sad", "\"5s\"")
        .start()
        .await;
    let app = WithApp::new(&bed).await;
    let revoked = bed.signer().await.credential;
    let arguments = ["credential", "revoke", "--credential", &revoked.id];
    bed.cli(&arguments, &[]).expect("credential revoke");
    let before = app.sad(&bed, -1).await;

    rotate(&bed, "masters");

    // The record of a destroyed key waits for nobody.
    let old = until("the revoked record to be moved", async || {
        let old = versions(&bed).remove("masters/v1")?;
        old.contains("0 records").then_some(old)
    })
    .await;
    assert!(old.starts_with(": 1 PINs, 1 PUKs"), "{old}");
    app.sign(&bed, &before).await.ok();
    let after = app.sad(&bed, 0).await;
    app.sign(&bed, &after).await.ok();
    let refused = destroy(&bed, "masters");
    assert!(
        refused.stderr.contains("it is needed: 0 PINs, 1 PUKs"),
        "{}",
        refused.stderr
    );
    let arguments = ["credential", "unblock", "--credential", &app.credential.id];
    bed.cli(&arguments, &[app.credential.puk(), &app.totp.code(1)])
        .expect("credential unblock");
    empty(&bed, "masters/v1").await;
    destroy(&bed, "masters").expect("slot destroy");

    let found = versions(&bed);
    let new = found.get("masters/v2").expect("the version in use");
    assert!(new.contains("1 PINs, 1 PUKs, 3 records"), "{found:?}");
    assert_eq!(found.get("masters/v1"), None);
}

#[tokio::test]
async fn the_version_in_use_is_not_destroyed_and_each_step_is_on_record() {
    let bed = TestBed::builder()
        .set("server.request_timeout", "\"1s\"")
        .start()
        .await;
    let refused = destroy(&bed, "store");
    assert!(
        refused.stderr.contains("version 1 is in use"),
        "{}",
        refused.stderr
    );
    rotate(&bed, "store");
    empty(&bed, "store/v1").await;
    destroy(&bed, "store").expect("slot destroy");
    bed.cli(&["slot", "init"], &[]).expect("slot init");
    assert_eq!(versions(&bed).get("store/v1"), None);

    let events = column(
        &bed,
        "SELECT event FROM audit WHERE event LIKE '{\"event\":\"MASTER_%' ORDER BY time",
    );
    let rotations: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .filter(|event: &Value| event["event"] != "MASTER_CREATED")
        .collect();
    let officer = bed.sql("SELECT id FROM operator WHERE name = 'first'");
    let expected = [
        ("MASTER_ROTATED", 2),
        ("MASTER_RETIRED", 1),
        ("MASTER_DESTROYED", 1),
    ];
    assert_eq!(rotations.len(), expected.len(), "{rotations:?}");
    for (event, (name, version)) in rotations.iter().zip(expected) {
        let actor = json!({"kind": "operator", "id": officer, "role": "security-officer",
                           "approval": event["actor"]["approval"]});
        let whole = json!({"event": name, "key": "store", "version": version, "actor": actor});
        assert_eq!(*event, whole);
        assert!(event["actor"]["approval"].is_string(), "{event}");
    }
    let metrics = bed.admin().request(reqwest::Method::GET, "/metrics");
    let metrics = bed.admin().send(metrics).await.text;
    assert!(
        metrics.contains(r#"csc_rotation_rows_left{key="store"} 0"#),
        "{metrics}"
    );
}

/// A holder with an authenticator app.
struct WithApp {
    totp: Totp,
    credential: Credential,
    token: String,
}

const HASH: &str = "contract";

impl WithApp {
    async fn new(bed: &TestBed) -> Self {
        let holder = bed.holder();
        let totp = bed.totp(&holder);
        let spec = KeySpec {
            key: "p256",
            multisign: 5,
        };
        let credential = bed.credential(&holder, &totp.id, &spec);
        Self {
            totp,
            credential,
            token: bed.log_in(&holder).await,
        }
    }

    async fn sad(&self, bed: &TestBed, steps: i64) -> String {
        let hash: Digest = digest(HASH);
        let body = json!({
            "credentialID": self.credential.id,
            "numSignatures": 1,
            "hash": digests(&[hash]),
            "PIN": self.credential.pin,
            "OTP": self.totp.code(steps),
        });
        bed.api()
            .call(V1, "credentials/authorize", &self.token, body)
            .await
            .text_of("SAD")
    }

    async fn sign(&self, bed: &TestBed, sad: &str) -> Answer {
        let body = json!({
            "credentialID": self.credential.id,
            "SAD": sad,
            "hash": digests(&[digest(HASH)]),
            "signAlgo": "1.2.840.10045.4.3.2",
        });
        bed.api()
            .call(V1, "signatures/signHash", &self.token, body)
            .await
    }

    async fn signs(&self, bed: &TestBed, steps: i64) {
        let sad = self.sad(bed, steps).await;
        self.sign(bed, &sad).await.ok();
    }
}
