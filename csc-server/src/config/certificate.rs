//! `[certificate]`: the embedded CA and what it issues.

use std::str::FromStr;

use der::asn1::ObjectIdentifier;
use hsm_adapter::KeyAlgorithm;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::{ConfigError, Role, Slot, value};

/// What certificates say. Nothing is claimed that is not listed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificate {
    /// Days a holder's certificate lives.
    pub days: u32,
    /// Key type of new holders: rsa-3072, rsa-4096, p256, p384 or p521.
    #[serde(deserialize_with = "algorithm")]
    pub key: KeyAlgorithm,
    /// Certificate policies, in dotted form.
    #[serde(deserialize_with = "oids")]
    pub policies: Vec<ObjectIdentifier>,
    /// What the certificates of automatic procedures say of themselves, beside each policy (DPCM 22 February 2013, 5(2)).
    pub automatic_notice: String,
    /// Statements about the qualification of certificates (ETSI EN 319 412-5). None by default.
    pub qc_statements: Vec<QcStatement>,
    /// The provider's legal name: organizationName of the CA; `info.name` when not said.
    pub organization: String,
    /// commonName of the CA.
    pub ca_name: String,
    /// Key type of the CA: rsa-3072, rsa-4096, p256 or p384.
    #[serde(deserialize_with = "algorithm")]
    pub ca_key: KeyAlgorithm,
    /// Days the CA's certificate lives, at least `days`.
    pub ca_days: u32,
}

/// A statement of ETSI EN 319 412-5, written as its name and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QcStatement {
    /// `QcCompliance`: an EU qualified certificate (4.2.1).
    Compliance,
    /// `QcSSCD`: the key is in a qualified signature creation device (4.2.2). Only if true.
    Sscd,
    /// `QcType esign`: what the certificate is for (4.2.3).
    Type(QcType),
    /// `QcCClegislation IT`: the country of the legislation, when it is not the EU's (4.2.4).
    Legislation(String),
    /// `QcRetentionPeriod 20`: years material is kept after the certificate's end (4.3.3).
    RetentionPeriod(u32),
    /// `QcPDS en https://…`: language and place of the disclosure statement (4.3.4).
    Pds {
        /// ISO 639-1, lower case.
        language: String,
        /// An https URL.
        url: Url,
    },
}

/// What a qualified certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QcType {
    /// Electronic signatures of a natural person.
    Esign,
    /// Electronic seals of a legal person.
    Eseal,
}

const AUTOMATIC: &str = "Valido solo per firme apposte con procedura automatica. Valid only for signatures made by automatic procedure.";

impl Default for Certificate {
    fn default() -> Self {
        Self {
            days: 1095,
            key: KeyAlgorithm::P256,
            policies: Vec::new(),
            automatic_notice: AUTOMATIC.to_owned(),
            qc_statements: Vec::new(),
            organization: String::new(),
            ca_name: "Signing CA".to_owned(),
            ca_key: KeyAlgorithm::P256,
            ca_days: 3650,
        }
    }
}

impl Certificate {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        value::positive("certificate.days", self.days)?;
        for (key, text) in [
            ("certificate.organization", &self.organization),
            ("certificate.ca_name", &self.ca_name),
        ] {
            // RFC 5280, appendix A: ub-organization-name and ub-common-name are 64 characters.
            if text.trim().is_empty() || text.chars().count() > 64 {
                return Err(ConfigError::key(
                    key,
                    format!("found '{text}'"),
                    "write a name of 1 to 64 characters",
                ));
            }
        }
        // RFC 5280, 4.2.1.4: explicitText has at most 200 characters.
        if self.automatic_notice.trim().is_empty() || self.automatic_notice.chars().count() > 200 {
            return Err(ConfigError::key(
                "certificate.automatic_notice",
                format!("found '{}'", self.automatic_notice),
                "write 1 to 200 characters",
            ));
        }
        if self.key == KeyAlgorithm::Rsa2048 {
            let remedy = "use rsa-3072, rsa-4096, p256, p384 or p521";
            return Err(ConfigError::key(
                "certificate.key",
                "found 'rsa-2048', too short for new certificates",
                remedy,
            ));
        }
        if matches!(self.ca_key, KeyAlgorithm::Rsa2048 | KeyAlgorithm::P521) {
            let found = format!("found '{}'", self.ca_key.name());
            return Err(ConfigError::key(
                "certificate.ca_key",
                found,
                "use rsa-3072, rsa-4096, p256 or p384",
            ));
        }
        if self.ca_days < self.days {
            let found = format!("found {}, less than certificate.days", self.ca_days);
            return Err(ConfigError::key(
                "certificate.ca_days",
                found,
                format!("write at least {}", self.days),
            ));
        }
        Ok(())
    }
}

impl Certificate {
    /// QcSSCD says that the key lies in a certified device; no certificate says so of a token in software (SC-02).
    pub(super) fn check_device(&self, slots: &[Slot]) -> Result<(), ConfigError> {
        let software = |slot: &&Slot| slot.role == Role::Holder && slot.is_software();
        match slots.iter().find(software).map(Slot::name) {
            Some(slot) if self.qc_statements.contains(&QcStatement::Sscd) => Err(ConfigError::key(
                "certificate.qc_statements",
                format!("found QcSSCD, but slot '{slot}' is a token in software"),
                "remove it, or use a certified device",
            )),
            _ => Ok(()),
        }
    }
}

impl FromStr for QcStatement {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match *words.as_slice() {
            ["QcCompliance"] => Ok(Self::Compliance),
            ["QcSSCD"] => Ok(Self::Sscd),
            ["QcType", "esign"] => Ok(Self::Type(QcType::Esign)),
            ["QcType", "eseal"] => Ok(Self::Type(QcType::Eseal)),
            ["QcCClegislation", country]
                if country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()) =>
            {
                Ok(Self::Legislation(country.to_owned()))
            }
            ["QcRetentionPeriod", years] => years.parse().map(Self::RetentionPeriod).map_err(drop),
            ["QcPDS", language, url]
                if language.len() == 2 && language.bytes().all(|b| b.is_ascii_lowercase()) =>
            {
                let url: Url = url.parse().map_err(drop)?;
                // EN 319 412-5, 4.3.4: the scheme is https.
                if url.scheme() == "https" {
                    Ok(Self::Pds {
                        language: language.to_owned(),
                        url,
                    })
                } else {
                    Err(())
                }
            }
            _ => Err(()),
        }
    }
}

impl<'de> Deserialize<'de> for QcStatement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::parse(
            deserializer,
            "write QcCompliance, QcSSCD, QcType esign, QcType eseal, QcCClegislation IT, QcRetentionPeriod 20 \
             or QcPDS en https://…",
        )
    }
}

fn algorithm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyAlgorithm, D::Error> {
    value::parse(deserializer, "use rsa-3072, rsa-4096, p256, p384 or p521")
}

fn oids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ObjectIdentifier>, D::Error> {
    struct Oid(ObjectIdentifier);
    impl<'de> Deserialize<'de> for Oid {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            oid(deserializer).map(Self)
        }
    }
    Ok(Vec::<Oid>::deserialize(deserializer)?
        .into_iter()
        .map(|oid| oid.0)
        .collect())
}

pub(super) fn oid<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ObjectIdentifier, D::Error> {
    value::parse(
        deserializer,
        "write an object identifier in dotted form, such as 1.3.6.1.4.1.32473.1",
    )
}
