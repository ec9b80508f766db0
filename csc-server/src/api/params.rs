//! The JSON object of a call, taken apart one parameter at a time, so that each refusal can name its parameter.

use axum::extract::{FromRequest, Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::{
    dialect::{Call, Method},
    fault::Fault,
    json,
    leniency::{self, Caller, Leniency},
};
use crate::{app::App, credential::Hash};

/// A body beyond this is read on a thread of its own.
const LONG: usize = 64 * 1024;
/// The longest `clientData` taken.
const CLIENT_DATA: usize = 4096;
/// CSC v1 11.6: `description` has at most 500 characters.
const DESCRIPTION: usize = 500;

/// The parameters of a call. `null` is absence; unknown members are ignored.
pub(super) struct Params {
    members: Map<String, Value>,
    /// What the caller may get beyond the letter.
    pub(super) leniency: Leniency,
}

impl FromRequest<App> for Params {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &App) -> Result<Self, Fault> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type
            .and_then(|value| value.split(';').next())
            .map(str::trim);
        let is_json = media_type
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
        let extensions = request.extensions();
        let call = extensions.get::<Call>().cloned();
        let call = call.ok_or_else(|| Fault::Internal("a call without its name".into()))?;
        let caller = extensions.get::<Caller>().cloned().unwrap_or_default();

        // Documents come in as they are sent; every other body has been taken whole, within its bound.
        let body = Limited::new(request.into_body(), app.limits.document_body).collect();
        let body = body
            .await
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => Fault::TooLarge,
                false => Fault::Malformed,
            })?;
        let body = body.to_bytes();
        let members = match body.len() {
            0 if call.method == Method::Info => Some(Map::new()),
            _ if !is_json => None,
            length if length > LONG => {
                let read = tokio::task::spawn_blocking(move || json::object(&body)).await;
                read.map_err(|panic| Fault::Internal(panic.to_string()))?
            }
            _ => json::object(&body),
        };
        let mut members = members.ok_or(Fault::Malformed)?;
        let leniency = leniency::read(app, &call, &caller, &mut members).await?;
        Ok(Self { members, leniency })
    }
}

impl Params {
    fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Whether the member is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// A member, whatever it is.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.member(name)
    }

    /// A member, which is no longer there then.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// A required string.
    pub(super) fn string(&self, name: &'static str) -> Result<&str, Fault> {
        self.member(name)
            .and_then(Value::as_str)
            .ok_or(Fault::MissingString(name))
    }

    /// An optional string.
    pub(super) fn optional_string(&self, name: &'static str) -> Result<Option<&str>, Fault> {
        self.member(name)
            .map(|value| value.as_str().ok_or(Fault::Invalid(name)))
            .transpose()
    }

    /// An optional flag, false when absent.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Fault> {
        self.member(name).map_or(Ok(false), |value| {
            value.as_bool().ok_or(Fault::Invalid(name))
        })
    }

    /// A required integer.
    pub(super) fn integer(&self, name: &'static str) -> Result<i64, Fault> {
        self.member(name)
            .and_then(Value::as_i64)
            .ok_or(Fault::MissingInteger(name))
    }

    /// An integer whose absence, type or range is never an error.
    pub(super) fn hint(&self, name: &str) -> Option<i64> {
        self.member(name).and_then(Value::as_i64)
    }

    /// A required object.
    pub(super) fn object(&self, name: &'static str) -> Result<&Map<String, Value>, Fault> {
        self.member(name)
            .and_then(Value::as_object)
            .ok_or(Fault::MissingObject(name))
    }

    /// A required array of objects.
    pub(super) fn objects(&self, name: &'static str) -> Result<Vec<&Map<String, Value>>, Fault> {
        let array = self
            .member(name)
            .and_then(Value::as_array)
            .ok_or(Fault::MissingArray(name))?;
        array
            .iter()
            .map(|value| value.as_object().ok_or(Fault::MissingArray(name)))
            .collect()
    }

    /// A required array of hashes: standard base64 with padding, each as long as an allowed digest. `called` is its name in the
    /// error text, which in v2 signHash is not the member's.
    pub(super) fn hashes(
        &self,
        name: &'static str,
        called: &'static str,
        limit: usize,
    ) -> Result<Vec<Hash>, Fault> {
        let array = self
            .member(name)
            .and_then(Value::as_array)
            .ok_or(Fault::MissingArray(called))?;
        if array.is_empty() {
            return Err(Fault::Text("Empty hash array"));
        }
        if array.len() > limit {
            return Err(Fault::Invalid(name));
        }
        array
            .iter()
            .map(|value| {
                let text = value.as_str().ok_or(Fault::MissingArray(called))?;
                let octets = BASE64_STANDARD
                    .decode(text)
                    .map_err(|_| Fault::Text("Invalid Base64 hash string parameter"))?;
                let hash = Hash::new(octets).ok_or(Fault::Text("Invalid digest value length"))?;
                if hash.is_zero() {
                    return Err(Fault::Invalid(called));
                }
                Ok(hash)
            })
            .collect()
    }

    /// Checks `clientData` (free text of the client, not kept) and `description`.
    pub(super) fn check_free_text(&self) -> Result<(), Fault> {
        if self
            .optional_string("clientData")?
            .is_some_and(|text| text.len() > CLIENT_DATA)
        {
            return Err(Fault::Invalid("clientData"));
        }
        if self
            .optional_string("description")?
            .is_some_and(|text| text.chars().count() > DESCRIPTION)
        {
            return Err(Fault::Invalid("description"));
        }
        Ok(())
    }
}
