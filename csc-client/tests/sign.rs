//! The client against a service, from the command line to the signed files.

mod support;

use std::process::Output;

use serde_json::{Value, json};
use support::{OTP, Options, PIN, Service, client, folder, verifies};

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_go_in_one_authorisation_and_only_digests_travel() {
    for (api, send, hashes) in [
        ("v2", "credentials/getChallenge", "hashes"),
        ("v1", "credentials/sendOTP", "hash"),
    ] {
        let service = Service::start(Options::default()).await;
        let folder = folder(&[("a.txt", "first contract"), ("b.xml", "<second/>")]);
        let (a, b) = (folder.path().join("a.txt"), folder.path().join("b.xml"));
        let files = [a.to_str().unwrap(), b.to_str().unwrap()];
        let arguments = [
            "--url",
            &service.url,
            "--api",
            api,
            "--user",
            "alice",
            "sign",
            files[0],
            files[1],
        ];
        let output = client(&arguments, &["password", PIN, OTP]).await;
        assert!(output.status.success(), "{api}: {}", text(&output));

        let signed = [
            folder.path().join("a.txt.p7m"),
            folder.path().join("b.xml.p7m"),
        ];
        let printed: String = signed
            .iter()
            .map(|path| format!("{}\n", path.display()))
            .collect();
        assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
        assert!(signed.iter().all(|path| verifies(&service, path)), "{api}");
        assert_eq!(
            service.methods(),
            [
                "info",
                "auth/login",
                "credentials/list",
                "credentials/info",
                send,
                "credentials/authorize",
                "signatures/signHash",
                "auth/revoke",
            ]
        );
        let authorised = &service.bodies("credentials/authorize")[0][hashes];
        assert_eq!(authorised.as_array().unwrap().len(), 2);
        assert_eq!(
            authorised,
            &service.bodies("signatures/signHash")[0][hashes]
        );
        let travelled: String = service
            .methods()
            .iter()
            .flat_map(|m| service.bodies(m))
            .map(|b| b.to_string())
            .collect();
        for content in ["first contract", "second", "a.txt"] {
            assert!(!travelled.contains(content), "{content} in {travelled}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_the_credential_allows_take_several_authorisations_and_one_pin() {
    let service = Service::start(Options {
        multisign: 2,
        ..Options::default()
    })
    .await;
    let folder = folder(&[("1", "one"), ("2", "two"), ("3", "three")]);
    let files = ["1", "2", "3"].map(|name| folder.path().join(name).display().to_string());
    let mut arguments = vec![
        "--url",
        &service.url,
        "--user",
        "alice",
        "sign",
        "--credential",
        "cred-42",
    ];
    arguments.extend(files.iter().map(String::as_str));
    let output = client(&arguments, &["password", PIN, OTP, OTP]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("3 files take 2 authorisations"),
        "{}",
        text(&output)
    );
    let counts: Vec<Value> = service
        .bodies("credentials/authorize")
        .iter()
        .map(|b| b["numSignatures"].clone())
        .collect();
    assert_eq!(counts, [2, 1]);
    assert!(
        files
            .iter()
            .all(|file| verifies(&service, format!("{file}.p7m").as_ref()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_otp_command_runs_after_the_code_was_sent_until_it_prints_one() {
    let folder = folder(&[("a.txt", "contract")]);
    let outbox = folder.path().join("outbox");
    let service = Service::start(Options {
        outbox: Some(outbox.clone()),
        ..Options::default()
    })
    .await;
    let file = folder.path().join("a.txt").display().to_string();
    // The mail arrives when it is looked for the second time.
    let (mail, looked) = (outbox.display(), folder.path().join("looked"));
    let looked = looked.display();
    let command =
        format!("if [ -e {looked} ]; then cat {mail}; else test -e {mail} && touch {looked}; fi");
    let arguments = [
        "--url",
        &service.url,
        "--user",
        "alice",
        "sign",
        "--otp-command",
        &command,
        &file,
    ];
    let output = client(&arguments, &["password", PIN]).await;
    assert!(output.status.success(), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_approval_is_waited_for() {
    let auth = json!({"mode": "explicit", "objects": [{"type": "ChallengeResponseOOB", "id": "app", "label": "App"}]});
    let service = Service::start(Options {
        auth,
        pending: true,
        ..Options::default()
    })
    .await;
    let folder = folder(&[("a.txt", "contract")]);
    let file = folder.path().join("a.txt").display().to_string();
    let output = client(
        &["--url", &service.url, "--user", "alice", "sign", &file],
        &["password"],
    )
    .await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(
        service.bodies("credentials/authorize")[0]["authData"],
        json!([{"id": "app"}])
    );
    let handles: Vec<Value> = service
        .bodies("credentials/authorizeCheck")
        .iter()
        .map(|b| b["handle"].clone())
        .collect();
    assert_eq!(handles, ["h1", "h2"], "the handle given last is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_words_of_the_service_and_nothing_is_written() {
    let service = Service::start(Options::default()).await;
    let folder = folder(&[("a.txt", "contract")]);
    let file = folder.path().join("a.txt").display().to_string();
    let arguments = ["--url", &service.url, "--user", "alice", "sign", &file];

    let output = client(&arguments, &["password", "0000", OTP]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("The authentication data is invalid"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("check the PIN"), "{}", text(&output));
    assert!(!text(&output).contains("0000"), "{}", text(&output));
    assert_eq!(
        service.methods().last().unwrap(),
        "auth/revoke",
        "the log-in ends all the same"
    );

    let output = client(&arguments, &["wrong"]).await;
    assert!(
        text(&output).contains("check the user name and the password"),
        "{}",
        text(&output)
    );
    let output = client(&arguments, &["password", PIN]).await;
    assert!(
        text(&output).contains("standard input ended where SMS code was expected"),
        "{}",
        text(&output)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_logs_in_with_its_secret_and_names_the_user() {
    let service = Service::start(Options::default()).await;
    let arguments = [
        "--url",
        &service.url,
        "--client-id",
        "app-7",
        "--user-id",
        "alice",
        "list",
    ];
    let output = client(&arguments, &["hush"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("cred-42\tcan sign\t4096-01-01\tCN=Alice Muster"),
        "{}",
        text(&output)
    );
    let token = &service.bodies("oauth2/token")[0];
    assert_eq!(
        token,
        &json!({"grant_type": "client_credentials", "client_id": "app-7", "client_secret": "hush"})
    );
    assert_eq!(service.bodies("credentials/list")[0]["userID"], "alice");
    assert_eq!(service.bodies("oauth2/revoke")[0]["token"], "service-token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_the_providers_page_is_not_tried() {
    let auth = json!({"mode": "oauth2code", "objects": []});
    let service = Service::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    let folder = folder(&[("a.txt", "contract")]);
    let file = folder.path().join("a.txt").display().to_string();
    let output = client(
        &["--url", &service.url, "--user", "alice", "sign", &file],
        &["password"],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("the provider's own page"),
        "{}",
        text(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_be_reached_is_named() {
    let output = client(&["--url", "http://127.0.0.1:1", "info"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("127.0.0.1 cannot be reached"),
        "{}",
        text(&output)
    );
}
