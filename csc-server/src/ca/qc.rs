//! Qualified certificate statements (RFC 3739, 3.2.6; ETSI EN 319 412-5).

use der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef};
use der::{Any, Decode, Encode, Sequence};

use crate::config::{QcStatement, QcType};

/// id-pe-qcStatements.
pub(super) const EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.3");

const COMPLIANCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.1");
const RETENTION_PERIOD: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.3");
const SSCD: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.4");
const PDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.5");
const TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6");
const TYPE_ESIGN: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.1");
const TYPE_ESEAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.2");
const LEGISLATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.7");

#[derive(Sequence)]
struct Statement {
    id: ObjectIdentifier,
    info: Option<Any>,
}

#[derive(Sequence)]
struct PdsLocation<'a> {
    url: Ia5StringRef<'a>,
    language: PrintableStringRef<'a>,
}

/// The statements of a certificate.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) statements: Vec<ObjectIdentifier>,
    seal: bool,
}

impl Claims {
    /// From the value of the extension.
    pub(super) fn read(value: &[u8]) -> der::Result<Self> {
        let mut claims = Self::default();
        for Statement { id, info } in Vec::<Statement>::from_der(value)? {
            if let (TYPE, Some(info)) = (id, info) {
                let types = info.decode_as::<Vec<ObjectIdentifier>>()?;
                claims.seal = types.contains(&TYPE_ESEAL);
            }
            claims.statements.push(id);
        }
        Ok(claims)
    }

    /// Qualified, and with its key in a qualified device: a qualified signature or seal; without the device an advanced one.
    pub(super) fn qualifier(&self) -> Option<&'static str> {
        let says = |id| self.statements.contains(&id);
        match (says(COMPLIANCE), says(SSCD), self.seal) {
            (false, _, _) => None,
            (true, true, false) => Some("eu_eidas_qes"),
            (true, false, false) => Some("eu_eidas_aesqc"),
            (true, true, true) => Some("eu_eidas_qeseal"),
            (true, false, true) => Some("eu_eidas_aesealqc"),
        }
    }
}

/// The value of the extension: each statement once, those with several values gathered.
pub(super) fn encode(statements: &[QcStatement]) -> der::Result<Vec<u8>> {
    let (mut encoded, mut types, mut countries, mut locations) = (vec![], vec![], vec![], vec![]);
    for statement in statements {
        match statement {
            QcStatement::Compliance => encoded.push(Statement {
                id: COMPLIANCE,
                info: None,
            }),
            QcStatement::Sscd => encoded.push(Statement {
                id: SSCD,
                info: None,
            }),
            QcStatement::RetentionPeriod(years) => {
                encoded.push(Statement {
                    id: RETENTION_PERIOD,
                    info: Some(Any::encode_from(years)?),
                });
            }
            QcStatement::Type(QcType::Esign) => types.push(TYPE_ESIGN),
            QcStatement::Type(QcType::Eseal) => types.push(TYPE_ESEAL),
            QcStatement::Legislation(country) => countries.push(PrintableStringRef::new(country)?),
            QcStatement::Pds { language, url } => locations.push(PdsLocation {
                url: Ia5StringRef::new(url.as_str())?,
                language: PrintableStringRef::new(language)?,
            }),
        }
    }
    if !types.is_empty() {
        encoded.push(Statement {
            id: TYPE,
            info: Some(Any::encode_from(&types)?),
        });
    }
    if !countries.is_empty() {
        encoded.push(Statement {
            id: LEGISLATION,
            info: Some(Any::encode_from(&countries)?),
        });
    }
    if !locations.is_empty() {
        encoded.push(Statement {
            id: PDS,
            info: Some(Any::encode_from(&locations)?),
        });
    }
    encoded.to_der()
}
