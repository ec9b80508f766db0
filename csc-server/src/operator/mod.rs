//! Who runs the service: personal accounts with roles, and the second officer where one is not enough.
//!
//! | file | holds |
//! | --- | --- |
//! | `role`, `capability` | what a person is here for; who may do what, one table |
//! | `account` | a row under a MAC: an account that SQL wrote, or changed, is dead and alarmed |
//! | `login`, `session` | password and code → session; session → [`Operator`] |
//! | `permission` | operator and capability → [`Permission`], spent once |
//! | `approval` | request → approval by a second officer |
//! | `policy` | the settings that two officers approved |
//! | `watch` | alarms over accounts that were forged and acts that were refused |
//! | `manage` | founding, adding and resetting operators, granting and removing roles |
//!
//! Operators are no holders: another table, other passwords, other sessions, no way from one to the other. Nothing here touches a holder's key; what opens
//! that, no operator knows.

mod account;
mod approval;
mod capability;
mod login;
mod manage;
mod permission;
mod policy;
mod role;
mod session;
mod watch;

use hsm_adapter::{HsmError, Stretcher, Vault};

pub use account::{Listed, Operator};
pub use approval::{Rejection, Request};
#[cfg(test)]
pub(crate) use capability::commands;
pub use capability::{Access, Capability, Persons, access, table};
pub use manage::NewOperator;
pub use permission::Permission;
pub use policy::{Difference, hash as policy_hash};
pub use role::{Incompatible, Role, Roles};
pub use session::Token;
pub use watch::Watch;

use crate::{
    clock::Clock,
    ids::ApprovalId,
    password::{self, Passwords},
    store::{Row, Store, StoreError, Tx},
};

/// Why an operator was not let in, or not let do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, wrong password, wrong or used code, or delayed: one answer for all.
    #[error("unknown operator, wrong password or wrong code")]
    NotLoggedIn,
    /// None was begun, or it has ended.
    #[error("you are not logged in, or your session has ended: csc-server login NAME")]
    NoSession,
    /// There are none yet.
    #[error(
        "no operator has an account yet: csc-server slot init --officer NAME --officer NAME makes the first two"
    )]
    NoAccounts,
    /// His app is in use.
    #[error(
        "operator '{0}' is enrolled; two security officers can reset him: csc-server operator reset --name {0}"
    )]
    Enrolled(String),
    /// The first password is known to others.
    #[error("the new password is the first one: choose another")]
    SamePassword,
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
    #[error(
        "operator '{name}' may not do this: no role of his has the capability {}; see `csc-server operator roles`",
        .capability.name()
    )]
    NotAllowed {
        /// Whose roles.
        name: String,
        /// What he wanted.
        capability: Capability,
    },
    /// It takes two: the other one has been asked.
    #[error(
        "request {0} waits for a second officer: csc-server approval approve {0}\n\
         then run the same command again with --approval {0}"
    )]
    Waiting(ApprovalId),
    /// No such request.
    #[error("there is no request '{0}'")]
    NoRequest(ApprovalId),
    /// A request that cannot be approved, refused or used so. Alarmed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Somebody else was first.
    #[error("the request was decided by somebody else meanwhile")]
    StaleRequest,
    /// A request that the service did not write. Alarmed.
    #[error("the request is not what the service wrote: it is dead")]
    DamagedRequest,
    /// One person is not two.
    #[error("it takes two: name two security officers")]
    OneFounder,
    /// The accounts are founded once in the life of a token.
    #[error("this installation has had operators already: nobody can be founded")]
    Founded,
    /// A policy that the service did not write, or none. Alarmed.
    #[error(
        "the policy is not what the service wrote: restore the database, or the token it belongs to"
    )]
    DamagedPolicy,
    /// Another policy than the one that two officers approved.
    #[error("{0}")]
    Policy(Difference),
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

/// Whether there are accounts, and whether that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There never was one.
    NoAccounts,
    /// There are some.
    Accounts,
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
            _ => Standing::Accounts,
        })
    }
}

/// How many accounts there are, and how many the audit log saw made. The service deletes none.
const COUNTS: &str = r#"SELECT (SELECT COUNT(*) FROM operator),
    (SELECT COUNT(*) FROM audit WHERE event LIKE '{"event":"USER_CREATED"%')"#;

/// What the store is told when somebody changed the account since it was read; the unit is rolled back.
fn changed() -> StoreError {
    StoreError::Conflict("the account was changed meanwhile".to_owned())
}

async fn counts(tx: &mut Tx) -> Result<(i64, i64), StoreError> {
    read_counts(tx.find(COUNTS, &[]).await?)
}

fn read_counts(row: Option<Row>) -> Result<(i64, i64), StoreError> {
    let mut row = row.ok_or(StoreError::Corrupt("a count"))?;
    Ok((row.get(0)?, row.get(1)?))
}
