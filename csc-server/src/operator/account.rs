//! An account as it rests: a row under a MAC. What the service did not write, whoever did, is dead.
//!
//! A new account has a first password, which others know, and lets nobody in; `enrol` gives it a password of its owner and his app, and its
//! first code makes it active.

use hsm_adapter::{HsmError, MacKey};
use serde::Serialize;
use subtle::ConstantTimeEq;

use super::{Error, Operators, Role, Roles};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::OperatorId,
    params,
    password::Hashed,
    store::{Row, StoreError, Tx},
};

/// An operator whose account is what the service wrote.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Identifier.
    pub id: OperatorId,
    /// What he is called at the terminal.
    pub name: String,
    /// What he is here for.
    pub roles: Roles,
    pub(super) row: Stored,
}

/// An account as the row says it is.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: OperatorId,
    pub(super) name: String,
    pub(super) roles: String,
    pub(super) state: String,
    /// Which of his apps, from 1: each has a seed of its own.
    pub(super) device: i64,
    pub(super) password: Hashed,
    pub(super) record_mac: Vec<u8>,
}

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No code of its app was seen yet.
    New,
    /// Password and app are its owner's.
    Active,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
        }
    }
}

/// What the audit log vouches for.
pub(super) const TABLE: audit::Table = audit::table!(
    "operator",
    key ["id"],
    told ["version", "login_failures", "login_after", "next_step"],
    recorded [
        "name", "roles", "state", "device", "password_salt", "password_cost", "password_hash", "seat", "created",
    ]
);

/// What becomes of an account.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Enrolled,
    Password,
    Reset,
    Granted(Role),
    Removed(Role),
}

impl Change {
    /// The event that tells of it: the version of the row from then on, and its record.
    pub(super) fn event(self, account: &Stored, version: i64, record: String) -> Event {
        let operator = account.id.to_string();
        match self {
            Self::Enrolled => Event::OperatorEnrolled {
                operator,
                version,
                record,
            },
            Self::Password => Event::OperatorPasswordChanged {
                operator,
                version,
                record,
            },
            Self::Reset => Event::OperatorReset {
                operator,
                version,
                record,
            },
            Self::Granted(role) => Event::RoleGranted {
                operator,
                role: role.name(),
                version,
                record,
            },
            Self::Removed(role) => Event::RoleRemoved {
                operator,
                role: role.name(),
                version,
                record,
            },
        }
    }
}

/// The columns of [`Stored::read`], in their order.
macro_rules! columns {
    () => {
        "id, name, roles, state, device, password_salt, password_cost, password_hash, record_mac"
    };
}
pub(super) use columns;
/// The first column after them.
pub(super) const COUNTED: usize = 9;

/// An account, for a list of them.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Identifier.
    pub id: OperatorId,
    /// Name, as the row says.
    pub name: String,
    /// Roles, as the row says.
    pub roles: String,
    /// `new` or `active`, as the row says.
    pub state: String,
    /// Whether the row is what the service wrote.
    pub genuine: bool,
}

impl Stored {
    pub(super) fn read(mut row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: OperatorId::new(row.get::<String>(0)?),
            name: row.get(1)?,
            roles: row.get(2)?,
            state: row.get(3)?,
            device: row.get(4)?,
            password: Hashed::read(&mut row, 5)?,
            record_mac: row.get(8)?,
        })
    }

    /// What the MAC covers: everything but the counts of tries and codes, which change in SQL and are witnessed by the audit log.
    fn record(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Record<'a> {
            version: u8,
            operator: &'a str,
            name: &'a str,
            roles: &'a str,
            state: &'a str,
            device: i64,
            salt: String,
            cost: String,
            hash: String,
        }
        let record = Record {
            version: 1,
            operator: self.id.as_str(),
            name: &self.name,
            roles: &self.roles,
            state: &self.state,
            device: self.device,
            salt: hex::encode(&self.password.salt),
            cost: self.password.cost(),
            hash: hex::encode(&self.password.hash),
        };
        // Strings and integers always serialise.
        serde_json::to_vec(&record).unwrap_or_default()
    }

    pub(super) async fn insert(
        &self,
        tx: &mut Tx,
        seat: Option<i64>,
        now: Millis,
    ) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO operator (id, name, roles, password_salt, password_cost, password_hash, record_mac, seat, created, state,
                 device, version, login_failures, login_after, next_step)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, 0, 0, 0)",
            params![
                &self.id,
                self.name.as_str(),
                self.roles.as_str(),
                self.password.salt.clone(),
                self.password.cost(),
                self.password.hash.clone(),
                self.record_mac.clone(),
                seat,
                now,
                self.state.as_str(),
                self.device
            ],
        )
        .await
        .map(drop)
    }

    /// Writes this over the row that has that MAC: its version then, and its record. `None` when it has another MAC by now.
    pub(super) async fn replace(
        &self,
        tx: &mut Tx,
        old_mac: &[u8],
    ) -> Result<Option<(i64, String)>, StoreError> {
        let changed = tx
            .find(
                "UPDATE operator SET roles = $3, password_salt = $4, password_cost = $5, password_hash = $6, record_mac = $7,
                     state = $8, device = $9, next_step = CASE WHEN device = $9 THEN next_step ELSE 0 END,
                     version = version + 1
                 WHERE id = $1 AND record_mac = $2 RETURNING version",
                params![
                    &self.id,
                    old_mac,
                    self.roles.as_str(),
                    self.password.salt.clone(),
                    self.password.cost(),
                    self.password.hash.clone(),
                    self.record_mac.clone(),
                    self.state.as_str(),
                    self.device
                ],
            )
            .await?;
        match changed {
            None => Ok(None),
            Some(mut row) => Ok(Some((row.get(0)?, TABLE.record(tx, &self.id).await?))),
        }
    }
}

impl Operators {
    /// The operator of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Damaged`], or a failure of database or HSM.
    pub async fn find(&self, name: &str) -> Result<Operator, Error> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM operator WHERE name = $1");
        let row = self.store.find(SQL, params![name]).await?;
        let row = row.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        self.genuine(Stored::read(row)?).await
    }

    pub(super) async fn by_id(&self, id: &OperatorId) -> Result<Operator, Error> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM operator WHERE id = $1");
        let row = self.store.find(SQL, params![id]).await?;
        let row = row.ok_or_else(|| Error::Unknown(id.to_string()))?;
        self.genuine(Stored::read(row)?).await
    }

    /// Every account, in the order of their names, and whether the service wrote it.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        const SQL: &str = concat!("SELECT ", columns!(), " FROM operator ORDER BY name");
        let mut listed = Vec::new();
        for row in self.store.query(SQL, &[]).await? {
            let stored = Stored::read(row)?;
            let Stored {
                id,
                name,
                roles,
                state,
                ..
            } = stored.clone();
            let genuine = self.read(stored).await?.is_some();
            listed.push(Listed {
                id,
                name,
                roles,
                state,
                genuine,
            });
        }
        Ok(listed)
    }

    /// The account, if the service wrote it so; otherwise the alarm.
    pub(super) async fn genuine(&self, stored: Stored) -> Result<Operator, Error> {
        let id = stored.id.clone();
        match self.read(stored).await? {
            Some(operator) => Ok(operator),
            None => {
                self.alarm(Some(&id)).await?;
                Err(Error::Damaged)
            }
        }
    }

    async fn read(&self, stored: Stored) -> Result<Option<Operator>, HsmError> {
        let mac = self.mac(&stored).await?;
        let roles = Roles::parse(&stored.roles);
        let roles = roles.filter(|_| bool::from(mac.ct_eq(&stored.record_mac)));
        Ok(roles.map(|roles| Operator {
            id: stored.id.clone(),
            name: stored.name.clone(),
            roles,
            row: stored,
        }))
    }

    /// The account with the MAC of what it says now.
    pub(super) async fn sealed(&self, mut stored: Stored) -> Result<Stored, HsmError> {
        stored.record_mac = self.mac(&stored).await?;
        Ok(stored)
    }

    async fn mac(&self, stored: &Stored) -> Result<Vec<u8>, HsmError> {
        let mac = self
            .vault
            .mac(MacKey::Operator, &[&stored.record()])
            .await?;
        Ok(mac.to_vec())
    }

    /// An account that the service did not write, or, without one, accounts that are gone: the service deletes none.
    pub(super) async fn alarm(&self, operator: Option<&OperatorId>) -> Result<(), StoreError> {
        let operator = operator.map(OperatorId::to_string);
        tracing::error!(
            operator,
            "the accounts of operators are not what the service wrote"
        );
        let event = Event::OperatorIntegrityFail { operator };
        audit::note(&self.store, self.clock.now(), "", event).await
    }
}

impl Operator {
    /// The role that a row of the audit log names when none in particular lets him.
    pub(super) fn any_role(&self) -> Option<Role> {
        self.roles.iter().next()
    }
}
