//! `[[slot]]`: a token of an HSM and how it is used.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hsm_adapter::pkcs11::Profile;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, value};

/// One token. Exactly one of `token` and `serial` names it: numbers of slots change, these do not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Whose keys it holds.
    pub role: Role,
    /// The slot's name in messages and metrics; the token when not said: see [`Slot::name`].
    name: Option<String>,
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: Option<String>,
    /// Serial number of the token.
    pub serial: Option<String>,
    /// File with the token's user PIN.
    pub pin_file: PathBuf,
    /// The profile of the HSM's vendor: mechanisms, limits, locking.
    #[serde(default = "profile")]
    pub profile: String,
    /// Sessions that sign.
    #[serde(default = "sessions")]
    pub sessions: usize,
    /// Jobs that may wait for a session.
    #[serde(default = "queue")]
    pub queue: usize,
    /// How long a job may wait for a session before it is refused.
    #[serde(default = "deadline", deserialize_with = "value::duration")]
    pub deadline: Duration,
    /// How much of the load it takes beside other slots of holders.
    #[serde(default = "weight")]
    pub weight: u32,
    /// Opened keys kept in the token at once (holder slots).
    #[serde(default = "open_keys")]
    pub open_keys: usize,
}

/// Whose keys a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Keys of holders, sealed.
    Holder,
    /// Keys of the provider: CA, audit.
    Issuer,
}

impl Slot {
    /// The name of the slot in messages and metrics.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.token())
    }

    /// Whether the token is a program.
    pub(super) fn is_software(&self) -> bool {
        let profile = self.profile.parse();
        profile.is_ok_and(|profile: Profile| profile.software)
    }

    /// How the token is named, label or serial: the two cannot both be there.
    fn token(&self) -> &str {
        self.token
            .as_deref()
            .or(self.serial.as_deref())
            .unwrap_or_default()
    }
}

/// What holds between the slots.
pub(super) fn check(slots: &[Slot]) -> Result<(), ConfigError> {
    for (index, slot) in slots.iter().enumerate() {
        let key = |field: &str| format!("slot[{index}].{field}");
        match (&slot.token, &slot.serial) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::key(
                    key("serial"),
                    "found a serial beside token",
                    "keep one of the two",
                ));
            }
            (None, None) => {
                return Err(ConfigError::key(
                    key("token"),
                    "found nothing",
                    "write the token's label, or its serial as serial",
                ));
            }
            _ => {}
        }
        let profile = slot.profile.parse::<Profile>().map_err(|unknown| {
            let found = format!("found '{}'", slot.profile);
            ConfigError::key(key("profile"), found, unknown)
        })?;
        if slot.role == Role::Holder && !profile.seals {
            return Err(ConfigError::key(
                key("profile"),
                format!(
                    "found '{}', which cannot seal keys of holders",
                    profile.name
                ),
                "use another HSM here; this one is good for a [[slot]] with role = \"issuer\"",
            ));
        }
        value::positive(&key("sessions"), slot.sessions as u64)?;
        value::positive(&key("queue"), slot.queue as u64)?;
        value::positive(&key("weight"), u64::from(slot.weight))?;
        value::positive(&key("open_keys"), slot.open_keys as u64)?;
        for (other, earlier) in slots.iter().enumerate().take(index) {
            // Holders' and the provider's keys live apart: a signature of one can never be had by way of the other.
            if earlier.module == slot.module && earlier.token() == slot.token() {
                let found = format!("found '{}', the token of slot[{other}]", slot.token());
                let field = if slot.token.is_some() {
                    "token"
                } else {
                    "serial"
                };
                return Err(ConfigError::key(
                    key(field),
                    found,
                    "give each slot a token of its own",
                ));
            }
            if earlier.name() == slot.name() {
                let found = format!("found '{}', the name of slot[{other}]", slot.name());
                return Err(ConfigError::key(
                    key("name"),
                    found,
                    "give each slot a name of its own",
                ));
            }
        }
    }
    for (role, word) in [(Role::Holder, "holder"), (Role::Issuer, "issuer")] {
        if !slots.iter().any(|slot| slot.role == role) {
            let remedy = format!("add a [[slot]] with role = \"{word}\"");
            return Err(ConfigError::key(
                "slot",
                format!("found no slot with role \"{word}\""),
                remedy,
            ));
        }
    }
    Ok(())
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "holder" => Ok(Self::Holder),
            "issuer" => Ok(Self::Issuer),
            _ => Err(()),
        }
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::parse(deserializer, "write holder or issuer")
    }
}

fn profile() -> String {
    "softhsm2".to_owned()
}

fn sessions() -> usize {
    4
}

fn queue() -> usize {
    256
}

fn deadline() -> Duration {
    Duration::from_secs(5)
}

fn weight() -> u32 {
    1
}

fn open_keys() -> usize {
    1000
}
