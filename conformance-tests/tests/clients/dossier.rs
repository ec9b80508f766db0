//! openSzigno, a program on the terminal for Hungarian e-dossiers: it logs in, signs with XAdES and verifies what it has signed.

use std::{fs, path::Path, sync::Arc};

use conformance_tests::{Client, KeySpec, Landing, Signer, TestBed, V2, register_secret, shared};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
};

use crate::{assert_needed, ca, person::Person, program::Program, sample, tool};

const NAME: &str = "openSzigno";

/// It trusts public authorities alone: it comes in the clear to this door, which speaks TLS with the service.
struct Door {
    authority: String,
    carrier: JoinHandle<()>,
}

impl Door {
    async fn to(bed: &TestBed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let pem = fs::read_to_string(bed.dir().join("tls/server.pem"));
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.expect("a certificate").as_bytes())
            .expect("a certificate as PEM");
        let mut trusted = RootCertStore::empty();
        let added = trusted.add(CertificateDer::from(pem.contents));
        added.expect("a certificate that can be trusted");
        let config = ClientConfig::builder()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let (tls, service) = (TlsConnector::from(Arc::new(config)), bed.address());
        let carrier = tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let stream = TcpStream::connect(service).await;
                let name = "localhost".try_into().expect("a name");
                let stream = tls.connect(name, stream.expect("the service listens"));
                let mut stream = stream.await.expect("the service speaks TLS");
                tokio::spawn(async move { copy_bidirectional(&mut plain, &mut stream).await });
            }
        });
        Self {
            authority: address.to_string(),
            carrier,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// A dossier on somebody's machine, and how openSzigno is to reach the service.
struct Desk {
    dir: TempDir,
    _door: Door,
    client: Client,
    switch: &'static str,
}

impl Desk {
    /// With the one leniency that this way of signing needs.
    async fn new(bed: &TestBed, switch: &'static str) -> Self {
        let registration = format!(
            "name = \"{NAME}\"\nredirect_uris = [\"{}\"]\ngrants = [\"authorization_code\", \"refresh_token\"]\n[switches]\n{switch} = true\n",
            Landing::REGISTERED
        );
        let (client, door) = (bed.client_from(&registration), Door::to(bed).await);
        let dir = tempfile::tempdir().expect("a directory for the dossier");
        let file = |name: &str, text: String| {
            fs::write(dir.path().join(name), text).expect("the directory takes files");
        };
        file("secret", client.secret.clone());
        let (browser, door_) = (bed.api().authority().to_owned(), &door.authority);
        file(
            "csc.toml",
            format!(
                "base_url = \"http://{door_}/csc/v2\"\nclient_id = \"{}\"\nclient_secret_file = \"secret\"\nredirect_uri = \"http://127.0.0.1:0/cb\"\nauthorization_url = \"https://{browser}/oauth2/authorize\"\ntoken_url = \"http://{door_}/oauth2/token\"\naccess_token_file = \"token\"\n",
                client.id
            ),
        );
        let anchors = dir.path().join("trusted/anchors");
        fs::create_dir_all(&anchors).expect("a directory for trust");
        ca(bed, &anchors);
        Self {
            dir,
            _door: door,
            client,
            switch,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the program answers, in JSON.
    async fn answers(&self, arguments: &[&str]) -> Value {
        let answer = self.starts(arguments).ends().await;
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("not JSON: {answer}"))
    }

    fn starts(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new(tool("OPENSZIGNO"));
        Program::start(
            command
                .current_dir(self.path())
                .args(arguments)
                .arg("--json"),
        )
    }

    async fn creates(&self) {
        let document = sample();
        let document = document.to_string_lossy();
        let create = ["create", "--output", "dossier.es3", "--title", "A contract"];
        self.answers(&[&create[..], &["--document", &document]].concat())
            .await;
    }

    /// One signature, of this holder and by this CA; the leniency was needed. Open is only what the dossier does not carry: a timestamp, and word on revocation.
    async fn accepts(&self, bed: &TestBed) {
        let verify = ["verify", "signed.es3", "--trust-store", "trusted"];
        let verify = self.starts(&[&verify[..], &["--no-revocation"]].concat());
        let (_, report, errors) = verify.ended().await;
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{errors}"));
        let report = &report["data"];
        assert_eq!(report["counts"]["signatures"], 1, "{report:#}");
        let signature = &report["signatures"][0];
        assert_eq!(signature["chain"][0]["subject_cn"], "Alice Rossi");
        let checks = signature["checks"].as_array().into_iter().flatten();
        let of = |status: &str| -> Vec<_> {
            let found = checks.clone().filter(|check| check["status"] == status);
            found.filter_map(|check| check["code"].as_str()).collect()
        };
        for code in ["signature_value_ok", "reference_digest_ok", "cert_path_ok"] {
            assert!(of("passed").contains(&code), "{code}: {signature:#}");
        }
        assert_eq!(of("failed"), [""; 0], "{signature:#}");
        assert_eq!(
            of("unknown"),
            ["signature_timestamp_absent"],
            "{signature:#}"
        );
        assert_needed(bed, &self.client, &[self.switch]).await;
    }
}

const LOG_IN: [&str; 4] = ["csc", "login", "csc.toml", "--online-allow-private"];
const SIGN: [&str; 7] = [
    "sign",
    "dossier.es3",
    "--output",
    "signed.es3",
    "--csc",
    "csc.toml",
    "--online-allow-private",
];

async fn logs_in(desk: &Desk, person: &Person<'_>) {
    let mut log_in = desk.starts(&LOG_IN);
    let url = log_in.sends_to().await;
    person.lets_in(NAME, &url).await;
    log_in.ends().await;
}

async fn signer<'a>(bed: &'a TestBed, mode: &str, key: &str) -> Signer<'a> {
    let spec = KeySpec { key, multisign: 1 };
    bed.signer_as(mode, &spec).await
}

#[tokio::test]
async fn openszigno_signs_a_dossier_that_its_holder_approved_on_our_page() {
    let bed = shared().await;
    let signer = signer(bed, "oauth2code", "p256").await;
    let (desk, person) = (
        Desk::new(bed, "details_once").await,
        Person::at_a_browser(&signer).await,
    );
    desk.creates().await;
    logs_in(&desk, &person).await;
    let mut sign = desk.starts(&SIGN);
    let url = sign.sends_to().await;
    person.signs(&url).await;
    sign.ends().await;
    desk.accepts(bed).await;
}

#[tokio::test]
async fn openszigno_signs_a_dossier_with_pin_and_code_from_files() {
    let bed = shared().await;
    let signer = signer(bed, "explicit", "rsa-3072").await;
    let (desk, person) = (
        Desk::new(bed, "top_level_factors").await,
        Person::at_a_browser(&signer).await,
    );
    desk.creates().await;
    logs_in(&desk, &person).await;

    // The code is for this application, which has no command to ask for one.
    let token = fs::read_to_string(desk.path().join("token")).expect("a token");
    register_secret(token.trim());
    let wanted = json!({"credentialID": signer.credential.id, "authObjectID": "OTP"});
    let api = bed.api();
    let sent = api.call(V2, "credentials/getChallenge", token.trim(), wanted);
    sent.await.done();
    let config = desk.path().join("csc.toml");
    let said = fs::read_to_string(&config).expect("a configuration");
    let more = "pin_file = \"pin\"\notp_file = \"code\"\n";
    for (path, text) in [
        (config, said + more),
        (desk.path().join("pin"), signer.credential.pin.clone()),
        (desk.path().join("code"), signer.holder.next_code().await),
    ] {
        fs::write(path, text).expect("the directory takes files");
    }
    desk.answers(&SIGN).await;
    desk.accepts(bed).await;
}
