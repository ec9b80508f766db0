//! What events tell and what tables say, put together row by row: everything is written to a scratch file as it comes and read back
//! sorted, so that memory does not grow with the log.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::told::{Change, Deed};
use crate::{audit, clock::Millis, store::StoreError};

/// Where an event stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its chain.
    pub chain: String,
    /// Its place there.
    pub sequence: i64,
}

/// A row of a table as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Actual {
    pub(super) told: Vec<String>,
    pub(super) record: String,
}

/// What there is about one row.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) table: usize,
    pub(super) key: String,
    pub(super) actual: Option<Actual>,
    /// In their order.
    pub(super) changes: Vec<Told>,
}

/// One change of it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) version: i64,
    pub(super) deeds: Vec<Deed>,
    pub(super) place: Place,
}

/// The scratch file. SQLite makes it under a name nobody knows, spills to it what does not fit in its cache, and takes it away.
pub(super) struct Scratch {
    connection: Connection,
    /// Chains by number, and the number of the one that was seen last.
    chains: Vec<String>,
}

/// The number of the chain of what a table says.
const TABLE: i64 = -1;

impl Scratch {
    pub(super) fn new() -> Result<Self, StoreError> {
        let connection = Connection::open("").map_err(failure)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; PRAGMA temp_store = FILE;
                 CREATE TABLE told (subject TEXT, version INTEGER, later INTEGER, time INTEGER, chain INTEGER, sequence INTEGER, what TEXT);
                 BEGIN",
            )
            .map_err(failure)?;
        Ok(Self {
            connection,
            chains: Vec::new(),
        })
    }

    /// Adds a change that an event tells of.
    pub(super) fn tell(&mut self, row: &audit::Row, change: &Change) -> Result<(), StoreError> {
        let chain = match self.chains.iter().rposition(|chain| *chain == row.chain) {
            Some(number) => number,
            None => {
                self.chains.push(row.chain.clone());
                self.chains.len() - 1
            }
        };
        // Of changes without a version, how the row was made comes first, whatever the clocks of two nodes say.
        let later = !change.deeds.contains(&Deed::Made);
        let subject = subject(change.of as usize, &change.key);
        let deeds = serde_json::to_string(&change.deeds).unwrap_or_default();
        self.insert((
            subject.as_str(),
            change.version,
            later,
            row.time,
            i64::try_from(chain).unwrap_or(i64::MAX),
            row.sequence,
            deeds.as_str(),
        ))
    }

    /// Adds a row of a table.
    pub(super) fn show(
        &mut self,
        table: usize,
        key: &str,
        actual: &Actual,
    ) -> Result<(), StoreError> {
        let actual = serde_json::to_string(actual).unwrap_or_default();
        let subject = subject(table, key);
        self.insert((subject.as_str(), TABLE, false, 0, TABLE, 0, actual.as_str()))
    }

    fn insert(&mut self, row: (&str, i64, bool, Millis, i64, i64, &str)) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("INSERT INTO told VALUES (?, ?, ?, ?, ?, ?, ?)")
            .and_then(|mut statement| statement.execute(row))
            .map(drop)
            .map_err(failure)
    }

    /// Everything, row by row of the tables.
    pub(super) fn each(self, mut judge: impl FnMut(Subject)) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare(
                "SELECT subject, version, chain, sequence, what FROM told
                 ORDER BY subject, version, later, time, chain, sequence",
            )
            .map_err(failure)?;
        let mut rows = statement.query([]).map_err(failure)?;
        let mut name = String::new();
        let mut subject: Option<Subject> = None;
        while let Some(row) = rows.next().map_err(failure)? {
            let next: String = row.get(0).map_err(failure)?;
            if next != name || subject.is_none() {
                if let Some(whole) = subject.take() {
                    judge(whole);
                }
                subject = Some(parse(&next));
                name = next;
            }
            let (version, chain): (i64, i64) =
                (row.get(1).map_err(failure)?, row.get(2).map_err(failure)?);
            let (sequence, what): (i64, String) =
                (row.get(3).map_err(failure)?, row.get(4).map_err(failure)?);
            let Some(subject) = &mut subject else {
                continue;
            };
            if chain == TABLE {
                subject.actual = serde_json::from_str(&what).ok();
                continue;
            }
            let chain = usize::try_from(chain).ok();
            let chain = chain.and_then(|chain| self.chains.get(chain));
            subject.changes.push(Told {
                version,
                deeds: serde_json::from_str(&what).unwrap_or_default(),
                place: Place {
                    chain: chain.cloned().unwrap_or_default(),
                    sequence,
                },
            });
        }
        if let Some(whole) = subject {
            judge(whole);
        }
        Ok(())
    }
}

/// Table and key in one text that sorts.
fn subject(table: usize, key: &str) -> String {
    format!("{table:02} {key}")
}

fn parse(subject: &str) -> Subject {
    let (table, key) = subject.split_once(' ').unwrap_or_default();
    Subject {
        table: table.parse().unwrap_or_default(),
        key: key.to_owned(),
        ..Subject::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failure(error: rusqlite::Error) -> StoreError {
    StoreError::Database(format!("the scratch file: {error}"))
}
