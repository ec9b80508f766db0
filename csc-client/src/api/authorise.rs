//! `credentials/authorize` and what belongs to it: from digests and factors to a SAD.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::credential::{Credential, Factor};
use super::{Api, decode};
use crate::algorithm::Algorithm;
use crate::arguments::Version;
use crate::terminal::Secret;

/// How often a pending approval is asked for, and for how long.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(300);

/// A factor with what the holder gave; nothing for an approval elsewhere.
pub(crate) type Given = (Factor, Option<Secret>);

/// What the service says to an authorisation.
pub(crate) enum Outcome {
    /// It is done: the SAD.
    Authorised(Secret),
    /// The holder has to approve elsewhere: the handle to ask with.
    Pending(Secret),
}

/// The request, with the names of either version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(rename = "credentialID")]
    credential_id: &'a str,
    num_signatures: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<Vec<String>>,
    #[serde(rename = "hashAlgorithmOID", skip_serializing_if = "Option::is_none")]
    hash_algorithm_oid: Option<String>,
    #[serde(rename = "PIN", skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    #[serde(rename = "OTP", skip_serializing_if = "Option::is_none")]
    otp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<Vec<Datum<'a>>>,
}

#[derive(Serialize)]
struct Datum<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "SAD")]
    sad: Option<String>,
    handle: Option<String>,
}

#[derive(Serialize)]
struct CheckRequest<'a> {
    handle: &'a str,
}

#[derive(Serialize)]
struct ChallengeRequest<'a> {
    #[serde(rename = "credentialID")]
    credential_id: &'a str,
    #[serde(rename = "authObjectID", skip_serializing_if = "Option::is_none")]
    auth_object_id: Option<&'a str>,
}

#[derive(Deserialize)]
struct ChallengeAnswer {
    challenge: Option<String>,
}

impl Api {
    /// Has a one-time code sent; the text of a challenge, where the service asks something instead.
    pub(crate) async fn send_code(
        &self,
        credential: &Credential,
        factor: &Factor,
    ) -> anyhow::Result<Option<String>> {
        let (method, auth_object_id) = match self.version {
            Version::V1 => ("credentials/sendOTP", None),
            Version::V2 => ("credentials/getChallenge", Some(factor.id.as_str())),
        };
        let request = ChallengeRequest {
            credential_id: &credential.id,
            auth_object_id,
        };
        let (_, body) = self.call_any(method, &request).await?;
        if body.is_empty() {
            return Ok(None);
        }
        Ok(decode::<ChallengeAnswer>(method, &body)?.challenge)
    }

    /// Authorises one signature for each digest.
    pub(crate) async fn authorise(
        &self,
        credential: &Credential,
        algorithm: &Algorithm,
        digests: &[Vec<u8>],
        given: &[Given],
    ) -> anyhow::Result<Outcome> {
        let request = request(self.version, credential, algorithm, digests, given);
        self.outcome("credentials/authorize", &request).await
    }

    /// Waits until the holder has approved, or refused.
    pub(crate) async fn approval(&self, mut handle: Secret) -> anyhow::Result<Secret> {
        let approval = async {
            loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                match self
                    .outcome(
                        "credentials/authorizeCheck",
                        &CheckRequest { handle: &handle },
                    )
                    .await?
                {
                    Outcome::Authorised(sad) => return Ok(sad),
                    Outcome::Pending(next) => handle = next,
                }
            }
        };
        let approved = tokio::time::timeout(PATIENCE, approval).await;
        approved.context("nobody approved the signature in time; start again")?
    }

    async fn outcome(&self, method: &str, request: &impl Serialize) -> anyhow::Result<Outcome> {
        let (status, body) = self.call_any(method, request).await?;
        let answer: Answer = decode(method, &body)?;
        if let (StatusCode::ACCEPTED, Some(handle)) = (status, answer.handle) {
            return Ok(Outcome::Pending(Secret::new(handle)));
        }
        let sad = answer.sad.unwrap_or_default();
        ensure!(
            !sad.is_empty(),
            "the service's answer to {method} holds no SAD"
        );
        Ok(Outcome::Authorised(Secret::new(sad)))
    }
}

fn request<'a>(
    version: Version,
    credential: &'a Credential,
    algorithm: &Algorithm,
    digests: &[Vec<u8>],
    given: &'a [Given],
) -> Request<'a> {
    let hashes: Vec<String> = digests
        .iter()
        .map(|digest| STANDARD.encode(digest))
        .collect();
    let value = |id: &str| {
        given
            .iter()
            .find(|(factor, _)| factor.id == id)
            .and_then(|(_, value)| value.as_ref())
            .map(|text| text.as_str())
    };
    let datum = |(factor, value): &'a Given| Datum {
        id: &factor.id,
        value: value.as_ref().map(|text| text.as_str()),
    };
    let v1 = version == Version::V1;
    Request {
        credential_id: &credential.id,
        num_signatures: digests.len(),
        hash: v1.then(|| hashes.clone()),
        hashes: (!v1).then_some(hashes),
        hash_algorithm_oid: (!v1).then(|| algorithm.scheme.digest_algorithm().oid().to_string()),
        pin: if v1 { value("PIN") } else { None },
        otp: if v1 { value("OTP") } else { None },
        auth_data: (!v1).then(|| given.iter().map(datum).collect()),
    }
}

#[cfg(test)]
mod tests {
    use ades::{DigestAlgorithm, Scheme};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::credential::Kind;
    use crate::api::credential::answer::tests::credential;

    fn body(version: Version, given: &[Given]) -> Value {
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        let algorithm = Algorithm {
            scheme,
            identifier: scheme.oid().to_string(),
        };
        let credential = credential(json!({"mode": "explicit", "objects": []}));
        let digests = [vec![1, 2], vec![3, 4]];
        serde_json::to_value(request(version, &credential, &algorithm, &digests, given)).unwrap()
    }

    fn given(id: &str, kind: Kind, value: Option<&str>) -> Given {
        let factor = Factor {
            id: id.to_owned(),
            kind,
            label: id.to_owned(),
            optional: false,
        };
        (factor, value.map(|text| Secret::new(text.to_owned())))
    }

    #[test]
    fn v2_takes_factors_as_auth_data() {
        let given = [
            given("PIN", Kind::Secret, Some("4711")),
            given("app", Kind::Elsewhere, None),
        ];
        assert_eq!(
            body(Version::V2, &given),
            json!({
                "credentialID": "cred-42", "numSignatures": 2, "hashes": ["AQI=", "AwQ="],
                "hashAlgorithmOID": "2.16.840.1.101.3.4.2.1", "authData": [{"id": "PIN", "value": "4711"}, {"id": "app"}],
            })
        );
        assert_eq!(body(Version::V2, &[])["authData"], json!([]));
    }

    #[test]
    fn v1_takes_factors_by_name() {
        let given = [
            given("PIN", Kind::Secret, Some("4711")),
            given("OTP", Kind::Code, Some("204060")),
        ];
        assert_eq!(
            body(Version::V1, &given),
            json!({
                "credentialID": "cred-42", "numSignatures": 2, "hash": ["AQI=", "AwQ="], "PIN": "4711", "OTP": "204060",
            })
        );
    }
}
