//! `info` (CSC API v1 11.1, v2 11.1).

use serde_json::{Value, json};

use super::{
    super::{
        check::{Check, Need, Stop, V1, V2, Version, must, should},
        context::{Context, said},
        refusal::{absent, list, string},
        wire::Request,
    },
    Chapter,
    transport::protected,
};

const AUTH_TYPES: [&str; 6] = [
    "external",
    "TLS",
    "basic",
    "digest",
    "oauth2code",
    "oauth2client",
];
/// Where the authorization server is said, and in which versions.
const SERVERS: [&str; 3] = ["oauth2", "oauth2Issuer", "oauth2Servers"];

async fn info(context: &Context<'_>, version: Version) -> Result<Value, Stop> {
    context
        .send(context.post(version, "info").json(&json!({})))
        .await?
        .ok()
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "info", ("11.1", "11.1"));
    chapter.check(
        "I1.open",
        "info answers without authorization",
        async move |context| info(context, version).await.map(|_| ()),
    );
    for lang in ["de", "tlh"] {
        let title = format!("info answers whatever the language asked for: {lang}");
        chapter.check(&format!("I1.lang-{lang}"), &title, async move |context| {
            let request = context.post(version, "info").json(&json!({"lang": lang}));
            let body = context.send(request).await?.ok()?;
            string(&body, "/lang").map(|_| ())
        });
    }
    let title = "an empty body counts as an empty object";
    let check = chapter.check("I1.empty-body", title, async move |context| {
        let request = context
            .post(version, "info")
            .content("application/json", "");
        context.send(request).await?.ok().map(|_| ())
    });
    check.silent();
    let title = "a lang that is no string is refused, or ignored: the server does not fail";
    let check = chapter.check("I1.lang-number", title, async move |context| {
        let request = context.post(version, "info").json(&json!({"lang": 5}));
        let answer = context.send(request).await?;
        must!(answer.status < 500, "the server failed: {}", said(&answer));
        match answer.status {
            200 => answer.ok().map(|_| ()),
            _ => answer.is_error(),
        }
    });
    check.silent();
    let title = "a GET is answered like a POST, or refused: the server does not fail";
    let check = chapter.check("I1.get", title, async move |context| {
        let answer = context
            .send(Request::get(context.post(version, "info").url))
            .await?;
        must!(
            [200, 405].contains(&answer.status),
            "200 or 405 was expected: {}",
            said(&answer)
        );
        Ok(())
    });
    check.silent();

    for member in ["specs", "name", "logo", "region", "lang", "description"] {
        let title = format!("info has the member {member}, a string");
        chapter.check(&format!("I2.{member}"), &title, async move |context| {
            let info = info(context, version).await?;
            let text = string(&info, &format!("/{member}"))?;
            must!(!text.is_empty(), "{member} is empty");
            Ok(())
        });
    }
    for member in ["authType", "methods"] {
        let title = format!("info has the member {member}, a list of strings");
        chapter.check(&format!("I2.{member}"), &title, async move |context| {
            strings(&info(context, version).await?, &format!("/{member}"))
        });
    }
    for member in ["name", "description"] {
        let title = format!("{member} has 255 characters at most");
        chapter.check(
            &format!("I2.{member}-length"),
            &title,
            async move |context| {
                let info = info(context, version).await?;
                let length = string(&info, &format!("/{member}"))?.chars().count();
                must!(length <= 255, "{member} has {length} characters");
                Ok(())
            },
        );
    }
    formats(version, &mut chapter);
    oauth(version, &mut chapter);
    methods(version, &mut chapter);
    if version == V2 {
        since_v2(&mut chapter);
    }
}

fn formats(version: Version, chapter: &mut Chapter<'_>) {
    let title = "specs is a version of four numbers and fits the path";
    chapter.check("I2.specs-format", title, async move |context| {
        let info = info(context, version).await?;
        let specs = string(&info, "/specs")?;
        let numbers: Vec<_> = specs.split('.').map(str::parse::<u32>).collect();
        must!(
            numbers.len() == 4 && numbers.iter().all(Result::is_ok),
            "specs is '{specs}'"
        );
        let major = version.pick(1, 2);
        must!(
            numbers.first() == Some(&Ok(major)),
            "specs is '{specs}' under {}",
            version.name()
        );
        Ok(())
    });
    let title = "region is a country of ISO 3166-1: two capital letters";
    chapter.check("I2.region-format", title, async move |context| {
        let info = info(context, version).await?;
        let region = string(&info, "/region")?;
        let capitals = region.bytes().all(|letter| letter.is_ascii_uppercase());
        must!(region.len() == 2 && capitals, "region is '{region}'");
        Ok(())
    });
    let title = "logo is an absolute URI";
    chapter.check("I2.logo-uri", title, async move |context| {
        let info = info(context, version).await?;
        let logo = string(&info, "/logo")?;
        must!(url::Url::parse(logo).is_ok(), "logo is '{logo}'");
        Ok(())
    });
    let title = "lang is a language tag of RFC 5646";
    chapter.check("I2.lang-format", title, async move |context| {
        let info = info(context, version).await?;
        let lang = string(&info, "/lang")?;
        let tag = |part: &str| {
            (1..=8).contains(&part.len())
                && part.bytes().all(|letter| letter.is_ascii_alphanumeric())
        };
        must!(lang.split('-').all(tag), "lang is '{lang}'");
        Ok(())
    });
}

fn oauth(version: Version, chapter: &mut Chapter<'_>) {
    let title = "authType names at least one of the six ways, and no other";
    chapter.check("I3.auth-types", title, async move |context| {
        let info = info(context, version).await?;
        let types = list(&info, "/authType")?;
        must!(!types.is_empty(), "authType is empty");
        let strange = types
            .iter()
            .find(|name| !AUTH_TYPES.iter().any(|known| *name == known));
        must!(
            strange.is_none(),
            "authType has {}",
            strange.unwrap_or(&Value::Null)
        );
        Ok(())
    });
    let title = "the authorization server is said exactly once when authType has OAuth";
    chapter.check("I3.oauth2", title, async move |context| {
        let info = info(context, version).await?;
        let types = list(&info, "/authType")?;
        let has_oauth = types
            .iter()
            .any(|name| name == "oauth2code" || name == "oauth2client");
        let allowed = version.pick(&SERVERS[..1], &SERVERS[..]);
        let said: Vec<_> = allowed
            .iter()
            .filter(|name| info.get(**name).is_some())
            .collect();
        if has_oauth {
            must!(
                said.len() == 1,
                "one of {allowed:?} was expected, there are {said:?}"
            );
        } else if version == V1 {
            // A credential of the mode oauth2code needs it too (v1 11.1).
            return Ok(());
        } else {
            must!(
                said.is_empty(),
                "without OAuth in authType there is {said:?}"
            );
        }
        Ok(())
    });
    let title = "oauth2 is a base URI with https";
    chapter.check("I3.oauth2-uri", title, async move |context| {
        let info = info(context, version).await?;
        let Some(base) = info.get("oauth2") else {
            return Err(Stop::Skip("info has no oauth2".to_owned()));
        };
        let base = base.as_str().unwrap_or_default();
        must!(base.starts_with("https://"), "oauth2 is '{base}'");
        must!(
            !base.ends_with("/authorize"),
            "oauth2 is the base, not an endpoint: '{base}'"
        );
        Ok(())
    });
}

fn methods(version: Version, chapter: &mut Chapter<'_>) {
    let title = "methods are names of the specification";
    chapter.check("I4.known-names", title, async move |context| {
        let info = info(context, version).await?;
        let known = |name: &str| {
            let mut parts = name.splitn(2, '/');
            let folder = ["auth", "credentials", "signatures", "oauth2"];
            name == "info" || parts.next().is_some_and(|first| folder.contains(&first))
        };
        for name in list(&info, "/methods")? {
            let name = name.as_str().unwrap_or_default();
            must!(
                known(name) && !name.starts_with('/'),
                "methods has '{name}'"
            );
        }
        Ok(())
    });
    let title = "every method that is listed is there: it answers neither 404 nor 501";
    chapter.check("I4.implemented", title, async move |context| {
        let info = info(context, version).await?;
        let listed = list(&info, "/methods")?.iter().filter_map(Value::as_str);
        for method in listed.filter(|name| *name != "info" && !name.starts_with("oauth2/")) {
            // Nothing in it: whatever it needs is missing.
            let answer = context
                .send(context.post(version, method).json(&json!({})))
                .await?;
            must!(
                ![404, 501].contains(&answer.status),
                "{method}: {}",
                said(&answer)
            );
        }
        Ok(())
    });
    let title = "a method that is not listed is not served";
    let check = chapter.check("I4.listed", title, async move |context| {
        let info = info(context, version).await?;
        let listed = list(&info, "/methods")?;
        let mut unlisted =
            protected(version).filter(|name| !listed.iter().any(|known| known == name));
        let Some(method) = unlisted.next() else {
            return Err(Stop::Skip("info lists every method".to_owned()));
        };
        let request = context.post(version, method).json(&json!({}));
        let answer = context.send(request).await?;
        must!(
            [404, 405, 501].contains(&answer.status),
            "{method} is served: {}",
            said(&answer)
        );
        Ok(())
    });
    check.should();
    let title = "sendOTP is listed only where a credential's code is sent on request";
    let check = chapter.check("I4.send-otp", title, async move |context| {
        let info = info(context, version).await?;
        let listed = list(&info, "/methods")?
            .iter()
            .any(|name| name == "credentials/sendOTP");
        let object = context.subject(version)?.code;
        let online = object.is_some_and(|code| code.online);
        should!(
            !online || listed || version == V2,
            "codes are sent on request, and sendOTP is not listed"
        );
        Ok(())
    });
    check.needs(Need::Credential).should();
}

/// Members that v2 added.
fn since_v2(chapter: &mut Chapter<'_>) {
    for (name, pointer) in [
        ("algos", "/signAlgorithms/algos"),
        ("formats", "/signature_formats/formats"),
        ("conformance-levels", "/conformance_levels"),
    ] {
        let title = format!("info has {pointer}, a list of strings");
        chapter.check(&format!("I5.{name}"), &title, async move |context| {
            strings(&info(context, V2).await?, pointer)
        });
    }
    let title = "algoParams has an entry for each of algos, where it is there";
    let check = chapter.check("I5.algo-params", title, async move |context| {
        let info = info(context, V2).await?;
        let algos = list(&info, "/signAlgorithms/algos")?.len();
        let params = list(&info, "/signAlgorithms/algoParams")?.len();
        must!(
            algos == params,
            "algos has {algos} entries and algoParams {params}"
        );
        Ok(())
    });
    check.silent();
    let title = "envelope_properties has a list for each of formats";
    chapter.check("I5.envelopes", title, async move |context| {
        let info = info(context, V2).await?;
        let formats = list(&info, "/signature_formats/formats")?.len();
        let envelopes = list(&info, "/signature_formats/envelope_properties")?;
        must!(
            envelopes.len() == formats,
            "formats has {formats}, envelope_properties {}",
            envelopes.len()
        );
        let lists = envelopes.iter().all(Value::is_array);
        must!(lists, "envelope_properties is a list of lists");
        Ok(())
    });
    let title = "formats are C, X, P and J";
    chapter.check("I5.format-names", title, async move |context| {
        let info = info(context, V2).await?;
        let formats = list(&info, "/signature_formats/formats")?;
        let strange = formats
            .iter()
            .find(|name| !["C", "X", "P", "J"].iter().any(|known| *name == known));
        must!(
            strange.is_none(),
            "formats has {}",
            strange.unwrap_or(&Value::Null)
        );
        Ok(())
    });
    let title = "conformance levels are those of the AdES standards";
    chapter.check("I5.level-names", title, async move |context| {
        let info = info(context, V2).await?;
        for level in list(&info, "/conformance_levels")? {
            let name = level.as_str().unwrap_or_default().to_ascii_lowercase();
            let known = [
                "ades-b-b",
                "ades-b-t",
                "ades-b-lt",
                "ades-b-lta",
                "ades-b",
                "ades-t",
                "ades-lt",
                "ades-lta",
            ];
            must!(
                known.contains(&name.as_str()),
                "conformance_levels has {level}"
            );
        }
        Ok(())
    });
    for member in ["asynchronousOperationMode", "validationInfo"] {
        let title = format!("{member} is a boolean where it is there");
        chapter.check(&format!("I5.{member}"), &title, async move |context| {
            let info = info(context, V2).await?;
            let found = info.get(member);
            must!(
                found.is_none_or(Value::is_boolean),
                "{member} is {}",
                found.unwrap_or(&Value::Null)
            );
            Ok(())
        });
    }
    let title = "algos names every algorithm of the credential's key";
    let check = chapter.check("I5.covers-keys", title, async move |context| {
        let info = info(context, V2).await?;
        let algos = list(&info, "/signAlgorithms/algos")?;
        let subject = context.subject(V2)?;
        let missing = subject
            .algorithms
            .iter()
            .find(|oid| !algos.iter().any(|known| known == *oid));
        must!(
            missing.is_none(),
            "algos has no {}",
            missing.map_or("", String::as_str)
        );
        Ok(())
    });
    check.needs(Need::Credential);
    let title = "from 2.1 on, supportedHashTypes is there";
    let check = chapter.check("I6.hash-types", title, async move |context| {
        let info = info(context, V2).await?;
        if string(&info, "/specs")?.starts_with("2.0") {
            return Err(Stop::Skip("specs is below 2.1".to_owned()));
        }
        strings(&info, "/supportedHashTypes")
    });
    check.clause("v2.2 11.1");
    let title = "supportsRar is not there beside oauth2Servers, and a boolean otherwise";
    let check = chapter.check("I6.supports-rar", title, async move |context| {
        let info = info(context, V2).await?;
        if info.get("oauth2Servers").is_some() {
            return absent(&info, "/supportsRar");
        }
        let found = info.get("supportsRar");
        must!(
            found.is_none_or(Value::is_boolean),
            "supportsRar is {}",
            found.unwrap_or(&Value::Null)
        );
        Ok(())
    });
    check.clause("v2.2 11.1");
    let title = "no member is null";
    let check = chapter.check("I5.no-null", title, async move |context| {
        let info = info(context, V2).await?;
        let null = info
            .as_object()
            .into_iter()
            .flatten()
            .find(|(_, member)| member.is_null());
        must!(
            null.is_none(),
            "{} is null",
            null.map_or("", |(name, _)| name)
        );
        Ok(())
    });
    check.silent();
}

fn strings(body: &Value, pointer: &str) -> super::Verdict {
    let strange = list(body, pointer)?.iter().find(|entry| !entry.is_string());
    must!(
        strange.is_none(),
        "{pointer} has {}",
        strange.unwrap_or(&Value::Null)
    );
    Ok(())
}
