//! What stands in the database is checked when it is used: states that refuse, and edits that open nothing.

use conformance_tests::{Answer, Credential, Signer, V1, V2, Version, digest, shared_on_postgres};
use serde_json::json;

const DISABLED: &str = "The credential identified by credentialID is disabled";

/// Changes columns of a credential behind the service's back.
async fn edit(credential: &Credential, columns: &str) {
    let statement = format!(
        "update credential set {columns} where id = '{}'",
        credential.id
    );
    shared_on_postgres().await.sql(&statement);
}

/// An integrity check that fails is alarmed in the log; to the caller the SAD is none.
fn broken(answer: Answer) {
    answer.refused("Invalid parameter SAD");
}

async fn info(signer: &Signer<'_>, version: Version) -> serde_json::Value {
    let body = json!({"credentialID": signer.credential.id});
    signer.call(version, "credentials/info", body).await.ok()
}

#[tokio::test]
async fn a_suspended_credential_is_disabled_even_for_a_sad_from_before() {
    let signer = shared_on_postgres().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let code = signer.code().await;
        edit(&signer.credential, "status = 'suspended'").await;
        signer.sign(version, &sad, &hash).await.refused(DISABLED);
        signer.extend(version, &sad, &hash).await.refused(DISABLED);
        let body = signer.authorization(version, &hash, 1, &code);
        let answer = signer.call(version, "credentials/authorize", body).await;
        answer.refused(DISABLED);
        let info = info(&signer, version).await;
        assert_eq!(
            (&info["key"]["status"], &info["cert"]["status"]),
            (&json!("disabled"), &json!("suspended"))
        );
        if version == V2 {
            let list = signer
                .call(V2, "credentials/list", json!({"onlyValid": true}))
                .await
                .ok();
            assert_eq!(list["credentialIDs"], json!([]));
        }
        edit(&signer.credential, "status = 'active'").await;
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn an_expired_certificate_is_named_and_signs_nothing() {
    let signer = shared_on_postgres().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        let code = signer.code().await;
        edit(&signer.credential, "not_after = not_after - 1000000000000").await;
        let text = match version {
            V1 => "Signing certificate 'O=,CN=Alice Rossi' is expired.",
            V2 => "Signing certificate is expired",
        };
        signer.sign(version, &sad, &hash).await.refused(text);
        let body = signer.authorization(version, &hash, 1, &code);
        let answer = signer.call(version, "credentials/authorize", body).await;
        answer.refused(DISABLED);
        let info = info(&signer, version).await;
        assert_eq!(
            (&info["key"]["status"], &info["cert"]["status"]),
            (&json!("disabled"), &json!("expired"))
        );
        edit(&signer.credential, "not_after = not_after + 1000000000000").await;
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_blocked_holder_neither_logs_in_nor_signs() {
    let bed = shared_on_postgres().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    let name = &signer.holder.name;
    bed.sql(&format!(
        "update holder set status = 'blocked' where user_name = '{name}'"
    ));
    for version in [V1, V2] {
        signer
            .sign(version, &sad, &hash)
            .await
            .unauthorised("expired_token");
        let api = bed.api();
        let answer = api.login(version, name, &signer.holder.password, json!({}));
        answer.await.refused_as("authentication_error");
    }
}

#[tokio::test]
async fn an_edited_credential_opens_nothing() {
    let bed = shared_on_postgres().await;
    let other = bed.signer().await.credential.id;
    let of_other =
        |column| format!("{column} = (select {column} from credential where id = '{other}')");
    for columns in [
        of_other("certificate"),
        of_other("key_blob"),
        of_other("factor"),
        of_other("record_mac"),
        "not_before = not_before - 1000".to_owned(),
        "not_after = not_after + 1000".to_owned(),
    ] {
        let signer = bed.signer().await;
        let hash = [digest("contract")];
        let sad = signer.sad(V1, &hash).await;
        edit(&signer.credential, &columns).await;
        broken(signer.sign(V1, &sad, &hash).await);
    }
    // Another's PIN does not open this key, although it passes for the right one.
    let (signer, thief) = (bed.signer().await, bed.signer().await);
    let pin = &thief.credential;
    let columns = ["w_pin", "pin_check", "pin_salt", "pin_cost"];
    let of_thief = |column| {
        format!(
            "{column} = (select {column} from credential where id = '{}')",
            pin.id
        )
    };
    edit(&signer.credential, &columns.map(of_thief).join(", ")).await;
    let mut body = signer.authorization(V1, &[digest("contract")], 1, &signer.code().await);
    body["PIN"] = json!(pin.pin);
    let answer = signer.call(V1, "credentials/authorize", body).await;
    assert_ne!(answer.status, 200, "{answer:?}");
}

/// Changes columns of the activation that this SAD belongs to.
async fn edit_activation(sad: &str, columns: &str) {
    let id = sad.split('.').next().unwrap_or_default();
    let statement = format!("update activation set {columns} where id = '{id}'");
    shared_on_postgres().await.sql(&statement);
}

#[tokio::test]
async fn an_edited_approval_opens_nothing() {
    let signer = shared_on_postgres().await.signer().await;
    for version in [V1, V2] {
        let [approved, smuggled] = ["approved", "smuggled"].map(digest);
        let sad = signer.sad(version, &[approved]).await;
        let (from, to) = (hex::encode(approved), hex::encode(smuggled));
        let edited = format!("replace(convert_from(content, 'UTF8'), '{from}', '{to}')");
        edit_activation(&sad, &format!("content = convert_to({edited}, 'UTF8')")).await;
        broken(signer.sign(version, &sad, &[smuggled]).await);
    }
}

#[tokio::test]
async fn a_sad_that_was_moved_to_another_client_serves_neither() {
    let bed = shared_on_postgres().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let token = bed.client_token(&client).await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    edit_activation(&sad, &format!("client = '{}'", client.id)).await;
    let order = signer.order(V1, &sad, &hash);
    let answer = bed
        .api()
        .call(V1, "signatures/signHash", &token, order)
        .await;
    answer.refused("Invalid parameter SAD");
    let answer = signer.sign(V1, &sad, &hash).await;
    answer.refused("Invalid parameter SAD");
}

#[tokio::test]
async fn a_used_sad_whose_row_was_put_back_signs_nothing_more() {
    let bed = shared_on_postgres().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    signer.sign(V1, &sad, &hash).await.ok();
    edit_activation(&sad, "state = 'active', remaining = 1").await;
    let answer = signer.sign(V1, &sad, &hash).await;
    assert_ne!(answer.status, 200, "{answer:?}");
    let arguments = ["history", "--credential", &signer.credential.id];
    let history = bed.cli(&arguments, &[]).expect("history");
    assert_eq!(history.lines().count(), 1, "{history}");
}
