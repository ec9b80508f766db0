//! What a backup is good for: to who has the token as well, and to nobody else; and to nobody once the keys it needs are destroyed.

use conformance_tests::{Builder, Signer, TestBed, V1, digest, register_secret};
use serde_json::json;

use crate::{WithApp, destroy, empty, refused, rotate, versions};

const NEW_PIN: &str = "73019264";

#[tokio::test]
async fn a_backup_from_before_a_destruction_signs_no_more_on_sqlite() {
    a_backup_from_before_a_destruction_signs_no_more(TestBed::builder()).await;
}

#[tokio::test]
async fn a_backup_from_before_a_destruction_signs_no_more_on_postgres() {
    a_backup_from_before_a_destruction_signs_no_more(TestBed::builder().postgres()).await;
}

/// The backup thief: he has an old backup, the token, and PINs that were right then.
async fn a_backup_from_before_a_destruction_signs_no_more(builder: Builder) {
    let bed = builder
        .set("server.request_timeout", "\"3s\"")
        .start()
        .await;
    let (changed, revoked) = (WithApp::new(&bed).await, bed.signer().await);
    let hash = [digest("contract")];
    let sad = revoked.sad(V1, &hash).await;
    let stolen = bed.dump("stolen");

    let change = ["credential", "change-pin", "--credential"];
    let change = [&change[..], &[&changed.credential.id]].concat();
    let code = changed.totp.code(-1);
    let new_pin = register_secret(NEW_PIN.to_owned());
    bed.cli(&change, &[&changed.credential.pin, &code, &new_pin])
        .expect("credential change-pin");
    let revoke = ["credential", "revoke", "--credential"];
    let revoke = [&revoke[..], &[&revoked.credential.id]].concat();
    bed.cli(&revoke, &[]).expect("credential revoke");
    rotate(&bed, "store");
    empty(&bed, "store/v1").await;
    let live = bed.dump("live");

    // As long as the old key is there the stolen copy signs: with the destroyed key, with the old PIN, with the old SAD.
    bed.restore(&stolen).await;
    revoked.sign(V1, &sad, &hash).await.ok();
    signs(&revoked).await;
    changed.signs(&bed, -1).await;

    bed.restore(&live).await;
    destroy(&bed, "store").expect("slot destroy");
    bed.restore(&stolen).await;
    let lost = versions(&bed).remove("store/v1").unwrap_or_default();
    assert!(lost.starts_with("(destroyed"), "{lost}");
    revoked
        .sign(V1, &sad, &hash)
        .await
        .refused("Invalid parameter SAD");
    refused(&revoked.authorize(V1, &hash, 1).await);
    refused(&changed.authorize(&bed, &changed.credential.pin, -1).await);
    // Nor does the PIN of today open what is of yesterday.
    let answer = changed.authorize(&bed, &new_pin, 0).await;
    assert_ne!(answer.status, 200, "{answer:?}");

    // What was not destroyed goes on.
    bed.restore(&live).await;
    let sad = changed.authorize(&bed, &new_pin, 0).await.text_of("SAD");
    changed.sign(&bed, &sad).await.ok();
}

async fn signs(signer: &Signer<'_>) {
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
}

#[tokio::test]
async fn a_backup_restores_a_service_only_with_its_token_on_sqlite() {
    a_backup_restores_a_service_only_with_its_token(TestBed::builder).await;
}

#[tokio::test]
async fn a_backup_restores_a_service_only_with_its_token_on_postgres() {
    let builder = || TestBed::builder().postgres();
    a_backup_restores_a_service_only_with_its_token(builder).await;
}

/// The statements that put the policy of this service, its registration of who logs in by himself and the certificate of its CA into another database.
fn own_rows(bed: &TestBed) -> [String; 3] {
    // PostgreSQL prints octets as it reads them.
    let octets = |hex: String| match hex.starts_with("\\x") {
        true => format!("'{hex}'"),
        false => format!("x'{hex}'"),
    };
    let row = |table: &str, content: &str, which: &str| {
        let settings = bed.sql(&format!("SELECT {content} FROM {table} WHERE {which}"));
        let mac = bed.sql(&format!("SELECT record_mac FROM {table} WHERE {which}"));
        let mac = octets(mac);
        format!("UPDATE {table} SET {content} = '{settings}', record_mac = {mac} WHERE {which}")
    };
    let certificate = octets(bed.sql("SELECT certificate FROM issuer WHERE label = 'ca/v1'"));
    [
        format!("UPDATE issuer SET certificate = {certificate} WHERE label = 'ca/v1'"),
        row("policy", "settings", "id = id"),
        row("client", "registration", "id = 'direct'"),
    ]
}

/// The restore drill of docs/operations.md.
async fn a_backup_restores_a_service_only_with_its_token(builder: fn() -> Builder) {
    let bed = builder().start().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let backup = bed.dump("backup");
    bed.restore(&backup).await;
    signer.sign(V1, &sad, &hash).await.ok();
    signs(&signer).await;
    bed.cli(&["audit", "verify"], &[]).expect("audit verify");

    // Elsewhere, with tokens that are there but not these; the mails come to the same holder.
    let outbox = format!("{:?}", bed.dir().join("outbox"));
    let thief = builder().set("mail.outbox", &outbox).start().await;
    let sad = signer.sad(V1, &hash).await;
    let backup = bed.dump("backup-2");
    let [certificate, policy, direct] = own_rows(&thief);
    thief.stop().await;
    thief.replace_database(&backup);
    thief
        .terminal(None, &["serve"], &[])
        .refused("the policy is not what the service wrote");
    // One of his own, which his token wrote.
    thief.sql(&policy);
    thief
        .terminal(None, &["serve"], &[])
        .refused("of another key than the one in the HSM");
    thief.sql(&certificate);
    thief.start().await;
    let api = thief.api();
    let call = async |method: &str, body| api.call(V1, method, &signer.token, body).await;
    let id = json!({"credentialID": signer.credential.id});
    // Nobody is a client of whom his token has written nothing.
    call("credentials/info", id.clone())
        .await
        .unauthorised("invalid_token");
    thief.sql(&direct);
    call("credentials/info", id.clone()).await.ok();
    refused(&call("credentials/sendOTP", id).await);
    let code = signer.code().await;
    let body = signer.authorization(V1, &hash, 1, &code);
    refused(&call("credentials/authorize", body).await);
    call("signatures/signHash", signer.order(V1, &sad, &hash))
        .await
        .refused("Invalid parameter SAD");
    // The same SAD where it belongs.
    signer.sign(V1, &sad, &hash).await.ok();
}
