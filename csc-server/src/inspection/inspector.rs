//! Holds the log against the tables each night, in the background, one node at a time (SC-84). What is wrong is recorded, and an alarm on every
//! node; it stops nobody: who may write a table could otherwise stop the service by it.

use std::time::Duration;

use hsm_adapter::{HsmError, Issuer};
use tokio::{runtime::Handle, sync::watch};

use super::{Report, inspect};
use crate::{
    audit::{Keys, verify::Anchor},
    clock::{Clock, Millis},
    store::{Store, StoreError},
    turn,
};

const TURN: &str = "inspection";
/// How often a node looks whether it is due.
const LOOK: Duration = Duration::from_secs(60);
/// How long an inspection may take before another node begins one.
const LEASE: Millis = 6 * HOUR;
/// Every night means at two o'clock, UTC.
const NIGHT: Millis = 2 * HOUR;
const HOUR: Millis = 3_600_000;

/// Why there was no inspection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// Inspects when it is due.
#[derive(Clone)]
pub struct Inspector {
    store: Store,
    clock: Clock,
    issuer: Issuer,
    every: Millis,
    /// What the last inspection of this node has seen: the next must find it.
    anchor: Option<Anchor>,
}

impl Inspector {
    /// With the audit keys of the issuer slot, at each multiple of `every` after two o'clock.
    pub fn new(store: Store, clock: Clock, issuer: Issuer, every: Duration) -> Self {
        Self {
            store,
            clock,
            issuer,
            every: i64::try_from(every.as_millis()).unwrap_or(24 * HOUR).max(1),
            anchor: None,
        }
    }

    /// Inspects until `stop` becomes true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let look = LOOK.min(Duration::from_millis(self.every.unsigned_abs()));
        loop {
            if let Err(error) = self.turn(&stop).await {
                metrics::counter!("csc_inspection_failures_total").increment(1);
                tracing::error!(%error, "audit log and tables cannot be inspected");
            }
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(look, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Inspects if it is due and no other node is at it; `None` when it is not, or `stop` became true meanwhile.
    ///
    /// # Errors
    /// When database or HSM fail; it is due again then.
    pub async fn turn(&mut self, stop: &watch::Receiver<bool>) -> Result<Option<Report>, Error> {
        let (now, longest) = (self.clock.now(), 2 * self.every.max(LEASE));
        if turn::wait(&self.store, TURN, now, longest).await? > 0 {
            return Ok(None);
        }
        let lease = now + LEASE;
        if !turn::take(&self.store, TURN, now, lease, longest).await? {
            return Ok(None);
        }
        let ended = self.inspect(stop.clone()).await;
        let due = match ended {
            Ok(Some(_)) => self.next(self.clock.now()),
            _ => now,
        };
        turn::give_back(&self.store, TURN, lease, due).await?;
        ended
    }

    /// The next time after now.
    fn next(&self, now: Millis) -> Millis {
        let since = now.saturating_sub(NIGHT);
        now + self.every - since.rem_euclid(self.every)
    }

    /// On a thread of its own: a long log is read and sorted for minutes.
    async fn inspect(&mut self, stop: watch::Receiver<bool>) -> Result<Option<Report>, Error> {
        let keys = Keys::of(&self.issuer).await?;
        let (store, clock, anchor) = (self.store.clone(), self.clock.clone(), self.anchor);
        let runtime = Handle::current();
        let inspection = tokio::task::spawn_blocking(move || {
            let go_on = || !*stop.borrow();
            runtime.block_on(inspect(&store, &clock, keys, anchor, go_on))
        });
        let ended = inspection
            .await
            .map_err(|error| HsmError::Unavailable(error.to_string()))??;
        if let Some(report) = &ended {
            self.tell(report);
        }
        Ok(ended)
    }

    fn tell(&mut self, report: &Report) {
        let clean = report.is_clean();
        metrics::gauge!("csc_inspection_clean").set(if clean { 1.0 } else { 0.0 });
        metrics::gauge!("csc_inspection_time_seconds").set(self.clock.now() as f64 / 1000.0);
        match report.finding() {
            None => tracing::info!(rows = report.rows, "audit log and tables agree"),
            Some(finding) => {
                let disagreeing = report.disagreeing;
                tracing::error!(
                    finding,
                    disagreeing,
                    "the audit log, or a table, was changed by somebody else"
                );
            }
        }
        if let Ok(verdict) = &report.log
            && let Some((anchor, _)) = verdict.proven
        {
            self.anchor = Some(anchor);
        }
    }
}
