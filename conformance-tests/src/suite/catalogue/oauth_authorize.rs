//! `oauth2/authorize` as far as it can be seen without a person (CSC API v1 8.3.2, v2 8.4.2): what is taken leads to a page, what is wrong goes
//! back to the application, and nobody is sent to a stranger.

use super::{
    super::{
        application::{Asking, url_safe},
        check::{Check, Need, Stop, must},
        context::Context,
    },
    Chapter, oauth_order,
};

pub(super) const INVALID: &[&str] = &["invalid_request"];
const SCOPE: &[&str] = &["invalid_scope"];

/// How a request is spoilt.
#[derive(Clone)]
pub(super) enum Spoilt {
    Without(&'static str),
    With(&'static str, String),
    Twice(&'static str, &'static str),
}
use Spoilt::{Twice, With, Without};

impl Spoilt {
    pub(super) fn of(&self, asking: Asking) -> Asking {
        match self {
            Without(name) => asking.without(name),
            With(name, value) => asking.with(name, value),
            Twice(name, value) => asking.and(name, *value),
        }
    }
}

pub(super) fn with(name: &'static str, value: &str) -> Spoilt {
    With(name, value.to_owned())
}

/// A good request for one signature.
pub(super) fn to_sign(context: &Context<'_>) -> Result<Asking, Stop> {
    context.asking_to_sign(&context.documents(1))
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "authorize", "v1 8.3.2, v2 8.4.2");
    chapter = chapter.needing(&[Need::Application]);
    taken(&mut chapter);
    nowhere(&mut chapter);
    service(&mut chapter);
    oauth_order::checks(&mut chapter);
}

fn taken(chapter: &mut Chapter<'_>) {
    let title = "a good request for the scope service leads to a page";
    chapter.check("A1.service", title, async |context| {
        context.is_taken(&context.ask(&context.asking()?).await?)
    });
    let title = "a good request for a signature leads to a page";
    let check = chapter.check("A1.credential", title, async |context| {
        context.is_taken(&context.ask(&to_sign(context)?).await?)
    });
    check.needs(Need::Credential);
    let title = "the request of v1, with `hash`, leads to a page";
    let check = chapter.check("A1.credential-v1", title, async |context| {
        let asking = to_sign(context)?;
        let algorithm = context.algorithm(super::V2)?;
        let hash = context
            .documents(1)
            .iter()
            .map(|one| one.hash(&algorithm))
            .collect::<String>();
        let asking = asking.without("hashes").without("hashAlgorithmOID");
        context.is_taken(&context.ask(&asking.with("hash", url_safe(&hash))).await?)
    });
    check
        .needs(Need::Credential)
        .needs(Need::V1)
        .clause("v1 8.3.2");
    let rows = [
        (
            "A1.default-scope",
            "the scope is service when none is named",
            Without("scope"),
        ),
        ("A1.no-state", "state need not be there", Without("state")),
        (
            "A1.long-state",
            "state may have 255 octets",
            With("state", "s".repeat(255)),
        ),
        ("A1.language", "lang is taken", with("lang", "it-IT")),
        (
            "A1.unknown-language",
            "a language nobody speaks is taken",
            with("lang", "tlh"),
        ),
        (
            "A1.description",
            "a description of 500 characters is taken",
            With("description", "d".repeat(500)),
        ),
        (
            "A1.client-data",
            "clientData is taken",
            with("clientData", "abc"),
        ),
        (
            "A1.more",
            "a parameter nobody knows is ignored (RFC 6749 3.1)",
            with("prompt", "login"),
        ),
    ];
    for (name, title, change) in rows {
        chapter.check(name, title, async move |context| {
            let asking = change.of(context.asking()?);
            context.is_taken(&context.ask(&asking).await?)
        });
    }
    let title = "the page may be neither framed nor kept";
    let check = chapter.check("A1.no-store", title, async |context| {
        let answer = context.ask(&context.asking()?).await?;
        context.is_taken(&answer)?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    check.silent();
}

fn nowhere(chapter: &mut Chapter<'_>) {
    let rows = [
        ("A3.no-client", "no client_id", Without("client_id")),
        (
            "A3.unknown-client",
            "an unknown client_id",
            with("client_id", "nobody-at-all"),
        ),
        (
            "A3.other-host",
            "a redirect_uri of somebody else",
            with("redirect_uri", "https://evil.example/cb"),
        ),
        (
            "A3.script",
            "a redirect_uri that is a script",
            with("redirect_uri", "javascript:alert(1)"),
        ),
        (
            "A3.relative",
            "a redirect_uri that is no URL",
            with("redirect_uri", "/cb"),
        ),
    ];
    for (name, what, change) in rows {
        let title = format!("{what}: the browser is sent nowhere");
        let check = chapter.check(name, &title, async move |context| {
            let asking = change.of(context.asking()?);
            context.is_nowhere(&context.ask(&asking).await?)
        });
        check.clause("RFC 6749 4.1.2.1");
    }
    let rows = [
        (
            "A3.longer-path",
            "a redirect_uri that only begins like the registered one",
            ".evil",
        ),
        ("A3.query", "a redirect_uri with another query", "&x=2"),
        ("A3.fragment", "a redirect_uri with a fragment", "#x"),
    ];
    for (name, what, more) in rows {
        let title = format!("{what}: the browser is sent nowhere");
        let check = chapter.check(name, &title, async move |context| {
            let uri = format!("{}{more}", context.application()?.redirect_uri);
            let asking = context.asking()?.with("redirect_uri", uri);
            context.is_nowhere(&context.ask(&asking).await?)
        });
        check.clause("RFC 6749 4.1.2.1, RFC 9700 2.1");
    }
    let rows = [
        ("A3.client-twice", Twice("client_id", "nobody-at-all")),
        (
            "A3.redirect-twice",
            Twice("redirect_uri", "https://evil.example/cb"),
        ),
    ];
    for (name, change) in rows {
        let title = "client_id or redirect_uri given twice: the browser is sent nowhere";
        let check = chapter.check(name, title, async move |context| {
            let asking = change.of(context.asking()?);
            context.is_nowhere(&context.ask(&asking).await?)
        });
        check.clause("RFC 6749 3.1 and 4.1.2.1");
    }
    for (name, parameter, value) in [
        ("A2.scope-twice", "scope", "credential"),
        ("A2.state-twice", "state", "other"),
        (
            "A2.challenge-twice",
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
    ] {
        let title = format!("{parameter} given twice is refused");
        let check = chapter.check(name, &title, async move |context| {
            let asking = context.asking()?.and(parameter, value);
            let answer = context.ask(&asking).await?;
            // RFC 6749 does not say where this error goes; there is no way to say which state is meant.
            match context.back(&answer)? {
                None => context.is_nowhere(&answer),
                Some(back) => {
                    let refused = back.contains_key("error") && !back.contains_key("code");
                    must!(refused, "the request was not refused");
                    Ok(())
                }
            }
        });
        check.clause("RFC 6749 3.1");
    }
}

fn service(chapter: &mut Chapter<'_>) {
    let rows: [(&str, &str, Spoilt, &[&str]); 11] = [
        (
            "A2.no-type",
            "no response_type",
            Without("response_type"),
            INVALID,
        ),
        (
            "A2.token",
            "response_type token",
            with("response_type", "token"),
            &["unsupported_response_type"],
        ),
        (
            "A2.hybrid",
            "response_type 'code token'",
            with("response_type", "code token"),
            &["unsupported_response_type"],
        ),
        (
            "A2.scope",
            "an unknown scope",
            with("scope", "everything"),
            SCOPE,
        ),
        (
            "A2.both-scopes",
            "service and credential together",
            with("scope", "service credential"),
            SCOPE,
        ),
        (
            "A5.plain",
            "PKCE with plain",
            with("code_challenge_method", "plain"),
            INVALID,
        ),
        (
            "A5.no-method",
            "PKCE without its method, which means plain",
            Without("code_challenge_method"),
            INVALID,
        ),
        (
            "A5.unknown-method",
            "an unknown method of PKCE",
            with("code_challenge_method", "S512"),
            INVALID,
        ),
        (
            "A5.short",
            "a code_challenge that is too short",
            with("code_challenge", "short"),
            INVALID,
        ),
        (
            "A8.description",
            "a description of 501 characters",
            With("description", "d".repeat(501)),
            INVALID,
        ),
        (
            "A2.long-state",
            "a state of more than 255 octets",
            With("state", "s".repeat(256)),
            INVALID,
        ),
    ];
    for (name, what, change, errors) in rows {
        let title = format!("{what} is refused, and the application is told");
        let check = chapter.check(name, &title, async move |context| {
            let asking = change.of(context.asking()?);
            let answer = context.ask(&asking).await?;
            match name {
                // Whether a state too long to be one comes back is nobody's rule.
                "A2.long-state" => context.is_refused(&answer, errors),
                _ => context.is_sent_back(&answer, errors),
            }
        });
        if [
            "A2.both-scopes",
            "A5.plain",
            "A5.no-method",
            "A8.description",
            "A2.long-state",
        ]
        .contains(&name)
        {
            check.silent();
        }
    }
    let title = "the error says the state only where one was sent";
    chapter.check("A1.state-absent", title, async |context| {
        let asking = context
            .asking()?
            .without("state")
            .with("scope", "everything");
        let answer = context.ask(&asking).await?;
        context.is_refused(&answer, SCOPE)?;
        let back = context.back(&answer)?.unwrap_or_default();
        must!(!back.contains_key("state"), "a state that nobody sent");
        Ok(())
    });
    let title = "a state comes back octet by octet";
    chapter.check("A1.state", title, async |context| {
        const STATE: &str = "a b+c%20&d=\u{e9}/?#";
        let asking = context
            .asking()?
            .with("state", STATE)
            .with("scope", "everything");
        let answer = context.ask(&asking).await?;
        context.is_refused(&answer, SCOPE)?;
        let back = context.back(&answer)?.unwrap_or_default();
        must!(
            back.get("state") == Some(&vec![STATE.to_owned()]),
            "state is {:?}",
            back.get("state")
        );
        Ok(())
    });
    let title = "a POST of the request is no other way to a redirect with a code";
    let check = chapter.check("A2.no-code-at-once", title, async |context| {
        let answer = context.ask(&context.asking()?).await?;
        let back = context.back(&answer)?.unwrap_or_default();
        must!(!back.contains_key("code"), "a code that nobody allowed");
        context.is_taken(&answer)
    });
    check.silent();
    let title = "a request object that cannot be verified is refused (RFC 9101)";
    let check = chapter.check("A2.request-object", title, async |context| {
        let asking = context
            .asking()?
            .with("request", "eyJhbGciOiJub25lIn0.e30.");
        let errors = [
            "request_not_supported",
            "invalid_request_object",
            "invalid_request",
        ];
        context.is_sent_back(&context.ask(&asking).await?, &errors)
    });
    check.silent();
}
