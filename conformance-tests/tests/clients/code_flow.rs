//! The code flow of clients that cannot be had as packages, replayed as they send it: how they ask, trade the code, and sign.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use conformance_tests::{
    Answer, Client, KeySpec, Landing, Scheme, Signer, TestBed, V1, V2, Version, assert_signs,
    digest, register_secret, shared,
};
use reqwest::Url;
use serde_json::{Value, json};

use crate::{assert_needed, person::Person};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const ECDSA: &str = "1.2.840.10045.4.3.2";

type Fields = Vec<(&'static str, String)>;

/// What one client says, beyond what all say.
struct Replay {
    client: &'static str,
    version: Version,
    switches: &'static [&'static str],
    /// Pushes its request (RFC 9126).
    pushes: bool,
    /// Its token request has its parameters in the URL.
    in_url: bool,
    asks: Fields,
    trades: Fields,
    /// Members of the token's answer that it relies on.
    reads: &'static [&'static str],
    signs: Value,
}

fn replays(id: &str) -> Vec<Replay> {
    let hash = BASE64_STANDARD.encode(digest("contract"));
    let url_hash = BASE64_URL_SAFE_NO_PAD.encode(digest("contract"));
    let plain = |name, hash: &str| {
        vec![
            ("scope", "credential".to_owned()),
            ("credentialID", id.to_owned()),
            ("numSignatures", "1".to_owned()),
            (name, hash.to_owned()),
        ]
    };
    let algorithm = || ("hashAlgorithmOID", SHA256.to_owned());
    let v2 = json!({"credentialID": id, "hashes": [hash], "hashAlgorithmOID": SHA256, "signAlgo": ECDSA, "operationMode": "S"});
    let with = |member: &str| {
        let mut order = v2.clone();
        order[member] = Value::Null;
        order
    };
    let wallet = json!([{
        "type": "https://cloudsignatureconsortium.org/2025/credential", "numSignatures": 1, "credentialID": id,
        "documentDigests": [{"hash": hash, "label": null, "hashType": "DTBSR"}], "hashAlgorithmOID": SHA256,
    }])
    .to_string();
    let telephone = |hash: &str| {
        let digests = json!([{"hash": hash, "label": "A contract"}]);
        json!([{"type": "credential", "credentialID": id, "documentDigests": digests, "hashAlgorithmOID": SHA256, "locations": []}])
            .to_string()
    };
    vec![
        // 0.8, which no registry has.
        Replay {
            client: "eudi-lib-jvm-rqes-csc-kt",
            version: V2,
            switches: &[],
            pushes: true,
            in_url: false,
            asks: vec![
                ("scope", "credential".to_owned()),
                ("prompt", "login".to_owned()),
                ("authorization_details", wallet.clone()),
            ],
            trades: vec![("authorization_details", wallet)],
            reads: &[
                "/authorization_details/0/type",
                "/authorization_details/0/credentialID",
                "/authorization_details/0/numSignatures",
                "/authorization_details/0/documentDigests/0/hashType",
                "/authorization_details/0/hashAlgorithmOID",
            ],
            signs: with("signAlgoParams"),
        },
        // Says the hashes in base64url first and in base64 later.
        Replay {
            client: "eudi-lib-ios-rqes-csc-swift",
            version: V2,
            switches: &["base64url_in_json"],
            pushes: false,
            in_url: false,
            asks: vec![
                ("scope", "credential".to_owned()),
                ("authorization_details", telephone(&url_hash)),
            ],
            trades: vec![
                ("authorization_details", telephone(&hash)),
                ("state", "s1".to_owned()),
            ],
            reads: &["/token_type", "/expires_in"],
            signs: with("sign_algo_params"),
        },
        Replay {
            client: "EUDI rpcentric SCA",
            version: V2,
            switches: &["query_parameters"],
            pushes: false,
            in_url: true,
            asks: [plain("hashes", &url_hash), vec![algorithm()]].concat(),
            trades: vec![],
            reads: &[],
            signs: v2.clone(),
        },
        // In the profile of its provider: pushed, hashes in base64.
        Replay {
            client: "go-csc",
            version: V2,
            switches: &["base64_in_urls"],
            pushes: true,
            in_url: false,
            asks: [plain("hashes", &hash), vec![algorithm()]].concat(),
            trades: vec![],
            reads: &["/expires_in"],
            signs: v2.clone(),
        },
        // The token of the credential is the SAD beside the service's token. Adobe Acrobat signs in the same way.
        Replay {
            client: "SetaPDF-Signer CSC add-on",
            version: V1,
            switches: &[],
            pushes: false,
            in_url: false,
            asks: plain("hash", &url_hash),
            trades: vec![],
            reads: &["/token_type", "/expires_in"],
            signs: json!({"credentialID": id, "hash": [hash], "hashAlgo": SHA256, "signAlgo": ECDSA}),
        },
    ]
}

/// An application with the holder's browser beside it.
struct Application<'a> {
    bed: &'a TestBed,
    person: &'a Person<'a>,
    client: Client,
    landing: Landing,
}

impl Application<'_> {
    /// Where it sends the browser.
    async fn asks(&self, more: &Fields, pushes: bool) -> String {
        let (uri, api) = (self.landing.uri(), self.bed.api());
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.client.id),
            ("redirect_uri", &uri),
            ("state", "s1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        fields.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let pushed = match pushes {
            true => {
                let path = "/oauth2/pushed_authorize";
                let Client { id, secret } = &self.client;
                let answer = api.form_as(path, id, secret, &fields).await;
                assert_eq!(answer.status, 201, "{answer:?}");
                fields.truncate(0);
                fields.push(("client_id", id));
                answer.body["request_uri"].as_str().map(str::to_owned)
            }
            false => None,
        };
        fields.extend(pushed.as_deref().map(|name| ("request_uri", name)));
        let url = format!("https://{}/oauth2/authorize", api.authority());
        let url = Url::parse_with_params(&url, fields);
        url.expect("a URL").to_string()
    }

    /// The answer to its token request, which many take for good with status 200 alone.
    async fn trades(&self, back: &Url, more: &Fields, in_url: bool) -> Value {
        let value = |name: &str| {
            let found = back.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        assert_eq!(value("state").as_deref(), Some("s1"), "{back}");
        let (code, uri) = (value("code").unwrap_or_default(), self.landing.uri());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &self.client.id),
            ("code", &code),
            ("redirect_uri", &uri),
            ("code_verifier", VERIFIER),
        ];
        fields.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let (api, Client { id, secret }) = (self.bed.api(), &self.client);
        let answer = match in_url {
            true => {
                let url = Url::parse_with_params("https://localhost/oauth2/token", fields);
                let url = url.expect("a URL");
                let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
                api.send(api.post(&path).basic_auth(id, Some(secret))).await
            }
            false => api.form_as("/oauth2/token", id, secret, &fields).await,
        };
        answer.ok()
    }

    /// Gets the service's token, then the credential's, and signs: the answer.
    async fn signs(&self, replay: &Replay) -> Answer {
        let service = vec![("scope", "service".to_owned())];
        let url = self.asks(&service, replay.pushes).await;
        let lets_in = self.person.lets_in(replay.client, &url);
        let (back, ()) = tokio::join!(self.landing.arrived(), lets_in);
        let service = self.trades(&back, &vec![], replay.in_url).await;

        let url = self.asks(&replay.asks, replay.pushes).await;
        let (back, ()) = tokio::join!(self.landing.arrived(), self.person.signs(&url));
        let granted = self.trades(&back, &replay.trades, replay.in_url).await;
        for pointer in replay.reads {
            let read = granted.pointer(pointer);
            assert!(
                read.is_some(),
                "{}: no {pointer} in {granted}",
                replay.client
            );
        }
        let of = |token: &Value| {
            let token = token["access_token"].as_str().unwrap_or_default();
            register_secret(token)
        };
        let (mut order, mut bearer) = (replay.signs.clone(), of(&granted));
        if replay.version == V1 {
            order["SAD"] = json!(bearer);
            bearer = of(&service);
        }
        let api = self.bed.api();
        api.call(replay.version, "signatures/signHash", &bearer, order)
            .await
    }
}

async fn certificate(signer: &Signer<'_>) -> Vec<u8> {
    let known = json!({"credentialID": signer.credential.id});
    let info = signer.call(V2, "credentials/info", known).await.ok();
    let certificate = info["cert"]["certificates"][0].as_str();
    let certificate = certificate.and_then(|text| BASE64_STANDARD.decode(text).ok());
    certificate.expect("a certificate")
}

#[tokio::test]
async fn clients_of_the_code_flow_end_with_a_signature() {
    let bed = shared().await;
    let spec = KeySpec {
        key: "p256",
        multisign: 1,
    };
    let signer = bed.signer_as("oauth2code", &spec).await;
    let (certificate, person) = (
        certificate(&signer).await,
        Person::at_a_browser(&signer).await,
    );
    for replay in replays(&signer.credential.id) {
        let switches = replay
            .switches
            .iter()
            .map(|name| format!("{name} = true\n"));
        let registration = format!(
            "name = \"{}\"\nredirect_uris = [\"{}\"]\ngrants = [\"authorization_code\"]\n[switches]\n{}",
            replay.client,
            Landing::REGISTERED,
            switches.collect::<String>()
        );
        let application = Application {
            bed,
            person: &person,
            client: bed.client_from(&registration),
            landing: Landing::new().await,
        };
        let signed = application.signs(&replay).await;
        assert_eq!(signed.status, 200, "{}: {signed:?}", replay.client);
        let signature = signed.body["signatures"][0].as_str().unwrap_or_default();
        let signature = BASE64_STANDARD.decode(signature);
        assert_signs(
            &certificate,
            &digest("contract"),
            &signature.expect("standard base64"),
            Scheme::Ecdsa,
        );
        assert_needed(bed, &application.client, replay.switches).await;
    }
}
