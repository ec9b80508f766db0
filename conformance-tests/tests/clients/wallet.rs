//! A wallet: the Kotlin library of the EU Digital Identity reference implementation, in a program of ours (`conformance-tests/wallet`). It
//! pushes its requests, asks in authorization details, and signs with the token that its holder's approval gave it.

use std::{
    net::TcpListener,
    path::Path,
    process::{self, Command},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use conformance_tests::{KeySpec, Landing, Scheme, TestBed, V2, assert_signs, command, digest};
use serde_json::json;

use crate::{assert_needed, person::Person, program::Program, tool};

const NAME: &str = "A wallet";
const PASSWORD: &str = "changeit";

/// What the library needs beyond the letter.
const SWITCHES: [&str; 1] = ["empty_objects"];

/// A service that is reached under the URL it tells. Its port is none of those that the system gives to whoever wants any.
async fn bed() -> TestBed {
    let mut ports = (0..).map(|more| 20_000 + (process::id() + more) % 12_000);
    let port = ports.find(|port| TcpListener::bind(format!("127.0.0.1:{port}")).is_ok());
    let port = port.expect("a port is free");
    TestBed::builder()
        .set("server.listen", &format!("\"127.0.0.1:{port}\""))
        .set(
            "server.public_url",
            &format!("\"https://localhost:{port}\""),
        )
        .start()
        .await
}

/// The wallet's program, which trusts this service alone.
fn wallet(bed: &TestBed, dir: &Path) -> tokio::process::Command {
    let trusted = dir.join("trusted.p12");
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-storetype", "PKCS12"]);
    keytool.args(["-storepass", PASSWORD, "-alias", "service", "-file"]);
    keytool.arg(bed.dir().join("tls/server.pem"));
    keytool.arg("-keystore").arg(&trusted);
    command(&mut keytool, &[]).expect("keytool");
    let built = tool("WALLET");
    let mut java = tokio::process::Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
    java.arg(format!("{built}/classes:{built}/libraries/*"));
    java.arg(format!("-Djavax.net.ssl.trustStore={}", trusted.display()));
    java.arg(format!("-Djavax.net.ssl.trustStorePassword={PASSWORD}"));
    java.arg("WalletKt");
    java
}

#[tokio::test]
async fn a_wallet_signs_what_its_holder_approved_on_our_page() {
    let (bed, landing) = (bed().await, Landing::new().await);
    let spec = KeySpec {
        key: "p256",
        multisign: 1,
    };
    let signer = bed.signer_as("oauth2code", &spec).await;
    let switches = SWITCHES.map(|name| format!("{name} = true\n")).concat();
    let client = bed.client_from(&format!(
        "name = \"{NAME}\"\nredirect_uris = [\"{}\"]\ngrants = [\"authorization_code\"]\nrequire_par = true\n[switches]\n{switches}",
        Landing::REGISTERED
    ));
    let hash = digest("contract");
    let order = json!({
        "url": format!("https://localhost:{}/csc/v2", bed.address().port()),
        "client": client.id,
        "secret": client.secret,
        "redirect": landing.uri(),
        "hash": BASE64_STANDARD.encode(hash),
        "algorithm": "1.2.840.10045.4.3.2",
    });
    let dir = tempfile::tempdir().expect("a directory for its trust");
    let mut wallet = Program::start(&mut wallet(&bed, dir.path()));
    wallet.told(&order.to_string()).await;

    let person = Person::at_a_browser(&signer).await;
    let url = wallet.says().await;
    let (back, ()) = tokio::join!(landing.arrived(), person.lets_in(NAME, &url));
    wallet.told(back.as_str()).await;
    let url = wallet.says().await;
    let (back, ()) = tokio::join!(landing.arrived(), person.signs(&url));
    wallet.told(back.as_str()).await;

    let signature = BASE64_STANDARD.decode(wallet.ends().await.trim());
    let known = json!({"credentialID": signer.credential.id});
    let info = signer.call(V2, "credentials/info", known).await.ok();
    let certificate = info["cert"]["certificates"][0].as_str();
    let certificate = certificate.and_then(|text| BASE64_STANDARD.decode(text).ok());
    assert_signs(
        &certificate.expect("a certificate"),
        &hash,
        &signature.expect("standard base64"),
        Scheme::Ecdsa,
    );
    assert_needed(&bed, &client, &SWITCHES).await;
}
