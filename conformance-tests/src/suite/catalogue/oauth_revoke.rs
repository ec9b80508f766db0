//! `oauth2/revoke` (CSC API v1 8.3.4, v2 8.4.5).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, must},
        context::Context,
        prepare::basic_header,
        refusal::{coded, string, text},
        wire::Answer,
    },
    Chapter,
};

/// Fields of a form.
type Fields = &'static [(&'static str, &'static str)];

async fn revoke(context: &Context<'_>, fields: &[(&str, &str)]) -> Result<Answer, Stop> {
    context.send(context.oauth("revoke")?.form(fields)).await
}

async fn with_secret(context: &Context<'_>, fields: &[(&str, &str)]) -> Result<Answer, Stop> {
    let (id, secret) = context.client()?;
    let own = [
        ("client_id", id.as_str()),
        ("client_secret", secret.as_str()),
    ];
    revoke(context, &[fields, &own].concat()).await
}

async fn granted(context: &Context<'_>) -> Result<Value, Stop> {
    context.client_token().await?.ok()
}

/// A call with a token that is no good.
async fn dead(context: &Context<'_>, token: &str) -> super::Verdict {
    let Some(version) = context.session.settings.versions().next() else {
        return Ok(());
    };
    let body = context.list_body(version);
    let answer = context
        .call_with(version, "credentials/list", token, &body)
        .await?;
    answer.unauthorised(&["expired_token", "invalid_token"])
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "oauth-revoke", "v1 8.3.4, v2 8.4.5");
    chapter = chapter.needing(&[Need::Client, Need::Method("credentials/list")]);
    let hints = [
        ("no-hint", "without a hint", None),
        (
            "hint-access",
            "with the hint access_token",
            Some("access_token"),
        ),
        (
            "hint-refresh",
            "with a hint that is wrong",
            Some("refresh_token"),
        ),
    ];
    for (name, what, hint) in hints {
        let title = format!("an access token revoked {what} is dead at once");
        chapter.check(&format!("R1.{name}"), &title, async move |context| {
            let body = granted(context).await?;
            let token = string(&body, "/access_token")?;
            let mut fields = vec![("token", token)];
            fields.extend(hint.map(|hint| ("token_type_hint", hint)));
            with_secret(context, &fields).await?.done()?;
            dead(context, token).await
        });
    }
    let title = "HTTP Basic serves as well";
    chapter.check("R1.basic", title, async |context| {
        let body = granted(context).await?;
        let token = string(&body, "/access_token")?;
        let (id, secret) = context.client()?;
        let request = context.oauth("revoke")?;
        let request = request.header("Authorization", basic_header(&id, &secret));
        context
            .send(request.form(&[("token", token)]))
            .await?
            .done()?;
        dead(context, token).await
    });
    refresh_tokens(&mut chapter);
    refusals(&mut chapter);
}

fn refresh_tokens(chapter: &mut Chapter<'_>) {
    let title = "a revoked refresh token gives no token any more";
    chapter.check("R2.refresh", title, async |context| {
        let (_, refresh) = pair(context).await?;
        with_secret(context, &[("token", &refresh)]).await?.done()?;
        let answer = refreshed(context, &refresh).await?;
        answer.refused(&super::super::refusal::code("invalid_grant"))
    });
    let title = "the access tokens of a revoked refresh token die with it";
    let check = chapter.check("R2.access-dies", title, async |context| {
        let (access, refresh) = pair(context).await?;
        with_secret(context, &[("token", &refresh)]).await?.done()?;
        dead(context, &access).await
    });
    check.should();
    let title = "the refresh token outlives a revoked access token";
    chapter.check("R1.refresh-lives", title, async |context| {
        let (access, refresh) = pair(context).await?;
        with_secret(context, &[("token", &access)]).await?.done()?;
        refreshed(context, &refresh).await?.ok().map(|_| ())
    });
}

async fn pair(context: &Context<'_>) -> Result<(String, String), Stop> {
    let body = granted(context).await?;
    let Some(refresh) = body.get("refresh_token").and_then(Value::as_str) else {
        return Err(Stop::Skip(
            "the server gives no refresh token with client credentials".to_owned(),
        ));
    };
    Ok((
        string(&body, "/access_token")?.to_owned(),
        refresh.to_owned(),
    ))
}

async fn refreshed(context: &Context<'_>, refresh: &str) -> Result<Answer, Stop> {
    let (id, secret) = context.client()?;
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", &id),
        ("client_secret", &secret),
    ];
    context.send(context.oauth("token")?.form(&fields)).await
}

fn refusals(chapter: &mut Chapter<'_>) {
    let rows: [(&str, &str, Fields, &str); 3] = [
        ("R4.no-token", "no token", &[], "Missing parameter token"),
        (
            "R4.unknown",
            "an unknown token",
            &[("token", "unknown")],
            "Invalid string parameter token",
        ),
        (
            "R4.hint",
            "an unknown hint",
            &[("token", "unknown"), ("token_type_hint", "id_token")],
            "Invalid parameter token_type_hint",
        ),
    ];
    for (name, what, fields, words) in rows {
        let title = format!("{what} is refused");
        chapter.check(name, &title, async move |context| {
            with_secret(context, fields).await?.refused(&text(words))
        });
    }
    let title = "neither client_id nor header is refused";
    chapter.check("R6.no-client", title, async |context| {
        let refusal = text("Missing parameter client_id").status(&[400, 401]);
        revoke(context, &[("token", "x")]).await?.refused(&refusal)
    });
    let title = "no secret is refused";
    chapter.check("R6.no-secret", title, async |context| {
        let (id, _) = context.client()?;
        let refusal = text("Client authorization required").status(&[400, 401]);
        revoke(context, &[("token", "x"), ("client_id", &id)])
            .await?
            .refused(&refusal)
    });
    let title = "an unknown client is refused";
    chapter.check("R6.unknown-client", title, async |context| {
        let fields = [
            ("token", "x"),
            ("client_id", "nobody-at-all"),
            ("client_secret", "x"),
        ];
        revoke(context, &fields)
            .await?
            .refused(&text("Invalid parameter client_id"))
    });
    let title = "a wrong secret is refused";
    chapter.check("R6.wrong-secret", title, async |context| {
        let (id, _) = context.client()?;
        let fields = [
            ("token", "x"),
            ("client_id", id.as_str()),
            ("client_secret", "wrong"),
        ];
        revoke(context, &fields)
            .await?
            .refused(&text("Invalid parameter client_secret"))
    });
    let title = "a wrong secret by HTTP Basic is refused with 401";
    chapter.check("R6.wrong-basic", title, async |context| {
        let (id, _) = context.client()?;
        let request = context.oauth("revoke")?;
        let request = request.header("Authorization", basic_header(&id, "wrong"));
        let refusal = coded("invalid_client", "Invalid authorization header").status(&[401]);
        context
            .send(request.form(&[("token", "x")]))
            .await?
            .refused(&refusal)
    });
    let title = "a refusal revokes nothing";
    chapter.check("R4.nothing-revoked", title, async |context| {
        let body = granted(context).await?;
        let token = string(&body, "/access_token")?;
        let fields = [("token", token), ("token_type_hint", "id_token")];
        with_secret(context, &fields)
            .await?
            .refused(&super::super::refusal::any())?;
        let Some(version) = context.session.settings.versions().next() else {
            return Ok(());
        };
        let client = context.session.settings.client.as_ref();
        let user = client.and_then(|client| client.user_id.clone());
        let body = json!({"userID": user});
        let answer = context
            .call_with(version, "credentials/list", token, &body)
            .await?;
        must!(answer.status != 401, "the token is dead");
        Ok(())
    });
}
