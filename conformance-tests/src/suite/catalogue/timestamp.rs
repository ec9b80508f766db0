//! `signatures/timestamp` (CSC API v1 11.10, v2 11.13): tokens of RFC 3161.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use x509_parser::{asn1_rs::Tag, der_parser::der::parse_der};

use super::{
    super::{
        check::{Check, Need, Stop, Version, broken, must},
        context::{Context, set},
        keys::SHA256,
        refusal::{any, string, text},
    },
    Chapter, with, without,
};

const METHOD: &str = "signatures/timestamp";

async fn good(context: &Context<'_>) -> Result<Value, Stop> {
    Ok(json!({"hash": STANDARD.encode(context.random()), "hashAlgo": SHA256.oid}))
}

/// A token's statement (RFC 3161 2.4.2): digest and nonce.
async fn stamped(
    context: &Context<'_>,
    version: Version,
    body: &Value,
) -> Result<(Vec<u8>, Option<Vec<u8>>), Stop> {
    let answer = context.call(version, METHOD, body).await?.ok()?;
    let token = STANDARD.decode(string(&answer, "/timestamp")?);
    let token = token.map_err(|error| broken(format!("timestamp: no base64: {error}")))?;
    read(&token).ok_or_else(|| broken("timestamp is no TimeStampToken"))
}

/// ContentInfo, SignedData, EncapsulatedContentInfo, TSTInfo.
fn read(token: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (_, content) = parse_der(token).ok()?;
    let (_, signed) = parse_der(content.as_sequence().ok()?.get(1)?.as_slice().ok()?).ok()?;
    let inner = signed.as_sequence().ok()?.get(2)?.as_sequence().ok()?;
    let (_, octets) = parse_der(inner.get(1)?.as_slice().ok()?).ok()?;
    let (_, info) = parse_der(octets.as_slice().ok()?).ok()?;
    let info = info.as_sequence().ok()?;
    let imprint = info.get(2)?.as_sequence().ok()?.get(1)?;
    // The integers that follow the time: the one there may be is the nonce.
    let mut rest = info.iter().skip(5);
    let nonce = rest.find(|member| member.tag() == Tag::Integer);
    let nonce = nonce.and_then(|nonce| nonce.as_slice().ok());
    Some((imprint.as_slice().ok()?.to_vec(), nonce.map(<[u8]>::to_vec)))
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "timestamp", ("11.10", "11.13"));
    chapter = chapter.needing(&[Need::Method(METHOD)]);
    let title = "a digest gets a token of RFC 3161 over it";
    chapter.check("M1.token", title, async move |context| {
        let body = good(context).await?;
        let (imprint, _) = stamped(context, version, &body).await?;
        must!(
            body.get("hash") == Some(&json!(STANDARD.encode(&imprint))),
            "the token is over another digest"
        );
        Ok(())
    });
    let title = "the nonce comes back";
    chapter.check("M1.nonce", title, async move |context| {
        let mut body = good(context).await?;
        set(&mut body, "nonce", json!("3f1c5a77"));
        let (_, nonce) = stamped(context, version, &body).await?;
        must!(
            nonce == Some(vec![0x3f, 0x1c, 0x5a, 0x77]),
            "the token's nonce is {nonce:?}"
        );
        Ok(())
    });
    let title = "without a nonce there is none in the token";
    chapter.check("M1.no-nonce", title, async move |context| {
        let body = good(context).await?;
        let (_, nonce) = stamped(context, version, &body).await?;
        must!(nonce.is_none(), "the token's nonce is {nonce:?}");
        Ok(())
    });
    let missing = "Missing (or invalid type) string parameter hash";
    let rows = [
        ("M2.no-hash", "no hash", without("hash"), missing),
        (
            "M2.hash-number",
            "a number for hash",
            with("hash", json!(5)),
            missing,
        ),
        (
            "M2.empty",
            "an empty hash",
            with("hash", json!("")),
            "Empty hash parameter",
        ),
        (
            "M2.length",
            "a hash of three octets",
            with("hash", json!("AAAA")),
            "Invalid digest value length",
        ),
        (
            "M2.no-base64",
            "a hash that is no base64",
            with("hash", json!("no base64!")),
            "Invalid Base64 hash string parameter",
        ),
        (
            "M2.algorithm",
            "an unknown hash algorithm",
            with("hashAlgo", json!("1.2.3")),
            "Invalid parameter hashAlgo",
        ),
        (
            "M2.nonce",
            "a nonce that is no number",
            with("nonce", json!("xyz")),
            "Invalid parameter nonce",
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        chapter.refuses(name, &title, METHOD, good, change, text(words));
    }
    for (name, what, change) in [
        ("M2.no-algorithm", "no hash algorithm", without("hashAlgo")),
        ("M2.sha1", "SHA-1", with("hashAlgo", json!("1.3.14.3.2.26"))),
    ] {
        let title = format!("{what} is refused");
        chapter.refuses(name, &title, METHOD, good, change, any());
    }
}
