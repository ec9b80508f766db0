//! Issuing in two phases: the builder lays out what is to be signed, the HSM signs its digest, the builder puts the
//! signature in. What came out is then read again by another parser before it is given out.

use std::time::Duration;

use der::asn1::{BitString, OctetString};
use der::{DateTime, Decode, Encode};
use hsm_adapter::{Digest, Issuer, KeyAlgorithm};
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SubjectPublicKeyInfoOwned,
};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::algorithm::Algorithm;
use super::profile::{EndEntity, Profile, Root, TimeStamping, days};
use super::{CaName, Error, Subject, request};
use crate::ids::random_bits;

/// A CA that is ready to issue.
#[derive(Clone)]
pub struct Ca {
    key: CaKey,
    certificate: Vec<u8>,
    name: Name,
    key_id: OctetString,
    not_after: Duration,
}

impl Ca {
    /// The CA of this certificate (DER), whose key has this label in the issuer slot.
    ///
    /// # Errors
    /// [`Error::CaCertificate`] when it is no CA certificate or not that of the key, or a failure of the HSM.
    pub async fn open(issuer: Issuer, label: &str, certificate: Vec<u8>) -> Result<Self, Error> {
        let key = CaKey::find(issuer, label).await?;
        let parsed = Certificate::from_der(&certificate)
            .map_err(|_| Error::CaCertificate("not an X.509 certificate"))?;
        let tbs = parsed.tbs_certificate();
        if *tbs.subject_public_key_info() != key.public.0 {
            return Err(Error::CaCertificate(
                "it is of another key than the one in the HSM",
            ));
        }
        let constraints: Option<(bool, BasicConstraints)> = tbs
            .get_extension()
            .map_err(|_| Error::CaCertificate("its basicConstraints cannot be read"))?;
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(Error::CaCertificate("it does not say that it is a CA"));
        }
        let key_id: Option<(bool, SubjectKeyIdentifier)> = tbs
            .get_extension()
            .map_err(|_| Error::CaCertificate("its subjectKeyIdentifier cannot be read"))?;
        let (_, SubjectKeyIdentifier(key_id)) =
            key_id.ok_or(Error::CaCertificate("it has no subjectKeyIdentifier"))?;
        let (name, not_after) = (
            tbs.subject().clone(),
            tbs.validity().not_after.to_unix_duration(),
        );
        Ok(Self {
            key,
            certificate,
            name,
            key_id,
            not_after,
        })
    }

    /// The CA's own certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Issues a holder's certificate (DER) for a SubjectPublicKeyInfo (DER) that has signed this request (PKCS #10, DER) for this subject.
    /// `serial_number` is random, positive and of 20 octets at most; `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error`]: a request that is not this key's for this subject, a name, number or key that cannot stand in a certificate, a CA that ends too early, or a failure of
    /// the HSM.
    pub async fn issue(
        &self,
        profile: &Profile,
        subject: &Subject,
        spki: &[u8],
        request: &[u8],
        serial_number: &[u8],
        now: i64,
    ) -> Result<Vec<u8>, Error> {
        let name = subject.name()?;
        request::check(request, spki, &name)?;
        let public = SubjectPublicKeyInfoOwned::from_der(spki).map_err(|_| Error::PublicKey)?;
        let validity = validity(now, profile.validity)?;
        if validity.not_after.to_unix_duration() > self.not_after {
            return Err(Error::OutlivesIssuer);
        }
        let profile = EndEntity {
            profile,
            subject: name,
            issuer: self.name.clone(),
            issuer_key_id: self.key_id.clone(),
        };
        let certificate = self
            .key
            .certify(profile, serial(serial_number)?, validity, public)
            .await?;
        check(&certificate, spki, &self.key.public.0.to_der()?)?;
        Ok(certificate)
    }
}

impl Ca {
    /// Certifies the key with this label, in the same slot, for time-stamping and nothing else (RFC 3161, 2.3); the certificate (DER) ends
    /// when the CA's does at the latest.
    ///
    /// # Errors
    /// [`hsm_adapter::HsmError::Missing`] without the key, [`Error`] as for [`Ca::issue`].
    pub async fn certify_tsa(
        &self,
        label: &str,
        name: &CaName,
        lifetime_days: u32,
        serial_number: &[u8],
        now: i64,
    ) -> Result<Vec<u8>, Error> {
        let key = CaKey::find(self.key.issuer.clone(), label).await?;
        let begins = Duration::from_secs(u64::try_from(now).unwrap_or_default() / 1000);
        let lifetime = days(lifetime_days).min(self.not_after.saturating_sub(begins));
        let profile = TimeStamping {
            subject: name.name()?,
            issuer: self.name.clone(),
            issuer_key_id: self.key_id.clone(),
        };
        let certificate = self
            .key
            .certify(
                profile,
                serial(serial_number)?,
                validity(now, lifetime)?,
                key.public.0.clone(),
            )
            .await?;
        check(
            &certificate,
            &key.public.0.to_der()?,
            &self.key.public.0.to_der()?,
        )?;
        Ok(certificate)
    }
}

/// Makes the self-signed certificate (DER) of the CA whose key has this label in the issuer slot: CA, no further CA
/// below, signs certificates and CRLs. `now` is in milliseconds since 1970.
///
/// # Errors
/// [`hsm_adapter::HsmError::Missing`] without the key, [`Error`] as for [`Ca::issue`].
pub async fn create_root(
    issuer: Issuer,
    label: &str,
    name: &CaName,
    lifetime_days: u32,
    serial_number: &[u8],
    now: i64,
) -> Result<Vec<u8>, Error> {
    let key = CaKey::find(issuer, label).await?;
    let validity = validity(now, days(lifetime_days))?;
    let profile = Root { name: name.name()? };
    let certificate = key
        .certify(
            profile,
            serial(serial_number)?,
            validity,
            key.public.0.clone(),
        )
        .await?;
    let spki = key.public.0.to_der()?;
    check(&certificate, &spki, &spki)?;
    Ok(certificate)
}

/// A new serial number: positive, and 126 random bits make it unique without a count (CA/Browser Forum BR 7.1: at
/// least 64).
pub fn random_serial() -> [u8; 16] {
    (random_bits() >> 1 | 1).to_be_bytes()
}

/// Begin and end of a certificate (DER), in milliseconds since 1970.
///
/// # Errors
/// [`Error::Encoding`] when it is no certificate.
pub fn validity_of(certificate: &[u8]) -> Result<(i64, i64), Error> {
    let certificate = Certificate::from_der(certificate)?;
    let millis =
        |time: Time| i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX);
    let validity = certificate.tbs_certificate().validity();
    Ok((millis(validity.not_before), millis(validity.not_after)))
}

/// The CA's key: it signs in the HSM; here are its name and its public half.
#[derive(Clone)]
struct CaKey {
    issuer: Issuer,
    label: String,
    public: PublicKey,
    algorithm: Algorithm,
}

#[derive(Clone)]
struct PublicKey(SubjectPublicKeyInfoOwned);

impl CaKey {
    async fn find(issuer: Issuer, label: &str) -> Result<Self, Error> {
        let found: Option<(KeyAlgorithm, Vec<u8>)> = issuer.public_key(label).await?;
        let (algorithm, spki) =
            found.ok_or_else(|| hsm_adapter::HsmError::Missing(label.to_owned()))?;
        let public =
            PublicKey(SubjectPublicKeyInfoOwned::from_der(&spki).map_err(|_| Error::PublicKey)?);
        Ok(Self {
            issuer,
            label: label.to_owned(),
            public,
            algorithm: Algorithm::of(algorithm)?,
        })
    }

    async fn certify(
        &self,
        profile: impl BuilderProfile,
        serial_number: SerialNumber,
        validity: Validity,
        public: SubjectPublicKeyInfoOwned,
    ) -> Result<Vec<u8>, Error> {
        let mut builder = CertificateBuilder::new(profile, serial_number, validity, public)?;
        let digest = Digest::of(self.algorithm.scheme.digest(), &builder.finalize(self)?);
        let signature = self
            .issuer
            .sign(&self.label, self.algorithm.scheme, &digest)
            .await?;
        Ok(builder
            .assemble(BitString::from_bytes(&signature)?, self)?
            .to_der()?)
    }
}

impl Keypair for CaKey {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl DynSignatureAlgorithmIdentifier for CaKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.algorithm.identifier.clone())
    }
}

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<der::Document> {
        Ok(der::Document::encode_msg(&self.0)?)
    }
}

fn serial(octets: &[u8]) -> Result<SerialNumber, Error> {
    if octets.iter().all(|octet| *octet == 0) {
        return Err(Error::SerialNumber);
    }
    SerialNumber::new(octets).map_err(|_| Error::SerialNumber)
}

/// From the current second on.
fn validity(now: i64, lifetime: Duration) -> Result<Validity, Error> {
    let start = Duration::from_secs(u64::try_from(now).unwrap_or_default() / 1000);
    let time = |since_1970| DateTime::from_unix_duration(since_1970).map(Time::from);
    Ok(Validity::new(
        time(start)?,
        time(start.saturating_add(lifetime))?,
    ))
}

/// What is given out parses elsewhere, is of the key asked for, and is signed by the issuer's key.
pub(super) fn check(certificate: &[u8], spki: &[u8], issuer_spki: &[u8]) -> Result<(), Error> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| Error::Mismatch("it does not parse"))?;
    if !rest.is_empty() || parsed.public_key().raw != spki {
        return Err(Error::Mismatch("it is of another key"));
    }
    let (_, issuer) = x509_parser::x509::SubjectPublicKeyInfo::from_der(issuer_spki)
        .map_err(|_| Error::PublicKey)?;
    parsed
        .verify_signature(Some(&issuer))
        .map_err(|_| Error::Mismatch("its signature does not verify"))
}
