//! `authorization_details` (CSC API v2 8.4.2, RFC 9396): what is to be signed as one object, in the URL and pushed.

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2},
        context::{Context, set},
        refusal::any,
    },
    Change, Chapter, with, without,
};

/// What it is called since 2.2.
const LONG: &str = "https://cloudsignatureconsortium.org/2025/credential";
const ERRORS: &[&str] = &["invalid_authorization_details", "invalid_request"];

fn details(context: &Context<'_>) -> Result<Value, Stop> {
    context.details(&context.documents(1))
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "authorization-details", "v2 8.4.2, RFC 9396");
    let needs = [Need::Application, Need::Details, Need::Credential];
    chapter = chapter.needing(&needs);
    successes(&mut chapter);
    refusals(&mut chapter);
    texts(&mut chapter);
}

fn successes(chapter: &mut Chapter<'_>) {
    for (name, kind) in [("credential", "credential"), ("long", LONG)] {
        let title = format!("the type '{kind}' leads to a page");
        let check = chapter.check(&format!("T5.type-{name}"), &title, async move |context| {
            let mut details = details(context)?;
            set(&mut details, "type", json!(kind));
            let listed = context.session.facts(V2).metadata;
            let listed = listed.get("authorization_details_types_supported").cloned();
            if let Some(Value::Array(listed)) = listed
                && !listed.contains(&json!(kind))
            {
                return Err(Stop::Skip(format!("the metadata does not list '{kind}'")));
            }
            let asking = context.asking_by(&json!([details]))?;
            context.is_taken(&context.ask(&asking).await?)
        });
        if name == "long" {
            check.clause("v2.2 8.2.2");
        }
    }
    let title = "the scope credential may stand beside them";
    chapter.check("T5.scope", title, async |context| {
        let asking = context.asking_by(&json!([details(context)?]))?;
        context.is_taken(&context.ask(&asking.with("scope", "credential")).await?)
    });
    let title = "a null is no value";
    let check = chapter.check("T5.null", title, async |context| {
        let mut details = details(context)?;
        set(&mut details, "signatureQualifier", Value::Null);
        let asking = context.asking_by(&json!([details]))?;
        context.is_taken(&context.ask(&asking).await?)
    });
    check.silent();
    let title = "they may be pushed";
    let check = chapter.check("T5.pushed", title, async |context| {
        let asking = context.asking_by(&json!([details(context)?]))?;
        context.pushed(&asking).await.map(|_| ())
    });
    check.needs(Need::Pushed);
}

fn refusals(chapter: &mut Chapter<'_>) {
    let oid = "hashAlgorithmOID";
    let digests = |value: Value| with("documentDigests", value);
    let rows: Vec<(&str, &str, Change)> = vec![
        ("no-type", "no type", without("type")),
        (
            "unknown-type",
            "an unknown type",
            with("type", json!("payment_initiation")),
        ),
        (
            "type-number",
            "a number for the type",
            with("type", json!(5)),
        ),
        (
            "unknown-field",
            "a field the type does not have",
            with("amount", json!(5)),
        ),
        (
            "no-credential",
            "neither credentialID nor signatureQualifier",
            without("credentialID"),
        ),
        (
            "credential-number",
            "a number for credentialID",
            with("credentialID", json!(5)),
        ),
        (
            "no-digests",
            "no documentDigests",
            without("documentDigests"),
        ),
        ("empty-digests", "empty documentDigests", digests(json!([]))),
        (
            "digests-text",
            "a text for documentDigests",
            digests(json!("x")),
        ),
        (
            "digest-text",
            "a text for a digest",
            digests(json!(["LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="])),
        ),
        (
            "no-hash",
            "a digest without its hash",
            digests(json!([{"label": "x"}])),
        ),
        (
            "no-base64",
            "a hash that is no base64",
            digests(json!([{"hash": "no base64!"}])),
        ),
        (
            "length",
            "a hash of three octets",
            digests(json!([{"hash": "AAAA"}])),
        ),
        ("no-algorithm", "no hashAlgorithmOID", without(oid)),
        (
            "algorithm",
            "an unknown hash algorithm",
            with(oid, json!("1.2.3")),
        ),
        ("sha1", "SHA-1", with(oid, json!("1.3.14.3.2.26"))),
        (
            "other-length",
            "hashes too short for their algorithm",
            with(oid, json!("2.16.840.1.101.3.4.2.3")),
        ),
        (
            "count",
            "another numSignatures than digests",
            with("numSignatures", json!(2)),
        ),
        (
            "count-text",
            "a text for numSignatures",
            with("numSignatures", json!("one")),
        ),
    ];
    for (name, what, change) in rows {
        let title = format!("{what} is refused, and the application is told");
        let pushed = change.clone();
        let check = chapter.check(&format!("T5.{name}"), &title, async move |context| {
            let mut details = details(context)?;
            change.apply(&mut details);
            let asking = context.asking_by(&json!([details]))?;
            context.is_sent_back(&context.ask(&asking).await?, ERRORS)
        });
        if name == "count" {
            check.silent();
        }
        let title = format!("{what} is refused where it is pushed");
        let check = chapter.check(&format!("T5.pushed-{name}"), &title, async move |context| {
            let mut details = details(context)?;
            pushed.apply(&mut details);
            let asking = context.asking_by(&json!([details]))?;
            context.push(&asking).await?.refused(&any().status(&[400]))
        });
        check.needs(Need::Pushed);
        if name == "count" {
            check.silent();
        }
    }
}

fn texts(chapter: &mut Chapter<'_>) {
    for (name, what, text) in [
        ("no-json", "what is no JSON", "no JSON"),
        (
            "object",
            "an object in place of the list",
            "{\"type\":\"credential\"}",
        ),
        ("empty", "an empty list", "[]"),
        ("numbers", "a list of numbers", "[5]"),
        ("null", "null", "null"),
    ] {
        let title = format!("{what} is refused, and the application is told");
        chapter.check(&format!("T5.list-{name}"), &title, async move |context| {
            let asking = context.asking()?.without("scope");
            let asking = asking.with("authorization_details", text);
            context.is_sent_back(&context.ask(&asking).await?, ERRORS)
        });
    }
    let title = "the scope service beside them is refused";
    let check = chapter.check("T5.scope-service", title, async |context| {
        let asking = context.asking_by(&json!([details(context)?]))?;
        let answer = context.ask(&asking.with("scope", "service")).await?;
        context.is_sent_back(&answer, &["invalid_scope", "invalid_request"])
    });
    check.silent();
    let title = "the parameters they stand in for are refused beside them";
    let check = chapter.check("T5.both-forms", title, async |context| {
        let details = json!([details(context)?]);
        let asking = context
            .asking_by(&details)?
            .with("credentialID", context.subject(V2)?.id);
        context.is_sent_back(&context.ask(&asking).await?, ERRORS)
    });
    check.silent();
}
