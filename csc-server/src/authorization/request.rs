//! An authorization request (CSC v1 8.3.2, v2 8.4.2 and 8.4.3, RFC 9126, RFC 9396), read and checked as far as it can be before anybody has
//! logged in.

use std::{borrow::Cow, sync::Arc};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hsm_adapter::{DigestAlgorithm, HashType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::details;
use crate::{
    credential::Hash,
    ids::{CredentialId, HolderId},
    oauth::{
        client::Client,
        fields::Fields,
        registration::{Grant, Registration},
        switches::Switch,
    },
};

/// CSC v1 8.3.2.
const STATE: usize = 255;
const DESCRIPTION: usize = 500;
/// As in the API.
const CLIENT_DATA: usize = 4096;
/// A language tag (RFC 5646 4.4.1).
const LANGUAGE: usize = 35;
/// CSC v2.2: what its own scopes are called.
const CREATION: &str = "credential-creation";
const DELETION: &str = "credential-deletion";
/// The texts of CSC v1, table 3, that OAuth has no own for.
const UNSUPPORTED: &str =
    "The authorization server does not support obtaining an authorization code using this method.";
const SCOPE: &str = "The requested scope is invalid, unknown, or malformed.";
const UNAUTHORIZED: &str = "The client is not authorized to use this method.";

/// Base64url, padded or not.
pub(super) const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is asked for, in the form it is kept in: these octets are what a code answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Version of the API that the request speaks: it decides how the token is called.
    pub version: u8,
    /// Where the browser goes back to.
    pub redirect_uri: String,
    /// Whether the client said so: then it must say so again.
    pub redirect_given: bool,
    /// What for.
    pub scope: Scope,
    /// The client's own, given back as it came.
    pub state: Option<String>,
    /// PKCE (RFC 7636): SHA-256 of the verifier, base64url.
    pub challenge: Option<String>,
    /// The key that the code is for (RFC 9449 10).
    pub key: Option<String>,
    /// Language of the page.
    pub language: Option<String>,
    /// What the client says about it.
    pub description: Option<String>,
    /// The only account that may log in (CSC v1 8.3.1).
    pub account: Option<HolderId>,
    /// The client's own object (RFC 9396), given back as it came.
    pub details: Option<Value>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To use the API in the holder's name.
    Service,
    /// Signatures.
    Credential(Wanted),
    /// A new credential.
    Creation,
    /// The end of this credential.
    Deletion(CredentialId),
}

/// Signatures that a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// With this credential.
    pub credential: Option<CredentialId>,
    /// Or with one of this kind (CSC v2 7.10).
    pub qualifier: Option<String>,
    /// What is to be signed, in the order given.
    pub documents: Vec<Document>,
    /// The algorithm of the hashes, when it was named.
    pub digest: Option<DigestAlgorithm>,
    /// What they are hashes of, when the client said.
    pub hash_type: Option<HashType>,
}

/// One thing to be signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its hash.
    pub hash: Hash,
    /// What the client calls it.
    pub label: Option<String>,
}

impl Scope {
    /// Its name in requests.
    fn name(&self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Credential(_) => "credential",
            Self::Creation => CREATION,
            Self::Deletion(_) => DELETION,
        }
    }
}

impl Wanted {
    /// How many signatures: one a document.
    pub fn count(&self) -> u32 {
        u32::try_from(self.documents.len()).unwrap_or(u32::MAX)
    }

    /// The hashes, in the order given.
    pub fn hashes(&self) -> Vec<Hash> {
        self.documents
            .iter()
            .map(|document| document.hash.clone())
            .collect()
    }
}

/// Why a request is refused, in words for the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `error` (RFC 6749 4.1.2.1).
    pub error: &'static str,
    /// `error_description`.
    pub text: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(error: &'static str, text: &'static str) -> Self {
        Self {
            error,
            text: text.into(),
        }
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self {
            error: "invalid_request",
            text: format!("Missing parameter {parameter}").into(),
        }
    }

    pub(super) fn invalid(parameter: &str) -> Self {
        Self {
            error: "invalid_request",
            text: format!("Invalid parameter {parameter}").into(),
        }
    }
}

/// Where the browser may be sent back to; `None` for an address that is not registered (RFC 6749 3.1.2.4).
pub(super) fn redirect_uri(registration: &Registration, asked: Option<&str>) -> Option<String> {
    let registered = &registration.redirect_uris;
    match asked {
        Some(uri) => registered
            .iter()
            .any(|one| one == uri || on_another_port(one, uri))
            .then(|| uri.to_owned()),
        None => match registered.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        },
    }
}

/// RFC 8252 7.3: an application on the device listens on whatever port is free.
fn on_another_port(registered: &str, asked: &str) -> bool {
    let (Ok(mut registered), Ok(mut asked)) = (Url::parse(registered), Url::parse(asked)) else {
        return false;
    };
    let loopback = matches!(registered.host_str(), Some("127.0.0.1" | "[::1]"));
    let without_port = |url: &mut Url| url.set_port(None).is_ok();
    registered.scheme() == "http"
        && loopback
        && without_port(&mut registered)
        && without_port(&mut asked)
        && registered == asked
}

/// A request as it came.
pub(super) struct Request<'a> {
    pub(super) client: &'a Arc<Client>,
    pub(super) fields: &'a Fields,
    /// Whether the client pushed it.
    pub(super) pushed: bool,
    /// Most documents.
    pub(super) limit: usize,
}

impl Request<'_> {
    /// Checks everything that needs no database. Account and redirect URI are put in by who knows them.
    pub(super) fn read(&self, redirect_uri: String) -> Result<Asked, Refusal> {
        let registration = &self.client.registration;
        match self.fields.get("response_type") {
            None => return Err(Refusal::missing("response_type")),
            Some("code") => {}
            Some(_) => return Err(Refusal::new("unsupported_response_type", UNSUPPORTED)),
        }
        if !registration.allows(Grant::AuthorizationCode) {
            return Err(Refusal::new("unauthorized_client", UNAUTHORIZED));
        }
        if self.fields.get("request").is_some() {
            let text = "Request objects are not supported: push the request";
            return Err(Refusal::new("request_not_supported", text));
        }
        if registration.require_par && !self.pushed {
            let text = "This client pushes its authorization requests (RFC 9126)";
            return Err(Refusal::new("invalid_request", text));
        }
        let state = self.text("state", |text| text.len() <= STATE)?;
        let description = self.text("description", |text| text.chars().count() <= DESCRIPTION)?;
        self.text("clientData", |text| text.len() <= CLIENT_DATA)?;
        let language = self.text("lang", is_language_tag)?;
        let key = self.text("dpop_jkt", is_sha256)?;
        let version = self.version();
        let (scope, details) = self.scope(version)?;
        let challenge = self.challenge(version)?;
        Ok(Asked {
            version,
            redirect_uri,
            redirect_given: self.fields.get("redirect_uri").is_some(),
            scope,
            state,
            challenge,
            key,
            language,
            description,
            account: None,
            details,
        })
    }

    fn text(&self, name: &str, fits: impl FnOnce(&str) -> bool) -> Result<Option<String>, Refusal> {
        match self.fields.get(name) {
            Some(text) if !fits(text) => Err(Refusal::invalid(name)),
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// Which version the request speaks. They share the URL; what v1 does not have is v2's.
    fn version(&self) -> u8 {
        let has = |name: &&str| self.fields.get(name).is_some();
        let of_v2 = [
            "hashes",
            "hashAlgorithmOID",
            "signatureQualifier",
            "authorization_details",
        ];
        let is_of_v2_2 = matches!(self.fields.get("scope"), Some(CREATION | DELETION));
        if has(&"hash") {
            1
        } else if is_of_v2_2 || self.pushed || of_v2.iter().any(has) || has(&"code_challenge") {
            2
        } else {
            1
        }
    }

    fn challenge(&self, version: u8) -> Result<Option<String>, Refusal> {
        let Some(challenge) = self.fields.get("code_challenge") else {
            let registration = &self.client.registration;
            // v1 has no PKCE: there a client that proves who it is may do without.
            return match version == 1 && registration.is_confidential() {
                true => Ok(None),
                false => Err(Refusal::missing("code_challenge")),
            };
        };
        // RFC 7636 4.3: `plain` when nothing is said, which protects from nobody who sees the request.
        if self.fields.get("code_challenge_method") != Some("S256") {
            return Err(Refusal::invalid("code_challenge_method"));
        }
        if !is_sha256(challenge) {
            return Err(Refusal::invalid("code_challenge"));
        }
        Ok(Some(challenge.to_owned()))
    }

    fn scope(&self, version: u8) -> Result<(Scope, Option<Value>), Refusal> {
        let details = self.fields.get("authorization_details");
        let (scope, details) = self.said(version, details)?;
        match scope {
            Scope::Creation | Scope::Deletion(_)
                if !self.client.registration.manage_credentials =>
            {
                Err(Refusal::new("unauthorized_client", UNAUTHORIZED))
            }
            scope => Ok((scope, details)),
        }
    }

    fn said(&self, version: u8, details: Option<&str>) -> Result<(Scope, Option<Value>), Refusal> {
        match (self.fields.get("scope"), details) {
            (None | Some("service"), None) => Ok((Scope::Service, None)),
            (Some(CREATION), None) => Ok((Scope::Creation, None)),
            (Some(DELETION), None) => {
                let id = self.fields.get("credentialID");
                let id = id.ok_or_else(|| Refusal::missing("credentialID"))?;
                Ok((Scope::Deletion(CredentialId::new(id)), None))
            }
            (None | Some("credential" | CREATION | DELETION), Some(details)) => {
                let alone = ["hash", "hashes", "credentialID", "signatureQualifier"];
                if let Some(twice) = alone.iter().find(|name| self.fields.get(name).is_some()) {
                    return Err(Refusal::invalid(twice));
                }
                let lenient = || self.client.may(Switch::Base64urlInJson);
                let (scope, details) = details::read(details, self.limit, &lenient)?;
                match self.fields.get("scope") {
                    Some(said) if said != scope.name() => Err(Refusal::new("invalid_scope", SCOPE)),
                    _ => Ok((scope, Some(details))),
                }
            }
            (Some("credential"), None) => Ok((Scope::Credential(self.wanted(version)?), None)),
            _ => Err(Refusal::new("invalid_scope", SCOPE)),
        }
    }

    fn wanted(&self, version: u8) -> Result<Wanted, Refusal> {
        let credential = self.fields.get("credentialID").map(CredentialId::new);
        let qualifier = self.text("signatureQualifier", is_qualifier)?;
        if credential.is_none() && (version == 1 || qualifier.is_none()) {
            return Err(Refusal::missing("credentialID"));
        }
        let count = self.fields.get("numSignatures");
        let count = count.ok_or_else(|| Refusal::missing("numSignatures"))?;
        let count: usize = count
            .parse()
            .map_err(|_| Refusal::invalid("numSignatures"))?;
        let name = if version == 1 { "hash" } else { "hashes" };
        let hashes = self
            .fields
            .get(name)
            .ok_or_else(|| Refusal::missing(name))?;
        let documents: Vec<_> = hashes
            .split(',')
            .take(self.limit + 1)
            .map(|text| {
                let hash = hash(text, self.client).ok_or_else(|| Refusal::invalid(name))?;
                Ok(Document { hash, label: None })
            })
            .collect::<Result<_, _>>()?;
        if documents.len() > self.limit {
            return Err(Refusal::invalid(name));
        }
        // Under SCAL2 each signature has its hash.
        if count != documents.len() {
            return Err(Refusal::invalid("numSignatures"));
        }
        let digest = match (version, self.fields.get("hashAlgorithmOID")) {
            (1, _) => None,
            (_, Some(oid)) => {
                Some(digest(oid).ok_or_else(|| Refusal::invalid("hashAlgorithmOID"))?)
            }
            (_, None) => return Err(Refusal::missing("hashAlgorithmOID")),
        };
        fits(&documents, digest).ok_or_else(|| Refusal::invalid(name))?;
        Ok(Wanted {
            credential,
            qualifier,
            documents,
            digest,
            hash_type: None,
        })
    }
}

/// A hash of a URL: base64url; standard base64 as well when the client has that switch.
fn hash(text: &str, client: &Client) -> Option<Hash> {
    let octets = match BASE64_URL.decode(text) {
        Ok(octets) => octets,
        Err(_) if client.may(Switch::Base64InUrls) => BASE64_STANDARD.decode(text).ok()?,
        Err(_) => return None,
    };
    Hash::new(octets).filter(|hash| !hash.is_zero())
}

/// Whether every hash has the length of this algorithm.
pub(super) fn fits(documents: &[Document], digest: Option<DigestAlgorithm>) -> Option<()> {
    let all = digest.is_none_or(|digest| documents.iter().all(|one| one.hash.fits(digest)));
    all.then_some(())
}

/// The digest of this OID.
pub(super) fn digest(oid: &str) -> Option<DigestAlgorithm> {
    DigestAlgorithm::ALL
        .into_iter()
        .find(|digest| digest.oid() == oid)
}

/// CSC v2 7.10: `X_Y_Z`, country, law, kind.
pub(super) fn is_qualifier(text: &str) -> bool {
    let parts: Vec<_> = text.split('_').collect();
    text.len() <= 64
        && parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric()))
}

/// SHA-256 as base64url without padding: 43 characters.
fn is_sha256(text: &str) -> bool {
    text.len() == 43
        && BASE64_URL
            .decode(text)
            .is_ok_and(|octets| octets.len() == 32)
}

fn is_language_tag(text: &str) -> bool {
    text.len() <= LANGUAGE
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_a_registered_one_or_the_only_one() {
        let mut registration = Registration::named("A");
        registration.redirect_uris = vec!["https://a.example/cb".into()];
        let known = |registration: &Registration, uri| redirect_uri(registration, uri);
        assert_eq!(known(&registration, None).unwrap(), "https://a.example/cb");
        for other in [
            "https://a.example/cb/",
            "https://a.example/cb?x=1",
            "https://A.example/cb",
            "https://a.example:443/cb",
            "https://b.example/cb",
        ] {
            assert_eq!(known(&registration, Some(other)), None, "{other}");
        }
        registration
            .redirect_uris
            .push("http://127.0.0.1/cb".into());
        assert_eq!(known(&registration, None), None);
        assert!(known(&registration, Some("http://127.0.0.1:51234/cb")).is_some());
        assert_eq!(
            known(&registration, Some("http://127.0.0.1:51234/other")),
            None
        );
        assert_eq!(
            known(&registration, Some("http://127.0.0.2:51234/cb")),
            None
        );
        assert_eq!(
            known(&registration, Some("https://a.example:8443/cb")),
            None
        );
    }

    #[test]
    fn qualifiers_have_three_parts() {
        for good in ["eu_eidas_qes", "za_ecta_aes"] {
            assert!(is_qualifier(good));
        }
        for bad in ["", "eu_eidas", "eu__qes", "eu_eidas_qes_x", "eu_eidas_q'"] {
            assert!(!is_qualifier(bad), "{bad}");
        }
    }
}
