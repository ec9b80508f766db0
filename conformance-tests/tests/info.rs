//! `info` (CSC API v1 11.1, v2 11.1).
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::collections::BTreeSet;

use conformance_tests::{Api, V1, V2, Version, shared};
use serde_json::{Value, json};

async fn info(api: &Api, version: Version) -> Value {
    api.call_openly(version, "info", json!({})).await.ok()
}

fn strings(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_str().unwrap())
        .collect()
}

const SERVED_V1: &[&str] = &[
    "auth/login",
    "auth/revoke",
    "credentials/authorize",
    "credentials/extendTransaction",
    "credentials/info",
    "credentials/list",
    "credentials/sendOTP",
    "signatures/signHash",
    "signatures/timestamp",
];
const SERVED_V2: &[&str] = &[
    "auth/login",
    "auth/revoke",
    "credentials/authorize",
    "credentials/authorizeCheck",
    "credentials/create",
    "credentials/delete",
    "credentials/extendTransaction",
    "credentials/getChallenge",
    "credentials/info",
    "credentials/list",
    "signatures/signDoc",
    "signatures/signHash",
    "signatures/signPolling",
    "signatures/timestamp",
];
/// Names that a list may hold or leave out.
const OPTIONAL: [&str; 5] = [
    "info",
    "oauth2/authorize",
    "oauth2/pushed_authorize",
    "oauth2/token",
    "oauth2/revoke",
];
const NOT_SERVED: &[(Version, &str)] = &[(V2, "credentials/sendOTP")];

#[tokio::test]
async fn info_needs_no_authorization_and_no_parameters() {
    let api = shared().await.api();
    for version in [V1, V2] {
        info(&api, version).await;
        let empty = api
            .post(&version.path("info"))
            .header("Content-Type", "application/json");
        api.send(empty).await.ok();
    }
}

#[tokio::test]
async fn info_says_who_the_service_is() {
    let api = shared().await.api();
    for version in [V1, V2] {
        let info = info(&api, version).await;
        assert_eq!(info["name"], "Conformance Test Signing");
        assert_eq!(info["logo"], "https://sign.example/logo.png");
        assert_eq!(info["region"], "IT");
        assert_eq!(info["lang"], "en");
        assert_eq!(info["description"], "A service under test");
        let specs: Vec<_> = info["specs"].as_str().unwrap().split('.').collect();
        assert_eq!(specs.len(), 4, "{info}");
        assert!(
            specs.iter().all(|part| part.parse::<u32>().is_ok()),
            "{info}"
        );
        assert_eq!(specs[0], if version == V1 { "1" } else { "2" });
    }
}

#[tokio::test]
async fn an_unsupported_language_is_answered_in_one_that_the_answer_names() {
    let api = shared().await.api();
    for version in [V1, V2] {
        let info = api
            .call_openly(version, "info", json!({"lang": "fi"}))
            .await
            .ok();
        assert!(
            ["en", "it"].contains(&info["lang"].as_str().unwrap()),
            "{info}"
        );
        api.call_openly(version, "info", json!({"lang": 5}))
            .await
            .refused_as("invalid_request");
    }
}

#[tokio::test]
async fn the_authorization_server_is_named_because_oauth_is_offered() {
    let api = shared().await.api();
    for version in [V1, V2] {
        let info = info(&api, version).await;
        let types = strings(&info["authType"]);
        assert_eq!(
            types,
            BTreeSet::from(["basic", "oauth2client", "oauth2code"]),
            "{info}"
        );
        let servers: Vec<_> = ["oauth2", "oauth2Issuer", "oauth2Servers"]
            .into_iter()
            .filter(|name| info.get(name).is_some())
            .collect();
        assert_eq!(servers, ["oauth2"], "{info}");
        assert_eq!(
            info["oauth2"].as_str().unwrap().trim_end_matches('/'),
            "https://localhost:8443"
        );
    }
}

#[tokio::test]
async fn exactly_the_served_methods_are_listed() {
    let api = shared().await.api();
    for (version, served) in [(V1, SERVED_V1), (V2, SERVED_V2)] {
        let info = info(&api, version).await;
        let mut listed = strings(&info["methods"]);
        for name in OPTIONAL {
            listed.remove(name);
        }
        let named: BTreeSet<_> = served.iter().copied().collect();
        assert_eq!(listed, named, "{version:?}");
        for method in served {
            let answer = api.call_openly(version, method, json!({})).await;
            assert!(
                ![404, 405, 501].contains(&answer.status),
                "{version:?} {method}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_method_of_the_specification_that_is_not_served_answers_501() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    for &(version, method) in NOT_SERVED {
        let answer = bed.api().call(version, method, &token, json!({})).await;
        assert_eq!(answer.status, 501, "{version:?} {method}: {answer:?}");
        assert!(answer.body["error"].is_string(), "{answer:?}");
    }
}

#[tokio::test]
async fn v2_says_which_algorithms_and_formats_there_are() {
    let bed = shared().await;
    let info = info(&bed.api(), V2).await;
    let algorithms = strings(&info["signAlgorithms"]["algos"]);
    let signer = bed.signer().await;
    let credential = signer
        .call(
            V2,
            "credentials/info",
            json!({"credentialID": signer.credential.id}),
        )
        .await
        .ok();
    assert!(
        strings(&credential["key"]["algo"]).is_subset(&algorithms),
        "{info}"
    );
    let parameters = info["signAlgorithms"]["algoParams"].as_array().unwrap();
    assert_eq!(
        parameters.len(),
        info["signAlgorithms"]["algos"].as_array().unwrap().len(),
        "{info}"
    );
    assert_eq!(info["conformance_levels"], json!(["AdES-B-B", "AdES-B-T"]));
    let formats = json!({
        "formats": ["C", "P"], "envelope_properties": [["Attached", "Detached"], ["Certification", "Revision"]], "allowMix": true,
    });
    assert_eq!(info["signature_formats"], formats);
    assert_eq!(info["supportsRar"], true);
    assert_eq!(info["supportedHashTypes"], json!(["dtbsr", "sdr"]));
    assert_eq!(info["asynchronousOperationMode"], true);
}

#[tokio::test]
async fn v1_holds_no_member_of_v2() {
    let info = info(&shared().await.api(), V1).await;
    for name in [
        "signAlgorithms",
        "signature_formats",
        "conformance_levels",
        "supportedHashTypes",
    ] {
        assert!(info.get(name).is_none(), "{name} in {info}");
    }
}
