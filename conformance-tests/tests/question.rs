//! credentials/authorizeCheck, and what is implicit in v1: the service asks the holder on a page that a mail leads to (CSC API v1 11.6, v2 11.6
//! and 11.7).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use conformance_tests::{
    Answer, KeySpec, Signer, TestBed, V1, V2, Version, Visitor, digest, digests, shared,
};
use reqwest::Method;
use serde_json::{Value, json};

const SPEC: KeySpec<'_> = KeySpec {
    key: "p256",
    multisign: 2,
};
const AUTHORIZE: &str = "credentials/authorize";
const CHECK: &str = "credentials/authorizeCheck";
const INVALID: &str = "Invalid parameter handle";

fn request(signer: &Signer<'_>, version: Version) -> Value {
    let mut body = json!({
        "credentialID": signer.credential.id, "numSignatures": 1, "description": "A lease <b>of</b> flat 4",
    });
    body[version.hashes()] = digests(&[digest("lease")]);
    if version == V2 {
        body["hashAlgorithmOID"] = json!("2.16.840.1.101.3.4.2.1");
        body["authData"] = json!([]);
    }
    body
}

async fn asked(signer: &Signer<'_>) -> String {
    let answer = signer.call(V2, AUTHORIZE, request(signer, V2)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    answer.body["handle"].as_str().unwrap().to_owned()
}

async fn checked(signer: &Signer<'_>, handle: &str) -> Answer {
    signer.call(V2, CHECK, json!({ "handle": handle })).await
}

/// A browser on the page of a question.
struct Page {
    visitor: Visitor,
    path: String,
    text: String,
}

impl Page {
    async fn open(bed: &TestBed, path: String) -> Self {
        let mut visitor = Visitor::new(bed);
        let shown = visitor.get(&path).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        Self {
            visitor,
            path,
            text: shown.text,
        }
    }

    async fn decides(&mut self, decision: &str, pin: &str, code: &str) -> Answer {
        let fields = [("decision", decision), ("pin", pin), ("code", code)];
        self.visitor.post(&self.path, &fields).await
    }

    /// Has a code sent and approves with it.
    async fn approves(&mut self, signer: &Signer<'_>) {
        let sent = self.decides("send", "", "").await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        let code = signer.holder.next_code().await;
        let approved = self.decides("approve", &signer.credential.pin, &code).await;
        assert_eq!(approved.status, 200, "{}", approved.text);
        assert!(
            approved.text.contains("<h1>Approved</h1>"),
            "{}",
            approved.text
        );
    }
}

#[tokio::test]
async fn what_the_holder_approves_on_the_page_gives_its_sad_once() {
    let bed = shared().await;
    let signer = bed.signer_as("implicit", &SPEC).await;
    let handle = asked(&signer).await;
    let again = checked(&signer, &handle).await;
    assert_eq!(
        (again.status, &again.body),
        (202, &json!({ "handle": handle }))
    );

    let mut page = Page::open(bed, signer.holder.next_link().await).await;
    for part in [
        "Signing key under test",
        "A lease &#60;b&#62;of&#60;/b&#62; flat 4",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let wrong = page
        .decides("approve", &signer.credential.pin, "00000000")
        .await;
    assert_eq!(wrong.status, 403, "{}", wrong.text);
    page.approves(&signer).await;

    let other = bed.signer().await;
    let (id, _) = handle.split_once('.').unwrap();
    for unknown in ["x", id, &format!("{id}.{}", "A".repeat(43))] {
        checked(&signer, unknown).await.refused(INVALID);
    }
    checked(&other, &handle).await.refused(INVALID);

    let sad = checked(&signer, &handle).await.text_of("SAD");
    checked(&signer, &handle).await.refused(INVALID);
    let signed = signer.sign(V2, &sad, &[digest("lease")]).await.ok();
    assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_ends_the_polling() {
    let bed = shared().await;
    let signer = bed.signer_as("implicit", &SPEC).await;
    let handle = asked(&signer).await;
    let mut page = Page::open(bed, signer.holder.next_link().await).await;
    let refused = page.decides("refuse", "", "").await;
    assert!(
        refused.text.contains("<h1>Refused</h1>"),
        "{}",
        refused.text
    );
    for _ in 0..2 {
        checked(&signer, &handle).await.refused_as("access_denied");
    }
    let late = page.decides("refuse", "", "").await;
    assert_eq!(late.status, 400, "{}", late.text);
}

#[tokio::test]
async fn a_request_of_v1_waits_for_the_holder() {
    let bed = shared().await;
    let signer = bed.signer_as("implicit", &SPEC).await;
    let waits = signer.call(V1, AUTHORIZE, request(&signer, V1));
    let answers = async {
        let mut page = Page::open(bed, signer.holder.next_link().await).await;
        page.approves(&signer).await;
    };
    let (authorized, ()) = tokio::join!(waits, answers);
    let sad = authorized.text_of("SAD");
    signer.sign(V1, &sad, &[digest("lease")]).await.ok();
}

#[tokio::test]
async fn a_request_of_v1_is_denied_when_nobody_answers() {
    let bed = TestBed::builder()
        .set("question.wait", "\"1s\"")
        .start()
        .await;
    let signer = bed.signer_as("implicit", &SPEC).await;
    let denied = signer.call(V1, AUTHORIZE, request(&signer, V1)).await;
    denied.refused_as("access_denied");
    let link = signer.holder.next_link().await;
    let api = bed.api();
    let late = api.send(api.request(Method::GET, &link)).await;
    assert_eq!(late.status, 400, "{}", late.text);
}

#[tokio::test]
async fn a_fourth_question_at_once_is_too_many() {
    let signer = shared().await.signer_as("implicit", &SPEC).await;
    for _ in 0..3 {
        asked(&signer).await;
    }
    let fourth = signer.call(V2, AUTHORIZE, request(&signer, V2)).await;
    assert_eq!(fourth.status, 429, "{}", fourth.text);
    assert!(fourth.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn each_mode_is_authorised_in_its_own_way_only() {
    let bed = shared().await;
    let implicit = bed.signer_as("implicit", &SPEC).await;
    let automatic = bed.signer_as("automatic", &SPEC).await;
    let explicit = bed.signer().await;
    // Nothing is collected for the one, PIN and code for the other.
    let mut factors = request(&implicit, V2);
    factors["authData"] = json!([{"id": "PIN", "value": "72946183"}]);
    implicit
        .call(V2, AUTHORIZE, factors)
        .await
        .refused_as("invalid_authentication_data");
    explicit
        .call(V2, AUTHORIZE, request(&explicit, V2))
        .await
        .refused_as("invalid_authentication_data");
    explicit
        .call(V1, AUTHORIZE, request(&explicit, V1))
        .await
        .refused("Missing (or invalid type) string parameter PIN");
    for version in [V1, V2] {
        automatic
            .call(version, AUTHORIZE, request(&automatic, version))
            .await
            .refused("Invalid parameter credentialID");
    }

    let info = async |signer: &Signer<'_>, version| {
        let asked = json!({"credentialID": signer.credential.id, "authInfo": true, "certInfo": true, "lang": "IT-it"});
        signer.call(version, "credentials/info", asked).await.ok()
    };
    let told = info(&implicit, V1).await;
    assert_eq!(
        (&told["authMode"], &told["SCAL"]),
        (&json!("implicit"), &json!("2"))
    );
    assert!(
        told.get("PIN").is_none() && told.get("OTP").is_none(),
        "{told}"
    );
    assert_eq!(told["lang"], "it");
    let told = info(&implicit, V2).await;
    assert_eq!(told["auth"], json!({"mode": "explicit", "objects": []}));
    let told = info(&automatic, V1).await;
    assert_eq!(
        (&told["authMode"], &told["SCAL"]),
        (&json!("explicit"), &json!("1"))
    );
    assert_eq!(told["PIN"], json!({"presence": "false"}));
    assert_eq!(told["OTP"], json!({"presence": "false"}));
    assert!(told["cert"].get("policy").is_none(), "{told}");
    let told = info(&automatic, V2).await;
    assert_eq!(told["SCAL"], "1");
    assert_eq!(told["cert"]["policy"], json!(["2.5.29.32.0"]));
    assert!(told["cert"].get("qcStatements").is_none(), "{told}");
    assert!(told.get("signatureQualifier").is_none(), "{told}");
}
