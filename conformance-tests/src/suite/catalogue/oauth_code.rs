//! The code flow with a person at the pages (CSC API v1 8.3.2 and 8.3.3, v2 8.4.2 and 8.4.4; RFC 7636, RFC 9207).

use serde_json::{Value, json};

use super::{
    super::{
        application::STATE,
        check::{Check, Need, Stop, V2, must},
        code_flow::Code,
        context::Context,
        refusal::{Refusal, any, code, coded, list as members, string, text},
        wire::Answer,
    },
    Chapter,
};

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "code", "v1 8.3.3, v2 8.4.4");
    chapter = chapter.needing(&[Need::Application, Need::Pages]);
    pages(&mut chapter);
    service(&mut chapter);
    refusals(&mut chapter);
    reuse(&mut chapter);
    refreshed(&mut chapter);
}

fn pages(chapter: &mut Chapter<'_>) {
    let clauses = "v1 8.3.2, v2 8.4.2";
    let title = "the person's yes sends the browser back with a code and the state";
    let check = chapter.check("A1.allowed", title, async |context| {
        let back = context.allowed(&context.asking()?).await?;
        let code = back.get("code").map(Vec::as_slice);
        must!(
            matches!(code, Some([code]) if !code.is_empty()),
            "code is {code:?}"
        );
        must!(
            !back.contains_key("error"),
            "an error beside the code: {back:?}"
        );
        let state = back.get("state");
        must!(
            state == Some(&vec![STATE.to_owned()]),
            "state is {state:?}, not '{STATE}'"
        );
        context.names_issuer(&back)
    });
    check.clause(clauses);
    let title = "the person's no sends the browser back with access_denied and the state";
    let check = chapter.check("A2.denied", title, async |context| {
        let back = context.denied(&context.asking()?).await?;
        let error = back.get("error");
        must!(
            error == Some(&vec!["access_denied".to_owned()]),
            "error is {error:?}"
        );
        must!(
            !back.contains_key("code"),
            "a code beside the error: {back:?}"
        );
        let state = back.get("state");
        must!(
            state == Some(&vec![STATE.to_owned()]),
            "state is {state:?}, not '{STATE}'"
        );
        context.names_issuer(&back)
    });
    check.clause(clauses).needs(Need::Refuse);
    let title = "each code is another, of 128 bits at least";
    let check = chapter.check("A1.own-code", title, async |context| {
        let first = context.code(&context.asking()?).await?.value;
        let second = context.code(&context.asking()?).await?.value;
        must!(first != second, "two requests got the same code");
        let shortest = first.len().min(second.len());
        must!(
            shortest >= 22,
            "{shortest} characters hold less than 128 bits"
        );
        Ok(())
    });
    check.silent();
}

async fn granted(context: &Context<'_>) -> Result<Value, Stop> {
    let given = context.code(&context.asking()?).await?;
    context.trade(&given).await?.ok()
}

/// Calls the API with a token of the person.
async fn list(context: &Context<'_>, token: &str) -> Result<Answer, Stop> {
    let method = "credentials/list";
    context.call_with(V2, method, token, &json!({})).await
}

fn service(chapter: &mut Chapter<'_>) {
    let title = "a code and its verifier give a bearer token";
    chapter.check("T1.token", title, async |context| {
        let body = granted(context).await?;
        must!(
            !string(&body, "/access_token")?.is_empty(),
            "access_token is empty"
        );
        let kind = string(&body, "/token_type")?;
        must!(
            kind.eq_ignore_ascii_case("bearer"),
            "token_type is '{kind}'"
        );
        let life = body.get("expires_in");
        must!(life.is_none_or(Value::is_u64), "expires_in is {life:?}");
        Ok(())
    });
    let title = "the token opens the API as the person's own: credentials/list needs no userID";
    let check = chapter.check("T1.opens", title, async |context| {
        let body = granted(context).await?;
        let listed = list(context, string(&body, "/access_token")?).await?.ok()?;
        members(&listed, "/credentialIDs").map(|_| ())
    });
    check.needs(Need::Method("credentials/list"));
    let title = "the answer is not to be stored by anybody on the way";
    chapter.check("T7.no-store", title, async |context| {
        let given = context.code(&context.asking()?).await?;
        let answer = context.trade(&given).await?;
        answer.ok()?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    let title = "a pushed request is answered as one in the URL";
    let check = chapter.check("A6.answered", title, async |context| {
        let asking = context.asking()?;
        let name = context.pushed(&asking).await?;
        let given = context.code(&asking.named(&name)).await?;
        let body = context.trade(&given).await?.ok()?;
        string(&body, "/access_token").map(|_| ())
    });
    check.needs(Need::Pushed);
}

fn refusals(chapter: &mut Chapter<'_>) {
    type Spoil = fn(Code) -> Code;
    let other =
        "redirect_uri parameter does not match redirect_uri parameter of authorization request";
    let rows: [(&str, &str, Spoil, Refusal); 8] = [
        (
            "T2.no-code",
            "no code",
            |code| code.without("code"),
            text("Missing parameter code"),
        ),
        (
            "T2.other-redirect",
            "another redirect_uri than that of the request",
            |code| code.with("redirect_uri", "https://evil.example/cb"),
            coded("invalid_grant", other),
        ),
        (
            "T2.no-redirect",
            "no redirect_uri where the request had one",
            |code| code.without("redirect_uri"),
            coded("invalid_grant", other),
        ),
        (
            "T2.other-verifier",
            "another code_verifier",
            |code| {
                code.with(
                    "code_verifier",
                    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                )
            },
            code("invalid_grant"),
        ),
        (
            "T2.challenge",
            "the code_challenge in place of the verifier",
            |code| {
                let challenge = code.challenge();
                code.with("code_verifier", &challenge)
            },
            code("invalid_grant"),
        ),
        (
            "T2.short-verifier",
            "a code_verifier that is too short",
            |code| code.with("code_verifier", "x"),
            any().status(&[400]),
        ),
        (
            "T2.no-verifier",
            "no code_verifier",
            |code| code.without("code_verifier"),
            any().status(&[400]),
        ),
        (
            "T2.changed-code",
            "a code with another end",
            |code| {
                let other = format!("{}x", code.value);
                code.with("code", &other)
            },
            code("invalid_grant"),
        ),
    ];
    for (name, what, spoil, refusal) in rows {
        let title = format!("{what} is refused");
        chapter.check(name, &title, async move |context| {
            let given = context.code(&context.asking()?).await?;
            context.trade(&spoil(given)).await?.refused(&refusal)
        });
    }
    let title = "another client gets nothing for the code";
    let check = chapter.check("T2.other-client", title, async |context| {
        let given = context.code(&context.asking()?).await?;
        let answer = context.trade_as_other(&given).await?;
        answer.refused(&code("invalid_grant"))
    });
    check.needs(Need::OtherClient);
    let title = "the code alone, without the client's secret, gives nothing";
    chapter.check("T2.no-secret", title, async |context| {
        let given = context.code(&context.asking()?).await?;
        let id = context.application()?.id.clone();
        let answer = context.trade_openly(&given.with("client_id", &id)).await?;
        answer.refused(&any().status(&[400, 401]))
    });
}

fn reuse(chapter: &mut Chapter<'_>) {
    let title = "a code is good once";
    chapter.check("A9.twice", title, async |context| {
        let given = context.code(&context.asking()?).await?;
        context.trade(&given).await?.ok()?;
        let again = context.trade(&given).await?;
        again.refused(&code("invalid_grant"))
    });
    let title = "a code that comes again kills the tokens it gave";
    let check = chapter.check("A9.twice-kills", title, async |context| {
        let given = context.code(&context.asking()?).await?;
        let body = context.trade(&given).await?.ok()?;
        context.trade(&given).await?.refused(&any())?;
        let answer = list(context, string(&body, "/access_token")?).await?;
        answer.unauthorised(&["expired_token", "invalid_token"])
    });
    check
        .should()
        .clause("RFC 6749 4.1.2")
        .needs(Need::Method("credentials/list"));
}

fn refreshed(chapter: &mut Chapter<'_>) {
    let invalid = || code("invalid_grant");
    let title = "the refresh token of the code flow gives a new access token";
    chapter.check("T3.refresh", title, async |context| {
        let body = granted(context).await?;
        let again = context.refresh(&body).await?.ok()?;
        must!(
            string(&again, "/access_token")? != string(&body, "/access_token")?,
            "the access token is the old one"
        );
        Ok(())
    });
    let title = "a refresh token that was replaced is dead";
    let check = chapter.check("T3.rotated", title, async move |context| {
        let body = granted(context).await?;
        rotated(context, &body).await?;
        context.refresh(&body).await?.refused(&invalid())
    });
    check.clause("v1 8.3.3, RFC 9700 4.14");
    let title = "a refresh token that comes again kills the whole family";
    let check = chapter.check("T3.family", title, async move |context| {
        let body = granted(context).await?;
        let next = rotated(context, &body).await?;
        context.refresh(&body).await?.refused(&invalid())?;
        context.refresh(&next).await?.refused(&invalid())
    });
    check.should().clause("RFC 9700 4.14");
    let title = "another client's refresh token gives nothing";
    let check = chapter.check("T3.other-client", title, async move |context| {
        let body = granted(context).await?;
        let token = string(&body, "/refresh_token")?;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let answer = context.as_other("token", &fields).await?;
        answer.refused(&invalid())
    });
    check.needs(Need::OtherClient);
    let title = "another client does not revoke the token";
    let check = chapter.check("R7.other-client", title, async |context| {
        let body = granted(context).await?;
        let token = string(&body, "/access_token")?;
        // RFC 7009 2.1 refuses; a 204 without effect tells a stranger as little.
        context.as_other("revoke", &[("token", token)]).await?;
        list(context, token).await?.ok().map(|_| ())
    });
    check
        .needs(Need::OtherClient)
        .needs(Need::Method("credentials/list"))
        .clause("RFC 7009 2.1");
}

/// The answer to a refresh, when refresh tokens are replaced.
async fn rotated(context: &Context<'_>, body: &Value) -> Result<Value, Stop> {
    let next = context.refresh(body).await?.ok()?;
    let (old, new) = (body.get("refresh_token"), next.get("refresh_token"));
    match new.is_none() || old == new {
        true => Err(Stop::Skip("refresh tokens are not rotated".to_owned())),
        false => Ok(next),
    }
}
