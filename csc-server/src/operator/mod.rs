//! Who runs the service: personal accounts with roles, and the second officer where one is not enough.
//!
//! | file | holds |
//! | --- | --- |
//! | `role`, `capability` | what a person is here for; who may do what, one table |
//! | `account` | a row under a MAC: an account that SQL wrote, or changed, is dead and alarmed |
//! | `login`, `permission` | password → [`Operator`]; operator and capability → [`Permission`], spent once |
//! | `approval` | request → approval by a second officer |
//! | `manage` | adding operators, granting and removing roles, passwords |
//!
//! Operators are no holders: another table, other passwords, no way from one to the other. Nothing here touches a holder's key; what opens
//! that, no operator knows.

mod account;
mod approval;
mod capability;
mod login;
mod manage;
mod permission;
mod role;

use hsm_adapter::{HsmError, Stretcher, Vault};

pub use account::{Listed, Operator};
pub use approval::Request;
pub use capability::{Capability, Persons, table};
pub use permission::Permission;
pub use role::{Incompatible, Role, Roles};

use crate::{
    clock::Clock,
    ids::ApprovalId,
    password::{self, Passwords},
    store::{Row, Store, StoreError, Tx},
};

/// Why an operator was not let in, or not let do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, wrong password or delayed: one answer for all.
    #[error("unknown operator or wrong password")]
    NotLoggedIn,
    /// No such account.
    #[error("there is no operator '{0}'; see `csc-server operator list`")]
    Unknown(String),
    /// An account that the service did not write. Alarmed.
    #[error("the account is not what the service wrote: it is dead")]
    Damaged,
    /// Accounts there were, and none is left. Alarmed.
    #[error("operators had accounts, and all are gone: restore the database")]
    Emptied,
    /// None of the roles has the capability.
    #[error("operator '{name}' may not do this: no role of his has the capability {}", .capability.name())]
    NotAllowed {
        /// Whose roles.
        name: String,
        /// What he wanted.
        capability: Capability,
    },
    /// It takes two: the other one has been asked.
    #[error(
        "request {0} waits for a second officer: csc-server --as NAME approval approve {0}\n\
         then run the same command again with --approval {0}"
    )]
    Waiting(ApprovalId),
    /// No such request.
    #[error("there is no request '{0}'")]
    NoRequest(ApprovalId),
    /// Made by somebody else, or for something else.
    #[error("the request is another officer's, or for another command")]
    OtherRequest,
    /// It cannot be used, approved or refused any more, or not yet.
    #[error("the request {0}")]
    State(&'static str),
    /// Requester and approver are one person.
    #[error("it takes two: who made a request cannot approve it")]
    SamePerson,
    /// A request that the service did not write. Alarmed.
    #[error("the request is not what the service wrote: it is dead")]
    DamagedRequest,
    /// Founders are security officers.
    #[error("the first two operators are security officers, and nothing else")]
    FirstTwo,
    /// Fewer could approve nothing any more.
    #[error("two security officers must remain")]
    LastTwo,
    /// The name is in use.
    #[error("the name '{0}' is taken")]
    Taken(String),
    /// A name that cannot be one.
    #[error("a name has 1 to 64 letters, digits, '-', '_' or '.'")]
    BadName,
    /// Nothing would change.
    #[error("operator '{0}' has the role already, or never had it")]
    NoChange(String),
    /// Roles that do not meet in one person.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// The new password.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// How many accounts there are, and whether that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There never was one: whoever has the terminal acts.
    NoAccounts,
    /// So many.
    Accounts(i64),
    /// The audit log knows of some, and there is none.
    Emptied,
}

/// The accounts of operators.
#[derive(Clone)]
pub struct Operators {
    store: Store,
    clock: Clock,
    vault: Vault,
    passwords: Passwords,
}

impl Operators {
    /// Accounts in this database, under the MAC and the pepper of this vault.
    pub fn new(store: Store, clock: Clock, vault: Vault, stretcher: Stretcher) -> Self {
        Self {
            store,
            clock,
            passwords: Passwords::new(vault.clone(), stretcher),
            vault,
        }
    }

    /// Whether operators have accounts; needs no HSM.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(store: &Store) -> Result<Standing, StoreError> {
        Ok(match read_counts(store.find(COUNTS, &[]).await?)? {
            (0, 0) => Standing::NoAccounts,
            (0, _) => Standing::Emptied,
            (accounts, _) => Standing::Accounts(accounts),
        })
    }

    /// Looks at every account, for the start of the service: alarms over each that the service did not write, and when some are gone.
    ///
    /// # Errors
    /// When database or HSM fail.
    pub async fn check(&self) -> Result<Standing, Error> {
        let listed = self.list().await?;
        let (_, created) = read_counts(self.store.find(COUNTS, &[]).await?)?;
        if (listed.len() as i64) < created {
            self.alarm(None).await?;
        }
        Ok(Self::standing(&self.store).await?)
    }
}

/// How many accounts there are, and how many the audit log saw made. The service deletes none.
const COUNTS: &str = r#"SELECT (SELECT COUNT(*) FROM operator),
    (SELECT COUNT(*) FROM audit WHERE event LIKE '{"event":"USER_CREATED"%')"#;

async fn counts(tx: &mut Tx) -> Result<(i64, i64), StoreError> {
    read_counts(tx.find(COUNTS, &[]).await?)
}

fn read_counts(row: Option<Row>) -> Result<(i64, i64), StoreError> {
    let mut row = row.ok_or(StoreError::Corrupt("a count"))?;
    Ok((row.get(0)?, row.get(1)?))
}
