//! Certification requests (PKCS #10, RFC 2986): a key's proof that somebody has it.

use der::{Decode, Encode, asn1::BitString};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    name::Name,
    request::{CertReq, CertReqInfo, Version},
};

use crate::{Digest, Hsm, HsmError, Key, KeyAlgorithm, verify};

/// The subject of a key that nobody will have.
pub(crate) const NOBODY: &[u8] = &[0x30, 0];

/// A request of this key for this subject (a Name, DER), signed by it; the signature is verified with the public key before it leaves.
pub(crate) fn made(
    hsm: &mut dyn Hsm,
    key: Key,
    algorithm: KeyAlgorithm,
    spki: &[u8],
    subject: &[u8],
) -> Result<Vec<u8>, HsmError> {
    let malformed = |error: der::Error| HsmError::Refused(format!("no request: {error}"));
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::from_der(subject).map_err(malformed)?,
        public_key: SubjectPublicKeyInfoOwned::from_der(spki).map_err(malformed)?,
        attributes: Default::default(),
    };
    let (scheme, identifier) = algorithm.x509();
    let digest = Digest::of(scheme.digest(), &info.to_der().map_err(malformed)?);
    let signature = verify::signed(hsm, key, algorithm, spki, scheme, &digest)?;
    let request = CertReq {
        info,
        algorithm: identifier,
        signature: BitString::from_bytes(&signature).map_err(malformed)?,
    };
    request.to_der().map_err(malformed)
}
