//! What others can verify: a signature in the log, an export, part of one, with the public key alone.

use std::process::Command;

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{Run, Signer, TestBed, V1, V2, binary, command, digest, until};
use serde_json::Value;

use crate::{bed, export, file, found, key, verify_offline};

/// Waits until the row with this text in its event is covered by a checkpoint: its proof.
pub(crate) async fn proof(bed: &TestBed, signer: &Signer<'_>, hash: &str) -> String {
    let id = signer.credential.id.as_str();
    let arguments = ["audit", "proof", "--credential", id, "--hash", hash];
    until("a checkpoint over the signature", async || {
        let run = bed.cli(&arguments, &[]);
        run.success.then_some(run.stdout)
    })
    .await
}

fn check(arguments: &[&str]) -> Run {
    let mut check = Command::new(binary("csc-client"));
    command(check.args(["audit", "check"]).args(arguments), &[])
}

#[tokio::test]
async fn a_signature_can_be_proven_to_who_trusts_only_the_key() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let hashes = ["first", "second"].map(digest);
    let sad = signer.sad(V2, &hashes).await;
    signer.sign(V2, &sad, &hashes).await.ok();
    let hash = STANDARD.encode(hashes[1]);
    let proof = proof(&bed, &signer, &hash).await;
    let (path, key) = (file(&bed, "proof.json", &proof), key(&bed));

    let line: Value = serde_json::from_str(&proof).expect("a proof is JSON");
    let event = line["proof"]["row"]["event"]
        .as_str()
        .expect("it has a row");
    let event: Value = serde_json::from_str(event).expect("an event is JSON");
    let activation = event["activation"].as_str().expect("a signature has one");
    let arguments = [
        "audit",
        "proof",
        "--activation",
        activation,
        "--position",
        "1",
    ];
    let by_position = bed.cli(&arguments, &[]).expect("audit proof");
    assert_eq!(by_position, proof, "both ways name the same row");

    bed.stop().await;
    let proven = check(&[&path, "--key", &key, "--hash", &hash]).expect("audit check");
    assert_eq!(proven.trim().lines().count(), 1, "{proven}");
    for told in ["proven: ", &hash, &signer.credential.id] {
        assert!(proven.contains(told), "{told}: {proven}");
    }
    // What was signed is the digest of these five octets as they are.
    let document = file(&bed, "document", "first");
    let proven = check(&[&path, "--key", &key, "--file", &document]).expect("audit check");
    assert!(proven.contains(&STANDARD.encode(hashes[0])), "{proven}");

    let other = STANDARD.encode(digest("third"));
    let refused = check(&[&path, "--key", &key, "--hash", &other]);
    assert!(
        !refused.success && refused.stderr.contains("not proven"),
        "{}",
        refused.stderr
    );
    let forged = proof.replace(&hex::encode(hashes[1]), &hex::encode(digest("third")));
    let forged = file(&bed, "forged.json", &forged);
    let refused = check(&[&forged, "--key", &key, "--hash", &other]);
    assert!(
        !refused.success && refused.stderr.contains("not proven"),
        "{}",
        refused.stderr
    );
    // Neither a checkpoint that the key did not sign, nor a way to another root.
    for (part, why) in [
        ("/proof/checkpoint/signature", "did not sign"),
        ("/proof/path/0", "does not lead to the root"),
    ] {
        let mut forged = line.clone();
        let value = forged.pointer_mut(part).expect("the proof has it");
        let mut text = value.as_str().expect("hexadecimal").to_owned();
        let last = text.pop().expect("it is not empty");
        text.push(if last == '0' { '1' } else { '0' });
        *value = text.into();
        let forged = file(&bed, "forged.json", &forged.to_string());
        let refused = check(&[&forged, "--key", &key]);
        assert!(
            !refused.success && refused.stderr.contains(why),
            "{part}: {}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn an_export_is_verified_with_the_public_key_alone() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    bed.staff().hire("auditor");
    bed.stop().await;
    let (text, key) = (export(&bed), key(&bed));
    let path = file(&bed, "whole.jsonl", &text);
    let verdict = verify_offline(&path, &key).expect("audit verify");
    assert!(
        verdict.starts_with("intact: ") && verdict.contains("proven up to "),
        "{verdict}"
    );
    // The row that says that the log was exported came after the last checkpoint.
    assert!(verdict.contains("1 rows since "), "{verdict}");

    let changed = text.replace("SIGN_OK", "SIGN_NO");
    found(
        verify_offline(&file(&bed, "changed.jsonl", &changed), &key),
        ": changed: ",
    );
    let shorter: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("SIGN_STARTED"))
        .collect();
    found(
        verify_offline(&file(&bed, "shorter.jsonl", &shorter.join("\n")), &key),
        ": missing: ",
    );
    let other = TestBed::builder().start().await;
    found(
        verify_offline(&path, &self::key(&other)),
        ": bad checkpoint: another key signed it",
    );

    // OpenSSL takes key, body and signature as they stand.
    let checkpoint = text
        .lines()
        .rfind(|line| line.starts_with(r#"{"checkpoint""#));
    let checkpoint: Value = serde_json::from_str(checkpoint.expect("there is one")).expect("JSON");
    let text_of = |member: &str| {
        checkpoint["checkpoint"][member]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let body = file(&bed, "body", &text_of("body"));
    let signature = bed.dir().join("signature");
    std::fs::write(
        &signature,
        hex::decode(text_of("signature")).expect("hexadecimal"),
    )
    .expect("written");
    let mut openssl = Command::new("openssl");
    openssl
        .args(["dgst", "-sha256", "-verify", &key, "-signature"])
        .arg(&signature)
        .arg(&body);
    command(&mut openssl, &[]).expect("openssl dgst");
}

#[tokio::test]
async fn a_filtered_export_shows_one_holder_and_proves_every_row() {
    let bed = bed().await;
    let (signer, stranger) = (bed.signer().await, bed.signer().await);
    for signer in [&signer, &stranger] {
        let hash = [digest("contract")];
        let sad = signer.sad(V1, &hash).await;
        signer.sign(V1, &sad, &hash).await.ok();
    }
    bed.stop().await;
    let key = key(&bed);
    for filter in [
        ["--holder", &signer.holder.name],
        ["--credential", &signer.credential.id],
    ] {
        let path = bed.dir().join(format!("filtered{}.jsonl", filter[0]));
        let path = path.to_str().expect("a path of ASCII");
        let arguments = ["audit", "export", filter[0], filter[1], "--output", path];
        bed.cli(&arguments, &[]).expect("audit export");
        let text = std::fs::read_to_string(path).expect("it was written");
        assert!(
            text.contains("SIGN_OK") && text.contains(&signer.credential.id),
            "{text}"
        );
        assert!(
            !text.contains(&stranger.credential.id),
            "nothing of others is shown"
        );
        let verdict = verify_offline(path, &key).expect("audit verify");
        assert!(verdict.starts_with("intact: each of "), "{verdict}");
        let changed = text.replace("SIGN_OK", "SIGN_NO");
        found(
            verify_offline(&file(&bed, "changed.jsonl", &changed), &key),
            ": changed: ",
        );
        let again = bed.cli(&arguments, &[]);
        assert!(!again.success, "no file is overwritten");
    }
    let none = bed.cli(&["audit", "export", "--to", "2001-01-01"], &[]);
    assert_eq!(none.expect("audit export"), "");
}

#[tokio::test]
async fn proofs_of_before_and_after_a_new_audit_key_hold() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let first_key = key(&bed);
    let mut proofs = Vec::new();
    for (name, rotated) in [("before", false), ("after", true)] {
        if rotated {
            bed.cli(&["slot", "rotate", "--key", "audit"], &[])
                .expect("slot rotate");
        }
        let hash = digest(name);
        let sad = signer.sad(V2, &[hash]).await;
        signer.sign(V2, &sad, &[hash]).await.ok();
        let proof = proof(&bed, &signer, &STANDARD.encode(hash)).await;
        proofs.push(file(&bed, &format!("{name}.json"), &proof));
    }
    let [before, after] = &proofs[..] else {
        panic!("two proofs");
    };

    let pem = bed.cli(&["audit", "key"], &[]).expect("audit key");
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 2);
    let keys = file(&bed, "audit-keys.pem", &pem);
    for proof in [before, after] {
        check(&[proof, "--key", &keys]).expect("audit check");
    }
    check(&[before, "--key", &first_key]).expect("audit check");
    let refused = check(&[after, "--key", &first_key]);
    assert!(
        refused.stderr.contains("did not sign the checkpoint"),
        "{}",
        refused.stderr
    );
    // The whole log leads from the first key to the second.
    let export = file(&bed, "export.jsonl", &export(&bed));
    verify_offline(&export, &first_key).expect("audit verify");
    bed.cli(&["audit", "verify"], &[]).expect("audit verify");
    bed.cli(&["slot", "init"], &[]).expect("slot init");
    let again = bed.cli(&["audit", "key"], &[]).expect("audit key");
    assert_eq!(again, pem);
}
