//! What each method of the API takes and gives.

use serde_json::{Value, json};

use super::{
    Answer, Body, Operation, Security,
    schema::{
        and, answer, base64, client_data, digest, digest_algorithm, digests, flag, list, one_of,
        reference, request, seconds, signature_algorithm, text,
    },
};
use crate::api::dialect::{Method, Version};

/// The method in this version.
pub(super) fn operation(method: Method, version: Version) -> Operation {
    let hashes = version.hashes();
    let (summary, takes, mut gives) = match method {
        Method::Info => (
            "What this service does",
            request(json!({}), json!({ "lang": text() })),
            Answer::ok(info(version)),
        ),
        Method::AuthLogin => (
            "Log in, by password or with a refresh token",
            request(
                json!({}),
                json!({ "refresh_token": text(), "rememberMe": flag(), "clientData": client_data() }),
            ),
            Answer::ok(answer(
                json!({ "access_token": text(), "expires_in": seconds() }),
                json!({ "refresh_token": text() }),
            )),
        ),
        Method::AuthRevoke => (
            "End a token at once",
            request(
                json!({ "token": text() }),
                json!({ "token_type_hint": one_of(&["access_token", "refresh_token"]), "clientData": client_data() }),
            ),
            Answer::empty("The token has ended."),
        ),
        Method::CredentialsList => (
            "The credentials of a person",
            list_request(version),
            Answer::ok(list_answer(version)),
        ),
        Method::CredentialsInfo => (
            "Key, certificate and factors of a credential",
            request(
                json!({ "credentialID": text() }),
                json!({
                    "certificates": certificates(), "certInfo": flag(), "authInfo": flag(), "lang": text(),
                    "clientData": client_data(),
                }),
            ),
            Answer::ok(credential_info(version)),
        ),
        Method::CredentialsAuthorize => (
            "Approve hashes with PIN and code",
            authorization(version),
            match version {
                Version::V1 => Answer::ok(sad()),
                Version::V2 => pending(),
            },
        ),
        Method::CredentialsAuthorizeCheck => (
            "Whether the holder has answered",
            request(json!({ "handle": text() }), json!({})),
            pending(),
        ),
        Method::CredentialsExtendTransaction => (
            "A new SAD for what is left of a live one",
            request(
                json!({ "credentialID": text(), "SAD": text() }),
                with_algorithm(
                    version,
                    json!({ hashes: digests(), "clientData": client_data() }),
                ),
            ),
            Answer::ok(sad()),
        ),
        Method::CredentialsCreate => (
            "Take up the credential that the holder had made",
            request(
                json!({ "credentialCreationRequest": {
                    "type": "object",
                    "properties": {
                        "certificatePolicy": text(),
                        "subjectData": { "type": "object", "additionalProperties": text() },
                    },
                } }),
                json!({
                    "credentialInfo": flag(), "certificates": certificates(), "certInfo": flag(), "authInfo": flag(),
                    "lang": text(), "clientData": client_data(),
                }),
            ),
            Answer::created(created()),
        ),
        Method::CredentialsDelete => (
            "End a credential as the holder agreed",
            request(
                json!({ "credentialDeletionRequest": {
                    "type": "object",
                    "required": ["credentialID"],
                    "properties": {
                        "credentialID": text(), "revoke": flag(),
                        "revocationReason": { "type": "integer", "minimum": 0, "maximum": 10, "not": { "const": 7 } },
                    },
                } }),
                json!({ "clientData": client_data() }),
            ),
            Answer::empty("The credential has ended."),
        ),
        Method::CredentialsSendOtp => (
            "Send a code to the holder",
            request(
                json!({ "credentialID": text() }),
                json!({ "clientData": client_data() }),
            ),
            Answer::empty("The code is on its way."),
        ),
        Method::CredentialsGetChallenge => (
            "Send a code to the holder",
            request(
                json!({ "credentialID": text(), "authObjectID": text() }),
                json!({}),
            ),
            Answer::empty("The code is on its way."),
        ),
        Method::SignaturesSignHash => (
            "Sign approved hashes",
            sign_hash(version),
            Answer::ok(match version {
                Version::V1 => answer(json!({ "signatures": list(base64()) }), json!({})),
                Version::V2 => answer(
                    json!({}),
                    json!({ "signatures": list(base64()), "responseID": text() }),
                ),
            }),
        ),
        Method::SignaturesSignDoc => (
            "Sign approved documents",
            sign_doc(),
            Answer::ok(answer(
                json!({}),
                json!({
                    "DocumentWithSignature": list(base64()), "SignatureObject": list(base64()),
                    "validationInfo": validation_info(), "responseID": text(),
                }),
            )),
        ),
        Method::SignaturesSignPolling => (
            "What became of an asynchronous operation",
            request(
                json!({ "requestID": text() }),
                json!({ "userID": text(), "clientData": client_data() }),
            ),
            [
                Answer::ok(answer(
                    json!({}),
                    json!({
                        "signatures": list(base64()), "DocumentWithSignature": list(base64()),
                        "SignatureObject": list(base64()), "validationInfo": validation_info(),
                    }),
                )),
                vec![Answer::new(202, "Not done yet.", reference("Error"))],
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
        Method::SignaturesTimestamp => (
            "A time-stamp token over a hash",
            request(
                json!({ "hash": digest(), "hashAlgo": digest_algorithm() }),
                json!({
                    "nonce": { "type": "string", "pattern": "^[0-9A-Fa-f]{1,64}$" }, "clientData": client_data(),
                }),
            ),
            Answer::ok(answer(json!({ "timestamp": base64() }), json!({}))),
        ),
    };
    if matches!(
        method,
        Method::CredentialsCreate | Method::CredentialsDelete
    ) {
        gives.push(Answer::refusal(
            403,
            "A token that is for something else.",
            &[],
        ));
    }
    Operation {
        summary,
        security: match method {
            Method::Info => Security::Public,
            Method::AuthLogin => Security::ShownOrInBody("holder"),
            _ => Security::Shown("token"),
        },
        parameters: vec![],
        // Without a body info is asked for nothing.
        body: Body::json(takes, method != Method::Info),
        answers: gives,
    }
}

fn info(version: Version) -> Value {
    let short = json!({ "type": "string", "maxLength": 255 });
    let authentication = [
        "external",
        "TLS",
        "basic",
        "digest",
        "oauth2code",
        "oauth2client",
    ];
    let required = json!({
        "specs": { "type": "string", "pattern": r"^\d+\.\d+\.\d+\.\d+$" }, "name": short, "logo": { "type": "string", "format": "uri" },
        "region": { "type": "string", "pattern": "^[A-Z]{2}$" }, "lang": text(), "description": short,
        "authType": list(one_of(&authentication)), "oauth2": { "type": "string", "format": "uri" }, "methods": list(text()),
    });
    let info = answer(required, json!({}));
    match version {
        Version::V1 => info,
        Version::V2 => and(
            info,
            json!({
                "asynchronousOperationMode": flag(), "validationInfo": flag(),
                "signAlgorithms": answer(json!({ "algos": list(text()), "algoParams": list(text()) }), json!({})),
                "signature_formats": answer(
                    json!({ "formats": list(one_of(&["C", "X", "P", "J"])), "envelope_properties": list(list(text())) }),
                    json!({ "allowMix": flag() }),
                ),
                "conformance_levels": list(text()), "supportsRar": flag(), "supportedHashTypes": list(one_of(&["dtbsr", "sdr", "sodr"])),
            }),
        ),
    }
}

fn certificates() -> Value {
    one_of(&["none", "single", "chain"])
}

fn credential_info(version: Version) -> Value {
    reference(match version {
        Version::V1 => "CredentialInfoV1",
        Version::V2 => "CredentialInfoV2",
    })
}

/// Just its name, or all of it.
fn created() -> Value {
    let named = super::schema::named();
    let id = json!({ "credentialID": text() });
    let info = named.get("CredentialInfoV2").cloned().unwrap_or_default();
    json!({ "anyOf": [and(info, id.clone()), answer(id, json!({}))] })
}

fn list_request(version: Version) -> Value {
    let optional = match version {
        // CSC v1 11.4: whatever maxResults is, it is no error.
        Version::V1 => {
            json!({ "userID": text(), "maxResults": {}, "pageToken": text(), "clientData": client_data() })
        }
        Version::V2 => json!({
            "userID": text(), "credentialInfo": flag(), "certificates": certificates(), "certInfo": flag(), "authInfo": flag(),
            "onlyValid": flag(), "lang": text(), "clientData": client_data(),
        }),
    };
    request(json!({}), optional)
}

fn list_answer(version: Version) -> Value {
    let ids = json!({ "credentialIDs": list(text()) });
    match version {
        Version::V1 => answer(ids, json!({ "nextPageToken": text() })),
        Version::V2 => {
            let named = super::schema::named();
            let info = named.get("CredentialInfoV2").cloned().unwrap_or_default();
            let info = and(info, json!({ "credentialID": text() }));
            answer(
                ids,
                json!({ "credentialInfos": list(info), "onlyValid": flag() }),
            )
        }
    }
}

fn authorization(version: Version) -> Value {
    let count = json!({ "type": "integer", "minimum": 1 });
    let description = json!({ "type": "string", "maxLength": 500 });
    let required = json!({ "credentialID": text(), "numSignatures": count });
    let optional = match version {
        Version::V1 => json!({
            "hash": digests(), "PIN": text(), "OTP": text(), "description": description, "clientData": client_data(),
        }),
        Version::V2 => {
            let object = request(json!({ "id": text() }), json!({ "value": text() }));
            json!({
                "hashes": digests(), "hashAlgorithmOID": digest_algorithm(), "hashType": one_of(&["dtbsr", "sdr"]),
                "authData": list(object),
                "description": description, "clientData": client_data(),
            })
        }
    };
    request(required, optional)
}

/// The SAD, or a handle to ask again with.
fn pending() -> Vec<Answer> {
    let handle = answer(json!({ "handle": text() }), json!({}));
    let mut answers = Answer::ok(sad());
    answers.push(Answer::new(202, "The holder is asked.", handle));
    answers
}

fn sad() -> Value {
    answer(json!({ "SAD": text() }), json!({ "expiresIn": seconds() }))
}

fn sign_hash(version: Version) -> Value {
    let required = json!({ "credentialID": text(), version.hashes(): digests(), "signAlgo": signature_algorithm() });
    let optional = json!({
        "SAD": text(), version.hash_algorithm(): digest_algorithm(), "signAlgoParams": base64(),
        "clientData": client_data(),
    });
    let mut takes = request(required, optional);
    if let (Version::V2, Some(members)) = (
        version,
        takes
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut),
    ) {
        let mode = json!({ "type": ["string", "null"], "enum": ["S", "A", null], "default": "S" });
        members.insert("operationMode".into(), mode);
        members.insert("validity_period".into(), validity_period());
        members.insert("response_uri".into(), text());
    }
    takes
}

/// Milliseconds that a result is kept.
fn validity_period() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "Milliseconds." })
}

fn validation_info() -> Value {
    answer(
        json!({}),
        json!({ "ocsp": list(base64()), "crl": list(base64()), "certificates": list(base64()) }),
    )
}

fn sign_doc() -> Value {
    let attribute = request(
        json!({ "attribute_name": text() }),
        json!({ "attribute_value": base64() }),
    );
    let properties = ["Attached", "Detached", "Certification", "Revision"];
    let how = |what: Value| {
        let mut entry = request(
            json!({ "signature_format": one_of(&["C", "P"]), "signAlgo": signature_algorithm() }),
            json!({
                "conformance_level": text(), "signed_envelope_property": one_of(&properties), "signAlgoParams": base64(),
                "signed_props": list(attribute.clone()), "hashAlgorithmOID": digest_algorithm(),
            }),
        );
        for (list, more) in [("properties", &what), ("required", &Value::Null)] {
            let names = what.as_object().into_iter().flat_map(|what| what.keys());
            match (entry.get_mut(list), more) {
                (Some(Value::Object(into)), Value::Object(from)) => into.extend(from.clone()),
                (Some(Value::Array(into)), _) => into.extend(names.map(|name| json!(name))),
                _ => {}
            }
        }
        entry
    };
    request(
        json!({}),
        json!({
            "credentialID": text(), "signatureQualifier": text(), "SAD": text(),
            "documents": list(how(json!({ "document": base64() }))),
            "documentDigests": list(how(json!({ "hashes": digests() }))),
            "operationMode": one_of(&["S", "A"]), "validity_period": validity_period(), "response_uri": text(),
            "returnValidationInfo": flag(),
            "clientData": client_data(),
        }),
    )
}

/// With `hashAlgorithmOID` where the version has it beside hashes.
fn with_algorithm(version: Version, mut members: Value) -> Value {
    if let (Version::V2, Some(members)) = (version, members.as_object_mut()) {
        members.insert("hashAlgorithmOID".into(), digest_algorithm());
    }
    members
}
