//! Which of a credential's algorithms signs (CSC API v2, 11.5 `key/algo`; ETSI TS 119 312).

use ades::{DigestAlgorithm, Key, Scheme};
use anyhow::{Context as _, bail};

use DigestAlgorithm::{Sha256, Sha384, Sha512};

/// RSA with the digest given apart.
const RSA: &str = "1.2.840.113549.1.1.1";
/// An EC key with the digest given apart; some services say so in place of the combined identifiers.
const EC: &str = "1.2.840.10045.2.1";

/// An algorithm as the format and as the wire want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Algorithm {
    pub(crate) scheme: Scheme,
    /// `signAlgo`, one of the credential's `key/algo`.
    pub(crate) identifier: String,
}

impl Algorithm {
    /// Chooses for a key among the identifiers that its credential offers, those that name the digest first.
    pub(crate) fn choose(key: Key, offered: &[String], pss: bool) -> anyhow::Result<Self> {
        let (usual, schemes, bare): (_, fn(DigestAlgorithm) -> Scheme, _) = match key {
            Key::Rsa { .. } if pss => (Sha256, Scheme::RsaPss, None),
            Key::Rsa { .. } => (Sha256, Scheme::RsaPkcs1, Some(RSA)),
            Key::Ec { .. } if pss => bail!("--pss is for RSA keys; the credential holds {key}"),
            Key::Ec { field } => (digest_for(field), Scheme::Ecdsa, Some(EC)),
        };
        let offers = |identifier: &str| offered.iter().any(|offer| offer == identifier);
        let combined = [usual, Sha256, Sha384, Sha512].map(schemes).into_iter();
        let combined = combined.map(|scheme| Self {
            scheme,
            identifier: scheme.oid().to_string(),
        });
        let bare = bare.map(|identifier| Self {
            scheme: schemes(usual),
            identifier: identifier.to_owned(),
        });
        let choice = combined
            .chain(bare)
            .find(|algorithm| offers(&algorithm.identifier));
        if let (None, Key::Rsa { .. }, false) = (&choice, key, pss) {
            // PKCS#1 v1.5 is not offered; PSS may be.
            return Self::choose(key, offered, true);
        }
        let offered = offered.join(", ");
        choice.with_context(|| {
            format!("the credential offers no algorithm that this program can use ({offered})")
        })
    }
}

/// The digest that matches the curve.
const fn digest_for(field: usize) -> DigestAlgorithm {
    match field {
        ..=32 => Sha256,
        33..=48 => Sha384,
        _ => Sha512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA_3072: Key = Key::Rsa { modulus: 384 };

    fn choose(key: Key, offered: &[&str], pss: bool) -> anyhow::Result<(Scheme, String)> {
        let offered: Vec<String> = offered.iter().map(|&offer| offer.to_owned()).collect();
        Algorithm::choose(key, &offered, pss)
            .map(|algorithm| (algorithm.scheme, algorithm.identifier))
    }

    #[test]
    fn rsa_signs_with_sha_256_and_the_combined_identifier() {
        let all = [
            "1.2.840.113549.1.1.1",
            "1.2.840.113549.1.1.13",
            "1.2.840.113549.1.1.11",
            "1.2.840.113549.1.1.10",
        ];
        let expected = (Scheme::RsaPkcs1(Sha256), "1.2.840.113549.1.1.11".to_owned());
        assert_eq!(choose(RSA_3072, &all, false).unwrap(), expected);
        let expected = (Scheme::RsaPss(Sha256), "1.2.840.113549.1.1.10".to_owned());
        assert_eq!(choose(RSA_3072, &all, true).unwrap(), expected);
    }

    #[test]
    fn what_is_offered_decides() {
        let expected = (Scheme::RsaPkcs1(Sha512), "1.2.840.113549.1.1.13".to_owned());
        assert_eq!(
            choose(RSA_3072, &["1.2.840.113549.1.1.13"], false).unwrap(),
            expected
        );
        let expected = (Scheme::RsaPkcs1(Sha256), "1.2.840.113549.1.1.1".to_owned());
        assert_eq!(
            choose(RSA_3072, &["1.2.840.113549.1.1.1"], false).unwrap(),
            expected
        );
        let expected = (Scheme::RsaPss(Sha256), "1.2.840.113549.1.1.10".to_owned());
        assert_eq!(
            choose(RSA_3072, &["1.2.840.113549.1.1.10"], false).unwrap(),
            expected
        );
        assert!(choose(RSA_3072, &["1.2.840.113549.1.1.11"], true).is_err());
        assert!(choose(RSA_3072, &["1.2.840.113549.1.1.5"], false).is_err());
        assert!(choose(Key::Ec { field: 32 }, &["1.2.840.10045.4.3.2"], true).is_err());
    }

    #[test]
    fn a_curve_signs_with_the_digest_of_its_size() {
        let all = [
            "1.2.840.10045.4.3.2",
            "1.2.840.10045.4.3.3",
            "1.2.840.10045.4.3.4",
        ];
        for (field, digest) in [(32, Sha256), (48, Sha384), (66, Sha512)] {
            assert_eq!(
                choose(Key::Ec { field }, &all, false).unwrap().0,
                Scheme::Ecdsa(digest)
            );
            assert_eq!(
                choose(Key::Ec { field }, &[EC], false).unwrap(),
                (Scheme::Ecdsa(digest), EC.to_owned())
            );
        }
        let only = choose(Key::Ec { field: 48 }, &["1.2.840.10045.4.3.2"], false).unwrap();
        assert_eq!(only.0, Scheme::Ecdsa(Sha256));
    }
}
