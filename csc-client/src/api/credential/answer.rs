//! The answer to `credentials/info`, in either version's words.

use ades::Chain;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{Authorisation, Credential, Factor, Kind, expression};

/// The answer of either version: v1 has `authMode`, `PIN` and `OTP`, v2 has `auth`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InfoAnswer {
    description: Option<String>,
    key: KeyAnswer,
    cert: CertificateAnswer,
    multisign: Option<usize>,
    auth_mode: Option<String>,
    #[serde(rename = "PIN")]
    pin: Option<FactorAnswer>,
    #[serde(rename = "OTP")]
    otp: Option<FactorAnswer>,
    auth: Option<AuthAnswer>,
}

#[derive(Deserialize)]
struct KeyAnswer {
    status: Option<String>,
    #[serde(default)]
    algo: Vec<String>,
}

#[derive(Deserialize)]
struct CertificateAnswer {
    status: Option<String>,
    certificates: Option<Vec<String>>,
}

/// `PIN` and `OTP` of v1.
#[derive(Deserialize)]
struct FactorAnswer {
    presence: Option<String>,
    r#type: Option<String>,
    label: Option<String>,
}

/// `auth` of v2.
#[derive(Deserialize)]
struct AuthAnswer {
    mode: String,
    expression: Option<String>,
    objects: Option<Vec<ObjectAnswer>>,
}

/// An authentication object of v2.
#[derive(Clone, Deserialize)]
struct ObjectAnswer {
    r#type: String,
    id: String,
    label: Option<String>,
    generator: Option<String>,
}

impl InfoAnswer {
    pub(super) fn credential(self, id: &str) -> anyhow::Result<Credential> {
        let certificates = self.cert.certificates.unwrap_or_default();
        let certificates: Result<Vec<_>, _> = certificates
            .iter()
            .map(|text| STANDARD.decode(text))
            .collect();
        let certificates = certificates.context("a certificate is not base64")?;
        let certificate = certificates
            .first()
            .map(|der| Certificate::from_der(der))
            .transpose();
        let certificate = certificate?.context("it has no certificate yet")?;
        let chain = Chain::new(certificates)?;
        let authorisation = match (self.auth, self.auth_mode.as_deref()) {
            (Some(auth), _) => auth.authorisation()?,
            (None, Some("explicit")) => {
                Authorisation::Factors(vec![v1_factors(self.pin, self.otp)])
            }
            (None, Some("implicit")) => Authorisation::Factors(vec![vec![]]),
            (None, _) => Authorisation::Page,
        };
        Ok(Credential {
            id: id.to_owned(),
            description: self.description,
            enabled: self.key.status.is_none_or(|status| status == "enabled"),
            algorithms: self.key.algo,
            certificate,
            chain,
            status: self.cert.status,
            authorisation,
            multisign: self.multisign.unwrap_or(1).max(1),
        })
    }
}

fn v1_factors(pin: Option<FactorAnswer>, otp: Option<FactorAnswer>) -> Vec<Factor> {
    let factor = |id: &str, answer: Option<FactorAnswer>| {
        let answer = answer?;
        let presence = answer.presence.unwrap_or_default();
        let kind = match (id, answer.r#type.as_deref()) {
            ("PIN", _) => Kind::Secret,
            (_, Some("online")) => Kind::SentCode,
            _ => Kind::Code,
        };
        let label = answer.label.unwrap_or_else(|| id.to_owned());
        (presence != "false").then(|| Factor {
            id: id.to_owned(),
            kind,
            label,
            optional: presence == "optional",
        })
    };
    [factor("PIN", pin), factor("OTP", otp)]
        .into_iter()
        .flatten()
        .collect()
}

impl AuthAnswer {
    fn authorisation(self) -> anyhow::Result<Authorisation> {
        if self.mode != "explicit" {
            return Ok(Authorisation::Page);
        }
        let objects = self.objects.unwrap_or_default();
        let ids: Vec<&str> = objects.iter().map(|object| object.id.as_str()).collect();
        let alternatives =
            expression::alternatives(self.expression.as_deref().unwrap_or_default(), &ids)?;
        let alternatives = alternatives.into_iter().map(|alternative| {
            let chosen = objects
                .iter()
                .filter(|object| alternative.contains(&object.id.as_str()));
            let mut factors: Vec<Factor> = chosen.cloned().map(Factor::from).collect();
            factors.sort_by_key(|factor| factor.kind);
            factors
        });
        Ok(Authorisation::Factors(alternatives.collect()))
    }
}

impl From<ObjectAnswer> for Factor {
    fn from(object: ObjectAnswer) -> Self {
        let one_time = object.generator.is_some() || object.id.eq_ignore_ascii_case("otp");
        let kind = match object.r#type.as_str() {
            "PasswordOOB" | "ChallengeResponseOOB" => Kind::Elsewhere,
            "ChallengeResponse" => Kind::SentCode,
            _ if one_time => Kind::Code,
            _ => Kind::Secret,
        };
        let label = object.label.unwrap_or_else(|| object.id.clone());
        Self {
            id: object.id,
            kind,
            label,
            optional: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(members: Value) -> anyhow::Result<Credential> {
        let certificate = rcgen::generate_simple_self_signed(["alice".to_owned()])
            .unwrap()
            .cert;
        let mut answer = json!({
            "key": {"status": "enabled", "algo": ["1.2.840.10045.4.3.2"], "len": 256},
            "cert": {"status": "valid", "certificates": [STANDARD.encode(certificate.der())]},
            "SCAL": "2", "multisign": 20, "lang": null,
        });
        answer
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        serde_json::from_value::<InfoAnswer>(answer)
            .unwrap()
            .credential("cred-42")
    }

    /// A credential with the given `auth`.
    pub(crate) fn credential(auth: Value) -> Credential {
        parse(json!({ "auth": auth })).unwrap()
    }

    fn factor(id: &str, kind: Kind, label: &str) -> Factor {
        Factor {
            id: id.to_owned(),
            kind,
            label: label.to_owned(),
            optional: false,
        }
    }

    #[test]
    fn v2_objects_are_asked_for_secrets_first() {
        let sent = credential(
            json!({"mode": "explicit", "expression": "PIN AND OTP", "objects": [
                {"type": "ChallengeResponse", "id": "OTP", "format": "N", "label": "SMS code"},
                {"type": "Password", "id": "PIN", "format": "N"},
            ]}),
        );
        let expected = vec![
            factor("PIN", Kind::Secret, "PIN"),
            factor("OTP", Kind::SentCode, "SMS code"),
        ];
        assert_eq!(sent.authorisation, Authorisation::Factors(vec![expected]));
        let app = credential(json!({"mode": "explicit", "objects": [
            {"type": "Password", "id": "PIN"},
            {"type": "Password", "id": "code", "generator": "totp"},
        ]}));
        let expected = vec![
            factor("PIN", Kind::Secret, "PIN"),
            factor("code", Kind::Code, "code"),
        ];
        assert_eq!(app.authorisation, Authorisation::Factors(vec![expected]));
        assert_eq!(app.multisign, 20);
    }

    #[test]
    fn v1_factors_are_asked_for_unless_absent() {
        let explicit = |pin: &str, otp: Value| {
            parse(json!({"authMode": "explicit", "PIN": {"presence": pin}, "OTP": otp}))
        };
        let both = explicit(
            "true",
            json!({"presence": "true", "type": "online", "label": "SMS code"}),
        )
        .unwrap();
        let expected = vec![
            factor("PIN", Kind::Secret, "PIN"),
            factor("OTP", Kind::SentCode, "SMS code"),
        ];
        assert_eq!(both.authorisation, Authorisation::Factors(vec![expected]));
        let code = explicit("false", json!({"presence": "optional", "type": "offline"})).unwrap();
        let expected = Factor {
            optional: true,
            ..factor("OTP", Kind::Code, "OTP")
        };
        assert_eq!(
            code.authorisation,
            Authorisation::Factors(vec![vec![expected]])
        );
        let implicit = parse(json!({"authMode": "implicit"})).unwrap();
        assert_eq!(implicit.authorisation, Authorisation::Factors(vec![vec![]]));
        let page = parse(json!({"authMode": "oauth2code"})).unwrap();
        assert_eq!(page.authorisation, Authorisation::Page);
    }

    #[test]
    fn what_cannot_sign_says_why() {
        assert_eq!(credential(json!({"mode": "explicit"})).hindrance(), None);
        let disabled =
            parse(json!({"authMode": "implicit", "key": {"status": "disabled", "algo": []}}))
                .unwrap();
        assert_eq!(disabled.hindrance().unwrap(), "its key is disabled");
        assert!(parse(json!({"authMode": "implicit", "cert": {}})).is_err());
    }
}
