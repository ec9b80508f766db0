//! Signing applications that others wrote, and ours: documents signed through the service, judged by pyHanko and OpenSSL.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use conformance_tests::{KeySpec, Signer, TestBed, command, shared};
use serde_json::json;

/// pyHanko's signer for the CSC API, as an application uses it: it asks for codes and PIN through a callback.
const PYHANKO: &str = include_str!("clients/pyhanko_csc.py");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sample.pdf")
}

fn tool(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: use conformance-tests/run"))
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

/// Runs our client with the log-in on standard input; codes come from the mail that the service sends meanwhile.
async fn csc_client(
    bed: &TestBed,
    signer: &Signer<'_>,
    arguments: &[&str],
    files: &[&Path],
) -> String {
    let (outbox, name) = (bed.dir().join("outbox"), &signer.holder.name);
    let (mails, next) = (outbox.display(), signer.holder.mails() + 1);
    let mail = format!("grep -ls '{name}@' {mails}/*.eml | sed -n {next}p");
    let code =
        format!(r"{mail} | xargs -r sed '1,/^\r*$/d' | grep -oE '\b[0-9]{{8}}\b' | head -n 1");
    let mut client = Command::new(conformance_tests::binary("csc-client"));
    client
        .arg("sign")
        .args(files)
        .args(["--url", &format!("https://{}", bed.api().authority())]);
    client.arg("--cacert").arg(bed.dir().join("tls/server.pem"));
    client
        .args(["--user", &signer.holder.name, "--otp-command", &code])
        .args(arguments);
    let run = command(
        &mut client,
        &[&signer.holder.password, &signer.credential.pin],
    );
    run.expect("csc-client sign")
}

#[tokio::test]
async fn a_pdf_signed_with_our_client_is_valid_for_pyhanko() {
    let bed = shared().await;
    for (key, api) in [("p256", "v2"), ("p256", "v1"), ("rsa-3072", "v2")] {
        let signer = bed.signer_with(&KeySpec { key, multisign: 5 }).await;
        let dir = tempfile::tempdir().expect("a directory for the document");
        let pdf = dir.path().join("contract.pdf");
        fs::copy(sample(), &pdf).expect("the sample can be copied");
        let printed = csc_client(bed, &signer, &["--api", api], &[&pdf]).await;
        let signed = dir.path().join("contract-signed.pdf");
        assert_eq!(
            printed.trim(),
            signed.to_string_lossy(),
            "the path of what was signed"
        );
        pyhanko_accepts(&signed, &ca(bed, dir.path()));
    }
}

#[tokio::test]
async fn three_pdfs_are_signed_with_one_approval() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let dir = tempfile::tempdir().expect("a directory for the documents");
    let files: Vec<_> = (1..=3)
        .map(|number| dir.path().join(format!("contract-{number}.pdf")))
        .collect();
    for file in &files {
        fs::copy(sample(), file).expect("the sample can be copied");
    }
    let paths: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    csc_client(bed, &signer, &[], &paths).await;
    let ca = ca(bed, dir.path());
    for number in 1..=3 {
        pyhanko_accepts(
            &dir.path().join(format!("contract-{number}-signed.pdf")),
            &ca,
        );
    }
    assert_eq!(signer.holder.mails(), 1, "one code for all");
}

#[tokio::test]
async fn a_file_signed_with_our_client_is_valid_for_openssl() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let dir = tempfile::tempdir().expect("a directory for the file");
    let file = dir.path().join("data.bin");
    fs::write(&file, "any bytes at all").expect("a file to sign");
    let ca = ca(bed, dir.path());
    for (arguments, signed) in [(&[][..], "data.bin.p7m"), (&["--detached"], "data.bin.p7s")] {
        csc_client(bed, &signer, arguments, &[&file]).await;
        let mut openssl = Command::new("openssl");
        openssl.args(["cms", "-verify", "-binary", "-purpose", "any"]);
        openssl.args(["-inform", "DER", "-in"]);
        openssl.arg(dir.path().join(signed)).arg("-CAfile").arg(&ca);
        if signed == "data.bin.p7s" {
            openssl.arg("-content").arg(&file);
        }
        let content = command(&mut openssl, &[]).expect("openssl cms -verify");
        assert_eq!(content, "any bytes at all", "{signed}");
    }
}

#[tokio::test]
async fn pyhanko_s_own_csc_client_signs_a_pdf() {
    let bed = shared().await;
    // Under /csc/v2/ it goes on writing v1, for which holders who log in by themselves have two switches here.
    let switches = "name = 'pyHanko'\ngrants = []\n[switches]\nv1_names_in_v2 = true\ntop_level_factors = true\n";
    let file = bed.secret_file(switches);
    let change = ["client", "change", "--id", "direct", "--from", &file];
    bed.cli(&change, &[]).expect("client change");
    for (api, key, pss) in [
        ("v1", "p256", false),
        ("v1", "rsa-3072", false),
        ("v1", "rsa-3072", true),
        ("v2", "p256", false),
    ] {
        let signer = bed.signer_with(&KeySpec { key, multisign: 5 }).await;
        let dir = tempfile::tempdir().expect("a directory for the document");
        let (script, signed) = (dir.path().join("sign.py"), dir.path().join("signed.pdf"));
        fs::write(&script, PYHANKO).expect("a file for the script");
        let order = json!({
            "url": format!("https://{}", bed.api().authority()),
            "cacert": bed.dir().join("tls/server.pem"),
            "credential": signer.credential.id,
            "token": signer.token,
            "pin": signer.credential.pin,
            "api": api,
            "pss": pss,
            "otp": signer.code().await,
            "input": sample(),
            "output": signed,
        });
        command(
            Command::new(tool("PYTHON")).arg(&script),
            &[&order.to_string()],
        )
        .expect("pyHanko's CSC client");
        pyhanko_accepts(&signed, &ca(bed, dir.path()));
    }
}
