//! What a permit was given for, up to the answer: the same whether it is waited for or asked for later.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    api::fault::Fault,
    app::App,
    credential::Permit,
    signing::document::{Prepared, Signed},
    timestamp::Asker,
};

/// Work that was permitted and is done once.
pub(crate) enum Task {
    /// Signatures over hashes.
    Hashes(Permit),
    /// Signed documents.
    Documents {
        permit: Permit,
        prepared: Vec<Prepared>,
        /// Whether the client wants what validation needs.
        validation: bool,
        client: String,
        person: String,
        request: String,
    },
}

impl Task {
    /// Does it: the body of the answer.
    pub(crate) async fn run(self, app: &App) -> Result<Value, Fault> {
        match self {
            Self::Hashes(permit) => {
                let signatures = app.signer.sign(permit).await?;
                let signatures = signatures.iter().map(|value| BASE64_STANDARD.encode(value));
                Ok(json!({ "signatures": signatures.collect::<Vec<_>>() }))
            }
            Self::Documents {
                permit,
                prepared,
                validation,
                client,
                person,
                request,
            } => {
                let signatures = app.signer.sign(permit).await?;
                let asker = Asker {
                    client: &client,
                    person: &person,
                    request: &request,
                };
                let tokens = stamp(app, &prepared, &signatures, &asker).await?;
                let done = tokio::task::spawn_blocking(move || {
                    finish(prepared, &signatures, &tokens, validation)
                });
                done.await
                    .map_err(|panic| Fault::Internal(panic.to_string()))?
            }
        }
    }
}

/// The time-stamps of level B-T, in the order of the documents.
async fn stamp(
    app: &App,
    prepared: &[Prepared],
    signatures: &[Vec<u8>],
    asker: &Asker<'_>,
) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let mut tokens = Vec::with_capacity(prepared.len());
    for (prepared, signature) in prepared.iter().zip(signatures) {
        tokens.push(match prepared.imprint(signature) {
            Some(imprint) => Some(app.tsa.stamp(&imprint, None, asker.clone()).await?),
            None => None,
        });
    }
    Ok(tokens)
}

fn finish(
    prepared: Vec<Prepared>,
    signatures: &[Vec<u8>],
    tokens: &[Option<Vec<u8>>],
    validation: bool,
) -> Result<Value, Fault> {
    let (mut documents, mut objects) = (Vec::new(), Vec::new());
    for ((prepared, signature), token) in prepared.into_iter().zip(signatures).zip(tokens) {
        let signed = prepared.finish(signature, token.as_deref());
        match signed.map_err(|error| Fault::Internal(error.to_string()))? {
            Signed::Document(octets) => documents.push(BASE64_STANDARD.encode(octets)),
            Signed::Signature(octets) => objects.push(BASE64_STANDARD.encode(octets)),
        }
    }
    let mut answer = serde_json::Map::new();
    for (name, values) in [
        ("DocumentWithSignature", documents),
        ("SignatureObject", objects),
    ] {
        if !values.is_empty() {
            answer.insert(name.into(), json!(values));
        }
    }
    if validation {
        // The whole chain is in the signature, and there are neither revocation lists nor OCSP answers.
        answer.insert("validationInfo".into(), json!({}));
    }
    Ok(Value::Object(answer))
}
