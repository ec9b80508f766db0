//! How clients prove who they are, and tokens that are bound to a key: private_key_jwt (RFC 7523), DPoP (RFC 9449), mutual TLS (RFC 8705).

use conformance_tests::{
    Answer, Client, ClientKey, KeySpec, Mandate, TestBed, V1, digest, digests, shared,
};
use jsonwebtoken::jwk::ThumbprintHash;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// As the configuration of these tests says.
const SERVICE: &str = "https://localhost:8443";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn token(bed: &TestBed, client: &Client, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &client.id),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    bed.api().form("/oauth2/token", &fields).await
}

#[tokio::test]
async fn a_signed_assertion_is_believed_once_and_only_for_this_server() {
    let bed = shared().await;
    let (key, stranger) = (ClientKey::new(), ClientKey::new());
    let client = bed.client_with_key("A", &key);
    let endpoint = format!("{SERVICE}/oauth2/token");
    let good = key.assertion(&client, &endpoint, "1");
    token(bed, &client, &good).await.ok();
    let bad = "Invalid parameter client_assertion";
    for assertion in [
        good,
        key.assertion(&client, "https://other.example/oauth2/token", "2"),
        stranger.assertion(&client, &endpoint, "3"),
    ] {
        token(bed, &client, &assertion)
            .await
            .failed(401, "invalid_client", bad);
    }
    token(bed, &client, &key.assertion(&client, SERVICE, "4"))
        .await
        .ok();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &*client.id),
        ("client_secret", "x"),
    ];
    let answer = bed.api().form("/oauth2/token", &fields).await;
    answer.refused("Invalid parameter client_secret");
}

/// Automatic signature: the mandate is the SAD, within its rate and until the holder ends it.
#[tokio::test]
async fn a_client_with_a_key_signs_under_a_mandate() {
    let bed = shared().await;
    let key = ClientKey::new();
    let client = bed.client_with_key("A", &key);
    let holder = bed.holder();
    let totp = bed.totp(&holder);
    let spec = KeySpec {
        key: "p256",
        multisign: 5,
    };
    let credential = bed.credential_as("automatic", &holder, &totp.id, &spec);
    let Mandate { sad, .. } = bed.mandate(&credential, &client, &totp.code(0));

    let endpoint = format!("{SERVICE}/oauth2/token");
    let assertion = key.assertion(&client, &endpoint, "mandate");
    let token = token(bed, &client, &assertion)
        .await
        .text_of("access_token");
    let sign = async |hashes: &[conformance_tests::Digest]| {
        let body = json!({
            "credentialID": credential.id, "SAD": sad, "hash": digests(hashes), "signAlgo": "1.2.840.10045.4.3.2",
        });
        let api = bed.api();
        api.call(V1, "signatures/signHash", &token, body).await
    };
    for hash in ["one", "two"] {
        let signed = sign(&[digest(hash)]).await.ok();
        assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
    }
    let third = sign(&[digest("three")]).await;
    assert_eq!(third.status, 429, "{}", third.text);
    assert!(third.headers.contains_key("retry-after"));
    let stop = ["mandate", "stop", "--credential", &credential.id];
    bed.cli(&stop, &[&holder.password]).expect("mandate stop");
    let stopped = sign(&[digest("three")]).await;
    stopped.refused("Invalid parameter SAD");
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_nothing_without_it() {
    let bed = shared().await;
    let holder = bed.holder();
    let client = bed.client_from("name = \"A\"\nrequire_dpop = true\n");
    bed.link(&client, &holder);
    let (key, thief) = (ClientKey::new(), ClientKey::new());
    let ask = async |proof: Option<String>| {
        let request = bed.api().post("/oauth2/token");
        let request = request.basic_auth(&client.id, Some(&client.secret));
        let request = request.form(&[("grant_type", "client_credentials")]);
        let request = match proof {
            Some(proof) => request.header("DPoP", proof),
            None => request,
        };
        bed.api().send(request).await
    };
    let refused = async |proof, text| ask(proof).await.failed(400, "invalid_dpop_proof", text);
    refused(None, "A DPoP proof is required").await;
    let elsewhere = key.proof("/oauth2/revoke", None, "0");
    refused(Some(elsewhere), "Invalid DPoP proof").await;
    let proof = key.proof("/oauth2/token", None, "1");
    let granted = ask(Some(proof.clone())).await.ok();
    assert_eq!(granted["token_type"], "DPoP");
    refused(Some(proof), "Invalid DPoP proof").await;

    let token = granted["access_token"].as_str().unwrap();
    let path = V1.path("credentials/list");
    let list = async |scheme: &str, proof: Option<String>| {
        let request = bed.api().post(&path).json(&json!({"userID": holder.name}));
        let request = request.header("Authorization", format!("{scheme} {token}"));
        let request = match proof {
            Some(proof) => request.header("DPoP", proof),
            None => request,
        };
        bed.api().send(request).await
    };
    let good = key.proof(&path, Some(token), "2");
    list("DPoP", Some(good.clone())).await.ok();
    for (scheme, proof) in [
        ("DPoP", Some(good)),
        ("DPoP", None),
        ("Bearer", None),
        ("Bearer", Some(key.proof(&path, Some(token), "3"))),
        ("DPoP", Some(key.proof(&path, None, "4"))),
        (
            "DPoP",
            Some(key.proof("/csc/v1/credentials/info", Some(token), "5")),
        ),
        ("DPoP", Some(thief.proof(&path, Some(token), "6"))),
    ] {
        list(scheme, proof).await.unauthorised("invalid_token");
    }
    assert_ne!(
        key.public.thumbprint(ThumbprintHash::SHA256).unwrap(),
        thief.public.thumbprint(ThumbprintHash::SHA256).unwrap()
    );
}

#[tokio::test]
async fn a_client_with_a_certificate_gets_tokens_that_go_with_it() {
    let bed = shared().await;
    let holder = bed.holder();
    let certificate = |name: &str| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let names = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = names.self_signed(&pair).unwrap();
        let pem = format!("{}{}", certificate.pem(), pair.serialize_pem());
        (hex::encode(Sha256::digest(certificate.der())), pem)
    };
    let (thumbprint, pem) = certificate("client.example");
    let (_, other) = certificate("other.example");
    let client = bed.client_from(&format!(
        "name = \"A\"\n[authentication]\nmethod = \"tls\"\nthumbprint = \"{thumbprint}\"\n"
    ));
    bed.link(&client, &holder);
    let (api, other) = (bed.api().showing(&pem), bed.api().showing(&other));
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &*client.id),
    ];
    for stranger in [&bed.api(), &other] {
        let answer = stranger.form("/oauth2/token", &fields).await;
        answer.failed(401, "invalid_request", "Client authorization required");
    }
    let granted = api.form("/oauth2/token", &fields).await.ok();
    assert_eq!(granted["token_type"], "Bearer");
    let token = granted["access_token"].as_str().unwrap();
    let body = json!({"userID": holder.name});
    api.call(V1, "credentials/list", token, body.clone())
        .await
        .ok();
    for stranger in [&bed.api(), &other] {
        let answer = stranger
            .call(V1, "credentials/list", token, body.clone())
            .await;
        answer.unauthorised("invalid_token");
    }
}

#[tokio::test]
async fn metadata_stand_under_both_names() {
    let bed = shared().await;
    let mut found: Vec<Value> = Vec::new();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let request = bed
            .api()
            .request(Method::GET, &format!("/.well-known/{name}"));
        found.push(bed.api().send(request).await.ok());
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0]["issuer"], SERVICE);
    for endpoint in [
        "authorization",
        "token",
        "pushed_authorization_request",
        "revocation",
    ] {
        let url = found[0][format!("{endpoint}_endpoint")].as_str().unwrap();
        assert!(url.starts_with(&format!("{SERVICE}/oauth2/")), "{url}");
    }
    assert_eq!(
        found[0]["code_challenge_methods_supported"],
        json!(["S256"])
    );
}
