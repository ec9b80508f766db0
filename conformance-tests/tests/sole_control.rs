//! What a SAD is good for, and what it is not (CSC API v1 11.6 to 11.9): no signature without an approval of its own.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use conformance_tests::{Answer, Signer, TestBed, V1, V2, Version, digest, shared};
use serde_json::json;

fn dead(answer: Answer) {
    answer.refused("Invalid parameter SAD");
}

fn not_authorised(version: Version, answer: Answer) {
    answer.refused(match version {
        V1 => "Hash is not authorized by the SAD.",
        V2 => "Hash is not authorized by the SAD",
    });
}

#[tokio::test]
async fn a_spent_sad_signs_nothing() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        signer.sign(version, &sad, &hash).await.ok();
        dead(signer.sign(version, &sad, &hash).await);
    }
}

#[tokio::test]
async fn a_sad_with_signatures_left_wants_an_extension_first() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        signer.sign(version, &sad, &hashes[..1]).await.ok();
        dead(signer.sign(version, &sad, &hashes[1..]).await);
        let sad = signer
            .extend(version, &sad, &hashes[1..])
            .await
            .text_of("SAD");
        signer.sign(version, &sad, &hashes[1..]).await.ok();
    }
}

#[tokio::test]
async fn a_hash_that_was_not_approved_is_not_signed() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        not_authorised(
            version,
            signer
                .sign(version, &sad, &[digest("another contract")])
                .await,
        );
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_hash_approved_once_is_not_signed_twice() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes).await;
        not_authorised(
            version,
            signer.sign(version, &sad, &[hashes[0], hashes[0]]).await,
        );
        signer.sign(version, &sad, &hashes).await.ok();
    }
}

#[tokio::test]
async fn one_hash_too_many_and_nothing_is_signed() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hashes = ["first", "second"].map(digest);
        let sad = signer.sad(version, &hashes[..1]).await;
        signer
            .sign(version, &sad, &hashes)
            .await
            .refused_as("invalid_request");
        signer.sign(version, &sad, &hashes[..1]).await.ok();
    }
}

#[tokio::test]
async fn a_sad_of_either_version_is_the_same_sad() {
    let signer = shared().await.signer().await;
    for (one, other) in [(V1, V2), (V2, V1)] {
        let hash = [digest("contract")];
        let sad = signer.sad(one, &hash).await;
        signer.sign(other, &sad, &hash).await.ok();
        dead(signer.sign(one, &sad, &hash).await);
    }
}

#[tokio::test]
async fn a_sad_works_for_its_credential_and_its_holder_only() {
    let bed = shared().await;
    for version in [V1, V2] {
        let (mut signer, stranger) = (bed.signer().await, bed.signer().await);
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;

        dead(stranger.sign(version, &sad, &hash).await);
        let order = signer.order(version, &sad, &hash);
        let theirs = stranger.call(version, "signatures/signHash", order).await;
        theirs.refused("Invalid parameter credentialID");
        let other = signer.another_credential();
        let own = std::mem::replace(&mut signer.credential, other);
        dead(signer.sign(version, &sad, &hash).await);
        dead(signer.extend(version, &sad, &hash).await);
        signer.credential = own;
        signer.sign(version, &sad, &hash).await.ok();
    }
}

#[tokio::test]
async fn a_sad_works_for_the_client_that_got_it_only() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let client = bed.client();
    bed.link(&client, &signer.holder);
    let token = bed.client_token(&client).await;
    let api = bed.api();
    let hash = [digest("contract")];
    for version in [V1, V2] {
        let client_signs = async |sad: &str| {
            let order = signer.order(version, sad, &hash);
            api.call(version, "signatures/signHash", &token, order)
                .await
        };
        let client_extends = async |sad: &str| {
            let body = signer.extension(version, sad, &hash);
            api.call(version, "credentials/extendTransaction", &token, body)
                .await
        };
        let sad = signer.sad(version, &hash).await;
        dead(client_signs(&sad).await);
        dead(client_extends(&sad).await);

        let body = signer.authorization(version, &hash, 1, &signer.code().await);
        let theirs = api
            .call(version, "credentials/authorize", &token, body)
            .await
            .text_of("SAD");
        dead(signer.sign(version, &theirs, &hash).await);
        dead(signer.extend(version, &theirs, &hash).await);
        client_signs(&theirs).await.ok();
        signer.sign(version, &sad, &hash).await.ok();
    }
}

/// The token thief: he has an access token out of a log, the rows of the database that go with it, and neither PIN nor code (T-04).
#[tokio::test]
async fn a_stolen_access_token_signs_nothing() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("a contract nobody read")];
    let own_pin = bed.signer().await.credential.pin;
    for version in [V1, V2] {
        let guess = async |pin: &str, code: &str| {
            let mut body = signer.authorization(version, &hash, 1, code);
            match version {
                V1 => body["PIN"] = json!(pin),
                V2 => body["authData"][0]["value"] = json!(pin),
            }
            signer.call(version, "credentials/authorize", body).await
        };
        // Codes go to the holder, and one that was never sent is none: the PIN is not even looked at.
        let never_sent = guess(&signer.credential.pin, "00000000").await;
        assert_ne!(never_sent.status, 200, "{never_sent:?}");
        let wrong_pin = guess(&own_pin, &signer.code().await).await;
        assert_ne!(wrong_pin.status, 200, "{wrong_pin:?}");

        // A live approval, of which the log and the database name all but the secret.
        let sad = signer.sad(version, &hash).await;
        let (row, secret) = sad.split_once('.').expect("two parts");
        let mut other: Vec<_> = secret.chars().collect();
        other[0] = if other[0] == 'A' { 'B' } else { 'A' };
        let other: String = other.into_iter().collect();
        let of_row = bed.sql(&format!(
            "SELECT secret_hash FROM activation WHERE id = '{row}'"
        ));
        for made_up in [
            row,
            &format!("{row}."),
            &format!("{row}.{other}"),
            &format!("{row}.{of_row}"),
        ] {
            let answer = signer.sign(version, made_up, &hash).await;
            assert_ne!(answer.status, 200, "{made_up}: {answer:?}");
        }
        // What opens is what the holder's side has.
        signer.sign(version, &sad, &hash).await.ok();
    }
    // What rests of a token is no token.
    let rows = bed.sql("SELECT hash FROM token");
    let known = rows.lines().next().expect("a token rests");
    let api = bed.api();
    let answer = api.call(V2, "credentials/list", known, json!({})).await;
    answer.unauthorised("invalid_token");
}

#[tokio::test]
async fn a_sad_is_no_access_token_and_an_access_token_is_no_sad() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hash = [digest("contract")];
    let sad = signer.sad(V1, &hash).await;
    bed.api()
        .call(V1, "credentials/list", &sad, json!({}))
        .await
        .unauthorised("invalid_token");
    dead(signer.sign(V1, &signer.token, &hash).await);
}

#[tokio::test]
async fn a_revoked_sad_signs_nothing() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        let hash = [digest("contract")];
        let sad = signer.sad(version, &hash).await;
        signer
            .call(version, "auth/revoke", json!({"token": sad}))
            .await
            .done();
        dead(signer.sign(version, &sad, &hash).await);
        dead(signer.extend(version, &sad, &hash).await);
    }
}

/// Whatever is asked of the service, by a client or by an operator, nothing of a sealed key is in an answer (SC-18).
#[tokio::test]
async fn no_answer_and_no_command_gives_out_a_key() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let (id, hash) = (signer.credential.id.as_str(), [digest("contract")]);
    let mut said = String::new();
    for version in [V1, V2] {
        let everything = json!({"credentialID": id, "certificates": "chain", "certInfo": true, "authInfo": true});
        let listed = json!({"credentialInfo": true, "certificates": "chain", "certInfo": true, "authInfo": true});
        let sad = signer.sad(version, &hash).await;
        for (method, body) in [
            (
                "credentials/list",
                if version == V1 { json!({}) } else { listed },
            ),
            ("credentials/info", everything),
            (
                "credentials/extendTransaction",
                signer.extension(version, &sad, &hash),
            ),
        ] {
            said += &signer.call(version, method, body).await.body.to_string();
        }
        let authorized = signer.authorize(version, &hash, 1).await;
        said += &authorized.body.to_string();
        let sad = authorized.text_of("SAD");
        said += &signer.sign(version, &sad, &hash).await.body.to_string();
    }
    for command in [
        &["audit", "export"][..],
        &["audit", "export", "--credential", id],
        &["audit", "export", "--holder", &signer.holder.name],
        &["audit", "key"],
        &["ca", "certificate"],
        &["history", "--credential", id],
        &["otp", "list", "--holder", &signer.holder.name],
        &["slot", "rotation"],
        &["operator", "list"],
        &["policy", "show"],
    ] {
        let ran = bed.cli(command, &[]);
        assert!(ran.success, "{command:?}: {}", ran.stderr);
        said += &ran.stdout;
    }
    assert!(said.contains(id) && said.len() > 10_000);
    let sealed = format!(
        "SELECT key_blob FROM credential WHERE id = '{id}' UNION SELECT w_pin FROM credential WHERE id = '{id}'
         UNION SELECT pin_check FROM credential WHERE id = '{id}' UNION SELECT wrapped FROM activation WHERE credential = '{id}'"
    );
    let sealed = bed.sql(&sealed);
    assert!(sealed.lines().count() >= 5, "key, PIN and SADs: {sealed}");
    for value in sealed.lines() {
        let octets = hex::decode(value).expect("octets");
        for text in [
            value.to_owned(),
            value.to_uppercase(),
            STANDARD.encode(&octets).trim_end_matches('=').to_owned(),
            URL_SAFE_NO_PAD.encode(&octets),
        ] {
            assert!(!said.contains(&text), "{text} is in an answer");
        }
    }
}

#[tokio::test]
async fn every_signature_stands_in_the_holder_s_history() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let hashes = ["first", "second"].map(digest);
    let sad = signer.sad(V2, &hashes).await;
    signer
        .sign(V2, &sad, &[digest("never approved")])
        .await
        .refused_as("invalid_request");
    signer.sign(V2, &sad, &hashes).await.ok();
    let printed = history(bed, &signer);
    let rows: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let signed: Vec<_> = rows.iter().map(|row| row["hash"].clone()).collect();
    assert_eq!(
        serde_json::Value::from(signed),
        conformance_tests::digests(&hashes),
        "{printed}"
    );
    assert!(
        rows.iter()
            .all(|row| row["activation"] == rows[0]["activation"]),
        "{printed}"
    );
    assert!(!printed.contains(&sad), "the history tells no secret");
}

fn history(bed: &TestBed, signer: &Signer<'_>) -> String {
    bed.cli(&["history", "--credential", &signer.credential.id], &[])
        .expect("history")
}
