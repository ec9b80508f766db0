//! The signed attributes (ETSI EN 319 122-1, clause 6.3; for PDF, EN 319 142-1, clause 6.3).

use std::time::SystemTime;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3161, rfc5911};
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, EncodeValue, Sequence, Tagged};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::time::Time;

use crate::{Chain, DigestAlgorithm, Scheme};

const MIME_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1733.2.1");
const ALGORITHM_PROTECTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");

/// What a format adds to the attributes that all have.
pub(crate) enum Profile<'a> {
    /// A CMS signature of its own.
    Cades {
        signing_time: SystemTime,
        media_type: &'a str,
    },
    /// A time-stamp token, which is about a `TSTInfo`.
    TimeStamp,
    /// A CMS signature in a PDF: the time stands in the signature dictionary, and shall not stand here.
    Pades,
}

impl Profile<'_> {
    /// What the content is.
    pub(super) const fn content_type(&self) -> ObjectIdentifier {
        match self {
            Self::Cades { .. } | Self::Pades => rfc5911::ID_DATA,
            Self::TimeStamp => rfc3161::ID_CT_TST_INFO,
        }
    }
}

/// The time-stamp of a signature value (EN 319 122-1, clause 5.3): what makes level B-T of B-B.
pub(super) fn signature_time_stamp(token: &[u8]) -> der::Result<Attributes> {
    let token = Any::from_der(token)?;
    SetOfVec::try_from(vec![Attribute {
        oid: rfc3161::ID_AA_TIME_STAMP_TOKEN,
        values: SetOfVec::try_from(vec![token])?,
    }])
}

pub(super) fn signed_attributes(
    digest: Vec<u8>,
    chain: &Chain,
    scheme: Scheme,
    profile: Profile<'_>,
) -> der::Result<Attributes> {
    let mut attributes = vec![
        attribute(rfc5911::ID_CONTENT_TYPE, &profile.content_type())?,
        attribute(rfc5911::ID_MESSAGE_DIGEST, &OctetString::new(digest)?)?,
        attribute(
            rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2,
            &SigningCertificateV2::of(chain)?,
        )?,
        attribute(ALGORITHM_PROTECTION, &AlgorithmProtection::of(scheme)?)?,
    ];
    if let Profile::Cades {
        signing_time,
        media_type,
    } = profile
    {
        attributes.push(attribute(
            rfc5911::ID_SIGNING_TIME,
            &Time::try_from(signing_time)?,
        )?);
        attributes.push(attribute(MIME_TYPE, &media_type.to_owned())?);
    }
    SetOfVec::try_from(attributes)
}

fn attribute<T: Tagged + EncodeValue>(oid: ObjectIdentifier, value: &T) -> der::Result<Attribute> {
    let value = Any::encode_from(value)?;
    Ok(Attribute {
        oid,
        values: SetOfVec::try_from(vec![value])?,
    })
}

/// `SigningCertificateV2` (RFC 5035, section 3).
#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

/// `ESSCertIDv2`: the digest is SHA-256, whose identifier, being the default, DER leaves out; so is the issuer's name
/// and serial number, as EN 319 122-1, clause 5.2.2.3 advises.
#[derive(Sequence)]
struct EssCertIdV2 {
    cert_hash: OctetString,
}

impl SigningCertificateV2 {
    fn of(chain: &Chain) -> der::Result<Self> {
        let cert_hash = OctetString::new(chain.signer_digest(DigestAlgorithm::Sha256))?;
        Ok(Self {
            certs: vec![EssCertIdV2 { cert_hash }],
        })
    }
}

/// `CMSAlgorithmProtection` (RFC 6211): no other algorithm can be put in place of the signed ones.
#[derive(Sequence)]
struct AlgorithmProtection {
    digest: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT")]
    signature: AlgorithmIdentifierOwned,
}

impl AlgorithmProtection {
    fn of(scheme: Scheme) -> der::Result<Self> {
        Ok(Self {
            digest: scheme.digest_algorithm().identifier(),
            signature: scheme.identifier()?,
        })
    }
}
