//! What the key signs in place of a document digest that was approved (SC-62): the signed attributes of a CMS signature (RFC 5652, 5.4),
//! once they were seen to contain that document.
//!
//! A [`Statement`] is made by its three constructors only, and each looks for itself: message-digest must be the digest of the document,
//! or of the PDF that begins with it. What stands in the rest of a PDF's incremental update is not judged here: who makes it can
//! change what a reader shows, but neither the document that the holder approved nor the certificate.

use std::ops::Range;

use const_oid::db::rfc5911;
use der::{
    Decode, DecodeValue, Encode, FixedTag, Sequence,
    asn1::{ObjectIdentifier, OctetString},
};
use serde::{Deserialize, Serialize};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attributes;

use crate::{Digest, DigestAlgorithm, Scheme};

/// Attributes to be signed, and the approved digest of the document they are about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statement {
    approved: Digest,
    certificate: Vec<u8>,
    scheme: Scheme,
    to_sign: Digest,
}

/// The attributes are not about this document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is to be signed does not contain the document: {0}")]
pub struct NotDerived(&'static str);

/// A PDF with the incremental update that will hold the signature.
#[derive(Clone, Debug)]
pub struct PdfUpdate<'a> {
    /// The whole file, the gap filled with zeros.
    pub octets: &'a [u8],
    /// How many of them are the document that was approved.
    pub original: usize,
    /// What is not signed: the hexadecimal string of `Contents`, brackets included.
    pub gap: Range<usize>,
}

impl Statement {
    /// About a document of which only the digest is known, under the digest algorithm of the scheme.
    ///
    /// # Errors
    /// [`NotDerived`]: the attributes have another message-digest, or are none of ours.
    pub fn of_digest(
        scheme: Scheme,
        attributes: &[u8],
        approved: Digest,
    ) -> Result<Self, NotDerived> {
        if approved.algorithm() != scheme.digest() {
            return Err(NotDerived("its digest is of another algorithm"));
        }
        let message = approved.clone();
        Self::new(scheme, attributes, &message, approved)
    }

    /// About this document, whose digest was approved under this algorithm.
    ///
    /// # Errors
    /// As [`Self::of_digest`].
    pub fn of_document(
        scheme: Scheme,
        attributes: &[u8],
        document: &[u8],
        approved: DigestAlgorithm,
    ) -> Result<Self, NotDerived> {
        let message = Digest::of(scheme.digest(), document);
        let approved = Digest::of(approved, document);
        Self::new(scheme, attributes, &message, approved)
    }

    /// About this PDF, whose original octets were approved under this algorithm: it begins with them, and everything but the gap in
    /// its update is signed.
    ///
    /// # Errors
    /// As [`Self::of_digest`]; or the gap lies in the original, or holds anything but zeros.
    pub fn of_pdf(
        scheme: Scheme,
        attributes: &[u8],
        pdf: &PdfUpdate<'_>,
        approved: DigestAlgorithm,
    ) -> Result<Self, NotDerived> {
        let Range { start, end } = pdf.gap;
        let original = pdf.octets.get(..pdf.original);
        let (before, gap, after) = (
            pdf.octets.get(..start),
            pdf.octets.get(start..end),
            pdf.octets.get(end..),
        );
        let outside = NotDerived("the gap is not in the update");
        let (Some(original), Some(before), Some(gap), Some(after)) = (original, before, gap, after)
        else {
            return Err(outside);
        };
        if start < pdf.original {
            return Err(outside);
        }
        let empty = gap
            .strip_prefix(b"<")
            .and_then(|gap| gap.strip_suffix(b">"));
        if !empty.is_some_and(|digits| digits.iter().all(|digit| *digit == b'0')) {
            return Err(NotDerived("the gap is not empty"));
        }
        let message = Digest::of_parts(scheme.digest(), &[before, after]);
        let approved = Digest::of(approved, original);
        Self::new(scheme, attributes, &message, approved)
    }

    fn new(
        scheme: Scheme,
        attributes: &[u8],
        message: &Digest,
        approved: Digest,
    ) -> Result<Self, NotDerived> {
        let read = Attributes::from_der(attributes).ok();
        let read = read.filter(|read| read.to_der().is_ok_and(|der| der == attributes));
        let read = read.ok_or(NotDerived("they are no signed attributes"))?;
        let content: ObjectIdentifier = value(&read, rfc5911::ID_CONTENT_TYPE)?;
        if content != rfc5911::ID_DATA {
            return Err(NotDerived("they are about no document"));
        }
        let digest: OctetString = value(&read, rfc5911::ID_MESSAGE_DIGEST)?;
        if digest.as_bytes() != message.octets() {
            return Err(NotDerived("they are about another document"));
        }
        let signer: SigningCertificate = value(&read, rfc5911::ID_AA_SIGNING_CERTIFICATE_V_2)?;
        let [
            EssCertId {
                hash: None,
                certificate,
            },
        ] = signer.certificates.as_slice()
        else {
            return Err(NotDerived("they name no certificate, or several"));
        };
        Ok(Self {
            approved,
            certificate: certificate.as_bytes().to_vec(),
            scheme,
            to_sign: Digest::of(scheme.digest(), attributes),
        })
    }

    /// The digest of the document that the holder approved, if he did.
    pub fn approved(&self) -> &Digest {
        &self.approved
    }

    /// How it is signed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What is signed: the digest of the attributes (DTBS/R).
    pub fn to_sign(&self) -> &Digest {
        &self.to_sign
    }

    /// SHA-256 of the certificate that the attributes name.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

/// The one value of the attribute of this type.
fn value<'a, T: DecodeValue<'a, Error = der::Error> + FixedTag + 'a>(
    attributes: &'a Attributes,
    oid: ObjectIdentifier,
) -> Result<T, NotDerived> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(NotDerived("an attribute is missing, or there twice"));
    };
    let mut values = attribute.values.iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(NotDerived("an attribute has no value, or several"));
    };
    let unreadable = |_| NotDerived("an attribute cannot be read");
    value.decode_as().map_err(unreadable)
}

/// `SigningCertificateV2` (RFC 5035, 3), without policies.
#[derive(Sequence)]
struct SigningCertificate {
    certificates: Vec<EssCertId>,
}

/// `ESSCertIDv2`; no algorithm means SHA-256.
#[derive(Sequence)]
struct EssCertId {
    #[asn1(optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    certificate: OctetString,
}
