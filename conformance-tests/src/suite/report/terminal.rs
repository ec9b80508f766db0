//! The terminal: a line a finding, as it is found, a bar where somebody looks, a summary.

use std::{collections::BTreeMap, io::Write};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    super::{check::Level, run::Outcome},
    Counts, Entry,
};

/// The terminal of a run.
pub struct Terminal {
    bar: ProgressBar,
}

impl Terminal {
    /// A bar over so many checks; none where standard error is no terminal.
    pub fn new(checks: usize) -> Self {
        let bar = ProgressBar::new(checks as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// A check begins.
    pub fn begins(&self, id: &str) {
        self.bar.set_message(id.to_owned());
    }

    /// A check ended: findings get a line.
    pub fn ended(&self, entry: &Entry) {
        self.bar.inc(1);
        if matches!(entry.outcome, Outcome::Found(..)) {
            let line = format!(
                "{} {} ({}): {}",
                label(entry),
                entry.id,
                entry.clause,
                entry.why()
            );
            self.bar.suspend(|| say(&line));
        }
    }

    /// The summary: what was skipped and why, and the counts.
    pub fn summary(&self, entries: &[Entry]) {
        self.bar.finish_and_clear();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries {
            if let Outcome::Skipped(why) = &entry.outcome {
                *reasons.entry(why).or_default() += 1;
            }
        }
        for (why, count) in reasons {
            say(&format!("{} {count} checks: {why}", style("skipped").dim()));
        }
        let counts = Counts::of(entries);
        let sentence = counts.sentence();
        let sentence = match counts.failures {
            0 => style(sentence).green().bold(),
            _ => style(sentence).red().bold(),
        };
        say(&sentence.to_string());
    }
}

fn label(entry: &Entry) -> String {
    let word = style(entry.word());
    match entry.outcome {
        Outcome::Found(Level::Must, _) => word.red().bold(),
        Outcome::Found(Level::Should, _) => word.yellow(),
        _ => word.cyan(),
    }
    .to_string()
}

/// A line of the report; a reader who went away is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
