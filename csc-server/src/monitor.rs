//! Watches the slots: when an HSM is lost and when it is back stands in the audit log (SC-88), and keys that were opened for an
//! activation are closed when it ends (SC-13).

use std::time::{Duration, Instant};

use hsm_adapter::{HsmError, Issuer, PoolState, Vault};
use tokio::sync::watch;

use crate::{
    audit::{self, Event},
    clock::Clock,
    store::{Store, StoreError},
};

/// How often the slots are looked at. What is seen is what requests met: looking asks no HSM, closing does where there is something to close.
const LOOK: Duration = Duration::from_secs(1);
/// How often the devices are asked whether they are well (SC-22).
const EXAMINE: Duration = Duration::from_secs(60);

/// Watches both slots.
pub struct Monitor {
    store: Store,
    clock: Clock,
    vault: Vault,
    issuer: Issuer,
    holder_connected: bool,
    issuer_connected: bool,
}

impl Monitor {
    /// Over slots that are not known to be connected yet.
    pub fn new(store: Store, clock: Clock, vault: Vault, issuer: Issuer) -> Self {
        Self {
            store,
            clock,
            vault,
            issuer,
            holder_connected: false,
            issuer_connected: false,
        }
    }

    /// Watches until `stop` becomes true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut examined = Instant::now();
        loop {
            if examined.elapsed() >= EXAMINE {
                self.examine().await;
                examined = Instant::now();
            }
            if let Err(error) = self.look().await {
                tracing::error!(%error, "the state of the HSM cannot be recorded");
            }
            // A key stays open no longer than its activation, also where nobody signs any more.
            self.vault.sweep(self.clock.now()).await;
            let stopped = stop.wait_for(|stopped| *stopped);
            if tokio::time::timeout(LOOK, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Records what changed since the last look.
    ///
    /// # Errors
    /// When the database fails; the change is recorded at the next look then.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let connected = |state: PoolState| state.sessions > 0;
        let holder = connected(self.vault.state());
        if holder != self.holder_connected {
            let event = match holder {
                true => Event::HsmConnected { slot: "holder" },
                // Without a session the answer is the reason why there is none.
                false => lost("holder", self.vault.health().await),
            };
            self.record(event).await?;
            self.holder_connected = holder;
        }
        let issuer = connected(self.issuer.state());
        if issuer != self.issuer_connected {
            let event = match issuer {
                true => Event::HsmConnected { slot: "issuer" },
                false => lost("issuer", self.issuer.health().await),
            };
            self.record(event).await?;
            self.issuer_connected = issuer;
        }
        Ok(())
    }

    /// Asks both devices whether they are well: one that was tampered with may say so and go on.
    pub async fn examine(&self) {
        for (slot, ended) in [
            ("holder", self.vault.health().await),
            ("issuer", self.issuer.health().await),
        ] {
            if let Err(error) = ended {
                tracing::error!(slot, %error, "an HSM is not well");
            }
        }
    }

    async fn record(&self, event: Event) -> Result<(), StoreError> {
        audit::note(&self.store, self.clock.now(), "", event).await
    }
}

fn lost(slot: &'static str, ended: Result<(), HsmError>) -> Event {
    match ended {
        Err(HsmError::Tampered(_)) => Event::HsmTamper { slot },
        _ => Event::HsmLost { slot },
    }
}
