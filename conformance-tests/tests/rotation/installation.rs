//! A whole installation is lost, and made anew from what its custodians have: docs/operations.md, "A whole installation", step by step.

use std::{fs, path::Path, process::Command};

use conformance_tests::{Builder, Signer, TestBed, V1, digest};

#[tokio::test]
async fn a_lost_installation_is_made_anew_from_its_backup_on_sqlite() {
    a_lost_installation_is_made_anew_from_its_backup(TestBed::builder()).await;
}

#[tokio::test]
async fn a_lost_installation_is_made_anew_from_its_backup_on_postgres() {
    a_lost_installation_is_made_anew_from_its_backup(TestBed::builder().postgres()).await;
}

/// What of the installation is neither database nor log.
const FILES: [&str; 3] = ["csc-server.toml", "tls", "softhsm"];

async fn a_lost_installation_is_made_anew_from_its_backup(builder: Builder) {
    let bed = builder.start().await;
    let signer = bed.signer().await;
    signs(&signer).await;
    let before = history(&signer);
    let verdict = bed.cli(&["audit", "verify"], &[]).expect("audit verify");
    let anchor = anchor(&verdict);
    let record = bed.cli(&["slot", "record"], &[]).expect("slot record");

    // Backup: the database while the service runs, the token and the files while nothing does.
    let kept = tempfile::tempdir().expect("a directory");
    let database = kept.path().join("database");
    fs::rename(bed.dump("database"), &database)
        .or_else(|_| fs::copy(bed.dir().join("database"), &database).map(drop))
        .expect("the dump can be moved");
    assert!(bed.stop().await.success());
    let archive = kept.path().join("installation.tar");
    tar(
        bed.dir(),
        &[&["--create", "--file", path(&archive)][..], &FILES].concat(),
    );

    // The machine is gone.
    for lost in FILES.into_iter().chain(["outbox"]) {
        let lost = bed.dir().join(lost);
        let _ = fs::remove_dir_all(&lost).or_else(|_| fs::remove_file(&lost));
        assert!(!lost.exists());
    }

    // Restore: token and files, then the database.
    tar(
        bed.dir(),
        &["--extract", "--same-permissions", "--file", path(&archive)],
    );
    bed.replace_database(&database);

    // Nothing is served before this is looked at.
    let check = ["slot", "check", "--key", "p256", "--measure", "0"];
    let checked = bed.terminal(None, &check, &[]);
    assert_eq!(checked.code, Some(4), "the clock alone: {}", checked.stdout);
    let again = bed.cli(&["slot", "record"], &[]).expect("slot record");
    assert_eq!(again, record);
    bed.cli(&["audit", "verify", "--anchor", &anchor], &[])
        .expect("audit verify");
    let rotation = bed.cli(&["slot", "rotation"], &[]).expect("slot rotation");
    assert!(!rotation.contains("destroyed"), "{rotation}");

    // The same holder signs with the same key, and what was before is still told.
    bed.start().await;
    signs(&signer).await;
    let after = history(&signer);
    assert_eq!(before.lines().count(), 1, "{before}");
    assert_eq!(after.lines().count(), 2, "{after}");
    assert!(after.starts_with(&before), "{after}");
    bed.inspect();
}

async fn signs(signer: &Signer<'_>) {
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

fn history(signer: &Signer<'_>) -> String {
    let arguments = ["history", "--credential", &signer.credential.id];
    signer.bed().cli(&arguments, &[]).expect("history")
}

/// The newest checkpoint, as the verdict names it.
fn anchor(verdict: &str) -> String {
    let words = verdict.split_whitespace();
    let is_anchor = |word: &str| {
        let parts = word.split_once(':');
        parts.is_some_and(|(number, hash)| number.parse::<u64>().is_ok() && hash.len() == 64)
    };
    let anchor = words.map(|word| word.trim_matches([',', ';', '(', ')', '.']));
    let anchor = anchor.into_iter().find(|word| is_anchor(word));
    anchor
        .unwrap_or_else(|| panic!("no anchor: {verdict}"))
        .to_owned()
}

fn tar(directory: &Path, arguments: &[&str]) {
    let ran = Command::new("tar")
        .arg("--directory")
        .arg(directory)
        .args(arguments)
        .status();
    assert!(ran.expect("tar can be run").success());
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}
