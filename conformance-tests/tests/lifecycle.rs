//! The states of a credential and of its holder, and the ways of the PIN: what an operator or a holder does at the terminal takes effect on the
//! wire at once, also for what was authorised before.

use conformance_tests::{
    Credential, Digest, KeySpec, TestBed, Totp, V1, V2, digest, digests, register_secret, shared,
};
use serde_json::{Value, json};

const DISABLED: &str = "The credential identified by credentialID is disabled";

#[tokio::test]
async fn a_suspended_credential_signs_nothing_until_it_is_reactivated() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    run(bed, "suspend", &signer.credential);

    signer
        .sign(V1, &sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    let code = signer.code().await;
    let body = signer.authorization(V2, &hash, 1, &code);
    signer
        .call(V2, "credentials/authorize", body.clone())
        .await
        .refused(DISABLED);
    assert_eq!(
        state(
            &signer
                .call(V1, "credentials/info", id(&signer.credential))
                .await
                .ok()
        ),
        ["suspended", "disabled"]
    );

    run(bed, "reactivate", &signer.credential);
    signer
        .sign(V1, &sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    // The refused call took no code: it still serves.
    let sad = signer
        .call(V2, "credentials/authorize", body)
        .await
        .text_of("SAD");
    signer.sign(V2, &sad, &hash).await.ok();
    bed.inspect();
}

#[tokio::test]
async fn a_revoked_credential_never_comes_back_and_its_key_is_gone() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let rests = || {
        let id = &signer.credential.id;
        bed.sql(&format!(
            "SELECT length(key_blob) + length(w_pin) + length(pin_check) FROM credential WHERE id = '{id}'"
        ))
    };
    assert_ne!(rests().trim(), "0");
    run(bed, "revoke", &signer.credential);
    assert_eq!(rests().trim(), "0", "nothing is left of the key");

    signer
        .sign(V1, &sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    assert_eq!(
        state(
            &signer
                .call(V1, "credentials/info", id(&signer.credential))
                .await
                .ok()
        ),
        ["revoked", "disabled"]
    );
    let again = bed.cli(
        &[
            "credential",
            "reactivate",
            "--credential",
            &signer.credential.id,
        ],
        &[],
    );
    assert!(
        !again.success && again.stderr.contains("the credential is revoked"),
        "{}",
        again.stderr
    );
    bed.inspect();
}

#[tokio::test]
async fn a_blocked_holder_neither_signs_nor_logs_in() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let token = bed.client_token(&client).await;
    let hash = [digest("contract")];
    bed.cli(&["holder", "block", "--user", &signer.holder.name], &[])
        .expect("holder block");

    signer
        .call(V1, "credentials/list", json!({}))
        .await
        .unauthorised("expired_token");
    let login = bed
        .api()
        .login(V1, &signer.holder.name, &signer.holder.password, json!({}))
        .await;
    login.refused_as("authentication_error");
    let body = signer.authorization(V1, &hash, 1, "00000000");
    bed.api()
        .call(V1, "credentials/authorize", &token, body)
        .await
        .refused(DISABLED);

    bed.cli(&["holder", "unblock", "--user", &signer.holder.name], &[])
        .expect("holder unblock");
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    bed.inspect();
}

/// A holder with an authenticator app: his codes can be given to a command and to the wire alike.
#[tokio::test]
async fn a_mandate_takes_pin_and_code_and_a_client_with_a_key_of_its_own_and_a_password_ends_it() {
    let bed = shared().await;
    let holder = bed.holder();
    let totp = bed.totp(&holder);
    let spec = KeySpec {
        key: "p256",
        multisign: 5,
    };
    let automatic = bed.credential_as("automatic", &holder, &totp.id, &spec);
    let give = |credential: &Credential, client: &str, code: &str| {
        let arguments = [
            &[
                "mandate",
                "give",
                "--credential",
                &credential.id,
                "--client",
                client,
            ][..],
            &["--count", "5", "--rate", "2", "--per", "1m", "--days", "30"],
            &["--documents", "invoices"],
        ];
        bed.cli(&arguments.concat(), &[&credential.pin, code])
    };
    let registration = format!(
        "name = \"Invoices\"\n[authentication]\nmethod = \"tls\"\nthumbprint = \"{}\"\n",
        "ab".repeat(32)
    );
    let (strong, weak) = (bed.client_from(&registration), bed.client());
    let refused = give(&automatic, &weak.id, &totp.code(-1));
    assert!(
        !refused.success && refused.stderr.contains("mutual TLS"),
        "{}",
        refused.stderr
    );
    let interactive = bed.credential(&holder, &totp.id, &spec);
    let refused = give(&interactive, &strong.id, &totp.code(-1));
    assert!(!refused.success, "{}", refused.stdout);

    let printed = give(&automatic, &strong.id, &totp.code(-1)).expect("mandate give");
    let sad = printed.lines().find_map(|line| line.strip_prefix("SAD: "));
    register_secret(sad.unwrap().split('.').next_back().unwrap());
    let stop = ["mandate", "stop", "--credential", &automatic.id];
    let refused = bed.cli(&stop, &["not the password"]);
    assert!(!refused.success, "{}", refused.stdout);
    let stopped = bed.cli(&stop, &[&holder.password]).expect("mandate stop");
    assert!(stopped.contains("mandates ended: 1"), "{stopped}");
    bed.inspect();
}

struct WithApp {
    totp: Totp,
    credential: Credential,
    token: String,
}

impl WithApp {
    async fn new(bed: &TestBed) -> Self {
        let holder = bed.holder();
        let totp = bed.totp(&holder);
        let spec = KeySpec {
            key: "p256",
            multisign: 5,
        };
        let credential = bed.credential(&holder, &totp.id, &spec);
        Self {
            totp,
            credential,
            token: bed.log_in(&holder).await,
        }
    }

    fn authorization(&self, pin: &str, code: &str, hash: &Digest) -> Value {
        json!({"credentialID": self.credential.id, "numSignatures": 1, "hash": digests(&[*hash]), "PIN": pin, "OTP": code})
    }
}

#[tokio::test]
async fn a_new_pin_ends_the_old_one_and_what_it_had_authorised() {
    let bed = shared().await;
    let app = WithApp::new(bed).await;
    let hash = digest("contract");
    let body = app.authorization(&app.credential.pin, &app.totp.code(-1), &hash);
    let sad = bed
        .api()
        .call(V1, "credentials/authorize", &app.token, body)
        .await
        .text_of("SAD");

    let new = register_secret("73019264");
    let arguments = [
        "credential",
        "change-pin",
        "--credential",
        &app.credential.id,
    ];
    bed.cli(&arguments, &[&app.credential.pin, &app.totp.code(0), &new])
        .expect("credential change-pin");

    let order = json!({"credentialID": app.credential.id, "SAD": sad, "hash": digests(&[hash]), "signAlgo": "1.2.840.10045.4.3.2"});
    bed.api()
        .call(V1, "signatures/signHash", &app.token, order.clone())
        .await
        .refused("Invalid parameter SAD");
    let body = app.authorization(&new, &app.totp.code(1), &hash);
    let sad = bed
        .api()
        .call(V1, "credentials/authorize", &app.token, body)
        .await
        .text_of("SAD");
    let mut order = order;
    order["SAD"] = json!(sad);
    bed.api()
        .call(V1, "signatures/signHash", &app.token, order)
        .await
        .ok();
    bed.inspect();
}

#[tokio::test]
async fn the_pin_changes_only_with_the_old_pin_and_a_code_and_a_wrong_one_counts() {
    let bed = shared().await;
    let app = WithApp::new(bed).await;
    let arguments = [
        "credential",
        "change-pin",
        "--credential",
        &app.credential.id,
    ];
    let new = register_secret("64019273");
    let wrong_code = bed.cli(&arguments, &[&app.credential.pin, "000000", &new]);
    assert!(
        wrong_code.stderr.contains("wrong OTP"),
        "{}",
        wrong_code.stderr
    );
    let wrong_pin = bed.cli(&arguments, &["90817263", &app.totp.code(-1), &new]);
    assert!(
        wrong_pin.stderr.contains("wrong PIN"),
        "{}",
        wrong_pin.stderr
    );
    // The code went with the wrong PIN.
    let spent = bed.cli(&arguments, &[&app.credential.pin, &app.totp.code(-1), &new]);
    assert!(spent.stderr.contains("wrong OTP"), "{}", spent.stderr);
    bed.inspect();
}

#[tokio::test]
async fn a_puk_unlocks_a_locked_pin_which_stays_the_same() {
    let bed = TestBed::builder()
        .set("pin.max_failures", "1")
        .start()
        .await;
    let app = WithApp::new(&bed).await;
    let hash = digest("contract");
    let wrong = app.authorization("90817263", &app.totp.code(-1), &hash);
    bed.api()
        .call(V1, "credentials/authorize", &app.token, wrong)
        .await
        .refused_as("invalid_pin");
    let locked = app.authorization(&app.credential.pin, &app.totp.code(0), &hash);
    bed.api()
        .call(V1, "credentials/authorize", &app.token, locked)
        .await
        .refused("PIN locked");

    let arguments = ["credential", "unblock", "--credential", &app.credential.id];
    bed.cli(&arguments, &[app.credential.puk(), &app.totp.code(0)])
        .expect("credential unblock");
    let body = app.authorization(&app.credential.pin, &app.totp.code(1), &hash);
    bed.api()
        .call(V1, "credentials/authorize", &app.token, body)
        .await
        .text_of("SAD");
    bed.inspect();
}

#[tokio::test]
async fn a_holder_types_his_own_secrets_and_a_random_puk_is_shown_once() {
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
    // Nothing is made for who types nothing.
    let silent = bed.cli(&add, &[""]);
    assert!(!silent.success, "{}", silent.stdout);
    let pin = register_secret("73914628");
    let made = [0, 1].map(|_| bed.cli(&add, &[&pin]).expect("credential add"));
    let puks = made.each_ref().map(|printed| {
        assert!(!printed.contains(&pin), "the PIN is never shown");
        let puk = printed.lines().find_map(|line| line.strip_prefix("puk: "));
        register_secret(puk.expect("a PUK, once").trim())
    });
    // Twelve characters of 32, or ten digits: nobody has time for them in ten tries.
    assert!(puks.iter().all(|puk| puk.len() >= 10), "{}", puks[0].len());
    assert_ne!(puks[0], puks[1]);
    let rows = [
        bed.sql("SELECT * FROM credential"),
        bed.sql("SELECT * FROM audit"),
        bed.log(),
    ]
    .concat();
    assert!(puks.iter().all(|puk| !rows.contains(puk.as_str())));
}

fn run(bed: &TestBed, what: &str, credential: &Credential) {
    bed.cli(&["credential", what, "--credential", &credential.id], &[])
        .expect(what);
}

fn id(credential: &Credential) -> Value {
    json!({"credentialID": credential.id})
}

fn state(info: &Value) -> [&str; 2] {
    ["/cert/status", "/key/status"].map(|member| {
        info.pointer(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    })
}

#[tokio::test]
async fn who_logs_out_leaves_nothing_behind_that_signs() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let other = bed.log_in(&signer.holder).await;
    let token = json!({"token": signer.token});
    signer.call(V1, "auth/revoke", token).await.done();
    let order = signer.order(V1, &sad, &hash);
    bed.api()
        .call(V1, "signatures/signHash", &other, order)
        .await
        .refused("Invalid parameter SAD");
    bed.inspect();
}
