//! What certificates say beyond name and key: the extensions of a holder's certificate and of the CA's own.

use std::time::Duration;

use const_oid::db::rfc5280::{ID_CE_EXT_KEY_USAGE, ID_KP_TIME_STAMPING};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Any, Encode};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::ext::pkix::certpolicy::{
    DisplayText, PolicyInformation, PolicyQualifierInfo, UserNotice,
};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage, KeyUsage,
    KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;

use super::qc;
use crate::config::{self, QcStatement};

/// What a holder's certificate says.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How long it is valid, in whole seconds.
    pub validity: Duration,
    /// Certificate policies; none leaves the extension out.
    pub policies: Vec<ObjectIdentifier>,
    /// What the certificate of an automatic procedure says of itself: a notice to who reads it, beside each policy.
    pub notice: Option<String>,
    /// QCStatements; none leaves the extension out. What is not true must not stand here, `Sscd` above all.
    pub qc_statements: Vec<QcStatement>,
}

impl From<&config::Certificate> for Profile {
    fn from(config: &config::Certificate) -> Self {
        Self {
            validity: days(config.days),
            policies: config.policies.clone(),
            notice: Some(config.automatic_notice.clone()),
            qc_statements: config.qc_statements.clone(),
        }
    }
}

/// anyPolicy, RFC 5280, 4.2.1.4: where a notice stands alone.
const ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32.0");
/// id-qt-unotice.
const USER_NOTICE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.2.2");

impl Profile {
    fn policies(&self) -> der::Result<CertificatePolicies> {
        let qualifiers = match &self.notice {
            None => None,
            Some(text) => {
                let notice = UserNotice {
                    notice_ref: None,
                    explicit_text: Some(DisplayText::Utf8String(text.clone())),
                };
                Some(vec![PolicyQualifierInfo {
                    policy_qualifier_id: USER_NOTICE,
                    qualifier: Some(Any::encode_from(&notice)?),
                }])
            }
        };
        let alone = [ANY_POLICY];
        let policies = match (self.policies.as_slice(), &qualifiers) {
            ([], Some(_)) => &alone,
            (policies, _) => policies,
        };
        let policy = |oid: &ObjectIdentifier| PolicyInformation {
            policy_identifier: *oid,
            policy_qualifiers: qualifiers.clone(),
        };
        Ok(CertificatePolicies(policies.iter().map(policy).collect()))
    }
}

pub(super) fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

/// A holder's certificate: key usage type A of EN 319 412-2, 4.3.2.
pub(super) struct EndEntity<'a> {
    pub(super) profile: &'a Profile,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) issuer_key_id: OctetString,
}

impl BuilderProfile for EndEntity<'_> {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let issuer = AuthorityKeyIdentifier {
            key_identifier: Some(self.issuer_key_id.clone()),
            ..Default::default()
        };
        let subject = tbs.subject();
        let mut extensions = vec![
            issuer.to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[])?,
            KeyUsage(KeyUsages::NonRepudiation.into()).to_extension(subject, &[])?,
        ];
        let policies = self.profile.policies()?;
        if !policies.0.is_empty() {
            extensions.push(policies.to_extension(subject, &[])?);
        }
        if !self.profile.qc_statements.is_empty() {
            let value = qc::encode(&self.profile.qc_statements)?;
            let extension = Extension {
                extn_id: qc::EXTENSION,
                critical: false,
                extn_value: OctetString::new(value)?,
            };
            extensions.push(extension);
        }
        Ok(extensions)
    }
}

/// A time-stamping unit (RFC 3161, 2.3; ETSI EN 319 422, 6): one extended key usage, critical.
pub(super) struct TimeStamping {
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) issuer_key_id: OctetString,
}

impl BuilderProfile for TimeStamping {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let issuer = AuthorityKeyIdentifier {
            key_identifier: Some(self.issuer_key_id.clone()),
            ..Default::default()
        };
        let subject = tbs.subject();
        let usage = ExtendedKeyUsage(vec![ID_KP_TIME_STAMPING]).to_der()?;
        Ok(vec![
            issuer.to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[])?,
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?,
            Extension {
                extn_id: ID_CE_EXT_KEY_USAGE,
                critical: true,
                extn_value: OctetString::new(usage)?,
            },
        ])
    }
}

/// A self-signed CA that issues to end entities only.
pub(super) struct Root {
    pub(super) name: Name,
}

impl BuilderProfile for Root {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.name.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        Ok(vec![
            BasicConstraints {
                ca: true,
                path_len_constraint: Some(0),
            }
            .to_extension(subject, &[])?,
            KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[])?,
        ])
    }
}
