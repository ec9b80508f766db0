//! The configuration: one TOML file, read once into types. The commented reference is `deploy/csc-server.toml`.
//!
//! Environment variables override single keys: `CSC_LIFETIME__SAD=2m` is `lifetime.sad`; entries of lists (`[[slot]]`)
//! stand in the file only. Secrets are paths of files, never values. Relative paths start at the file's directory.
//! What is wrong is refused at start: the key's full path, what was found, and what to do.

mod algorithm;
mod audit;
mod callback;
mod certificate;
mod clock;
mod credential;
mod document;
mod error;
mod hsm;
mod info;
mod lifetime;
mod mail;
mod otp;
mod pin;
mod question;
mod rate;
pub mod secret;
mod server;
mod slot;
mod sms;
mod store;
mod terms;
mod timestamp;
mod value;
mod weakness;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use algorithm::{Algorithms, Ends};
pub use audit::Audit;
pub use callback::Callback;
pub use certificate::{Certificate, QcStatement, QcType};
pub use clock::Clock;
pub use credential::{Credential, PukPolicy};
pub use document::Document;
pub use error::ConfigError;
pub use hsm::Hsm;
pub use info::Info;
pub use lifetime::Lifetime;
pub use mail::{Mail, Transport};
pub use otp::Otp;
pub use pin::{Argon2, Pin};
pub use question::Question;
pub use rate::Rate;
pub use server::{Admin, Server};
pub use slot::{Role, Slot};
pub use sms::{Body, Gateway, Sms, SmsLogin};
pub use store::{Store, StoreUrl};
pub use terms::Terms;
pub use timestamp::Timestamp;
pub(crate) use value::is_here;
pub use weakness::Weakness;

/// Everything an operator decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The public listener.
    pub server: Server,
    /// The operator's listener.
    #[serde(default)]
    pub admin: Admin,
    /// What `info` tells about the service.
    pub info: Info,
    /// The database.
    pub store: Store,
    /// The HSM slots, in the order of the file: at least one of each role.
    #[serde(rename = "slot", default)]
    pub slots: Vec<Slot>,
    /// The processes of the PKCS#11 modules.
    #[serde(default)]
    pub hsm: Hsm,
    /// How mail leaves.
    pub mail: Mail,
    /// How text messages leave; without it nobody gets codes by SMS.
    #[serde(default)]
    pub sms: Option<Sms>,
    /// How long things live.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// PIN tries and cost.
    #[serde(default)]
    pub pin: Pin,
    /// One-time passwords.
    #[serde(default)]
    pub otp: Otp,
    /// What holders are asked by mail.
    #[serde(default)]
    pub question: Question,
    /// How often things may be asked for.
    #[serde(default)]
    pub rate: Rate,
    /// Bounds of a credential and of a request to sign.
    #[serde(default)]
    pub credential: Credential,
    /// Bounds of requests with documents.
    #[serde(default)]
    pub document: Document,
    /// Until when key types are good.
    #[serde(rename = "algorithm", default)]
    pub algorithms: Algorithms,
    /// The embedded CA and what it issues.
    #[serde(default)]
    pub certificate: Certificate,
    /// The audit log.
    #[serde(default)]
    pub audit: Audit,
    /// The terms that holders accept.
    #[serde(default)]
    pub terms: Option<Terms>,
    /// Time sources.
    #[serde(default)]
    pub clock: Clock,
    /// Who says what time it was.
    #[serde(default)]
    pub timestamp: Timestamp,
    /// How clients are told of results.
    #[serde(default)]
    pub callback: Callback,
    /// SHA-256 over the settings of file and environment as merged, hexadecimal: what a change of configuration changes.
    #[serde(skip)]
    pub hash: String,
    /// The settings that decide how safe the service is, as merged, in canonical JSON.
    #[serde(skip)]
    pub policy: String,
}

/// The same with the members of each object in the order of their names: neither the order of the file matters, nor which order the JSON library
/// keeps, which another crate of the build may choose.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            let members = members.into_iter();
            serde_json::Value::Object(members.map(|(name, value)| (name, sorted(value))).collect())
        }
        serde_json::Value::Array(values) => values.into_iter().map(sorted).collect(),
        value => value,
    }
}

/// Sections that say where things are and what they are called; every other one is policy.
const PLACES: [&str; 8] = [
    "server", "admin", "info", "store", "slot", "hsm", "mail", "sms",
];

impl Config {
    /// Reads the file and the `CSC_…__…` environment variables, and checks every value and how they fit together.
    /// Opens no other file: see [`Config::check_files`].
    ///
    /// # Errors
    /// [`ConfigError`]: the first key that is wrong, what was found, and the remedy.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(path, environment)
    }

    /// Checks that the files the configuration names are there, and that nobody else can read those that are secret.
    ///
    /// # Errors
    /// [`ConfigError::Key`] with the key that names the file.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        secret::check("server.private_key", &self.server.private_key)?;
        value::readable("server.certificate", &self.server.certificate)?;
        if let Some(path) = &self.store.password_file {
            secret::check("store.password_file", path)?;
        }
        for (index, slot) in self.slots.iter().enumerate() {
            value::readable(&format!("slot[{index}].module"), &slot.module)?;
            secret::check(&format!("slot[{index}].pin_file"), &slot.pin_file)?;
        }
        if let Some(path) = &self.callback.ca_file {
            value::readable("callback.ca_file", path)?;
        }
        if let Some(path) = self.mail.password_file() {
            secret::check("mail.password_file", path)?;
        }
        if let Some(terms) = &self.terms {
            terms.hash()?;
        }
        if let Some((key, path)) = self.sms.as_ref().and_then(Sms::secret_file) {
            secret::check(key, path)?;
        }
        Ok(())
    }

    /// The slots of one role, in the order of the file.
    pub fn slots(&self, role: Role) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.role == role)
    }

    fn read(path: &Path, environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        // Every key of the file stands in a section, so a variable without `__` (`CSC_CONFIG`) is somebody else's.
        let settings = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with("CSC_") && name.contains("__"));
        let raw = config::Config::builder()
            .add_source(config::File::from_str(&text, config::FileFormat::Toml))
            .add_source(
                config::Environment::with_prefix("CSC")
                    .prefix_separator("_")
                    .separator("__")
                    .source(Some(settings.collect())),
            )
            .build()
            .map_err(|error| ConfigError::File {
                path: path.to_owned(),
                problem: error.to_string(),
            })?;
        let merged = raw.clone().try_deserialize::<serde_json::Value>();
        let mut config: Self = serde_path_to_error::deserialize(raw).map_err(ConfigError::shape)?;
        let mut merged = sorted(merged.unwrap_or_default());
        config.hash = hex::encode(Sha256::digest(merged.to_string()));
        if let Some(sections) = merged.as_object_mut() {
            sections.retain(|section, _| !PLACES.contains(&section.as_str()));
        }
        config.policy = merged.to_string();
        if config.certificate.organization.is_empty() {
            config
                .certificate
                .organization
                .clone_from(&config.info.name);
        }
        config.check()?;
        let absolute = std::path::absolute(path).map_err(|error| ConfigError::File {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        config.resolve(absolute.parent().unwrap_or(Path::new("/")));
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.info.check()?;
        self.store.check()?;
        slot::check(&self.slots)?;
        self.hsm.check()?;
        self.lifetime.check()?;
        self.pin.check()?;
        self.otp.check()?;
        self.question.check()?;
        self.credential.check()?;
        self.document.check()?;
        self.certificate.check()?;
        self.clock.check()?;
        self.audit.check()?;
        self.timestamp.check(&self.clock)?;
        if let Some(terms) = &self.terms {
            terms.check()?;
        }
        self.certificate.check_device(&self.slots)?;
        if self.admin.listen == self.server.listen && self.admin.listen.port() != 0 {
            return Err(ConfigError::key(
                "admin.listen",
                format!("found the address of server.listen, {}", self.admin.listen),
                "choose another port",
            ));
        }
        Ok(())
    }

    fn resolve(&mut self, base: &Path) {
        let Self {
            server,
            store,
            slots,
            mail,
            sms,
            terms,
            callback,
            ..
        } = self;
        let mut paths: Vec<&mut PathBuf> = vec![&mut server.certificate, &mut server.private_key];
        paths.extend(store.paths());
        paths.extend(&mut callback.ca_file);
        paths.extend(mail.paths());
        paths.extend(terms.iter_mut().flat_map(Terms::paths));
        paths.extend(sms.iter_mut().flat_map(Sms::paths));
        paths.extend(
            slots
                .iter_mut()
                .flat_map(|slot| [&mut slot.module, &mut slot.pin_file]),
        );
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests;
