//! `credentials/list` and `credentials/info`: what the user can sign with, and what that takes.

pub(crate) mod answer;
mod expression;

use ades::Chain;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use super::Api;
use super::session::Session;
use crate::arguments::Version;
use answer::InfoAnswer;

/// Pages of credentials in v1 that are read at most.
const MOST_PAGES: usize = 1000;

/// A key with its certificates, and how its use is authorised.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) algorithms: Vec<String>,
    /// The signer's certificate, the first of the chain.
    pub(crate) certificate: Certificate,
    pub(crate) chain: Chain,
    /// Of the certificate: `valid`, `expired`, `revoked` or `suspended`; absent where the service does not say.
    pub(crate) status: Option<String>,
    pub(crate) authorisation: Authorisation,
    /// Signatures that one authorisation allows at most.
    pub(crate) multisign: usize,
}

/// How the use of a key is authorised.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Authorisation {
    /// By the factors of any one of the alternatives; by the service alone where that is empty.
    Factors(Vec<Vec<Factor>>),
    /// On the provider's own page.
    Page,
}

/// Something that proves the holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) optional: bool,
}

/// How a factor is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Known to the holder: a PIN.
    Secret,
    /// A one-time code that the holder's app or token makes.
    Code,
    /// A one-time code that the service sends when asked.
    SentCode,
    /// Given to the service elsewhere: an approval in an app.
    Elsewhere,
}

impl Credential {
    /// Why it cannot sign now, if so.
    pub(crate) fn hindrance(&self) -> Option<String> {
        match self.status.as_deref() {
            Some(status) if status != "valid" => Some(format!("its certificate is {status}")),
            _ if !self.enabled => Some("its key is disabled".to_owned()),
            _ => None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListRequest<'a> {
    #[serde(rename = "userID", skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAnswer {
    #[serde(rename = "credentialIDs", default)]
    credential_ids: Vec<String>,
    next_page_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoRequest<'a> {
    #[serde(rename = "credentialID")]
    credential_id: &'a str,
    certificates: &'a str,
    auth_info: bool,
}

impl Session {
    /// The identifiers of the user's credentials; with `usable`, of those that can sign, as far as the service says so.
    pub(crate) async fn credential_ids(&self, usable: bool) -> anyhow::Result<Vec<String>> {
        let only_valid = (usable && self.api.version == Version::V2).then_some(true);
        let mut request = ListRequest {
            user_id: self.user_id.as_deref(),
            only_valid,
            page_token: None,
        };
        let mut ids = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer: ListAnswer = self.api.call("credentials/list", &request).await?;
            ids.extend(answer.credential_ids);
            match answer.next_page_token {
                Some(token) if !token.is_empty() => request.page_token = Some(token),
                _ => break,
            }
        }
        Ok(ids)
    }
}

impl Api {
    /// Everything about a credential.
    pub(crate) async fn credential(&self, id: &str) -> anyhow::Result<Credential> {
        let request = InfoRequest {
            credential_id: id,
            certificates: "chain",
            auth_info: true,
        };
        let answer: InfoAnswer = self.call("credentials/info", &request).await?;
        answer
            .credential(id)
            .with_context(|| format!("credential {id} cannot be used"))
    }
}
