//! What was in memory does not leave it, and does not stay in it (SC-103).

#![expect(
    clippy::indexing_slicing,
    reason = "a part of a buffer is a part of it"
)]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    process::{Command, Stdio},
};

use conformance_tests::{TestBed, V1, V2, digest, until};
use serde_json::json;

#[tokio::test]
async fn the_service_leaves_no_core_file() {
    let bed = TestBed::builder().start().await;
    let limits = of_process(&bed, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("Linux says so");
    assert_eq!(
        core.split_ascii_whitespace().collect::<Vec<_>>(),
        ["Max", "core", "file", "size", "0", "0", "bytes"]
    );
}

#[tokio::test]
async fn a_secret_is_wiped_from_memory_when_its_request_has_ended() {
    let bed = TestBed::builder().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let mut secrets = vec![
        signer.credential.pin.clone(),
        signer.holder.password.clone(),
    ];
    for version in [V1, V2] {
        let code = signer.code().await;
        let body = signer.authorization(version, &hash, 1, &code);
        let sad = signer.call(version, "credentials/authorize", body).await;
        let sad = sad.text_of("SAD");
        signer.sign(version, &sad, &hash).await.ok();
        let (_, secret) = sad.split_once('.').expect("a SAD has two parts");
        secrets.extend([code, secret.to_owned()]);
    }
    // A guess that was wrong is often the right one of somewhere else.
    let guess = "wrong but telling";
    let api = bed.api();
    let login = api.login(V1, &signer.holder.name, guess, json!({}));
    login.await.refused_as("authentication_error");
    drop(api);
    secrets.push(guess.to_owned());

    let Ok(memory) = File::open(process(&bed, "mem")) else {
        // The service forbids it to everybody but root.
        return;
    };
    let present = [&secrets[..], &["csc_server".to_owned()]].concat();
    assert!(
        !found(&bed, &memory, &present).is_empty(),
        "the memory was looked at"
    );
    until("every secret to be wiped", async || {
        found(&bed, &memory, &secrets).is_empty().then_some(())
    })
    .await;
}

/// Which of these stand in the memory that the process can write: a few hundred megabytes, for which grep is the right tool.
fn found(bed: &TestBed, memory: &File, secrets: &[String]) -> Vec<String> {
    let mut grep = Command::new("grep");
    let patterns = bed.secret_file(&secrets.join("\n"));
    grep.args([
        "--text",
        "--null-data",
        "--only-matching",
        "--fixed-strings",
        "--file",
        &patterns,
    ]);
    let grep = grep.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut grep = grep.expect("grep can be started");
    let mut input = grep.stdin.take().expect("standard input is a pipe");
    let mut part = vec![0; 1 << 20];
    for line in of_process(bed, "maps").lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else {
            continue;
        };
        let (Some((from, to)), true) = (range.split_once('-'), rights.starts_with("rw")) else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut at, to) = (number(from), number(to));
        while at < to {
            let wanted = part
                .len()
                .min(usize::try_from(to - at).unwrap_or(usize::MAX));
            // What went since the map was read is not there.
            let read = memory.read_at(&mut part[..wanted], at).unwrap_or_default();
            input.write_all(&part[..read]).expect("grep takes it");
            at += wanted as u64;
        }
        input.write_all(b"\0").expect("grep takes it");
    }
    drop(input);
    let output = grep.wait_with_output().expect("grep ends");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    output.split_terminator('\0').map(str::to_owned).collect()
}

fn process(bed: &TestBed, name: &str) -> String {
    let pid = fs::read_to_string(bed.dir().join("server.pid")).expect("the service runs");
    format!("/proc/{pid}/{name}")
}

fn of_process(bed: &TestBed, name: &str) -> String {
    fs::read_to_string(process(bed, name)).expect("Linux says so")
}
