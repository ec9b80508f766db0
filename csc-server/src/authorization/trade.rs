//! What a client gets for a code (CSC v1 8.3.3, v2 8.4.4).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    Asked, Authorizations, Error, Scope, details, request::BASE64_URL, stored::answered_by,
};
use crate::{
    credential::{self, Traded},
    oauth::{
        Caller,
        client::Client,
        switches::Switch,
        token::{self, Issued},
    },
};

/// What the token request says besides the code.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "named as in the form")]
pub struct CodeRequest<'a> {
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub code_verifier: Option<&'a str>,
    pub authorization_details: Option<&'a str>,
}

/// What it gives.
pub enum Granted {
    /// Service tokens.
    Service(Issued),
    /// A token for the beginning or the end of a credential.
    Life {
        /// Itself.
        token: Issued,
        /// The client's own object.
        details: Option<Value>,
    },
    /// A credential token.
    Credential {
        /// Itself.
        traded: Traded,
        /// Version of the API that the request spoke.
        version: u8,
        /// The client's own object, with the credential that was chosen.
        details: Option<Value>,
        /// Whether the client left the choice to the holder.
        chosen: bool,
    },
}

/// Why there is nothing for it.
#[derive(Debug, thiserror::Error)]
pub enum Untraded {
    /// Nobody gave this client this code.
    #[error("unknown code")]
    Unknown,
    /// It was good once, or was used.
    #[error("expired code")]
    Expired,
    /// Not the address that the authorization request named.
    #[error("another redirect_uri")]
    OtherRedirect,
    /// The verifier is missing.
    #[error("no code_verifier")]
    NoVerifier,
    /// It is not the challenge's, or there was none.
    #[error("another code_verifier")]
    OtherVerifier,
    /// The code is for a client with another key (RFC 9449 10).
    #[error("another key")]
    OtherKey,
    /// The details are missing.
    #[error("no authorization_details")]
    NoDetails,
    /// They are not what was approved.
    #[error("other authorization_details")]
    OtherDetails,
    /// A failure of ours.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<crate::store::StoreError> for Untraded {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Authorizations {
    /// Trades a code, once, for what its request asked and the holder granted. A request that does not go with the code leaves it as it is.
    ///
    /// # Errors
    /// What does not go with the code; a code that comes twice also ends what it gave.
    pub async fn trade(
        &self,
        client: &Client,
        request: &CodeRequest<'_>,
        caller: Caller,
    ) -> Result<Granted, Untraded> {
        let (name, _) = request.code.split_once('.').ok_or(Untraded::Unknown)?;
        let answered = answered_by(&self.store, &client.id, name).await?;
        let (asked, bound) = answered.ok_or(Untraded::Unknown)?;
        asked.goes_with(client, request, &caller)?;
        let kind = match asked.scope {
            Scope::Creation => token::Kind::Creation,
            Scope::Deletion(_) => token::Kind::Deletion,
            Scope::Service | Scope::Credential(_) => token::Kind::Access,
        };
        match asked.scope {
            Scope::Service | Scope::Creation | Scope::Deletion(_) => {
                let traded = self
                    .tokens
                    .trade(client, request.code, &bound, caller, kind)
                    .await;
                match traded {
                    Ok(issued) if kind == token::Kind::Access => Ok(Granted::Service(issued)),
                    Ok(token) => Ok(Granted::Life {
                        token,
                        details: asked.details,
                    }),
                    Err(token::Error::Reused(grant)) => {
                        self.keys.end_grant(&grant).await?;
                        Err(Untraded::Expired)
                    }
                    Err(token::Error::Unknown) => Err(Untraded::Unknown),
                    Err(token::Error::Expired) => Err(Untraded::Expired),
                    Err(error) => Err(Untraded::Failed(error.into())),
                }
            }
            Scope::Credential(wanted) => {
                let traded = self
                    .keys
                    .trade(&client.id, request.code, &bound, caller.confirmation)
                    .await;
                let traded = traded.map_err(|error| match error {
                    credential::Error::InvalidSad => Untraded::Unknown,
                    credential::Error::SadExpired
                    | credential::Error::Disabled
                    | credential::Error::CertificateExpired { .. } => Untraded::Expired,
                    error => Untraded::Failed(error.into()),
                })?;
                let chosen = traded.credential.to_string();
                let details = asked
                    .details
                    .map(|details| completed(details, &chosen, wanted.count()));
                Ok(Granted::Credential {
                    version: asked.version,
                    details,
                    chosen: wanted.credential.is_none(),
                    traded,
                })
            }
        }
    }
}

impl Asked {
    /// Whether the token request goes with this authorization request.
    fn goes_with(
        &self,
        client: &Client,
        request: &CodeRequest<'_>,
        caller: &Caller,
    ) -> Result<(), Untraded> {
        let same = match request.redirect_uri {
            Some(uri) => uri == self.redirect_uri,
            None => !self.redirect_given,
        };
        if !same {
            return Err(Untraded::OtherRedirect);
        }
        match (&self.challenge, request.code_verifier) {
            (Some(_), None) => return Err(Untraded::NoVerifier),
            (Some(challenge), Some(verifier)) if matches(challenge, verifier) => {}
            (None, None) => {}
            // RFC 9700 4.8.2: a verifier without a challenge is somebody else's code.
            _ => return Err(Untraded::OtherVerifier),
        }
        if let Some(key) = &self.key
            && caller.confirmation.as_deref() != Some(&*format!("jkt:{key}"))
        {
            return Err(Untraded::OtherKey);
        }
        match (&self.scope, &self.details, request.authorization_details) {
            // What was approved is the code's own.
            (_, Some(_), None) if client.may(Switch::DetailsOnce) => Ok(()),
            (_, Some(_), None) => Err(Untraded::NoDetails),
            (scope, Some(_), Some(again)) => {
                let lenient = || client.may(Switch::Base64urlInJson);
                match details::repeats(again, scope, &lenient) {
                    true => Ok(()),
                    false => Err(Untraded::OtherDetails),
                }
            }
            (_, None, Some(_)) => Err(Untraded::OtherDetails),
            _ => Ok(()),
        }
    }
}

/// RFC 7636 4.6.
fn matches(challenge: &str, verifier: &str) -> bool {
    let made = BASE64_URL.encode(digest(&SHA256, verifier.as_bytes()));
    let made = made.trim_end_matches('=');
    (43..=128).contains(&verifier.len()) && made.as_bytes().ct_eq(challenge.as_bytes()).into()
}

/// The client's object with what it did not say: the credential, and in 2.2 the number of signatures (CSC v2 8.4.4). The type of 2.0 has
/// no such member: a client that was written for it need not know it.
fn completed(mut details: Value, credential: &str, count: u32) -> Value {
    let kind = details.get("type").and_then(Value::as_str);
    let count = (kind == Some(details::TYPES[0])).then(|| count.into());
    if let Some(object) = details.as_object_mut() {
        for (member, value) in [
            ("credentialID", Some(credential.into())),
            ("numSignatures", count),
        ] {
            let said = object.get(member).is_some_and(|said| !said.is_null());
            if let (false, Some(value)) = (said, value) {
                object.insert(member.to_owned(), value);
            }
        }
    }
    details
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_left_out_is_added_in_the_words_of_the_type_s_version() {
        let (long, short) = (details::TYPES[0], details::TYPES[1]);
        let asked = |kind| json!({ "type": kind, "credentialID": null, "label": "x" });
        let told = completed(asked(short), "c", 2);
        assert_eq!(
            told,
            json!({"type": short, "credentialID": "c", "label": "x"})
        );
        let told = completed(asked(long), "c", 2);
        assert_eq!(told["numSignatures"], 2);
        assert_eq!(completed(told.clone(), "d", 3), told);
    }

    /// RFC 7636, appendix B.
    #[test]
    fn a_verifier_matches_its_challenge_and_no_other() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(matches(
            challenge,
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        ));
        assert!(!matches(
            challenge,
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"
        ));
        assert!(!matches(challenge, "short"));
    }
}
