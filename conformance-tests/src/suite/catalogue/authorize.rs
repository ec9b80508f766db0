//! `credentials/authorize` (CSC API v1 11.6, v2 11.6).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V1, V2, Version, must},
        context::{Context, set},
        refusal::{Refusal, any, coded, string, text},
    },
    Change, Chapter, with, without,
};

const METHOD: &str = "credentials/authorize";

/// A request for one document whose factors nobody looks at when the rest is wrong.
async fn unproven(context: &Context<'_>, version: Version) -> Result<Value, Stop> {
    context.unproven(version, &context.documents(1))
}

/// An authorization with the right factors.
async fn authorized(context: &Context<'_>, version: Version, count: usize) -> Result<Value, Stop> {
    let documents = context.documents(count);
    let body = context.authorization(version, &documents).await?;
    context.call(version, METHOD, &body).await?.ok()
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "authorize", ("11.6", "11.6"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Credential]);
    successes(version, &mut chapter);
    refusals(version, &mut chapter);
    hashes(version, &mut chapter);
    match version {
        V1 => missing_factors(&mut chapter),
        V2 => auth_data(&mut chapter),
    }
    wrong_factors(version, &mut chapter);
}

fn successes(version: Version, chapter: &mut Chapter<'_>) {
    let title = "the right factors give a SAD";
    let check = chapter.check("Z1.sad", title, async move |context| {
        let body = authorized(context, version, 1).await?;
        must!(!string(&body, "/SAD")?.is_empty(), "SAD is empty");
        let found = body.get("expiresIn");
        must!(found.is_none_or(Value::is_u64), "expiresIn is {found:?}");
        Ok(())
    });
    check.needs(Need::Factors);
    let title = "two authorizations give different SADs, each of 128 bits at least";
    let check = chapter.check("Z1.own-sad", title, async move |context| {
        let (first, second) = (
            authorized(context, version, 1).await?,
            authorized(context, version, 1).await?,
        );
        let (first, second) = (string(&first, "/SAD")?, string(&second, "/SAD")?);
        must!(first != second, "two authorizations gave the same SAD");
        let shortest = first.len().min(second.len());
        must!(
            shortest >= 22,
            "{shortest} characters hold less than 128 bits"
        );
        Ok(())
    });
    check.needs(Need::Factors).silent();
    let title = "several signatures may be authorized at once";
    let check = chapter.check("Z1.several", title, async move |context| {
        let body = authorized(context, version, 2).await?;
        string(&body, "/SAD").map(|_| ())
    });
    check.needs(Need::Factors).needs(Need::Multisign(2));
    let title = "a description of 500 characters is taken";
    let check = chapter.check("Z11.description", title, async move |context| {
        let mut body = context
            .authorization(version, &context.documents(1))
            .await?;
        set(&mut body, "description", json!("x".repeat(500)));
        context.call(version, METHOD, &body).await?.ok().map(|_| ())
    });
    check.needs(Need::Factors);
}

fn refusals(version: Version, chapter: &mut Chapter<'_>) {
    let missing = "Missing (or invalid type) string parameter credentialID";
    let count = "Missing (or invalid type) integer parameter numSignatures";
    let value = "Invalid value for parameter numSignatures";
    let rows = [
        (
            "Z2.no-credential",
            "no credentialID",
            without("credentialID"),
            missing,
        ),
        (
            "Z2.credential-number",
            "a number for credentialID",
            with("credentialID", json!(5)),
            missing,
        ),
        (
            "Z2.unknown",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            "Invalid parameter credentialID",
        ),
        (
            "Z2.no-count",
            "no numSignatures",
            without("numSignatures"),
            count,
        ),
        (
            "Z2.count-text",
            "a text for numSignatures",
            with("numSignatures", json!("1")),
            count,
        ),
        (
            "Z2.count-fraction",
            "a fraction for numSignatures",
            with("numSignatures", json!(1.5)),
            count,
        ),
        (
            "Z2.count-zero",
            "0 for numSignatures",
            with("numSignatures", json!(0)),
            value,
        ),
        (
            "Z2.count-negative",
            "-1 for numSignatures",
            with("numSignatures", json!(-1)),
            value,
        ),
    ];
    for (name, what, change, words) in rows {
        refuses(
            version,
            chapter,
            name,
            &format!("{what} is refused"),
            change,
            text(words),
        );
    }
    let title = "more signatures than multisign are refused";
    chapter.check("Z2.count-high", title, async move |context| {
        let mut body = unproven(context, version).await?;
        let multisign = context.subject(version)?.multisign;
        set(&mut body, "numSignatures", json!(multisign + 1));
        let answer = context.call(version, METHOD, &body).await?;
        answer.refused(&text("Numbers of signatures is too high"))
    });
    let silent = [
        (
            "Z11.description-long",
            "a description of 501 characters",
            with("description", json!("x".repeat(501))),
            "Invalid parameter description",
        ),
        (
            "Z11.description-number",
            "a number for description",
            with("description", json!(5)),
            "Invalid parameter description",
        ),
        (
            "Z2.client-data",
            "a number for clientData",
            with("clientData", json!(5)),
            "Invalid parameter clientData",
        ),
    ];
    for (name, what, change, words) in silent {
        refuses(
            version,
            chapter,
            name,
            &format!("{what} is refused"),
            change,
            text(words),
        )
        .silent();
    }
}

/// One change in a request for one document.
fn refuses<'l>(
    version: Version,
    chapter: &'l mut Chapter<'_>,
    name: &str,
    title: &str,
    change: Change,
    refusal: Refusal,
) -> &'l mut Check {
    let good = async move |context: &Context<'_>| unproven(context, version).await;
    chapter.refuses(name, title, METHOD, good, change, refusal)
}

fn hashes(version: Version, chapter: &mut Chapter<'_>) {
    let name_of = version.hashes();
    let missing = format!("Missing (or invalid type) array parameter {name_of}");
    let base64 = "Invalid Base64 hash string parameter".to_owned();
    let rows = [
        (
            "Z3.no-hash",
            "no hash for a SCAL 2 credential",
            without(name_of),
            missing.clone(),
        ),
        (
            "Z3.hash-text",
            "a text for the list of hashes",
            with(
                name_of,
                json!("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
            ),
            missing,
        ),
        (
            "Z3.hash-empty",
            "an empty list of hashes",
            with(name_of, json!([])),
            "Empty hash array".to_owned(),
        ),
        (
            "Z3.no-base64",
            "a hash that is no base64",
            with(name_of, json!(["no base64!"])),
            base64.clone(),
        ),
        (
            "Z3.newline",
            "base64 with a line break",
            with(
                name_of,
                json!(["LPJNul+wow4m6Dsqxbni\nnhsWHlwfp0JecwQzYpOLmCQ="]),
            ),
            base64,
        ),
        (
            "Z3.length",
            "a hash of three octets",
            with(name_of, json!(["AAAA"])),
            "Invalid digest value length".to_owned(),
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        let check = refuses(version, chapter, name, &title, change, text(words));
        check.needs(Need::Scal2);
        if name == "Z3.no-hash" {
            check.clause(version.pick("v1 11.6, SCAL 2", "v2 11.6, SCAL 2"));
        } else {
            check.silent();
        }
    }
    let title = "more hashes than signatures are refused";
    let check = chapter.check("Z3.more-hashes", title, async move |context| {
        let mut body = context.unproven(version, &context.documents(2))?;
        set(&mut body, "numSignatures", json!(1));
        context.call(version, METHOD, &body).await?.refused(&any())
    });
    check.needs(Need::Scal2).needs(Need::Multisign(2)).silent();
    if version == V2 {
        let missing = "Missing (or invalid type) string parameter hashAlgorithmOID";
        let invalid = "Invalid parameter hashAlgorithmOID";
        let rows = [
            (
                "Z3.no-algorithm",
                "hashes without their algorithm",
                without("hashAlgorithmOID"),
                missing,
            ),
            (
                "Z3.algorithm-number",
                "a number for the hash algorithm",
                with("hashAlgorithmOID", json!(5)),
                missing,
            ),
            (
                "Z3.algorithm-unknown",
                "an unknown hash algorithm",
                with("hashAlgorithmOID", json!("1.2.3")),
                invalid,
            ),
            (
                "Z3.sha1",
                "SHA-1",
                with("hashAlgorithmOID", json!("1.3.14.3.2.26")),
                invalid,
            ),
        ];
        for (name, what, change, words) in rows {
            let title = format!("{what} is refused");
            let check = refuses(V2, chapter, name, &title, change, text(words));
            check.needs(Need::Scal2).silent();
        }
        let title = "hashes that are too short for their algorithm are refused";
        let check = chapter.check("Z3.algorithm-length", title, async |context| {
            let mut body = unproven(context, V2).await?;
            set(
                &mut body,
                "hashes",
                json!(["LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="]),
            );
            set(
                &mut body,
                "hashAlgorithmOID",
                json!(super::super::keys::SHA512.oid),
            );
            let answer = context.call(V2, METHOD, &body).await?;
            answer.refused(&text("Invalid digest value length"))
        });
        check.needs(Need::Scal2).silent();
    }
}

fn missing_factors(chapter: &mut Chapter<'_>) {
    for (factor, need) in [("PIN", Need::Pin), ("OTP", Need::Code)] {
        let missing = format!("Missing (or invalid type) string parameter {factor}");
        for (name, what, change) in [
            (format!("Z2.no-{factor}"), "no", without(factor)),
            (
                format!("Z2.{factor}-number"),
                "a number for the",
                with(factor, json!(12_345_678)),
            ),
        ] {
            let title = format!("{what} {factor} is refused");
            let check = refuses(V1, chapter, &name, &title, change, text(missing.clone()));
            check.needs(need).silent();
        }
    }
}

fn auth_data(chapter: &mut Chapter<'_>) {
    let invalid = coded(
        "invalid_authentication_data",
        "The authentication data is invalid",
    );
    let rows = [
        ("Z7.empty", "no factor", json!([])),
        (
            "Z7.unknown",
            "a factor nobody asked for",
            json!([{"id": "FINGER", "value": "1"}]),
        ),
    ];
    for (name, what, data) in rows {
        let change = with("authData", data);
        let title = format!("{what} is refused");
        let check = refuses(V2, chapter, name, &title, change, invalid.clone());
        check.needs(Need::Pin);
    }
    let rows = [
        ("Z7.text", "authData that is a text", json!("12345678")),
        (
            "Z7.numbers",
            "authData that is a list of numbers",
            json!([5]),
        ),
        (
            "Z7.no-id",
            "a factor without a name",
            json!([{"value": "x"}]),
        ),
    ];
    for (name, what, data) in rows {
        let change = with("authData", data);
        let check = refuses(
            V2,
            chapter,
            name,
            &format!("{what} is refused"),
            change,
            any(),
        );
        check.needs(Need::Pin);
    }
}

/// A factor of the same form that is wrong.
pub(super) fn another(value: &str) -> String {
    let first = match value.starts_with('7') {
        true => '3',
        false => '7',
    };
    let rest: String = value.chars().skip(1).collect();
    format!("{first}{rest}")
}

/// The body with one factor spoilt.
fn spoilt(version: Version, body: &Value, factor: &str, id: &str) -> Value {
    let mut body = body.clone();
    let place = match version {
        V1 => body.get_mut(factor),
        V2 => {
            let data = body.get_mut("authData").and_then(Value::as_array_mut);
            let mut data = data.into_iter().flatten();
            data.find(|entry| entry.get("id") == Some(&json!(id)))
                .and_then(|entry| entry.get_mut("value"))
        }
    };
    if let Some(place) = place {
        *place = json!(another(place.as_str().unwrap_or_default()));
    }
    body
}

fn wrong_factors(version: Version, chapter: &mut Chapter<'_>) {
    let refusal = |factor: &str| match (version, factor) {
        (V2, _) => coded(
            "invalid_authentication_data",
            "The authentication data is invalid",
        ),
        (V1, "PIN") => coded("invalid_pin", "The PIN is invalid"),
        (V1, _) => coded("invalid_otp", "The OTP is invalid"),
    };
    let (pin, code) = (refusal("PIN"), refusal("OTP"));
    let title = "a wrong PIN is refused, and the right one is taken afterwards";
    let wrong = pin.clone();
    let check = chapter.check("Z2.wrong-pin", title, async move |context| {
        let subject = context.subject(version)?;
        let good = context
            .authorization(version, &context.documents(1))
            .await?;
        let bad = spoilt(version, &good, "PIN", &subject.pin.unwrap_or_default());
        let answer = context.call(version, METHOD, &bad).await?;
        let verdict = answer.refused(&wrong);
        // Sets the count of wrong ones back.
        authorized(context, version, 1).await?;
        verdict
    });
    check
        .needs(Need::Factors)
        .needs(Need::Pin)
        .needs(Need::WrongFactors);
    let title = "a wrong code is refused, and the right one is taken afterwards";
    let wrong = code.clone();
    let check = chapter.check("Z2.wrong-code", title, async move |context| {
        let object = context
            .subject(version)?
            .code
            .map(|code| code.id)
            .unwrap_or_default();
        let good = context
            .authorization(version, &context.documents(1))
            .await?;
        let bad = spoilt(version, &good, "OTP", &object);
        let verdict = context.call(version, METHOD, &bad).await?.refused(&wrong);
        context.call(version, METHOD, &good).await?.ok()?;
        verdict
    });
    check
        .needs(Need::Factors)
        .needs(Need::Code)
        .needs(Need::WrongFactors);
    let title = "a code is good once";
    let check = chapter.check("Z6.code-twice", title, async move |context| {
        let good = context
            .authorization(version, &context.documents(1))
            .await?;
        context.call(version, METHOD, &good).await?.ok()?;
        let verdict = context.call(version, METHOD, &good).await?.refused(&code);
        authorized(context, version, 1).await?;
        verdict
    });
    check
        .needs(Need::Factors)
        .needs(Need::Code)
        .needs(Need::WrongFactors);
    let title = "a malformed request burns no code";
    let check = chapter.check("Z2.nothing-burnt", title, async move |context| {
        let good = context
            .authorization(version, &context.documents(1))
            .await?;
        let mut bad = good.clone();
        set(&mut bad, "numSignatures", json!(0));
        context.call(version, METHOD, &bad).await?.refused(&any())?;
        context.call(version, METHOD, &good).await?.ok().map(|_| ())
    });
    check.needs(Need::Factors).needs(Need::Code).silent();
}
