//! `credentials/info` (CSC API v1 11.5, v2 11.5).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{KeySpec, Refusal, Signer, V1, V2, Version, assert_refusals, shared};
use serde_json::{Value, json};
use x509_parser::{pem::parse_x509_pem, prelude::*};

const METHOD: &str = "credentials/info";

async fn info(signer: &Signer<'_>, version: Version, mut options: Value) -> Value {
    options["credentialID"] = json!(signer.credential.id);
    signer.call(version, METHOD, options).await.ok()
}

/// The certificates in DER.
fn certificates(info: &Value) -> Vec<Vec<u8>> {
    let list = info["cert"]["certificates"].as_array().unwrap();
    list.iter()
        .map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap())
        .collect()
}

fn parsed(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}

#[tokio::test]
async fn by_default_there_is_one_certificate_and_no_detail() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let info = info(&signer, version, json!({})).await;
        assert_eq!(certificates(&info).len(), 1);
        assert_eq!(info["key"]["status"], "enabled");
        assert_eq!(info["SCAL"], "2");
        assert_eq!(info["multisign"], 5);
        assert_eq!(info["description"], "Signing key under test");
        assert!(
            matches!(info["cert"].get("status"), None | Some(Value::String(_))),
            "{info}"
        );
        for name in ["serialNumber", "validFrom", "validTo"] {
            assert!(info["cert"].get(name).is_none(), "{name}: {info}");
        }
        match version {
            V1 => {
                assert_eq!(info["authMode"], "explicit");
                assert!(
                    info.get("PIN").is_none() && info.get("OTP").is_none(),
                    "{info}"
                );
            }
            V2 => {
                assert_eq!(info["auth"]["mode"], "explicit");
                assert!(info["auth"].get("objects").is_none(), "{info}");
            }
        }
    }
}

#[tokio::test]
async fn certificates_none_leaves_them_out() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let info = info(&signer, version, json!({"certificates": "none"})).await;
        assert!(info["cert"].get("certificates").is_none(), "{info}");
    }
}

#[tokio::test]
async fn the_chain_leads_from_the_leaf_to_the_ca() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let ca = bed
        .cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    let ca = parse_x509_pem(ca.as_bytes()).unwrap().1.contents;
    for version in [V1, V2] {
        let chain = certificates(&info(&signer, version, json!({"certificates": "chain"})).await);
        let single = certificates(&info(&signer, version, json!({"certificates": "single"})).await);
        assert!(chain.len() > 1);
        assert_eq!(chain[0], single[0]);
        assert_eq!(chain.last(), Some(&ca));
        for pair in chain.windows(2) {
            let (certificate, issuer) = (parsed(&pair[0]), parsed(&pair[1]));
            assert_eq!(certificate.issuer(), issuer.subject());
            certificate
                .verify_signature(Some(issuer.public_key()))
                .unwrap();
        }
        assert!(!parsed(&chain[0]).is_ca() && parsed(&ca).is_ca());
    }
}

#[tokio::test]
async fn the_certificate_s_details_are_those_of_the_certificate() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let info = info(&signer, version, json!({"certInfo": true})).await;
        let der = certificates(&info).remove(0);
        let certificate = parsed(&der);
        let cert = &info["cert"];
        for (member, name) in [
            ("subjectDN", certificate.subject()),
            ("issuerDN", certificate.issuer()),
        ] {
            let common_name = name.iter_common_name().next().unwrap().as_str().unwrap();
            assert!(
                cert[member]
                    .as_str()
                    .unwrap()
                    .contains(&format!("CN={common_name}")),
                "{member}: {cert}"
            );
        }
        assert!(
            cert["subjectDN"].as_str().unwrap().contains("Alice Rossi"),
            "{cert}"
        );
        let serial = cert["serialNumber"].as_str().unwrap();
        assert!(
            serial.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{cert}"
        );
        let serial = u128::from_str_radix(serial, 16)
            .map_or_else(|_| serial.to_lowercase(), |n| format!("{n:x}"));
        assert_eq!(
            serial.trim_start_matches('0'),
            certificate.tbs_certificate.serial.to_str_radix(16)
        );
        let validity = certificate.validity();
        for (member, time) in [
            ("validFrom", validity.not_before),
            ("validTo", validity.not_after),
        ] {
            let time = time.to_datetime();
            let (date, clock) = (time.date(), time.time());
            let (month, day) = (u8::from(date.month()), date.day());
            let (hour, minute, second) = (clock.hour(), clock.minute(), clock.second());
            let expected = format!(
                "{}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z",
                date.year()
            );
            assert_eq!(cert[member], expected);
        }
    }
}

#[tokio::test]
async fn the_key_is_described_as_it_is() {
    let bed = shared().await;
    let combined = [
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
    ];
    let keys = [
        (
            "p256",
            256,
            "1.2.840.10045.4.3.2",
            Some("1.2.840.10045.3.1.7"),
        ),
        ("p384", 384, "1.2.840.10045.4.3.3", Some("1.3.132.0.34")),
        ("p521", 521, "1.2.840.10045.4.3.4", Some("1.3.132.0.35")),
        ("rsa-3072", 3072, combined[0], None),
    ];
    for (key, bits, algorithm, curve) in keys {
        let signer = bed.signer_with(&KeySpec { key, multisign: 1 }).await;
        for version in [V1, V2] {
            let info = info(&signer, version, json!({})).await;
            assert_eq!(info["key"]["len"], bits, "{key}: {info}");
            assert_eq!(
                info["key"].get("curve").and_then(Value::as_str),
                curve,
                "{key}: {info}"
            );
            assert_eq!(info["multisign"], 1, "{key}: {info}");
            let algorithms = info["key"]["algo"].as_array().unwrap();
            assert!(algorithms.contains(&json!(algorithm)), "{key}: {info}");
            // Some clients take the first entry as signing algorithm: it has to say the hash too.
            let first = algorithms[0].as_str().unwrap();
            assert!(
                combined.contains(&first) || first.starts_with("1.2.840.10045.4.3."),
                "{key}: {info}"
            );
            let der = certificates(&info).remove(0);
            let found = match parsed(&der).public_key().parsed().unwrap() {
                x509_parser::public_key::PublicKey::EC(point) => point.key_size(),
                x509_parser::public_key::PublicKey::RSA(key) => key.key_size(),
                other => panic!("{other:?}"),
            };
            // A P-521 point is written in whole octets.
            assert_eq!(
                found.div_ceil(8),
                usize::div_ceil(bits, 8),
                "{key}: the certificate's own key"
            );
        }
    }
}

#[tokio::test]
async fn v1_tells_what_pin_and_code_look_like() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let mail = info(&signer, V1, json!({"authInfo": true})).await;
    assert_eq!(
        (&mail["PIN"]["presence"], &mail["PIN"]["format"]),
        (&json!("true"), &json!("N"))
    );
    assert_eq!(
        (&mail["OTP"]["presence"], &mail["OTP"]["format"]),
        (&json!("true"), &json!("N"))
    );
    assert_eq!(mail["OTP"]["type"], "online", "sendOTP first: {mail}");
    assert!(
        mail["OTP"]["ID"].as_str().is_some_and(|id| !id.is_empty()),
        "{mail}"
    );

    let totp = bed.totp(&signer.holder);
    let app = bed.credential(
        &signer.holder,
        &totp.id,
        &KeySpec {
            key: "p256",
            multisign: 1,
        },
    );
    let body = json!({"credentialID": app.id, "authInfo": true});
    let app = signer.call(V1, METHOD, body).await.ok();
    assert_eq!(app["OTP"]["type"], "offline", "{app}");
}

#[tokio::test]
async fn v2_names_the_factors_and_how_they_combine() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let totp = bed.totp(&signer.holder);
    let app = bed.credential(
        &signer.holder,
        &totp.id,
        &KeySpec {
            key: "p256",
            multisign: 1,
        },
    );
    for (credential, code) in [
        (&signer.credential.id, "ChallengeResponse"),
        (&app.id, "Password"),
    ] {
        let body = json!({"credentialID": credential, "authInfo": true});
        let info = signer.call(V2, METHOD, body).await.ok();
        let objects = info["auth"]["objects"].as_array().unwrap();
        let types: Vec<_> = objects
            .iter()
            .map(|object| object["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["Password", code], "{info}");
        let ids: BTreeSet<_> = objects
            .iter()
            .map(|object| object["id"].as_str().unwrap())
            .collect();
        assert_eq!(
            ids.len(),
            objects.len(),
            "each has a name of its own: {info}"
        );
        if let Some(expression) = info["auth"].get("expression") {
            let words = expression
                .as_str()
                .unwrap()
                .split([' ', '(', ')'])
                .filter(|word| !word.is_empty());
            let operands: BTreeSet<_> = words.filter(|word| *word != "AND").collect();
            assert_eq!(operands, ids, "both factors are needed: {info}");
        }
    }
}

#[tokio::test]
async fn info_refuses_what_its_table_says() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    for version in [V1, V2] {
        let missing = "Missing (or invalid type) string parameter credentialID";
        let unknown = "Invalid parameter credentialID";
        let rows = [
            Refusal::new(json!({"credentialID": null}), missing),
            Refusal::new(json!({"credentialID": 5}), missing),
            Refusal::new(json!({"credentialID": [signer.credential.id]}), missing),
            Refusal::new(json!({"credentialID": "unknown"}), unknown),
            Refusal::new(json!({"credentialID": ""}), unknown),
            // Somebody else's reads as unknown.
            Refusal::new(json!({"credentialID": other.credential.id}), unknown),
            Refusal::new(
                json!({"certificates": "all"}),
                "Invalid parameter certificates",
            ),
            Refusal::new(json!({"certificates": 5}), "Invalid parameter certificates"),
        ];
        let good = json!({"credentialID": signer.credential.id});
        assert_refusals(&bed.api(), version, METHOD, &signer.token, &good, rows).await;
        for name in ["certInfo", "authInfo"] {
            let mut body = good.clone();
            body[name] = json!("true");
            signer
                .call(version, METHOD, body)
                .await
                .refused_as("invalid_request");
        }
    }
}
