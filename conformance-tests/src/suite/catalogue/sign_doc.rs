//! `signatures/signDoc` (CSC API v2 11.11).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, broken, must},
        cms::Signed,
        context::{Context, Document, set},
        refusal::{any, list, text},
        wire::Answer,
    },
    Chapter, with, without,
};

const METHOD: &str = "signatures/signDoc";

/// A request to sign these documents as CAdES.
fn order(context: &Context<'_>, sad: &str, documents: &[Document]) -> Result<Value, Stop> {
    let (subject, algorithm) = (context.subject(V2)?, context.algorithm(V2)?);
    let entry = |document: &Document| json!({"document": STANDARD.encode(document.bytes()), "signature_format": "C", "signAlgo": algorithm.oid});
    let entries: Vec<_> = documents.iter().map(entry).collect();
    Ok(json!({"credentialID": subject.id, "SAD": sad, "documents": entries}))
}

async fn idle(context: &Context<'_>) -> Result<Value, Stop> {
    let sad = context.idle_sad(V2).await?;
    order(context, &sad.value, &sad.documents)
}

/// Each signature is a CMS over its document, by the certificate's key.
fn verify(context: &Context<'_>, answer: &Answer, documents: &[Document], inside: bool) -> Verdict {
    let body = answer.ok()?;
    let member = match inside {
        true => "/DocumentWithSignature",
        false => "/SignatureObject",
    };
    let found = list(&body, member)?;
    let count = (documents.len(), found.len());
    must!(
        count.0 == count.1,
        "{} documents, {} signatures",
        count.0,
        count.1
    );
    let certificates = context.subject(V2)?.certificates;
    let certificate = certificates.first();
    let certificate = certificate.ok_or_else(|| broken("credentials/info gave no certificate"))?;
    for (signature, document) in found.iter().zip(documents) {
        let der = STANDARD.decode(signature.as_str().unwrap_or_default());
        let der = der.map_err(|error| broken(format!("{member}: no base64: {error}")))?;
        let signed = Signed::read(&der)?;
        let expected = inside.then(|| document.bytes().to_vec());
        must!(
            signed.content() == expected,
            "the document is {} the signature",
            if inside { "not in" } else { "in" }
        );
        must!(
            signed.certificates().contains(certificate),
            "the signer's certificate is not in the signature"
        );
        signed.verify(certificate, document.bytes())?;
    }
    Ok(())
}

/// As many signatures as documents, each DER in base64.
fn signatures(answer: &Answer, count: usize) -> Verdict {
    const SEQUENCE: u8 = 0x30;
    let body = answer.ok()?;
    let mut found = 0;
    for member in ["DocumentWithSignature", "SignatureObject"] {
        if body.get(member).is_none() {
            continue;
        }
        for signature in list(&body, &format!("/{member}"))? {
            let der = STANDARD.decode(signature.as_str().unwrap_or_default());
            let der = der.map_err(|error| broken(format!("{member}: no base64: {error}")))?;
            must!(der.first() == Some(&SEQUENCE), "{member} is no DER");
            found += 1;
        }
    }
    must!(found == count, "{count} documents, {found} signatures");
    Ok(())
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, V2, "signDoc", ("", "11.11"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Factors]);
    for (name, title, envelope) in [
        ("X1.default", "a document is signed as CAdES", None),
        (
            "X1.attached",
            "a document is signed as CAdES, attached",
            Some("Attached"),
        ),
        (
            "X1.detached",
            "a document is signed as CAdES, detached",
            Some("Detached"),
        ),
    ] {
        chapter.check(name, title, async move |context| {
            let documents = context.documents(1);
            let sad = context.sad(V2, &documents).await?;
            let mut order = order(context, &sad.value, &documents)?;
            if let (Some(envelope), Some(entry)) = (envelope, order.pointer_mut("/documents/0")) {
                set(entry, "signed_envelope_property", json!(envelope));
            }
            let answer = context.call(V2, METHOD, &order).await?;
            match envelope {
                Some("Attached") => verify(context, &answer, &documents, true),
                Some(_) => verify(context, &answer, &documents, false),
                None => signatures(&answer, 1),
            }
        });
    }
    let title = "a document nobody approved is not signed";
    let check = chapter.check("X3.foreign", title, async |context| {
        let sad = context.idle_sad(V2).await?;
        let order = order(context, &sad.value, &context.documents(1))?;
        let answer = context.call(V2, METHOD, &order).await?;
        answer.refused(&any())
    });
    check.needs(Need::Scal2);
    refusals(&mut chapter);
    entries(&mut chapter);
}

fn refusals(chapter: &mut Chapter<'_>) {
    let empty = "Empty documentDigests and documents objects";
    let sad = "Missing (or invalid type) string parameter SAD";
    let rows = [
        (
            "X2.neither",
            "neither documents nor digests",
            without("documents"),
            empty,
        ),
        (
            "X2.empty",
            "an empty list of documents",
            with("documents", json!([])),
            empty,
        ),
        (
            "X2.text",
            "a text for the list of documents",
            with("documents", json!("x")),
            "Invalid array parameter documents",
        ),
        ("X2.no-sad", "no SAD", without("SAD"), sad),
        (
            "X2.sad-number",
            "a number for SAD",
            with("SAD", json!(5)),
            sad,
        ),
        (
            "X2.sad-unknown",
            "an unknown SAD",
            with("SAD", json!("unknown")),
            "Invalid parameter SAD",
        ),
        (
            "X2.credential",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            "Invalid parameter credentialID",
        ),
        (
            "X2.mode",
            "an unknown operationMode",
            with("operationMode", json!("X")),
            "Invalid parameter operationMode",
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        chapter.refuses(name, &title, METHOD, idle, change, text(words));
    }
}

/// One change in the entry of a document.
fn entries(chapter: &mut Chapter<'_>) {
    let missing = |name: &str| format!("Missing (or invalid type) string parameter {name}");
    let invalid = |name: &str| format!("Invalid parameter {name}");
    let rows = [
        (
            "X2.format",
            "an unknown format",
            with("signature_format", json!("Z")),
            invalid("signature_format"),
        ),
        (
            "X2.no-format",
            "no format",
            without("signature_format"),
            missing("signature_format"),
        ),
        (
            "X2.level",
            "an unknown level",
            with("conformance_level", json!("AdES-B-X")),
            invalid("conformance_level"),
        ),
        (
            "X2.envelope",
            "an envelope of another format",
            with("signed_envelope_property", json!("Enveloped")),
            invalid("signed_envelope_property"),
        ),
        (
            "X2.no-base64",
            "a document that is no base64",
            with("document", json!("no base64!")),
            "Invalid Base64 documents string parameter".to_owned(),
        ),
        (
            "X2.no-algorithm",
            "no signAlgo",
            without("signAlgo"),
            missing("signAlgo"),
        ),
        (
            "X2.algorithm",
            "an unknown signAlgo",
            with("signAlgo", json!("1.2.3")),
            invalid("signAlgo"),
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        chapter.check(name, &title, async move |context| {
            let mut order = idle(context).await?;
            if let Some(entry) = order.pointer_mut("/documents/0") {
                change.apply(entry);
            }
            let answer = context.call(V2, METHOD, &order).await?;
            answer.refused(&text(words.clone()))
        });
    }
}
