//! The policy: the settings of the configuration that decide how safe it is, as two security officers approved them. A service that is configured
//! otherwise does not start, and no command acts (SC-75, SC-104).

use std::{collections::BTreeMap, fmt};

use hsm_adapter::{HsmError, MacKey};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Error, Operators, Permission, permission::SPENT};
use crate::{
    audit::{self, Event},
    clock::Millis,
    params,
    store::{StoreError, Tx},
};

/// Settings that are not the approved ones: key, approved and configured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference(Vec<(String, Option<String>, Option<String>)>);

impl Difference {
    fn between(approved: &str, configured: &str) -> Self {
        let (approved, configured) = (settings(approved), settings(configured));
        let mut keys: Vec<_> = approved.keys().chain(configured.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let values = keys
            .into_iter()
            .map(|key| {
                (
                    key.clone(),
                    approved.get(key).cloned(),
                    configured.get(key).cloned(),
                )
            })
            .filter(|(_, approved, configured)| approved != configured);
        Self(values.collect())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not the policy that two security officers approved:")?;
        for (key, approved, configured) in &self.0 {
            let value = |value: &Option<String>| value.clone().unwrap_or("the default".to_owned());
            write!(
                f,
                "\n  {key}: approved {}, configured {}",
                value(approved),
                value(configured)
            )?;
        }
        f.write_str("\nset it back, or have it approved: `csc-server policy show` prints the hash for `csc-server policy set`")
    }
}

/// The hash that names a policy in commands and in the audit log: SHA-256, hexadecimal.
pub fn hash(policy: &str) -> String {
    hex::encode(Sha256::digest(policy))
}

/// A policy as it rests: one row under a MAC.
pub(super) struct Policy {
    settings: String,
    record_mac: Vec<u8>,
}

impl Policy {
    pub(super) async fn write(&self, tx: &mut Tx, now: Millis) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO policy (id, settings, changed, record_mac) VALUES (1, $1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET settings = $1, changed = $2, record_mac = $3",
            params![self.settings.as_str(), now, self.record_mac.clone()],
        )
        .await?;
        let event = Event::PolicyChanged {
            hash: hash(&self.settings),
        };
        audit::record(tx, now, "", &event);
        Ok(())
    }
}

impl Operators {
    /// Makes these settings the policy.
    ///
    /// # Errors
    /// A permission that is spent, or a failure of database or HSM.
    pub async fn set_policy(&self, permission: Permission, settings: &str) -> Result<(), Error> {
        let (policy, now) = (self.policy(settings).await?, self.clock.now());
        self.store
            .acting(permission.actor.clone())
            .write(async move |tx| {
                if !permission.spend(tx, now).await? {
                    return Ok(Err(SPENT));
                }
                policy.write(tx, now).await?;
                Ok(Ok(()))
            })
            .await?
    }

    /// Demands that these settings are the policy.
    ///
    /// # Errors
    /// [`Error::Policy`] with what differs; [`Error::DamagedPolicy`] when the service did not write the policy.
    pub async fn check_policy(&self, settings: &str) -> Result<(), Error> {
        const SQL: &str = "SELECT settings, record_mac FROM policy WHERE id = 1";
        let Some(mut row) = self.store.find(SQL, &[]).await? else {
            self.alarm(None).await?;
            return Err(Error::DamagedPolicy);
        };
        let (approved, written): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let genuine = self.policy(&approved).await?;
        if !bool::from(genuine.record_mac.ct_eq(&written)) {
            self.alarm(None).await?;
            return Err(Error::DamagedPolicy);
        }
        if approved == settings {
            Ok(())
        } else {
            Err(Error::Policy(Difference::between(&approved, settings)))
        }
    }

    /// A policy with the MAC of what it says.
    pub(super) async fn policy(&self, settings: &str) -> Result<Policy, HsmError> {
        #[derive(Serialize)]
        struct Record<'a> {
            version: u8,
            policy: &'a str,
        }
        let record = Record {
            version: 1,
            policy: settings,
        };
        // Strings and integers always serialise.
        let record = serde_json::to_vec(&record).unwrap_or_default();
        let mac = self.vault.mac(MacKey::Operator, &[&record]).await?;
        Ok(Policy {
            settings: settings.to_owned(),
            record_mac: mac.to_vec(),
        })
    }
}

/// Every setting by its full name.
fn settings(policy: &str) -> BTreeMap<String, String> {
    fn walk(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(section) => {
                for (key, value) in section {
                    let dot = if name.is_empty() { "" } else { "." };
                    walk(&format!("{name}{dot}{key}"), value, into);
                }
            }
            value => {
                into.insert(name.to_owned(), value.to_string());
            }
        }
    }
    let mut settings = BTreeMap::new();
    walk(
        "",
        &serde_json::from_str(policy).unwrap_or_default(),
        &mut settings,
    );
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_each_setting_and_both_values() {
        let approved = r#"{"lifetime":{"sad":"5m"},"pin":{"max_failures":5}}"#;
        let configured = r#"{"lifetime":{"sad":"2h"},"otp":{"drift":2},"pin":{"max_failures":5}}"#;
        let text = Difference::between(approved, configured).to_string();
        assert!(text.contains(r#"lifetime.sad: approved "5m", configured "2h""#));
        assert!(text.contains("otp.drift: approved the default, configured 2"));
        assert!(!text.contains("max_failures"), "{text}");
    }
}
