//! `auth/revoke` (CSC API v1 11.3, v2 11.3).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, Version},
        context::Context,
        refusal::{string, text},
        wire::Answer,
    },
    Chapter,
    login::{refresh, remembered},
    with, without,
};

const METHOD: &str = "auth/revoke";

async fn list(context: &Context<'_>, version: Version, token: &str) -> Result<Answer, Stop> {
    context
        .call_with(version, "credentials/list", token, &json!({}))
        .await
}

/// A token of its own.
async fn fresh(context: &Context<'_>, version: Version) -> Result<String, Stop> {
    let body = context.basic_login(version, &json!({})).await?.ok()?;
    Ok(string(&body, "/access_token")?.to_owned())
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "revoke", ("11.3", "11.3"));
    let needs = [
        Need::Method(METHOD),
        Need::Method("auth/login"),
        Need::Basic,
        Need::Method("credentials/list"),
    ];
    chapter = chapter.needing(&needs);
    let hints = [
        ("no-hint", "without a hint", None),
        (
            "hint-access",
            "with the hint access_token",
            Some("access_token"),
        ),
        (
            "hint-refresh",
            "with the hint refresh_token",
            Some("refresh_token"),
        ),
    ];
    for (name, what, hint) in hints {
        let title = format!("an access token revoked {what} is dead at once");
        chapter.check(&format!("R1.{name}"), &title, async move |context| {
            let token = fresh(context, version).await?;
            let body = hinted(&token, hint);
            context
                .call_with(version, METHOD, &token, &body)
                .await?
                .done()?;
            let answer = list(context, version, &token).await?;
            answer.unauthorised(&["expired_token", "invalid_token"])
        });
        let title = format!("a refresh token revoked {what} gives no token any more");
        chapter.check(&format!("R2.{name}"), &title, async move |context| {
            let (access, token) = remembered(context, version).await?;
            let body = hinted(&token, hint);
            context
                .call_with(version, METHOD, &access, &body)
                .await?
                .done()?;
            let refusal = text("Invalid refresh_token");
            refresh(context, version, &token).await?.refused(&refusal)
        });
    }
    let title = "a revoked access token is said to be expired";
    chapter.check("R1.expired", title, async move |context| {
        let token = fresh(context, version).await?;
        let body = hinted(&token, None);
        context
            .call_with(version, METHOD, &token, &body)
            .await?
            .done()?;
        list(context, version, &token)
            .await?
            .unauthorised(&["expired_token"])
    });
    let title = "the refresh token outlives a revoked access token";
    chapter.check("R1.refresh-lives", title, async move |context| {
        let (access, token) = remembered(context, version).await?;
        let body = hinted(&access, None);
        context
            .call_with(version, METHOD, &access, &body)
            .await?
            .done()?;
        refresh(context, version, &token).await?.ok().map(|_| ())
    });
    let title = "the access tokens of a revoked refresh token die with it";
    let check = chapter.check("R2.access-dies", title, async move |context| {
        let (access, token) = remembered(context, version).await?;
        let body = hinted(&token, None);
        context
            .call_with(version, METHOD, &access, &body)
            .await?
            .done()?;
        let answer = list(context, version, &access).await?;
        answer.unauthorised(&["expired_token", "invalid_token"])
    });
    if version == super::V2 {
        check.should();
    }
    let title = "other tokens of the same user live on";
    chapter.check("R1.others-live", title, async move |context| {
        let (first, second) = (
            fresh(context, version).await?,
            fresh(context, version).await?,
        );
        let body = hinted(&first, None);
        context
            .call_with(version, METHOD, &second, &body)
            .await?
            .done()?;
        list(context, version, &second).await?.ok().map(|_| ())
    });
    let missing = "Missing (or invalid type) string parameter token";
    let hint = "Invalid string parameter token_type_hint";
    let rows = [
        ("R4.no-token", "no token", without("token"), missing),
        (
            "R4.null",
            "null for the token",
            with("token", json!(null)),
            missing,
        ),
        (
            "R4.number",
            "a number for the token",
            with("token", json!(5)),
            missing,
        ),
        (
            "R4.hint",
            "an unknown hint",
            with("token_type_hint", json!("id_token")),
            hint,
        ),
        (
            "R4.hint-number",
            "a number for the hint",
            with("token_type_hint", json!(5)),
            hint,
        ),
        (
            "R4.unknown",
            "an unknown token",
            with("token", json!("unknown")),
            "Invalid string parameter token",
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        let good = async |_: &Context<'_>| Ok(json!({"token": "unknown"}));
        chapter.refuses(name, &title, METHOD, good, change, text(words));
    }
}

fn hinted(token: &str, hint: Option<&str>) -> Value {
    match hint {
        Some(hint) => json!({"token": token, "token_type_hint": hint}),
        None => json!({"token": token}),
    }
}
