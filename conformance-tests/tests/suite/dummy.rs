//! A server that others wrote, certomancer-csc-dummy: the suite runs to its end on it and finds what is known.

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use conformance_tests::{
    suite::{Outcome, Real, Session, Settings, catalogue, report::Entry},
    until,
};

/// Killed when it is dropped.
struct Dummy(Child);

impl Drop for Dummy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(directory: &Path, port: u16) -> Dummy {
    let python = env::var("CSC_DUMMY_PYTHON");
    let python = python.expect("CSC_DUMMY_PYTHON is not set: use conformance-tests/run");
    fs::create_dir(directory.join("keys")).unwrap();
    for key in ["root", "signer"] {
        let pair = rcgen::KeyPair::generate().unwrap();
        fs::write(
            directory.join(format!("keys/{key}.pem")),
            pair.serialize_pem(),
        )
        .unwrap();
    }
    let config = include_str!("dummy/certomancer.yml");
    fs::write(directory.join("certomancer.yml"), config).unwrap();
    let mut command = Command::new(python);
    command.args(["-m", "csc_dummy", "certomancer.yml", &port.to_string(), "2"]);
    command
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Dummy(command.spawn().unwrap())
}

#[tokio::test]
async fn what_the_suite_finds_in_a_server_of_others_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _dummy = start(directory.path(), port);
    let text = format!(
        "[server]\nv1 = \"http://127.0.0.1:{port}/csc/v1\"\n[credential]\nid = \"dummy/signer\"\n"
    );
    fs::write(directory.path().join("settings.toml"), text).unwrap();
    let settings = Settings::load(&directory.path().join("settings.toml")).unwrap();
    let world = Real::new(&settings).unwrap();
    let session = Session::new(settings);
    until("the dummy server", async || {
        session.prepare(&world).await.ok()
    })
    .await;

    let mut found = Vec::new();
    let mut passed = 0;
    for check in catalogue() {
        let ran = session.run(&check, &world).await;
        match ran.outcome {
            Outcome::Passed => passed += 1,
            Outcome::Found(..) => {
                let entry = Entry::new(&session, &check, &ran);
                found.push(format!("{} {}", entry.word(), entry.id));
            }
            Outcome::Skipped(_) => {}
        }
    }
    let known: Vec<_> = include_str!("dummy/expected.txt").lines().collect();
    assert_eq!(found, known);
    assert!(passed >= 70, "{passed} passed");
}
