//! What a client sees of a credential, in both dialects. Absent members are left out, never null.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use x509_cert::{Certificate, der::Decode};

use super::name;
use crate::{
    api::{algorithms, dialect::Version, fault::Fault, params::Params},
    app::App,
    ca::{self, Said},
    clock::generalized,
    credential::{Credential, Mode, Status},
    factor::{Factor, Kind},
};

/// How much is asked for.
pub(super) struct Detail {
    certificates: Certificates,
    certificate_info: bool,
    authorization_info: bool,
    lang: String,
}

enum Certificates {
    None,
    Single,
    Chain,
}

impl Detail {
    /// Reads `certificates`, `certInfo`, `authInfo` and `lang`.
    pub(super) fn read(params: &Params, default_lang: &str) -> Result<Self, Fault> {
        let certificates = match params.optional_string("certificates")? {
            None | Some("single") => Certificates::Single,
            Some("none") => Certificates::None,
            Some("chain") => Certificates::Chain,
            Some(_) => return Err(Fault::Invalid("certificates")),
        };
        // RFC 5646: subtags have no case.
        let lang = params.optional_string("lang")?.map(|lang| {
            lang.split('-')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        });
        Ok(Self {
            certificates,
            certificate_info: params.flag("certInfo")?,
            authorization_info: params.flag("authInfo")?,
            lang: lang
                .filter(|lang| matches!(lang.as_str(), "it" | "en"))
                .unwrap_or_else(|| default_lang.to_owned()),
        })
    }
}

/// The members that credentials/info answers with.
pub(super) async fn view(
    app: &App,
    credential: &Credential,
    detail: &Detail,
    version: Version,
) -> Result<Map<String, Value>, Fault> {
    let now = app.clock.now();
    let algorithm = credential.key.algorithm;
    let mut key = json!({
        "status": if app.keys.may_sign(credential, now).is_ok() { "enabled" } else { "disabled" },
        "algo": algorithms::advertised(algorithm),
        "len": algorithm.bits(),
    });
    if let (Some(curve), Some(key)) = (algorithms::curve(algorithm), key.as_object_mut()) {
        key.insert("curve".into(), json!(curve));
    }
    let mut view = Map::new();
    view.insert("description".into(), json!(credential.description));
    view.insert("key".into(), key);
    view.insert(
        "cert".into(),
        Value::Object(certificate(app, credential, detail, version)?),
    );
    match version {
        Version::V1 => v1_authorization(app, credential, detail, &mut view).await?,
        Version::V2 => {
            let auth = v2_authorization(app, credential, detail).await?;
            view.insert("auth".into(), auth);
            if let Some(qualifier) = said(credential)?.qualifier {
                view.insert("signatureQualifier".into(), json!(qualifier));
            }
        }
    }
    // Under a mandate nobody approves hash by hash.
    let scal = match credential.mode {
        Mode::Automatic => "1",
        Mode::Explicit | Mode::Code | Mode::Implicit => "2",
    };
    view.insert("SCAL".into(), json!(scal));
    view.insert("multisign".into(), json!(credential.multisign));
    view.insert("lang".into(), json!(detail.lang));
    Ok(view)
}

fn certificate(
    app: &App,
    credential: &Credential,
    detail: &Detail,
    version: Version,
) -> Result<Map<String, Value>, Fault> {
    let now = app.clock.now();
    let status = match credential.status {
        Status::Revoked => "revoked",
        Status::Issued | Status::Suspended => "suspended",
        Status::Active if now >= credential.not_after => "expired",
        Status::Active => "valid",
    };
    let mut cert = Map::new();
    cert.insert("status".into(), json!(status));
    let leaf = BASE64_STANDARD.encode(&credential.certificate);
    match detail.certificates {
        Certificates::None => {}
        Certificates::Single => drop(cert.insert("certificates".into(), json!([leaf]))),
        Certificates::Chain => {
            let chain = json!([leaf, BASE64_STANDARD.encode(&app.ca_certificate)]);
            cert.insert("certificates".into(), chain);
        }
    }
    if detail.certificate_info {
        let parsed = Certificate::from_der(&credential.certificate).map_err(|error| {
            Fault::Internal(format!("a stored certificate cannot be read: {error}"))
        })?;
        let tbs = parsed.tbs_certificate();
        cert.insert("issuerDN".into(), json!(name::readable(tbs.issuer())));
        cert.insert(
            "serialNumber".into(),
            json!(hex_serial(tbs.serial_number().as_bytes())),
        );
        cert.insert("subjectDN".into(), json!(name::readable(tbs.subject())));
        cert.insert(
            "validFrom".into(),
            json!(generalized(credential.not_before)),
        );
        cert.insert("validTo".into(), json!(generalized(credential.not_after)));
        if version == Version::V2 {
            let said = said(credential)?;
            for (member, oids) in [("policy", said.policies), ("qcStatements", said.statements)] {
                if !oids.is_empty() {
                    let oids: Vec<_> = oids.iter().map(ToString::to_string).collect();
                    cert.insert(member.into(), json!(oids));
                }
            }
        }
    }
    Ok(cert)
}

pub(super) fn said(credential: &Credential) -> Result<Said, Fault> {
    let said = ca::said(&credential.certificate);
    said.map_err(|error| Fault::Internal(format!("a stored certificate cannot be read: {error}")))
}

/// The number without the octet that keeps its encoding positive.
fn hex_serial(octets: &[u8]) -> String {
    hex::encode_upper(octets.strip_prefix(&[0]).unwrap_or(octets))
}

/// CSC v1 11.5: PIN and OTP belong to the explicit mode.
async fn v1_authorization(
    app: &App,
    credential: &Credential,
    detail: &Detail,
    view: &mut Map<String, Value>,
) -> Result<(), Fault> {
    // A mandate is a SAD already: nothing is left for the client to collect.
    let mode = match credential.mode {
        Mode::Automatic => Mode::Explicit,
        mode => mode,
    };
    view.insert("authMode".into(), json!(mode.name()));
    match (credential.mode, detail.authorization_info) {
        (Mode::Explicit, true) => v1_factors(app, credential, detail, view).await,
        (Mode::Automatic, true) => {
            for factor in ["PIN", "OTP"] {
                view.insert(factor.into(), json!({ "presence": "false" }));
            }
            Ok(())
        }
        (Mode::Code | Mode::Implicit, _) | (_, false) => Ok(()),
    }
}

/// CSC v2 11.5: what was implicit in v1 is explicit with nothing to collect.
async fn v2_authorization(
    app: &App,
    credential: &Credential,
    detail: &Detail,
) -> Result<Value, Fault> {
    let mode = match credential.mode {
        Mode::Code => Mode::Code,
        Mode::Explicit | Mode::Implicit | Mode::Automatic => Mode::Explicit,
    };
    let mut auth = json!({ "mode": mode.name() });
    if let (true, Some(auth)) = (detail.authorization_info, auth.as_object_mut()) {
        match credential.mode {
            Mode::Explicit => {
                auth.insert("expression".into(), json!("(PIN AND OTP)"));
                auth.insert("objects".into(), v2_factors(app, credential, detail).await?);
            }
            Mode::Implicit | Mode::Automatic => drop(auth.insert("objects".into(), json!([]))),
            Mode::Code => {}
        }
    }
    Ok(auth)
}

async fn v1_factors(
    app: &App,
    credential: &Credential,
    detail: &Detail,
    view: &mut Map<String, Value>,
) -> Result<(), Fault> {
    let texts = Texts::of(&detail.lang);
    let factor = factor(app, credential).await?;
    view.insert(
        "PIN".into(),
        json!({ "presence": "true", "format": "N", "label": texts.pin.0, "description": texts.pin.1 }),
    );
    let (label, description) = texts.otp(&factor);
    view.insert(
        "OTP".into(),
        json!({
            "presence": "true", "type": if factor.kind.is_sent() { "online" } else { "offline" }, "format": "N",
            "label": label, "description": description, "ID": factor.id.as_str(), "provider": factor.kind.name(),
        }),
    );
    Ok(())
}

async fn v2_factors(app: &App, credential: &Credential, detail: &Detail) -> Result<Value, Fault> {
    let texts = Texts::of(&detail.lang);
    let factor = factor(app, credential).await?;
    let (label, description) = texts.otp(&factor);
    let sent = factor.kind.is_sent();
    let mut otp = json!({
        "type": if sent { "ChallengeResponse" } else { "Password" },
        "id": super::authorize::OTP, "format": "N", "label": label, "description": description,
    });
    if let (false, Some(otp)) = (sent, otp.as_object_mut()) {
        otp.insert("generator".into(), json!(factor.kind.name()));
    }
    let pin = json!({
        "type": "Password", "id": super::authorize::PIN, "format": "N", "label": texts.pin.0,
        "description": texts.pin.1,
    });
    Ok(json!([pin, otp]))
}

async fn factor(app: &App, credential: &Credential) -> Result<Factor, Fault> {
    let factor = app.factors.find(&credential.factor).await?;
    factor.ok_or_else(|| Fault::Internal("a credential without its factor".into()))
}

/// A label a client may show, and what it means; `#` stands for the number of digits.
type Text = (&'static str, &'static str);

struct Texts {
    pin: Text,
    app: Text,
    token: Text,
    mail: Text,
    sms: Text,
}

impl Texts {
    fn of(lang: &str) -> Self {
        match lang {
            "it" => Self {
                pin: ("PIN", "PIN di firma, 8 cifre"),
                app: (
                    "Codice dell'app",
                    "Codice di # cifre della tua app di autenticazione",
                ),
                token: ("Codice del token", "Codice di # cifre del tuo token"),
                mail: (
                    "Codice via e-mail",
                    "Codice di # cifre inviato alla tua e-mail",
                ),
                sms: (
                    "Codice via SMS",
                    "Codice di # cifre inviato al tuo telefono",
                ),
            },
            _ => Self {
                pin: ("PIN", "Signature PIN, 8 digits"),
                app: ("App code", "#-digit code of your authenticator app"),
                token: ("Token code", "#-digit code of your token"),
                mail: ("E-mail code", "#-digit code sent to your e-mail address"),
                sms: ("SMS code", "#-digit code sent to your telephone"),
            },
        }
    }

    fn otp(&self, factor: &Factor) -> (&'static str, String) {
        let (label, description) = match factor.kind {
            Kind::Totp => self.app,
            Kind::Hotp => self.token,
            Kind::Mail => self.mail,
            Kind::Sms => self.sms,
        };
        (label, description.replace('#', &factor.digits.to_string()))
    }
}
