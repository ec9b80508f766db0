//! `auth/login` (CSC API v1 11.2, v2 11.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V1, Version, must, should},
        context::Context,
        prepare::basic_header,
        refusal::{any, code, coded, string, text},
        wire::Answer,
    },
    Chapter,
};

const METHOD: &str = "auth/login";

/// v1's texts end with a full stop.
fn stopped(version: Version, words: &str) -> String {
    words.to_owned() + version.pick(".", "")
}

async fn headed(context: &Context<'_>, version: Version, header: &str) -> Result<Answer, Stop> {
    let request = context
        .post(version, METHOD)
        .header("Authorization", header);
    context.send(request.json(&json!({}))).await
}

/// A log-in that is to be remembered: access token and refresh token.
pub(super) async fn remembered(
    context: &Context<'_>,
    version: Version,
) -> Result<(String, String), Stop> {
    let body = json!({"rememberMe": true});
    let answer = context.basic_login(version, &body).await?.ok()?;
    let Some(refresh) = answer.get("refresh_token").and_then(Value::as_str) else {
        return Err(Stop::Skip("auth/login gives no refresh tokens".to_owned()));
    };
    Ok((
        string(&answer, "/access_token")?.to_owned(),
        refresh.to_owned(),
    ))
}

/// auth/login with a refresh token and no header.
pub(super) async fn refresh(
    context: &Context<'_>,
    version: Version,
    token: &str,
) -> Result<Answer, Stop> {
    let request = context.post(version, METHOD);
    context
        .send(request.json(&json!({"refresh_token": token})))
        .await
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "login", ("11.2", "11.2"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Basic]);
    successes(version, &mut chapter);
    refusals(version, &mut chapter);
}

fn successes(version: Version, chapter: &mut Chapter<'_>) {
    let title = "name and password give an access token";
    chapter.check("L1.token", title, async move |context| {
        let body = context.basic_login(version, &json!({})).await?.ok()?;
        must!(
            !string(&body, "/access_token")?.is_empty(),
            "access_token is empty"
        );
        Ok(())
    });
    let title = "the token opens the API";
    let check = chapter.check("L1.opens", title, async move |context| {
        let body = context.basic_login(version, &json!({})).await?.ok()?;
        let token = string(&body, "/access_token")?;
        let answer = context
            .call_with(version, "credentials/list", token, &json!({}))
            .await?;
        answer.ok().map(|_| ())
    });
    check.needs(Need::Method("credentials/list"));
    let title = "nobody who did not ask to be remembered gets a refresh token";
    chapter.check("L1.no-refresh-token", title, async move |context| {
        let body = context.basic_login(version, &json!({})).await?.ok()?;
        super::super::refusal::absent(&body, "/refresh_token")
    });
    let title = "rememberMe gives a refresh token where the server has them";
    chapter.check("L1.remember-me", title, async move |context| {
        remembered(context, version).await.map(|_| ())
    });
    let title = "expires_in is a whole number of seconds where it is there";
    chapter.check("L1.expires-in", title, async move |context| {
        let body = context.basic_login(version, &json!({})).await?.ok()?;
        let found = body.get("expires_in");
        must!(
            found.is_none_or(Value::is_u64),
            "expires_in is {}",
            found.unwrap_or(&Value::Null)
        );
        Ok(())
    });
    let title = "each log-in has a token of its own";
    let check = chapter.check("L1.own-token", title, async move |context| {
        let first = context.basic_login(version, &json!({})).await?.ok()?;
        let second = context.basic_login(version, &json!({})).await?.ok()?;
        let (first, second) = (
            string(&first, "/access_token")?,
            string(&second, "/access_token")?,
        );
        must!(first != second, "two log-ins got the same token");
        let shortest = first.len().min(second.len());
        must!(
            shortest >= 22,
            "{shortest} characters hold less than 128 bits"
        );
        Ok(())
    });
    check.silent();
    let title =
        "the answer with the token is not to be stored by anybody on the way (RFC 6749 5.1)";
    let check = chapter.check("L1.no-store", title, async move |context| {
        let answer = context.basic_login(version, &json!({})).await?;
        answer.ok()?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    check.should();
    let title = "clientData changes nothing";
    chapter.check("L1.client-data", title, async move |context| {
        let body = json!({"clientData": "invoice 17"});
        let body = context.basic_login(version, &body).await?.ok()?;
        string(&body, "/access_token").map(|_| ())
    });
    let title = "a refresh token without a header gives a new access token";
    chapter.check("L2.refresh", title, async move |context| {
        let (first, token) = remembered(context, version).await?;
        let body = refresh(context, version, &token).await?.ok()?;
        must!(
            string(&body, "/access_token")? != first,
            "the access token is the old one"
        );
        Ok(())
    });
}

fn refusals(version: Version, chapter: &mut Chapter<'_>) {
    let malformed = coded(
        "invalid_request",
        stopped(version, "Malformed authentication parameter"),
    );
    let malformed = malformed.status(&[401]);
    for (name, title, header) in [
        ("L3.nothing", "neither header nor refresh token", None),
        (
            "L3.bearer",
            "a bearer token in place of HTTP Basic",
            Some("Bearer abc"),
        ),
        (
            "L3.no-base64",
            "HTTP Basic whose value is no base64",
            Some("Basic %%%"),
        ),
    ] {
        let malformed = malformed.clone();
        let title = format!("{title}: 401, the authentication parameter is malformed");
        chapter.check(name, &title, async move |context| {
            let answer = match header {
                Some(header) => headed(context, version, header).await?,
                None => {
                    context
                        .send(context.post(version, METHOD).json(&json!({})))
                        .await?
                }
            };
            answer.refused(&malformed)?;
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            should!(
                !challenge.is_empty(),
                "a 401 carries WWW-Authenticate (RFC 9110 15.5.2)"
            );
            Ok(())
        });
    }
    let title = "HTTP Basic without a colon is no name and password";
    chapter.check("L4.no-colon", title, async move |context| {
        let header = format!("Basic {}", STANDARD.encode("nocolon"));
        let refusal = text(stopped(version, "Malformed username-password"));
        headed(context, version, &header).await?.refused(&refusal)
    });
    let failed = coded(
        "authentication_error",
        "An error occurred during authentication process",
    );
    let refusal = failed.clone();
    let title = "a wrong password is 400 authentication_error";
    chapter.check("L5.wrong-password", title, async move |context| {
        let user = context
            .session
            .settings
            .basic
            .as_ref()
            .map_or("", |basic| &basic.user);
        let header = basic_header(user, "not the password");
        headed(context, version, &header).await?.refused(&refusal)
    });
    let title = "an unknown name reads like a wrong password";
    chapter.check("L5.unknown-name", title, async move |context| {
        let header = basic_header(&hex::encode(context.random()), "not the password");
        headed(context, version, &header).await?.refused(&failed)
    });
    let title = "a refresh token is a string";
    chapter.check("L6.number", title, async move |context| {
        let request = context
            .post(version, METHOD)
            .json(&json!({"refresh_token": 5}));
        let refusal = text("Invalid string parameter: refresh_token");
        context.send(request).await?.refused(&refusal)
    });
    let title = "an unknown refresh token is refused";
    chapter.check("L6.unknown", title, async move |context| {
        let token = hex::encode(context.random());
        let refusal = text("Invalid refresh_token");
        refresh(context, version, &token).await?.refused(&refusal)
    });
    let title = "an access token is no refresh token";
    chapter.check("L6.access-token", title, async move |context| {
        let body = context.basic_login(version, &json!({})).await?.ok()?;
        let refusal = text("Invalid refresh_token");
        let token = string(&body, "/access_token")?;
        refresh(context, version, token).await?.refused(&refusal)
    });
    let title = "header and refresh token together are refused";
    let check = chapter.check("L7.both", title, async move |context| {
        let body = json!({"refresh_token": "x"});
        context
            .basic_login(version, &body)
            .await?
            .refused(&code("invalid_request"))
    });
    check.silent();
    let title = "rememberMe is a boolean";
    let check = chapter.check("L8.remember-me-text", title, async move |context| {
        let body = json!({"rememberMe": "true"});
        context.basic_login(version, &body).await?.refused(&any())
    });
    check.silent();
    if version == V1 {
        let title = "a GET is no log-in";
        let check = chapter.check("L8.get", title, async move |context| {
            let url = context.post(version, METHOD).url;
            let answer = context.send(super::super::wire::Request::get(url)).await?;
            must!(
                answer.status >= 400,
                "a GET was answered with {}",
                answer.status
            );
            Ok(())
        });
        check.silent();
    }
}
