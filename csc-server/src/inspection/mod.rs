//! Whether the service is what its log says: the log intact, and every row of the tables as the log tells it. Both are read at
//! one instant, in one pass each, and the log is the truth: what a table says otherwise was written by somebody else.
//!
//! Refusals at use come first: a record under a MAC that was changed opens nothing. This finds what no use can: counters set back, rows
//! taken out or put in, and a row put back as it once was, with the MAC it had then.
//!
//! | file | holds |
//! | --- | --- |
//! | `told`, `staff` | what each event tells of rows; those of operators |
//! | `tables` | the tables that are held against it |
//! | `scratch` | both, sorted by row |
//! | `judge` | whether one row is what the log makes it |
//! | `inspector` | an inspection a night, and the alarm |

mod inspector;
mod judge;
mod scratch;
mod staff;
mod tables;
mod told;

use std::ops::ControlFlow;

pub use inspector::Inspector;
pub use judge::Disagreement;
pub use scratch::Place;
pub use tables::TABLES;

use crate::{
    audit::{
        self, Event, Item, Keys,
        verify::{Anchor, Finding, Kind, Verdict, Verifier},
    },
    clock::{Clock, Millis},
    store::{self, Store, StoreError},
};
use scratch::{Actual, Scratch};

/// How many disagreements are told one by one.
const MANY: usize = 100;

/// What an inspection found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the log is, or the first thing that is wrong with it; the tables are not judged by a log that is not intact.
    pub log: Result<Verdict, Finding>,
    /// Rows of tables that were held against the log.
    pub rows: u64,
    /// Rows that are not what the log says, the first of them.
    pub disagreements: Vec<Disagreement>,
    /// How many rows that are.
    pub disagreeing: u64,
}

impl Report {
    /// The first thing that is wrong, in words.
    pub fn finding(&self) -> Option<String> {
        let log = self.log.as_ref().err().map(ToString::to_string);
        log.or_else(|| self.disagreements.first().map(ToString::to_string))
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.log.is_ok() && self.disagreeing == 0
    }
}

/// Inspects log and tables, and records how that ended: an operator's doubt is an event too. What is wrong is an alarm on every node (SC-84).
/// `go_on` is asked at each row; `None` when it said no.
///
/// # Errors
/// When the database fails.
pub async fn inspect(
    store: &Store,
    clock: &Clock,
    key: Keys,
    anchor: Option<Anchor>,
    go_on: impl Fn() -> bool,
) -> Result<Option<Report>, StoreError> {
    let Some(report) = examine(store, clock.now(), key, anchor, go_on).await? else {
        return Ok(None);
    };
    let verdict = report.log.clone().unwrap_or_default();
    let event = Event::LogVerified {
        intact: report.log.is_ok(),
        rows: verdict.rows,
        checkpoint: verdict.proven.map_or(0, |(anchor, _)| anchor.number),
        finding: report.log.as_ref().err().map(ToString::to_string),
        state_rows: report.rows,
        disagreeing: report.disagreeing,
        disagreement: report.disagreements.first().map(ToString::to_string),
    };
    audit::note(store, clock.now(), "", event).await?;
    if let Some(finding) = report.finding() {
        let alarm = Event::LogAlarm { finding };
        audit::note(store, clock.now(), "", alarm).await?;
    }
    Ok(Some(report))
}

/// Why a walk through the log ended early.
enum End {
    Found(Finding),
    Failed(StoreError),
    Told,
}

/// Inspects log and tables as they are at the time `now`; `None` when `go_on` said no.
///
/// # Errors
/// When the database fails.
pub async fn examine(
    store: &Store,
    now: Millis,
    key: Keys,
    anchor: Option<Anchor>,
    go_on: impl Fn() -> bool,
) -> Result<Option<Report>, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let mut scratch = Scratch::new()?;
    let mut verifier = Verifier::new(key, anchor);
    let stopped = audit::walk(&mut snapshot, |item| {
        if let Err(finding) = verifier.take(&item) {
            return ControlFlow::Break(End::Found(finding));
        }
        let Item::Row(row) = &item else {
            return ControlFlow::Continue(());
        };
        if !go_on() {
            return ControlFlow::Break(End::Told);
        }
        let Some(changes) = told::changes(&row.event, row.time) else {
            let why = "its event cannot be read";
            let finding = Finding::row(&row.chain, row.sequence, Kind::Changed, why);
            return ControlFlow::Break(End::Found(finding));
        };
        for change in &changes {
            if let Err(error) = scratch.tell(row, change) {
                return ControlFlow::Break(End::Failed(error));
            }
        }
        ControlFlow::Continue(())
    });
    let log = match stopped.await? {
        Some(End::Found(finding)) => Err(finding),
        Some(End::Failed(error)) => return Err(error),
        Some(End::Told) => return Ok(None),
        None => verifier.finish(),
    };
    let mut report = Report {
        log,
        rows: 0,
        disagreements: Vec::new(),
        disagreeing: 0,
    };
    if report.log.is_err() {
        return Ok(Some(report));
    }
    for (number, table) in TABLES.iter().enumerate() {
        if !go_on() {
            return Ok(None);
        }
        let each = |row: store::Row| {
            let (key, told, record) = table.read(&row);
            let told = told.iter().map(audit::text).collect();
            report.rows += 1;
            scratch.show(number, &key, &Actual { told, record })
        };
        snapshot.each(table.all, each).await?;
    }
    drop(snapshot);
    scratch.each(|subject| {
        if let Some(disagreement) = judge::judge(&subject, now) {
            report.disagreeing += 1;
            if report.disagreements.len() < MANY {
                report.disagreements.push(disagreement);
            }
        }
    })?;
    Ok(Some(report))
}
