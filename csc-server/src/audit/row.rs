//! A row of the log, and what seals it to the row before:
//! `hash[n] = SHA-256("audit/1" ‖ hash[n-1] ‖ version ‖ chain ‖ sequence ‖ time ‖ event ‖ person)`, every part after the label with its
//! length before it (eight octets, big endian), numbers as eight octets, big endian. A chain begins at sequence 1 after the
//! all-zero hash.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::Millis,
    store::{self, Entry, StoreError},
};

/// The version of the rows that are written now.
pub(super) const VERSION: i64 = 1;

/// A SHA-256 hash, hexadecimal in text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(#[serde(with = "hex")] pub [u8; 32]);

impl Hash {
    /// Of these octets.
    pub fn of(octets: &[u8]) -> Self {
        Self(Sha256::digest(octets).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A row, as stored and as exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its chain: one a process start.
    pub chain: String,
    /// Its place in the chain, from 1.
    pub sequence: i64,
    /// Of the format.
    pub version: i64,
    /// When, milliseconds since 1970 UTC.
    pub time: Millis,
    /// What happened: JSON, byte for byte what the hash covers.
    pub event: String,
    /// Pseudonym of the person it is about; empty when there is none.
    pub person: String,
    /// Over all of it and the hash of the row before.
    pub hash: Hash,
}

/// The columns of [`Row::read`], in their order.
macro_rules! columns {
    () => {
        "chain, sequence, version, time, event, person, hash"
    };
}
pub(super) use columns;

impl Row {
    /// The row that follows `before` in a chain.
    pub(super) fn after(before: &Hash, chain: &str, sequence: i64, entry: &Entry) -> Self {
        let mut row = Self {
            chain: chain.to_owned(),
            sequence,
            version: VERSION,
            time: entry.time,
            event: entry.event.clone(),
            person: entry.person.clone(),
            hash: Hash::default(),
        };
        row.hash = row.hash_after(before);
        row
    }

    /// The hash it must have when the row before has this one.
    pub fn hash_after(&self, before: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update(b"audit/1");
        for part in [
            before.0.as_slice(),
            &self.version.to_be_bytes(),
            self.chain.as_bytes(),
            &self.sequence.to_be_bytes(),
            &self.time.to_be_bytes(),
            self.event.as_bytes(),
            self.person.as_bytes(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Hash(hash.finalize().into())
    }

    pub(super) fn read(mut row: store::Row) -> Result<Self, StoreError> {
        let hash: Vec<u8> = row.get(6)?;
        Ok(Self {
            chain: row.get(0)?,
            sequence: row.get(1)?,
            version: row.get(2)?,
            time: row.get(3)?,
            event: row.get(4)?,
            person: row.get(5)?,
            hash: Hash(hash.try_into().map_err(|_| StoreError::Column(6))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_depends_on_the_row_before_and_on_each_of_its_fields() {
        let entry = Entry {
            time: 5,
            event: "a".into(),
            person: "p".into(),
        };
        let row = Row::after(&Hash::default(), "c", 1, &entry);
        let hash = |change: fn(&mut Row)| {
            let mut changed = row.clone();
            change(&mut changed);
            changed.hash_after(&Hash::default())
        };
        assert_eq!(hash(|_| {}), row.hash);
        for other in [
            row.hash_after(&row.hash),
            hash(|row| row.chain = "d".into()),
            hash(|row| row.sequence = 2),
            hash(|row| row.version = 2),
            hash(|row| row.time = 6),
            hash(|row| row.event = "b".into()),
            hash(|row| row.person = "q".into()),
            // What moves from one field to the next.
            hash(|row| (row.event, row.person) = ("ap".into(), String::new())),
        ] {
            assert_ne!(other, row.hash);
        }
    }
}
