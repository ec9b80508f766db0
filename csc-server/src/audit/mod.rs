//! The audit log: every security event is one row of a closed list, sealed to the row before; at intervals a checkpoint signed by a
//! key of the HSM covers all chains. What an outsider needs to verify it is the log and the public key.
//!
//! | file | holds |
//! | --- | --- |
//! | `event` | the closed list |
//! | `table` | what of a row events tell, and what its record covers |
//! | `row`, `chain` | a row and its hash; the chain that this process writes |
//! | `checkpoint`, `key`, `keeper` | what is signed; with what; who signs it, and when |
//! | `succession` | from one key to the next |
//! | `log` | the log in the order in which it is proven |
//! | `verify` | whether it is intact, and the first row that is not |
//! | `proof`, `export` | one row that stands alone; all of them, or some, as JSON lines |

mod chain;
mod checkpoint;
mod event;
pub mod export;
mod keeper;
mod key;
mod log;
pub mod proof;
mod row;
mod succession;
mod table;
pub mod verify;

pub use chain::Chain;
pub use checkpoint::{Body, Checkpoint, Head, Spki};
pub use event::{Act, Event, HashOutcome, TokenRecord};
pub use keeper::{Error as KeeperError, Keeper};
pub use key::{Keys, LABEL};
pub use log::{Item, count, walk};
pub use row::{Hash, Row};
pub use table::Table;
pub(crate) use table::{table, text};

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
