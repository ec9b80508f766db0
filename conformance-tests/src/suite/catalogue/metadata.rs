//! The metadata of the authorization server (RFC 8414; CSC API v2 8.4).

use serde_json::{Value, json};
use url::Url;

use super::{
    super::{
        check::{Check, Need, Stop, V2, Verdict, broken, must},
        context::Context,
        prepare::METADATA,
        refusal::{list, string},
    },
    Chapter,
};

/// Where clients of OpenID Connect look.
const OTHER_NAME: &str = "openid-configuration";

async fn metadata(context: &Context<'_>) -> Result<Value, Stop> {
    context.metadata(METADATA).await?.ok()
}

/// The names in a list.
fn names<'v>(body: &'v Value, pointer: &str) -> Result<Vec<&'v str>, Stop> {
    let names = list(body, pointer)?.iter();
    let names: Option<Vec<_>> = names.map(Value::as_str).collect();
    names.ok_or_else(|| broken(format!("{pointer} is no list of texts")))
}

/// The names in a list that need not be there.
fn named<'v>(body: &'v Value, pointer: &str) -> Result<Vec<&'v str>, Stop> {
    match body.pointer(pointer) {
        Some(_) => names(body, pointer),
        None => Ok(Vec::new()),
    }
}

fn address(text: &str) -> Verdict {
    let url = Url::parse(text);
    let good = url.is_ok_and(|url| {
        url.scheme() == "https" && url.fragment().is_none() && url.host().is_some()
    });
    must!(good, "'{text}' is no https URL");
    Ok(())
}

pub(super) fn checks(checks: &mut Vec<Check>) {
    let mut chapter = Chapter::oauth(checks, "metadata", "RFC 8414 2 and 3, v2 8.4");
    chapter = chapter.needing(&[Need::Metadata]);
    names_and_issuer(&mut chapter);
    endpoints(&mut chapter);
    lists(&mut chapter);
    algorithms(&mut chapter);
}

fn names_and_issuer(chapter: &mut Chapter<'_>) {
    let title = "the metadata is a JSON object under the name of RFC 8414";
    chapter.check("M1.name", title, async |context| {
        metadata(context).await.map(|_| ())
    });
    let title = "the metadata is the same under the name that OpenID Connect gave it";
    let check = chapter.check("M1.other-name", title, async |context| {
        let first = metadata(context).await?;
        let second = context.metadata(OTHER_NAME).await?.ok()?;
        must!(first == second, "the two differ");
        Ok(())
    });
    check.silent();
    let title = "issuer is an https URL without query and fragment";
    chapter.check("M2.issuer", title, async |context| {
        let body = metadata(context).await?;
        let issuer = string(&body, "/issuer")?;
        address(issuer)?;
        must!(!issuer.contains('?'), "issuer is '{issuer}'");
        Ok(())
    });
    let title = "issuer is what info says of the authorization server";
    chapter.check("M2.issuer-of-info", title, async |context| {
        let body = metadata(context).await?;
        let issuer = string(&body, "/issuer")?;
        let said = context.issuer();
        let said = said.ok_or_else(|| broken("info names no authorization server"))?;
        must!(
            issuer.trim_end_matches('/') == said,
            "issuer is '{issuer}', info says '{said}'"
        );
        Ok(())
    });
    let title = "no member is an empty list: what has no value is left out (RFC 8414 3.2)";
    chapter.check("M2.no-empty-list", title, async |context| {
        let body = metadata(context).await?;
        for (name, value) in body.as_object().into_iter().flatten() {
            must!(*value != json!([]), "{name} is empty");
            must!(!value.is_null(), "{name} is null");
        }
        Ok(())
    });
}

fn endpoints(chapter: &mut Chapter<'_>) {
    let rows = [
        ("authorization", "authorization_endpoint", "authorize"),
        ("token", "token_endpoint", "token"),
        ("revocation", "revocation_endpoint", "revoke"),
        (
            "pushed",
            "pushed_authorization_request_endpoint",
            "pushed_authorize",
        ),
    ];
    for (name, member, path) in rows {
        let title = format!("{member} is where info leads to");
        let check = chapter.check(&format!("M3.{name}"), &title, async move |context| {
            let body = metadata(context).await?;
            let endpoint = string(&body, &format!("/{member}"))?;
            address(endpoint)?;
            let info = context.session.facts(V2).info;
            // With oauth2Issuer in info the metadata alone says where things are.
            if let Some(base) = info.get("oauth2").and_then(Value::as_str) {
                let wanted = format!("{}/oauth2/{path}", base.trim_end_matches('/'));
                must!(
                    endpoint == wanted,
                    "{member} is '{endpoint}', not '{wanted}'"
                );
            }
            Ok(())
        });
        if name == "pushed" {
            check.needs(Need::Pushed);
        }
    }
}

fn lists(chapter: &mut Chapter<'_>) {
    let title = "the response type is code";
    chapter.check("M4.code", title, async |context| {
        let body = metadata(context).await?;
        let types = names(&body, "/response_types_supported")?;
        must!(
            types.contains(&"code"),
            "response_types_supported is {types:?}"
        );
        Ok(())
    });
    let title = "the implicit grant is not offered";
    let check = chapter.check("M4.no-implicit", title, async |context| {
        let body = metadata(context).await?;
        let types = names(&body, "/response_types_supported")?;
        let token = types
            .iter()
            .any(|kind| kind.split(' ').any(|part| part == "token"));
        // RFC 8414 2: without the member, the code and the implicit grant.
        let grants = names(&body, "/grant_types_supported")?;
        must!(
            !token && !grants.contains(&"implicit"),
            "{types:?}, {grants:?}"
        );
        Ok(())
    });
    check.clause("v1 8.3, v2 8.4");
    let rows = [
        ("M4.grant-code", "oauth2code", "authorization_code"),
        ("M4.grant-client", "oauth2client", "client_credentials"),
    ];
    for (name, kind, grant) in rows {
        let title = format!("{grant} is a grant exactly when authType has {kind}");
        chapter.check(name, &title, async move |context| {
            let body = metadata(context).await?;
            let grants = names(&body, "/grant_types_supported")?;
            let offered = context.session.facts(V2).offers(kind);
            must!(
                grants.contains(&grant) == offered,
                "{grants:?}; authType has {kind}: {offered}"
            );
            Ok(())
        });
    }
    let title = "PKCE with S256 is offered";
    let check = chapter.check("M4.s256", title, async |context| {
        let body = metadata(context).await?;
        let methods = names(&body, "/code_challenge_methods_supported")?;
        must!(
            methods.contains(&"S256"),
            "code_challenge_methods_supported is {methods:?}"
        );
        Ok(())
    });
    check.clause("v2 8.4.2, RFC 7636 4.2");
    let title = "PKCE with plain is not offered";
    let check = chapter.check("M4.no-plain", title, async |context| {
        let body = metadata(context).await?;
        let methods = named(&body, "/code_challenge_methods_supported")?;
        must!(
            !methods.contains(&"plain"),
            "code_challenge_methods_supported is {methods:?}"
        );
        Ok(())
    });
    check.silent();
    for scope in ["service", "credential"] {
        let title = format!("the scope {scope} is listed");
        let name = format!("M4.scope-{scope}");
        let check = chapter.check(&name, &title, async move |context| {
            let body = metadata(context).await?;
            let scopes = names(&body, "/scopes_supported")?;
            must!(scopes.contains(&scope), "scopes_supported is {scopes:?}");
            Ok(())
        });
        check.should();
    }
    let title = "the type of authorization_details is listed, where info says supportsRar";
    let check = chapter.check("M4.details", title, async |context| {
        let body = metadata(context).await?;
        let types = names(&body, "/authorization_details_types_supported")?;
        let known = types
            .iter()
            .any(|kind| *kind == "credential" || kind.ends_with("/credential"));
        must!(known, "authorization_details_types_supported is {types:?}");
        Ok(())
    });
    check.needs(Need::Details).clause("RFC 9396 10, v2 8.4.2");
    let title = "languages of the pages are language tags";
    chapter.check("M4.languages", title, async |context| {
        let body = metadata(context).await?;
        for tag in named(&body, "/ui_locales_supported")? {
            let mut parts = tag.split('-');
            let good = parts.all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
            });
            must!(good, "'{tag}' is no language tag");
        }
        Ok(())
    });
    let flags = [
        "authorization_response_iss_parameter_supported",
        "require_pushed_authorization_requests",
        "tls_client_certificate_bound_access_tokens",
    ];
    for flag in flags {
        let title = format!("{flag} is true or false where it is there");
        chapter.check(&format!("M4.{flag}"), &title, async move |context| {
            let body = metadata(context).await?;
            let found = body.get(flag);
            must!(found.is_none_or(Value::is_boolean), "{flag} is {found:?}");
            Ok(())
        });
    }
}

fn algorithms(chapter: &mut Chapter<'_>) {
    for endpoint in ["token", "revocation"] {
        let title = format!(
            "ways to authenticate at the {endpoint} endpoint are listed, with algorithms for those that sign"
        );
        let name = format!("M5.{endpoint}-authentication");
        chapter.check(&name, &title, async move |context| {
            let body = metadata(context).await?;
            let methods = names(
                &body,
                &format!("/{endpoint}_endpoint_auth_methods_supported"),
            )?;
            let signs = methods.iter().any(|method| method.ends_with("_jwt"));
            let member = format!("/{endpoint}_endpoint_auth_signing_alg_values_supported");
            let algorithms = named(&body, &member)?;
            must!(
                !signs || !algorithms.is_empty(),
                "{methods:?} and no algorithm (RFC 8414 2)"
            );
            must!(
                !algorithms.contains(&"none"),
                "{algorithms:?} has 'none' (RFC 8414 2)"
            );
            Ok(())
        });
    }
    let title =
        "the secret by HTTP Basic or in the form is a way where there are client credentials";
    let check = chapter.check("M5.secret", title, async |context| {
        let body = metadata(context).await?;
        let methods = names(&body, "/token_endpoint_auth_methods_supported")?;
        let secret = methods
            .iter()
            .any(|method| method.starts_with("client_secret_"));
        must!(
            secret,
            "token_endpoint_auth_methods_supported is {methods:?}"
        );
        Ok(())
    });
    check.needs(Need::Client).clause("v1 8.3.3");
    let title = "DPoP is signed by public-key algorithms only";
    let check = chapter.check("M5.dpop", title, async |context| {
        let body = metadata(context).await?;
        let algorithms = named(&body, "/dpop_signing_alg_values_supported")?;
        let wrong = algorithms
            .iter()
            .find(|name| **name == "none" || name.starts_with("HS"));
        must!(
            wrong.is_none(),
            "dpop_signing_alg_values_supported is {algorithms:?}"
        );
        Ok(())
    });
    check.clause("RFC 9449 5.1");
}
