//! `csc-server audit verify`

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    audit::{
        self, Keys,
        export::{self, Shown},
        verify::{Anchor, Finding, Verdict},
    },
    clock::rfc3339,
    commands::{
        caller::Caller,
        terminal::{complain_of, progress, progress_octets, say},
    },
    inspection::{Report, inspect},
};

#[derive(Debug, Args)]
pub(in crate::commands) struct Verify {
    /// Verify this export instead of the database; needs --key.
    #[arg(long, value_name = "FILE", requires = "key")]
    export: Option<PathBuf>,
    /// The public keys, as `audit key` prints them; what succeeded them in the log is trusted too [default: ask the HSM]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A checkpoint that must be there, as an earlier verification or the service's log names it.
    #[arg(long, value_name = "NUMBER:HASH")]
    anchor: Option<Anchor>,
}

impl Verify {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let key = match &self.key {
            Some(path) => Some(read_keys(path)?),
            None => None,
        };
        let (log, report) = match (&self.export, key) {
            (Some(export), Some(key)) => (from_file(export, key, self.anchor)?, None),
            (_, key) => {
                let report = from_database(caller, key, self.anchor).await?;
                (report.log.clone().map(Shown::Whole), Some(report))
            }
        };
        match log {
            Ok(shown) => say(&in_words(&shown)),
            Err(finding) => bail!("the audit log is not intact: {finding}"),
        }
        report.map_or(Ok(()), |report| state(&report))
    }
}

fn read_keys(path: &Path) -> Result<Keys> {
    let pem = fs::read_to_string(path);
    let pem = pem.with_context(|| format!("cannot read {}", path.display()))?;
    Keys::from_pem(&pem).with_context(|| format!("{} is no public key in PEM", path.display()))
}

fn from_file(path: &Path, keys: Keys, anchor: Option<Anchor>) -> Result<Result<Shown, Finding>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let bar = progress_octets(file.metadata()?.len(), "Verifying");
    let ended = export::verify(BufReader::new(file), keys, anchor, |octets| bar.inc(octets));
    bar.finish_and_clear();
    ended.with_context(|| format!("cannot read {}", path.display()))
}

async fn from_database(
    caller: &Caller,
    key: Option<Keys>,
    anchor: Option<Anchor>,
) -> Result<Report> {
    let context = caller.act().await?;
    let key = match key {
        Some(key) => key,
        None => Keys::of(&context.issuer()?).await?,
    };
    let bar = progress(audit::count(&context.store).await?, "Verifying");
    let go_on = || {
        bar.inc(1);
        true
    };
    let report = inspect(&context.store, &context.clock, key, anchor, go_on).await?;
    bar.finish_and_clear();
    report.context("nobody told the inspection to stop")
}

fn state(report: &Report) -> Result<()> {
    if report.disagreeing == 0 {
        say(&format!(
            "the tables agree with it: {} rows, each as the log tells",
            report.rows
        ));
        return Ok(());
    }
    for disagreement in &report.disagreements {
        complain_of(&disagreement.to_string());
    }
    bail!(
        "the tables do not agree with the audit log: {} of {} rows were changed by somebody else",
        report.disagreeing,
        report.rows
    )
}

fn in_words(shown: &Shown) -> String {
    let verdict = match shown {
        Shown::Whole(verdict) => verdict,
        Shown::Rows { proven, unproven } => {
            return format!(
                "intact: each of {proven} rows is proven; {unproven} have no checkpoint yet. A filtered export cannot show that no \
                 row is missing."
            );
        }
    };
    let proven = match &verdict.proven {
        Some((anchor, time)) => format!("proven up to {}, checkpoint {anchor}", rfc3339(*time)),
        None => "nothing is proven yet: there is no checkpoint".to_owned(),
    };
    let since = match verdict.unsealed_since {
        Some(time) => format!(
            "{} rows since {} are not proven yet",
            verdict.unsealed,
            rfc3339(time)
        ),
        None => "no rows since".to_owned(),
    };
    let Verdict { rows, chains, .. } = verdict;
    format!("intact: {rows} rows in {chains} chains; {proven}; {since}")
}
