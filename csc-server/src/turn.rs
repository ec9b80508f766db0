//! Turns: work that one process at a time does. A row says until when somebody is at it, or when it is due again.

use crate::{
    clock::Millis,
    params,
    store::{Store, StoreError},
};

/// How long until a turn is due; nothing when it is. A time further off than `longest` was written by somebody else, and holds nobody up.
///
/// # Errors
/// When the database fails.
pub(crate) async fn wait(
    store: &Store,
    name: &'static str,
    now: Millis,
    longest: Millis,
) -> Result<Millis, StoreError> {
    let row = store
        .find("SELECT due FROM turn WHERE name = $1", params![name])
        .await?;
    let Some(mut row) = row else { return Ok(0) };
    let wait = row.get::<Millis>(0)?.saturating_sub(now).max(0);
    Ok(if wait > longest { 0 } else { wait })
}

/// Takes a turn until `lease`; false when it is not due yet, or another process is at it. `longest` as in [`wait`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn take(
    store: &Store,
    name: &'static str,
    now: Millis,
    lease: Millis,
    longest: Millis,
) -> Result<bool, StoreError> {
    // One statement decides between two nodes.
    const SQL: &str = "INSERT INTO turn (name, due) VALUES ($1, $3)
                       ON CONFLICT (name) DO UPDATE SET due = $3 WHERE turn.due <= $2 OR turn.due > $4";
    let latest = now.saturating_add(longest);
    let taken = store
        .write(async move |tx| tx.execute(SQL, params![name, now, lease, latest]).await)
        .await?;
    Ok(taken == 1)
}

/// Gives back a turn that was taken until `lease`: it is due again then.
///
/// # Errors
/// When the database fails.
pub(crate) async fn give_back(
    store: &Store,
    name: &'static str,
    lease: Millis,
    due: Millis,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE turn SET due = $3 WHERE name = $1 AND due = $2";
    store
        .write(async move |tx| tx.execute(SQL, params![name, lease, due]).await)
        .await
        .map(drop)
}
