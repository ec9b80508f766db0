//! `credentials/list` (CSC API v1 11.4, v2 11.4).
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::collections::BTreeSet;

use conformance_tests::{Signer, V1, V2, shared};
use serde_json::{Value, json};

const METHOD: &str = "credentials/list";

fn ids(answer: &Value) -> Vec<String> {
    answer["credentialIDs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

/// A signer with three credentials; gives their identifiers.
fn three(signer: &Signer<'_>) -> BTreeSet<String> {
    let more = [
        signer.another_credential().id,
        signer.another_credential().id,
    ];
    more.into_iter()
        .chain([signer.credential.id.clone()])
        .collect()
}

#[tokio::test]
async fn a_holder_sees_every_credential_of_their_own_and_no_other() {
    let bed = shared().await;
    let (signer, other) = (bed.signer().await, bed.signer().await);
    let own = three(&signer);
    for version in [V1, V2] {
        let answer = signer.call(version, METHOD, json!({})).await.ok();
        assert_eq!(ids(&answer).into_iter().collect::<BTreeSet<_>>(), own);
        assert_eq!(
            ids(&other.call(version, METHOD, json!({})).await.ok()),
            [other.credential.id.as_str()]
        );
    }
}

#[tokio::test]
async fn a_holder_without_a_credential_gets_an_empty_list() {
    let bed = shared().await;
    let token = bed.log_in(&bed.holder()).await;
    for version in [V1, V2] {
        let answer = bed
            .api()
            .call(version, METHOD, &token, json!({}))
            .await
            .ok();
        assert_eq!(answer["credentialIDs"], json!([]));
    }
}

#[tokio::test]
async fn v1_pages_show_every_credential_once() {
    let signer = shared().await.signer().await;
    let own = three(&signer);
    for size in [1, 2, 3] {
        let mut seen = Vec::new();
        let mut request = json!({"maxResults": size});
        loop {
            let answer = signer.call(V1, METHOD, request.clone()).await.ok();
            let page = ids(&answer);
            assert!(page.len() <= size, "{answer}");
            seen.extend(page);
            assert!(seen.len() <= own.len(), "pages repeat: {seen:?}");
            match answer.get("nextPageToken") {
                Some(token) => request["pageToken"] = token.clone(),
                None => break,
            }
        }
        assert_eq!(seen.len(), own.len(), "no repeats");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), own);
    }
}

#[tokio::test]
async fn v1_a_page_size_that_makes_no_sense_is_the_server_s_own() {
    let signer = shared().await.signer().await;
    for size in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1_000_000_000),
        json!("x"),
        json!(null),
    ] {
        let answer = signer
            .call(V1, METHOD, json!({"maxResults": size}))
            .await
            .ok();
        assert_eq!(ids(&answer).len(), 1, "maxResults {size}");
        assert!(answer.get("nextPageToken").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn v1_an_unknown_page_is_refused() {
    let signer = shared().await.signer().await;
    for page in [json!("garbage"), json!(5)] {
        signer
            .call(V1, METHOD, json!({"pageToken": page}))
            .await
            .refused("Invalid parameter pageToken");
    }
}

#[tokio::test]
async fn a_holder_s_own_token_takes_no_user_id() {
    let signer = shared().await.signer().await;
    for version in [V1, V2] {
        for user in [&signer.holder.name, "somebody"] {
            let answer = signer.call(version, METHOD, json!({"userID": user})).await;
            answer.refused("userID parameter MUST be null");
        }
        for user in [json!(""), json!(null)] {
            signer
                .call(version, METHOD, json!({"userID": user}))
                .await
                .ok();
        }
    }
}

#[tokio::test]
async fn v2_details_come_only_when_asked_for_one_entry_a_credential() {
    let signer = shared().await.signer().await;
    three(&signer);
    let plain = signer
        .call(V2, METHOD, json!({"certInfo": true}))
        .await
        .ok();
    assert!(plain.get("credentialInfos").is_none(), "{plain}");
    let answer = signer
        .call(V2, METHOD, json!({"credentialInfo": true}))
        .await
        .ok();
    let infos = answer["credentialInfos"].as_array().unwrap();
    let of_infos: Vec<_> = infos
        .iter()
        .map(|info| info["credentialID"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(of_infos, ids(&answer));
}

#[tokio::test]
async fn v2_a_list_s_entry_is_what_credentials_info_answers() {
    let signer = shared().await.signer().await;
    for certificates in ["none", "single", "chain"] {
        for detail in [false, true] {
            let mut request =
                json!({"certificates": certificates, "certInfo": detail, "authInfo": detail});
            request["credentialInfo"] = json!(true);
            let list = signer.call(V2, METHOD, request.clone()).await.ok();
            let mut entry = list["credentialInfos"][0].clone();
            assert_eq!(
                entry.as_object_mut().unwrap().remove("credentialID"),
                Some(json!(signer.credential.id))
            );
            request["credentialID"] = json!(signer.credential.id);
            let mut info = signer.call(V2, "credentials/info", request).await.ok();
            info.as_object_mut().unwrap().remove("credentialID");
            assert_eq!(entry, info, "certificates {certificates}, details {detail}");
        }
    }
}

#[tokio::test]
async fn v2_only_valid_is_confirmed_when_it_was_asked_for() {
    let signer = shared().await.signer().await;
    let answer = signer
        .call(V2, METHOD, json!({"onlyValid": true}))
        .await
        .ok();
    assert_eq!(answer["onlyValid"], true);
    assert_eq!(ids(&answer), [signer.credential.id.as_str()]);
    let answer = signer.call(V2, METHOD, json!({})).await.ok();
    assert_ne!(answer.get("onlyValid"), Some(&json!(true)));
}

#[tokio::test]
async fn v2_refuses_unknown_kinds_of_certificates() {
    let signer = shared().await.signer().await;
    for kind in [json!("all"), json!(5)] {
        let answer = signer
            .call(
                V2,
                METHOD,
                json!({"credentialInfo": true, "certificates": kind}),
            )
            .await;
        answer.refused("Invalid parameter certificates");
    }
}

#[tokio::test]
async fn a_switch_is_a_boolean() {
    let signer = shared().await.signer().await;
    for name in ["credentialInfo", "certInfo", "authInfo", "onlyValid"] {
        let mut request = json!({"credentialInfo": true});
        request[name] = json!("true");
        signer
            .call(V2, METHOD, request)
            .await
            .refused_as("invalid_request");
    }
}
