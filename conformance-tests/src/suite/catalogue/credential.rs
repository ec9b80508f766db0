//! `credentials/info` (CSC API v1 11.5, v2 11.5).

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::{
    super::{
        check::{Check, Need, Stop, V1, V2, Version, broken, must},
        context::{Context, set},
        keys::{KeyKind, key_of},
        refusal::{absent, any, list, string, text},
    },
    Chapter, with, without,
};

const METHOD: &str = "credentials/info";
const DETAILS: [&str; 3] = ["serialNumber", "validFrom", "validTo"];

async fn good(context: &Context<'_>, version: Version) -> Result<Value, Stop> {
    Ok(json!({"credentialID": context.subject(version)?.id}))
}

async fn info(
    context: &Context<'_>,
    version: Version,
    options: &[(&str, Value)],
) -> Result<Value, Stop> {
    let mut body = good(context, version).await?;
    for (name, value) in options {
        set(&mut body, name, value.clone());
    }
    context.call(version, METHOD, &body).await?.ok()
}

/// The certificates in DER.
fn certificates(info: &Value) -> Result<Vec<Vec<u8>>, Stop> {
    let texts = list(info, "/cert/certificates")?.iter();
    let ders = texts.map(|text| {
        let text = text.as_str().unwrap_or_default();
        let der = STANDARD.decode(text);
        der.map_err(|error| broken(format!("cert/certificates: no base64: {error}")))
    });
    ders.collect()
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, Stop> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(broken("octets follow a certificate")),
        Err(error) => Err(broken(format!("no X.509 certificate: {error}"))),
    }
}

/// The leaf.
fn leaf(info: &Value) -> Result<Vec<u8>, Stop> {
    let first = certificates(info)?.into_iter().next();
    first.ok_or_else(|| broken("cert/certificates is empty"))
}

pub(super) fn checks(version: Version, checks: &mut Vec<Check>) {
    let mut chapter = Chapter::new(checks, version, "credential", ("11.5", "11.5"));
    chapter = chapter.needing(&[Need::Method(METHOD), Need::Credential]);
    certificate(version, &mut chapter);
    key(version, &mut chapter);
    facts(version, &mut chapter);
    match version {
        V1 => factors_v1(&mut chapter),
        V2 => factors_v2(&mut chapter),
    }
    refusals(version, &mut chapter);
}

fn certificate(version: Version, chapter: &mut Chapter<'_>) {
    let title = "by default there is one certificate";
    chapter.check("D1.single", title, async move |context| {
        let count = certificates(&info(context, version, &[]).await?)?.len();
        must!(count == 1, "there are {count} certificates");
        Ok(())
    });
    for member in DETAILS {
        let title = format!("by default there is no {member}");
        chapter.check(&format!("D1.no-{member}"), &title, async move |context| {
            absent(
                &info(context, version, &[]).await?,
                &format!("/cert/{member}"),
            )
        });
    }
    let title = "certificates none leaves them out";
    chapter.check("D2.none", title, async move |context| {
        let info = info(context, version, &[("certificates", json!("none"))]).await?;
        absent(&info, "/cert/certificates")
    });
    let title = "the chain begins with the certificate that single gives";
    chapter.check("D2.leaf", title, async move |context| {
        let single = info(context, version, &[("certificates", json!("single"))]).await?;
        let chain = info(context, version, &[("certificates", json!("chain"))]).await?;
        must!(
            leaf(&single)? == leaf(&chain)?,
            "chain and single begin with different certificates"
        );
        Ok(())
    });
    let title = "each certificate of the chain is signed by the next";
    chapter.check("D2.chain", title, async move |context| {
        let info = info(context, version, &[("certificates", json!("chain"))]).await?;
        let ders = certificates(&info)?;
        must!(!ders.is_empty(), "the chain is empty");
        for (at, der) in ders.iter().enumerate() {
            let certificate = read(der)?;
            let Some(next) = ders.get(at + 1) else { break };
            let issuer = read(next)?;
            must!(
                certificate.issuer() == issuer.subject(),
                "certificate {at} is of {}, the next is {}",
                certificate.issuer(),
                issuer.subject()
            );
            let verified = certificate.verify_signature(Some(issuer.public_key()));
            must!(
                verified.is_ok(),
                "certificate {at} was not signed by the next"
            );
        }
        Ok(())
    });
    let title = "the leaf is no certificate of a CA";
    chapter.check("D2.no-ca", title, async move |context| {
        let der = leaf(&info(context, version, &[]).await?)?;
        must!(!read(&der)?.is_ca(), "the leaf is a certificate of a CA");
        Ok(())
    });
    let title = "certInfo gives five members, all strings";
    chapter.check("D3.members", title, async move |context| {
        let info = info(context, version, &[("certInfo", json!(true))]).await?;
        for member in ["issuerDN", "subjectDN"].into_iter().chain(DETAILS) {
            string(&info, &format!("/cert/{member}"))?;
        }
        Ok(())
    });
    for member in ["subjectDN", "issuerDN"] {
        let title = format!("{member} is the name in the certificate");
        chapter.check(&format!("D3.{member}"), &title, async move |context| {
            let info = info(context, version, &[("certInfo", json!(true))]).await?;
            let der = leaf(&info)?;
            let certificate = read(&der)?;
            let name = match member {
                "subjectDN" => certificate.subject(),
                _ => certificate.issuer(),
            };
            let name = name.iter_common_name().next();
            let name = name.and_then(|name| name.as_str().ok());
            let Some(name) = name else {
                return Err(Stop::Skip("the name has no commonName".to_owned()));
            };
            let said = string(&info, &format!("/cert/{member}"))?;
            must!(
                said.replace('\\', "").contains(&format!("CN={name}")),
                "{member} is '{said}', the certificate says CN={name}"
            );
            Ok(())
        });
    }
    let title = "serialNumber is the certificate's, hexadecimal";
    chapter.check("D3.serialNumber", title, async move |context| {
        let info = info(context, version, &[("certInfo", json!(true))]).await?;
        let said = string(&info, "/cert/serialNumber")?;
        let der = leaf(&info)?;
        let serial = read(&der)?.tbs_certificate.serial.to_str_radix(16);
        let same = said.trim_start_matches('0').eq_ignore_ascii_case(&serial);
        must!(
            same,
            "serialNumber is '{said}', the certificate's is {serial}"
        );
        Ok(())
    });
    for member in ["validFrom", "validTo"] {
        let title = format!("{member} is the certificate's, as YYYYMMDDHHMMSSZ");
        chapter.check(&format!("D3.{member}"), &title, async move |context| {
            let info = info(context, version, &[("certInfo", json!(true))]).await?;
            let der = leaf(&info)?;
            let certificate = read(&der)?;
            let validity = certificate.validity();
            let time = match member {
                "validFrom" => validity.not_before,
                _ => validity.not_after,
            };
            let said = string(&info, &format!("/cert/{member}"))?;
            must!(
                said == generalized(time),
                "{member} is '{said}', the certificate's {}",
                generalized(time)
            );
            Ok(())
        });
    }
    let title = "cert/status is true where it is said: valid inside the period of validity only";
    chapter.check("D7.cert-status", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let Some(status) = info.pointer("/cert/status") else {
            return Ok(());
        };
        let status = status.as_str().unwrap_or_default();
        must!(
            ["valid", "expired", "revoked", "suspended"].contains(&status),
            "cert/status is '{status}'"
        );
        let der = leaf(&info)?;
        let certificate = read(&der)?;
        let now = ASN1Time::from_timestamp(i64::try_from(context.at()).unwrap_or_default());
        let valid = now.is_ok_and(|now| certificate.validity().is_valid_at(now));
        must!(
            valid || status != "valid",
            "the certificate is out of its validity and said to be valid"
        );
        must!(
            !valid || status != "expired",
            "the certificate is inside its validity and said to be expired"
        );
        Ok(())
    });
}

fn generalized(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

fn key(version: Version, chapter: &mut Chapter<'_>) {
    let title = "key/status is enabled or disabled";
    chapter.check("D2.key-status", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let status = string(&info, "/key/status")?;
        must!(
            ["enabled", "disabled"].contains(&status),
            "key/status is '{status}'"
        );
        Ok(())
    });
    let title = "key/algo is a list of object identifiers";
    chapter.check("D2.key-algo", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let algorithms = list(&info, "/key/algo")?;
        must!(!algorithms.is_empty(), "key/algo is empty");
        for oid in algorithms {
            let text = oid.as_str().unwrap_or_default();
            let arcs = text.split('.').all(|arc| arc.parse::<u64>().is_ok());
            must!(arcs && text.contains('.'), "key/algo has {oid}");
        }
        Ok(())
    });
    let title = "key/algo has algorithms for the kind of the certificate's key only";
    chapter.check("D2.key-algo-kind", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let der = leaf(&info)?;
        let (kind, _) = key_of(&read(&der)?);
        let family = match kind {
            KeyKind::Rsa => "1.2.840.113549.1.1.",
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => "1.2.840.10045.",
            KeyKind::Other => return Err(Stop::Skip("a key of another kind".to_owned())),
        };
        for oid in list(&info, "/key/algo")? {
            must!(
                oid.as_str().unwrap_or_default().starts_with(family),
                "key/algo has {oid} for a key {kind:?}"
            );
        }
        Ok(())
    });
    let title = "key/algo lists no algorithm with SHA-1";
    chapter.check("D2.key-algo-sha1", title, async move |context| {
        let info = info(context, version, &[]).await?;
        for oid in list(&info, "/key/algo")? {
            let weak = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];
            must!(!weak.iter().any(|weak| *oid == *weak), "key/algo has {oid}");
        }
        Ok(())
    });
    let title = "key/len is the length of the certificate's key";
    chapter.check("D2.key-len", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let der = leaf(&info)?;
        let (_, bits) = key_of(&read(&der)?);
        let said = info.pointer("/key/len");
        must!(
            said == Some(&json!(bits)),
            "key/len is {said:?}, the certificate's key has {bits} bits"
        );
        Ok(())
    });
    let title = "key/curve is the certificate's for an elliptic-curve key, and only there";
    chapter.check("D5.curve", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let der = leaf(&info)?;
        let curve = match key_of(&read(&der)?).0 {
            KeyKind::Rsa => return absent(&info, "/key/curve"),
            KeyKind::P256 => "1.2.840.10045.3.1.7",
            KeyKind::P384 => "1.3.132.0.34",
            KeyKind::P521 => "1.3.132.0.35",
            KeyKind::Other => return Err(Stop::Skip("a key of another kind".to_owned())),
        };
        let said = string(&info, "/key/curve")?;
        must!(
            said == curve,
            "key/curve is {said}, the certificate's {curve}"
        );
        Ok(())
    });
}

fn facts(version: Version, chapter: &mut Chapter<'_>) {
    let title = "multisign is a whole number from 1";
    chapter.check("D5.multisign", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let found = info.get("multisign");
        must!(
            found
                .and_then(Value::as_u64)
                .is_some_and(|count| count >= 1),
            "multisign is {found:?}"
        );
        Ok(())
    });
    let title = "SCAL is the text 1 or 2 where it is there";
    chapter.check("D5.scal", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let found = info.get("SCAL");
        let good = found.is_none_or(|scal| scal == "1" || scal == "2");
        must!(good, "SCAL is {found:?}");
        Ok(())
    });
    let title = "description has 255 characters at most where it is there";
    chapter.check("D5.description", title, async move |context| {
        let info = info(context, version, &[]).await?;
        let found = info.get("description");
        let good = found.is_none_or(|text| {
            text.as_str()
                .is_some_and(|text| text.chars().count() <= 255)
        });
        must!(good, "description is {found:?}");
        Ok(())
    });
    let pointer = version.pick("/authMode", "/auth/mode");
    let title = format!("{} is one of the modes", pointer.trim_start_matches('/'));
    chapter.check("D4.mode", &title, async move |context| {
        let info = info(context, version, &[]).await?;
        let mode = string(&info, pointer)?;
        let modes = version.pick(
            &["implicit", "explicit", "oauth2code"][..],
            &["explicit", "oauth2code"],
        );
        must!(modes.contains(&mode), "{pointer} is '{mode}'");
        Ok(())
    });
    let title = "any language may be asked for";
    chapter.check("D6.lang", title, async move |context| {
        info(context, version, &[("lang", json!("tlh"))])
            .await
            .map(|_| ())
    });
    let title = "clientData changes nothing";
    chapter.check("D6.client-data", title, async move |context| {
        let plain = info(context, version, &[]).await?;
        let told = info(context, version, &[("clientData", json!("invoice 17"))]).await?;
        must!(plain == told, "the answers differ");
        Ok(())
    });
}

fn factors_v1(chapter: &mut Chapter<'_>) {
    let title = "PIN and OTP come with authInfo only";
    chapter.check("D1.no-factors", title, async |context| {
        let info = info(context, V1, &[]).await?;
        absent(&info, "/PIN")?;
        absent(&info, "/OTP")
    });
    for group in ["PIN", "OTP"] {
        let title = format!("{group}/presence is said as a text");
        let check = chapter.check(
            &format!("D4.{group}-presence"),
            &title,
            async move |context| {
                let info = info(context, V1, &[("authInfo", json!(true))]).await?;
                let presence = string(&info, &format!("/{group}/presence"))?;
                must!(
                    ["true", "false", "optional"].contains(&presence),
                    "{group}/presence is '{presence}'"
                );
                Ok(())
            },
        );
        check.needs(Need::Explicit);
        let title = format!("{group}/format is A or N where a {group} is asked for");
        let check = chapter.check(
            &format!("D4.{group}-format"),
            &title,
            async move |context| {
                let info = info(context, V1, &[("authInfo", json!(true))]).await?;
                if string(&info, &format!("/{group}/presence"))? == "false" {
                    return Ok(());
                }
                let format = string(&info, &format!("/{group}/format"))?;
                must!(["A", "N"].contains(&format), "{group}/format is '{format}'");
                Ok(())
            },
        );
        check.needs(Need::Explicit);
    }
    for (name, known) in [("type", Some(["offline", "online"])), ("ID", None)] {
        let title = format!("OTP/{name} is said where a code is asked for");
        let check = chapter.check(&format!("D4.OTP-{name}"), &title, async move |context| {
            let info = info(context, V1, &[("authInfo", json!(true))]).await?;
            if string(&info, "/OTP/presence")? == "false" {
                return Ok(());
            }
            let said = string(&info, &format!("/OTP/{name}"))?;
            must!(!said.is_empty(), "OTP/{name} is empty");
            must!(
                known.is_none_or(|known| known.contains(&said)),
                "OTP/{name} is '{said}'"
            );
            Ok(())
        });
        check.needs(Need::Explicit);
    }
}

fn factors_v2(chapter: &mut Chapter<'_>) {
    let title = "auth/objects come with authInfo only";
    let check = chapter.check("D1.no-objects", title, async |context| {
        absent(&info(context, V2, &[]).await?, "/auth/objects")
    });
    check.needs(Need::Explicit).silent();
    let title = "auth/objects have type and id, each id once";
    let check = chapter.check("D4.objects", title, async |context| {
        let info = info(context, V2, &[("authInfo", json!(true))]).await?;
        let mut seen = BTreeSet::new();
        for object in list(&info, "/auth/objects")? {
            let kind = string(object, "/type")?;
            let known = [
                "Password",
                "PasswordOOB",
                "ChallengeResponse",
                "ChallengeResponseOOB",
            ];
            must!(known.contains(&kind), "an object is of the type '{kind}'");
            let id = string(object, "/id")?;
            must!(
                !id.is_empty() && seen.insert(id.to_owned()),
                "the id '{id}' is empty or there twice"
            );
            let format = object.get("format");
            must!(
                format.is_none_or(|format| format == "A" || format == "N"),
                "format is {format:?}"
            );
        }
        Ok(())
    });
    check.needs(Need::Explicit);
    let title =
        "auth/expression names objects, and nothing but AND, OR, XOR and parentheses beside them";
    let check = chapter.check("D4.expression", title, async |context| {
        let info = info(context, V2, &[("authInfo", json!(true))]).await?;
        let Some(expression) = info.pointer("/auth/expression") else {
            return Ok(());
        };
        let ids = list(&info, "/auth/objects")?.iter();
        let ids: BTreeSet<_> = ids
            .filter_map(|object| object.get("id")?.as_str())
            .collect();
        let expression = expression.as_str().unwrap_or("(no text)");
        let words = expression
            .split([' ', '(', ')'])
            .filter(|word| !word.is_empty());
        for word in words.filter(|word| !["AND", "OR", "XOR"].contains(word)) {
            must!(ids.contains(word), "expression '{expression}' has '{word}'");
        }
        must!(
            expression.matches('(').count() == expression.matches(')').count(),
            "expression is '{expression}'"
        );
        Ok(())
    });
    check.needs(Need::Explicit);
}

fn refusals(version: Version, chapter: &mut Chapter<'_>) {
    let missing = "Missing (or invalid type) string parameter credentialID";
    let unknown = "Invalid parameter credentialID";
    let kind = "Invalid parameter certificates";
    let rows = [
        (
            "D6.no-credential",
            "no credentialID",
            without("credentialID"),
            missing,
        ),
        (
            "D6.null",
            "null for credentialID",
            with("credentialID", json!(null)),
            missing,
        ),
        (
            "D6.number",
            "a number for credentialID",
            with("credentialID", json!(5)),
            missing,
        ),
        (
            "D6.list",
            "a list for credentialID",
            with("credentialID", json!(["x"])),
            missing,
        ),
        (
            "D6.unknown",
            "an unknown credential",
            with("credentialID", json!("unknown")),
            unknown,
        ),
        (
            "D6.empty",
            "an empty credentialID",
            with("credentialID", json!("")),
            unknown,
        ),
        (
            "D6.kind",
            "an unknown kind of certificates",
            with("certificates", json!("all")),
            kind,
        ),
        (
            "D6.kind-number",
            "a number for certificates",
            with("certificates", json!(5)),
            kind,
        ),
    ];
    for (name, what, change, words) in rows {
        let title = format!("{what} is refused");
        let good = async move |context: &Context<'_>| good(context, version).await;
        chapter.refuses(name, &title, METHOD, good, change, text(words));
    }
    for member in ["certInfo", "authInfo"] {
        let title = format!("{member} is a boolean");
        let good = async move |context: &Context<'_>| good(context, version).await;
        let change = with(member, json!("true"));
        chapter
            .refuses(
                &format!("D6.{member}-text"),
                &title,
                METHOD,
                good,
                change,
                any(),
            )
            .silent();
    }
}
