//! `csc-server terminate`: the end of the service (SC-101). What is left is evidence: certificates, the history of each credential, the audit
//! log under a last checkpoint, and the keys that operators log in and pseudonyms are found with.

use anyhow::Result;
use hsm_adapter::MasterSet;

use super::{caller::Caller, mass, terminal::say};
use crate::{
    audit::{self, Event, Keeper},
    credential::Status,
    rotation,
};

/// Each step may be run again: who was interrupted asks for another approval, and goes on.
pub(super) async fn run(caller: &Caller) -> Result<()> {
    let context = caller.act().await?;
    let (store, clock) = (&context.store, &context.clock);
    // First, while records can still be authenticated.
    mass::change(&context, Status::Revoked).await?;
    let vault = context.vault()?;
    for set in MasterSet::ALL {
        for (version, labels) in vault.destroy_set(set).await? {
            let key = rotation::name(set);
            let event = Event::MasterDestroyed { key, version };
            audit::note(store, clock.now(), "", event).await?;
            for label in labels {
                say(&format!("holder: {label} destroyed"));
            }
        }
    }
    audit::note(store, clock.now(), "", Event::ServiceEnded).await?;
    let every = context.config.audit.checkpoint_every;
    let keeper = Keeper::new(store.clone(), clock.clone(), context.issuer()?, every).await?;
    keeper.seal().await?;
    say(
        "the service has ended; stop what still runs of it, and keep the database, the issuer token and what `csc-server audit key` prints",
    );
    Ok(())
}
