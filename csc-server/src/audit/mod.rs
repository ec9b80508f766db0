//! The audit log: every security event is one row of a closed list, sealed to the row before.

mod chain;
mod event;

pub use chain::Chain;
pub use event::{Event, HashOutcome};

use serde::Serialize;

use crate::{
    actor::Actor,
    clock::Millis,
    store::{Entry, Store, StoreError, Tx},
};

/// Records an event in the transaction that makes it true, and who acts. `person` is the pseudonym of whom it is about, or empty.
pub fn record(tx: &mut Tx, time: Millis, person: &str, event: &Event) {
    #[derive(Serialize)]
    struct Recorded<'a> {
        #[serde(flatten)]
        event: &'a Event,
        #[serde(skip_serializing_if = "Option::is_none")]
        actor: Option<&'a Actor>,
    }
    let recorded = Recorded {
        event,
        actor: tx.actor(),
    };
    // Strings and integers only, which always serialise.
    let event = serde_json::to_string(&recorded).unwrap_or_default();
    tx.record(Entry {
        time,
        event,
        person: person.to_owned(),
    });
}

/// Records an event that changes nothing else; durable when this returns.
///
/// # Errors
/// When the database fails.
pub async fn note(
    store: &Store,
    time: Millis,
    person: &str,
    event: Event,
) -> Result<(), StoreError> {
    let person = person.to_owned();
    store
        .write(async move |tx| {
            record(tx, time, &person, &event);
            Ok(())
        })
        .await
}
