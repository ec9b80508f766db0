//! signatures/signDoc (CSC v2 11.11): what is approved is the document's digest; what comes back, validators that others wrote accept.
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use conformance_tests::{
    Answer, Digest, Refusal, Signer, TestBed, V1, V2, assert_refusals, command, digest, pdf,
    reports, shared,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const METHOD: &str = "signatures/signDoc";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const UNAUTHORISED: &str = "documentDigests or documents are not authorized by the SAD";

fn hash(document: &[u8]) -> Digest {
    Sha256::digest(document).into()
}

/// An entry of `documents`, with these members more.
fn document(octets: &[u8], format: &str, more: Value) -> Value {
    with(
        json!({"document": STANDARD.encode(octets), "signature_format": format, "signAlgo": ECDSA_SHA256}),
        more,
    )
}

fn with(mut entry: Value, more: Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        entry[name] = value.clone();
    }
    entry
}

fn order(signer: &Signer<'_>, sad: &str, more: Value) -> Value {
    with(
        json!({"credentialID": signer.credential.id, "SAD": sad}),
        more,
    )
}

async fn sign(signer: &Signer<'_>, sad: &str, more: Value) -> Answer {
    signer.call(V2, METHOD, order(signer, sad, more)).await
}

/// A SAD for digests of this type.
async fn typed(signer: &Signer<'_>, hashes: &[Digest], of: &str) -> String {
    let code = signer.code().await;
    let mut body = signer.authorization(V2, hashes, hashes.len(), &code);
    body["hashType"] = json!(of);
    signer
        .call(V2, "credentials/authorize", body)
        .await
        .text_of("SAD")
}

fn octets(answer: &Value, member: &str) -> Vec<Vec<u8>> {
    let values = answer[member].as_array().expect(member).iter();
    let values = values.map(|value| {
        STANDARD
            .decode(value.as_str().expect("text"))
            .expect("base64")
    });
    values.collect()
}

fn ca(bed: &TestBed) -> String {
    bed.cli(&["ca", "certificate"], &[])
        .expect("ca certificate")
}

/// The content of a CMS signature that OpenSSL finds valid as a CAdES one; `beside` is the content of a detached one.
fn verified(bed: &TestBed, cms: &[u8], beside: Option<&[u8]>) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("ca.pem"), ca(bed)).expect("it takes files");
    fs::write(dir.path().join("cms"), cms).expect("it takes files");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir.path()).args([
        "cms", "-verify", "-cades", "-binary", "-purpose", "any", "-inform", "DER", "-in", "cms",
        "-CAfile", "ca.pem", "-out", "content",
    ]);
    if let Some(content) = beside {
        fs::write(dir.path().join("beside"), content).expect("it takes files");
        openssl.args(["-content", "beside"]);
    }
    command(&mut openssl, &[]).expect("openssl cms -verify -cades");
    fs::read(dir.path().join("content")).expect("the content")
}

#[tokio::test(flavor = "multi_thread")]
async fn several_documents_in_several_formats_come_back_in_their_order() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let (contract, offer, notes) = (pdf("Contract"), pdf("Offer"), b"some notes".to_vec());
    let hashes = [&contract, &offer, &notes].map(|document| hash(document));
    let sad = typed(&signer, &hashes, "sdr").await;
    let text = |text: &str| STANDARD.encode(text);
    let said = json!([
        {"attribute_name": "Reason", "attribute_value": text("Approved")},
        {"attribute_name": "Location", "attribute_value": text("Torino")},
        {"attribute_name": "Name", "attribute_value": text("Alice the Signer")},
        {"attribute_name": "ContactInfo", "attribute_value": text("alice@example.test")},
    ]);
    let documents = json!([
        document(
            &offer,
            "P",
            json!({"signed_envelope_property": "Revision", "conformance_level": "Ades-B-B", "signed_props": said})
        ),
        document(&notes, "C", json!({})),
        document(&contract, "P", json!({})),
    ]);
    let answer = sign(
        &signer,
        &sad,
        json!({"documents": documents, "returnValidationInfo": true}),
    )
    .await
    .ok();

    let signed = octets(&answer, "DocumentWithSignature");
    assert_eq!(signed.len(), 3);
    assert!(answer.get("SignatureObject").is_none());
    assert!(answer["validationInfo"].is_object());
    for (signed, original, certified) in
        [(&signed[0], &offer, false), (&signed[2], &contract, true)]
    {
        assert!(signed.starts_with(original), "the original octets stay");
        let (poppler, pyhanko) = reports(signed, &ca(bed));
        assert!(
            poppler.contains("Signature Validation: Signature is Valid."),
            "{poppler}"
        );
        assert!(poppler.contains("Total document signed"), "{poppler}");
        assert!(
            pyhanko.contains("The signature is judged VALID."),
            "{pyhanko}"
        );
        let has = |part: &[u8]| signed.windows(part.len()).any(|found| found == part);
        assert_eq!(has(b"/DocMDP"), certified);
        // Text stands in hexadecimal.
        let says = [
            "Approved",
            "Torino",
            "Alice the Signer",
            "alice@example.test",
        ]
        .map(|text| has(hex::encode_upper(text).as_bytes()));
        assert_eq!(says, [!certified; 4]);
    }
    assert_eq!(verified(bed, &signed[1], None), notes);
    let log = bed.cli(&["audit", "export"], &[]).expect("audit export");
    let started = log
        .lines()
        .filter(|line| line.contains("SIGN_STARTED") && line.contains(&hex::encode(hashes[0])));
    assert_eq!(
        started.filter(|line| line.contains("derived")).count(),
        1,
        "both digests are told"
    );
    bed.inspect();
}

#[tokio::test]
async fn of_a_digest_there_is_a_signature_beside_the_document() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let [one, other, covered] = [&b"one"[..], b"other", b"what a byte range covers"];
    let sad = signer.sad(V2, &[one, other, covered].map(hash)).await;
    let digests = |hashes: Value, more: Value| {
        with(
            json!({"hashes": hashes, "signAlgo": ECDSA_SHA256, "hashAlgorithmOID": SHA256}),
            more,
        )
    };
    let encoded = [one, other, covered].map(|octets| STANDARD.encode(hash(octets)));
    let asked = json!([
        digests(
            json!([encoded[1], encoded[0]]),
            json!({"signature_format": "C"})
        ),
        digests(json!(encoded[2]), json!({"signature_format": "P"})),
    ]);
    let answer = sign(&signer, &sad, json!({"documentDigests": asked}))
        .await
        .ok();

    assert!(answer.get("DocumentWithSignature").is_none());
    let signatures = octets(&answer, "SignatureObject");
    for (signature, content) in signatures.iter().zip([other, one, covered]) {
        verified(bed, signature, Some(content));
    }
    // signing-time stands in the PDF, not in the signature (EN 319 142-1, 6.3).
    let signing_time = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
    let has_time = |cms: &Vec<u8>| cms.windows(9).any(|part| part == signing_time);
    assert_eq!(
        signatures.iter().map(has_time).collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn level_b_t_has_a_time_stamp_over_the_signature() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let (contract, notes) = (pdf("Stamped"), b"stamped notes".to_vec());
    let sad = typed(&signer, &[hash(&contract), hash(&notes)], "SDR").await;
    let stamped = json!({"conformance_level": "AdES-B-T"});
    let documents = json!([
        document(
            &notes,
            "C",
            with(
                stamped.clone(),
                json!({"signed_envelope_property": "Detached"})
            )
        ),
        document(&contract, "P", stamped),
    ]);
    let answer = sign(&signer, &sad, json!({"documents": documents}))
        .await
        .ok();

    let cms = octets(&answer, "SignatureObject").remove(0);
    verified(bed, &cms, Some(&notes));
    let (value, token) = stamp_of(&cms);
    let dir = tempfile::tempdir().expect("a directory");
    for (name, octets) in [
        ("ca.pem", ca(bed).as_bytes()),
        ("value", &value),
        ("token", &token),
    ] {
        fs::write(dir.path().join(name), octets).expect("it takes files");
    }
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir.path()).args([
        "ts",
        "-verify",
        "-token_in",
        "-in",
        "token",
        "-data",
        "value",
        "-CAfile",
        "ca.pem",
    ]);
    command(&mut openssl, &[]).expect("openssl ts -verify");
    let signed = octets(&answer, "DocumentWithSignature").remove(0);
    let (poppler, pyhanko) = reports(&signed, &ca(bed));
    assert!(
        poppler.contains("Signature Validation: Signature is Valid."),
        "{poppler}"
    );
    assert!(
        pyhanko.contains("The signature is judged VALID."),
        "{pyhanko}"
    );
    assert!(
        pyhanko.contains("The TST's signature is cryptographically sound")
            || pyhanko.to_lowercase().contains("timestamp token"),
        "{pyhanko}"
    );
}

/// The signature value of a CMS signature and the time-stamp token over it, read by asn1crypto.
fn stamp_of(cms: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const SCRIPT: &str = r"
import sys, base64
from asn1crypto import cms
signer = cms.ContentInfo.load(base64.b64decode(sys.stdin.read()))['content']['signer_infos'][0]
token = [a['values'][0] for a in signer['unsigned_attrs'] if a['type'].native == 'signature_time_stamp_token'][0]
print(signer['signature'].native.hex(), token.dump().hex())
";
    let mut python = Command::new(std::env::var("PYTHON").expect("PYTHON"));
    let printed = command(python.args(["-c", SCRIPT]), &[&STANDARD.encode(cms)])
        .expect("asn1crypto reads it");
    let (value, token) = printed.trim().split_once(' ').expect("two parts");
    (
        hex::decode(value).expect("hexadecimal"),
        hex::decode(token).expect("hexadecimal"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_first_signature_certifies_and_a_second_one_leaves_it_valid() {
    let bed = shared().await;
    let signer = bed.signer().await;
    let contract = pdf("Signed twice");
    let once = |octets: &[u8], more: Value| json!({"documents": [document(octets, "P", more)]});
    let sad = typed(&signer, &[hash(&contract)], "sdr").await;
    let answer = sign(&signer, &sad, once(&contract, json!({}))).await.ok();
    let certified = octets(&answer, "DocumentWithSignature").remove(0);

    let sad = typed(&signer, &[hash(&certified)], "sdr").await;
    sign(&signer, &sad, once(&certified, json!({})))
        .await
        .refused("Invalid parameter signed_envelope_property");
    let revision = json!({"signed_envelope_property": "Revision"});
    let answer = sign(&signer, &sad, once(&certified, revision)).await.ok();
    let signed = octets(&answer, "DocumentWithSignature").remove(0);
    let (poppler, pyhanko) = reports(&signed, &ca(bed));
    let valid = "Signature Validation: Signature is Valid.";
    assert_eq!(poppler.matches(valid).count(), 2, "{poppler}");
    let judged = "The signature is judged VALID.";
    assert_eq!(pyhanko.matches(judged).count(), 2, "{pyhanko}");
}

/// SC-62.
#[tokio::test]
async fn only_the_document_that_was_approved_is_signed_and_only_as_what_it_was_approved() {
    let signer = shared().await.signer().await;
    let approved = b"approved".to_vec();
    let entry = |octets: &[u8]| json!({"documents": [document(octets, "C", json!({}))]});

    let sad = typed(&signer, &[hash(&approved)], "sdr").await;
    sign(&signer, &sad, entry(b"another"))
        .await
        .refused(UNAUTHORISED);
    let twice = json!({"documents": [document(&approved, "C", json!({})), document(&approved, "C", json!({}))]});
    sign(&signer, &sad, twice).await.refused(UNAUTHORISED);
    signer
        .sign(V2, &sad, &[hash(&approved)])
        .await
        .refused("Hash is not authorized by the SAD");
    signer
        .sign(V1, &sad, &[hash(&approved)])
        .await
        .refused("Hash is not authorized by the SAD.");
    sign(&signer, &sad, entry(&approved)).await.ok();
    sign(&signer, &sad, entry(&approved))
        .await
        .refused("Invalid parameter SAD");

    let sad = typed(&signer, &[hash(&approved)], "dtbsr").await;
    sign(&signer, &sad, entry(&approved))
        .await
        .refused(UNAUTHORISED);
    signer.sign(V2, &sad, &[hash(&approved)]).await.ok();

    let digest = json!({"hashes": STANDARD.encode(hash(&approved)), "signature_format": "C", "signAlgo": ECDSA_SHA256});
    let sad = signer.sad(V2, &[digest_of_nothing()]).await;
    sign(&signer, &sad, json!({"documentDigests": [digest]}))
        .await
        .refused(UNAUTHORISED);
    let code = signer.code().await;
    let mut body = signer.authorization(V2, &[hash(&approved)], 1, &code);
    body["hashType"] = json!("sodr");
    signer
        .call(V2, "credentials/authorize", body)
        .await
        .refused("Invalid parameter hashType");
}

fn digest_of_nothing() -> Digest {
    digest("nothing that is signed")
}

#[tokio::test]
async fn each_wrong_parameter_is_named() {
    let signer = shared().await.signer().await;
    let notes = b"notes".to_vec();
    let sad = typed(&signer, &[hash(&notes)], "sdr").await;
    let good = order(
        &signer,
        &sad,
        json!({"documents": [document(&notes, "C", json!({}))]}),
    );
    let entry = |more: Value| json!({"documents": [document(&notes, "C", more)]});
    let of_pdf = |more: Value| json!({"documents": [document(&notes, "P", more)]});
    let digests = |more: Value| {
        let entry = json!({"hashes": [STANDARD.encode(hash(&notes))], "signature_format": "C", "signAlgo": ECDSA_SHA256});
        json!({"documents": null, "documentDigests": [with(entry, more)]})
    };
    let missing = |name: &str| format!("Missing (or invalid type) string parameter {name}");
    let invalid = |name: &str| format!("Invalid parameter {name}");
    let property =
        |name: &str| json!({"signed_props": [{"attribute_name": name, "attribute_value": "QQ=="}]});
    let rows: Vec<(Value, String)> = vec![
        (json!({"SAD": null}), missing("SAD")),
        (json!({"SAD": 1}), missing("SAD")),
        (json!({"SAD": "x.y"}), invalid("SAD")),
        (json!({"credentialID": null}), missing("credentialID")),
        (json!({"credentialID": "nobody's"}), invalid("credentialID")),
        (
            json!({"signatureQualifier": "eu_eidas_qes"}),
            invalid("signatureQualifier"),
        ),
        (
            json!({"documents": null}),
            "Empty documentDigests and documents objects".into(),
        ),
        (
            json!({"documents": []}),
            "Empty documentDigests and documents objects".into(),
        ),
        (
            json!({"documents": {}}),
            "Invalid array parameter documents".into(),
        ),
        (
            json!({"documents": [1]}),
            "Invalid array parameter documents".into(),
        ),
        (
            json!({"documents": null, "documentDigests": "x"}),
            "Invalid object parameter documentDigests".into(),
        ),
        (
            json!({"documents": null, "documentDigests": [{}]}),
            "Invalid object parameter documentDigests".into(),
        ),
        (
            json!({"documentDigests": []}),
            "Both documentDigests and documents parameters passed".into(),
        ),
        (
            digests(json!({"hashes": "no base64"})),
            "Invalid Base64 hashes string parameter".into(),
        ),
        (
            digests(json!({"hashes": ["AAAA"]})),
            "Invalid digest value length".into(),
        ),
        (
            digests(json!({"signed_envelope_property": "Attached"})),
            invalid("signed_envelope_property"),
        ),
        (
            digests(json!({"hashAlgorithmOID": "1.3.14.3.2.26"})),
            invalid("hashAlgorithmOID"),
        ),
        (
            digests(json!({"hashAlgorithmOID": "2.16.840.1.101.3.4.2.3"})),
            "String parameter hashAlgorithmOID contradicts with signAlgo parameter".into(),
        ),
        (
            entry(json!({"document": "no base64"})),
            "Invalid Base64 documents string parameter".into(),
        ),
        (entry(json!({"signAlgo": null})), missing("signAlgo")),
        (
            entry(json!({"signAlgo": "1.2.840.10045.4.3.1"})),
            invalid("signAlgo"),
        ),
        (
            entry(json!({"signAlgo": "1.2.840.113549.1.1.11"})),
            invalid("signAlgo"),
        ),
        (
            entry(json!({"signAlgo": "1.2.840.113549.1.1.10"})),
            missing("signAlgoParams"),
        ),
        (
            entry(json!({"signature_format": null})),
            missing("signature_format"),
        ),
        (
            entry(json!({"signature_format": "X"})),
            invalid("signature_format"),
        ),
        (
            entry(json!({"signature_format": "J"})),
            invalid("signature_format"),
        ),
        (
            entry(json!({"signature_format": "c"})),
            invalid("signature_format"),
        ),
        (
            entry(json!({"conformance_level": "AdES-B-LT"})),
            invalid("conformance_level"),
        ),
        (
            entry(json!({"conformance_level": "AdES-B-X"})),
            invalid("conformance_level"),
        ),
        (
            entry(json!({"conformance_level": 1})),
            invalid("conformance_level"),
        ),
        (
            entry(json!({"signed_envelope_property": "Parallel"})),
            invalid("signed_envelope_property"),
        ),
        (
            entry(json!({"signed_envelope_property": "Revision"})),
            invalid("signed_envelope_property"),
        ),
        (
            of_pdf(json!({"signed_envelope_property": "Attached"})),
            invalid("signed_envelope_property"),
        ),
        (
            entry(property("commitment-type-indication")),
            "Invalid parameter signed_props (commitment-type-indication)".into(),
        ),
        (
            of_pdf(property("1.2.3")),
            "Invalid parameter signed_props (1.2.3)".into(),
        ),
        (
            of_pdf(json!({"signed_props": [{"attribute_name": "Reason"}]})),
            "Invalid parameter signed_props (Reason)".into(),
        ),
        (entry(json!({"signed_props": {}})), invalid("signed_props")),
        (
            of_pdf(json!({})),
            "Invalid parameter documents (the file is not a PDF)".into(),
        ),
        (
            json!({"returnValidationInfo": "yes"}),
            invalid("returnValidationInfo"),
        ),
        (json!({"operationMode": "X"}), invalid("operationMode")),
        (json!({"clientData": 1}), invalid("clientData")),
    ];
    let rows = rows
        .into_iter()
        .map(|(change, text)| Refusal::new(change, text));
    let api = signer.bed().api();
    assert_refusals(&api, V2, METHOD, &signer.token, &good, rows).await;
    // Nothing of all that was counted.
    signer.call(V2, METHOD, good).await.ok();
}

#[tokio::test]
async fn a_qualifier_finds_the_credential_of_the_sad() {
    let signer = shared().await.signer().await;
    let notes = b"notes".to_vec();
    let sad = signer.sad(V2, &[hash(&notes)]).await;
    let mut body = order(
        &signer,
        &sad,
        json!({"documents": [document(&notes, "C", json!({}))]}),
    );
    body["credentialID"] = Value::Null;
    body["signatureQualifier"] = json!("eu_eidas_qes");
    signer
        .call(V2, METHOD, body.clone())
        .await
        .refused("Invalid parameter signatureQualifier");
    body["signatureQualifier"] = json!("eu_eidas_aes");
    signer.call(V2, METHOD, body).await.ok();
}

#[tokio::test]
async fn a_large_document_is_signed_and_one_too_large_is_not_read() {
    let bed = TestBed::builder()
        .set("document.max_body_bytes", "4000000")
        .start()
        .await;
    let signer = bed.signer().await;
    let notes = vec![7; 2_500_000];
    let sad = signer.sad(V2, &[hash(&notes)]).await;
    let asked = |octets: &[u8]| json!({"documents": [document(octets, "C", json!({}))]});
    let refused = sign(&signer, &sad, asked(&vec![7; 3_000_000])).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    let answer = sign(&signer, &sad, asked(&notes)).await.ok();
    assert_eq!(
        verified(&bed, &octets(&answer, "DocumentWithSignature")[0], None),
        notes
    );
}
