//! /openapi.json is what the service does: schemathesis, a fuzzer that others wrote, makes requests from it, good ones and bad ones, and judges
//! every answer by it.

use std::{env, fs, process::Command};

use conformance_tests::{TestBed, V1, command, digest, shared};
use serde_json::json;

/// Puts things that exist where the fuzzer guesses, so that it comes further than to "Invalid parameter credentialID".
const HOOKS: &str = include_str!("openapi/hooks.py");
/// The least number of requests of a run.
const REQUESTS: u64 = 5_000;
/// What schemathesis would judge by rules that are not this API's: that whatever fits the schema is accepted (an unknown `credentialID` is answered
/// with 400, CSC v1 11.5), and that who shows nothing is answered with 401 (it is 400, CSC v1 10; `access.rs` tries every route with it).
const NOT_JUDGED: &str = "positive_data_acceptance,missing_required_header,ignored_auth";

#[tokio::test]
async fn schemathesis_finds_no_undocumented_answer_and_no_server_error() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let sad = signer.sad(V1, &[digest("one"), digest("two")]).await;
    let dir = tempfile::tempdir().expect("a directory for the fuzzer");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file");
    write("hooks.py", HOOKS);
    write(
        "known.json",
        &json!({
            "credentialID": signer.credential.id, "SAD": sad, "authObjectID": "OTP",
            "grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret,
        })
        .to_string(),
    );
    write(
        "schemathesis.toml",
        &format!(
            "hooks = \"hooks.py\"\n[auth.openapi.token]\nbearer = \"{}\"\n\
             [auth.openapi.holder]\nusername = \"{}\"\npassword = \"{}\"\n\
             [auth.openapi.client]\nusername = \"{}\"\npassword = \"{}\"\n",
            signer.token, signer.holder.name, signer.holder.password, client.id, client.secret,
        ),
    );
    let before = requests(bed).await;
    let mut schemathesis = Command::new(
        env::var("SCHEMATHESIS").expect("SCHEMATHESIS is not set: use conformance-tests/run"),
    );
    schemathesis
        .current_dir(dir.path())
        .args([
            "run",
            &format!("https://{}/openapi.json", bed.api().authority()),
        ])
        .arg("--tls-verify")
        .arg(bed.dir().join("tls/server.pem"))
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "240",
        ])
        .args([
            "--seed",
            "1",
            "--workers",
            "2",
            "--generation-database",
            "none",
        ])
        .args(["--checks", "all", "--exclude-checks", NOT_JUDGED])
        .args([
            "--continue-on-failure",
            "--no-color",
            "--warnings",
            "off",
            "--request-timeout",
            "30",
        ]);
    let run = tokio::task::spawn_blocking(move || command(&mut schemathesis, &[])).await;
    let run = run.expect("the fuzzer runs");
    assert!(run.success, "{}\n{}", run.stdout, run.stderr);
    let made = requests(bed).await - before;
    assert!(made >= REQUESTS, "only {made} requests:\n{}", run.stdout);
}

/// How many requests the service has counted.
async fn requests(bed: &TestBed) -> u64 {
    let admin = bed.admin();
    let metrics = admin
        .send(admin.request(reqwest::Method::GET, "/metrics"))
        .await
        .text;
    let counted = metrics
        .lines()
        .filter(|line| line.starts_with("csc_requests_total{"));
    counted
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
