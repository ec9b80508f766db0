//! `credentials/extendTransaction` (CSC API v1 11.7, v2 11.9): one authorization spent over several signHash calls.

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2, Version, must},
        context::{Context, Document, Sad, set},
        refusal::{any, string, text},
        wire::Answer,
    },
    Chapter, with, without,
};

const METHOD: &str = "credentials/extendTransaction";
const SIGN: &str = "signatures/signHash";

fn body(
    context: &Context<'_>,
    version: Version,
    sad: &str,
    documents: &[Document],
) -> Result<Value, Stop> {
    let (subject, algorithm) = (context.subject(version)?, context.algorithm(version)?);
    let hashes: Vec<_> = documents
        .iter()
        .map(|document| document.hash(&algorithm))
        .collect();
    let mut body = json!({"credentialID": subject.id, "SAD": sad});
    set(&mut body, version.hashes(), json!(hashes));
    if version == V2 {
        set(&mut body, "hashAlgorithmOID", json!(algorithm.hash.oid));
    }
    Ok(body)
}

async fn extend(
    context: &Context<'_>,
    version: Version,
    sad: &str,
    documents: &[Document],
) -> Result<Answer, Stop> {
    let body = body(context, version, sad, documents)?;
    context.call(version, METHOD, &body).await
}

async fn extended(
    context: &Context<'_>,
    version: Version,
    sad: &str,
    documents: &[Document],
) -> Result<String, Stop> {
    let answer = extend(context, version, sad, documents).await?.ok()?;
    Ok(string(&answer, "/SAD")?.to_owned())
}

async fn sign(
    context: &Context<'_>,
    version: Version,
    sad: &str,
    documents: &[Document],
) -> Result<Answer, Stop> {
    let order = context.order(version, sad, documents)?;
    context.call(version, SIGN, &order).await
}

/// Two documents authorized together: their SAD, the first, the second.
async fn two(
    context: &Context<'_>,
    version: Version,
) -> Result<(Sad, Vec<Document>, Vec<Document>), Stop> {
    let mut first = context.documents(2);
    let second = first.split_off(1);
    let both = [first.clone(), second.clone()].concat();
    Ok((context.sad(version, &both).await?, first, second))
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "extendTransaction", ("11.7", "11.9"));
    let needs = [Need::Method(METHOD), Need::Method(SIGN), Need::Factors];
    chapter = chapter.needing(&needs);
    chains(version, &mut chapter);
    refusals(version, &mut chapter);
}

fn chains(version: Version, chapter: &mut Chapter<'_>) {
    let dead = text("Invalid parameter SAD");
    let title = "after a signature the extended SAD signs the next document";
    let check = chapter.check("E1.next", title, async move |context| {
        let (sad, first, second) = two(context, version).await?;
        sign(context, version, &sad.value, &first).await?.ok()?;
        let next = extended(context, version, &sad.value, &second).await?;
        must!(next != sad.value, "the SAD is the old one");
        sign(context, version, &next, &second)
            .await?
            .ok()
            .map(|_| ())
    });
    check.needs(Need::Multisign(2));
    let refusal = dead.clone();
    let title = "the SAD that was extended is dead";
    let check = chapter.check("E1.old-dead", title, async move |context| {
        let (sad, first, second) = two(context, version).await?;
        sign(context, version, &sad.value, &first).await?.ok()?;
        extended(context, version, &sad.value, &second).await?;
        sign(context, version, &sad.value, &second)
            .await?
            .refused(&refusal)
    });
    check.needs(Need::Multisign(2));
    let title = "a SAD nobody has signed with yet may be extended";
    chapter.check("E1.unused", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let next = extended(context, version, &sad.value, &documents).await?;
        sign(context, version, &next, &documents)
            .await?
            .ok()
            .map(|_| ())
    });
    let title = "expiresIn is a whole number of seconds where it is there";
    chapter.check("E1.expires-in", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let answer = extend(context, version, &sad.value, &documents)
            .await?
            .ok()?;
        let found = answer.get("expiresIn");
        must!(found.is_none_or(Value::is_u64), "expiresIn is {found:?}");
        Ok(())
    });
    let refusal = dead.clone();
    let title = "a SAD whose count is used up cannot be extended";
    chapter.check("E2.exhausted", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        sign(context, version, &sad.value, &documents).await?.ok()?;
        extend(context, version, &sad.value, &documents)
            .await?
            .refused(&refusal)
    });
    let title = "an extension adds no signature to the count";
    let check = chapter.check("E3.count", title, async move |context| {
        let (sad, first, second) = two(context, version).await?;
        sign(context, version, &sad.value, &first).await?.ok()?;
        let next = extended(context, version, &sad.value, &second).await?;
        let both = [second.clone(), second].concat();
        sign(context, version, &next, &both).await?.refused(&any())
    });
    check.needs(Need::Multisign(2));
    let title = "a SAD may not be extended to a hash nobody approved";
    let check = chapter.check("E2.foreign-hash", title, async move |context| {
        let sad = context.idle_sad(version).await?;
        let answer = extend(context, version, &sad.value, &context.documents(1)).await?;
        answer.refused(&any())
    });
    check.needs(Need::Scal2).silent();
    let revoked = dead;
    let title = "a SAD that was revoked cannot be extended";
    let check = chapter.check("E2.revoked", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let body = json!({"token": sad.value});
        let answer = context.call(version, "auth/revoke", &body).await?;
        if answer.status != 204 {
            return Err(Stop::Skip("auth/revoke takes no SAD".to_owned()));
        }
        extend(context, version, &sad.value, &documents)
            .await?
            .refused(&revoked)
    });
    check.needs(Need::Method("auth/revoke")).silent();
}

fn refusals(version: Version, chapter: &mut Chapter<'_>) {
    let name_of = version.hashes();
    let missing =
        |kind: &str, name: &str| format!("Missing (or invalid type) {kind} parameter {name}");
    let credential = missing("string", "credentialID");
    let sad = missing("string", "SAD");
    let mut rows = vec![
        (
            "E2.no-credential",
            "no credentialID",
            without("credentialID"),
            credential.clone(),
        ),
        (
            "E2.credential-number",
            "a number for credentialID",
            with("credentialID", json!(5)),
            credential,
        ),
        (
            "E2.credential-unknown",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            "Invalid parameter credentialID".to_owned(),
        ),
        ("E2.no-sad", "no SAD", without("SAD"), sad.clone()),
        (
            "E2.sad-number",
            "a number for SAD",
            with("SAD", json!(5)),
            sad,
        ),
        (
            "E2.sad-unknown",
            "an unknown SAD",
            with("SAD", json!("unknown")),
            "Invalid parameter SAD".to_owned(),
        ),
        (
            "E2.no-hash",
            "no hashes for a SCAL 2 credential",
            without(name_of),
            missing("array", name_of),
        ),
        (
            "E2.hash-text",
            "a text for the list of hashes",
            with(name_of, json!("x")),
            missing("array", name_of),
        ),
        (
            "E2.hash-empty",
            "an empty list of hashes",
            with(name_of, json!([])),
            "Empty hash array".to_owned(),
        ),
        (
            "E2.no-base64",
            "a hash that is no base64",
            with(name_of, json!(["no base64!"])),
            "Invalid Base64 hash string parameter".to_owned(),
        ),
        (
            "E2.length",
            "a hash of three octets",
            with(name_of, json!(["AAAA"])),
            "Invalid digest value length".to_owned(),
        ),
        (
            "E2.client-data",
            "a number for clientData",
            with("clientData", json!(5)),
            "Invalid parameter clientData".to_owned(),
        ),
    ];
    if version == V2 {
        rows.extend([
            (
                "E2.no-algorithm",
                "hashes without their algorithm",
                without("hashAlgorithmOID"),
                missing("string", "hashAlgorithmOID"),
            ),
            (
                "E2.algorithm",
                "an unknown hash algorithm",
                with("hashAlgorithmOID", json!("1.2.3")),
                "Invalid parameter hashAlgorithmOID".to_owned(),
            ),
        ]);
    }
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        let good = async move |context: &Context<'_>| {
            let sad = context.idle_sad(version).await?;
            body(context, version, &sad.value, &sad.documents)
        };
        let check = chapter.refuses(name, &title, METHOD, good, change, text(words));
        check.needs(Need::Scal2);
        // The specification has a table of errors for the header only.
        if name != "E2.no-hash" && name != "E2.no-sad" && name != "E2.no-credential" {
            check.silent();
        }
    }
}
