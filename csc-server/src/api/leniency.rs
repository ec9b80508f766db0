//! What a client may write or get beyond the letter, by the switches of its registration: here and nowhere else on the wire.
//!
//! A request is put into the words of the specification before its handler reads it; an answer is put into the client's before it leaves. The
//! handlers know the specification only. Whoever needs no leniency pays nothing: the registration is looked at when a request has a
//! member that the specification does not. Each use is counted.

use std::sync::{Arc, OnceLock};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hsm_adapter::DigestAlgorithm;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    dialect::{Call, Method, Version},
    fault::Fault,
};
use crate::{
    app::App,
    ids::ClientId,
    oauth::{client::Client, switches::Switch},
};

/// Who calls, once that is known: an extension of every request, written by what checks tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    id: OnceLock<ClientId>,
    /// Its registration as it was read in this request.
    client: OnceLock<Arc<Client>>,
}

impl Caller {
    /// This one does.
    pub(super) fn is(&self, client: &ClientId) {
        // The first to be known stays.
        let _ = self.0.id.set(client.clone());
    }

    /// Its registration, which was read.
    pub(super) fn is_registered(&self, client: &Arc<Client>) {
        if self.0.id.get() == Some(&client.id) {
            let _ = self.0.client.set(client.clone());
        }
    }

    /// Its registration.
    pub(super) async fn client(&self, app: &App) -> Result<Option<Arc<Client>>, Fault> {
        match (self.0.client.get(), self.0.id.get()) {
            (Some(client), _) => Ok(Some(client.clone())),
            (None, Some(id)) => Ok(app.clients.find(id).await?),
            (None, None) => Ok(None),
        }
    }

    /// Whether its registration has this switch, which is used then.
    pub(super) async fn may(&self, app: &App, switch: Switch) -> Result<bool, Fault> {
        let client = self.client(app).await?;
        Ok(Leniency(client).has(switch))
    }
}

/// The switches of a caller; none when nobody had to ask for them.
pub(super) struct Leniency(Option<Arc<Client>>);

impl Leniency {
    /// Whether this one is on, which is counted: to be asked only where it makes a difference.
    pub(super) fn has(&self, switch: Switch) -> bool {
        self.0.as_deref().is_some_and(|client| client.may(switch))
    }

    /// Puts what is told of a credential into the client's words.
    pub(super) fn describe(&self, view: &mut Map<String, Value>) {
        let auth = view.get_mut("auth").and_then(Value::as_object_mut);
        if let Some(auth) = auth.filter(|auth| auth.get("mode") == Some(&json!("oauth2code")))
            && !auth.contains_key("objects")
            && self.has(Switch::EmptyObjects)
        {
            auth.insert("objects".into(), json!([]));
        }
        if let Some(scal) = view.get("SCAL").cloned()
            && self.has(Switch::LowerCaseScal)
        {
            view.insert("scal".into(), scal);
        }
    }
}

/// Members under another name than the specification's: switch, theirs, ours.
const RENAMED: [(Switch, &str, &str); 10] = [
    (Switch::SnakeCaseMembers, "user_id", "userID"),
    (Switch::SnakeCaseMembers, "auth_info", "authInfo"),
    (Switch::SnakeCaseMembers, "only_valid", "onlyValid"),
    (Switch::SnakeCaseMembers, "client_data", "clientData"),
    (
        Switch::SnakeCaseMembers,
        "sign_algo_params",
        "signAlgoParams",
    ),
    (Switch::CamelCaseAsync, "validityPeriod", "validity_period"),
    (Switch::CamelCaseAsync, "responseURI", "response_uri"),
    (
        Switch::ValidationInformation,
        "returnValidationInformation",
        "returnValidationInfo",
    ),
    (Switch::V1NamesInV2, "hash", "hashes"),
    (Switch::V1NamesInV2, "hashAlgo", "hashAlgorithmOID"),
];
/// Members that hold base64.
const ENCODED: [&str; 3] = ["hash", "hashes", "signAlgoParams"];

/// Puts the members of a request into the words of the specification, as far as the caller's registration lets it write others.
pub(super) async fn read(
    app: &App,
    call: &Call,
    caller: &Caller,
    members: &mut Map<String, Value>,
) -> Result<Leniency, Fault> {
    if !is_looked_at(call, members) {
        return Ok(Leniency(None));
    }
    if call.method == Method::AuthLogin {
        caller.is(&ClientId::direct());
    }
    let leniency = Leniency(caller.client(app).await?);
    for (switch, theirs, ours) in RENAMED {
        let applies = switch != Switch::V1NamesInV2 || has_hashes_of_v2(call);
        if applies
            && given(members, theirs)
            && !given(members, ours)
            && leniency.has(switch)
            && let Some(value) = members.remove(theirs)
        {
            members.insert(ours.to_owned(), value);
            if ours == "hashes" && call.method != Method::SignaturesSignHash {
                name_algorithm(members);
            }
        }
    }
    if has_top_level_factors(call, members) && leniency.has(Switch::TopLevelFactors) {
        let factors = ["PIN", "OTP"].map(|id| (id, members.remove(id).unwrap_or_default()));
        let factors = factors.into_iter().filter(|(_, value)| !value.is_null());
        let factors: Vec<_> = factors
            .map(|(id, value)| json!({ "id": id, "value": value }))
            .collect();
        members.insert("authData".into(), json!(factors));
    }
    if is_base64url(members) && leniency.has(Switch::Base64urlInJson) {
        for text in encoded_mut(members) {
            *text = standard(text);
        }
    }
    let describes = matches!(
        call.method,
        Method::CredentialsInfo | Method::CredentialsList
    );
    if describes
        && call.version == Version::V2
        && members.get("certInfo") != Some(&json!(true))
        && leniency.has(Switch::CertificateNames)
    {
        members.insert("certInfo".into(), json!(true));
    }
    Ok(leniency)
}

/// Whether the registration can make a difference to this request.
fn is_looked_at(call: &Call, members: &Map<String, Value>) -> bool {
    let describes = matches!(
        call.method,
        Method::CredentialsInfo | Method::CredentialsList
    );
    describes
        || RENAMED.iter().any(|(_, theirs, _)| given(members, theirs))
        || has_top_level_factors(call, members)
        || is_base64url(members)
}

/// `null` is absence.
fn given(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| !value.is_null())
}

fn has_hashes_of_v2(call: &Call) -> bool {
    let method = matches!(
        call.method,
        Method::CredentialsAuthorize
            | Method::CredentialsExtendTransaction
            | Method::SignaturesSignHash
    );
    method && call.version == Version::V2
}

fn has_top_level_factors(call: &Call, members: &Map<String, Value>) -> bool {
    call.version == Version::V2
        && call.method == Method::CredentialsAuthorize
        && !given(members, "authData")
        && (given(members, "PIN") || given(members, "OTP"))
}

/// v1 has no algorithm beside hashes that are approved: it goes by their length, and so does who writes v1 under v2.
fn name_algorithm(members: &mut Map<String, Value>) {
    let first = members
        .get("hashes")
        .and_then(|hashes| hashes.get(0)?.as_str());
    let length = first.and_then(|text| BASE64_STANDARD.decode(standard(text)).ok());
    let algorithm = DigestAlgorithm::ALL.into_iter().find(|algorithm| {
        length
            .as_ref()
            .is_some_and(|octets| octets.len() == algorithm.len())
    });
    if let (Some(algorithm), false) = (algorithm, given(members, "hashAlgorithmOID")) {
        members.insert("hashAlgorithmOID".into(), json!(algorithm.oid()));
    }
}

fn is_base64url(members: &Map<String, Value>) -> bool {
    let differs = |value: &Value| value.as_str().is_some_and(|text| standard(text) != text);
    ENCODED
        .iter()
        .filter_map(|name| members.get(*name))
        .any(|value| match value {
            Value::Array(values) => values.iter().any(differs),
            value => differs(value),
        })
}

fn encoded_mut(members: &mut Map<String, Value>) -> Vec<&mut String> {
    let mut found = Vec::new();
    for (name, value) in members {
        let values = match value {
            _ if !ENCODED.contains(&name.as_str()) => continue,
            Value::Array(values) => values.iter_mut().collect(),
            value => vec![value],
        };
        found.extend(values.into_iter().filter_map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        }));
    }
    found
}

/// Standard base64 with padding of what may be base64url; what is neither stays as it is.
fn standard(text: &str) -> String {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    let octets = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text));
    octets.map_or_else(|_| text.to_owned(), |octets| BASE64_STANDARD.encode(octets))
}

/// The layer around every route: says 200 where the caller cannot read 204.
pub(super) async fn answer(State(app): State<App>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.unwrap_or_default();
    let response = next.run(request).await;
    if response.status() != StatusCode::NO_CONTENT {
        return response;
    }
    match caller.may(&app, Switch::EmptyIsOk).await {
        Ok(true) => Json(json!({})).into_response(),
        Ok(false) => response,
        // What was done is done: the answer of the specification stands.
        Err(fault) => {
            tracing::warn!(?fault, "a client's registration cannot be read");
            response
        }
    }
}

/// The parameters in the URL of a token request, for who may put them there; `named` is the client by the Authorization header.
pub(super) async fn query(
    app: &App,
    query: &str,
    named: Option<String>,
) -> Result<Vec<(String, String)>, Fault> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let in_query = || {
        let found = pairs.iter().find(|(name, _)| name == "client_id");
        found.map(|(_, id)| id.clone())
    };
    let Some(id) = named.or_else(in_query) else {
        return Ok(Vec::new());
    };
    let caller = Caller::default();
    caller.is(&ClientId::new(id));
    match caller.may(app, Switch::QueryParameters).await? {
        true => Ok(pairs),
        false => Ok(Vec::new()),
    }
}

/// Whether the unauthenticated caller may GET info: everybody may, or nobody, by the registration of those who log in by themselves.
pub(super) async fn get_info(app: &App) -> Result<bool, Fault> {
    let caller = Caller::default();
    caller.is(&ClientId::direct());
    caller.may(app, Switch::GetInfo).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_read_the_same_with_and_without_padding() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(standard(text), "+/8=");
        }
        for text in ["not base64", "A", ""] {
            assert_eq!(standard(text), text);
        }
    }
}
