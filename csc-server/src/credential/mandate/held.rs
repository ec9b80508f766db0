//! The mandates that a holder gave: what he sees of them, and how he ends them.

use hsm_adapter::Terms;

use crate::{
    clock::Millis,
    credential::{Credential, Keys, lifecycle},
    ids::{ActivationId, HolderId},
    params,
    store::{Row, StoreError, Value},
};

/// A mandate as its holder sees it.
#[derive(Clone, Debug)]
pub struct Mandate {
    /// Identifier.
    pub id: ActivationId,
    /// What was agreed.
    pub terms: Terms,
    /// Signatures that are left.
    pub remaining: i64,
    /// Whether it still lets anybody sign.
    pub standing: Standing,
}

/// Where a mandate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its client may sign.
    InForce,
    /// The holder ended it, or a new PIN, a suspension or a revocation did.
    Ended,
    /// Every signature was made.
    UsedUp,
    /// Its time is over.
    Expired,
}

impl Mandate {
    /// Signatures that were made, or begun.
    pub fn used(&self) -> i64 {
        i64::from(self.terms.count) - self.remaining
    }
}

impl Keys {
    /// The mandates of a holder, at most `limit`: first those in force, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mandates(
        &self,
        holder: &HolderId,
        limit: u32,
    ) -> Result<Vec<Mandate>, StoreError> {
        const SQL: &str = "SELECT a.id, a.content, a.remaining, a.state FROM activation a JOIN credential c ON c.id = a.credential
                           WHERE c.holder = $1 AND a.kind = 'mandate'
                           ORDER BY CASE WHEN a.state = 'active' AND a.expires > $2 THEN 0 ELSE 1 END, a.created DESC, a.id LIMIT $3";
        let now = self.clock.now();
        let rows = self.store.query(SQL, params![holder, now, limit]).await?;
        rows.into_iter().map(|row| read(row, now)).collect()
    }

    /// Ends a mandate of this holder at once. False when he has none of this name in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stop_mandate(
        &self,
        holder: &HolderId,
        id: &ActivationId,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                           WHERE id = $1 AND kind = 'mandate' AND state = 'active' AND expires > $3
                               AND credential IN (SELECT id FROM credential WHERE holder = $2)
                           RETURNING id, credential, client, version, kind";
        let now = self.clock.now();
        let ended = self.end_mandates(SQL, params![id, holder, now].to_vec(), now);
        Ok(ended.await? == 1)
    }

    /// Ends every mandate of a credential at once. How many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stop_mandates(&self, credential: &Credential) -> Result<usize, StoreError> {
        const SQL: &str = "UPDATE activation SET state = 'revoked', version = version + 1
                           WHERE credential = $1 AND kind = 'mandate' AND state = 'active'
                           RETURNING id, credential, client, version, kind";
        let now = self.clock.now();
        self.end_mandates(SQL, params![&credential.id].to_vec(), now)
            .await
    }

    async fn end_mandates(
        &self,
        sql: &'static str,
        values: Vec<Value>,
        now: Millis,
    ) -> Result<usize, StoreError> {
        self.store
            .write(async move |tx| {
                let ended = tx.query(sql, &values).await?;
                let count = ended.len();
                lifecycle::record_ended(tx, ended, now).await?;
                Ok(count)
            })
            .await
    }
}

fn read(mut row: Row, now: Millis) -> Result<Mandate, StoreError> {
    let (octets, state): (Vec<u8>, String) = (row.get(1)?, row.get(3)?);
    let terms: Terms = serde_json::from_slice(&octets)
        .map_err(|_| StoreError::Corrupt("the terms of a mandate"))?;
    let standing = match state.as_str() {
        "active" if terms.expires > now => Standing::InForce,
        "active" => Standing::Expired,
        "used" => Standing::UsedUp,
        _ => Standing::Ended,
    };
    Ok(Mandate {
        id: ActivationId::new(row.get::<String>(0)?),
        terms,
        remaining: row.get(2)?,
        standing,
    })
}
