//! The one file that says where the server is and what may be done to it.
//!
//! `conformance-tests/csc-conformance.toml` is the commented reference.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::check::Version;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the server is.
    pub server: Server,
    /// A person's log-in by HTTP Basic.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// An OAuth client.
    #[serde(default)]
    pub client: Option<Client>,
    /// An OAuth client that sends people to the authorization server.
    #[serde(default)]
    pub application: Option<Application>,
    /// How a person answers the pages of the authorization server.
    #[serde(default)]
    pub pages: Option<Pages>,
    /// A service token got elsewhere.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// What to sign with.
    #[serde(default)]
    pub credential: Credential,
    /// Where one-time codes come from.
    #[serde(default)]
    pub otp: Option<Otp>,
    /// What may be done to the credential.
    #[serde(default)]
    pub allow: Allow,
    /// Credentials that may be locked for good: the first for v1, the last for v2.
    #[serde(default)]
    pub sacrifice: Vec<Sacrifice>,
}

/// Where the server is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The base URI of v1, as in `https://sign.example/csc/v1`.
    #[serde(default)]
    pub v1: Option<String>,
    /// The base URI of v2.
    #[serde(default)]
    pub v2: Option<String>,
    /// The authorization server, where it is not what `info` says.
    #[serde(default)]
    pub oauth2: Option<String>,
    /// Certificates that are trusted, PEM; the system's own without it.
    #[serde(default)]
    pub trust: Option<PathBuf>,
}

/// A person's log-in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// An OAuth client with client credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: Secret,
    /// The user whose credentials are used.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// An OAuth client with the code flow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: Secret,
    /// A registered `redirect_uri`; it is looked at and never called.
    pub redirect_uri: String,
    /// An account that the server knows, for `account_token`.
    #[serde(default)]
    pub account: Option<String>,
    /// Another client, for what must not be another's.
    #[serde(default)]
    pub other: Option<Other>,
}

/// Another client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: Secret,
}

/// How a person answers the pages of the authorization server: the forms that come, and what is filled in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// `{user}` of the steps.
    pub user: String,
    /// `{password}` of the steps.
    pub password: Secret,
    /// The button that says no, `name=value`.
    #[serde(default)]
    pub refuse: Option<String>,
    /// What is done with the forms; the first step that fits is taken, each once a request.
    pub steps: Vec<Step>,
}

/// What is done with a form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The form has all of these: `name` of a field, or `name=value` of a field or button.
    pub has: Vec<String>,
    /// Fields and what is typed into them: a text, `{user}`, `{password}`, `{pin}` or `{code}`.
    #[serde(default)]
    pub fill: BTreeMap<String, String>,
    /// The button that is pressed, `name=value`.
    #[serde(default)]
    pub press: Option<String>,
}

impl Step {
    /// Nothing but a button.
    pub(super) fn pressing(button: &str) -> Self {
        Self {
            press: Some(button.to_owned()),
            ..Self::default()
        }
    }
}

/// What to sign with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// `credentialID`; the first of credentials/list without it.
    #[serde(default)]
    pub id: Option<String>,
    /// The PIN.
    #[serde(default)]
    pub pin: Option<Secret>,
}

/// Where one-time codes come from; `type` chooses.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Otp {
    /// Always the same code.
    Fixed {
        /// The code.
        code: Secret,
    },
    /// An authenticator app (RFC 6238).
    Totp {
        /// The seed in base32.
        seed: Secret,
        /// Digits of a code.
        #[serde(default = "six")]
        digits: u8,
        /// Seconds a code is good.
        #[serde(default = "thirty")]
        period: u64,
    },
    /// A command for the shell that prints the code; it may wait for it.
    Command {
        /// The command.
        command: String,
    },
    /// A directory where each mail or text message is a file.
    Outbox {
        /// The directory.
        directory: PathBuf,
        /// Only messages that contain this, as the address they go to.
        #[serde(default)]
        to: Option<String>,
    },
    /// Typed by whoever runs the checks.
    Typed,
}

/// What may be done to the credential.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
pub struct Allow {
    /// Give a wrong PIN and a wrong code, a few times, always followed by the right ones.
    pub wrong_factors: bool,
}

/// A credential that may be locked for good.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sacrifice {
    /// `credentialID`.
    pub id: String,
    /// Its PIN.
    pub pin: Secret,
}

/// A secret: the value itself, a file, or a variable of the environment.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Secret {
    /// The value.
    Value(String),
    /// The first line of a file.
    File {
        /// Its path.
        file: PathBuf,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        env: String,
    },
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The value; settings that were loaded hold nothing else.
    pub fn value(&self) -> &str {
        match self {
            Self::Value(value) => value,
            Self::File { .. } | Self::Environment { .. } => "",
        }
    }

    fn resolve(&mut self, directory: &Path) -> Result<(), String> {
        let value = match self {
            Self::Value(_) => return Ok(()),
            Self::File { file } => {
                let path = directory.join(file);
                let text = fs::read_to_string(&path);
                let text =
                    text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            Self::Environment { env } => {
                std::env::var(&env).map_err(|error| format!("{env}: {error}"))?
            }
        };
        *self = Self::Value(value);
        Ok(())
    }
}

/// Whom to trust.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// The system's certificates.
    System,
    /// These, PEM.
    Only(Vec<u8>),
}

impl Settings {
    /// Reads the file. Relative paths start at its directory.
    ///
    /// # Errors
    /// What is wrong, with the key's name.
    pub fn load(path: &Path) -> Result<Self, String> {
        let file = config::File::from(path).format(config::FileFormat::Toml);
        let read = config::Config::builder().add_source(file).build();
        let read = read.map_err(|error| error.to_string())?;
        let settings: Result<Self, _> = serde_path_to_error::deserialize(read);
        let mut settings = settings.map_err(|error| format!("{}: {error}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        settings.resolve(directory)?;
        if settings.versions().next().is_none() {
            return Err("server.v1 or server.v2 is needed: the base URI of the API".to_owned());
        }
        Ok(settings)
    }

    /// The base URI of a version, without a slash at its end.
    pub fn base(&self, version: Version) -> Option<&str> {
        let base = version.pick(&self.server.v1, &self.server.v2);
        base.as_deref().map(|base| base.trim_end_matches('/'))
    }

    /// The versions to check.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        let all = [Version::V1, Version::V2].into_iter();
        all.filter(|version| self.base(*version).is_some())
    }

    pub(super) fn trust(&self) -> Result<Trust, String> {
        let Some(path) = &self.server.trust else {
            return Ok(Trust::System);
        };
        let pem = fs::read(path);
        let pem = pem.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Trust::Only(pem))
    }

    /// Every secret, so that no report shows it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let otp = match &self.otp {
            Some(Otp::Fixed { code: secret } | Otp::Totp { seed: secret, .. }) => Some(secret),
            _ => None,
        };
        let application = self.application.as_ref();
        let secrets = [
            self.basic.as_ref().map(|basic| &basic.password),
            self.client.as_ref().map(|client| &client.secret),
            self.pages.as_ref().map(|pages| &pages.password),
            application.map(|application| &application.secret),
            application.and_then(|application| Some(&application.other.as_ref()?.secret)),
            self.bearer.as_ref(),
            self.credential.pin.as_ref(),
            otp,
        ];
        let sacrifices = self.sacrifice.iter().map(|one| &one.pin);
        let secrets = secrets.into_iter().flatten().chain(sacrifices);
        secrets.map(Secret::value)
    }

    fn resolve(&mut self, directory: &Path) -> Result<(), String> {
        if let Some(trust) = &mut self.server.trust {
            *trust = directory.join(&trust);
        }
        let otp = match &mut self.otp {
            Some(Otp::Fixed { code: secret } | Otp::Totp { seed: secret, .. }) => Some(secret),
            Some(Otp::Outbox {
                directory: outbox, ..
            }) => {
                *outbox = directory.join(&outbox);
                None
            }
            _ => None,
        };
        let secrets = [
            self.basic.as_mut().map(|basic| &mut basic.password),
            self.client.as_mut().map(|client| &mut client.secret),
            self.bearer.as_mut(),
            self.credential.pin.as_mut(),
            otp,
        ];
        for secret in secrets.into_iter().flatten() {
            secret.resolve(directory)?;
        }
        for sacrifice in &mut self.sacrifice {
            sacrifice.pin.resolve(directory)?;
        }
        if let Some(pages) = &mut self.pages {
            pages.password.resolve(directory)?;
        }
        if let Some(application) = &mut self.application {
            application.secret.resolve(directory)?;
            if let Some(other) = &mut application.other {
                other.secret.resolve(directory)?;
            }
        }
        Ok(())
    }
}

fn six() -> u8 {
    6
}

fn thirty() -> u64 {
    30
}
