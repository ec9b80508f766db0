//! `signatureQualifier` (CSC v2 8.6): what signatures of a credential are before the law, as its certificate says.

use der::{
    Decode,
    asn1::{Any, ObjectIdentifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Credential;

/// `id-pe-qcStatements` (RFC 3739).
const QC_STATEMENTS: &str = "1.3.6.1.5.5.7.1.3";
/// ETSI EN 319 412-5: QcCompliance, QcSSCD, and in QcType the one of seals.
const COMPLIANCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.1");
const SSCD: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.4");
const TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6");
const ESEAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.2");

impl Credential {
    /// The qualifier: qualified only with a qualified certificate and a certified device.
    pub fn qualifier(&self) -> &'static str {
        let said = statements(&self.certificate).unwrap_or_default();
        let says = |statement| said.iter().any(|(oid, _)| *oid == statement);
        let is_seal = said
            .iter()
            .any(|(oid, value)| *oid == TYPE && value.contains(&ESEAL));
        match (says(COMPLIANCE), says(SSCD), is_seal) {
            (true, true, false) => "eu_eidas_qes",
            (true, true, true) => "eu_eidas_qeseal",
            (true, false, false) => "eu_eidas_aesqc",
            (true, false, true) => "eu_eidas_aesealqc",
            (false, _, false) => "eu_eidas_aes",
            (false, _, true) => "eu_eidas_aeseal",
        }
    }
}

/// Each statement, and the identifiers it lists if that is what its value is.
fn statements(certificate: &[u8]) -> Option<Vec<(ObjectIdentifier, Vec<ObjectIdentifier>)>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut extensions = certificate.extensions().iter();
    let extension = extensions.find(|extension| extension.oid.to_id_string() == QC_STATEMENTS)?;
    let statements = Vec::<Vec<Any>>::from_der(extension.value).ok()?;
    let statements = statements.into_iter().filter_map(|statement| {
        let oid = statement.first()?.decode_as().ok()?;
        let value = statement.get(1).and_then(|value| value.decode_as().ok());
        Some((oid, value.unwrap_or_default()))
    });
    Some(statements.collect())
}
