//! A session of an operator: what password and code opened, for the commands that follow. It ends when he leaves it alone or logs out, when
//! his account changes, and at the end of the shift (SC-76). The row is under a MAC: SQL opens no session.

use hsm_adapter::{HsmError, MacKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Error, Operator, Operators, permission::actor};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::OperatorId,
    params,
    store::{StoreError, Tx},
};

/// How long a session may rest between two commands.
const IDLE: Millis = 15 * 60 * 1000;
/// How long it lasts at most.
const LONGEST: Millis = 8 * 60 * 60 * 1000;

/// What the operator's terminal keeps: 256 random bits in hexadecimal. Stored only as a hash; prints nothing, is wiped when dropped.
pub struct Token(Zeroizing<String>);

impl Token {
    /// As the terminal kept it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The text, for the file it is kept in.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A session as it rests.
pub(super) struct Session {
    hash: Vec<u8>,
    operator: OperatorId,
    begun: Millis,
    record_mac: Vec<u8>,
}

impl Session {
    /// Writes it, and forgets those of whoever that have ended.
    pub(super) async fn insert(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let ended = "DELETE FROM operator_session WHERE begun <= $1 OR used <= $2";
        tx.execute(ended, params![self.begun - LONGEST, self.begun - IDLE])
            .await?;
        tx.execute(
            "INSERT INTO operator_session (hash, operator, begun, used, record_mac) VALUES ($1, $2, $3, $3, $4)",
            params![
                self.hash.clone(),
                &self.operator,
                self.begun,
                self.record_mac.clone()
            ],
        )
        .await
        .map(drop)
    }
}

/// Ends every session of an operator.
pub(super) async fn end_all(tx: &mut Tx, operator: &OperatorId) -> Result<(), StoreError> {
    let sql = "DELETE FROM operator_session WHERE operator = $1";
    tx.execute(sql, params![operator]).await.map(drop)
}

impl Operators {
    /// A session that begins now.
    pub(super) async fn begin(&self, operator: &OperatorId) -> Result<(Session, Token), HsmError> {
        let random = self.vault.random::<32>().await?;
        let token = Token(Zeroizing::new(hex::encode(random.as_slice())));
        let (hash, begun) = (token.hash(), self.clock.now());
        let session = Session {
            record_mac: self.session_mac(&hash, operator, begun).await?,
            hash,
            operator: operator.clone(),
            begun,
        };
        Ok((session, token))
    }

    /// Whose session this is; it lasts on from now.
    ///
    /// # Errors
    /// [`Error::NoSession`], or [`Error::Damaged`] when the service did not write session or account.
    pub async fn resume(&self, token: &Token) -> Result<Operator, Error> {
        let (hash, now) = (token.hash(), self.clock.now());
        let resumed = hash.clone();
        let row = self
            .store
            .write(async move |tx| {
                tx.find(
                    "UPDATE operator_session SET used = $2 WHERE hash = $1 AND used > $3 AND begun > $4
                     RETURNING operator, begun, record_mac",
                    params![resumed.clone(), now, now - IDLE, now - LONGEST],
                )
                .await
            })
            .await?;
        let mut row = row.ok_or(Error::NoSession)?;
        let operator = OperatorId::new(row.get::<String>(0)?);
        let (begun, written) = (row.get(1)?, row.get::<Vec<u8>>(2)?);
        let mac = self.session_mac(&hash, &operator, begun).await?;
        if !bool::from(mac.ct_eq(&written)) {
            self.alarm(Some(&operator)).await?;
            return Err(Error::Damaged);
        }
        self.by_id(&operator).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_out(&self, operator: &Operator, token: &Token) -> Result<(), Error> {
        let (hash, id, now) = (token.hash(), operator.id.clone(), self.clock.now());
        self.store
            .acting(actor(operator, operator.any_role(), None))
            .write(async move |tx| {
                let sql = "DELETE FROM operator_session WHERE hash = $1";
                tx.execute(sql, params![hash.clone()]).await?;
                let operator = id.to_string();
                audit::record(tx, now, "", &Event::OperatorLogout { operator });
                Ok(())
            })
            .await?;
        Ok(())
    }

    async fn session_mac(
        &self,
        hash: &[u8],
        operator: &OperatorId,
        begun: Millis,
    ) -> Result<Vec<u8>, HsmError> {
        #[derive(Serialize)]
        struct Record<'a> {
            version: u8,
            session: String,
            operator: &'a str,
            begun: Millis,
        }
        let record = Record {
            version: 1,
            session: hex::encode(hash),
            operator: operator.as_str(),
            begun,
        };
        // Strings and integers always serialise.
        let record = serde_json::to_vec(&record).unwrap_or_default();
        let mac = self.vault.mac(MacKey::Operator, &[&record]).await?;
        Ok(mac.to_vec())
    }
}
