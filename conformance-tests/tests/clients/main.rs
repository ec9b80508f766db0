//! Signing applications that others wrote, and ours: what they sign through the service is judged by pyHanko, OpenSSL and openSzigno.
#![expect(
    clippy::indexing_slicing,
    reason = "JSON is read member by member; what is missing fails the test"
)]

mod code_flow;
mod dossier;
mod ours;
mod person;
mod program;
mod pyhanko;
mod wallet;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use conformance_tests::{Client, TestBed, command};
use reqwest::Method;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample.pdf")
}

fn tool(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: use conformance-tests/run"))
}

/// Each leniency that a client has made a difference: what it can do without, it has not.
async fn assert_needed(bed: &TestBed, client: &Client, switches: &[&str]) {
    let admin = bed.admin();
    let metrics = admin
        .send(admin.request(Method::GET, "/metrics"))
        .await
        .text;
    for switch in switches {
        let id = &client.id;
        let counted = format!("csc_leniency_total{{client=\"{id}\",switch=\"{switch}\"}}");
        assert!(metrics.contains(&counted), "{switch} is not needed");
    }
}

/// The CA's certificate in a file.
fn ca(bed: &TestBed, dir: &Path) -> PathBuf {
    let path = dir.join("ca.pem");
    fs::write(
        &path,
        bed.cli(&["ca", "certificate"], &[])
            .expect("ca certificate"),
    )
    .expect("a file for the CA");
    path
}

/// pyHanko finds one signature, valid, trusted through this CA alone, over the whole file.
fn pyhanko_accepts(pdf: &Path, ca: &Path) {
    let mut pyhanko = Command::new(tool("PYHANKO"));
    pyhanko.args([
        "sign",
        "validate",
        "--pretty-print",
        "--no-revocation-check",
        "--trust-replace",
        "--trust",
    ]);
    let report = command(pyhanko.arg(ca).arg(pdf), &[]).expect("pyhanko sign validate");
    assert_eq!(
        report.matches("The signature is judged VALID").count(),
        1,
        "{report}"
    );
    assert!(report.contains("covers the entire file"), "{report}");
}
