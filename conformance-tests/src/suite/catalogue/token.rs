//! `oauth2/token` with client credentials (CSC API v1 8.3.3, v2 8.4.4).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, Version, must, should},
        context::Context,
        prepare::basic_header,
        refusal::{any, coded, string, text},
        wire::Answer,
    },
    Chapter,
};

/// Fields of a form.
type Fields = &'static [(&'static str, &'static str)];

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn token(context: &Context<'_>, fields: &[(&str, &str)]) -> Result<Answer, Stop> {
    context.send(context.oauth("token")?.form(fields)).await
}

/// The fields with the client's name and secret.
async fn with_secret(context: &Context<'_>, fields: &[(&str, &str)]) -> Result<Answer, Stop> {
    let (id, secret) = context.client()?;
    let own = [
        ("client_id", id.as_str()),
        ("client_secret", secret.as_str()),
    ];
    token(context, &[fields, &own].concat()).await
}

/// Access token and refresh token, where there is one.
async fn granted(context: &Context<'_>) -> Result<(String, Option<String>), Stop> {
    let body = with_secret(context, &[GRANT]).await?.ok()?;
    let refresh = body
        .get("refresh_token")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Ok((string(&body, "/access_token")?.to_owned(), refresh))
}

async fn refreshed(context: &Context<'_>, refresh: &str) -> Result<Answer, Stop> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    with_secret(context, &fields).await
}

/// The refresh token of a new grant.
async fn refresh_token(context: &Context<'_>) -> Result<(String, String), Stop> {
    let (access, refresh) = granted(context).await?;
    let refresh = refresh.ok_or_else(|| {
        Stop::Skip("the server gives no refresh token with client credentials".to_owned())
    })?;
    Ok((access, refresh))
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "token", "v1 8.3.3, v2 8.4.4");
    chapter = chapter.needing(&[Need::Client]);
    successes(&mut chapter);
    refusals(&mut chapter);
    authentication(&mut chapter);
}

fn successes(chapter: &mut Chapter<'_>) {
    let title = "client credentials give an access token";
    chapter.check("T4.token", title, async |context| {
        must!(
            !granted(context).await?.0.is_empty(),
            "access_token is empty"
        );
        Ok(())
    });
    let title = "the token's type is Bearer";
    chapter.check("T1.bearer", title, async |context| {
        let body = with_secret(context, &[GRANT]).await?.ok()?;
        let kind = string(&body, "/token_type")?;
        must!(
            kind.eq_ignore_ascii_case("bearer"),
            "token_type is '{kind}'"
        );
        should!(kind == "Bearer", "token_type is '{kind}'");
        Ok(())
    });
    let title = "expires_in is a whole number of seconds where it is there";
    chapter.check("T1.expires-in", title, async |context| {
        let body = with_secret(context, &[GRANT]).await?.ok()?;
        let found = body.get("expires_in");
        must!(found.is_none_or(Value::is_u64), "expires_in is {found:?}");
        Ok(())
    });
    let title = "the answer is not to be stored by anybody on the way (RFC 6749 5.1)";
    let check = chapter.check("T7.no-store", title, async |context| {
        let answer = with_secret(context, &[GRANT]).await?;
        answer.ok()?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    check.should();
    let title = "each grant has a token of its own";
    let check = chapter.check("T1.own-token", title, async |context| {
        let (first, second) = (granted(context).await?.0, granted(context).await?.0);
        must!(first != second, "two grants got the same token");
        let shortest = first.len().min(second.len());
        must!(
            shortest >= 22,
            "{shortest} characters hold less than 128 bits"
        );
        Ok(())
    });
    check.silent();
    let title = "the secret may come by HTTP Basic";
    chapter.check("T1.basic", title, async |context| {
        let (id, secret) = context.client()?;
        let request = context.oauth("token")?;
        let request = request.header("Authorization", basic_header(&id, &secret));
        let answer = context
            .send(request.form(&[GRANT, ("client_id", &id)]))
            .await?;
        string(&answer.ok()?, "/access_token").map(|_| ())
    });
    let title = "the scope service may be asked for";
    chapter.check("T4.service", title, async |context| {
        let answer = with_secret(context, &[GRANT, ("scope", "service")]).await?;
        string(&answer.ok()?, "/access_token").map(|_| ())
    });
    let title = "the token opens the API";
    chapter.check("T4.opens", title, async |context| {
        let (token, _) = granted(context).await?;
        let client = context.session.settings.client.as_ref();
        let Some(user) = client.and_then(|client| client.user_id.clone()) else {
            return Err(Stop::Skip("client.user_id is not set".to_owned()));
        };
        for version in context.session.settings.versions() {
            list(context, version, &token, &user).await?.ok()?;
        }
        Ok(())
    });
    let title = "a refresh token gives a new access token";
    chapter.check("T3.refresh", title, async |context| {
        let (access, refresh) = refresh_token(context).await?;
        let body = refreshed(context, &refresh).await?.ok()?;
        must!(
            string(&body, "/access_token")? != access,
            "the access token is the old one"
        );
        Ok(())
    });
    let title = "a refresh token that was replaced is dead";
    chapter.check("T3.rotation", title, async |context| {
        let (_, refresh) = refresh_token(context).await?;
        let body = refreshed(context, &refresh).await?.ok()?;
        if body
            .get("refresh_token")
            .is_none_or(|new| *new == json!(refresh))
        {
            return Err(Stop::Skip("refresh tokens are not rotated".to_owned()));
        }
        let answer = refreshed(context, &refresh).await?;
        answer.refused(&super::super::refusal::code("invalid_grant"))
    });
}

async fn list(
    context: &Context<'_>,
    version: Version,
    token: &str,
    user: &str,
) -> Result<Answer, Stop> {
    let body = json!({"userID": user});
    context
        .call_with(version, "credentials/list", token, &body)
        .await
}

fn refusals(chapter: &mut Chapter<'_>) {
    let invalid_scope = || super::super::refusal::code("invalid_scope");
    for (name, scope) in [
        ("T4.credential", "credential"),
        ("T4.unknown-scope", "openid"),
    ] {
        let title = format!("client credentials do not give the scope {scope}");
        chapter.check(name, &title, async move |context| {
            let answer = with_secret(context, &[GRANT, ("scope", scope)]).await?;
            answer.refused(&invalid_scope())
        });
    }
    let rows: [(&str, &str, Fields, super::Refusal); 5] = [
        (
            "T2.no-grant",
            "no grant_type",
            &[],
            text("Missing parameter grant_type"),
        ),
        (
            "T2.password",
            "the grant password",
            &[("grant_type", "password")],
            text("Invalid parameter grant_type"),
        ),
        (
            "T2.implicit",
            "the grant implicit",
            &[("grant_type", "implicit")],
            text("Invalid parameter grant_type"),
        ),
        (
            "T2.no-refresh-token",
            "a refresh without its token",
            &[("grant_type", "refresh_token")],
            text("Missing parameter refresh_token"),
        ),
        (
            "T2.unknown-refresh-token",
            "an unknown refresh token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "unknown"),
            ],
            coded("invalid_grant", "Invalid parameter refresh_token"),
        ),
    ];
    for (name, what, fields, refusal) in rows {
        let title = format!("{what} is refused");
        chapter.check(name, &title, async move |context| {
            with_secret(context, fields).await?.refused(&refusal)
        });
    }
    let title = "a parameter given twice is refused";
    let check = chapter.check("T2.twice", title, async |context| {
        with_secret(context, &[GRANT, GRANT]).await?.refused(&any())
    });
    check.clause("v1 10, table 3");
    let title = "a GET is refused: secrets do not stand in URLs";
    let check = chapter.check("T2.get", title, async |context| {
        let url = context.oauth("token")?.url;
        let answer = context.send(super::super::wire::Request::get(url)).await?;
        must!(
            answer.status >= 400,
            "a GET was answered with {}",
            answer.status
        );
        Ok(())
    });
    check.silent();
    let title = "JSON in place of a form is refused";
    let check = chapter.check("T2.json", title, async |context| {
        let (id, secret) = context.client()?;
        let body =
            json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
        context
            .send(context.oauth("token")?.json(&body))
            .await?
            .refused(&any())
    });
    check.silent();
}

fn authentication(chapter: &mut Chapter<'_>) {
    let title = "no client_id is refused";
    chapter.check("T2.no-client", title, async |context| {
        let (_, secret) = context.client()?;
        let answer = token(context, &[GRANT, ("client_secret", &secret)]).await?;
        answer.refused(&text("Missing parameter client_id"))
    });
    let title = "an unknown client is refused";
    chapter.check("T2.unknown-client", title, async |context| {
        let own = [
            GRANT,
            ("client_id", "nobody-at-all"),
            ("client_secret", "x"),
        ];
        token(context, &own)
            .await?
            .refused(&text("Invalid parameter client_id"))
    });
    let title = "a wrong secret is refused";
    chapter.check("T2.wrong-secret", title, async |context| {
        let (id, _) = context.client()?;
        let own = [
            GRANT,
            ("client_id", id.as_str()),
            ("client_secret", "wrong"),
        ];
        token(context, &own)
            .await?
            .refused(&text("Invalid parameter client_secret"))
    });
    let title = "no secret is refused";
    chapter.check("T2.no-secret", title, async |context| {
        let (id, _) = context.client()?;
        let answer = token(context, &[GRANT, ("client_id", &id)]).await?;
        answer.refused(&text("Client authorization required").status(&[400, 401]))
    });
    let title = "a wrong secret by HTTP Basic is refused with 401";
    let check = chapter.check("T2.wrong-basic", title, async |context| {
        let (id, _) = context.client()?;
        let request = context.oauth("token")?;
        let request = request.header("Authorization", basic_header(&id, "wrong"));
        let answer = context
            .send(request.form(&[GRANT, ("client_id", &id)]))
            .await?;
        answer.refused(&super::super::refusal::code("invalid_client").status(&[401]))
    });
    check.clause("RFC 6749 5.2");
}
