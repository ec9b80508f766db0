//! signatures/timestamp (CSC v1 11.10, v2 11.13), judged by OpenSSL and asn1crypto; and by another authority, the token of that one.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{Refusal, TestBed, V1, V2, assert_refusals, command, digest, shared};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const METHOD: &str = "signatures/timestamp";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA512: &str = "2.16.840.1.101.3.4.2.3";

fn body() -> Value {
    json!({"hash": STANDARD.encode(digest("a document")), "hashAlgo": SHA256})
}

/// The token as OpenSSL judges it: signed by what the CA certified for time-stamping, over this digest.
fn assert_stamps(bed: &TestBed, token: &[u8], digest: &str, algorithm: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = bed
        .cli(&["ca", "certificate"], &[])
        .expect("ca certificate");
    fs::write(dir.path().join("ca.pem"), ca).expect("it takes files");
    fs::write(dir.path().join("token"), token).expect("it takes files");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir.path()).args([
        "ts",
        "-verify",
        "-token_in",
        "-in",
        "token",
        "-digest",
        digest,
        "-CAfile",
        "ca.pem",
        algorithm,
    ]);
    command(&mut openssl, &[]).expect("openssl ts -verify");
}

/// What a token says, read by asn1crypto.
fn read(token: &[u8]) -> Value {
    const SCRIPT: &str = r"
import sys, json, base64, hashlib
from asn1crypto import cms, tsp
content = cms.ContentInfo.load(base64.b64decode(sys.stdin.read()))
signed = content['content']
info = signed['encap_content_info']['content'].parsed
signer = signed['signer_infos'][0]
attributes = {a['type'].native: a['values'][0] for a in signer['signed_attrs']}
ess = attributes['signing_certificate_v2']['certs'][0]
leaf = [c.chosen for c in signed['certificates'] if c.chosen.serial_number == signer['sid'].chosen['serial_number'].native][0]
usage = leaf.extended_key_usage_value.native
critical = [e['critical'].native for e in leaf['tbs_certificate']['extensions'] if e['extn_id'].native == 'extended_key_usage']
print(json.dumps({
    'type': signed['encap_content_info']['content_type'].native,
    'version': signed['version'].native,
    'hash': info['message_imprint']['hashed_message'].native.hex(),
    'serial': str(info['serial_number'].native),
    'accuracy': info['accuracy']['seconds'].native,
    'nonce': info['nonce'].native,
    'certified': ess['cert_hash'].native == hashlib.sha256(leaf.dump()).digest(),
    'usage': usage, 'critical': critical,
}))
";
    let mut python = Command::new(std::env::var("PYTHON").expect("PYTHON"));
    let run = command(python.args(["-c", SCRIPT]), &[&STANDARD.encode(token)]);
    serde_json::from_str(&run.expect("asn1crypto reads the token")).expect("JSON")
}

fn token_of(answer: &Value) -> Vec<u8> {
    let text = answer["timestamp"].as_str().expect("a time-stamp");
    STANDARD.decode(text).expect("base64")
}

#[tokio::test]
async fn both_versions_stamp_a_digest_and_openssl_believes_it() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = hex::encode(digest("a document"));
    let mut serials = Vec::new();
    for version in [V1, V2] {
        let answer = signer.call(version, METHOD, body()).await.ok();
        let token = token_of(&answer);
        assert_stamps(bed, &token, &hash, "-sha256");
        let read = read(&token);
        assert_eq!(read["hash"], json!(hash));
        assert_eq!(read["type"], "tst_info");
        assert_eq!(read["version"], "v3");
        assert_eq!(read["nonce"], Value::Null);
        assert_eq!(read["accuracy"], 5);
        assert_eq!(read["certified"], true);
        assert_eq!(read["usage"], json!(["time_stamping"]));
        assert_eq!(read["critical"], json!([true]));
        serials.push(read["serial"].clone());
    }
    assert_ne!(serials[0], serials[1]);
}

#[tokio::test]
async fn the_nonce_is_a_number_and_comes_back() {
    let signer = shared().await.signer().await;
    for (sent, number) in [("00ff", 255), ("ff", 255), ("F", 15), ("0", 0)] {
        let mut body = body();
        body["nonce"] = json!(sent);
        let answer = signer.call(V2, METHOD, body).await.ok();
        assert_eq!(read(&token_of(&answer))["nonce"], json!(number), "{sent}");
    }
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let signer = shared().await.signer().await;
    let missing = |name: &str| format!("Missing (or invalid type) string parameter {name}");
    for version in [V1, V2] {
        let rows = [
            (json!({"hash": null}), missing("hash")),
            (json!({"hash": 1}), missing("hash")),
            (json!({"hash": ""}), "Empty hash parameter".to_owned()),
            (
                json!({"hash": "AAAA"}),
                "Invalid digest value length".to_owned(),
            ),
            (
                json!({"hashAlgo": SHA512}),
                "Invalid digest value length".to_owned(),
            ),
            (
                json!({"hash": "no base64"}),
                "Invalid Base64 hash string parameter".to_owned(),
            ),
            (json!({"hashAlgo": null}), missing("hashAlgo")),
            (
                json!({"hashAlgo": "1.3.14.3.2.26"}),
                "Invalid parameter hashAlgo".to_owned(),
            ),
            (
                json!({"nonce": "xyz"}),
                "Invalid parameter nonce".to_owned(),
            ),
            (json!({"nonce": ""}), "Invalid parameter nonce".to_owned()),
            (json!({"nonce": 7}), "Invalid parameter nonce".to_owned()),
            (
                json!({"nonce": "1".repeat(65)}),
                "Invalid parameter nonce".to_owned(),
            ),
            (
                json!({"clientData": 7}),
                "Invalid parameter clientData".to_owned(),
            ),
        ];
        let rows = rows.map(|(change, text)| Refusal::new(change, text));
        let api = signer.bed().api();
        assert_refusals(&api, version, METHOD, &signer.token, &body(), rows).await;
    }
}

/// How another authority answers.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Mood {
    /// As OpenSSL does.
    Right,
    /// With the first answer that it gave.
    Again,
    /// That it stamps nothing.
    Refusing,
    /// With an error of HTTP.
    Broken,
    /// Not at all.
    Away,
}

/// Another authority on this machine: OpenSSL behind HTTP.
struct Other {
    dir: tempfile::TempDir,
    port: u16,
    mood: Arc<AtomicU8>,
}

impl Other {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = "[tsa]\ndefault_tsa = it\n[it]\nserial = serial\ncrypto_device = builtin\nsigner_digest = sha256\n\
                      default_policy = 1.2.3.4\ndigests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n";
        fs::write(dir.path().join("tsa.cnf"), config).expect("it takes files");
        let mut openssl = Command::new("openssl");
        openssl.current_dir(dir.path()).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            "/CN=Another TSA",
            "-addext",
            "extendedKeyUsage=critical,timeStamping",
            "-addext",
            "keyUsage=critical,digitalSignature",
        ]);
        command(&mut openssl, &[]).expect("openssl req");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let other = Self {
            port,
            mood: Arc::default(),
            dir,
        };
        let (folder, mood) = (other.dir.path().to_owned(), other.mood.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &folder, mood.load(Ordering::SeqCst)).await;
            }
        });
        other
    }

    fn is(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

/// Answers one request; whoever hangs up gets nothing.
async fn answer(mut stream: TcpStream, dir: &Path, mood: u8) -> Option<()> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    let query = loop {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let head = request
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .map(|at| at + 4);
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        if let (Some(head), Some(length)) = (head, length)
            && request.len() == head + length
        {
            assert!(text.contains("content-type: application/timestamp-query"));
            break request[head..].to_vec();
        }
    };
    let first = dir.join("first");
    let reply = match mood {
        mood if mood == Mood::Away as u8 => return None,
        mood if mood == Mood::Again as u8 => fs::read(&first).ok()?,
        // PKIStatus 2: rejection.
        mood if mood == Mood::Refusing as u8 => vec![0x30, 5, 0x30, 3, 2, 1, 2],
        _ => {
            fs::write(dir.join("query"), query).ok()?;
            let mut openssl = Command::new("openssl");
            openssl.current_dir(dir).args([
                "ts",
                "-reply",
                "-config",
                "tsa.cnf",
                "-queryfile",
                "query",
                "-inkey",
                "key.pem",
                "-signer",
                "cert.pem",
                "-out",
                "reply",
            ]);
            command(&mut openssl, &[]).expect("openssl ts -reply");
            let reply = fs::read(dir.join("reply")).ok()?;
            if !first.exists() {
                fs::write(&first, &reply).ok()?;
            }
            reply
        }
    };
    let status = if mood == Mood::Broken as u8 {
        "500 Broken"
    } else {
        "200 OK"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&reply).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_is_asked_and_believed_only_in_what_was_asked() {
    let other = Other::start().await;
    other.is(Mood::Right);
    let url = format!("\"http://127.0.0.1:{}/tsr\"", other.port);
    let bed = TestBed::builder().set("timestamp.url", &url).start().await;
    let signer = bed.signer().await;
    let hash = hex::encode(digest("a document"));

    let mut with_nonce = body();
    with_nonce["nonce"] = json!("7f");
    for (body, nonce) in [(body(), Value::Null), (with_nonce.clone(), json!(127))] {
        let token = token_of(&signer.call(V1, METHOD, body).await.ok());
        fs::write(other.dir.path().join("token"), &token).expect("it takes files");
        let mut openssl = Command::new("openssl");
        openssl.current_dir(other.dir.path()).args([
            "ts",
            "-verify",
            "-token_in",
            "-in",
            "token",
            "-digest",
            &hash,
            "-CAfile",
            "cert.pem",
            "-sha256",
        ]);
        command(&mut openssl, &[]).expect("openssl ts -verify");
        assert_eq!(read(&token)["nonce"], nonce);
    }

    // The first answer is to another request: without its nonce, or with another digest.
    let mut another = body();
    another["hash"] = json!(STANDARD.encode(digest("another document")));
    for (mood, body) in [
        (Mood::Again, with_nonce),
        (Mood::Again, another),
        (Mood::Refusing, body()),
        (Mood::Broken, body()),
        (Mood::Away, body()),
    ] {
        other.is(mood);
        let refused = signer.call(V1, METHOD, body).await;
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert_eq!(refused.status, 503, "{refused:?}");
    }
    let log = bed.cli(&["audit", "export"], &[]).expect("audit export");
    assert_eq!(log.matches("TST_OBTAINED").count(), 2);
    bed.inspect();
}
