//! The embedded CA: a certification request in, a certificate out. Its own key is a token object of the issuer slot.

mod algorithm;
mod issue;
mod profile;
mod qc;
mod request;
mod said;
mod subject;

use hsm_adapter::HsmError;

pub use issue::{Ca, create_root, random_serial, validity_of};
pub use profile::Profile;
pub use said::{Said, said};
pub use subject::{CaName, Subject};

/// The label of the CA's key in the issuer slot.
pub const LABEL: &str = "ca/v1";

/// The label of the key of the time-stamping authority, and of its certificate.
pub const TSA_LABEL: &str = "tsa/v1";

/// What the audit log vouches for.
pub const TABLE: crate::audit::Table =
    crate::audit::table!("issuer", key ["label"], told [], recorded ["certificate", "created"]);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of a name that cannot stand in a certificate.
    #[error("{attribute} {problem}")]
    Name {
        /// The attribute, as X.520 calls it.
        attribute: &'static str,
        /// What is wrong with it. The value is not repeated: it is personal.
        problem: &'static str,
    },
    /// RFC 5280, 4.1.2.2.
    #[error("a serial number is positive and has at most 20 octets")]
    SerialNumber,
    /// The octets are no SubjectPublicKeyInfo.
    #[error("the public key cannot be read")]
    PublicKey,
    /// Nobody has proven to have the key.
    #[error("the certification request is not good: {0}")]
    Request(&'static str),
    /// The certificate would be valid after its issuer's is not.
    #[error("the certificate would outlive the CA's; renew the CA")]
    OutlivesIssuer,
    /// The CA's certificate is none, or not that of its key.
    #[error("the CA's certificate cannot be used: {0}")]
    CaCertificate(&'static str),
    /// The CA's key is of a type that does not sign certificates.
    #[error("a CA key of type {0} is not supported; use rsa-3072, rsa-4096, p256 or p384")]
    KeyType(&'static str),
    /// A structure could not be encoded.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(String),
    /// What came out is not what was asked for. It is not given out.
    #[error("the certificate made is not the one asked for: {0}")]
    Mismatch(&'static str),
    /// The issuer slot.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<x509_cert::builder::Error> for Error {
    fn from(error: x509_cert::builder::Error) -> Self {
        Self::Encoding(error.to_string())
    }
}

impl From<der::Error> for Error {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error.to_string())
    }
}

#[cfg(test)]
mod tests;
