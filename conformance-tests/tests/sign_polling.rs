//! Asynchronous operation and signatures/signPolling (CSC v2 10.5, 11.12), and telling a client that it is done.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Answer, Digest, Refusal, Signer, TestBed, V1, V2, assert_refusals, digest, shared, until,
};
use serde_json::{Value, json};

const METHOD: &str = "signatures/signPolling";
const HASH: &str = "signatures/signHash";
const UNKNOWN: &str = "Invalid parameter requestID";

/// signHash with `A`, and these members more.
async fn begin(signer: &Signer<'_>, name: &str, more: Value) -> Answer {
    let hashes = [digest(name)];
    let sad = signer.sad(V2, &hashes).await;
    signer
        .call(
            V2,
            HASH,
            asynchronous(signer.order(V2, &sad, &hashes), more),
        )
        .await
}

fn asynchronous(mut order: Value, more: Value) -> Value {
    order["operationMode"] = json!("A");
    for (name, value) in more.as_object().into_iter().flatten() {
        order[name] = value.clone();
    }
    order
}

async fn poll(signer: &Signer<'_>, id: &str) -> Answer {
    signer.call(V2, METHOD, json!({"requestID": id})).await
}

/// The answer once it is no longer that the operation is not completed.
async fn ended(signer: &Signer<'_>, id: &str) -> Answer {
    until("the operation to end", async || {
        let answer = poll(signer, id).await;
        if answer.status == 202 {
            pending(&answer);
            return None;
        }
        Some(answer)
    })
    .await
}

fn pending(answer: &Answer) {
    let text = "The previous async request has been accepted but not yet completed";
    assert_eq!(
        answer.body,
        json!({"error": "accepted_request", "error_description": text})
    );
}

#[tokio::test]
async fn a_result_can_be_asked_for_again_until_its_time_is_over() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let begun = begin(&signer, "kept", json!({"validity_period": 2_500}))
        .await
        .ok();
    assert_eq!(
        begun.as_object().map(serde_json::Map::len),
        Some(1),
        "{begun}"
    );
    let id = begun["responseID"].as_str().expect("a responseID");
    let first = ended(&signer, id).await.ok();
    let signatures = first["signatures"].as_array().expect("signatures");
    assert_eq!(signatures.len(), 1);
    assert_eq!(poll(&signer, id).await.ok(), first);
    // What rests is sealed.
    let rests = bed
        .sql(&format!(
            "SELECT hex(result) FROM operation WHERE id = '{id}'"
        ))
        .to_lowercase();
    assert!(rests.trim().len() > 100, "{rests}");
    assert!(!rests.contains(&hex::encode(signatures[0].as_str().expect("text"))));

    until("the end of its time", async || {
        let answer = poll(&signer, id).await;
        (answer.status == 400).then(|| answer.refused(UNKNOWN))
    })
    .await;
    until("the result to be deleted", async || {
        let left = bed.sql(&format!("SELECT COUNT(*) FROM operation WHERE id = '{id}'"));
        (left.trim() == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn documents_are_signed_asynchronously_too() {
    let signer = shared().await.signer().await;
    let document = b"a document".to_vec();
    let sad = signer.sad(V2, &[digest("a document")]).await;
    let entry = json!({"document": STANDARD.encode(&document), "signature_format": "C", "signAlgo": "1.2.840.10045.4.3.2"});
    let order = json!({"credentialID": signer.credential.id, "SAD": sad, "documents": [entry]});
    let begun = signer
        .call(V2, "signatures/signDoc", asynchronous(order, json!({})))
        .await;
    let answer = ended(&signer, &begun.text_of("responseID")).await.ok();
    let signed = answer["DocumentWithSignature"][0]
        .as_str()
        .expect("a document");
    let signed = STANDARD.decode(signed).expect("base64");
    assert!(signed.windows(document.len()).any(|part| part == document));
}

#[tokio::test]
async fn a_refusal_is_given_at_once_and_leaves_nothing_behind() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hashes = [digest("approved")];
    let sad = signer.sad(V2, &hashes).await;
    let other = asynchronous(signer.order(V2, &sad, &[digest("other")]), json!({}));
    signer
        .call(V2, HASH, other)
        .await
        .refused("Hash is not authorized by the SAD");
    let count = format!(
        "SELECT COUNT(*) FROM operation WHERE holder = (SELECT holder FROM credential WHERE id = '{}')",
        signer.credential.id
    );
    assert_eq!(bed.sql(&count).trim(), "0");

    let good = signer.order(V2, &sad, &hashes);
    let rows = [
        (
            json!({"operationMode": "X"}),
            "Invalid parameter operationMode",
        ),
        (
            json!({"operationMode": 5}),
            "Invalid parameter operationMode",
        ),
        (
            json!({"validity_period": "x"}),
            "Invalid parameter validity_period",
        ),
        (
            json!({"validity_period": 1.5}),
            "Invalid parameter validity_period",
        ),
        (
            json!({"validity_period": 0}),
            "Out of bounds parameter validity_period",
        ),
        (
            json!({"validity_period": -1}),
            "Out of bounds parameter validity_period",
        ),
        (
            json!({"validity_period": 86_400_001}),
            "Out of bounds parameter validity_period",
        ),
        (json!({"response_uri": 5}), "Invalid parameter response_uri"),
        (
            json!({"response_uri": "not a URI"}),
            "Invalid parameter response_uri",
        ),
        (
            json!({"response_uri": "https://nobody.example/"}),
            "Invalid parameter response_uri",
        ),
    ];
    let rows = rows.map(|(change, text)| Refusal::new(asynchronous(json!({}), change), text));
    assert_refusals(&bed.api(), V2, HASH, &signer.token, &good, rows).await;
    // Nothing was spent, and with S all of it is ignored.
    let mut order = asynchronous(good, json!({"validity_period": "x", "response_uri": 5}));
    order["operationMode"] = json!("S");
    signer.call(V2, HASH, order).await.ok();
    // v1 knows no modes.
    let sad = signer.sad(V1, &hashes).await;
    let order = asynchronous(signer.order(V1, &sad, &hashes), json!({}));
    assert!(signer.call(V1, HASH, order).await.ok()["signatures"].is_array());
}

#[tokio::test]
async fn a_result_is_for_the_client_and_the_holder_who_asked() {
    let bed = shared().await;
    let (signer, another) = (bed.signer().await, bed.signer().await);
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let token = bed.client_token(&client).await;
    let id = begin(&signer, "mine", json!({}))
        .await
        .text_of("responseID");
    ended(&signer, &id).await.ok();

    poll(&another, &id).await.refused(UNKNOWN);
    let api = bed.api();
    let body = json!({"requestID": id, "userID": signer.holder.name});
    api.call(V2, METHOD, &token, body.clone())
        .await
        .refused(UNKNOWN);
    signer
        .call(V2, METHOD, body.clone())
        .await
        .refused("userID parameter SHALL be null");
    let wrong = "Invalid parameter \"userID\"";
    for user in [
        Value::Null,
        json!(5),
        json!("nobody"),
        json!(another.holder.name),
    ] {
        let mut body = body.clone();
        body["userID"] = user;
        api.call(V2, METHOD, &token, body).await.refused(wrong);
    }
    let missing = "Missing (or invalid type) string parameter requestID";
    let good = json!({"requestID": id});
    let rows = [
        Refusal::new(json!({"requestID": null}), missing),
        Refusal::new(json!({"requestID": 5}), missing),
        Refusal::new(json!({"requestID": "0".repeat(32)}), UNKNOWN),
        Refusal::new(json!({"clientData": 5}), "Invalid parameter clientData"),
    ];
    assert_refusals(&api, V2, METHOD, &signer.token, &good, rows).await;

    // Neither is it somebody else's whom an edited row names.
    let name = |whose: &Signer<'_>| {
        let holder = format!(
            "(SELECT holder FROM credential WHERE id = '{}')",
            whose.credential.id
        );
        bed.sql(&format!(
            "UPDATE operation SET holder = {holder} WHERE id = '{id}'"
        ));
    };
    name(&another);
    assert_eq!(poll(&another, &id).await.status, 500);
    poll(&signer, &id).await.refused(UNKNOWN);
    name(&signer);
    poll(&signer, &id).await.ok();
    let log = bed.cli(&["audit", "export"], &[]).expect("audit export");
    let alarmed = |line: &str| line.contains("JOB_INTEGRITY_FAIL") && line.contains(&id);
    assert!(log.lines().any(alarmed), "it is alarmed");

    // What the client itself asked for is his whom it names.
    let hashes = [digest("by the client")];
    let sad = sad_of(bed, &signer, &token, &hashes).await;
    let order = asynchronous(signer.order(V2, &sad, &hashes), json!({}));
    let id = api
        .call(V2, HASH, &token, order)
        .await
        .text_of("responseID");
    let body = json!({"requestID": id, "userID": signer.holder.name});
    let answer = until("the operation to end", async || {
        let answer = api.call(V2, METHOD, &token, body.clone()).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(answer.ok()["signatures"].is_array());
    poll(&signer, &id).await.refused(UNKNOWN);
}

/// A SAD that the holder gives to who has this token.
async fn sad_of(bed: &TestBed, signer: &Signer<'_>, token: &str, hashes: &[Digest]) -> String {
    let api = bed.api();
    let of = json!({"credentialID": signer.credential.id});
    api.call(V1, "credentials/sendOTP", token, of).await.done();
    let code = signer.holder.next_code().await;
    let body = signer.authorization(V2, hashes, hashes.len(), &code);
    api.call(V2, "credentials/authorize", token, body)
        .await
        .text_of("SAD")
}

/// SC-37, SC-74: what was begun is done at most once, whatever happens.
#[tokio::test]
async fn what_goes_wrong_is_told_to_who_asks_later_and_nothing_is_done_twice() {
    let bed = TestBed::builder().forwarded().start().await;
    let signer = bed.signer().await;

    // The HSM says no: the count is given back, and the answer is the one of who waits.
    let hashes = [digest("refused by the HSM")];
    let sad = signer.sad(V2, &hashes).await;
    let order = asynchronous(signer.order(V2, &sad, &hashes), json!({}));
    bed.rules(&["C_SignInit fail 0x6"]);
    let id = signer
        .call(V2, HASH, order.clone())
        .await
        .text_of("responseID");
    let failed = ended(&signer, &id).await;
    assert!(failed.status >= 500, "{failed:?}");
    assert!(failed.body["error"].is_string(), "{failed:?}");
    assert_eq!(poll(&signer, &id).await.body, failed.body);
    bed.rules(&[]);
    until("the HSM to be used again", async || {
        (bed.admin().status("/readyz").await == Some(200)).then_some(())
    })
    .await;
    let id = signer.call(V2, HASH, order).await.text_of("responseID");
    ended(&signer, &id).await.ok();

    // A node that stops ends first what it began.
    let hashes = [digest("slow")];
    let sad = signer.sad(V2, &hashes).await;
    bed.rules(&["C_Sign delay 300ms"]);
    let order = asynchronous(signer.order(V2, &sad, &hashes), json!({}));
    let id = signer.call(V2, HASH, order).await.text_of("responseID");
    assert!(bed.stop().await.success());
    bed.rules(&[]);
    bed.start().await;
    assert!(poll(&signer, &id).await.ok()["signatures"].is_array());

    // A crash in the middle: it has failed, and the approval is used up.
    let hashes = [digest("lost")];
    let sad = signer.sad(V2, &hashes).await;
    bed.rules(&["C_Sign hang"]);
    let order = asynchronous(signer.order(V2, &sad, &hashes), json!({}));
    let id = signer
        .call(V2, HASH, order.clone())
        .await
        .text_of("responseID");
    let answer = poll(&signer, &id).await;
    assert_eq!(answer.status, 202);
    pending(&answer);
    bed.kill();
    bed.rules(&[]);
    bed.start().await;
    let lost = ended(&signer, &id).await;
    assert_eq!(
        (lost.status, &lost.body["error"]),
        (500, &json!("server_error")),
        "{lost:?}"
    );
    signer
        .call(V2, HASH, order)
        .await
        .refused("Invalid parameter SAD");
    bed.inspect();
}

/// Whom operations tell: an HTTPS server that writes down where it was posted to and what.
struct Listener {
    process: Child,
    port: u16,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Listener {
    fn start(bed: &TestBed) -> Self {
        const SCRIPT: &str = r"
import http.server, json, ssl, sys
file, certificate, key = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        moved = self.path.endswith('/moved')
        self.send_response(307 if moved else 204)
        if moved:
            self.send_header('Location', '/told/elsewhere')
        self.send_header('Content-Length', '0')
        self.end_headers()
        with open(file, 'a') as out:
            out.write(json.dumps({'path': self.path, 'body': json.loads(body)}) + '\n')
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("told");
        fs::write(&file, "").expect("it takes files");
        let mut python = Command::new(std::env::var("PYTHON").expect("PYTHON"));
        python.args(["-c", SCRIPT]).arg(&file);
        python
            .arg(bed.dir().join("tls/server.pem"))
            .arg(bed.dir().join("tls/server.key"));
        let mut process = python.stdout(Stdio::piped()).spawn().expect("Python");
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port).expect("a port");
        Self {
            port: port.trim().parse().expect("a port"),
            process,
            file,
            _dir: dir,
        }
    }

    /// A client that may be told below `/told/` here.
    fn client(&self, bed: &TestBed, signer: &Signer<'_>) -> conformance_tests::Client {
        let registration = format!(
            "name = \"Told\"\ngrants = [\"client_credentials\"]\nresponse_uris = [\"https://localhost:{}/told/\"]\n",
            self.port
        );
        let client = bed.client_from(&registration);
        bed.link(&client, &signer.holder);
        client
    }

    fn place(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// What was posted so far.
    fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).expect("the file is there");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// signHash with `A` by a client that is to be told; the responseID.
async fn tell(bed: &TestBed, signer: &Signer<'_>, token: &str, place: &str) -> Answer {
    let hashes = [digest(place)];
    let sad = sad_of(bed, signer, token, &hashes).await;
    let order = asynchronous(
        signer.order(V2, &sad, &hashes),
        json!({"response_uri": place}),
    );
    bed.api().call(V2, HASH, token, order).await
}

/// SC-70.
#[tokio::test]
async fn a_client_is_told_where_it_is_registered_and_nowhere_else() {
    let bed = TestBed::builder()
        .set("callback.private_addresses", "true")
        .set("callback.ca_file", "\"tls/server.pem\"")
        .start()
        .await;
    let signer = bed.signer().await;
    let listener = Listener::start(&bed);
    let client = listener.client(&bed, &signer);
    let token = bed.client_token(&client).await;

    for place in ["/", "/told", "/other/told/", "/told/../secret"] {
        let refused = tell(&bed, &signer, &token, &listener.place(place)).await;
        refused.refused("Invalid parameter response_uri");
    }
    let moved = tell(&bed, &signer, &token, &listener.place("/told/moved"))
        .await
        .text_of("responseID");
    until("the first place to be told", async || {
        (!listener.told().is_empty()).then_some(())
    })
    .await;
    let id = tell(&bed, &signer, &token, &listener.place("/told/here?x=1"))
        .await
        .text_of("responseID");
    let here = json!({"path": "/told/here?x=1", "body": {"responseID": id}});
    until("the second place to be told", async || {
        listener.told().contains(&here).then_some(())
    })
    .await;
    let again = json!({"path": "/told/moved", "body": {"responseID": moved}});
    assert!(
        listener
            .told()
            .iter()
            .all(|told| *told == here || *told == again),
        "no redirect is followed"
    );
    assert_eq!(
        listener.told().iter().filter(|told| **told == here).count(),
        1
    );
}

#[tokio::test]
async fn nobody_of_this_machine_or_network_is_called() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let listener = Listener::start(bed);
    let client = listener.client(bed, &signer);
    let token = bed.client_token(&client).await;
    let id = tell(bed, &signer, &token, &listener.place("/told/"))
        .await
        .text_of("responseID");
    until("the call to be refused", async || {
        let log = bed.log();
        let mut lines = log.lines();
        lines
            .any(|line| line.contains(&id) && line.contains("private address"))
            .then_some(())
    })
    .await;
    assert!(listener.told().is_empty());
}
