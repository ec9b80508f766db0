//! Refusals are events too: who tries SADs that are not his, or hashes that nobody approved, is seen (SC-80).

use super::{Credential, Error, Keys};
use crate::{
    audit::{self, Act, Event},
    clock::Millis,
    ids::ActivationId,
    oauth::ServiceAccess,
    store::{Store, StoreError},
};

/// What was refused.
pub(super) enum Asked<'a> {
    /// A SAD, or something with one.
    Sad(Act),
    /// Signatures over these hashes, hexadecimal.
    Signatures {
        hashes: Vec<String>,
        request: &'a str,
    },
}

impl Keys {
    /// Alarms: a row is not what the service wrote.
    pub(super) async fn damaged(
        &self,
        credential: &Credential,
        now: Millis,
    ) -> Result<Error, StoreError> {
        tracing::error!(credential = %credential.id, "a credential or an activation of it fails its integrity check");
        let event = Event::KeyIntegrityFail {
            credential: credential.id.to_string(),
        };
        audit::note(&self.store, now, &credential.pseudonym, event).await?;
        Ok(Error::Damaged)
    }
}

/// Records the refusal, unless another event tells of it or it is a failure of ours; gives the error back.
pub(super) async fn refused(
    store: &Store,
    now: Millis,
    access: &ServiceAccess,
    credential: Option<&Credential>,
    activation: Option<&ActivationId>,
    asked: Asked<'_>,
    error: Error,
) -> Error {
    match error {
        // Their own events tell of them.
        Error::WrongPin | Error::WrongOtp => return error,
        Error::Store(_) | Error::Hsm(_) => return error,
        _ => {}
    }
    let reason = error.to_string();
    let client = access.client.to_string();
    let named = credential.map(|credential| credential.id.to_string());
    // What a client sent in place of an identifier is none of ours, and is not repeated.
    let activation = activation.filter(|id| id.is_well_formed());
    let activation = activation.map(ToString::to_string);
    let event = match asked {
        Asked::Sad(act) => Event::SadRefused {
            act,
            activation,
            credential: named,
            client,
            reason,
        },
        Asked::Signatures { hashes, request } => Event::SignRefused {
            activation,
            credential: named.unwrap_or_default(),
            client,
            request: request.to_owned(),
            hashes,
            reason,
        },
    };
    let person = credential.map_or("", |credential| &credential.pseudonym);
    match audit::note(store, now, person, event).await {
        Ok(()) => error,
        Err(failure) => failure.into(),
    }
}
