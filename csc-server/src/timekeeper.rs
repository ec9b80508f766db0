//! Whether the time can be trusted (SC-87): the machine's clock is compared with time sources, and with the monotonic clock, which nobody sets. While
//! it cannot, nothing is approved or signed, and the node is not ready.

use std::{
    mem::discriminant,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rsntp::AsyncSntpClient;
use tokio::sync::watch;

use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    config,
    store::{Store, StoreError},
};

/// How often the clock is compared with the monotonic one.
const LOOK: Duration = Duration::from_secs(1);
/// How long a source may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a comparison is good for (ETSI EN 319 401, REQ-7.10: at least once a day).
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why the time cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A source says another time.
    #[error("the clock is {0} ms off")]
    Off(Millis),
    /// It was set back.
    #[error("the clock went back by {0} ms")]
    WentBack(Millis),
    /// No source has answered, at all or for a day.
    #[error("the clock was compared with no time source today")]
    Unknown,
}

/// Whether the time can be trusted now; clones share it.
#[derive(Clone, Default)]
pub struct TimeTrust(Arc<Mutex<Option<Distrust>>>);

impl TimeTrust {
    /// Whether it can.
    ///
    /// # Errors
    /// [`Distrust`] says why not.
    pub fn check(&self) -> Result<(), Distrust> {
        self.lock().clone().map_or(Ok(()), Err)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Distrust>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source's answer.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Who answered.
    pub source: String,
    /// How far the clock is behind, in milliseconds; negative when it is ahead.
    pub offset: Millis,
}

/// Compares the clock, for as long as the service runs.
pub struct Timekeeper {
    store: Store,
    clock: Clock,
    config: config::Clock,
    trust: TimeTrust,
    /// The latest time seen, or what a source confirmed.
    latest: Millis,
    /// The last answer of a source, and how long it is ago.
    compared: Option<(Compared, Duration)>,
    /// How long ago the log last had a comparison.
    recorded: Option<Duration>,
}

impl Timekeeper {
    /// Over a clock that is not known yet: with sources it is not trusted before the first answer.
    pub fn new(store: Store, clock: Clock, config: config::Clock) -> Self {
        let trust = TimeTrust::default();
        if !config.sources.is_empty() {
            *trust.lock() = Some(Distrust::Unknown);
        }
        Self {
            latest: clock.now(),
            store,
            clock,
            config,
            trust,
            compared: None,
            recorded: None,
        }
    }

    /// What it finds.
    pub fn trust(&self) -> TimeTrust {
        self.trust.clone()
    }

    /// Compares until `stop` becomes true. The first comparison is made before this is run: [`Self::compare`].
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut asked = Instant::now();
        let mut looked = Instant::now();
        loop {
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(LOOK.min(self.config.every), stopped)
                .await
                .is_ok()
            {
                return;
            }
            let due = asked.elapsed() >= self.config.every || self.trust.check().is_err();
            let answer = if due { ask(&self.config).await } else { None };
            if due {
                asked = Instant::now();
            }
            let elapsed = looked.elapsed();
            looked = Instant::now();
            if let Err(error) = self.look(elapsed, answer).await {
                tracing::error!(%error, "the state of the clock cannot be recorded");
            }
        }
    }

    /// Asks the sources now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn compare(&mut self) -> Result<(), StoreError> {
        let answer = ask(&self.config).await;
        self.look(Duration::ZERO, answer).await
    }

    /// Judges the clock `elapsed` after the last look, with the answer of a source if there is one, and records what changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(
        &mut self,
        elapsed: Duration,
        answer: Option<Compared>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        for age in self
            .compared
            .iter_mut()
            .map(|(_, age)| age)
            .chain(&mut self.recorded)
        {
            *age = age.saturating_add(elapsed);
        }
        match answer {
            Some(answer) => {
                if millis(self.config.stop) >= answer.offset.abs() {
                    self.latest = now;
                }
                self.compared = Some((answer, Duration::ZERO));
            }
            None => self.latest = self.latest.saturating_add(millis(elapsed)).max(now),
        }
        let found = self.judge(now);
        let before = std::mem::replace(&mut *self.trust.lock(), found.clone());
        match found {
            // By how much may change from look to look.
            Some(distrust)
                if before.as_ref().map(discriminant) != Some(discriminant(&distrust)) =>
            {
                self.alarm(now, &distrust).await
            }
            Some(_) => Ok(()),
            None => self.confirm(now, before.is_some()).await,
        }
    }

    fn judge(&self, now: Millis) -> Option<Distrust> {
        let stop = millis(self.config.stop);
        let back = self.latest - now;
        match &self.compared {
            Some((answer, _)) if answer.offset.abs() > stop => Some(Distrust::Off(answer.offset)),
            _ if back > stop => Some(Distrust::WentBack(back)),
            Some((_, age)) if *age >= DAY => Some(Distrust::Unknown),
            None if !self.config.sources.is_empty() => Some(Distrust::Unknown),
            _ => None,
        }
    }

    async fn alarm(&self, now: Millis, distrust: &Distrust) -> Result<(), StoreError> {
        tracing::error!(reason = %distrust, "nothing is signed: the clock cannot be trusted");
        let event = Event::ClockAlarm {
            reason: distrust.to_string(),
        };
        audit::note(&self.store, now, "", event).await
    }

    /// The log has a comparison each day, and one when trust returns.
    async fn confirm(&mut self, now: Millis, returned: bool) -> Result<(), StoreError> {
        let Some((Compared { source, offset }, _)) = &self.compared else {
            return Ok(());
        };
        if offset.abs() > millis(self.config.warn) {
            tracing::warn!(source, offset, "the clock is off");
        }
        if !returned && self.recorded.is_some_and(|age| age < DAY) {
            return Ok(());
        }
        self.recorded = Some(Duration::ZERO);
        let event = Event::ClockSync {
            source: source.clone(),
            offset: *offset,
        };
        audit::note(&self.store, now, "", event).await
    }
}

/// The first source that answers.
pub async fn ask(config: &config::Clock) -> Option<Compared> {
    let client = AsyncSntpClient::with_config(rsntp::Config::default().timeout(ANSWER));
    for source in &config.sources {
        let address = if source.contains(':') {
            source.clone()
        } else {
            format!("{source}:123")
        };
        match client.synchronize(address).await {
            Ok(answer) => {
                let offset = answer.clock_offset().as_secs_f64();
                metrics::gauge!("csc_clock_offset_seconds").set(offset);
                return Some(Compared {
                    source: source.clone(),
                    offset: (offset * 1000.0) as Millis,
                });
            }
            Err(error) => tracing::warn!(source, %error, "a time source does not answer"),
        }
    }
    None
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 2)
}
