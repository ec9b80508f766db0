//! The binary as somebody runs it: arguments, settings, exit status, reports.

use std::{fs, path::Path, process::Command};

use conformance_tests::{binary, suite::Settings};

use crate::bed::subject;

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

async fn run(arguments: Vec<String>) -> Run {
    // On a thread of its own: the bed's service answers meanwhile.
    let output = tokio::task::spawn_blocking(move || {
        Command::new(binary("csc-conformance"))
            .args(arguments)
            .output()
    });
    let output = output.await.unwrap().unwrap();
    Run {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_list_has_a_line_a_check_with_identifier_clause_and_title() {
    let listed = run(vec!["--list".to_owned()]).await;
    assert_eq!(listed.status, 0);
    let mut ids: Vec<_> = Vec::new();
    for line in listed.stdout.lines() {
        let columns: Vec<_> = line.split('\t').collect();
        assert!(
            columns.len() == 3 && columns.iter().all(|column| !column.is_empty()),
            "{line}"
        );
        ids.push(columns[0]);
    }
    assert!(ids.len() >= 250, "{} checks", ids.len());
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "an identifier is there twice");
}

#[tokio::test]
async fn the_reports_tell_what_was_sent_and_no_secret() {
    let subject = subject().await;
    let (junit, html) = (
        subject.bed.dir().join("report.xml"),
        subject.bed.dir().join("report.html"),
    );
    let arguments = [
        "--junit",
        &path(&junit),
        "--html",
        &path(&html),
        "--only",
        ".signHash.",
        "--only",
        ".login.",
    ];
    let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
    arguments.extend(["--strict".to_owned(), path(&subject.settings[0])]);
    let done = run(arguments).await;
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stdout.contains(" 0 failed, 0 warnings, 0 notes"),
        "{}",
        done.stdout
    );
    assert!(
        !done.stdout.contains('\u{1b}'),
        "colours where nobody looks: {}",
        done.stdout
    );
    let (junit, html) = (
        fs::read_to_string(junit).unwrap(),
        fs::read_to_string(html).unwrap(),
    );
    roxmltree::Document::parse(&junit).unwrap();
    for report in [&junit, &html] {
        assert!(report.contains("v2.signHash.S3.empty-hashes"), "{report}");
        for secret in &subject.secrets {
            assert!(!report.contains(secret.as_str()), "a report shows a secret");
        }
    }
    assert!(
        html.contains("Empty hash array") && html.contains("[masked]"),
        "{html}"
    );
    assert!(
        !html.contains("src=") && !html.contains("href="),
        "the page needs nothing beside it"
    );
}

#[tokio::test]
async fn what_cannot_be_run_ends_with_2_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("settings.toml");
    for (text, said) in [
        ("", "\"server\""),
        ("[server]\n", "server.v1 or server.v2 is needed"),
        (
            "[server]\nv1 = \"https://127.0.0.1:1/csc/v1\"\nv3 = \"x\"\n",
            "v3",
        ),
        (
            "[server]\nv1 = \"https://127.0.0.1:1/csc/v1\"\n",
            "v1 cannot be used: no answer",
        ),
        (
            "[server]\nv1 = \"x\"\ntrust = \"absent.pem\"\n",
            "absent.pem",
        ),
        (
            "[server]\nv1 = \"x\"\n[credential]\npin = { file = \"absent\" }\n",
            "absent",
        ),
        ("[server]\nv1 = \"x\"\n[otp]\ntype = \"dice\"\n", "dice"),
    ] {
        fs::write(&settings, text).unwrap();
        let done = run(vec![path(&settings)]).await;
        assert_eq!(done.status, 2, "{text}: {}", done.stdout);
        assert!(done.stderr.contains(said), "{text}: {}", done.stderr);
    }
    let nothing = run(vec![
        "--only".to_owned(),
        "no such check".to_owned(),
        path(&settings),
    ])
    .await;
    assert_eq!(nothing.status, 2, "{}", nothing.stdout);
    assert_eq!(run(Vec::new()).await.status, 2);
}

#[test]
fn the_example_is_read() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("csc-conformance.toml");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("conformance-tests/example.toml");
    for made in ["conformance-tests", "demo"] {
        fs::create_dir(directory.path().join(made)).unwrap();
    }
    fs::copy(example, &copy).unwrap();
    for secret in ["password", "pin"] {
        fs::write(directory.path().join("demo").join(secret), "one\ntwo\n").unwrap();
    }
    let settings = Settings::load(&copy).unwrap();
    assert_eq!(settings.basic.unwrap().password.value(), "one");
}
