//! Rotation while others sign, and one that is cut short.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use conformance_tests::{Api, Signer, TestBed, V1, digest, until};
use serde_json::{Value, json};

use crate::{WithApp, destroy, empty, rotate, versions};

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

/// The value of a setting of the configuration, a text.
fn setting(bed: &TestBed, key: &str) -> String {
    let config = fs::read_to_string(bed.dir().join("csc-server.toml")).expect("the configuration");
    let value = config.lines().find_map(|line| line.strip_prefix(key));
    value.expect(key).trim_matches('"').to_owned()
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
        .set("server.request_timeout", "\"3s\"")
        .start()
        .await;
    let app = WithApp::new(&bed).await;
    let url = setting(&bed, "url = ");
    let lock = Lock::on(&url, &app.totp.id);

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
