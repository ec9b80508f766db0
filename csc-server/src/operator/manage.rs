//! Who the operators are.

use super::{
    Error, Operator, Operators, Permission, Role, Roles,
    account::Stored,
    login,
    permission::{Basis, SPENT, actor},
};
use crate::{
    audit::{self, Event},
    ids::OperatorId,
    params,
    store::StoreError,
};

/// What the store is told when somebody changed the account since it was read; the unit is rolled back.
const CHANGED: &str = "the account was changed meanwhile";

impl Operators {
    /// Adds an operator; he should type the password himself.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::BadName`], [`Error::FirstTwo`], a bad password, or a permission that is spent.
    pub async fn add(
        &self,
        permission: Permission,
        name: &str,
        roles: Roles,
        password: &str,
    ) -> Result<OperatorId, Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(Error::BadName);
        }
        let seat = match permission.basis {
            Basis::Seat(_) if !roles.has(Role::SecurityOfficer) => return Err(Error::FirstTwo),
            Basis::Seat(seat) => Some(seat),
            _ => None,
        };
        let id = OperatorId::random();
        let account = self
            .sealed(Stored {
                id: id.clone(),
                name: name.to_owned(),
                roles: roles.to_string(),
                password: self
                    .passwords
                    .set(&login::owner_of(id.as_str()), password)
                    .await?,
                record_mac: Vec::new(),
            })
            .await?;
        let now = self.clock.now();
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
                account.insert(tx, seat, now).await?;
                let event = Event::UserCreated {
                    operator: account.id.to_string(),
                    roles: account.roles.clone(),
                };
                audit::record(tx, now, "", &event);
                Ok(Ok(()))
            })
            .await??;
        Ok(id)
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
        let leaves = operator.roles.has(Role::SecurityOfficer);
        let old_mac = operator.row.record_mac.clone();
        let account = self
            .sealed(Stored {
                roles: roles.to_string(),
                ..operator.row
            })
            .await?;
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
                    return Err(StoreError::Conflict(CHANGED.to_owned()));
                }
                audit::record(tx, now, "", &event);
                Ok(Ok(()))
            })
            .await?
    }

    /// Changes the password of the operator who is logged in.
    ///
    /// # Errors
    /// A bad password, or a failure of database or HSM.
    pub async fn change_password(&self, operator: Operator, password: &str) -> Result<(), Error> {
        let by = actor(&operator, operator.any_role(), None);
        let old_mac = operator.row.record_mac.clone();
        let account = self
            .sealed(Stored {
                password: self
                    .passwords
                    .set(&login::owner(&operator), password)
                    .await?,
                ..operator.row
            })
            .await?;
        let now = self.clock.now();
        self.store
            .acting(by)
            .write(async move |tx| {
                if !account.replace(tx, &old_mac).await? {
                    return Err(StoreError::Conflict(CHANGED.to_owned()));
                }
                let event = Event::OperatorPasswordChanged {
                    operator: account.id.to_string(),
                };
                audit::record(tx, now, "", &event);
                Ok(())
            })
            .await?;
        Ok(())
    }
}
