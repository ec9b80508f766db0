//! `SignedData` (RFC 5652, section 5), in two halves around the signature value.

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo, SignerInfos};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911;
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence, Tag};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attributes;

use super::Error;
use super::attributes::{Profile, signature_time_stamp, signed_attributes};
use crate::{Chain, Scheme};

/// A CMS signature that lacks only its value.
#[derive(Debug)]
pub struct Prepared {
    content_type: ObjectIdentifier,
    content: Option<Vec<u8>>,
    attributes: Attributes,
    to_be_signed: Vec<u8>,
    chain: Chain,
    scheme: Scheme,
}

pub(crate) fn prepare(
    content: Option<Vec<u8>>,
    digest: Vec<u8>,
    chain: &Chain,
    scheme: Scheme,
    profile: Profile<'_>,
) -> Result<Prepared, Error> {
    chain.check_scheme(scheme)?;
    let content_type = profile.content_type();
    let attributes = signed_attributes(digest, chain, scheme, profile)?;
    // RFC 5652, section 5.4: what is signed is the SET OF itself, not the [0] it is stored under.
    let to_be_signed = attributes.to_der()?;
    Ok(Prepared {
        content_type,
        content,
        attributes,
        to_be_signed,
        chain: chain.clone(),
        scheme,
    })
}

impl Prepared {
    /// The octets that are signed: the DER of the signed attributes.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The digest to sign: that of [`Prepared::to_be_signed`], under the scheme's digest algorithm.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        self.scheme.digest_algorithm().digest(&self.to_be_signed)
    }

    /// The finished signature: the DER of a `ContentInfo`.
    ///
    /// # Errors
    /// When the value cannot be one of the signer's key, or the result cannot be encoded.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        self.chain.check_signature(signature)?;
        Ok(self.assemble(signature, None)?)
    }

    /// The finished signature with a time-stamp token (DER) over its value: level B-T.
    ///
    /// # Errors
    /// As [`Prepared::finish`]; or the token is no DER.
    pub fn finish_stamped(self, signature: &[u8], token: &[u8]) -> Result<Vec<u8>, Error> {
        self.chain.check_signature(signature)?;
        Ok(self.assemble(signature, Some(token))?)
    }

    /// The length of the finished signature when its value is as long as the key's can be.
    pub(crate) fn longest(self) -> Result<usize, Error> {
        let longest = vec![0; self.chain.signature_length()];
        Ok(self.assemble(&longest, None)?.len())
    }

    fn assemble(self, signature: &[u8], token: Option<&[u8]>) -> der::Result<Vec<u8>> {
        let digest = self.scheme.digest_algorithm().identifier();
        let signer = self.chain.signer().tbs_certificate();
        let info = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: signer.issuer().clone(),
                serial_number: signer.serial_number().clone(),
            }),
            digest_alg: digest.clone(),
            signed_attrs: Some(self.attributes),
            signature_algorithm: self.scheme.identifier()?,
            signature: OctetString::new(signature)?,
            unsigned_attrs: token.map(signature_time_stamp).transpose()?,
        };
        let content = self
            .content
            .map(|content| Any::new(Tag::OctetString, content))
            .transpose()?;
        let mut certificates = SetOfVec::new();
        for certificate in self.chain.der() {
            certificates.insert(Any::from_der(certificate)?)?;
        }
        let signed_data = SignedData {
            // RFC 5652, section 5.1: 1 when all is data, else 3.
            version: match self.content_type {
                rfc5911::ID_DATA => CmsVersion::V1,
                _ => CmsVersion::V3,
            },
            digest_algorithms: SetOfVec::try_from(vec![digest])?,
            content: EncapsulatedContentInfo {
                econtent_type: self.content_type,
                econtent: content,
            },
            certificates,
            signer_infos: SignerInfos::try_from(vec![info])?,
        };
        ContentInfo {
            content_type: rfc5911::ID_SIGNED_DATA,
            content: Any::encode_from(&signed_data)?,
        }
        .to_der()
    }
}

/// `SignedData` with its certificates as they came: decoding and encoding them anew, as the library's type does, could
/// change octets that are signed or digested.
#[derive(Sequence)]
struct SignedData {
    version: CmsVersion,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    certificates: SetOfVec<Any>,
    signer_infos: SignerInfos,
}
