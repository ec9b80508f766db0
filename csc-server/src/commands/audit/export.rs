//! `csc-server audit export`

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Args;
use time::{
    Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

use crate::{
    audit::{self, Event, export},
    clock::Millis,
    commands::{caller::Caller, context::Context, terminal::progress},
    credential::Credential,
    holder,
    ids::CredentialId,
};

#[derive(Debug, Args)]
pub(in crate::commands) struct Export {
    /// Rows from this time on, such as 2026-11-21 or 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Millis>,
    /// Rows before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Millis>,
    /// Rows about this person.
    #[arg(long, value_name = "USER")]
    holder: Option<String>,
    /// Rows about this credential.
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// The file to write, which must not exist yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let context = caller.act().await?;
        let filter = self.filter(&context).await?;
        // Who reads is recorded before anything is shown (SC-85).
        let event = Event::LogExported {
            from: filter.from,
            to: filter.to,
            person: filter.person.clone(),
            credential: filter.credential.clone(),
        };
        let person = filter.person.as_deref().unwrap_or_default();
        audit::note(&context.store, context.clock.now(), person, event).await?;

        match &self.output {
            None => write(&context, &filter, &mut io::stdout().lock()).await,
            Some(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                let file = options.open(path);
                let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
                let written = write(&context, &filter, &mut file).await;
                if written.is_err() {
                    // Half an export would pass for a whole one.
                    fs::remove_file(path)?;
                }
                written.and_then(|()| Ok(file.sync_all()?))
            }
        }
    }

    async fn filter(&self, context: &Context) -> Result<export::Filter> {
        let mut person = None;
        if let Some(user) = &self.holder {
            let pseudonym = holder::pseudonym(&context.store, user).await?;
            person = Some(pseudonym.with_context(|| format!("there is no holder '{user}'"))?);
        }
        if let Some(id) = &self.credential {
            let found = Credential::by_id(&context.store, &CredentialId::new(id)).await?;
            found.with_context(|| format!("there is no credential '{id}'"))?;
        }
        Ok(export::Filter {
            from: self.from,
            to: self.to,
            person,
            credential: self.credential.clone(),
        })
    }
}

async fn write(context: &Context, filter: &export::Filter, output: &mut impl Write) -> Result<()> {
    let bar = progress(audit::count(&context.store).await?, "Exporting");
    let mut output = BufWriter::new(output);
    export::write(&context.store, filter, &mut output, || bar.inc(1)).await?;
    bar.finish_and_clear();
    Ok(())
}

/// A day, from its beginning in UTC, or a moment (RFC 3339).
fn moment(text: &str) -> Result<Millis, String> {
    const DAY: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]");
    let day = Date::parse(text, DAY).map(|day| day.midnight().assume_utc());
    let moment = day.or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    moment
        .ok()
        .and_then(|moment| Millis::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| "expected 2026-11-21 or 2026-11-21T14:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_or_a_moment() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T01:00:00.5+01:00"), Ok(500));
        assert!(moment("yesterday").is_err());
    }
}
