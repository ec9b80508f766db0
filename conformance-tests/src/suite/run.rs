//! Runs checks one after the other.

use std::time::{Duration, Instant};

use super::{
    check::{Check, Level, Stop, Version},
    clock,
    codes::Codes,
    context::{Context, Record},
    session::Session,
    settings::Settings,
    wire::{Answer, Carried, Https, Request, World},
};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server does what the clause says.
    Passed,
    /// It does not, and the clause demands, recommends or is silent.
    Found(Level, String),
    /// The check does not apply, and why.
    Skipped(String),
}

/// A check that was run.
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// What went over the wire.
    pub record: Record,
    /// How long it took.
    pub took: Duration,
}

/// The server itself, over HTTPS, with the person's codes.
pub struct Real {
    https: Https,
    codes: Option<Codes>,
}

impl Real {
    /// Ready to speak to the server of the settings.
    ///
    /// # Errors
    /// Trust anchors that cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            https: Https::new(settings.trust()?)?,
            codes: settings.otp.clone().map(Codes::new),
        })
    }
}

impl World for Real {
    fn send<'w>(&'w self, request: &'w Request) -> Carried<'w, Answer> {
        Box::pin(self.https.send(request))
    }

    fn expect_code(&self) {
        if let Some(codes) = &self.codes {
            codes.expect();
        }
    }

    fn code(&self) -> Carried<'_, String> {
        Box::pin(async {
            let codes = self.codes.as_ref();
            codes.ok_or("the settings have no [otp]")?.next().await
        })
    }

    fn wait(&self, seconds: u64) -> Carried<'_, ()> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        })
    }
}

impl Session {
    /// Finds out what the server says of itself, logs in and looks at the credential.
    ///
    /// # Errors
    /// No version can be used at all: for each, why.
    pub async fn prepare(&self, world: &dyn World) -> Result<(), String> {
        for version in self.settings.versions() {
            let context = Context::new(self, world, clock::now(), seed()?);
            context.prepare(version).await;
        }
        let trouble = |version: Version| self.facts(version).trouble;
        let troubles: Vec<_> = self.settings.versions().map(trouble).collect();
        match troubles.iter().all(Option::is_some) {
            true => Err(troubles
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; ")),
            false => Ok(()),
        }
    }

    /// Runs a check, or says why it does not apply.
    pub async fn run(&self, check: &Check, world: &dyn World) -> Ran {
        if let Some(reason) = self.unmet(check) {
            return Ran {
                outcome: Outcome::Skipped(reason),
                record: Record::default(),
                took: Duration::ZERO,
            };
        }
        let seed = match seed() {
            Ok(seed) => seed,
            Err(reason) => {
                return Ran {
                    outcome: Outcome::Skipped(reason),
                    record: Record::default(),
                    took: Duration::ZERO,
                };
            }
        };
        let ran = self.run_at(check, world, clock::now(), seed).await;
        if matches!(ran.outcome, Outcome::Found(..)) {
            self.doubt(check.version);
        }
        ran
    }

    /// Runs a check at this time and with this chance: a recorded check does the same again.
    pub async fn run_at(&self, check: &Check, world: &dyn World, at: u64, seed: [u8; 32]) -> Ran {
        let context = Context::new(self, world, at, seed);
        let began = Instant::now();
        let verdict = (check.run)(&context).await;
        let outcome = match verdict {
            Ok(()) => Outcome::Passed,
            Err(Stop::Finding(level, text)) => Outcome::Found(level.min(check.level), text),
            Err(Stop::Skip(reason)) => Outcome::Skipped(reason),
        };
        Ran {
            outcome,
            record: context.into_record(),
            took: began.elapsed(),
        }
    }
}

fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    let filled = getrandom::fill(&mut seed);
    filled.map_err(|error| format!("no random numbers: {error}"))?;
    Ok(seed)
}
