//! What a time-stamp says and who says it (RFC 3161 2.3 and 2.4.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use x509_parser::{
    der_parser::{ber::BerObjectContent, der::parse_der},
    prelude::{FromDer, X509Certificate},
};

use super::{
    super::{
        check::{Check, Need, Stop, Version, broken, must},
        cms::Signed,
        context::Context,
        keys::SHA256,
        refusal::string,
    },
    Chapter,
};

const METHOD: &str = "signatures/timestamp";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

/// A token over a new digest, and the statement in it.
async fn token(context: &Context<'_>, version: Version) -> Result<(Signed, Vec<u8>), Stop> {
    let hash = STANDARD.encode(context.random());
    let body = json!({"hash": hash, "hashAlgo": SHA256.oid});
    let answer = context.call(version, METHOD, &body).await?.ok()?;
    let token = STANDARD.decode(string(&answer, "/timestamp")?);
    let token = token.map_err(|error| broken(format!("timestamp: no base64: {error}")))?;
    let signed = Signed::read(&token)?;
    let statement = signed.content();
    let statement = statement.ok_or_else(|| broken("the token has no TSTInfo inside"))?;
    Ok((signed, statement))
}

/// The authority's certificate: the one that may stamp time.
fn authority(signed: &Signed) -> Result<Vec<u8>, Stop> {
    let stamps = |der: &Vec<u8>| {
        let read = X509Certificate::from_der(der);
        let usage = read
            .as_ref()
            .ok()
            .and_then(|(_, read)| read.extended_key_usage().ok().flatten());
        usage.is_some_and(|usage| usage.value.time_stamping)
    };
    let found = signed.certificates().into_iter().find(stamps);
    found.ok_or_else(|| broken("no certificate for time-stamping is in the token"))
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "timestamp", ("11.10", "11.13"));
    chapter = chapter.needing(&[Need::Method(METHOD)]);
    let title = "the token's signature is the authority's, whose certificate it names and carries";
    let check = chapter.check("M1.signature", title, async move |context| {
        let (signed, statement) = token(context, version).await?;
        signed.verify(&authority(&signed)?, &statement)
    });
    check.clause("RFC 3161 2.4.2, RFC 5816");
    let title = "what is signed is a TSTInfo";
    let check = chapter.check("M1.content-type", title, async move |context| {
        let (signed, _) = token(context, version).await?;
        let kind = signed.content_type();
        must!(kind == TST_INFO, "the content is of the type {kind}");
        Ok(())
    });
    check.clause("RFC 3161 2.4.2");
    let title = "the authority's certificate is for time-stamping alone, and says so critically";
    let check = chapter.check("M1.purpose", title, async move |context| {
        let (signed, _) = token(context, version).await?;
        let authority = authority(&signed)?;
        let (_, read) = X509Certificate::from_der(&authority)
            .map_err(|error| broken(format!("the certificate cannot be read: {error}")))?;
        let usage = read.extended_key_usage().ok().flatten();
        let usage = usage.ok_or_else(|| broken("there is no extended key usage"))?;
        let alone = !(usage.value.any
            || usage.value.server_auth
            || usage.value.client_auth
            || usage.value.code_signing
            || usage.value.email_protection
            || usage.value.ocsp_signing)
            && usage.value.other.is_empty();
        must!(usage.critical && alone, "{usage:?}");
        Ok(())
    });
    check.clause("RFC 3161 2.3");
    let title = "the time is now";
    let check = chapter.check("M1.time", title, async move |context| {
        const MINUTES: i64 = 5;
        let (_, statement) = token(context, version).await?;
        let seconds = time_of(&statement).ok_or_else(|| broken("genTime cannot be read"))?;
        let apart = (seconds - i64::try_from(context.at()).unwrap_or_default()).abs();
        must!(apart <= MINUTES * 60, "genTime is {apart} seconds away");
        Ok(())
    });
    check.silent();
}

/// genTime, the fifth member, in seconds since 1970.
fn time_of(statement: &[u8]) -> Option<i64> {
    let (_, statement) = parse_der(statement).ok()?;
    match &statement.as_sequence().ok()?.get(4)?.content {
        BerObjectContent::GeneralizedTime(time) => Some(time.to_datetime().ok()?.unix_timestamp()),
        _ => None,
    }
}
