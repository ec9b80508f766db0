//! `[algorithm]`: until when key types may make new keys, and sign.

use std::collections::BTreeMap;

use hsm_adapter::KeyAlgorithm;
use serde::{Deserialize, Deserializer};
use time::{Date, macros::format_description};

use super::value;
use crate::clock::Millis;

/// The first moments at which a key type is no longer good; none when no end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// For new keys.
    pub create: Option<Millis>,
    /// For signatures, and certificates.
    pub sign: Option<Millis>,
}

const OPEN: Ends = Ends {
    create: None,
    sign: None,
};

/// ETSI TS 119 312 V2.1.1, 6.2.2: RSA of 1900 to 2999 bits gets no new certificate after 2026, and none lives longer than 2028. The others have no
/// end; those that an agency sets later stand in the configuration.
const TABLE: [(KeyAlgorithm, Ends); 6] = [
    (
        KeyAlgorithm::Rsa2048,
        Ends {
            // 2027-01-01 and 2029-01-01, UTC.
            create: Some(1_798_761_600_000),
            sign: Some(1_861_920_000_000),
        },
    ),
    (KeyAlgorithm::Rsa3072, OPEN),
    (KeyAlgorithm::Rsa4096, OPEN),
    (KeyAlgorithm::P256, OPEN),
    (KeyAlgorithm::P384, OPEN),
    (KeyAlgorithm::P521, OPEN),
];

/// The key types there are, with their ends (SC-03). What is not in the list does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms([(KeyAlgorithm, Ends); 6]);

impl Default for Algorithms {
    fn default() -> Self {
        Self(TABLE)
    }
}

impl Algorithms {
    /// Whether a new key of this type may be made at this time.
    pub fn may_create(&self, algorithm: KeyAlgorithm, now: Millis) -> bool {
        self.ends(algorithm).create.is_none_or(|end| now < end)
    }

    /// Whether a key of this type may sign at this time.
    pub fn may_sign(&self, algorithm: KeyAlgorithm, now: Millis) -> bool {
        self.ends(algorithm).sign.is_none_or(|end| now < end)
    }

    /// The ends of a key type.
    pub fn ends(&self, algorithm: KeyAlgorithm) -> Ends {
        let found = self.0.iter().find(|(known, _)| *known == algorithm);
        found.map_or(OPEN, |(_, ends)| *ends)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default, deserialize_with = "last_day")]
    create_until: Option<Millis>,
    #[serde(default, deserialize_with = "last_day")]
    sign_until: Option<Millis>,
}

impl<'de> Deserialize<'de> for Algorithms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sections = BTreeMap::<String, Section>::deserialize(deserializer)?;
        let mut algorithms = Self::default();
        for (name, section) in sections {
            let known = algorithms.0.iter_mut();
            let mut known = known.filter(|(algorithm, _)| algorithm.name() == name);
            let Some((_, ends)) = known.next() else {
                return Err(value::refuse(
                    format!("found '{name}'"),
                    "write rsa-3072, rsa-4096, p256, p384 or p521",
                ));
            };
            // An operator may end an algorithm earlier, never later.
            ends.create = earlier(ends.create, section.create_until);
            ends.sign = earlier(ends.sign, section.sign_until);
        }
        Ok(algorithms)
    }
}

fn earlier(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    one.into_iter().chain(other).min()
}

/// The end of a day, UTC.
fn last_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    const DAY: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]");
    let text = String::deserialize(deserializer)?;
    let day = Date::parse(&text, DAY).ok().and_then(Date::next_day);
    day.map(|day| Some(day.midnight().assume_utc().unix_timestamp() * 1000))
        .ok_or_else(|| value::refuse(format!("found '{text}'"), "write a day, such as 2030-12-31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21.
    const TODAY: Millis = 1_795_219_200_000;
    const DAY: Millis = 86_400_000;

    #[test]
    fn a_key_type_past_its_end_makes_no_key_and_later_signs_nothing() {
        let table = Algorithms::default();
        let (create, sign) = (TODAY + 41 * DAY, TODAY + 772 * DAY);
        assert!(table.may_create(KeyAlgorithm::Rsa2048, create - 1));
        assert!(!table.may_create(KeyAlgorithm::Rsa2048, create));
        assert!(table.may_sign(KeyAlgorithm::Rsa2048, sign - 1));
        assert!(!table.may_sign(KeyAlgorithm::Rsa2048, sign));
        for (algorithm, _) in TABLE.into_iter().skip(1) {
            assert!(table.may_create(algorithm, sign) && table.may_sign(algorithm, sign));
        }
    }

    #[test]
    fn an_operator_ends_a_key_type_earlier_and_never_later() {
        let read = |text: &str| -> Algorithms { serde_json::from_str(text).unwrap() };
        let ended = read(r#"{"p256": {"create_until": "2026-11-20", "sign_until": "2026-11-21"}}"#);
        assert!(!ended.may_create(KeyAlgorithm::P256, TODAY));
        assert!(ended.may_sign(KeyAlgorithm::P256, TODAY + DAY - 1));
        assert!(!ended.may_sign(KeyAlgorithm::P256, TODAY + DAY));
        assert!(ended.may_create(KeyAlgorithm::P384, TODAY));
        let later =
            read(r#"{"rsa-2048": {"create_until": "2040-01-01", "sign_until": "2040-01-01"}}"#);
        assert_eq!(later, Algorithms::default());
    }
}
