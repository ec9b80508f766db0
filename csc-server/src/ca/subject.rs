//! Distinguished names: of holders (ETSI EN 319 412-2, 4.2.4, with the dnQualifier of the Italian rules) and of the CA.

use der::asn1::{ObjectIdentifier, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Any, Decode, Encode};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::oid::db::rfc4519;
use x509_cert::name::Name;

use super::Error;

/// Upper bound of each attribute, in characters (RFC 5280, appendix A.1; X.520).
const LONGEST: usize = 64;

/// A holder, as the certificate names him. `Debug` shows the dnQualifier only.
#[derive(Clone)]
pub struct Subject {
    /// commonName: what people call him.
    pub common_name: String,
    /// givenName.
    pub given_name: String,
    /// surname.
    pub surname: String,
    /// serialNumber with its semantics identifier (EN 319 412-1, 5.1.3), such as `TINIT-<fiscal code>`.
    pub serial_number: Option<String>,
    /// countryName: ISO 3166-1 alpha-2.
    pub country: String,
    /// dnQualifier: the holder's identifier at the provider, one a certificate (the IUT): the credential's.
    pub dn_qualifier: String,
}

/// The CA, as its certificate names it (EN 319 412-2, 4.2.3.1).
#[derive(Clone, Debug)]
pub struct CaName {
    /// commonName.
    pub common_name: String,
    /// organizationName: the provider's legal name.
    pub organization: String,
    /// countryName: ISO 3166-1 alpha-2.
    pub country: String,
}

impl Subject {
    /// The distinguished name, DER.
    ///
    /// # Errors
    /// [`Error::Name`]: a part that cannot stand in a certificate.
    pub fn der(&self) -> Result<Vec<u8>, Error> {
        Ok(self.name()?.to_der()?)
    }

    pub(super) fn name(&self) -> Result<Name, Error> {
        let mut name = Builder::default();
        name.country(&self.country)?;
        if let Some(serial_number) = &self.serial_number {
            name.printable("serialNumber", rfc4519::SERIAL_NUMBER, serial_number)?;
        }
        name.text("surname", rfc4519::SURNAME, &self.surname)?;
        name.text("givenName", rfc4519::GIVEN_NAME, &self.given_name)?;
        name.text("commonName", rfc4519::COMMON_NAME, &self.common_name)?;
        name.printable("dnQualifier", rfc4519::DN_QUALIFIER, &self.dn_qualifier)?;
        name.finish()
    }
}

impl CaName {
    pub(super) fn name(&self) -> Result<Name, Error> {
        let mut name = Builder::default();
        name.country(&self.country)?;
        name.text(
            "organizationName",
            rfc4519::ORGANIZATION_NAME,
            &self.organization,
        )?;
        name.text("commonName", rfc4519::COMMON_NAME, &self.common_name)?;
        name.finish()
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("dn_qualifier", &self.dn_qualifier)
            .finish_non_exhaustive()
    }
}

/// One attribute an RDN, in the order added.
#[derive(Default)]
struct Builder(Vec<SetOfVec<AttributeTypeAndValue>>);

impl Builder {
    fn country(&mut self, value: &str) -> Result<(), Error> {
        if value.len() != 2 || !value.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(Error::Name {
                attribute: "countryName",
                problem: "is not two upper-case letters",
            });
        }
        self.printable("countryName", rfc4519::COUNTRY_NAME, value)
    }

    /// X.520: countryName, serialNumber and dnQualifier are PrintableString.
    fn printable(
        &mut self,
        attribute: &'static str,
        oid: ObjectIdentifier,
        value: &str,
    ) -> Result<(), Error> {
        check(attribute, value)?;
        let value = PrintableStringRef::new(value).map_err(|_| Error::Name {
            attribute,
            problem: "has characters outside of PrintableString",
        })?;
        self.push(oid, Any::encode_from(&value)?)
    }

    fn text(
        &mut self,
        attribute: &'static str,
        oid: ObjectIdentifier,
        value: &str,
    ) -> Result<(), Error> {
        check(attribute, value)?;
        self.push(oid, Any::encode_from(&Utf8StringRef::new(value)?)?)
    }

    fn push(&mut self, oid: ObjectIdentifier, value: Any) -> Result<(), Error> {
        self.0
            .push(SetOfVec::try_from([AttributeTypeAndValue { oid, value }])?);
        Ok(())
    }

    fn finish(self) -> Result<Name, Error> {
        Ok(Name::from_der(&self.0.to_der()?)?)
    }
}

fn check(attribute: &'static str, value: &str) -> Result<(), Error> {
    let problem = if value.trim().is_empty() {
        "is empty"
    } else if value.chars().count() > LONGEST {
        "is longer than 64 characters"
    } else if value.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Ok(());
    };
    Err(Error::Name { attribute, problem })
}
