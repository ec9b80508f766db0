//! Schemas that several methods share, and how a request differs from an answer: in a request `null` is absence and further members are
//! ignored; an answer has no `null` and no other members.

use hsm_adapter::DigestAlgorithm;
use serde_json::{Map, Value, json};

use crate::api::algorithms;

/// The longest `clientData`, in characters of the fewest octets.
const CLIENT_DATA: usize = 4096;

/// A request: members that must be there, and members that may.
pub(super) fn request(required: Value, optional: Value) -> Value {
    let optional = members(optional).into_iter();
    let optional = optional.map(|(name, schema)| (name, nullable(schema)));
    let required = members(required);
    let names: Vec<_> = required.keys().cloned().collect();
    let properties: Map<_, _> = required.into_iter().chain(optional).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    require(&mut schema, names);
    schema
}

/// An answer: members that are always there, and members that may be.
pub(super) fn answer(required: Value, optional: Value) -> Value {
    let required = members(required);
    let names: Vec<_> = required.keys().cloned().collect();
    let properties: Map<_, _> = required.into_iter().chain(members(optional)).collect();
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    require(&mut schema, names);
    schema
}

/// An answer that has what another one has, and more.
pub(super) fn and(mut schema: Value, more: Value) -> Value {
    let more = answer(more, json!({}));
    for list in ["properties", "required"] {
        match (schema.get_mut(list), more.get(list)) {
            (Some(Value::Object(into)), Some(Value::Object(from))) => into.extend(from.clone()),
            (Some(Value::Array(into)), Some(Value::Array(from))) => into.extend(from.clone()),
            _ => {}
        }
    }
    schema
}

/// A schema of `components`.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Any text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// Yes or no.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// `clientData`.
pub(super) fn client_data() -> Value {
    json!({ "type": "string", "maxLength": CLIENT_DATA, "description": "Free text of the client, not kept." })
}

/// One of these words.
pub(super) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A list.
pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An identifier of a hash algorithm.
pub(super) fn digest_algorithm() -> Value {
    one_of(&DigestAlgorithm::ALL.map(DigestAlgorithm::oid))
}

/// An identifier of a signature algorithm.
pub(super) fn signature_algorithm() -> Value {
    one_of(&algorithms::all().0)
}

/// A digest of 32, 48 or 64 octets: standard base64 with padding.
pub(super) fn digest() -> Value {
    let pattern =
        "^(?:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/]{64}|[A-Za-z0-9+/]{85}[AQgw]==)$";
    json!({ "type": "string", "contentEncoding": "base64", "pattern": pattern })
}

/// Digests to approve or to sign.
pub(super) fn digests() -> Value {
    json!({ "type": "array", "items": digest(), "minItems": 1 })
}

/// Octets in standard base64.
pub(super) fn base64() -> Value {
    json!({ "type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$" })
}

/// A number of seconds.
pub(super) fn seconds() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "Seconds." })
}

/// The schemas of `components`.
pub(super) fn named() -> Value {
    let v1 = json!({ "authMode": one_of(&["implicit", "explicit", "oauth2code"]) });
    json!({
        "Error": answer(json!({ "error": text() }), json!({ "error_description": text() })),
        "CredentialInfoV1": credential_info(v1, json!({ "PIN": pin(), "OTP": otp() })),
        "CredentialInfoV2": credential_info(json!({ "auth": auth() }), json!({ "signatureQualifier": text() })),
    })
}

/// What is told of a credential; the versions differ in how it is authorised.
fn credential_info(authorization: Value, more: Value) -> Value {
    let status = one_of(&["enabled", "disabled"]);
    let key = answer(
        json!({ "status": status, "algo": list(text()), "len": { "type": "integer", "minimum": 1 } }),
        json!({ "curve": text() }),
    );
    let time = json!({ "type": "string", "pattern": "^[0-9]{14}Z$" });
    let certificate = answer(
        json!({}),
        json!({
            "status": one_of(&["valid", "expired", "revoked", "suspended"]), "certificates": list(base64()),
            "issuerDN": text(), "subjectDN": text(), "serialNumber": { "type": "string", "pattern": "^[0-9A-Fa-f]+$" },
            "validFrom": time, "validTo": time, "policy": list(text()), "qcStatements": list(text()),
        }),
    );
    let required = json!({ "key": key, "cert": certificate, "multisign": { "type": "integer", "minimum": 1 } });
    let optional = json!({ "description": { "type": "string", "maxLength": 255 }, "SCAL": one_of(&["1", "2"]), "lang": text() });
    let join = |one: Value, other: Value| {
        Value::Object(members(one).into_iter().chain(members(other)).collect())
    };
    answer(join(required, authorization), join(optional, more))
}

fn pin() -> Value {
    let presence = one_of(&["true", "false", "optional"]);
    answer(
        json!({ "presence": presence }),
        json!({ "format": one_of(&["A", "N"]), "label": text(), "description": text() }),
    )
}

fn otp() -> Value {
    let presence = one_of(&["true", "false", "optional"]);
    answer(
        json!({ "presence": presence }),
        json!({
            "type": one_of(&["offline", "online"]), "format": one_of(&["A", "N"]), "label": text(),
            "description": text(), "ID": text(), "provider": text(),
        }),
    )
}

fn auth() -> Value {
    let kinds = one_of(&[
        "Password",
        "PasswordOOB",
        "ChallengeResponse",
        "ChallengeResponseOOB",
    ]);
    let object = answer(
        json!({ "type": kinds, "id": text() }),
        json!({ "format": one_of(&["A", "N"]), "label": text(), "description": text(), "generator": text() }),
    );
    answer(
        json!({ "mode": one_of(&["explicit", "oauth2code"]) }),
        json!({ "expression": text(), "objects": list(object) }),
    )
}

fn members(schemas: Value) -> Map<String, Value> {
    match schemas {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn require(schema: &mut Value, names: Vec<String>) {
    if let (false, Some(schema)) = (names.is_empty(), schema.as_object_mut()) {
        schema.insert("required".into(), json!(names));
    }
}

fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}
