//! What clients may write beyond the letter, each by its switch, and nobody without it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use conformance_tests::{Answer, COMMON, Client, Signer, TestBed, V1, V2, digest, shared};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// A client that may see the holder, with these switches.
async fn client(bed: &TestBed, signer: &Signer<'_>, switches: &[&str]) -> (Client, String) {
    let switches: String = switches
        .iter()
        .map(|name| format!("{name} = true\n"))
        .collect();
    let client = bed.client_from(&format!("name = 'A client'\n[switches]\n{switches}"));
    bed.link(&client, &signer.holder);
    let token = bed.client_token(&client).await;
    (client, token)
}

/// Asks as a client without any switch, then as one with this one; the second use is counted.
async fn both(
    switch: &str,
    ask: impl AsyncFn(&TestBed, &Signer<'_>, &Client, &str) -> Answer,
) -> [Answer; 2] {
    let bed = shared().await;
    let signer = bed.signer().await;
    let (strict, strict_token) = client(bed, &signer, &[]).await;
    let (lenient, lenient_token) = client(bed, &signer, &[switch]).await;
    let answers = [
        ask(bed, &signer, &strict, &strict_token).await,
        ask(bed, &signer, &lenient, &lenient_token).await,
    ];
    let admin = bed.admin();
    let metrics = admin
        .send(admin.request(Method::GET, "/metrics"))
        .await
        .text;
    let counted = |client: &Client| {
        metrics.contains(&format!(
            "csc_leniency_total{{client=\"{}\",switch=\"{switch}\"}}",
            client.id
        ))
    };
    assert!(counted(&lenient), "{switch} is not counted");
    assert!(
        !counted(&strict),
        "{switch} is counted for who does not have it"
    );
    answers
}

/// Authorises with a wrong code: refused for the code alone when everything else is understood.
fn authorization(signer: &Signer<'_>) -> Value {
    signer.authorization(V2, &[digest("one")], 1, "00000000")
}

const WRONG_CODE: &str = "The authentication data is invalid";

#[tokio::test]
async fn hashes_in_json_may_be_base64url() {
    let [strict, lenient] = both("base64url_in_json", async |bed, signer, _, token| {
        let mut body = authorization(signer);
        // Without padding it is not the standard's in any case.
        body["hashes"] = json!([BASE64_URL_SAFE_NO_PAD.encode(digest("one"))]);
        bed.api()
            .call(V2, "credentials/authorize", token, body)
            .await
    })
    .await;
    strict.refused("Invalid Base64 hash string parameter");
    lenient.failed(400, "invalid_authentication_data", WRONG_CODE);
}

#[tokio::test]
async fn factors_may_stand_beside_the_other_members() {
    let [strict, lenient] = both("top_level_factors", async |bed, signer, _, token| {
        let mut body = authorization(signer);
        body["authData"] = Value::Null;
        body["PIN"] = json!(signer.credential.pin);
        body["OTP"] = json!("00000000");
        bed.api()
            .call(V2, "credentials/authorize", token, body)
            .await
    })
    .await;
    strict.refused("Missing (or invalid type) array parameter authData");
    lenient.failed(400, "invalid_authentication_data", WRONG_CODE);
}

#[tokio::test]
async fn names_of_v1_may_stand_under_v2() {
    let [strict, lenient] = both("v1_names_in_v2", async |bed, signer, _, token| {
        let mut body = authorization(signer);
        body["hash"] = body["hashes"].take();
        body["hashAlgorithmOID"] = Value::Null;
        bed.api()
            .call(V2, "credentials/authorize", token, body)
            .await
    })
    .await;
    strict.refused("Missing (or invalid type) array parameter hashes");
    lenient.failed(400, "invalid_authentication_data", WRONG_CODE);
}

#[tokio::test]
async fn members_may_be_in_snake_case() {
    let [strict, lenient] = both("snake_case_members", async |bed, signer, _, token| {
        let body =
            json!({"user_id": signer.holder.name, "credentialInfo": true, "auth_info": true});
        bed.api().call(V2, "credentials/list", token, body).await
    })
    .await;
    strict.refused("Invalid parameter userID");
    assert!(lenient.ok()["credentialInfos"][0]["auth"]["objects"].is_array());
}

#[tokio::test]
async fn token_requests_may_have_their_parameters_in_the_url() {
    let [strict, lenient] = both("query_parameters", async |bed, _, client, _| {
        let url = format!(
            "/oauth2/token?grant_type=client_credentials&client_id={}&client_secret={}",
            client.id, client.secret
        );
        let api = bed.api();
        api.send(api.post(&url)).await
    })
    .await;
    strict.refused(COMMON);
    lenient.text_of("access_token");
}

#[tokio::test]
async fn nothing_may_be_said_with_200() {
    let [strict, lenient] = both("empty_is_ok", async |bed, signer, _, token| {
        let body = json!({"credentialID": signer.credential.id});
        bed.api().call(V1, "credentials/sendOTP", token, body).await
    })
    .await;
    strict.done();
    assert_eq!(lenient.ok(), json!({}));
}

#[tokio::test]
async fn send_otp_may_be_called_under_v2() {
    let [strict, lenient] = both("send_otp_in_v2", async |bed, signer, _, token| {
        let body = json!({"credentialID": signer.credential.id});
        bed.api().call(V2, "credentials/sendOTP", token, body).await
    })
    .await;
    assert_eq!(strict.status, 501);
    lenient.done();
}

#[tokio::test]
async fn the_names_of_a_certificate_may_come_unasked() {
    let [strict, lenient] = both("certificate_names", async |bed, signer, _, token| {
        let body = json!({"credentialID": signer.credential.id});
        bed.api().call(V2, "credentials/info", token, body).await
    })
    .await;
    assert_eq!(strict.ok()["cert"].get("issuerDN"), None);
    let names = lenient.ok()["cert"].take();
    assert!(
        names["issuerDN"].is_string() && names["subjectDN"].is_string(),
        "{names}"
    );
}

#[tokio::test]
async fn a_list_of_v2_may_be_paged() {
    let [strict, lenient] = both("paging_in_v2", async |bed, signer, _, token| {
        let known = json!({"userID": signer.holder.name});
        let api = bed.api();
        if api.call(V2, "credentials/list", token, known).await.ok()["credentialIDs"]
            .as_array()
            .map(Vec::len)
            == Some(1)
        {
            signer.another_credential();
        }
        let body = json!({"userID": signer.holder.name, "maxResults": 1});
        api.call(V2, "credentials/list", token, body).await
    })
    .await;
    let (strict, lenient) = (strict.ok(), lenient.ok());
    assert_eq!(strict["credentialIDs"].as_array().map(Vec::len), Some(2));
    assert_eq!(lenient["credentialIDs"].as_array().map(Vec::len), Some(1));
    assert_eq!(lenient["nextPageToken"], lenient["credentialIDs"][0]);
}

#[tokio::test]
async fn scal_may_be_told_in_lower_case_too() {
    let [strict, lenient] = both("lower_case_scal", async |bed, signer, _, token| {
        let body = json!({"credentialID": signer.credential.id});
        bed.api().call(V2, "credentials/info", token, body).await
    })
    .await;
    assert_eq!(strict.ok().get("scal"), None);
    let lenient = lenient.ok();
    assert_eq!(lenient["scal"], lenient["SCAL"]);
}

#[tokio::test]
async fn a_sad_may_go_on_without_being_extended_and_signs_no_hash_twice() {
    let hashes = [digest("one"), digest("two")];
    let [strict, lenient] = both("sad_goes_on", async |bed, signer, _, token| {
        let api = bed.api();
        let known = json!({"credentialID": signer.credential.id});
        api.call(V1, "credentials/sendOTP", token, known)
            .await
            .done();
        let code = signer.holder.next_code().await;
        let body = signer.authorization(V2, &hashes, 2, &code);
        let sad = api
            .call(V2, "credentials/authorize", token, body)
            .await
            .text_of("SAD");
        let sign = async |hash| {
            let order = signer.order(V2, &sad, &[hash]);
            api.call(V2, "signatures/signHash", token, order).await
        };
        sign(hashes[0]).await.ok();
        sign(hashes[0]).await.refused_as("invalid_request");
        let second = sign(hashes[1]).await;
        sign(hashes[1]).await.refused("Invalid parameter SAD");
        second
    })
    .await;
    strict.refused("Invalid parameter SAD");
    lenient.ok();
}

#[tokio::test]
async fn what_a_sad_that_goes_on_approved_may_be_signed_at_the_same_time() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let (_, token) = client(bed, &signer, &["sad_goes_on"]).await;
    let hashes = ["one", "two", "three", "four"].map(digest);
    let api = bed.api();
    let known = json!({"credentialID": signer.credential.id});
    api.call(V1, "credentials/sendOTP", &token, known)
        .await
        .done();
    let code = signer.holder.next_code().await;
    let body = signer.authorization(V2, &hashes, 4, &code);
    let sad = api.call(V2, "credentials/authorize", &token, body).await;
    let sad = sad.text_of("SAD");
    let sign = async |hash| {
        let order = signer.order(V2, &sad, &[hash]);
        api.call(V2, "signatures/signHash", &token, order).await
    };

    for answer in join_all(hashes.into_iter().map(&sign)).await {
        answer.ok();
    }

    sign(hashes[0]).await.refused("Invalid parameter SAD");
}

#[tokio::test]
async fn members_of_asynchronous_operation_may_be_in_camel_case() {
    let [strict, lenient] = both("camel_case_async", async |bed, signer, _, token| {
        let mut body = signer.order(V2, "no.sad", &[digest("one")]);
        for (name, value) in [("operationMode", json!("A")), ("validityPeriod", json!(0))] {
            body[name] = value;
        }
        bed.api().call(V2, "signatures/signHash", token, body).await
    })
    .await;
    strict.refused("Invalid parameter SAD");
    lenient.refused("Out of bounds parameter validity_period");
}

#[tokio::test]
async fn validation_information_may_be_asked_for_by_its_long_name() {
    let [strict, lenient] = both("validation_information", async |bed, signer, _, token| {
        let body = json!({"credentialID": signer.credential.id, "SAD": "no.sad", "returnValidationInformation": "yes"});
        bed.api().call(V2, "signatures/signDoc", token, body).await
    })
    .await;
    strict.refused("Empty documentDigests and documents objects");
    lenient.refused("Invalid parameter returnValidationInfo");
}

#[tokio::test]
async fn info_may_be_got_where_holders_clients_want_it() {
    let bed = shared().await;
    let api = bed.api();
    let get = async || api.send(api.request(Method::GET, "/csc/v2/info")).await;
    assert_eq!(get().await.status, 405);
    let file = bed.secret_file("name = 'Direct'\ngrants = []\n[switches]\nget_info = true\n");
    let change = ["client", "change", "--id", "direct", "--from", &file];
    bed.cli(&change, &[]).expect("client change");
    assert_eq!(get().await.ok()["specs"], "2.2.0.0");
    let api_put = api.send(api.request(Method::PUT, "/csc/v2/info")).await;
    assert_eq!(api_put.status, 405);
    let file = bed.secret_file("name = 'Direct'\n");
    let change = ["client", "change", "--id", "direct", "--from", &file];
    bed.cli(&change, &[])
        .refused("has neither grants nor authentication");
}
