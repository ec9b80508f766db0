//! What a certificate says of itself, read from it: whatever was configured when it was issued.

use der::Decode;
use der::asn1::ObjectIdentifier;
use x509_cert::Certificate;
use x509_cert::ext::pkix::CertificatePolicies;

use super::{Error, qc};

/// Policies and statements of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its certificate policies.
    pub policies: Vec<ObjectIdentifier>,
    /// Its QCStatements.
    pub statements: Vec<ObjectIdentifier>,
    /// `signatureQualifier` of the CSC API (v2, annex): for qualified certificates, by what they claim.
    pub qualifier: Option<&'static str>,
}

/// Of this certificate (DER).
///
/// # Errors
/// [`Error::Encoding`] when it cannot be read.
pub fn said(certificate: &[u8]) -> Result<Said, Error> {
    let certificate = Certificate::from_der(certificate)?;
    let tbs = certificate.tbs_certificate();
    let policies: Option<(bool, CertificatePolicies)> = tbs.get_extension()?;
    let policies = policies.map(|(_, policies)| policies.0).unwrap_or_default();
    let mut extensions = tbs.extensions().into_iter().flatten();
    let claims = match extensions.find(|extension| extension.extn_id == qc::EXTENSION) {
        Some(extension) => qc::Claims::read(extension.extn_value.as_bytes())?,
        None => qc::Claims::default(),
    };
    Ok(Said {
        policies: policies
            .into_iter()
            .map(|policy| policy.policy_identifier)
            .collect(),
        qualifier: claims.qualifier(),
        statements: claims.statements,
    })
}
