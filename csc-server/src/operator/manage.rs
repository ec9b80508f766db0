//! Who the operators are.

use super::{
    Error, Operator, Operators, Permission, Role, Roles,
    account::{State, Stored},
    changed, counts,
    permission::SPENT,
    session,
};
use crate::{
    actor::Actor,
    audit::{self, Event},
    ids::OperatorId,
    params, password,
    store::Tx,
};

/// An operator who is to be made.
pub struct NewOperator<'a> {
    /// What he is called at the terminal.
    pub name: &'a str,
    /// What he is here for.
    pub roles: Roles,
    /// His first password.
    pub password: &'a str,
}

impl NewOperator<'_> {
    /// Whether name and password can be.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::Password`].
    pub fn check(&self) -> Result<(), Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(allowed) {
            return Err(Error::BadName);
        }
        Ok(password::check(self.password)?)
    }
}

impl Operators {
    /// Makes the first two accounts, security officers both, of a token that has just got its keys: there is nobody yet to approve (SC-20).
    /// These settings become the policy.
    ///
    /// # Errors
    /// [`Error::Founded`] when there is an account, or ever was one.
    pub async fn found(
        &self,
        founders: [(&str, &str); 2],
        policy: &str,
    ) -> Result<[OperatorId; 2], Error> {
        let [one, other] = founders.map(|(name, password)| NewOperator {
            name,
            roles: Roles::officer(),
            password,
        });
        if one.name == other.name {
            return Err(Error::OneFounder);
        }
        let policy = self.policy(policy).await?;
        let accounts = [self.account(&one).await?, self.account(&other).await?];
        let ids = accounts.each_ref().map(|account| account.id.clone());
        let now = self.clock.now();
        self.store
            .acting(Actor::Installation)
            .write(async move |tx| {
                if counts(tx).await? != (0, 0) {
                    return Ok(Err(Error::Founded));
                }
                for (seat, account) in (1..).zip(&accounts) {
                    // Whoever else founds at the same time fails at the seat, which is unique.
                    account.insert(tx, Some(seat), now).await?;
                    created(tx, account, now);
                }
                policy.write(tx, now).await?;
                Ok(Ok(()))
            })
            .await??;
        Ok(ids)
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::BadName`], a bad password, or a permission that is spent.
    pub async fn add(
        &self,
        permission: Permission,
        new: &NewOperator<'_>,
    ) -> Result<OperatorId, Error> {
        let account = self.account(new).await?;
        let (id, now) = (account.id.clone(), self.clock.now());
        self.store
            .acting(permission.actor.clone())
            .write(async move |tx| {
                let taken = "SELECT id FROM operator WHERE name = $1";
                if tx
                    .find(taken, params![account.name.as_str()])
                    .await?
                    .is_some()
                {
                    return Ok(Err(Error::Taken(account.name.clone())));
                }
                if !permission.spend(tx, now).await? {
                    return Ok(Err(SPENT));
                }
                account.insert(tx, None, now).await?;
                created(tx, &account, now);
                Ok(Ok(()))
            })
            .await??;
        Ok(id)
    }

    async fn account(&self, new: &NewOperator<'_>) -> Result<Stored, Error> {
        new.check()?;
        let id = OperatorId::random();
        let account = Stored {
            name: new.name.to_owned(),
            roles: new.roles.to_string(),
            state: State::New.name().to_owned(),
            device: 1,
            password: self.hashed(&id, new.password).await?,
            record_mac: Vec::new(),
            id,
        };
        Ok(self.sealed(account).await?)
    }

    /// Gives an operator who lost password or app a first password and another app; his sessions end.
    ///
    /// # Errors
    /// A bad password, or a permission that is spent.
    pub async fn reset(
        &self,
        permission: Permission,
        name: &str,
        password: &str,
    ) -> Result<(), Error> {
        let operator = self.find(name).await?;
        let event = Event::OperatorReset {
            operator: operator.id.to_string(),
        };
        let account = Stored {
            state: State::New.name().to_owned(),
            device: operator.row.device + 1,
            password: self.hashed(&operator.id, password).await?,
            ..operator.row.clone()
        };
        self.replace(permission, operator, account, event).await
    }

    /// Gives an operator one more role.
    ///
    /// # Errors
    /// [`Error::Incompatible`] with those he has, [`Error::NoChange`], or a permission that is spent.
    pub async fn grant(&self, permission: Permission, name: &str, role: Role) -> Result<(), Error> {
        let operator = self.find(name).await?;
        let roles = operator.roles.clone().with(role)?;
        let event = Event::RoleGranted {
            operator: operator.id.to_string(),
            role: role.name(),
        };
        self.set_roles(permission, operator, roles, event).await
    }

    /// Takes a role away; the account stays. Two security officers always remain.
    ///
    /// # Errors
    /// [`Error::LastTwo`], [`Error::NoChange`], or a permission that is spent.
    pub async fn remove(
        &self,
        permission: Permission,
        name: &str,
        role: Role,
    ) -> Result<(), Error> {
        let operator = self.find(name).await?;
        let roles = operator.roles.clone().without(role);
        let event = Event::RoleRemoved {
            operator: operator.id.to_string(),
            role: role.name(),
        };
        self.set_roles(permission, operator, roles, event).await
    }

    async fn set_roles(
        &self,
        permission: Permission,
        operator: Operator,
        roles: Roles,
        event: Event,
    ) -> Result<(), Error> {
        if roles == operator.roles {
            return Err(Error::NoChange(operator.name));
        }
        let account = Stored {
            roles: roles.to_string(),
            ..operator.row.clone()
        };
        self.replace(permission, operator, account, event).await
    }

    async fn replace(
        &self,
        permission: Permission,
        old: Operator,
        account: Stored,
        event: Event,
    ) -> Result<(), Error> {
        let account = self.sealed(account).await?;
        let leaves = account.roles != old.row.roles && old.roles.has(Role::SecurityOfficer);
        let old_mac = old.row.record_mac;
        let now = self.clock.now();
        self.store
            .acting(permission.actor.clone())
            .write(async move |tx| {
                if leaves {
                    // Takes every row first: of two officers who remove each other's, one goes second and counts what is left.
                    tx.execute("UPDATE operator SET seat = seat", &[]).await?;
                    // An officer has no other role.
                    let officers = "SELECT id FROM operator WHERE roles = $1";
                    let role = Role::SecurityOfficer.name();
                    if tx.query(officers, params![role]).await?.len() <= 2 {
                        return Ok(Err(Error::LastTwo));
                    }
                }
                if !permission.spend(tx, now).await? {
                    return Ok(Err(SPENT));
                }
                if !account.replace(tx, &old_mac).await? {
                    return Err(changed());
                }
                session::end_all(tx, &account.id).await?;
                audit::record(tx, now, "", &event);
                Ok(Ok(()))
            })
            .await?
    }
}

fn created(tx: &mut Tx, account: &Stored, now: i64) {
    let event = Event::UserCreated {
        operator: account.id.to_string(),
        roles: account.roles.clone(),
    };
    audit::record(tx, now, "", &event);
}
