//! Watches, while the service runs, for accounts that it did not write and for acts that were refused: each is an alarm, one line of the service's
//! log and a count (SC-84).

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use tokio::sync::watch::Receiver;

use super::{COUNTS, Error, Operators, Standing, read_counts};
use crate::{clock::Millis, ids::OperatorId, params};

/// How often a node looks.
const LOOK: Duration = Duration::from_secs(5);
/// How far back it looks at the audit log: rows come late when a transaction of another process takes its time.
const BACK: Millis = 5 * 60 * 1000;
/// How far back it looks at first: what was refused while no service ran is an alarm too.
const AT_FIRST: Millis = 24 * 60 * 60 * 1000;
/// The events that are alarms, as terminal commands record them too.
const ALARMS: [&str; 6] = [
    "DERIVE_RATE_ALARM",
    "LOG_ALARM",
    "CAPABILITY_REFUSED",
    "DUAL_REJECTED",
    "OPERATOR_INTEGRITY_FAIL",
    "APPROVAL_INTEGRITY_FAIL",
];

/// Watches, and remembers what it has said.
pub struct Watch {
    operators: Operators,
    since: Millis,
    /// Damaged accounts; `None` stands for those that are gone.
    damaged: BTreeSet<Option<OperatorId>>,
    /// Rows of the audit log: chain and sequence.
    seen: HashSet<(String, i64)>,
}

impl Watch {
    /// Nothing is said yet.
    pub fn new(operators: Operators) -> Self {
        Self {
            since: operators.clock.now() - AT_FIRST,
            operators,
            damaged: BTreeSet::new(),
            seen: HashSet::new(),
        }
    }

    /// Watches until `stop` becomes true.
    pub async fn run(mut self, mut stop: Receiver<bool>) {
        loop {
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(LOOK, stopped).await.is_ok() {
                return;
            }
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the accounts of operators cannot be watched");
            }
        }
    }

    /// Looks once, and raises an alarm for what is new.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn look(&mut self) -> Result<Standing, Error> {
        self.look_at_accounts().await?;
        self.look_at_log().await?;
        Ok(Operators::standing(&self.operators.store).await?)
    }

    async fn look_at_accounts(&mut self) -> Result<(), Error> {
        let listed = self.operators.list().await?;
        let (_, made) = read_counts(self.operators.store.find(COUNTS, &[]).await?)?;
        let genuine = listed.iter().filter(|account| account.genuine).count();
        let forged = listed.into_iter().filter(|account| !account.genuine);
        let mut damaged: BTreeSet<_> = forged.map(|account| Some(account.id)).collect();
        if damaged.is_empty() && i64::try_from(genuine).is_ok_and(|genuine| genuine < made) {
            damaged.insert(None);
        }
        for account in damaged.difference(&self.damaged) {
            self.operators.alarm(account.as_ref()).await?;
        }
        self.damaged = damaged;
        Ok(())
    }

    async fn look_at_log(&mut self) -> Result<(), Error> {
        const SQL: &str = "SELECT chain, sequence, event FROM audit WHERE person = '' AND time >= $1 ORDER BY time";
        let since = self.since;
        self.since = self.operators.clock.now() - BACK;
        let mut seen = HashSet::new();
        for mut row in self.operators.store.query(SQL, params![since]).await? {
            let event: String = row.get(2)?;
            let Some(alarm) = alarm(&event) else { continue };
            let place = (row.get(0)?, row.get(1)?);
            if !self.seen.contains(&place) {
                metrics::counter!("csc_alarms_total", "event" => alarm).increment(1);
                tracing::error!(alarm, %event, "alarm: see the audit log");
            }
            seen.insert(place);
        }
        self.seen = seen;
        Ok(())
    }
}

/// Which alarm an event is.
fn alarm(event: &str) -> Option<&'static str> {
    let name = event.strip_prefix(r#"{"event":""#)?.split('"').next()?;
    ALARMS.into_iter().find(|alarm| *alarm == name)
}
