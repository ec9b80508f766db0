//! An HSM that fails under load (SC-88): nobody gets a wrong signature or one twice, every answer comes in time, what a client received stands in the
//! history, and the service recovers without a restart.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Answer, Digest, Scheme, Signer, TestBed, V1, V2, Version, assert_signs, digest, until,
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const SIGNERS: usize = 4;
/// Approvals of each, one document each.
const APPROVALS: usize = 5;
/// How often each order is sent at once: sixty requests are in flight.
const COPIES: usize = 3;
/// Beyond every deadline of the service: an answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(40);

/// A service whose HSM fails on command, and who signs with it; one fault at a time.
struct Faulty {
    bed: TestBed,
    turn: Mutex<usize>,
}

async fn faulty() -> (&'static TestBed, MutexGuard<'static, usize>) {
    static FAULTY: OnceCell<Faulty> = OnceCell::const_new();
    let faulty = FAULTY.get_or_init(async || Faulty {
        bed: TestBed::builder()
            .forwarded()
            .set("hsm.patience", r#""2s""#)
            .start()
            .await,
        turn: Mutex::new(0),
    });
    let faulty = faulty.await;
    (&faulty.bed, faulty.turn.lock().await)
}

/// An approval of one document that no other approval names.
struct Approval {
    signer: usize,
    version: Version,
    sad: String,
    hash: Digest,
}

/// Has the shared service survive a fault.
async fn survives(fault: impl AsyncFnOnce(&TestBed), mend: impl AsyncFnOnce(&TestBed)) {
    let (bed, mut turn) = faulty().await;
    *turn += 1;
    survived(bed, *turn, fault, mend).await;
}

/// Sends sixty orders while the fault is there, and lets it go; what was not signed is signed afterwards, unless nobody knows. Gives the
/// answers that came meanwhile.
async fn survived(
    bed: &TestBed,
    turn: usize,
    fault: impl AsyncFnOnce(&TestBed),
    mend: impl AsyncFnOnce(&TestBed),
) -> Vec<Answer> {
    let signers = join_all((0..SIGNERS).map(|_| bed.signer())).await;
    let approvals = join_all((0..SIGNERS).map(|signer| approve(&signers, signer, turn))).await;
    let approvals: Vec<_> = approvals.into_iter().flatten().collect();

    let orders = approvals
        .iter()
        .flat_map(|approval| std::iter::repeat_n(approval, COPIES));
    let requests = join_all(orders.map(|approval| order(&signers, approval)));
    let (answers, ()) = tokio::join!(requests, fault(bed));
    mend(bed).await;
    until("the service to be ready again", async || {
        (bed.admin().status("/readyz").await == Some(200)).then_some(())
    })
    .await;

    let certificates = join_all(signers.iter().map(certificate)).await;
    for (number, approval) in approvals.iter().enumerate() {
        let of_approval = &answers[number * COPIES..(number + 1) * COPIES];
        let mut signatures: Vec<_> = of_approval.iter().filter_map(signature).collect();
        let unknown = of_approval.iter().any(|answer| answer.status == 500);
        for answer in of_approval {
            in_order(answer);
        }
        if signatures.is_empty() {
            // Given back, unless it may have been signed.
            let again = order(&signers, approval).await;
            assert!(
                again.status == 200 || unknown,
                "{again:?} after {of_approval:?}"
            );
            signatures.extend(signature(&again));
        }
        assert!(signatures.len() <= 1, "signed twice: {of_approval:?}");
        let signer = &signers[approval.signer];
        if let Some(signature) = signatures.first() {
            let certificate = &certificates[approval.signer];
            assert_signs(certificate, &approval.hash, signature, Scheme::Ecdsa);
            assert!(
                history(bed, signer).contains(&approval.hash),
                "not in the history"
            );
        }
        let spent = order(&signers, approval).await;
        assert_eq!(spent.status, 400, "{spent:?}");
    }
    let hash = digest("as if nothing had been");
    let sad = signers[0].sad(V2, &[hash]).await;
    signers[0].sign(V2, &sad, &[hash]).await.ok();
    bed.inspect();
    answers
}

async fn certificate(signer: &Signer<'_>) -> Vec<u8> {
    let body = json!({"credentialID": signer.credential.id, "certificates": "single"});
    let info = signer.call(V2, "credentials/info", body).await.ok();
    let certificate = info["cert"]["certificates"][0].as_str().unwrap();
    STANDARD.decode(certificate).unwrap()
}

async fn approve(signers: &[Signer<'_>], signer: usize, turn: usize) -> Vec<Approval> {
    let mut approvals = Vec::new();
    for number in 0..APPROVALS {
        let version = [V1, V2][number % 2];
        let hash = digest(&format!("{turn} {signer} {number}"));
        let sad = signers[signer].sad(version, &[hash]).await;
        approvals.push(Approval {
            signer,
            version,
            sad,
            hash,
        });
    }
    approvals
}

async fn order(signers: &[Signer<'_>], approval: &Approval) -> Answer {
    let signer = &signers[approval.signer];
    let hash = [approval.hash];
    let signed = signer.sign(approval.version, &approval.sad, &hash);
    let answered = tokio::time::timeout(PATIENCE, signed).await;
    answered.expect("every request is answered in time")
}

/// A signature, a spent SAD, a request to come again, or an outcome that nobody knows.
fn in_order(answer: &Answer) {
    match answer.status {
        200 | 500 => {}
        400 => assert_eq!(answer.body["error_description"], "Invalid parameter SAD"),
        503 => assert!(answer.headers.contains_key("retry-after"), "{answer:?}"),
        _ => panic!("{answer:?}"),
    }
}

fn signature(answer: &Answer) -> Option<Vec<u8>> {
    let signature = answer.body["signatures"][0].as_str()?;
    Some(STANDARD.decode(signature).unwrap())
}

/// The hashes in the history of a credential, as far as they were signed; none twice.
fn history(bed: &TestBed, signer: &Signer<'_>) -> BTreeSet<Digest> {
    let arguments = ["history", "--credential", &signer.credential.id];
    let printed = bed.cli(&arguments, &[]).expect("history");
    let hashes: Vec<Digest> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["outcome"] == "signed")
        .map(|row| {
            let hash = STANDARD.decode(row["hash"].as_str().unwrap()).unwrap();
            hash.try_into().unwrap()
        })
        .collect();
    let set: BTreeSet<_> = hashes.iter().copied().collect();
    assert_eq!(set.len(), hashes.len(), "one row a signature");
    set
}

/// Until a fault has been met: what a metric counts has grown.
async fn replaced(bed: &TestBed, reason: &str, before: u64) {
    until("another process of the module", async || {
        (replacements(bed, reason).await > before).then_some(())
    })
    .await;
}

async fn replacements(bed: &TestBed, reason: &str) -> u64 {
    let reason = format!("\"{reason}\"");
    measured(bed, "csc_hsm_process_replaced", &reason).await
}

/// The largest value of a metric with this label.
async fn measured(bed: &TestBed, metric: &str, label: &str) -> u64 {
    let admin = bed.admin();
    let page = admin
        .send(admin.request(Method::GET, "/metrics"))
        .await
        .text;
    let lines = page
        .lines()
        .filter(|line| line.starts_with(metric) && line.contains(label));
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    lines
        .filter_map(value)
        .map(|value| value as u64)
        .max()
        .unwrap_or_default()
}

async fn nothing(_: &TestBed) {}

async fn go_through(bed: &TestBed) {
    bed.rules(&[]);
}

/// The process of the HSM's module.
fn child(bed: &TestBed) -> String {
    let pid = fs::read_to_string(bed.dir().join("server.pid")).unwrap();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let of_threads = children.unwrap_or_default();
    let mut found: Vec<_> = of_threads
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let children = thread.unwrap().path().join("children");
        let children = fs::read_to_string(children).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().map(str::to_owned));
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 1, "one module, one process: {found:?}");
    found.remove(0)
}

#[tokio::test]
async fn sessions_that_are_lost_are_opened_again() {
    survives(
        async |bed| bed.rules(&["* forget-sessions times=1"]),
        go_through,
    )
    .await;
}

#[tokio::test]
async fn a_log_in_that_is_lost_is_made_again() {
    survives(
        async |bed| bed.rules(&["* forget-login times=1"]),
        go_through,
    )
    .await;
}

#[tokio::test]
async fn sessions_that_end_when_idle_are_opened_again() {
    // CKR_SESSION_HANDLE_INVALID.
    survives(
        async |bed| bed.rules(&["C_SignInit fail 0xB3 times=4"]),
        go_through,
    )
    .await;
}

#[tokio::test]
async fn a_device_error_leaves_the_outcome_unknown_or_gives_back() {
    // CKR_DEVICE_ERROR, before and after the module has signed.
    survives(
        async |bed| bed.rules(&["C_Sign fail 0x30 times=3", "C_Sign fail-after 0x30 times=3"]),
        go_through,
    )
    .await;
}

#[tokio::test]
async fn an_hsm_that_restarts_is_found_again() {
    // CKR_DEVICE_REMOVED from every call, and nothing is left of sessions afterwards.
    survives(
        async |bed| bed.rules(&["* fail 0x32"]),
        async |bed| bed.rules(&["* forget-sessions times=1"]),
    )
    .await;
    let (bed, _turn) = faulty().await;
    bed.rules(&[]);
}

#[tokio::test]
async fn a_token_that_is_removed_and_back_is_found_again() {
    let tokens = |bed: &TestBed| bed.dir().join("softhsm/tokens");
    survives(
        async |bed| fs::rename(tokens(bed), bed.dir().join("away")).unwrap(),
        async |bed| fs::rename(bed.dir().join("away"), tokens(bed)).unwrap(),
    )
    .await;
}

#[tokio::test]
async fn without_a_session_to_be_had_clients_come_again() {
    // CKR_SESSION_COUNT.
    survives(
        async |bed| bed.rules(&["* forget-sessions times=1", "C_OpenSession fail 0xB1"]),
        go_through,
    )
    .await;
}

#[tokio::test]
async fn a_module_that_hangs_is_replaced() {
    let before = replacements(faulty().await.0, "hung").await;
    survives(
        async |bed| bed.rules(&["C_Sign hang"]),
        async |bed| {
            replaced(bed, "hung", before).await;
            bed.rules(&[]);
        },
    )
    .await;
}

#[tokio::test]
async fn a_module_that_crashes_is_replaced() {
    let before = replacements(faulty().await.0, "ended").await;
    survives(
        async |bed| bed.rules(&["C_Sign crash after=5"]),
        async |bed| {
            replaced(bed, "ended", before).await;
            bed.rules(&[]);
        },
    )
    .await;
}

#[tokio::test]
async fn a_process_of_the_module_that_is_killed_is_replaced() {
    survives(
        async |bed| {
            let killed = Command::new("kill").args(["-9", &child(bed)]).status();
            assert!(killed.unwrap().success());
        },
        nothing,
    )
    .await;
}

/// Two ways to one token stand for two HSMs with the same master keys: the first fails, the second does not.
#[tokio::test]
async fn one_of_two_hsms_dies_and_the_other_goes_on() {
    let bed = TestBed::builder().forwarded().start().await;
    assert!(bed.stop().await.success());
    let section = format!(
        "\n[[slot]]\nrole = \"holder\"\nname = \"second\"\nmodule = \"{}\"\ntoken = \"csc-holder\"\npin_file = \"{}\"\nweight = 2\n",
        bed.module(),
        bed.dir().join("softhsm/pins/csc-holder.pin").display()
    );
    let configuration = bed.dir().join("csc-server.toml");
    let configuration = OpenOptions::new().append(true).open(configuration);
    configuration
        .unwrap()
        .write_all(section.as_bytes())
        .unwrap();
    bed.start().await;
    let signer = bed.signer().await;

    let answers = survived(
        &bed,
        0,
        // CKR_DEVICE_REMOVED from every call.
        async |bed| bed.rules(&["* fail 0x32"]),
        async |bed| {
            let hash = [digest("on the other")];
            let sad = signer.sad(V2, &hash).await;
            signer.sign(V2, &sad, &hash).await.ok();
            let listed = bed.terminal(None, &["slot", "list"], &[]).stdout;
            assert!(
                listed.contains("second: holder, profile softhsm2, weight 2, "),
                "{listed}"
            );
            bed.rules(&[]);
            until("the first to be back", async || {
                (measured(bed, "csc_hsm_slot_sessions{", "\"csc-holder\"").await > 0).then_some(())
            })
            .await;
        },
    )
    .await;

    assert!(
        answers.iter().all(|answer| answer.status != 503),
        "{answers:?}"
    );
}

/// SC-66: who runs code in the web server finds neither the key to the HSM nor the way to it.
#[tokio::test]
async fn the_web_process_has_neither_the_library_nor_the_pin() {
    let (bed, _turn) = faulty().await;
    let pid = fs::read_to_string(bed.dir().join("server.pid")).unwrap();
    let maps = |pid: &str| fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(
        maps(&child(bed)).contains("libsofthsm2"),
        "the module is somewhere"
    );
    for library in ["libsofthsm2", "libpkcs11_forwarder"] {
        assert!(!maps(&pid).contains(library), "{library}");
    }
    for name in ["csc-holder.pin", "csc-issuer.pin"] {
        let pin = fs::read_to_string(bed.dir().join("softhsm/pins").join(name)).unwrap();
        for file in ["environ", "cmdline"] {
            let octets = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(
                !String::from_utf8_lossy(&octets).contains(pin.trim()),
                "{file}"
            );
        }
    }
}

/// A real HSM locks for good: one try, by all processes together.
#[tokio::test]
async fn a_wrong_pin_is_shown_to_the_hsm_once() {
    let bed = TestBed::builder().forwarded().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V2, &hash).await;
    let pin = bed.dir().join("softhsm/pins/csc-holder.pin");
    let right = fs::read_to_string(&pin).unwrap();
    fs::write(&pin, "not-the-pin\n").unwrap();
    for _ in 0..2 {
        let pid = child(&bed);
        let killed = Command::new("kill").args(["-9", &pid]).status();
        assert!(killed.unwrap().success());
        until("another process", async || {
            let answer = signer.sign(V2, &sad, &hash).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"));
            bed.log().contains("the HSM refused the PIN").then_some(())
        })
        .await;
    }
    // The issuer's slot has its own; the holders' was tried by the first process, and not by the second.
    let refusals = bed.log().matches("it is not tried again").count();
    assert_eq!(refusals, 1);
    fs::write(&pin, right).unwrap();
    bed.stop().await;
    bed.start().await;
    signer.sign(V2, &sad, &hash).await.ok();
}
