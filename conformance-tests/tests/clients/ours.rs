//! csc-client: PDFs and other files, signed with codes that come by mail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use conformance_tests::{KeySpec, Signer, TestBed, command, shared};

use crate::{ca, pyhanko_accepts, sample};

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
