//! What holds for every method: TLS, HTTP, headers, tokens, JSON (CSC API v1 chapters 8 and 10, v2 the same).

use serde_json::json;

use super::{
    super::{
        check::{Check, Need, V1, V2, Version, broken, must, should},
        context::{Context, said},
        refusal::{COMMON, any, code, text},
        wire::Request,
    },
    Chapter,
};

/// Methods that want a token.
const PROTECTED: [&str; 14] = [
    "auth/revoke",
    "credentials/list",
    "credentials/info",
    "credentials/authorize",
    "credentials/authorizeCheck",
    "credentials/getChallenge",
    "credentials/sendOTP",
    "credentials/extendTransaction",
    "credentials/create",
    "credentials/delete",
    "signatures/signHash",
    "signatures/signDoc",
    "signatures/signPolling",
    "signatures/timestamp",
];
/// Of these, methods that v1 does not have.
const SINCE_V2: [&str; 6] = [
    "credentials/authorizeCheck",
    "credentials/getChallenge",
    "credentials/create",
    "credentials/delete",
    "signatures/signDoc",
    "signatures/signPolling",
];
/// Of these, methods that v2 does not have.
const V1_ONLY: [&str; 1] = ["credentials/sendOTP"];

pub(super) fn protected(version: Version) -> impl Iterator<Item = &'static str> {
    let others = version.pick(&SINCE_V2[..], &V1_ONLY[..]);
    PROTECTED
        .into_iter()
        .filter(move |method| !others.contains(method))
}

/// The description for a malformed `Authorization` header, misprint and capitals of the standard included.
fn header_error(version: Version, method: &str) -> String {
    match (version, method) {
        (V2, _) => "Malformed authorization header".to_owned(),
        (V1, "credentials/sendOTP") => "Malformed authroization header.".to_owned(),
        (V1, "auth/revoke" | "credentials/extendTransaction") => {
            COMMON.replace("a required", "a REQUIRED")
        }
        (V1, _) => COMMON.to_owned(),
    }
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    tls(version, checks);
    headers(version, checks);
    bodies(version, checks);
    paths(version, checks);
}

fn tls(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "transport", ("8, TLS", "8, TLS"));
    for (tls, accepted) in [("1.2", true), ("1.3", true), ("1.1", false)] {
        let title = match accepted {
            true => format!("TLS {tls} is accepted"),
            false => format!("TLS {tls} and older is refused"),
        };
        let check = chapter.check(&format!("G1.tls-{tls}"), &title, async move |context| {
            let url = context.post(version, "info").url;
            must!(
                url.starts_with("https:"),
                "the base URI is not https: {url}"
            );
            let answer = context.send(Request::handshake(url, tls)).await?;
            let taken = answer.body == "accepted";
            must!(taken == accepted, "TLS {tls} is {}", answer.body);
            Ok(())
        });
        if tls != "1.2" {
            check.should();
        }
    }
}

fn headers(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "transport", ("8.2", "8.2"));
    chapter = chapter.needing(&[Need::Token]);
    for method in protected(version) {
        let short = method.replace('/', "-");
        let wrong = [
            ("G3.no-authorization", "no Authorization header", None),
            (
                "G4.basic",
                "HTTP Basic in place of a bearer token",
                Some("Basic YTpi"),
            ),
            (
                "G4.no-token",
                "the word Bearer without a token",
                Some("Bearer"),
            ),
            (
                "G4.no-space",
                "a token glued to the word Bearer",
                Some("BearerbGl0dGxl"),
            ),
        ];
        for (name, what, header) in wrong {
            let text = text(header_error(version, method));
            let title = format!("{method} refuses {what}");
            let name = format!("{name}.{short}");
            let check = chapter.check(&name, &title, async move |context| {
                let request = context.post(version, method).json(&json!({}));
                let request = match header {
                    Some(header) => request.header("Authorization", header),
                    None => request,
                };
                context.send(request).await?.refused(&text)
            });
            check.needs(Need::Method(method));
        }
        let title = format!("{method} answers an unknown token with 401 invalid_token");
        let unknown = format!("G5.unknown-token.{short}");
        let check = chapter.check(&unknown, &title, async move |context| {
            let token = hex::encode(context.random());
            let answer = context
                .call_with(version, method, &token, &json!({}))
                .await?;
            answer.unauthorised(&["invalid_token"])
        });
        check.needs(Need::Method(method));
        check.clause(version.pick("v1 10, tables 2 and 3", "v2 10"));
    }
    let title = "the name of the scheme may be written in small letters (RFC 9110 11.1)";
    let check = chapter.check("G4.small-letters", title, async move |context| {
        let token = context.session.facts(version).token.unwrap_or_default();
        let request = context.post(version, "credentials/list");
        let request = request.header("Authorization", format!("bearer {token}"));
        let body = context.list_body(version);
        context.send(request.json(&body)).await?.ok()?;
        Ok(())
    });
    check.needs(Need::Method("credentials/list")).silent();
    let title = "a token with one letter changed is unknown";
    let check = chapter.check("G5.changed-token", title, async move |context| {
        let token = context.session.facts(version).token.unwrap_or_default();
        let last = match token.ends_with('A') {
            true => 'B',
            false => 'A',
        };
        let mut changed = token;
        changed.pop();
        changed.push(last);
        let body = context.list_body(version);
        let answer = context
            .call_with(version, "credentials/list", &changed, &body)
            .await?;
        answer.unauthorised(&["invalid_token"])
    });
    check.needs(Need::Method("credentials/list"));
}

/// A list request with this body and type.
async fn raw(
    context: &Context<'_>,
    version: Version,
    media_type: &str,
    body: &[u8],
) -> Result<super::super::wire::Answer, super::Stop> {
    let request = context.authorized(version, "credentials/list");
    context.send(request.content(media_type, body)).await
}

fn bodies(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "transport", ("8.1", "8.1"));
    chapter = chapter.needing(&[Need::Method("credentials/list")]);
    let bad: [(&str, &str, &[u8]); 6] = [
        ("G7.broken-json", "JSON that breaks off", b"{"),
        ("G7.array", "a JSON array in place of an object", b"[]"),
        (
            "G7.text",
            "a JSON string in place of an object",
            b"\"text\"",
        ),
        ("G7.number", "a JSON number in place of an object", b"5"),
        ("G7.trailing", "two JSON objects", b"{} {}"),
        ("G7.not-json", "text that is no JSON", b"maxResults=1"),
    ];
    for (name, what, body) in bad {
        chapter.check(name, &format!("{what} is refused"), async move |context| {
            let answer = raw(context, version, "application/json", body).await?;
            answer.refused(&text(COMMON))
        });
    }
    for (name, media_type) in [
        ("G7.form", "application/x-www-form-urlencoded"),
        ("G7.plain-text", "text/plain"),
    ] {
        let title = format!("a body of type {media_type} is refused");
        chapter.check(name, &title, async move |context| {
            raw(context, version, media_type, b"{}")
                .await?
                .refused(&any())
        });
    }
    let title = "parameters of the media type are no matter";
    chapter.check("G7.charset", title, async move |context| {
        let body = context.list_body(version).to_string();
        let answer = raw(
            context,
            version,
            "application/json; charset=utf-8",
            body.as_bytes(),
        );
        answer.await?.ok().map(|_| ())
    });
    let hostile: [(&str, &str, Vec<u8>); 4] = [
        (
            "G13.duplicate",
            "a member given twice is refused",
            br#"{"clientData":"a","clientData":"b"}"#.to_vec(),
        ),
        (
            "G13.utf-8",
            "octets that are no UTF-8 are refused",
            b"{\"clientData\":\"\xff\"}".to_vec(),
        ),
        (
            "G13.deep",
            "arrays in arrays, a hundred thousand deep, are refused",
            "[".repeat(100_000).into_bytes(),
        ),
        (
            "G13.huge",
            "a body of ten mebibytes is refused",
            format!("{{\"clientData\":\"{}\"}}", "x".repeat(10 << 20)).into_bytes(),
        ),
    ];
    for (name, title, body) in hostile {
        let check = chapter.check(name, title, async move |context| {
            let answer = raw(context, version, "application/json", &body).await?;
            must!(answer.status < 500, "the server failed: {}", said(&answer));
            answer.refused(&any())
        });
        check.silent();
    }
    let title = "members nobody knows are ignored";
    let check = chapter.check("G9.unknown-member", title, async move |context| {
        let mut body = context.list_body(version);
        super::set(&mut body, "tenant", json!({"a": [1, {"b": null}]}));
        let answer = context.call(version, "credentials/list", &body).await?;
        answer.ok().map(|_| ())
    });
    check.silent();
    let title = "null counts as a parameter that is not there";
    let check = chapter.check("G9.null", title, async move |context| {
        let mut body = context.list_body(version);
        super::set(&mut body, "clientData", json!(null));
        let answer = context.call(version, "credentials/list", &body).await?;
        answer.ok().map(|_| ())
    });
    if version == V1 {
        check.silent();
    }
    let title = "clientData is a string";
    let check = chapter.check("G8.client-data", title, async move |context| {
        let mut body = context.list_body(version);
        super::set(&mut body, "clientData", json!(5));
        let answer = context.call(version, "credentials/list", &body).await?;
        answer.refused(&text("Invalid parameter clientData"))
    });
    check.silent();
}

fn paths(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "transport", ("10, table 2", "10"));
    let title = "a method of the specification that info does not list is answered with 501";
    chapter.check("G10.not-implemented", title, async move |context| {
        let facts = context.session.facts(version);
        let mut unlisted = protected(version).filter(|method| !facts.lists(method));
        let Some(method) = unlisted.next() else {
            return Err(super::Stop::Skip("info lists every method".to_owned()));
        };
        let answer = context.call(version, method, &json!({})).await?;
        must!(answer.status == 501, "{method}: {}", said(&answer));
        should!(
            answer.is_error().is_ok(),
            "{method}: no error body: {}",
            said(&answer)
        );
        Ok(())
    });
    let title = "a path that is no method is not found";
    let check = chapter.check("G10.unknown-path", title, async move |context| {
        let answer = context
            .call(version, "credentials/unknown", &json!({}))
            .await?;
        must!(answer.status == 404, "404 was expected: {}", said(&answer));
        Ok(())
    });
    check.silent();
    for method in protected(version) {
        let name = format!("G10.get.{}", method.replace('/', "-"));
        let title = format!("{method} is a POST: a GET is refused with 405");
        let check = chapter.check(&name, &title, async move |context| {
            let answer = context
                .send(Request::get(context.post(version, method).url))
                .await?;
            if (200..300).contains(&answer.status) {
                return Err(broken(format!("a GET was answered: {}", said(&answer))));
            }
            should!(answer.status == 405, "405 was expected: {}", said(&answer));
            Ok(())
        });
        check.needs(Need::Method(method)).silent();
    }
    let title = "answers with tokens are not to be stored by anybody on the way";
    let check = chapter.check("G2.no-store", title, async move |context| {
        let body = context.list_body(version);
        let answer = context.call(version, "credentials/list", &body).await?;
        answer.ok()?;
        let header = answer.header("cache-control").unwrap_or_default();
        must!(header.contains("no-store"), "Cache-Control is '{header}'");
        Ok(())
    });
    check.needs(Need::Method("credentials/list")).silent();
    let title = "an error has the members error and error_description, both strings";
    let check = chapter.check("G12.error-body", title, async move |context| {
        let body = json!({"credentialID": "unknown"});
        let answer = context.call(version, "credentials/info", &body).await?;
        answer.refused(&code("invalid_request"))?;
        let body = answer.json();
        should!(
            body.get("error_description").is_some(),
            "error_description is strongly recommended: {}",
            said(&answer)
        );
        let nested = body.as_object().into_iter().flatten();
        let nested = nested.filter(|(_, member)| member.is_object() || member.is_array());
        must!(
            nested.count() == 0,
            "the object has one level: {}",
            said(&answer)
        );
        Ok(())
    });
    check.needs(Need::Method("credentials/info"));
    check.clause(version.pick("v1 10.1", "v2 10.1"));
}
