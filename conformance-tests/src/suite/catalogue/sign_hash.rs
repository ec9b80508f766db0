//! `signatures/signHash` (CSC API v1 11.9, v2 11.10).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, Version, broken, must},
        context::{Context, Document, set},
        keys::{Algorithm, PSS, PSS_ALGORITHM, PSS_SHA256, RSA, RSA_ALGORITHM, SHA384, SHA512},
        refusal::{Refusal, any, list, string, text},
        wire::Answer,
    },
    Change, Chapter, with, without,
};

const METHOD: &str = "signatures/signHash";

/// A good order on a SAD that nobody spends.
async fn idle(context: &Context<'_>, version: Version) -> Result<Value, Stop> {
    let sad = context.idle_sad(version).await?;
    context.order(version, &sad.value, &sad.documents)
}

async fn sign(
    context: &Context<'_>,
    version: Version,
    sad: &str,
    documents: &[Document],
) -> Result<Answer, Stop> {
    let order = context.order(version, sad, documents)?;
    context.call(version, METHOD, &order).await
}

/// Each signature is one over its document, by the certificate's key.
pub(super) fn verify(
    context: &Context<'_>,
    version: Version,
    algorithm: &Algorithm,
    documents: &[Document],
    answer: &Answer,
) -> Verdict {
    let body = answer.ok()?;
    let signatures = list(&body, "/signatures")?;
    must!(
        signatures.len() == documents.len(),
        "{} hashes, {} signatures",
        documents.len(),
        signatures.len()
    );
    let subject = context.subject(version)?;
    let Some(certificate) = subject.certificates.first() else {
        return Err(broken("credentials/info gave no certificate"));
    };
    for (at, (signature, document)) in signatures.iter().zip(documents).enumerate() {
        let text = signature.as_str().unwrap_or_default();
        let signature = STANDARD.decode(text);
        let signature = signature.map_err(|error| broken(format!("signature {at}: {error}")))?;
        must!(
            algorithm.signs(certificate, document.bytes(), &signature),
            "signature {at} does not verify under the certificate, {}",
            algorithm.oid
        );
    }
    Ok(())
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "signHash", ("11.9", "11.10"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Factors]);
    signatures(version, &mut chapter);
    rsa(version, &mut chapter);
    spending(version, &mut chapter);
    refusals(version, &mut chapter);
    if version == V2 {
        modes(&mut chapter);
    }
}

fn signatures(version: Version, chapter: &mut Chapter<'_>) {
    let title = "one hash is signed, and the signature verifies under the certificate";
    chapter.check("S1.one", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let answer = sign(context, version, &sad.value, &documents).await?;
        verify(
            context,
            version,
            &context.algorithm(version)?,
            &documents,
            &answer,
        )
    });
    let title = "several hashes are signed in their order";
    let check = chapter.check("S1.order", title, async move |context| {
        let documents = context.documents(2);
        let sad = context.sad(version, &documents).await?;
        let answer = sign(context, version, &sad.value, &documents).await?;
        verify(
            context,
            version,
            &context.algorithm(version)?,
            &documents,
            &answer,
        )
    });
    check.needs(Need::Multisign(2));
    let title = "the order of the hashes may be another than in the authorization";
    let check = chapter.check("S1.reordered", title, async move |context| {
        let mut documents = context.documents(2);
        let sad = context.sad(version, &documents).await?;
        documents.reverse();
        let answer = sign(context, version, &sad.value, &documents).await?;
        verify(
            context,
            version,
            &context.algorithm(version)?,
            &documents,
            &answer,
        )
    });
    check.needs(Need::Multisign(2));
    let title = "a signature is base64 without line breaks";
    chapter.check("S1.base64", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let body = sign(context, version, &sad.value, &documents).await?.ok()?;
        let signature = string(&body, "/signatures/0")?;
        must!(STANDARD.decode(signature).is_ok(), "no base64: {signature}");
        Ok(())
    });
    let title = "the hash algorithm may be left out where signAlgo implies it";
    chapter.check("S2.implied", title, async move |context| {
        let algorithm = context.algorithm(version)?;
        if algorithm.oid == RSA {
            return Err(Stop::Skip(
                "key/algo has no algorithm that implies the hash".to_owned(),
            ));
        }
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let mut order = context.order(version, &sad.value, &documents)?;
        without(version.hash_algorithm()).apply(&mut order);
        let answer = context.call(version, METHOD, &order).await?;
        verify(context, version, &algorithm, &documents, &answer)
    });
    let title = "null, unknown members and clientData change nothing";
    let check = chapter.check("S2.extras", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let mut order = context.order(version, &sad.value, &documents)?;
        let extras = [
            ("signAlgoParams", json!(null)),
            ("clientData", json!("invoice 17")),
            ("unknown", json!({"a": [1]})),
        ];
        for (name, value) in extras {
            set(&mut order, name, value);
        }
        let answer = context.call(version, METHOD, &order).await?;
        verify(
            context,
            version,
            &context.algorithm(version)?,
            &documents,
            &answer,
        )
    });
    check.silent();
}

fn rsa(version: Version, chapter: &mut Chapter<'_>) {
    let title = "RSA PKCS#1 v1.5 with the hash said apart: the server makes the DigestInfo";
    let check = chapter.check("S2.rsa", title, async move |context| {
        listed(context, version, RSA)?;
        let answer = signed_with(context, version, &RSA_ALGORITHM, None).await?;
        verify(context, version, &RSA_ALGORITHM, &answer.0, &answer.1)
    });
    check.needs(Need::Rsa);
    let title = "RSASSA-PSS with its parameters";
    let check = chapter.check("S2.pss", title, async move |context| {
        listed(context, version, PSS)?;
        let answer = signed_with(context, version, &PSS_ALGORITHM, Some(PSS_SHA256)).await?;
        verify(context, version, &PSS_ALGORITHM, &answer.0, &answer.1)
    });
    check.needs(Need::Rsa);
    let name_of = version.hash_algorithm();
    let missing = format!("Missing (or invalid type) string parameter {name_of}");
    let rows = [
        (
            "S2.rsa-no-hash",
            "RSA without the hash algorithm",
            RSA,
            without(name_of),
            missing,
        ),
        (
            "S2.pss-no-parameters",
            "RSASSA-PSS without parameters",
            PSS,
            without("signAlgoParams"),
            "Missing (or invalid type) string parameter signAlgoParams".to_owned(),
        ),
    ];
    for (name, what, oid, change, words) in rows {
        let title = format!("{what} is refused");
        let change = with("signAlgo", json!(oid)).and(change);
        let check = refuses(version, chapter, name, &title, change, text(words));
        check.needs(Need::Rsa);
    }
    // PSS with MGF1 over SHA-1; RFC 8017's defaults, which are SHA-1 throughout; no DER at all.
    let sha1_mask = "MCaAAQ==";
    for (name, what, parameters) in [
        ("S2.pss-garbage", "parameters that are no DER", "AAECAw=="),
        (
            "S2.pss-no-base64",
            "parameters that are no base64",
            "no base64!",
        ),
        (
            "S2.pss-sha1",
            "parameters that leave everything to its default, which is SHA-1",
            "MAA=",
        ),
        ("S2.pss-short", "parameters that break off", sha1_mask),
    ] {
        let title = format!("RSASSA-PSS with {what} is refused");
        let change = with("signAlgo", json!(PSS)).and(with("signAlgoParams", json!(parameters)));
        let check = refuses(version, chapter, name, &title, change, any());
        check.needs(Need::Rsa);
    }
}

/// The key can do this.
fn listed(context: &Context<'_>, version: Version, oid: &str) -> Verdict {
    let listed = context.subject(version)?.algorithms;
    match listed.iter().any(|known| known == oid) {
        true => Ok(()),
        false => Err(Stop::Skip(format!("key/algo has no {oid}"))),
    }
}

async fn signed_with(
    context: &Context<'_>,
    version: Version,
    algorithm: &Algorithm,
    parameters: Option<&str>,
) -> Result<(Vec<Document>, Answer), Stop> {
    let documents = context.documents(1);
    let sad = context.sad(version, &documents).await?;
    let mut order = context.order(version, &sad.value, &documents)?;
    set(&mut order, "signAlgo", json!(algorithm.oid));
    set(
        &mut order,
        version.hash_algorithm(),
        json!(algorithm.hash.oid),
    );
    if let Some(parameters) = parameters {
        set(&mut order, "signAlgoParams", json!(parameters));
    }
    Ok((documents, context.call(version, METHOD, &order).await?))
}

fn spending(version: Version, chapter: &mut Chapter<'_>) {
    let dead = text("Invalid parameter SAD");
    let refusal = dead.clone();
    let title = "a SAD that is used up signs nothing more";
    chapter.check("S4.reuse", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        sign(context, version, &sad.value, &documents).await?.ok()?;
        sign(context, version, &sad.value, &documents)
            .await?
            .refused(&refusal)
    });
    let refusal = dead.clone();
    let title = "between two signHash calls on one SAD stands extendTransaction";
    let check = chapter.check("S4.no-extension", title, async move |context| {
        let mut first = context.documents(2);
        let second = first.split_off(1);
        let both = [first.clone(), second.clone()].concat();
        let sad = context.sad(version, &both).await?;
        sign(context, version, &sad.value, &first).await?.ok()?;
        sign(context, version, &sad.value, &second)
            .await?
            .refused(&refusal)
    });
    check
        .needs(Need::Multisign(2))
        .clause(version.pick("v1 8.3", "v2 8.3"));
    let title = "two calls at once on one SAD for one signature: one signs";
    chapter.check("S4.parallel", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let (first, second) = futures_util::future::join(
            sign(context, version, &sad.value, &documents),
            sign(context, version, &sad.value, &documents),
        )
        .await;
        let signed = [first?, second?]
            .iter()
            .filter(|answer| answer.status == 200)
            .count();
        must!(signed == 1, "{signed} of two calls signed");
        Ok(())
    });
    let title = "more hashes than are left: nothing is signed";
    let check = chapter.check("S4.too-many", title, async move |context| {
        let sad = context.idle_sad(version).await?;
        let twice = [sad.documents.clone(), sad.documents.clone()].concat();
        sign(context, version, &sad.value, &twice)
            .await?
            .refused(&any())
    });
    check.silent();
    let unauthorised = version.pick(
        "Hash is not authorized by the SAD.",
        "Hash is not authorized by the SAD",
    );
    let title = "a hash nobody approved is not signed";
    let check = chapter.check("S4.foreign-hash", title, async move |context| {
        let sad = context.idle_sad(version).await?;
        let answer = sign(context, version, &sad.value, &context.documents(1)).await?;
        answer.refused(&text(unauthorised))
    });
    check.needs(Need::Scal2);
    let title = "refusals spend nothing: the SAD signs afterwards";
    chapter.check("S4.nothing-spent", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let mut order = context.order(version, &sad.value, &documents)?;
        set(&mut order, "signAlgo", json!("1.2.3"));
        context
            .call(version, METHOD, &order)
            .await?
            .refused(&any())?;
        let answer = sign(context, version, &sad.value, &documents).await?;
        verify(
            context,
            version,
            &context.algorithm(version)?,
            &documents,
            &answer,
        )
    });
    let refusal = dead;
    let title = "a SAD that was revoked signs nothing";
    let check = chapter.check("R5.revoked", title, async move |context| {
        let documents = context.documents(1);
        let sad = context.sad(version, &documents).await?;
        let answer = context
            .call(version, "auth/revoke", &json!({"token": sad.value}))
            .await?;
        if answer.status != 204 {
            return Err(Stop::Skip("auth/revoke takes no SAD".to_owned()));
        }
        sign(context, version, &sad.value, &documents)
            .await?
            .refused(&refusal)
    });
    check.needs(Need::Method("auth/revoke")).silent();
}

/// One change in a good order.
fn refuses<'l>(
    version: Version,
    chapter: &'l mut Chapter<'_>,
    name: &str,
    title: &str,
    change: Change,
    refusal: Refusal,
) -> &'l mut Check {
    let good = async move |context: &Context<'_>| idle(context, version).await;
    chapter.refuses(name, title, METHOD, good, change, refusal)
}

fn refusals(version: Version, chapter: &mut Chapter<'_>) {
    let name_of = version.hashes();
    let missing =
        |kind: &str, name: &str| format!("Missing (or invalid type) {kind} parameter {name}");
    let (sad, credential) = (missing("string", "SAD"), missing("string", "credentialID"));
    let (hashes, algorithm) = (missing("array", "hash"), missing("string", "signAlgo"));
    let invalid = |name: &str| format!("Invalid parameter {name}");
    let base64 = "Invalid Base64 hash string parameter".to_owned();
    let rows = [
        ("S3.no-sad", "no SAD", without("SAD"), sad.clone()),
        (
            "S3.sad-null",
            "null for SAD",
            with("SAD", json!(null)),
            sad.clone(),
        ),
        (
            "S3.sad-number",
            "a number for SAD",
            with("SAD", json!(5)),
            sad,
        ),
        (
            "S3.sad-unknown",
            "an unknown SAD",
            with("SAD", json!("unknown")),
            invalid("SAD"),
        ),
        (
            "S3.sad-empty",
            "an empty SAD",
            with("SAD", json!("")),
            invalid("SAD"),
        ),
        (
            "S3.no-credential",
            "no credentialID",
            without("credentialID"),
            credential.clone(),
        ),
        (
            "S3.credential-number",
            "a number for credentialID",
            with("credentialID", json!(5)),
            credential,
        ),
        (
            "S3.credential-unknown",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            invalid("credentialID"),
        ),
        (
            "S3.no-hashes",
            "no hashes",
            without(name_of),
            hashes.clone(),
        ),
        (
            "S3.hashes-text",
            "a text for the list of hashes",
            with(name_of, json!("x")),
            hashes.clone(),
        ),
        (
            "S3.hashes-object",
            "an object for the list of hashes",
            with(name_of, json!({})),
            hashes,
        ),
        (
            "S3.empty-hashes",
            "an empty list of hashes",
            with(name_of, json!([])),
            "Empty hash array".to_owned(),
        ),
        (
            "S3.no-base64",
            "a hash that is no base64",
            with(name_of, json!(["no base64!"])),
            base64.clone(),
        ),
        (
            "S3.newline",
            "base64 with a line break",
            with(
                name_of,
                json!(["LPJNul+wow4m6Dsqxbni\nnhsWHlwfp0JecwQzYpOLmCQ="]),
            ),
            base64,
        ),
        (
            "S3.length",
            "a hash of three octets",
            with(name_of, json!(["AAAA"])),
            "Invalid digest value length".to_owned(),
        ),
        (
            "S3.no-algorithm",
            "no signAlgo",
            without("signAlgo"),
            algorithm.clone(),
        ),
        (
            "S3.algorithm-number",
            "a number for signAlgo",
            with("signAlgo", json!(5)),
            algorithm,
        ),
        (
            "S3.algorithm-unknown",
            "an unknown signAlgo",
            with("signAlgo", json!("1.2.3")),
            invalid("signAlgo"),
        ),
        (
            "S3.algorithm-sha1",
            "RSA with SHA-1",
            with("signAlgo", json!("1.2.840.113549.1.1.5")),
            invalid("signAlgo"),
        ),
        (
            "S3.client-data",
            "a number for clientData",
            with("clientData", json!(5)),
            invalid("clientData"),
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
    let title = "a signAlgo that the key does not list is refused";
    chapter.check("S3.algorithm-unlisted", title, async move |context| {
        let listed = context.subject(version)?.algorithms;
        let known = ["1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"];
        let Some(other) = known
            .iter()
            .find(|oid| !listed.iter().any(|listed| listed == *oid))
        else {
            return Err(Stop::Skip("key/algo lists RSA and ECDSA".to_owned()));
        };
        let mut order = idle(context, version).await?;
        set(&mut order, "signAlgo", json!(other));
        let answer = context.call(version, METHOD, &order).await?;
        answer.refused(&text("Invalid parameter signAlgo"))
    });
    let name_of = version.hash_algorithm();
    let title = "a hash algorithm that contradicts signAlgo is refused";
    let check = chapter.check("S2.contradiction", title, async move |context| {
        let algorithm = context.algorithm(version)?;
        if algorithm.oid == RSA {
            return Err(Stop::Skip("signAlgo implies no hash".to_owned()));
        }
        let other = match algorithm.hash.oid == SHA384.oid {
            true => SHA512.oid,
            false => SHA384.oid,
        };
        let mut order = idle(context, version).await?;
        set(&mut order, name_of, json!(other));
        context.call(version, METHOD, &order).await?.refused(&any())
    });
    check.silent();
    let change = with(name_of, json!("1.2.3"));
    let refusal = text(format!("Invalid parameter {name_of}"));
    refuses(
        version,
        chapter,
        "S3.hash-algorithm",
        "an unknown hash algorithm is refused",
        change,
        refusal,
    )
    .silent();
    let change = with(name_of, json!("1.3.14.3.2.26"));
    refuses(
        version,
        chapter,
        "S3.hash-sha1",
        "SHA-1 as hash algorithm is refused",
        change,
        any(),
    );
}

fn modes(chapter: &mut Chapter<'_>) {
    let mode = || text("Invalid parameter operationMode");
    for (name, what, value) in [
        ("S7.mode", "an unknown operationMode", json!("X")),
        ("S7.mode-number", "a number for operationMode", json!(5)),
    ] {
        let title = format!("{what} is refused");
        refuses(
            V2,
            chapter,
            name,
            &title,
            with("operationMode", value),
            mode(),
        );
    }
    let title = "operationMode S is the default: it changes nothing";
    chapter.check("S7.default", title, async |context| {
        let documents = context.documents(1);
        let sad = context.sad(V2, &documents).await?;
        let mut order = context.order(V2, &sad.value, &documents)?;
        set(&mut order, "operationMode", json!("S"));
        let answer = context.call(V2, METHOD, &order).await?;
        verify(context, V2, &context.algorithm(V2)?, &documents, &answer)
    });
    let title = "what belongs to asynchronous operation is ignored in the other mode";
    let check = chapter.check("S7.ignored", title, async |context| {
        let documents = context.documents(1);
        let sad = context.sad(V2, &documents).await?;
        let mut order = context.order(V2, &sad.value, &documents)?;
        set(&mut order, "validity_period", json!(60_000));
        set(
            &mut order,
            "response_uri",
            json!("https://app.example/done"),
        );
        let answer = context.call(V2, METHOD, &order).await?;
        verify(context, V2, &context.algorithm(V2)?, &documents, &answer)
    });
    check.silent();
}
