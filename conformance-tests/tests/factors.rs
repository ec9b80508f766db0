//! What a holder has: authenticator apps, tokens, codes by mail and by SMS; what wrong codes do, and what a database that was
//! changed by hand does.
#![expect(
    clippy::indexing_slicing,
    reason = "what fails in a helper fails its test"
)]

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Answer, Api, Credential, Gateway, Holder, KeySpec, Scheme, Signer, TestBed, Token, V1, V2,
    Version, assert_signs, digest, register_secret, shared, until,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const SPEC: KeySpec<'static> = KeySpec {
    key: "p256",
    multisign: 1,
};

fn hash() -> [conformance_tests::Digest; 1] {
    [digest("contract")]
}

/// Approves with this code.
async fn approve(signer: &Signer<'_>, version: Version, code: &str) -> Answer {
    let body = signer.authorization(version, &hash(), 1, code);
    signer.call(version, "credentials/authorize", body).await
}

fn wrong(answer: Answer) {
    answer.failed(400, "invalid_otp", "The OTP is invalid");
}

/// The code signs, and is spent.
async fn signs_once(signer: &Signer<'_>, code: &str) {
    let sad = approve(signer, V1, code).await.text_of("SAD");
    let signed = signer.sign(V1, &sad, &hash()).await.ok();
    let body = json!({"credentialID": signer.credential.id});
    let info = signer.call(V1, "credentials/info", body).await.ok();
    let octets = |value: &Value| {
        let text = value.as_str().expect("base64");
        STANDARD.decode(text).expect("base64")
    };
    assert_signs(
        &octets(&info["cert"]["certificates"][0]),
        &hash()[0],
        &octets(&signed["signatures"][0]),
        Scheme::Ecdsa,
    );
    wrong(approve(signer, V1, code).await);
}

/// What clients are told of the factor.
async fn described(signer: &Signer<'_>, version: Version) -> Value {
    let body = json!({"credentialID": signer.credential.id, "authInfo": true});
    let info = signer.call(version, "credentials/info", body).await.ok();
    match version {
        V1 => info["OTP"].clone(),
        V2 => info["auth"]["objects"][1].clone(),
    }
}

/// A holder whose credential goes with this factor.
async fn signer_with<'a>(bed: &'a TestBed, factor: impl FnOnce(&Holder) -> String) -> Signer<'a> {
    let mut signer = bed.signer().await;
    let factor = factor(&signer.holder);
    signer.credential = bed.credential(&signer.holder, &factor, &SPEC);
    signer
}

#[tokio::test]
async fn an_app_of_eight_digits_and_sha_256_signs() {
    let bed = shared().await;
    let mut app = None;
    let signer = signer_with(bed, |holder| {
        let totp = bed.totp_with(holder, &["--digits", "8", "--algorithm", "sha256"]);
        app.insert(totp).id.clone()
    })
    .await;
    let code = app.unwrap().code(0);
    assert_eq!(code.len(), 8);
    signs_once(&signer, &code).await;
    let told = described(&signer, V1).await;
    assert_eq!(
        (&told["type"], &told["provider"]),
        (&json!("offline"), &json!("totp"))
    );
    let text = told["description"].as_str().unwrap();
    assert!(text.starts_with("8-digit code"), "{text}");
    assert_eq!(described(&signer, V2).await["generator"], "totp");
}

#[tokio::test]
async fn a_token_signs_and_runs_ahead_and_is_brought_back() {
    let bed = shared().await;
    let token = Token::random();
    bed.import(&[&token, &Token::random()]).expect("otp import");
    let mut factor = String::new();
    let signer = signer_with(bed, |holder| {
        factor = bed.assign(&token, holder).id;
        factor.clone()
    })
    .await;
    signs_once(&signer, &token.code(0)).await;
    signs_once(&signer, &token.code(11)).await;
    wrong(approve(&signer, V1, &token.code(5)).await);
    wrong(approve(&signer, V1, &token.code(60)).await);

    let resync = |first, second| {
        let codes = [token.code(first), token.code(second)];
        bed.cli(
            &["otp", "resync", "--otp", &factor],
            &codes.each_ref().map(String::as_str),
        )
    };
    let refused = resync(60, 62);
    assert!(!refused.success);
    assert!(
        refused.stderr.contains("not two consecutive codes"),
        "{}",
        refused.stderr
    );
    resync(60, 61).expect("otp resync");
    wrong(approve(&signer, V1, &token.code(61)).await);
    signs_once(&signer, &token.code(62)).await;

    let told = described(&signer, V1).await;
    assert_eq!(
        (&told["type"], &told["provider"]),
        (&json!("offline"), &json!("hotp"))
    );
    assert_eq!(described(&signer, V2).await["generator"], "hotp");
    let body = json!({"credentialID": signer.credential.id});
    let sent = signer.call(V1, "credentials/sendOTP", body).await;
    sent.refused("Invalid parameter credentialID");
}

#[tokio::test]
async fn a_key_container_brings_its_tokens() {
    let bed = shared().await;
    let (seed, serial) = ("MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=", "PSKC-1");
    let container = format!(
        r#"<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">
             <KeyPackage>
               <DeviceInfo><SerialNo>{serial}</SerialNo></DeviceInfo>
               <Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">
                 <AlgorithmParameters><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>
                 <Data>
                   <Secret><PlainValue>{}</PlainValue></Secret>
                   <Counter><PlainValue>0</PlainValue></Counter>
                 </Data>
               </Key>
             </KeyPackage>
           </KeyContainer>"#,
        register_secret(seed)
    );
    bed.import_file("pskc", &container, &[])
        .expect("otp import");
    let signer = signer_with(bed, |holder| {
        let arguments = [
            "otp",
            "assign",
            "--serial",
            serial,
            "--holder",
            &holder.name,
        ];
        let printed = bed.cli(&arguments, &[]).expect("otp assign");
        printed.trim().strip_prefix("otp: ").unwrap().to_owned()
    })
    .await;
    // RFC 4226, appendix D.
    signs_once(&signer, "755224").await;
}

#[tokio::test]
async fn a_file_with_a_bad_line_brings_no_token() {
    let bed = shared().await;
    let (good, known) = (Token::random(), Token::random());
    bed.import(&[&known]).expect("otp import");
    let text = format!(
        "serial,seed,digits,counter\n{}\nB1,31323,6,0\n{}\n",
        good.line, good.line
    );
    let refused = bed.import_file("csv", &text, &[]);
    assert!(!refused.success);
    for said in [
        "line 3: its seed is not hexadecimal",
        "line 4: its serial number was there before",
        "2 bad lines; nothing was imported",
    ] {
        assert!(
            refused.stderr.contains(said),
            "{said} in:\n{}",
            refused.stderr
        );
    }
    let again = bed.import(&[&good, &known]);
    assert!(!again.success);
    let said = format!("serial number {} is imported already", known.serial);
    assert!(again.stderr.contains(&said), "{}", again.stderr);
    let printed = bed.import(&[&good]).expect("otp import");
    assert_eq!(printed.trim(), "1 tokens imported; delete the file");
}

#[tokio::test]
async fn a_token_has_one_holder() {
    let bed = shared().await;
    let (token, holder, other) = (Token::random(), bed.holder(), bed.holder());
    bed.import(&[&token]).expect("otp import");
    bed.assign(&token, &holder);
    for holder in [&holder, &other] {
        let arguments = [
            "otp",
            "assign",
            "--serial",
            &token.serial,
            "--holder",
            &holder.name,
        ];
        let refused = bed.cli(&arguments, &[]);
        assert!(
            refused.stderr.contains("somebody has the token"),
            "{}",
            refused.stderr
        );
    }
    let listed = bed.cli(&["otp", "list", "--holder", &holder.name], &[]);
    let listed = listed.expect("otp list");
    assert!(
        listed.contains(&format!("hotp serial {}", token.serial)),
        "{listed}"
    );
}

#[tokio::test]
async fn a_weak_pin_is_refused() {
    let bed = shared().await;
    let holder = bed.holder();
    let otp = bed.mail_otp(&holder);
    let add = [
        "credential",
        "add",
        "--holder",
        &holder.name,
        "--otp",
        &otp.id,
    ];
    for pin in ["11111111", "12345678", "19801980", "1234567"] {
        let refused = bed.cli(&[&add[..], &["--key", "p256"]].concat(), &[pin]);
        assert!(
            !refused.success && !refused.stderr.contains(pin),
            "{}",
            refused.stderr
        );
    }
}

/// A bed whose text messages go to this gateway.
fn with_gateway(gateway: &Gateway) -> conformance_tests::Builder {
    TestBed::builder()
        .set("sms.url", &gateway.url())
        .set("sms.headers", r#"{ "Content-Type" = "application/json" }"#)
        .set(
            "sms.body",
            r#"'{"to": "{number}", "text": "{text}", "from": "{from}"}'"#,
        )
        .set("sms.from", r#""Signing""#)
}

#[tokio::test]
async fn a_code_by_sms_signs() {
    let gateway = Gateway::start().await;
    let bed = with_gateway(&gateway).start().await;
    let signer = signer_with(&bed, |holder| bed.sms_otp(holder).id).await;
    let number = signer.holder.number.as_str();
    let send = async || {
        let body = json!({"credentialID": signer.credential.id});
        signer.call(V1, "credentials/sendOTP", body).await.done();
    };
    send().await;
    let code = gateway.code(number, 0).await;
    let text = gateway.text(number, 0).await;
    assert!(
        text.contains("Signing key under test") && text.chars().count() <= 160,
        "{text}"
    );
    signs_once(&signer, &code).await;
    let body = json!({"credentialID": signer.credential.id, "authObjectID": "OTP"});
    signer
        .call(V2, "credentials/getChallenge", body)
        .await
        .done();
    let code = gateway.code(number, 1).await;
    approve(&signer, V2, &code).await.ok();
    assert_eq!((gateway.count(number), signer.holder.mails()), (2, 0));

    let told = described(&signer, V1).await;
    assert_eq!(
        (&told["type"], &told["provider"]),
        (&json!("online"), &json!("sms"))
    );
    assert_eq!(described(&signer, V2).await["type"], "ChallengeResponse");
}

#[tokio::test]
async fn without_a_gateway_nobody_gets_a_telephone_as_a_factor() {
    let bed = shared().await;
    let holder = bed.holder();
    let arguments = ["otp", "add", "--holder", &holder.name, "--kind", "sms"];
    let refused = bed.cli(
        &[&arguments[..], &["--number", "+393331234567"]].concat(),
        &[],
    );
    assert!(
        refused.stderr.contains("the configuration has no [sms]"),
        "{}",
        refused.stderr
    );
}

/// What two hundred wrong guesses at once are answered, spread over these listeners: so many wrong, so many locked.
async fn two_hundred_guesses(apis: &[Api], signer: &Signer<'_>) -> (usize, usize) {
    let body = Arc::new(signer.authorization(V1, &hash(), 1, "00000000"));
    let mut guesses = JoinSet::new();
    for number in 0..200 {
        let (api, body) = (apis[number % apis.len()].clone(), body.clone());
        let token = signer.token.clone();
        guesses.spawn(async move {
            let answer = api
                .call(V1, "credentials/authorize", &token, (*body).clone())
                .await;
            match answer.body["error_description"].as_str() {
                Some("The OTP is invalid") => (1, 0),
                Some("OTP locked") => (0, 1),
                _ => panic!("{answer:?}"),
            }
        });
    }
    let ends = guesses.join_all().await;
    ends.into_iter()
        .fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1))
}

/// Locked for the right code too, told to the holder once, and unlocked by the operator.
async fn locked_until_unlocked(bed: &TestBed, signer: &Signer<'_>) {
    until("the notice", async || {
        (signer.holder.mails() == 1).then_some(())
    })
    .await;
    let body = json!({"credentialID": signer.credential.id});
    let sent = signer.call(V1, "credentials/sendOTP", body).await;
    sent.refused("OTP locked");
    let listed = bed.cli(&["otp", "list", "--holder", &signer.holder.name], &[]);
    let listed = listed.expect("otp list");
    assert!(
        listed.contains(&format!("{} mail locked until ", signer.otp.id)),
        "{listed}"
    );
    bed.cli(&["otp", "unlock", "--otp", &signer.otp.id], &[])
        .expect("otp unlock");
    signs_once(signer, &signer.code().await).await;
    assert_eq!(signer.holder.mails(), 2, "one notice, one code");
}

#[tokio::test]
async fn two_hundred_guesses_at_once_are_ten_tries() {
    let bed = shared().await;
    let signer = bed.signer().await;
    assert_eq!(two_hundred_guesses(&[bed.api()], &signer).await, (10, 190));
    locked_until_unlocked(bed, &signer).await;
}

#[tokio::test]
async fn two_hundred_guesses_at_once_on_two_nodes_are_ten_tries() {
    let bed = TestBed::builder().postgres().start().await;
    let node = bed.another_node();
    let signer = bed.signer().await;
    let apis = [bed.api(), node.api()];
    assert_eq!(two_hundred_guesses(&apis, &signer).await, (10, 190));
    let sql = format!("select failures from factor where id = '{}'", signer.otp.id);
    assert_eq!(bed.sql(&sql), "10");
    locked_until_unlocked(&bed, &signer).await;
}

#[tokio::test]
async fn a_lock_ends_by_itself_and_the_next_is_longer() {
    let bed = TestBed::builder()
        .set("otp.max_failures", "2")
        .set("otp.lock", "\"1s\"")
        .set("otp.longest_lock", "\"2s\"")
        .start()
        .await;
    let signer = bed.signer().await;
    wrong(approve(&signer, V1, "00000000").await);
    wrong(approve(&signer, V1, "00000000").await);
    approve(&signer, V1, "00000000").await.refused("OTP locked");
    let send = json!({"credentialID": signer.credential.id});
    let code = until("the lock to end", async || {
        let sent = signer.call(V1, "credentials/sendOTP", send.clone()).await;
        (sent.status == 204).then_some(())
    });
    code.await;
    // One more try: wrong again, and locked again.
    wrong(approve(&signer, V1, "00000000").await);
    approve(&signer, V1, "00000000").await.refused("OTP locked");
}

async fn damaged(signer: &Signer<'_>) {
    let answer = approve(signer, V1, "00000000").await;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (500, &json!("server_error"))
    );
}

fn set(bed: &TestBed, credential: &Credential, change: &str) {
    bed.sql(&format!(
        "update factor set {change} where id = (select factor from credential where id = '{}')",
        credential.id
    ));
}

#[tokio::test]
async fn a_telephone_number_changed_in_the_database_gets_no_code() {
    let gateway = Gateway::start().await;
    let bed = with_gateway(&gateway).postgres().start().await;
    let signer = signer_with(&bed, |holder| bed.sms_otp(holder).id).await;
    let send = json!({"credentialID": signer.credential.id});
    set(&bed, &signer.credential, "address = '+393339999999'");
    let sent = signer.call(V1, "credentials/sendOTP", send.clone()).await;
    assert_eq!(
        (sent.status, &sent.body["error"]),
        (500, &json!("server_error"))
    );
    damaged(&signer).await;
    let alarms =
        bed.sql("select count(*) from audit where event like '%\"FACTOR_INTEGRITY_FAIL\"%'");
    assert_eq!(alarms, "2");
    assert!(bed.log().contains("a factor fails its integrity check"));

    let number = signer.holder.number.clone();
    set(&bed, &signer.credential, &format!("address = '{number}'"));
    signer.call(V1, "credentials/sendOTP", send).await.done();
    signs_once(&signer, &gateway.code(&number, 0).await).await;
    assert_eq!(gateway.count("+393339999999"), 0);
}

#[tokio::test]
async fn a_factor_changed_in_the_database_approves_nothing() {
    let bed = TestBed::builder().postgres().start().await;
    let mut app = None;
    let signer = signer_with(&bed, |holder| app.insert(bed.totp(holder)).id.clone()).await;
    let other = bed.totp(&bed.holder());
    for (change, back) in [
        ("digits = 8", "digits = 6"),
        ("algorithm = 'sha256'", "algorithm = 'sha1'"),
        ("serial = 'T1'", "serial = null"),
        ("address = 'eve@example.test'", "address = null"),
    ] {
        set(&bed, &signer.credential, change);
        damaged(&signer).await;
        set(&bed, &signer.credential, back);
    }
    // Another app behind the same credential: its row is genuine, and another holder's.
    bed.sql(&format!(
        "update credential set factor = '{}' where id = '{}'",
        other.id, signer.credential.id
    ));
    let body = signer.authorization(V1, &hash(), 1, &other.code(0));
    let answer = signer.call(V1, "credentials/authorize", body).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    let own = &app.unwrap();
    bed.sql(&format!(
        "update credential set factor = '{}' where id = '{}'",
        own.id, signer.credential.id
    ));
    signs_once(&signer, &own.code(0)).await;
}
