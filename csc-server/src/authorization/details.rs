//! `authorization_details` (RFC 9396, CSC v2 8.4.2): what is to be signed, as one JSON object.

use base64::{Engine, prelude::BASE64_STANDARD};
use hsm_adapter::HashType;
use serde::Deserialize;
use serde_json::Value;

use super::request::{BASE64_URL, Document, Refusal, Scope, Wanted, digest, fits, is_qualifier};
use crate::{credential::Hash, ids::CredentialId};

/// The type in 2.2, and its name before.
pub const TYPES: [&str; 2] = [
    "https://cloudsignatureconsortium.org/2025/credential",
    "credential",
];

/// The types for a new credential, and for the end of one (CSC v2.2).
pub const CREATION: [&str; 2] = [
    "https://cloudsignatureconsortium.org/2025/credential-creation",
    "credential_creation",
];
/// The same.
pub const DELETION: [&str; 2] = [
    "https://cloudsignatureconsortium.org/2025/credential-deletion",
    "credential_deletion",
];

/// Longest label.
const LABEL: usize = 255;

/// One element. A member that the type does not have is refused (RFC 9396 5); null is absence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "credentialID", default)]
    credential: Option<String>,
    #[serde(rename = "signatureQualifier", default)]
    qualifier: Option<String>,
    #[serde(rename = "documentDigests")]
    digests: Vec<DocumentDigest>,
    #[serde(rename = "hashAlgorithmOID")]
    algorithm: String,
    #[serde(rename = "numSignatures", default)]
    count: Option<usize>,
    #[serde(default)]
    #[expect(dead_code, reason = "one resource server is all there is")]
    locations: Option<Vec<String>>,
}

/// An element for a new credential, or for the end of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Life {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "credentialID", default)]
    credential: Option<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "one resource server is all there is")]
    locations: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentDigest {
    hash: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(rename = "hashType", default)]
    kind: Option<String>,
}

fn refused(text: &'static str) -> Refusal {
    Refusal::new("invalid_authorization_details", text)
}

/// Whether base64url will do, asked only where it makes a difference.
type Lenient<'a> = &'a dyn Fn() -> bool;

/// What the client asks for, and its own object, to be given back.
pub(super) fn read(
    text: &str,
    limit: usize,
    lenient: Lenient<'_>,
) -> Result<(Scope, Value), Refusal> {
    let array: Vec<Value> =
        serde_json::from_str(text).map_err(|_| Refusal::invalid("authorization_details"))?;
    let [element] = <[Value; 1]>::try_from(array)
        .map_err(|_| refused("One element is wanted: what is signed is approved as one"))?;
    let of = |types: [&str; 2]| {
        let kind = element.get("type").and_then(Value::as_str);
        kind.is_some_and(|kind| types.contains(&kind))
    };
    if of(CREATION) || of(DELETION) {
        let scope = life(&element)?;
        return Ok((scope, element));
    }
    let details = Details::deserialize(&element).map_err(|_| {
        refused("type, documentDigests with hash, and hashAlgorithmOID are wanted, and nothing that the type does not have")
    })?;
    if !TYPES.contains(&details.kind.as_str()) {
        return Err(refused("Unknown type"));
    }
    let wanted = details.wanted(limit, lenient)?;
    Ok((Scope::Credential(wanted), element))
}

fn life(element: &Value) -> Result<Scope, Refusal> {
    let life = Life::deserialize(element)
        .map_err(|_| refused("Nothing but type, credentialID and locations is wanted"))?;
    match (DELETION.contains(&life.kind.as_str()), life.credential) {
        (false, None) => Ok(Scope::Creation),
        (false, Some(_)) => Err(refused("A new credential has no credentialID yet")),
        (true, Some(id)) => Ok(Scope::Deletion(CredentialId::new(id))),
        (true, None) => Err(refused("credentialID is wanted")),
    }
}

impl Details {
    fn wanted(self, limit: usize, lenient: Lenient<'_>) -> Result<Wanted, Refusal> {
        if self.credential.is_none() && self.qualifier.is_none() {
            return Err(refused("credentialID or signatureQualifier is wanted"));
        }
        if self
            .qualifier
            .as_deref()
            .is_some_and(|text| !is_qualifier(text))
        {
            return Err(refused("Invalid signatureQualifier"));
        }
        if self.digests.is_empty() || self.digests.len() > limit {
            return Err(refused("Too few or too many documentDigests"));
        }
        if self.count.is_some_and(|count| count != self.digests.len()) {
            return Err(refused("numSignatures is the number of documentDigests"));
        }
        let digest = digest(&self.algorithm);
        let digest = digest.ok_or_else(|| refused("Invalid hashAlgorithmOID"))?;
        let hash_type = hash_type(&self.digests)?;
        let documents = self.digests.into_iter().map(|one| one.document(lenient));
        let documents: Vec<_> = documents.collect::<Result<_, _>>()?;
        fits(&documents, Some(digest)).ok_or_else(|| refused("Invalid digest value length"))?;
        Ok(Wanted {
            credential: self.credential.map(CredentialId::new),
            qualifier: self.qualifier,
            documents,
            digest: Some(digest),
            hash_type,
        })
    }
}

/// What the hashes are of: `dtbsr` or `sdr`, the same for all. EUDI's Kotlin library writes it in capitals.
fn hash_type(digests: &[DocumentDigest]) -> Result<Option<HashType>, Refusal> {
    let mut said = digests.iter().map(|digest| match digest.kind.as_deref() {
        None => Ok(None),
        Some(kind) => [HashType::Dtbsr, HashType::Sdr]
            .into_iter()
            .find(|one| kind.eq_ignore_ascii_case(one.name()))
            .map(Some)
            .ok_or_else(|| refused("hashType is dtbsr or sdr")),
    });
    let first = said.next().unwrap_or(Ok(None))?;
    for other in said {
        if other? != first {
            return Err(refused("hashType is the same for all"));
        }
    }
    Ok(first)
}

impl DocumentDigest {
    fn document(self, lenient: Lenient<'_>) -> Result<Document, Refusal> {
        if self
            .label
            .as_ref()
            .is_some_and(|label| label.chars().count() > LABEL)
        {
            return Err(refused("A label has at most 255 characters"));
        }
        let octets = match BASE64_STANDARD.decode(&self.hash) {
            Ok(octets) => Some(octets),
            Err(_) if lenient() => BASE64_URL.decode(&self.hash).ok(),
            Err(_) => None,
        };
        let hash = octets.and_then(Hash::new).filter(|hash| !hash.is_zero());
        Ok(Document {
            hash: hash.ok_or_else(|| refused("Invalid Base64 hash string parameter"))?,
            label: self.label,
        })
    }
}

/// Whether a token request repeats what was approved (CSC v2 8.4.4). Hashes are compared as octets, in any order; labels are the page's.
pub(super) fn repeats(text: &str, approved: &Scope, lenient: Lenient<'_>) -> bool {
    let limit = match approved {
        Scope::Credential(wanted) => wanted.documents.len(),
        _ => 0,
    };
    let Ok((again, _)) = read(text, limit, lenient) else {
        return false;
    };
    let (Scope::Credential(again), Scope::Credential(approved)) = (&again, approved) else {
        return again == *approved;
    };
    let mut left: Vec<_> = approved.hashes();
    again.credential == approved.credential
        && again.qualifier == approved.qualifier
        && again.digest == approved.digest
        && again.hash_type == approved.hash_type
        && again.documents.iter().all(|document| {
            let found = left.iter().position(|hash| *hash == document.hash);
            found.map(|index| left.swap_remove(index)).is_some()
        })
        && left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    const OTHER: &str = "SG6kYiTRu0+2gPNPfJrZao8k7Ii+c+qOWmxlJg6cuKc=";

    fn details(extra: &str, hashes: &[&str]) -> String {
        let digests: Vec<_> = hashes
            .iter()
            .map(|hash| format!(r#"{{"hash":"{hash}","label":null}}"#))
            .collect();
        let digests = digests.join(",");
        format!(
            r#"[{{"type":"credential","credentialID":"c","documentDigests":[{digests}],"hashAlgorithmOID":"2.16.840.1.101.3.4.2.1"{extra}}}]"#
        )
    }

    #[test]
    fn both_names_of_the_type_are_taken_and_no_other() {
        for name in TYPES {
            let text = details("", &[HASH]).replace("\"credential\"", &format!("\"{name}\""));
            assert!(read(&text, 10, &|| false).is_ok(), "{name}");
        }
        let text = details("", &[HASH]).replace("\"credential\"", "\"payment\"");
        assert_eq!(
            read(&text, 10, &|| false).unwrap_err().error,
            "invalid_authorization_details"
        );
    }

    #[test]
    fn what_the_type_does_not_have_is_refused() {
        for extra in [
            r#","amount":5"#,
            r#","numSignatures":2"#,
            r#","hashType":"dtbsr""#,
        ] {
            let refused = read(&details(extra, &[HASH]), 10, &|| false).unwrap_err();
            assert_eq!(refused.error, "invalid_authorization_details", "{extra}");
        }
        assert!(
            read(
                &details(r#","locations":[],"numSignatures":1"#, &[HASH]),
                10,
                &|| false
            )
            .is_ok()
        );
    }

    #[test]
    fn a_new_credential_has_no_name_and_one_that_ends_has() {
        for (kinds, named) in [(CREATION, false), (DELETION, true)] {
            for kind in kinds {
                let alone = format!(r#"[{{"type":"{kind}"}}]"#);
                let with = format!(r#"[{{"type":"{kind}","credentialID":"c","locations":[]}}]"#);
                assert_eq!(read(&alone, 10, &|| false).is_ok(), !named, "{kind}");
                assert_eq!(read(&with, 10, &|| false).is_ok(), named, "{kind}");
                let more = format!(r#"[{{"type":"{kind}","numSignatures":1}}]"#);
                assert!(read(&more, 10, &|| false).is_err(), "{kind}");
            }
        }
        let text = |id: &str| format!(r#"[{{"type":"{}","credentialID":"{id}"}}]"#, DELETION[0]);
        let (approved, _) = read(&text("c"), 10, &|| false).unwrap();
        assert!(repeats(&text("c"), &approved, &|| false));
        assert!(!repeats(&text("d"), &approved, &|| false));
    }

    #[test]
    fn base64url_takes_the_switch() {
        let url = HASH.replace('+', "-").replace('=', "");
        assert!(read(&details("", &[&url]), 10, &|| false).is_err());
        let (lenient, _) = read(&details("", &[&url]), 10, &|| true).unwrap();
        let (strict, _) = read(&details("", &[HASH]), 10, &|| false).unwrap();
        assert_eq!(lenient, strict);
    }

    #[test]
    fn a_token_request_repeats_what_was_approved() {
        let (approved, _) = read(&details("", &[HASH, OTHER]), 10, &|| false).unwrap();
        assert!(repeats(&details("", &[OTHER, HASH]), &approved, &|| false));
        for other in [&[OTHER][..], &[OTHER, OTHER], &[HASH, OTHER, OTHER]] {
            assert!(
                !repeats(&details("", other), &approved, &|| false),
                "{other:?}"
            );
        }
        let another = details("", &[HASH, OTHER]).replace("\"c\"", "\"d\"");
        assert!(!repeats(&another, &approved, &|| false));
    }
}
