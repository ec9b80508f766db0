//! Public keys and signatures between the token's form and the form the world uses.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1},
};
use cryptoki::object::Attribute;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, Null, OctetStringRef, UintRef},
};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::{Digest, KeyAlgorithm};

/// RFC 8017, A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// RFC 3279, 2.2.3.
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// RFC 8017, 9.2.
#[derive(Sequence)]
struct DigestInfo<'a> {
    digest_algorithm: AlgorithmIdentifierRef<'a>,
    digest: &'a OctetStringRef,
}

/// The named curve as `CKA_EC_PARAMS`; `None` for RSA.
pub(super) fn curve(algorithm: KeyAlgorithm) -> Option<Vec<u8>> {
    curve_oid(algorithm).and_then(|oid| oid.to_der().ok())
}

/// The key type that goes with `CKA_EC_PARAMS`.
pub(super) fn algorithm_of_curve(parameters: &[u8]) -> Option<KeyAlgorithm> {
    let oid = ObjectIdentifier::from_der(parameters).ok()?;
    [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::P521]
        .into_iter()
        .find(|algorithm| curve_oid(*algorithm) == Some(oid))
}

/// The key type that goes with an RSA modulus.
pub(super) fn algorithm_of_modulus(modulus: &[u8]) -> Option<KeyAlgorithm> {
    let octets = UintRef::new(modulus).ok()?.as_bytes().len();
    [
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
    ]
    .into_iter()
    .find(|algorithm| algorithm.bits() as usize == octets * 8)
}

fn curve_oid(algorithm: KeyAlgorithm) -> Option<ObjectIdentifier> {
    match algorithm {
        KeyAlgorithm::P256 => Some(SECP_256_R_1),
        KeyAlgorithm::P384 => Some(SECP_384_R_1),
        KeyAlgorithm::P521 => Some(SECP_521_R_1),
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => None,
    }
}

/// SubjectPublicKeyInfo of an RSA key.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> der::Result<Vec<u8>> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus)?,
        public_exponent: UintRef::new(exponent)?,
    }
    .to_der()?;
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: RSA_ENCRYPTION,
            parameters: Some(AnyRef::NULL),
        },
        subject_public_key: BitStringRef::from_bytes(&key)?,
    }
    .to_der()
}

/// SubjectPublicKeyInfo of an EC key; `point` is an OCTET STRING, as the standard has it, or raw, as some tokens give it.
pub(super) fn ec_spki(algorithm: KeyAlgorithm, point: &[u8]) -> der::Result<Vec<u8>> {
    let curve = curve_oid(algorithm).ok_or(der::ErrorKind::Failed)?;
    let point = <&OctetStringRef>::from_der(point).map_or(point, OctetStringRef::as_bytes);
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: ID_EC_PUBLIC_KEY,
            parameters: Some(AnyRef::from(&curve)),
        },
        subject_public_key: BitStringRef::from_bytes(point)?,
    }
    .to_der()
}

/// The key type of a SubjectPublicKeyInfo and its value, as attributes of an object to be imported.
pub(super) fn import(spki: &[u8]) -> der::Result<(KeyAlgorithm, Vec<Attribute>)> {
    let info = SubjectPublicKeyInfoRef::from_der(spki)?;
    let key = info.subject_public_key.raw_bytes();
    if info.algorithm.oid == RSA_ENCRYPTION {
        let key = RsaPublicKey::from_der(key)?;
        let algorithm =
            algorithm_of_modulus(key.modulus.as_bytes()).ok_or(der::ErrorKind::Failed)?;
        let value = vec![
            Attribute::Modulus(key.modulus.as_bytes().into()),
            Attribute::PublicExponent(key.public_exponent.as_bytes().into()),
        ];
        return Ok((algorithm, value));
    }
    let parameters = info.algorithm.parameters;
    let parameters = parameters.ok_or(der::ErrorKind::Failed)?.to_der()?;
    let algorithm = algorithm_of_curve(&parameters).ok_or(der::ErrorKind::Failed)?;
    let value = vec![
        Attribute::EcParams(parameters),
        Attribute::EcPoint(OctetStringRef::new(key)?.to_der()?),
    ];
    Ok((algorithm, value))
}

/// ECDSA: r‖s, as the token gives it, to DER.
pub(super) fn ecdsa_to_der(raw: &[u8]) -> der::Result<Vec<u8>> {
    let (r, s) = raw.split_at(raw.len() / 2);
    EcdsaSigValue {
        r: UintRef::new(r)?,
        s: UintRef::new(s)?,
    }
    .to_der()
}

/// ECDSA: DER to r‖s, each as long as the field.
pub(super) fn ecdsa_from_der(algorithm: KeyAlgorithm, signature: &[u8]) -> der::Result<Vec<u8>> {
    let value = EcdsaSigValue::from_der(signature)?;
    let field = field_octets(algorithm);
    let mut raw = Vec::with_capacity(2 * field);
    for number in [value.r.as_bytes(), value.s.as_bytes()] {
        let padding = field
            .checked_sub(number.len())
            .ok_or(der::ErrorKind::Overlength)?;
        raw.resize(raw.len() + padding, 0);
        raw.extend_from_slice(number);
    }
    Ok(raw)
}

/// What `CKM_RSA_PKCS` takes: the DER of a DigestInfo.
pub(super) fn digest_info(digest: &Digest) -> der::Result<Vec<u8>> {
    let oid =
        ObjectIdentifier::new(digest.algorithm().oid()).map_err(|_| der::ErrorKind::Failed)?;
    DigestInfo {
        digest_algorithm: AlgorithmIdentifierRef {
            oid,
            // RFC 8017, A.2.4: NULL, not absent, for these algorithms.
            parameters: Some(Null.into()),
        },
        digest: OctetStringRef::new(digest.octets())?,
    }
    .to_der()
}

/// What `CKM_ECDSA` takes: the leftmost octets of the digest, at most as many as the field has (FIPS 186-5, 6.4.1; every
/// field shorter than a digest is a whole number of octets). Some tokens refuse a longer digest, none does this wrongly.
pub(super) fn ecdsa_input(algorithm: KeyAlgorithm, digest: &Digest) -> &[u8] {
    let octets = digest.octets();
    octets.get(..field_octets(algorithm)).unwrap_or(octets)
}

fn field_octets(algorithm: KeyAlgorithm) -> usize {
    algorithm.bits().div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestAlgorithm;

    #[test]
    fn a_point_is_read_with_and_without_its_octet_string() {
        let raw = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &raw].concat();

        let spki = ec_spki(KeyAlgorithm::P256, &wrapped).unwrap();

        assert_eq!(spki, ec_spki(KeyAlgorithm::P256, &raw).unwrap());
        assert_eq!(spki.get(spki.len() - 65..), Some(&raw[..]));
    }

    #[test]
    fn an_ecdsa_value_keeps_its_leading_zeros_both_ways() {
        let raw = [&[0; 2][..], &[0x81; 30], &[0; 31], &[1]].concat();

        let der = ecdsa_to_der(&raw).unwrap();

        assert_eq!(ecdsa_from_der(KeyAlgorithm::P256, &der).unwrap(), raw);
    }

    #[test]
    fn a_digest_info_has_the_prefix_of_rfc_8017() {
        // RFC 8017, 9.2, note 1.
        let prefix = "3031300d060960864801650304020105000420";
        let digest = Digest::new(DigestAlgorithm::Sha256, vec![0xAB; 32]).unwrap();

        let expected = format!("{prefix}{}", "ab".repeat(32));

        assert_eq!(hex::encode(digest_info(&digest).unwrap()), expected);
    }
}
