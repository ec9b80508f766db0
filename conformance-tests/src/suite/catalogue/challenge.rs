//! `credentials/sendOTP` (CSC API v1 11.8) and `credentials/getChallenge` (v2 11.8).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V1, V2, Version, must},
        context::{Context, said},
        refusal::{string, text},
    },
    Change, Chapter, with, without,
};

async fn good(context: &Context<'_>, version: Version) -> Result<Value, Stop> {
    let subject = context.subject(version)?;
    let object = subject.code.map(|code| code.id).unwrap_or_default();
    Ok(match version {
        V1 => json!({"credentialID": subject.id}),
        V2 => json!({"credentialID": subject.id, "authObjectID": object}),
    })
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let section = version.pick("sendOTP", "getChallenge");
    let method = version.pick("credentials/sendOTP", "credentials/getChallenge");
    let mut chapter = Chapter::new(checks, version, section, ("11.8", "11.8"));
    chapter = chapter.needing(&[Need::Method(method), Need::Credential]);
    let title = version.pick(
        "a code is sent: 204",
        "a challenge is given, or sent: 200 or 204",
    );
    let check = chapter.check("Z9.sent", title, async move |context| {
        let body = good(context, version).await?;
        context.expect_code();
        let mut answer = context.call(version, method, &body).await?;
        let pause = answer
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        if let (429, Some(seconds)) = (answer.status, pause) {
            context.wait(seconds).await?;
            answer = context.call(version, method, &body).await?;
        }
        if version == V2 && answer.status == 200 {
            return string(&answer.ok()?, "/challenge").map(|_| ());
        }
        answer.done()?;
        context.take_code().await.map(|_| ())
    });
    check.needs(Need::OnlineCode).needs(Need::Factors);
    let title = "the code that was sent authorizes";
    let check = chapter.check("Z9.good", title, async move |context| {
        let sad = context.sad(version, &context.documents(1)).await?;
        must!(!sad.value.is_empty(), "SAD is empty");
        Ok(())
    });
    check.needs(Need::OnlineCode).needs(Need::Factors);
    let unknown = "Invalid parameter credentialID";
    let missing = version.pick(
        "Missing (or invalid type) string parameter credentialID",
        unknown,
    );
    let mut rows = vec![
        (
            "Z10.no-credential",
            "no credentialID",
            without("credentialID"),
            missing,
        ),
        (
            "Z10.number",
            "a number for credentialID",
            with("credentialID", json!(5)),
            missing,
        ),
        (
            "Z10.unknown",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            unknown,
        ),
    ];
    if version == V2 {
        let object = "Invalid parameter authObjectID";
        let more: [(_, _, Change, _); 3] = [
            (
                "Z9.no-object",
                "no authObjectID",
                without("authObjectID"),
                object,
            ),
            (
                "Z9.object-number",
                "a number for authObjectID",
                with("authObjectID", json!(5)),
                object,
            ),
            (
                "Z9.object-unknown",
                "an unknown authObjectID",
                with("authObjectID", json!("unknown")),
                object,
            ),
        ];
        rows.extend(more);
    }
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        let good = async move |context: &Context<'_>| good(context, version).await;
        chapter.refuses(name, &title, method, good, change, text(words));
    }
    if version == V2 {
        let title = "a PIN is known, not sent: its object has no challenge";
        let check = chapter.check("Z9.pin", title, async move |context| {
            let subject = context.subject(V2)?;
            let body = json!({"credentialID": subject.id, "authObjectID": subject.pin});
            let answer = context.call(V2, method, &body).await?;
            must!(
                answer.status != 204,
                "something was sent: {}",
                said(&answer)
            );
            answer.refused(&text("Invalid parameter authObjectID"))
        });
        check.needs(Need::Pin).silent();
    }
}
