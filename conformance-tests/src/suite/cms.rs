//! Signed data (RFC 5652) as servers give it: read by its structure, and the signature in it verified.

use ::cms::{content_info::ContentInfo, signed_data::SignedData};
use aws_lc_rs::digest as hash;
use der::{Decode, Encode, asn1::OctetString};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    check::{Stop, Verdict, broken, must},
    keys::{Algorithm, key_of},
};

const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";

/// Signed data with one signer.
pub(super) struct Signed {
    data: SignedData,
}

impl Signed {
    /// Reads it.
    pub(super) fn read(octets: &[u8]) -> Result<Self, Stop> {
        let no = |error: der::Error| broken(format!("this is no CMS SignedData: {error}"));
        let content = ContentInfo::from_der(octets).map_err(no)?;
        let data: SignedData = content.content.decode_as().map_err(no)?;
        let signers = data.signer_infos.0.len();
        must!(signers == 1, "{signers} signers, not one");
        Ok(Self { data })
    }

    /// What is signed, where it is inside.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        let content = self.data.encap_content_info.econtent.as_ref()?;
        let octets: OctetString = content.decode_as().ok()?;
        Some(octets.into_bytes().into())
    }

    /// The type of what is signed.
    pub(super) fn content_type(&self) -> String {
        self.data.encap_content_info.econtent_type.to_string()
    }

    /// The certificates inside.
    pub(super) fn certificates(&self) -> Vec<Vec<u8>> {
        let all = self.data.certificates.iter().flat_map(|set| set.0.iter());
        all.filter_map(|choice| choice.to_der().ok()).collect()
    }

    /// The values of a signed attribute, DER.
    fn attribute(&self, oid: &str) -> Option<Vec<u8>> {
        let signer = self.data.signer_infos.0.iter().next()?;
        let mut attributes = signer.signed_attrs.iter().flat_map(|set| set.iter());
        let found = attributes.find(|attribute| attribute.oid.to_string() == oid)?;
        found.values.iter().next()?.to_der().ok()
    }

    /// The signature is one of this certificate's key over the signed attributes, and these name the content and the certificate.
    pub(super) fn verify(&self, certificate: &[u8], content: &[u8]) -> Verdict {
        let signer = self.data.signer_infos.0.iter().next();
        let signer = signer.ok_or_else(|| broken("there is no signer"))?;
        let digest = match signer.digest_alg.oid.to_string().as_str() {
            "2.16.840.1.101.3.4.2.1" => &hash::SHA256,
            "2.16.840.1.101.3.4.2.2" => &hash::SHA384,
            "2.16.840.1.101.3.4.2.3" => &hash::SHA512,
            other => return Err(broken(format!("the digest algorithm is {other}"))),
        };
        let attribute = |oid: &str, name: &str| {
            let found = self.attribute(oid);
            found.ok_or_else(|| broken(format!("the signed attribute {name} is missing")))
        };
        let kind = attribute(CONTENT_TYPE, "content-type")?;
        let named = der::asn1::ObjectIdentifier::from_der(&kind);
        must!(
            named.is_ok_and(|kind| kind == self.data.encap_content_info.econtent_type),
            "content-type is another than the content's"
        );
        let named = attribute(MESSAGE_DIGEST, "message-digest")?;
        let named = OctetString::from_der(&named);
        must!(
            named.is_ok_and(|named| named.as_bytes() == hash::digest(digest, content).as_ref()),
            "message-digest is not the content's"
        );
        // ESSCertIDv2 of RFC 5035: SHA-256 where nothing else is said.
        let named = attribute(SIGNING_CERTIFICATE_V2, "signing-certificate-v2")?;
        let thumbprint = hash::digest(&hash::SHA256, certificate);
        let names = named
            .windows(thumbprint.as_ref().len())
            .any(|part| part == thumbprint.as_ref());
        must!(
            names,
            "signing-certificate-v2 does not name the signer's certificate by SHA-256"
        );
        let signed = signer.signed_attrs.as_ref().map(Encode::to_der);
        let Some(Ok(signed)) = signed else {
            return Err(broken("the signed attributes cannot be read"));
        };
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| broken(format!("the certificate cannot be read: {error}")))?;
        let oid = signer.signature_algorithm.oid.to_string();
        let algorithm = Algorithm::of(std::slice::from_ref(&oid), key_of(&parsed).0);
        let algorithm = algorithm
            .ok_or_else(|| Stop::Skip(format!("the checks cannot verify the algorithm {oid}")))?;
        must!(
            algorithm.signs(certificate, &signed, signer.signature.as_bytes()),
            "the signature does not verify under the certificate"
        );
        Ok(())
    }
}
