//! What a run found: in the terminal, as JUnit, and as one HTML page.

mod html;
mod junit;
mod terminal;

use std::time::Duration;

use x509_parser::prelude::ASN1Time;

use super::{
    check::{Check, Level},
    clock,
    run::{Outcome, Ran},
    session::Session,
};

pub use html::page;
pub use junit::junit;
pub use terminal::Terminal;

/// One check as a report shows it: no secret in it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The check's identifier.
    pub id: String,
    /// What was checked.
    pub title: String,
    /// Where the specification says so.
    pub clause: String,
    /// The method.
    pub section: &'static str,
    /// `v1`, `v2`, or `oauth2`.
    pub version: &'static str,
    /// How binding the rule is.
    pub level: Level,
    /// How it ended.
    pub outcome: Outcome,
    /// What was sent and what came back.
    pub exchanges: Vec<(String, String)>,
    /// How long it took.
    pub took: Duration,
}

/// The time, UTC.
pub fn now() -> String {
    let now = i64::try_from(clock::now()).unwrap_or_default();
    let now = ASN1Time::from_timestamp(now).map(|now| now.to_datetime());
    now.map_or_else(|_| String::new(), |now| now.to_string())
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Everything.
    pub all: usize,
    /// As the clause says.
    pub passed: usize,
    /// Against what the clause demands.
    pub failures: usize,
    /// Against what the clause recommends.
    pub warnings: usize,
    /// Other than we do where the specification is silent.
    pub notes: usize,
    /// Not applicable.
    pub skipped: usize,
}

impl Entry {
    /// A check that was run, secrets masked.
    pub fn new(session: &Session, check: &Check, ran: &Ran) -> Self {
        let exchanges = ran.record.exchanges.iter();
        let exchanges = exchanges
            .filter(|exchange| !exchange.shared)
            .map(|exchange| {
                let sent = session.show_request(&exchange.request);
                (sent, session.show_answer(&exchange.answer))
            });
        let outcome = match &ran.outcome {
            Outcome::Found(level, text) => Outcome::Found(*level, session.hide(text)),
            other => other.clone(),
        };
        Self {
            id: check.id.clone(),
            title: check.title.clone(),
            clause: check.clause.clone(),
            section: check.section,
            version: check.version.map_or("oauth2", |version| version.name()),
            level: check.level,
            outcome,
            exchanges: exchanges.collect(),
            took: ran.took,
        }
    }

    /// One word: how it ended.
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Passed => "passed",
            Outcome::Found(Level::Must, _) => "failed",
            Outcome::Found(Level::Should, _) => "warning",
            Outcome::Found(Level::Silent, _) => "note",
            Outcome::Skipped(_) => "skipped",
        }
    }

    /// Why it failed or was skipped.
    pub fn why(&self) -> &str {
        match &self.outcome {
            Outcome::Passed => "",
            Outcome::Found(_, why) | Outcome::Skipped(why) => why,
        }
    }
}

impl Counts {
    /// Counts the entries.
    pub fn of(entries: &[Entry]) -> Self {
        let mut counts = Self {
            all: entries.len(),
            ..Self::default()
        };
        for entry in entries {
            *match &entry.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Found(Level::Must, _) => &mut counts.failures,
                Outcome::Found(Level::Should, _) => &mut counts.warnings,
                Outcome::Found(Level::Silent, _) => &mut counts.notes,
                Outcome::Skipped(_) => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        format!(
            "{} checks: {} passed, {} failed, {} warnings, {} notes, {} skipped",
            self.all, self.passed, self.failures, self.warnings, self.notes, self.skipped
        )
    }
}
