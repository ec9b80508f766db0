//! `signatures/signHash`: digests in, signature values out, in the same order.

use ades::Key;
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::UintRef;
use der::{Decode as _, Encode as _, Sequence};
use serde::{Deserialize, Serialize};

use super::Api;
use super::credential::Credential;
use crate::algorithm::Algorithm;
use crate::arguments::Version;

/// The request, with the names of either version.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "credentialID")]
    credential_id: &'a str,
    #[serde(rename = "SAD")]
    sad: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<Vec<String>>,
    #[serde(rename = "hashAlgo", skip_serializing_if = "Option::is_none")]
    hash_algo: Option<String>,
    #[serde(rename = "hashAlgorithmOID", skip_serializing_if = "Option::is_none")]
    hash_algorithm_oid: Option<String>,
    #[serde(rename = "signAlgo")]
    sign_algo: &'a str,
    #[serde(rename = "signAlgoParams", skip_serializing_if = "Option::is_none")]
    sign_algo_params: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    signatures: Vec<String>,
}

impl Api {
    /// Has the digests signed; ECDSA values come back in DER, whatever the service's own encoding.
    pub(crate) async fn sign_hash(
        &self,
        credential: &Credential,
        sad: &str,
        algorithm: &Algorithm,
        digests: &[Vec<u8>],
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        let request = request(self.version, credential, sad, algorithm, digests)?;
        let answer: Answer = self.call("signatures/signHash", &request).await?;
        let (asked, got) = (digests.len(), answer.signatures.len());
        ensure!(
            got == asked,
            "the service returned {got} signatures for {asked} documents; nothing was written"
        );
        let key = credential.chain.key();
        answer
            .signatures
            .iter()
            .map(|text| {
                let value = STANDARD
                    .decode(text)
                    .context("a signature of the service is not base64")?;
                Ok(der_encoded(key, value))
            })
            .collect()
    }
}

fn request<'a>(
    version: Version,
    credential: &'a Credential,
    sad: &'a str,
    algorithm: &'a Algorithm,
    digests: &[Vec<u8>],
) -> anyhow::Result<Request<'a>> {
    let hashes: Vec<String> = digests
        .iter()
        .map(|digest| STANDARD.encode(digest))
        .collect();
    let oid = algorithm.scheme.digest_algorithm().oid().to_string();
    let v1 = version == Version::V1;
    Ok(Request {
        credential_id: &credential.id,
        sad,
        hash: v1.then(|| hashes.clone()),
        hashes: (!v1).then_some(hashes),
        hash_algo: v1.then(|| oid.clone()),
        hash_algorithm_oid: (!v1).then_some(oid),
        sign_algo: &algorithm.identifier,
        sign_algo_params: algorithm
            .scheme
            .parameters()?
            .map(|parameters| STANDARD.encode(parameters)),
    })
}

/// `Ecdsa-Sig-Value` (RFC 3279, 2.2.3).
#[derive(Sequence)]
struct EcdsaValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// CSC does not define how ECDSA values are encoded; some services return r ‖ s in place of DER.
fn der_encoded(key: Key, value: Vec<u8>) -> Vec<u8> {
    let Key::Ec { field } = key else { return value };
    if value.len() != 2 * field || EcdsaValue::from_der(&value).is_ok() {
        return value;
    }
    let (r, s) = value.split_at(field);
    let encoded = UintRef::new(r).and_then(|r| {
        EcdsaValue {
            r,
            s: UintRef::new(s)?,
        }
        .to_der()
    });
    encoded.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use ades::{DigestAlgorithm, Scheme};
    use serde_json::json;

    use super::*;
    use crate::api::credential::answer::tests::credential;

    fn algorithm() -> Algorithm {
        let scheme = Scheme::Ecdsa(DigestAlgorithm::Sha256);
        Algorithm {
            identifier: scheme.oid().to_string(),
            scheme,
        }
    }

    #[test]
    fn each_version_has_its_names() {
        let credential = credential(json!({"mode": "explicit", "objects": []}));
        let algorithm = algorithm();
        let v2 = request(Version::V2, &credential, "sad", &algorithm, &[vec![1, 2]]).unwrap();
        assert_eq!(
            serde_json::to_value(v2).unwrap(),
            json!({
                "credentialID": "cred-42", "SAD": "sad", "hashes": ["AQI="],
                "hashAlgorithmOID": "2.16.840.1.101.3.4.2.1", "signAlgo": "1.2.840.10045.4.3.2",
            })
        );
        let v1 = request(Version::V1, &credential, "sad", &algorithm, &[vec![1, 2]]).unwrap();
        assert_eq!(
            serde_json::to_value(v1).unwrap(),
            json!({
                "credentialID": "cred-42", "SAD": "sad", "hash": ["AQI="],
                "hashAlgo": "2.16.840.1.101.3.4.2.1", "signAlgo": "1.2.840.10045.4.3.2",
            })
        );
    }

    #[test]
    fn pss_carries_its_parameters() {
        let credential = credential(json!({"mode": "explicit", "objects": []}));
        let scheme = Scheme::RsaPss(DigestAlgorithm::Sha256);
        let algorithm = Algorithm {
            identifier: scheme.oid().to_string(),
            scheme,
        };
        let request = request(Version::V2, &credential, "sad", &algorithm, &[]).unwrap();
        let expected = "MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg";
        assert_eq!(request.sign_algo_params.unwrap(), expected);
    }

    #[test]
    fn raw_ecdsa_values_become_der() {
        let key = Key::Ec { field: 32 };
        let mut raw = vec![0; 64];
        raw[31] = 0x80;
        raw[63] = 1;
        let der = vec![0x30, 7, 2, 2, 0, 0x80, 2, 1, 1];
        assert_eq!(der_encoded(key, raw), der);
        assert_eq!(der_encoded(key, der.clone()), der);
        assert_eq!(
            der_encoded(Key::Rsa { modulus: 64 }, vec![0; 64]),
            vec![0; 64]
        );
    }
}
