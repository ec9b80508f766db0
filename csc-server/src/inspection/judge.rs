//! Whether one row is what the log makes it.

use std::{collections::BTreeMap, fmt};

use super::{
    TABLES,
    scratch::{Place, Subject, Told},
    told::Deed,
};
use crate::clock::Millis;

/// A row of a table that is not what the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The table.
    pub table: &'static str,
    /// The key of the row; columns of a longer key with slashes between them.
    pub row: String,
    /// In words.
    pub why: String,
    /// The event that says otherwise, where there is one.
    pub place: Option<Place>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.row, self.why)?;
        match &self.place {
            Some(Place { chain, sequence }) => write!(f, " (chain {chain}, row {sequence})"),
            None => Ok(()),
        }
    }
}

/// What the log makes of a row, each part with the event that made it so.
#[derive(Default)]
struct Expected<'a> {
    version: i64,
    there: Option<(bool, &'a Place)>,
    until: Option<Millis>,
    record: Option<(&'a str, &'a Place)>,
    columns: BTreeMap<&'a str, (String, &'a Place)>,
}

/// What is wrong with a row, if anything is; `now` says which rows may be gone.
pub(super) fn judge(subject: &Subject, now: Millis) -> Option<Disagreement> {
    let mut expected = Expected::default();
    let wrong = subject
        .changes
        .iter()
        .find_map(|told| expected.follow(told).err());
    let (why, place) = wrong.or_else(|| expected.compare(subject, now))?;
    Some(Disagreement {
        table: TABLES.get(subject.table).map_or("", |table| table.name),
        row: subject.key.clone(),
        why,
        place: place.cloned(),
    })
}

type Wrong<'a> = (String, Option<&'a Place>);

impl<'a> Expected<'a> {
    fn follow(&mut self, told: &'a Told) -> Result<(), Wrong<'a>> {
        let place = &told.place;
        // Several events of one unit tell of one version.
        if told.version > self.version + 1 {
            let why = format!("no event tells of its version {}", self.version + 1);
            return Err((why, Some(place)));
        }
        self.version = told.version;
        told.deeds
            .iter()
            .try_for_each(|deed| self.deed(deed, place))
    }

    fn deed(&mut self, deed: &'a Deed, place: &'a Place) -> Result<(), Wrong<'a>> {
        match deed {
            Deed::Made => self.there = Some((true, place)),
            Deed::Gone => self.there = Some((false, place)),
            Deed::Until(time) => self.until = Some(*time),
            Deed::Record(record) => self.record = Some((record, place)),
            Deed::Set(column, value) => {
                self.columns.insert(column, (value.clone(), place));
            }
            Deed::Add(column, more) => {
                let sum = self.number(column) + more;
                self.columns.insert(column, (sum.to_string(), place));
            }
            Deed::Raise(column, value) => {
                let before = self.number(column);
                if before > *value {
                    let why = format!("{column} was {before}, and then {value} was taken");
                    return Err((why, Some(place)));
                }
                self.columns.insert(column, (value.to_string(), place));
            }
            Deed::Stands(column, value) => {
                let right = self.number(column);
                if right != *value {
                    let why = format!("{column} was found to be {value}, and was {right}");
                    return Err((why, Some(place)));
                }
            }
        }
        Ok(())
    }

    fn number(&self, column: &str) -> i64 {
        let told = self.columns.get(column);
        told.and_then(|(value, _)| value.parse().ok())
            .unwrap_or_default()
    }

    fn compare(&self, subject: &Subject, now: Millis) -> Option<Wrong<'a>> {
        let table = TABLES.get(subject.table)?;
        let (actual, there) = match (&subject.actual, self.there) {
            (None, Some((true, _))) if self.until.is_some_and(|until| until <= now) => return None,
            (None, Some((true, place))) => return Some(("it is not there".into(), Some(place))),
            (None, Some((false, _))) => return None,
            (None, None) => return Some(("no event tells how it was made".into(), None)),
            (Some(_), None) => return Some(("no event tells how it was made".into(), None)),
            (Some(_), Some((false, place))) => {
                return Some(("it was taken out and is there".into(), Some(place)));
            }
            (Some(actual), Some((true, place))) => (actual, place),
        };
        for (column, value) in table.told.iter().zip(&actual.told) {
            let (right, place) = match (*column, self.columns.get(column)) {
                ("version", _) => (self.version.to_string(), there),
                (_, Some((right, place))) => (right.clone(), *place),
                (_, None) => (String::new(), there),
            };
            if *value != right {
                let of = |value: &str| match value {
                    "" => "nothing".to_owned(),
                    value => value.to_owned(),
                };
                let why = format!("{column} is {}, not {}", of(value), of(&right));
                return Some((why, Some(place)));
            }
        }
        match self.record {
            Some((record, place)) if record != actual.record => {
                Some(("it is not what was recorded".into(), Some(place)))
            }
            _ => None,
        }
    }
}
