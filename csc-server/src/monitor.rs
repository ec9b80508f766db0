//! Watches the slots: when an HSM is lost and when it is back stands in the audit log (SC-88), and keys that were opened for an
//! activation are closed when it ends (SC-13).

use std::time::Duration;

use hsm_adapter::{Issuer, PoolState, Vault};
use tokio::sync::watch;

use crate::{
    audit::{self, Event},
    clock::Clock,
    store::{Store, StoreError},
};

/// How often the slots are looked at. What is seen is what requests met: looking asks no HSM, closing does where there is something to close.
const LOOK: Duration = Duration::from_secs(1);

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
        loop {
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
            self.record("holder", holder).await?;
            self.holder_connected = holder;
        }
        let issuer = connected(self.issuer.state());
        if issuer != self.issuer_connected {
            self.record("issuer", issuer).await?;
            self.issuer_connected = issuer;
        }
        Ok(())
    }

    async fn record(&self, slot: &'static str, connected: bool) -> Result<(), StoreError> {
        let event = match connected {
            true => Event::HsmConnected { slot },
            false => Event::HsmLost { slot },
        };
        audit::note(&self.store, self.clock.now(), "", event).await
    }
}
