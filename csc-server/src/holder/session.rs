//! A holder's session in a browser: 256 random bits in a cookie, SHA-256 of them in the database. It shows and asks; it opens no key.
//!
//! It ends when it is idle, in any case after its longest life, when he logs out, and with his account. It is bound to nothing that a
//! browser cannot prove: addresses change on a train, and names of browsers are copied.

use std::time::Duration;

use hsm_adapter::{Secret, Vault};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Error, Holder, read};
use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    params,
    store::{Store, StoreError},
};

/// What the audit log vouches for. A session past its longest life may be gone.
pub const TABLE: audit::Table = audit::table!(
    "holder_session",
    key ["hash"],
    told [],
    recorded ["holder", "begun", "ends"]
);

/// A session that is good.
#[derive(Clone, Debug)]
pub struct Session {
    /// SHA-256 of its secret, hexadecimal: what belongs to it is found by this.
    pub id: String,
    /// Whose.
    pub holder: Holder,
}

/// The sessions.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    clock: Clock,
    vault: Vault,
    idle: Duration,
    longest: Duration,
}

impl Sessions {
    /// Sessions in this database, drawn with this vault.
    pub fn new(
        store: Store,
        clock: Clock,
        vault: Vault,
        idle: Duration,
        longest: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            vault,
            idle,
            longest,
        }
    }

    /// Begins a session of who has just logged in: its secret, the only time it exists on this side.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn begin(&self, holder: &Holder) -> Result<Zeroizing<String>, Error> {
        let secret = Zeroizing::new(self.vault.secret().await?.expose());
        let (hash, now) = (hash(&secret), self.clock.now());
        let ends = now + millis(self.longest);
        let (id, person) = (holder.id.clone(), holder.pseudonym.clone());
        self.store
            .write(async move |tx| {
                tx.execute("DELETE FROM holder_session WHERE ends <= $1", params![now])
                    .await?;
                tx.execute(
                    "INSERT INTO holder_session (hash, holder, begun, ends, used) VALUES ($1, $2, $3, $4, $3)",
                    params![hash, &id, now, ends],
                )
                .await?;
                let begun = Event::SessionBegun {
                    session: hex::encode(hash),
                    holder: id.to_string(),
                    ends,
                    record: TABLE.record(tx, hash).await?,
                };
                audit::record(tx, now, &person, &begun);
                Ok(())
            })
            .await?;
        Ok(secret)
    }

    /// The session with this secret, if it is good; it is used now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, secret: &str) -> Result<Option<Session>, StoreError> {
        const SQL: &str = "SELECT h.id, h.user_name, h.given_name, h.surname, h.email, h.language, h.pseudonym, s.used
                           FROM holder_session s JOIN holder h ON h.id = s.holder
                           WHERE s.hash = $1 AND s.ends > $2 AND s.used > $3 AND h.status = 'active'";
        if Secret::parse(secret).is_none() {
            return Ok(None);
        }
        let (hash, now, idle) = (hash(secret), self.clock.now(), millis(self.idle));
        let found = self.store.find(SQL, params![hash, now, now - idle]).await?;
        let Some(mut row) = found else {
            return Ok(None);
        };
        // Not each page is a write: a fifteenth of the idle time is exact enough.
        if now - row.get::<Millis>(7)? > idle / 15 {
            self.store
                .write(async move |tx| {
                    const SQL: &str =
                        "UPDATE holder_session SET used = $2 WHERE hash = $1 AND used < $2";
                    tx.execute(SQL, params![hash, now]).await
                })
                .await?;
        }
        Ok(Some(Session {
            id: hex::encode(hash),
            holder: read(row)?,
        }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, session: &Session) -> Result<(), StoreError> {
        let Ok(hash) = hex::decode(&session.id) else {
            return Ok(());
        };
        let (now, session) = (self.clock.now(), session.clone());
        self.store
            .write(async move |tx| {
                const SQL: &str = "DELETE FROM holder_session WHERE hash = $1";
                if tx.execute(SQL, params![hash.clone()]).await? == 1 {
                    let ended = Event::SessionEnded {
                        session: session.id.clone(),
                    };
                    audit::record(tx, now, &session.holder.pseudonym, &ended);
                }
                Ok(())
            })
            .await
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn millis(duration: Duration) -> Millis {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
