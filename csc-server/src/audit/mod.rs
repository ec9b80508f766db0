//! The audit log: every security event is one row of a closed list, sealed to the row before.

mod chain;
mod event;

pub use chain::Chain;
pub use event::{Event, HashOutcome};

use crate::{
    clock::Millis,
    store::{Entry, Tx},
};

/// Records an event in the transaction that makes it true. `person` is the pseudonym of whom it is about, or empty.
pub fn record(tx: &mut Tx, time: Millis, person: &str, event: &Event) {
    // The enum holds strings and integers only, which always serialise.
    let event = serde_json::to_string(event).unwrap_or_default();
    tx.record(Entry {
        time,
        event,
        person: person.to_owned(),
    });
}
