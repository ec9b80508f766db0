//! What signDoc is asked, entry by entry.

use base64::{Engine, prelude::BASE64_STANDARD};
use hsm_adapter::{Digest, Scheme};
use serde_json::{Map, Value};

use crate::{
    api::{algorithms, dialect::Version, fault::Fault},
    credential::Hash,
    signing::document::{Document, Format, Input, Level, PdfSignature, in_documents},
};

/// The longest text of a signature in a PDF, in octets.
const TEXT: usize = 255;
/// Attributes of an entry that are looked at.
const ATTRIBUTES: usize = 32;

const DIGESTS: Fault = Fault::Text("Invalid object parameter documentDigests");
const DOCUMENTS: Fault = Fault::Text("Invalid array parameter documents");

/// What of the formats and their envelopes `info` says: CAdES and PAdES, each with the properties that are served.
pub(crate) const FORMATS: [(&str, &[&str]); 2] = [
    ("C", &["Attached", "Detached"]),
    ("P", &["Certification", "Revision"]),
];
/// The conformance levels.
pub(crate) const LEVELS: [(&str, Level); 2] =
    [("AdES-B-B", Level::Basic), ("AdES-B-T", Level::Stamped)];

/// A document, and the algorithm by its name.
pub(super) struct Entry {
    pub(super) document: Document,
    pub(super) sign_algo: String,
}

/// One of the two inputs, taken apart.
pub(super) fn entries(
    documents: Option<Value>,
    digests: Option<Value>,
    most: usize,
) -> Result<Vec<Entry>, Fault> {
    let (name, entries) = match (documents, digests) {
        (Some(_), Some(_)) => {
            return Err(Fault::Text(
                "Both documentDigests and documents parameters passed",
            ));
        }
        (Some(Value::Array(documents)), None) => {
            let documents = documents
                .into_iter()
                .map(|entry| one(object(entry, DOCUMENTS)?));
            ("documents", documents.collect::<Result<Vec<_>, _>>()?)
        }
        (None, Some(Value::Array(digests))) => {
            let digests = digests
                .into_iter()
                .map(|entry| several(&object(entry, DIGESTS)?));
            let digests = digests.collect::<Result<Vec<_>, _>>()?;
            ("documentDigests", digests.into_iter().flatten().collect())
        }
        (Some(_), None) => return Err(DOCUMENTS),
        (None, Some(_)) => return Err(DIGESTS),
        (None, None) => ("", Vec::new()),
    };
    if entries.is_empty() {
        return Err(Fault::Text("Empty documentDigests and documents objects"));
    }
    if entries.len() > most {
        return Err(Fault::Invalid(name));
    }
    Ok(entries)
}

fn object(entry: Value, otherwise: Fault) -> Result<Map<String, Value>, Fault> {
    match entry {
        Value::Object(members) => Ok(members),
        _ => Err(otherwise),
    }
}

/// An entry of `documents`.
fn one(mut members: Map<String, Value>) -> Result<Entry, Fault> {
    let Some(Value::String(document)) = members.remove("document") else {
        return Err(DOCUMENTS);
    };
    let document = BASE64_STANDARD
        .decode(document)
        .map_err(|_| Fault::Text("Invalid Base64 documents string parameter"))?;
    let how = How::read(&members)?;
    let format = match (how.letter, how.envelope) {
        (Letter::C, None | Some("Attached")) => Format::CadesAttached,
        (Letter::C, _) => Format::CadesDetached,
        (Letter::P, envelope) => Format::Pades(Box::new(PdfSignature {
            certifies: envelope != Some("Revision"),
            ..texts(&members)?
        })),
    };
    if how.letter == Letter::C {
        no_attributes(&members)?;
    }
    Ok(Entry {
        document: Document {
            input: Input::Document(document),
            format,
            level: how.level,
            scheme: how.scheme,
        },
        sign_algo: how.sign_algo,
    })
}

/// An entry of `documentDigests`: one signature for each of its hashes.
fn several(members: &Map<String, Value>) -> Result<Vec<Entry>, Fault> {
    // The table says a list, the sample of the specification has one string.
    let hashes: Vec<&str> = match member(members, "hashes") {
        Some(Value::String(hash)) => vec![hash],
        Some(Value::Array(hashes)) if !hashes.is_empty() => {
            let hashes = hashes.iter().map(|hash| hash.as_str().ok_or(DIGESTS));
            hashes.collect::<Result<_, _>>()?
        }
        _ => return Err(DIGESTS),
    };
    let how = How::read(members)?;
    no_attributes(members)?;
    let format = match (how.letter, how.envelope) {
        (Letter::C, None | Some("Detached")) => Format::CadesDetached,
        // Nobody can put a document inside of which he has the digest only.
        (Letter::C, _) => return Err(Fault::Invalid("signed_envelope_property")),
        (Letter::P, _) => Format::PadesCms,
    };
    let digests = hashes.into_iter().map(|hash| digest(hash, how.scheme));
    digests
        .map(|digest| {
            Ok(Entry {
                document: Document {
                    input: Input::Digest(digest?),
                    format: format.clone(),
                    level: how.level,
                    scheme: how.scheme,
                },
                sign_algo: how.sign_algo.clone(),
            })
        })
        .collect()
}

fn digest(hash: &str, scheme: Scheme) -> Result<Digest, Fault> {
    let octets = BASE64_STANDARD
        .decode(hash)
        .map_err(|_| Fault::Text("Invalid Base64 hashes string parameter"))?;
    let hash = Hash::new(octets).filter(|hash| hash.fits(scheme.digest()));
    let hash = hash.ok_or(Fault::Text("Invalid digest value length"))?;
    if hash.is_zero() {
        return Err(DIGESTS);
    }
    hash.digest(scheme.digest()).ok_or(DIGESTS)
}

/// What both kinds of entry have.
struct How {
    letter: Letter,
    envelope: Option<&'static str>,
    level: Level,
    scheme: Scheme,
    sign_algo: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Letter {
    C,
    P,
}

impl How {
    fn read(members: &Map<String, Value>) -> Result<Self, Fault> {
        let sign_algo = string(members, "signAlgo")?;
        let params = optional(
            members,
            "signAlgoParams",
            Fault::MissingString("signAlgoParams"),
        )?;
        let scheme = scheme(members, sign_algo, params)?;
        let format = string(members, "signature_format")?;
        let (letter, envelopes) = match (format, FORMATS) {
            ("C", [(_, envelopes), _]) => (Letter::C, envelopes),
            ("P", [_, (_, envelopes)]) => (Letter::P, envelopes),
            _ => return Err(Fault::Invalid("signature_format")),
        };
        let level = match optional(
            members,
            "conformance_level",
            Fault::Invalid("conformance_level"),
        )? {
            None => Level::Basic,
            Some(asked) => {
                let named = LEVELS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(asked));
                named.ok_or(Fault::Invalid("conformance_level"))?.1
            }
        };
        let property = "signed_envelope_property";
        let envelope = match optional(members, property, Fault::Invalid(property))? {
            None => None,
            Some(asked) => {
                let named = envelopes
                    .iter()
                    .find(|name| name.eq_ignore_ascii_case(asked));
                Some(*named.ok_or(Fault::Invalid(property))?)
            }
        };
        Ok(Self {
            letter,
            envelope,
            level,
            scheme,
            sign_algo: sign_algo.to_owned(),
        })
    }
}

fn scheme(
    members: &Map<String, Value>,
    sign_algo: &str,
    params: Option<&str>,
) -> Result<Scheme, Fault> {
    let name = Version::V2.hash_algorithm();
    let hash_algo = optional(members, name, Fault::Invalid(name))?;
    if let Some(oid) = hash_algo {
        algorithms::digest(oid, name)?;
    }
    let scheme = algorithms::scheme(Version::V2, sign_algo, params, hash_algo);
    let scheme = scheme.map_err(|fault| match fault {
        // Its name is known: it is the other one that it does not go with.
        Fault::Invalid(invalid) if invalid == name => {
            Fault::Text("String parameter hashAlgorithmOID contradicts with signAlgo parameter")
        }
        fault => fault,
    })?;
    in_documents(scheme).ok_or(Fault::Invalid("signAlgoParams"))?;
    Ok(scheme)
}

/// The texts of a signature in a PDF, from `signed_props` (EN 319 142-1, 5.3): base64 of UTF-8.
fn texts(members: &Map<String, Value>) -> Result<PdfSignature, Fault> {
    let (mut texts, mut wrong) = (PdfSignature::default(), Vec::new());
    for (name, value) in attributes(members)? {
        let slot = match name.as_str() {
            "Name" => &mut texts.name,
            "Reason" => &mut texts.reason,
            "Location" => &mut texts.location,
            "ContactInfo" => &mut texts.contact,
            _ => {
                wrong.push(name);
                continue;
            }
        };
        let text = value.and_then(|value| BASE64_STANDARD.decode(value).ok());
        let text = text.and_then(|octets| String::from_utf8(octets).ok());
        let text =
            text.filter(|text| !text.is_empty() && text.len() <= TEXT && !text.contains('\0'));
        match text {
            Some(text) if slot.is_none() => *slot = Some(text),
            _ => wrong.push(name),
        }
    }
    if wrong.is_empty() {
        Ok(texts)
    } else {
        Err(invalid(&wrong))
    }
}

/// Refuses every further attribute by its name.
fn no_attributes(members: &Map<String, Value>) -> Result<(), Fault> {
    let names: Vec<_> = attributes(members)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    if names.is_empty() {
        Ok(())
    } else {
        Err(invalid(&names))
    }
}

/// Name and value of each attribute asked for.
fn attributes(members: &Map<String, Value>) -> Result<Vec<(String, Option<String>)>, Fault> {
    const NAME: &str = "signed_props";
    let attributes = match member(members, NAME) {
        None => return Ok(Vec::new()),
        Some(Value::Array(attributes)) if attributes.len() <= ATTRIBUTES => attributes,
        Some(_) => return Err(Fault::Invalid(NAME)),
    };
    let read = |attribute: &Value| {
        let attribute = attribute.as_object()?;
        let name = member(attribute, "attribute_name")?.as_str()?;
        let value = match member(attribute, "attribute_value") {
            None => None,
            Some(value) => Some(value.as_str()?.to_owned()),
        };
        Some((name.to_owned(), value))
    };
    let attributes = attributes.iter().map(read).collect::<Option<_>>();
    attributes.ok_or(Fault::Invalid(NAME))
}

/// The refusal that lists them, as far as they can be repeated.
fn invalid(names: &[String]) -> Fault {
    const LONGEST: usize = 64;
    let names = names.iter().map(|name| {
        let printable = name.chars().filter(|letter| letter.is_ascii_graphic());
        printable.take(LONGEST).collect::<String>()
    });
    let names = names.collect::<Vec<_>>().join(", ");
    Fault::Words(format!("Invalid parameter signed_props ({names})"))
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

fn string<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Fault> {
    let value = member(members, name).and_then(Value::as_str);
    value.ok_or(Fault::MissingString(name))
}

fn optional<'a>(
    members: &'a Map<String, Value>,
    name: &str,
    otherwise: Fault,
) -> Result<Option<&'a str>, Fault> {
    match member(members, name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(otherwise),
    }
}
