//! Whether keys are opened, or PINs guessed, at a rate that no holders make (T-10). Each derivation of a key-encryption key belongs to an act that was
//! recorded before: who tries PINs in this process leaves derivations without one. Wrong PINs are counted over the whole installation, for who
//! tries a few on each of many credentials locks none.

use std::time::Duration;

use hsm_adapter::Vault;
use tokio::sync::watch;

use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    params,
    store::{Store, StoreError},
    turn,
};

/// How often a node looks.
const LOOK: Duration = Duration::from_secs(60);
/// Wrong PINs are counted over this time, and alarmed once in it.
const WINDOW: Millis = 10 * 60 * 1000;
/// What an act derives at most, made again once when its session was lost.
const AN_ACT: u64 = 4;
/// Self-tests, and acts that were recorded before the last look.
const MARGIN: u64 = 50;
const TURN: &str = "guesses";

/// Looks after the rate, for as long as the service runs.
pub struct Guard {
    store: Store,
    clock: Clock,
    vault: Vault,
    chain: String,
    /// Wrong PINs and PUKs in ten minutes that are not alarmed yet.
    most_wrong: u64,
    /// The last row of the chain that was looked at.
    seen: i64,
    /// Derivations by then.
    derived: u64,
}

impl Guard {
    /// Over what this process derives in `vault` and records in `chain`.
    pub fn new(store: Store, clock: Clock, vault: Vault, chain: String, most_wrong: u32) -> Self {
        Self {
            store,
            clock,
            derived: vault.derivations(),
            vault,
            chain,
            most_wrong: most_wrong.into(),
            seen: 0,
        }
    }

    /// Looks until `stop` becomes true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(LOOK, stopped).await.is_ok() {
                return;
            }
            if let Err(error) = self.look().await {
                tracing::error!(%error, "whether PINs are guessed cannot be seen");
            }
        }
    }

    /// Looks once, and records the alarm.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Counted first: an act is recorded before it derives.
        let derived = self.vault.derivations();
        let acts = self.acts().await?;
        let derivations = derived.saturating_sub(self.derived);
        self.derived = derived;
        let wrong = self.wrong(now - WINDOW).await?;
        let alone = derivations > AN_ACT * acts + MARGIN;
        let guessed = wrong > self.most_wrong
            && turn::take(&self.store, TURN, now, now + WINDOW, 2 * WINDOW).await?;
        if alone || guessed {
            let event = Event::DeriveRateAlarm {
                derivations,
                acts,
                wrong,
            };
            audit::note(&self.store, now, "", event).await?;
        }
        Ok(())
    }

    /// The acts of this process since the last look that open or seal a key.
    async fn acts(&mut self) -> Result<u64, StoreError> {
        const SQL: &str = r#"SELECT COALESCE(MAX(sequence), $2),
                 COALESCE(SUM(CASE WHEN event LIKE '{"event":"PIN_TRIED"%' OR event LIKE '{"event":"PUK_TRIED"%'
                     OR event LIKE '{"event":"SIGN_STARTED"%' OR event LIKE '{"event":"SAD_EXTENDED"%'
                     OR event LIKE '{"event":"KEY_GENERATED"%' THEN 1 ELSE 0 END), 0)
             FROM audit WHERE chain = $1 AND sequence > $2"#;
        let row = self
            .store
            .find(SQL, params![self.chain.as_str(), self.seen])
            .await?;
        let mut row = row.ok_or(StoreError::Corrupt("a count"))?;
        self.seen = row.get(0)?;
        Ok(row.get::<i64>(1)?.unsigned_abs())
    }

    /// Wrong PINs and PUKs since then, on every node.
    async fn wrong(&self, since: Millis) -> Result<u64, StoreError> {
        // As the index says it.
        const SQL: &str = r#"SELECT COUNT(*) FROM audit
             WHERE time > $1 AND (event LIKE '{"event":"PIN_FAIL"%' OR event LIKE '{"event":"PUK_FAIL"%')"#;
        let row = self.store.find(SQL, params![since]).await?;
        let mut row = row.ok_or(StoreError::Corrupt("a count"))?;
        Ok(row.get::<i64>(0)?.unsigned_abs())
    }
}
