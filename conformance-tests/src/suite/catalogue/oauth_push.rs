//! `oauth2/pushed_authorize` (CSC API v2 8.4.3, RFC 9126): the application pushes, the browser brings a name.

use serde_json::Value;

use super::{
    super::{
        application::Asking,
        check::{Check, Need, Stop, must, should},
        context::{Context, said},
        prepare::basic_header,
        refusal::{any, code, string},
        wire::{Answer, Request},
    },
    Chapter,
};

async fn push(context: &Context<'_>) -> Result<Answer, Stop> {
    context.push(&context.asking()?).await
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "pushed-authorize", "v2 8.4.3, RFC 9126");
    chapter = chapter.needing(&[Need::Application, Need::Pushed]);
    successes(&mut chapter);
    picked_up(&mut chapter);
    refusals(&mut chapter);
    authentication(&mut chapter);
}

fn successes(chapter: &mut Chapter<'_>) {
    let title = "a pushed request is answered with 201 and a name for it";
    chapter.check("A6.push", title, async |context| {
        let answer = push(context).await?;
        must!(answer.status == 201, "201 was expected: {}", said(&answer));
        must!(answer.says_json(), "the answer is no JSON");
        must!(
            !string(&answer.json(), "/request_uri")?.is_empty(),
            "request_uri is empty"
        );
        Ok(())
    });
    let title = "a request for a signature may be pushed";
    let check = chapter.check("A6.credential", title, async |context| {
        let asking = context.asking_to_sign(&context.documents(1))?;
        context.pushed(&asking).await.map(|_| ())
    });
    check.needs(Need::Credential);
    let title = "expires_in is a whole number of seconds above zero";
    chapter.check("A6.expires-in", title, async |context| {
        let body = push(context).await?.json();
        let found = body.get("expires_in");
        must!(
            found.and_then(Value::as_u64).is_some_and(|life| life > 0),
            "expires_in is {found:?}"
        );
        Ok(())
    });
    let title = "a pushed request lives for minutes, not hours";
    let check = chapter.check("A6.short-life", title, async |context| {
        let body = push(context).await?.json();
        let life = body.get("expires_in").and_then(Value::as_u64);
        must!(
            life.is_some_and(|life| life <= 600),
            "expires_in is {life:?} (RFC 9126 2.2: between 5 and 600)"
        );
        Ok(())
    });
    check.should();
    let title = "the answer is not to be stored by anybody on the way";
    chapter.check("A6.no-store", title, async |context| {
        let answer = push(context).await?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    let title = "each pushed request has a name of its own, of 128 bits at least";
    chapter.check("A6.own-name", title, async |context| {
        let (first, second) = (
            context.pushed(&context.asking()?).await?,
            context.pushed(&context.asking()?).await?,
        );
        must!(first != second, "two requests got the same name");
        let secret = first.rsplit(':').next().unwrap_or_default().len();
        must!(secret >= 22, "{secret} characters hold less than 128 bits");
        Ok(())
    });
    let title = "the name is a URN of RFC 9126";
    let check = chapter.check("A6.urn", title, async |context| {
        let name = context.pushed(&context.asking()?).await?;
        should!(
            name.starts_with("urn:ietf:params:oauth:request_uri:"),
            "request_uri is '{name}'"
        );
        Ok(())
    });
    check.should();
    let title = "the secret may come in the form";
    chapter.check("A6.form-secret", title, async |context| {
        let secret = context.application()?.secret.value();
        let answer = context
            .push_openly(&context.asking()?.with("client_secret", secret))
            .await?;
        must!(answer.status == 201, "201 was expected: {}", said(&answer));
        Ok(())
    });
}

fn picked_up(chapter: &mut Chapter<'_>) {
    let title = "client_id and request_uri lead to the page";
    chapter.check("A6.pick-up", title, async |context| {
        let name = context.pushed(&context.asking()?).await?;
        let client = &context.application()?.id;
        context.is_taken(&context.pick_up(client, &name).await?)
    });
    let title = "a pushed request is picked up once";
    let check = chapter.check("A6.once", title, async |context| {
        let name = context.pushed(&context.asking()?).await?;
        let client = &context.application()?.id;
        context.is_taken(&context.pick_up(client, &name).await?)?;
        not_taken(context, &context.pick_up(client, &name).await?)
    });
    check.should().clause("RFC 9126 4");
    let title = "another client does not pick it up";
    let check = chapter.check("A6.other-client", title, async |context| {
        let name = context.pushed(&context.asking()?).await?;
        let other = context.application()?.other.as_ref();
        let other = other.map(|other| other.id.clone()).unwrap_or_default();
        not_taken(context, &context.pick_up(&other, &name).await?)
    });
    check.needs(Need::OtherClient).clause("RFC 9126 7.3");
    for (name, what, uri) in [
        (
            "A6.unknown",
            "an unknown name",
            "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        (
            "A6.address",
            "an address in place of a name",
            "https://127.0.0.1:1/request.jwt",
        ),
    ] {
        let title = format!("{what} leads to no page");
        chapter.check(name, &title, async move |context| {
            let client = &context.application()?.id;
            not_taken(context, &context.pick_up(client, uri).await?)
        });
    }
}

/// The request is refused, at the application or on a page.
fn not_taken(context: &Context<'_>, answer: &Answer) -> super::Verdict {
    match context.back(answer)? {
        None => context.is_nowhere(answer),
        Some(back) => {
            let refused = back.contains_key("error") && !back.contains_key("code");
            must!(refused, "the request was not refused");
            Ok(())
        }
    }
}

fn refusals(chapter: &mut Chapter<'_>) {
    type Spoil = fn(Asking) -> Asking;
    let rows: [(&str, &str, Spoil, &'static str); 8] = [
        (
            "A6.nested",
            "request_uri in a pushed request",
            |asking| asking.with("request_uri", "urn:ietf:params:oauth:request_uri:x"),
            "invalid_request",
        ),
        (
            "A6.redirect",
            "a redirect_uri that is not registered",
            |asking| asking.with("redirect_uri", "https://evil.example/cb"),
            "invalid_request",
        ),
        (
            "A6.no-type",
            "no response_type",
            |asking| asking.without("response_type"),
            "invalid_request",
        ),
        (
            "A6.token",
            "response_type token",
            |asking| asking.with("response_type", "token"),
            "unsupported_response_type",
        ),
        (
            "A6.scope",
            "an unknown scope",
            |asking| asking.with("scope", "everything"),
            "invalid_scope",
        ),
        (
            "A6.no-challenge",
            "no code_challenge",
            |asking| asking.without("code_challenge"),
            "invalid_request",
        ),
        (
            "A6.plain",
            "PKCE with plain",
            |asking| asking.with("code_challenge_method", "plain"),
            "invalid_request",
        ),
        (
            "A6.twice",
            "a parameter given twice",
            |asking| asking.and("scope", "credential"),
            "invalid_request",
        ),
    ];
    for (name, what, spoil, error) in rows {
        let title = format!("{what} is refused at once");
        let check = chapter.check(name, &title, async move |context| {
            let asking = spoil(context.asking()?);
            context.push(&asking).await?.refused(&code(error))
        });
        if name == "A6.plain" {
            check.silent();
        }
    }
    let rows: [(&str, &str, Spoil); 4] = [
        ("A6.no-credential", "no credentialID", |asking| {
            asking.without("credentialID")
        }),
        ("A6.no-count", "no numSignatures", |asking| {
            asking.without("numSignatures")
        }),
        ("A6.no-base64", "a hash that is no base64url", |asking| {
            asking.with("hashes", "no base64!")
        }),
        ("A6.length", "a hash of three octets", |asking| {
            asking.with("hashes", "AAAA")
        }),
    ];
    for (name, what, spoil) in rows {
        let title = format!("{what} is refused at once");
        let check = chapter.check(name, &title, async move |context| {
            let asking = spoil(context.asking_to_sign(&context.documents(1))?);
            context
                .push(&asking)
                .await?
                .refused(&code("invalid_request"))
        });
        check.needs(Need::Credential);
    }
    let title = "a GET is refused";
    chapter.check("A6.get", title, async |context| {
        let url = context.oauth("pushed_authorize")?.url;
        let answer = context.send(Request::get(url)).await?;
        must!(
            (400..500).contains(&answer.status),
            "a GET was answered with {}",
            answer.status
        );
        Ok(())
    });
}

fn authentication(chapter: &mut Chapter<'_>) {
    let unauthorised = || any().status(&[400, 401]);
    let title = "a push without the client's secret is refused";
    chapter.check("A6.no-secret", title, async move |context| {
        context
            .push_openly(&context.asking()?)
            .await?
            .refused(&unauthorised())
    });
    let title = "a push with a wrong secret in the form is refused";
    chapter.check("A6.wrong-secret", title, async move |context| {
        let asking = context.asking()?.with("client_secret", "wrong");
        context.push_openly(&asking).await?.refused(&unauthorised())
    });
    let title = "a push with a wrong secret by HTTP Basic is refused with 401 invalid_client";
    let check = chapter.check("A6.wrong-header", title, async |context| {
        let header = basic_header(&context.application()?.id, "wrong");
        let asking = context.asking()?;
        let answer = context.push_with(&asking, &header).await?;
        answer.unauthorised(&["invalid_client"])
    });
    check.clause("RFC 9126 2.3, RFC 6749 5.2");
    let title = "a push for another client than the one that proves itself is refused";
    let check = chapter.check("A6.foreign", title, async move |context| {
        let other = context.application()?.other.as_ref();
        let Some(other) = other else {
            return Err(Stop::Skip("[application.other] is not set".to_owned()));
        };
        let header = basic_header(&other.id, other.secret.value());
        let asking = context.asking()?;
        context
            .push_with(&asking, &header)
            .await?
            .refused(&unauthorised())
    });
    check.needs(Need::OtherClient);
}
