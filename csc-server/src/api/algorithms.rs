//! Object identifiers of the wire → schemes, and back to what a key is advertised with.

use base64::{Engine, prelude::BASE64_STANDARD};
use hsm_adapter::{DigestAlgorithm, KeyAlgorithm, Scheme};
use x509_parser::{prelude::FromDer, signature_algorithm::RsaSsaPssParams};

use super::{dialect::Version, fault::Fault};

const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const RSA_SHA: [(&str, DigestAlgorithm); 3] = [
    ("1.2.840.113549.1.1.11", DigestAlgorithm::Sha256),
    ("1.2.840.113549.1.1.12", DigestAlgorithm::Sha384),
    ("1.2.840.113549.1.1.13", DigestAlgorithm::Sha512),
];
const ECDSA_SHA: [(&str, DigestAlgorithm); 3] = [
    ("1.2.840.10045.4.3.2", DigestAlgorithm::Sha256),
    ("1.2.840.10045.4.3.3", DigestAlgorithm::Sha384),
    ("1.2.840.10045.4.3.4", DigestAlgorithm::Sha512),
];
/// RSASSA-PSS-params: SHA-256, MGF1 with SHA-256, salt 32.
const PSS_SHA256: &str = "MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg";

/// `key/algo`: combined identifiers first, because clients take the first or look for a combined one. An elliptic-curve key signs digests that are
/// no longer than its field: nothing is truncated.
pub(super) fn advertised(key: KeyAlgorithm) -> Vec<&'static str> {
    if key.is_rsa() {
        return RSA_SHA
            .iter()
            .map(|(oid, _)| *oid)
            .chain([RSA_PSS, RSA])
            .collect();
    }
    let longest = key.bits() as usize;
    let mut fitting: Vec<_> = ECDSA_SHA
        .iter()
        .filter(|(_, digest)| digest.len() * 8 <= longest)
        .collect();
    // The longest that fits first: the usual partner of the curve.
    fitting.reverse();
    fitting.into_iter().map(|(oid, _)| *oid).collect()
}

/// `info/signAlgorithms`: every algorithm of every key type, and by position the parameters of those that need them.
pub(super) fn all() -> (Vec<&'static str>, Vec<&'static str>) {
    let algos: Vec<_> = advertised(KeyAlgorithm::Rsa3072)
        .into_iter()
        .chain(ECDSA_SHA.iter().map(|(oid, _)| *oid))
        .collect();
    let params = algos
        .iter()
        .map(|oid| if *oid == RSA_PSS { PSS_SHA256 } else { "" })
        .collect();
    (algos, params)
}

/// `key/curve`.
pub(super) fn curve(key: KeyAlgorithm) -> Option<&'static str> {
    match key {
        KeyAlgorithm::P256 => Some("1.2.840.10045.3.1.7"),
        KeyAlgorithm::P384 => Some("1.3.132.0.34"),
        KeyAlgorithm::P521 => Some("1.3.132.0.35"),
        _ => None,
    }
}

/// The digest algorithm with this identifier.
pub(super) fn digest(oid: &str, name: &'static str) -> Result<DigestAlgorithm, Fault> {
    DigestAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.oid() == oid)
        .ok_or(Fault::Invalid(name))
}

/// What `signAlgo`, `signAlgoParams` and the hash algorithm together ask for; each must agree with the others.
pub(super) fn scheme(
    version: Version,
    sign_algo: &str,
    params: Option<&str>,
    hash_algo: Option<&str>,
) -> Result<Scheme, Fault> {
    let name = version.hash_algorithm();
    let named = hash_algo.map(|oid| digest(oid, name)).transpose()?;
    let find = |table: &[(&str, DigestAlgorithm)]| {
        table
            .iter()
            .find(|(oid, _)| *oid == sign_algo)
            .map(|(_, digest)| *digest)
    };
    let scheme = if sign_algo == RSA {
        Scheme::RsaPkcs1(named.ok_or(Fault::MissingString(name))?)
    } else if sign_algo == RSA_PSS {
        pss(params.ok_or(Fault::MissingString("signAlgoParams"))?)
            .ok_or(Fault::Invalid("signAlgoParams"))?
    } else if let Some(digest) = find(&RSA_SHA) {
        Scheme::RsaPkcs1(digest)
    } else if let Some(digest) = find(&ECDSA_SHA) {
        Scheme::Ecdsa(digest)
    } else {
        return Err(Fault::Invalid("signAlgo"));
    };
    if named.is_some_and(|digest| digest != scheme.digest()) {
        return Err(Fault::Invalid(name));
    }
    Ok(scheme)
}

/// RFC 8017 A.2.3. Defaults mean SHA-1 and are refused with it; the salt is taken as asked.
fn pss(params: &str) -> Option<Scheme> {
    let der = BASE64_STANDARD.decode(params).ok()?;
    let (rest, params) = RsaSsaPssParams::from_der(&der).ok()?;
    let digest = digest(&params.hash_algorithm_oid().to_id_string(), "").ok()?;
    let mask = params.mask_gen_algorithm().ok()?;
    let same = mask.mgf.to_id_string() == "1.2.840.113549.1.1.8"
        && mask.hash.to_id_string() == digest.oid();
    let salt = u16::try_from(params.salt_length()).ok()?;
    (rest.is_empty() && same && params.trailer_field() == 1)
        .then_some(Scheme::RsaPss { digest, salt })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PSS_SHA384_NO_NULL: &str =
        "MDCgDTALBglghkgBZQMEAgKhGjAYBgkqhkiG9w0BAQgwCwYJYIZIAWUDBAICogMCATA=";
    /// Seen in the field: SHA-1 in MGF1.
    const PSS_MIXED: &str = "MCEwCwYJYIZIAWUDBAIBoRgwFgYJKoZIhvcNAQEIMAkGBSsOAwIaBQA=";

    #[test]
    fn pss_parameters_are_taken_as_asked_with_or_without_null() {
        assert_eq!(
            pss(PSS_SHA256),
            Some(Scheme::RsaPss {
                digest: DigestAlgorithm::Sha256,
                salt: 32
            })
        );
        assert_eq!(
            pss(PSS_SHA384_NO_NULL),
            Some(Scheme::RsaPss {
                digest: DigestAlgorithm::Sha384,
                salt: 48
            })
        );
    }

    #[test]
    fn weak_or_broken_pss_parameters_are_refused() {
        for params in [PSS_MIXED, "MAA=", "", "AAAA", "!"] {
            assert_eq!(pss(params), None, "{params}");
        }
    }

    #[test]
    fn a_hash_algorithm_that_contradicts_the_signature_algorithm_is_refused() {
        let sha384 = DigestAlgorithm::Sha384.oid();
        let clash = scheme(Version::V1, "1.2.840.113549.1.1.11", None, Some(sha384));
        assert!(matches!(clash, Err(Fault::Invalid("hashAlgo"))));
        let agree = scheme(Version::V2, "1.2.840.113549.1.1.12", None, Some(sha384));
        assert!(matches!(
            agree,
            Ok(Scheme::RsaPkcs1(DigestAlgorithm::Sha384))
        ));
    }

    #[test]
    fn no_elliptic_curve_truncates_a_digest() {
        assert_eq!(advertised(KeyAlgorithm::P256), ["1.2.840.10045.4.3.2"]);
        assert_eq!(
            advertised(KeyAlgorithm::P384),
            ["1.2.840.10045.4.3.3", "1.2.840.10045.4.3.2"]
        );
    }
}
