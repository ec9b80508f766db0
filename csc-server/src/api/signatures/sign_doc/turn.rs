//! Documents take memory: few requests have them at once.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit},
    time::{error::Elapsed, timeout},
};

use crate::{api::fault::Fault, app::App};

/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// A request whose turn it is, from before its body is read until it is dropped.
pub(crate) struct Turn {
    _held: OwnedSemaphorePermit,
}

impl FromRequestParts<App> for Turn {
    type Rejection = Fault;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Fault> {
        let full = |cause: &str| Fault::Unavailable {
            retry_after: WAIT,
            cause: cause.to_owned(),
        };
        let held = timeout(WAIT, app.turns.clone().acquire_owned()).await;
        let held = held.map_err(|_: Elapsed| full("others sign documents"))?;
        Ok(Self {
            _held: held.map_err(|_: AcquireError| full("no documents are signed any more"))?,
        })
    }
}
