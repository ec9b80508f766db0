//! Who the person is: account and password log-in. A password opens the service, never a key.

mod session;

use base64::{Engine, prelude::BASE64_STANDARD};
use hsm_adapter::{HsmError, MacKey, Stretcher, Vault};

pub use session::{Session, Sessions, TABLE as SESSIONS};

use crate::{
    audit::{self, Event},
    clock::{Clock, Millis},
    ids::{ClientId, HolderId},
    params,
    password::{self, Hashed, PROMPT_FAILURES, Passwords},
    store::{Row, Store, StoreError},
};

/// What the audit log vouches for.
pub const TABLE: audit::Table = audit::table!(
    "holder",
    key ["id"],
    told ["version", "status", "login_failures", "login_after"],
    recorded [
        "user_name", "given_name", "surname", "email", "language", "pseudonym", "password_salt", "password_cost",
        "password_hash", "created",
    ]
);

/// A person with an account.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Identifier.
    pub id: HolderId,
    /// What he types to log in; `userID` for clients.
    pub user_name: String,
    /// Given name.
    pub given_name: String,
    /// Surname.
    pub surname: String,
    /// Where messages go.
    pub email: String,
    /// `it` or `en`.
    pub language: String,
    /// How the audit log calls him.
    pub pseudonym: String,
}

/// Who is to be added.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of Holder")]
pub struct NewHolder {
    pub user_name: String,
    pub given_name: String,
    pub surname: String,
    pub email: String,
    pub language: String,
}

/// Why a holder was not added or let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, wrong password, delayed or blocked: one answer for all.
    #[error("unknown user or wrong password")]
    NotLoggedIn,
    /// The password is too short or too long.
    #[error("{}", password::Error::Length)]
    Password,
    /// The user name is taken.
    #[error("the user name '{0}' is taken")]
    Taken(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Length => Self::Password,
            password::Error::Hsm(error) => Self::Hsm(error),
        }
    }
}

/// The accounts.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    clock: Clock,
    vault: Vault,
    passwords: Passwords,
}

impl Accounts {
    /// Accounts in this database, peppered by this vault.
    pub fn new(store: Store, clock: Clock, vault: Vault, stretcher: Stretcher) -> Self {
        Self {
            store,
            clock,
            passwords: Passwords::new(vault.clone(), stretcher),
            vault,
        }
    }

    /// The holder with this user name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_user_name(&self, user_name: &str) -> Result<Option<Holder>, StoreError> {
        const SQL: &str = "SELECT id, user_name, given_name, surname, email, language, pseudonym
                           FROM holder WHERE user_name = $1";
        self.store
            .find(SQL, params![user_name])
            .await?
            .map(read)
            .transpose()
    }

    /// The holder with this identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_id(&self, id: &HolderId) -> Result<Option<Holder>, StoreError> {
        const SQL: &str = "SELECT id, user_name, given_name, surname, email, language, pseudonym
                           FROM holder WHERE id = $1";
        self.store
            .find(SQL, params![id])
            .await?
            .map(read)
            .transpose()
    }

    /// Adds a holder.
    ///
    /// # Errors
    /// A bad password, a user name in use, or a failure of database or HSM.
    pub async fn add(&self, new: NewHolder, password: &str) -> Result<HolderId, Error> {
        let id = HolderId::random();
        let password = self.passwords.set(id.as_str(), password).await?;
        let pseudonym = BASE64_STANDARD.encode(
            self.vault
                .mac(MacKey::Pseudonym, &[id.as_str().as_bytes()])
                .await?,
        );
        let (now, taken, added) = (self.clock.now(), new.user_name.clone(), id.clone());
        let inserted = self
            .store
            .write(async move |tx| {
                let changed = tx
                    .execute(
                        "INSERT INTO holder (id, version, user_name, given_name, surname, email, language, status, pseudonym,
                             password_salt, password_cost, password_hash, login_failures, login_after, created)
                         VALUES ($1, 1, $2, $3, $4, $5, $6, 'active', $7, $8, $9, $10, 0, 0, $11)
                         ON CONFLICT (user_name) DO NOTHING",
                        params![
                            &id,
                            new.user_name.as_str(),
                            new.given_name.as_str(),
                            new.surname.as_str(),
                            new.email.as_str(),
                            new.language.as_str(),
                            pseudonym.as_str(),
                            password.salt.clone(),
                            password.cost(),
                            password.hash.clone(),
                            now
                        ],
                    )
                    .await?;
                if changed == 1 {
                    let added = Event::HolderAdded { holder: id.to_string(), record: TABLE.record(tx, &id).await? };
                    audit::record(tx, now, &pseudonym, &added);
                }
                Ok(changed)
            })
            .await?;
        if inserted == 1 {
            Ok(added)
        } else {
            Err(Error::Taken(taken))
        }
    }

    /// Blocks a holder, or lets him in again. Blocked, he neither logs in nor signs, on any node; his tokens are no good as long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_blocked(&self, holder: &Holder, blocked: bool) -> Result<(), StoreError> {
        let (id, person, now) = (
            holder.id.clone(),
            holder.pseudonym.clone(),
            self.clock.now(),
        );
        self.store
            .write(async move |tx| {
                let status = if blocked { "blocked" } else { "active" };
                let changed = tx
                    .find(
                        "UPDATE holder SET status = $2, version = version + 1 WHERE id = $1 RETURNING version",
                        params![&id, status],
                    )
                    .await?;
                let Some(mut row) = changed else {
                    return Ok(());
                };
                let (holder, version) = (id.to_string(), row.get(0)?);
                let event = match blocked {
                    true => Event::HolderBlocked { holder, version },
                    false => Event::HolderUnblocked { holder, version },
                };
                audit::record(tx, now, &person, &event);
                Ok(())
            })
            .await
    }

    /// Lets a holder in by password. The try is counted before the password is looked at, so that parallel guesses count; an unknown
    /// user costs the same work and gets the same answer.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`] whatever was wrong.
    pub async fn log_in(
        &self,
        user_name: &str,
        password: &str,
        client: &ClientId,
    ) -> Result<Holder, Error> {
        let now = self.clock.now();
        let name = user_name.to_owned();
        let reserved = self
            .store
            .write(async move |tx| {
                let tried = tx
                    .find(
                        "UPDATE holder SET login_failures = login_failures + 1, version = version + 1,
                             login_after = CASE WHEN login_failures + 1 >= $2
                                 THEN $3 + 60000 * (login_failures + 2 - $2) ELSE login_after END
                         WHERE user_name = $1 AND status = 'active' AND login_after <= $3
                         RETURNING id, user_name, given_name, surname, email, language, pseudonym,
                             password_salt, password_cost, password_hash, version, login_failures, login_after",
                        params![name.as_str(), PROMPT_FAILURES, now],
                    )
                    .await?;
                if let Some(mut row) = tried.clone() {
                    let tried = Event::LoginTried {
                        holder: row.get(0)?,
                        version: row.get(10)?,
                        failures: row.get(11)?,
                        after: row.get(12)?,
                    };
                    audit::record(tx, now, &row.get::<String>(6)?, &tried);
                }
                Ok(tried)
            })
            .await?;
        let Some(mut row) = reserved else {
            self.passwords.matches_nobody(password).await?;
            self.failed(client, "", now).await?;
            return Err(Error::NotLoggedIn);
        };
        let stored = Hashed::read(&mut row, 7)?;
        let holder = read(row)?;
        let matches = self
            .passwords
            .matches(holder.id.as_str(), password, &stored);
        if !matches.await? {
            self.failed(client, &holder.pseudonym, now).await?;
            return Err(Error::NotLoggedIn);
        }
        let (id, person, client) = (
            holder.id.clone(),
            holder.pseudonym.clone(),
            client.to_string(),
        );
        self.store
            .write(async move |tx| {
                const SQL: &str =
                    "UPDATE holder SET login_failures = 0, login_after = 0, version = version + 1
                                   WHERE id = $1 RETURNING version";
                let in_time = tx.find(SQL, params![&id]).await?;
                let mut row = in_time.ok_or(StoreError::Corrupt("a holder who just logged in"))?;
                let event = Event::LoginOk {
                    client: client.clone(),
                    holder: id.to_string(),
                    version: row.get(0)?,
                };
                audit::record(tx, now, &person, &event);
                Ok(())
            })
            .await?;
        Ok(holder)
    }

    async fn failed(&self, client: &ClientId, person: &str, now: Millis) -> Result<(), StoreError> {
        let event = Event::LoginFail {
            client: client.to_string(),
        };
        audit::note(&self.store, now, person, event).await
    }
}

/// How the audit log calls the holder with this user name.
///
/// # Errors
/// When the database fails.
pub async fn pseudonym(store: &Store, user_name: &str) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT pseudonym FROM holder WHERE user_name = $1";
    let row = store.find(SQL, params![user_name]).await?;
    row.map(|mut row| row.get(0)).transpose()
}

fn read(mut row: Row) -> Result<Holder, StoreError> {
    Ok(Holder {
        id: HolderId::new(row.get::<String>(0)?),
        user_name: row.get(1)?,
        given_name: row.get(2)?,
        surname: row.get(3)?,
        email: row.get(4)?,
        language: row.get(5)?,
        pseudonym: row.get(6)?,
    })
}
