//! The requests of clients that cannot be had as packages, replayed as they send them, down to their misspellings and nulls; each reads
//! from the answers what it relies on, and ends with a signature. Holders log in by themselves; what such a client needs beyond the letter is switched on
//! for it.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use conformance_tests::{
    KeySpec, Scheme, Signer, TestBed, V1, V2, Version, assert_signs, digest, shared,
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// One client: its requests in order, `$NAMES` standing for what it learned before; after each, what it reads from the answer.
struct Replay {
    client: &'static str,
    version: Version,
    switches: &'static [&'static str],
    key: &'static str,
    steps: Vec<Step>,
}

/// Method, body, JSON pointers that must lead to something.
type Step = (&'static str, Value, &'static [&'static str]);

const KEY: [&str; 2] = ["/key/algo/0", "/key/len"];

fn replays() -> Vec<Replay> {
    let sha256 = "2.16.840.1.101.3.4.2.1";
    let (ecdsa, rsa) = ("1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11");
    let full =
        json!({"credentialID": "$ID", "certificates": "chain", "certInfo": true, "authInfo": true});
    vec![
        // Re-signs with one SAD until it expires; logs in again with the refresh token alone.
        Replay {
            client: "laverca-csc-client",
            version: V1,
            switches: &["sad_goes_on"],
            key: "rsa-3072",
            steps: vec![
                ("info", json!({}), &["/name", "/methods"]),
                (
                    "auth/login",
                    json!({"rememberMe": true}),
                    &["/access_token", "/refresh_token", "/expires_in"],
                ),
                (
                    "auth/login",
                    json!({"refresh_token": "$REFRESH"}),
                    &["/access_token", "/expires_in"],
                ),
                (
                    "credentials/list",
                    json!({"maxResults": 20}),
                    &["/credentialIDs/0"],
                ),
                (
                    "credentials/info",
                    json!({"credentialID": "$ID", "certificates": "single"}),
                    &["/key/algo/0", "/cert/certificates/0", "/SCAL", "/multisign"],
                ),
                ("credentials/sendOTP", json!({"credentialID": "$ID"}), &[]),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 2, "hash": ["$HASH", "$OTHER"], "PIN": "$PIN", "OTP": "$OTP"}),
                    &["/SAD", "/expiresIn"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hash": ["$OTHER"], "signAlgo": rsa}),
                    &["/signatures/0"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hash": ["$HASH"], "signAlgo": rsa}),
                    &["/signatures/0"],
                ),
                ("auth/revoke", json!({"token": "$TOKEN"}), &[]),
            ],
        },
        // Takes anything but 200 for a failure, and algo[0] for the algorithm.
        Replay {
            client: "SetaPDF-Signer CSC add-on",
            version: V1,
            switches: &["empty_is_ok"],
            key: "p256",
            steps: vec![
                ("info", json!({}), &["/oauth2", "/authType/0"]),
                ("credentials/list", json!({}), &["/credentialIDs/0"]),
                (
                    "credentials/info",
                    full.clone(),
                    &[
                        "/authMode",
                        "/PIN/presence",
                        "/OTP/type",
                        "/cert/certificates/1",
                    ],
                ),
                ("credentials/sendOTP", json!({"credentialID": "$ID"}), &[]),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "hash": ["$HASH"], "PIN": "$PIN", "OTP": "$OTP"}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hash": ["$HASH"], "hashAlgo": sha256, "signAlgo": "$ALGO"}),
                    &["/signatures/0"],
                ),
                (
                    "auth/revoke",
                    json!({"token": "$TOKEN", "token_type_hint": "access_token"}),
                    &[],
                ),
            ],
        },
        // Generated from the OpenAPI document of v1.0.3.0. Without hashes it would sign under SCAL1 only.
        Replay {
            client: "signature-csc-service",
            version: V1,
            switches: &[],
            key: "p256",
            steps: vec![
                ("auth/login", json!({}), &["/access_token"]),
                ("credentials/list", json!({}), &["/credentialIDs/0"]),
                (
                    "credentials/info",
                    full.clone(),
                    &["/cert/certificates/0", "/key/algo/0"],
                ),
                ("credentials/sendOTP", json!({"credentialID": "$ID"}), &[]),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "PIN": "$PIN", "OTP": "$OTP", "hash": ["$HASH"]}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hash": ["$HASH"], "hashAlgo": sha256, "signAlgo": ecdsa}),
                    &["/signatures/0"],
                ),
            ],
        },
        // From memory of its interface: explicit credentials.
        Replay {
            client: "Adobe Acrobat",
            version: V1,
            switches: &[],
            key: "rsa-3072",
            steps: vec![
                ("info", json!({}), &["/specs", "/name", "/logo"]),
                ("credentials/list", json!({}), &["/credentialIDs/0"]),
                (
                    "credentials/info",
                    full.clone(),
                    &[
                        "/cert/status",
                        "/cert/certificates/1",
                        "/cert/subjectDN",
                        "/PIN/format",
                        "/OTP/format",
                    ],
                ),
                ("credentials/sendOTP", json!({"credentialID": "$ID"}), &[]),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "hash": ["$HASH"], "PIN": "$PIN", "OTP": "$OTP"}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hash": ["$HASH"], "hashAlgo": sha256, "signAlgo": "1.2.840.113549.1.1.1"}),
                    &["/signatures/0"],
                ),
            ],
        },
        // Sets the version in the URL only.
        Replay {
            client: "pyHanko, api_ver v2",
            version: V2,
            switches: &["v1_names_in_v2", "top_level_factors"],
            key: "p256",
            steps: vec![
                (
                    "credentials/info",
                    json!({"credentialID": "$ID", "certificates": "chain", "certInfo": false}),
                    &["/cert/certificates/1", "/key/algo/0", "/multisign", "/SCAL"],
                ),
                (
                    "credentials/getChallenge",
                    json!({"credentialID": "$ID", "authObjectID": "OTP"}),
                    &[],
                ),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "hash": ["$HASH"], "numSignatures": 1, "PIN": "$PIN", "OTP": "$OTP"}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hashAlgo": sha256, "signAlgo": ecdsa, "hash": ["$HASH"]}),
                    &["/signatures/0"],
                ),
            ],
        },
        // 0.8, which no registry has: it serialises every null; its parser wants names of certificates and strict enumerations.
        Replay {
            client: "eudi-lib-jvm-rqes-csc-kt",
            version: V2,
            switches: &["certificate_names", "empty_objects"],
            key: "p256",
            steps: vec![
                (
                    "info",
                    json!({"lang": null}),
                    &[
                        "/supportedHashTypes/0",
                        "/signAlgorithms/algos/0",
                        "/signature_formats/formats",
                        "/conformance_levels",
                    ],
                ),
                (
                    "credentials/list",
                    json!({"credentialInfo": true, "certificates": "chain", "certInfo": null, "authInfo": true, "onlyValid": null, "lang": null, "clientData": null}),
                    &[
                        "/credentialIDs/0",
                        "/credentialInfos/0/credentialID",
                        "/credentialInfos/0/auth/mode",
                        "/credentialInfos/0/auth/objects",
                        "/credentialInfos/0/cert/issuerDN",
                        "/credentialInfos/0/cert/subjectDN",
                        "/credentialInfos/0/cert/validFrom",
                        "/credentialInfos/0/multisign",
                    ],
                ),
                (
                    "credentials/info",
                    json!({"credentialID": "$ID", "certificates": "chain", "certInfo": null, "authInfo": null, "lang": null, "clientData": null}),
                    &["/cert/issuerDN", "/cert/subjectDN"],
                ),
                (
                    "credentials/getChallenge",
                    json!({"credentialID": "$ID", "authObjectID": "OTP"}),
                    &[],
                ),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "hashes": ["$HASH"], "hashAlgorithmOID": sha256, "authData": [{"id": "PIN", "value": "$PIN"}, {"id": "OTP", "value": "$OTP"}]}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hashes": ["$HASH"], "hashAlgorithmOID": sha256, "signAlgo": ecdsa, "signAlgoParams": null, "operationMode": "S"}),
                    &["/signatures/0"],
                ),
            ],
        },
        // Writes members in snake_case and hashes in base64url without padding; reads `scal`.
        Replay {
            client: "eudi-lib-ios-rqes-csc-swift",
            version: V2,
            switches: &["snake_case_members", "base64url_in_json", "lower_case_scal"],
            key: "p256",
            steps: vec![
                (
                    "info",
                    json!({"lang": "en"}),
                    &[
                        "/oauth2",
                        "/signAlgorithms/algoParams",
                        "/signature_formats/envelope_properties",
                    ],
                ),
                (
                    "credentials/list",
                    json!({"credentialInfo": true, "certificates": "chain", "certInfo": true, "auth_info": true, "only_valid": true, "client_data": "x"}),
                    &[
                        "/credentialInfos/0/auth/objects/0",
                        "/credentialInfos/0/scal",
                        "/onlyValid",
                    ],
                ),
                (
                    "credentials/info",
                    json!({"credentialID": "$ID", "certInfo": true, "auth_info": true}),
                    &[
                        "/scal",
                        "/auth/objects/1",
                        "/key/status",
                        "/key/algo",
                        "/key/len",
                        "/multisign",
                    ],
                ),
                (
                    "credentials/getChallenge",
                    json!({"credentialID": "$ID", "authObjectID": "OTP"}),
                    &[],
                ),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "hashes": ["$URLHASH"], "hashAlgorithmOID": sha256, "authData": [{"id": "PIN", "value": "$PIN"}, {"id": "OTP", "value": "$OTP"}]}),
                    &["/SAD", "/expiresIn"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hashes": ["$URLHASH"], "hashAlgorithmOID": sha256, "signAlgo": ecdsa, "sign_algo_params": null, "operationMode": "S"}),
                    &["/signatures/0"],
                ),
            ],
        },
        // Still pages, sends codes by sendOTP, and puts factors beside the rest.
        Replay {
            client: "siros-csc-client",
            version: V2,
            switches: &[
                "paging_in_v2",
                "send_otp_in_v2",
                "top_level_factors",
                "camel_case_async",
            ],
            key: "p256",
            steps: vec![
                (
                    "info",
                    json!({}),
                    &["/specs", "/region", "/lang", "/signAlgorithms"],
                ),
                (
                    "credentials/list",
                    json!({"maxResults": 10}),
                    &["/credentialIDs/0"],
                ),
                ("credentials/info", full.clone(), &KEY),
                ("credentials/sendOTP", json!({"credentialID": "$ID"}), &[]),
                (
                    "credentials/authorize",
                    json!({"credentialID": "$ID", "numSignatures": 1, "hashes": ["$HASH"], "hashAlgorithmOID": sha256, "PIN": "$PIN", "OTP": "$OTP", "clientData": "x"}),
                    &["/SAD"],
                ),
                (
                    "signatures/signHash",
                    json!({"credentialID": "$ID", "SAD": "$SAD", "hashes": ["$HASH"], "hashAlgorithmOID": sha256, "signAlgo": ecdsa, "operationMode": "S"}),
                    &["/signatures/0"],
                ),
            ],
        },
    ]
}

#[tokio::test]
async fn clients_of_the_field_end_with_a_signature() {
    let bed = shared().await;
    for replay in replays() {
        switch(bed, replay.switches);
        let signer = bed
            .signer_with(&KeySpec {
                key: replay.key,
                multisign: 5,
            })
            .await;
        let last = play(bed, &signer, &replay).await;
        let signature = BASE64_STANDARD.decode(last).expect("standard base64");
        let known = json!({"credentialID": signer.credential.id});
        let token = bed.log_in(&signer.holder).await;
        let info = bed
            .api()
            .call(V2, "credentials/info", &token, known)
            .await
            .ok();
        let certificate = info["cert"]["certificates"][0]
            .as_str()
            .and_then(|text| BASE64_STANDARD.decode(text).ok());
        let scheme = match replay.key {
            "p256" => Scheme::Ecdsa,
            _ => Scheme::Pkcs1,
        };
        assert_signs(
            &certificate.expect("a certificate"),
            &digest("one"),
            &signature,
            scheme,
        );
    }
}

/// None is switched on for nothing.
#[tokio::test]
async fn no_replay_that_names_switches_goes_without_them() {
    let bed = TestBed::builder().start().await;
    for replay in replays()
        .into_iter()
        .filter(|replay| !replay.switches.is_empty())
    {
        let signer = bed
            .signer_with(&KeySpec {
                key: replay.key,
                multisign: 5,
            })
            .await;
        let stopped = follow(&bed, &signer, &replay).await;
        assert!(
            stopped.is_err(),
            "{} needs none of {:?}",
            replay.client,
            replay.switches
        );
    }
}

/// The registration of holders who log in by themselves.
fn switch(bed: &TestBed, switches: &[&str]) {
    let switches: String = switches
        .iter()
        .map(|name| format!("{name} = true\n"))
        .collect();
    let file = bed.secret_file(&format!(
        "name = 'Direct'\ngrants = []\n[switches]\n{switches}"
    ));
    let change = ["client", "change", "--id", "direct", "--from", &file];
    bed.cli(&change, &[]).expect("client change");
}

async fn play(bed: &TestBed, signer: &Signer<'_>, replay: &Replay) -> String {
    let played = follow(bed, signer, replay).await;
    played.unwrap_or_else(|stopped| panic!("{}: {stopped}", replay.client))
}

/// The last signature of the replay, or where it stopped.
async fn follow(bed: &TestBed, signer: &Signer<'_>, replay: &Replay) -> Result<String, String> {
    let (hash, other) = (digest("one"), digest("two"));
    let mut known = vec![
        ("$ID".to_owned(), signer.credential.id.clone()),
        ("$PIN".to_owned(), signer.credential.pin.clone()),
        ("$HASH".to_owned(), BASE64_STANDARD.encode(hash)),
        ("$OTHER".to_owned(), BASE64_STANDARD.encode(other)),
        ("$URLHASH".to_owned(), BASE64_URL_SAFE_NO_PAD.encode(hash)),
        ("$TOKEN".to_owned(), signer.token.clone()),
    ];
    let (mut signature, strict_200) = (None, replay.client.starts_with("SetaPDF"));
    for (method, body, reads) in &replay.steps {
        let token = fill(&json!("$TOKEN"), &known);
        let request = request(bed, signer, replay.version, method, &fill(body, &known));
        let request = match *method {
            "info" | "auth/login" => request,
            _ => request.bearer_auth(token.as_str().unwrap_or_default()),
        };
        let answer = bed.api().send(request).await;
        let asked = format!("{method} {body}");
        let good = answer.status == 200 || (answer.status == 204 && !strict_200);
        if !good {
            return Err(format!("{asked}: {answer:?}"));
        }
        if let Some(missing) = reads
            .iter()
            .find(|pointer| answer.body.pointer(pointer).is_none())
        {
            return Err(format!("{asked}: no {missing} in {}", answer.body));
        }
        let learned = [
            ("/SAD", "$SAD"),
            ("/key/algo/0", "$ALGO"),
            ("/access_token", "$TOKEN"),
            ("/refresh_token", "$REFRESH"),
        ];
        for (pointer, name) in learned {
            if let Some(value) = answer.body.pointer(pointer).and_then(Value::as_str) {
                known.retain(|(known, _)| known != name);
                known.push((name.to_owned(), value.to_owned()));
            }
        }
        if method.ends_with("sendOTP") || method.ends_with("getChallenge") {
            known.push(("$OTP".to_owned(), signer.holder.next_code().await));
        }
        if let Some(value) = answer.body.pointer("/signatures/0").and_then(Value::as_str) {
            signature = Some(value.to_owned());
        }
    }
    signature.ok_or_else(|| "no signature".to_owned())
}

/// What it sends; without its token yet.
fn request(
    bed: &TestBed,
    signer: &Signer<'_>,
    version: Version,
    method: &str,
    body: &Value,
) -> RequestBuilder {
    let request = bed.api().post(&version.path(method));
    let request = request.header("Content-Type", "application/json; charset=utf-8");
    let request = match method == "auth/login" && body.get("refresh_token").is_none() {
        true => request.basic_auth(&signer.holder.name, Some(&signer.holder.password)),
        false => request,
    };
    request.body(body.to_string())
}

/// The body with what is known in place of names.
fn fill(body: &Value, known: &[(String, String)]) -> Value {
    match body {
        Value::String(name) => {
            let found = known.iter().find(|(known, _)| known == name);
            json!(found.map_or(name, |(_, value)| value))
        }
        Value::Array(values) => values.iter().map(|value| fill(value, known)).collect(),
        Value::Object(members) => {
            let filled = members
                .iter()
                .map(|(name, value)| (name.clone(), fill(value, known)));
            Value::Object(filled.collect())
        }
        value => value.clone(),
    }
}
