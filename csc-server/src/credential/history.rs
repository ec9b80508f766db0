//! What was signed with a credential: the holder's history.

use crate::{
    clock::Millis,
    ids::{ActivationId, CredentialId, HolderId},
    params,
    store::{Row, Store, StoreError},
};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT activation, position, client, hash, outcome, started, credential FROM signing WHERE ",
            $where
        )
    };
}

/// One signature.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Under which activation.
    pub activation: String,
    /// With which credential.
    pub credential: CredentialId,
    /// Which of its hashes, from 0.
    pub position: u32,
    /// Through which client.
    pub client: String,
    /// What was signed.
    pub hash: Vec<u8>,
    /// `signed`; `unknown` when the HSM did not say; `started` when the service stopped in between.
    pub outcome: String,
    /// When.
    pub started: Millis,
}

/// The signatures of a credential, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of(store: &Store, credential: &CredentialId) -> Result<Vec<Entry>, StoreError> {
    const SQL: &str = select!("credential = $1 ORDER BY started, activation, position");
    let rows = store.query(SQL, params![credential]).await?;
    rows.into_iter().map(read).collect()
}

/// The latest signatures of a holder, newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn latest(
    store: &Store,
    holder: &HolderId,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    const SQL: &str = "SELECT s.activation, s.position, s.client, s.hash, s.outcome, s.started, s.credential
                       FROM signing s JOIN credential c ON c.id = s.credential
                       WHERE c.holder = $1 ORDER BY s.started DESC, s.activation, s.position LIMIT $2";
    let rows = store.query(SQL, params![holder, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// The signature at this position of an activation.
///
/// # Errors
/// When the database fails.
pub async fn at(
    store: &Store,
    activation: &ActivationId,
    position: u32,
) -> Result<Option<Entry>, StoreError> {
    const SQL: &str = select!("activation = $1 AND position = $2");
    let row = store.find(SQL, params![activation, position]).await?;
    row.map(read).transpose()
}

fn read(mut row: Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        activation: row.get(0)?,
        position: row.get(1)?,
        client: row.get(2)?,
        hash: row.get(3)?,
        outcome: row.get(4)?,
        started: row.get(5)?,
        credential: CredentialId::new(row.get::<String>(6)?),
    })
}
