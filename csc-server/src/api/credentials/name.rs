//! A distinguished name as text (RFC 4514) that every client can read back.

use const_oid::{ObjectIdentifier, db::rfc4519};
use x509_cert::{attr::AttributeTypeAndValue, der::Encode, name::Name};

/// The table of RFC 4514 3, which every reader knows, and the attributes of natural persons under the names that Java, OpenSSL and .NET
/// read: none of them is the shortest registered one.
const KNOWN: [(ObjectIdentifier, &str); 13] = [
    (rfc4519::COMMON_NAME, "CN"),
    (rfc4519::LOCALITY_NAME, "L"),
    (rfc4519::ST, "ST"),
    (rfc4519::ORGANIZATION_NAME, "O"),
    (rfc4519::ORGANIZATIONAL_UNIT_NAME, "OU"),
    (rfc4519::COUNTRY_NAME, "C"),
    (rfc4519::STREET, "STREET"),
    (rfc4519::DC, "DC"),
    (rfc4519::UID, "UID"),
    (rfc4519::SURNAME, "surname"),
    (rfc4519::GIVEN_NAME, "givenName"),
    (rfc4519::SERIAL_NUMBER, "serialNumber"),
    (rfc4519::DN_QUALIFIER, "dnQualifier"),
];

/// The most significant part last, as RFC 4514 2.1 wants it.
pub(super) fn readable(name: &Name) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let parts = parts.into_iter().rev().map(|part| {
        let attributes: Vec<_> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let known = KNOWN.iter().find(|(oid, _)| *oid == attribute.oid);
    let text = attribute.to_string();
    match (known, text.split_once('=')) {
        (Some((_, keyword)), Some((_, value))) if !value.starts_with('#') => {
            format!("{keyword}={value}")
        }
        // RFC 4514 2.4: an OID is followed by the encoded value.
        _ => {
            let value = attribute.value.to_der().unwrap_or_default();
            format!("{}=#{}", attribute.oid, hex::encode(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn persons_have_the_names_that_readers_know_and_the_rest_are_numbers() {
        let name = Name::from_str(
            "2.5.4.97=#0c0756415449542d31,DNQUALIFIER=5409,GN=\\#Alice,SN=Rossi\\, Bianchi,C=IT",
        );
        assert_eq!(
            readable(&name.unwrap()),
            "2.5.4.97=#0c0756415449542d31,dnQualifier=5409,givenName=\\#Alice,surname=Rossi\\, Bianchi,C=IT"
        );
    }
}
