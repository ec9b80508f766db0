//! What the log says of what happens, and what it does not.

use conformance_tests::{TestBed, V1, digest, registered_secrets};
use serde_json::{Value, json};

use crate::{bed, events, export};

#[tokio::test]
async fn every_act_leaves_its_event_and_no_secret() {
    let bed = bed().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let (hash, other) = ([digest("contract")], [digest("another")]);
    let wrong = signer.authorization(V1, &hash, 1, "00000000");
    signer.code().await;
    signer
        .call(V1, "credentials/authorize", wrong)
        .await
        .refused_as("invalid_otp");
    let mut wrong = signer.authorization(V1, &hash, 1, &signer.code().await);
    wrong["PIN"] = json!("00000000");
    signer
        .call(V1, "credentials/authorize", wrong)
        .await
        .refused_as("invalid_pin");
    let sad = signer.sad(V1, &hash).await;
    signer
        .sign(V1, &sad, &other)
        .await
        .refused_as("invalid_request");
    signer
        .extend(V1, &sad, &other)
        .await
        .refused_as("invalid_request");
    signer.sign(V1, &sad, &hash).await.ok();
    let unknown = format!("{}.{}", "0".repeat(32), "A".repeat(43));
    for bad in [&sad, &unknown, "rubbish"] {
        signer
            .sign(V1, bad, &hash)
            .await
            .refused("Invalid parameter SAD");
    }
    signer
        .call(V1, "auth/revoke", json!({"token": unknown}))
        .await
        .refused_as("invalid_request");
    let revoked = signer.sad(V1, &hash).await;
    signer
        .call(V1, "auth/revoke", json!({"token": revoked}))
        .await
        .done();
    bed.api()
        .login(V1, &signer.holder.name, "wrong", json!({}))
        .await
        .refused_as("authentication_error");
    let fields = [("grant_type", "client_credentials")];
    bed.api()
        .form_as("/oauth2/token", &client.id, "wrong", &fields)
        .await
        .refused_as("invalid_client");
    bed.cli(&["history", "--credential", &signer.credential.id], &[])
        .expect("history");
    bed.inspect();
    bed.stop().await;

    let text = export(&bed);
    let events = events(&text);
    let of = |name: &str| {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect::<Vec<_>>()
    };
    for name in [
        "START",
        "CONFIG_LOADED",
        "SELFTEST",
        "STOP",
        "MASTER_CREATED",
        "CA_CREATED",
        "TSA_CREATED",
        "HOLDER_ADDED",
        "FACTOR_ADDED",
        "CLIENT_REGISTERED",
        "CLIENT_LINKED",
        "KEY_GENERATED",
        "CERT_ISSUED",
        "CERT_ACTIVATED",
        "LOGIN_OK",
        "LOGIN_FAIL",
        "TOKEN_ISSUED",
        "OTP_SENT",
        "AUTHZ_ASKED",
        "OTP_FAIL",
        "OTP_OK",
        "PIN_FAIL",
        "PIN_OK",
        "SAD_ISSUED",
        "SAD_REFUSED",
        "SAD_REVOKED",
        "SIGN_STARTED",
        "SIGN_OK",
        "SIGN_REFUSED",
        "LOG_READ",
        "LOG_VERIFIED",
        "LOG_EXPORTED",
    ] {
        assert!(!of(name).is_empty(), "no {name} in {events:#?}");
    }
    let config = of("CONFIG_LOADED");
    assert_eq!(
        config[0]["hash"].as_str().map(str::len),
        Some(64),
        "{config:?}"
    );
    assert_eq!(of("LOGIN_FAIL").len(), 2, "a person's and a client's");
    let refused = of("SIGN_REFUSED");
    assert_eq!(refused.len(), 4, "{refused:#?}");
    assert!(
        refused
            .iter()
            .all(|event| event["client"] == "direct" && event["request"].is_string())
    );
    assert_eq!(refused[0]["hashes"], json!([hex::encode(other[0])]));
    assert_eq!(
        refused[2]["activation"],
        json!("0".repeat(32)),
        "which unknown SAD it was"
    );
    assert_eq!(
        refused[3]["activation"],
        Value::Null,
        "what is no identifier is not repeated"
    );
    let acts: Vec<_> = of("SAD_REFUSED")
        .iter()
        .map(|event| event["act"].clone())
        .collect();
    assert_eq!(acts, ["extend", "revoke"]);

    let names = ["Alice", "Rossi", signer.holder.name.as_str()].map(str::to_owned);
    for secret in registered_secrets()
        .into_iter()
        .filter(|secret| secret.len() >= 8)
        .chain(names)
    {
        assert!(!text.contains(&secret), "the log holds a secret or a name");
    }
}

#[tokio::test]
async fn another_configuration_leaves_another_hash() {
    let bed = TestBed::builder().start().await;
    bed.stop().await;
    let path = bed.dir().join("csc-server.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration is there");
    let changed = text.replace("A service under test", "A service after a change");
    assert_ne!(text, changed);
    for text in [&text, &changed] {
        std::fs::write(&path, text).expect("it can be written");
        bed.start().await;
        bed.stop().await;
    }
    let events = events(&export(&bed));
    let mut hashes: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "CONFIG_LOADED")
        .filter_map(|event| event["hash"].as_str())
        .collect();
    assert_eq!(hashes.len(), 3);
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(
        hashes.len(),
        2,
        "the same file has the same hash, another has another"
    );
}
