//! Operator and capability → permission. A permission is spent once, in the transaction of what it permits.

use super::{
    Capability, Error, Operator, Operators, Persons, Role,
    approval::{Approval, LIFETIME, Rejection, State},
};
use crate::{
    actor::Actor,
    audit::{self, Event},
    clock::Millis,
    ids::ApprovalId,
    params,
    store::{Store, StoreError, Tx},
};

/// Somebody may do something, once.
#[derive(Debug)]
pub struct Permission {
    pub(super) actor: Actor,
    basis: Basis,
}

#[derive(Debug)]
enum Basis {
    /// One person is enough.
    Alone,
    /// The second officer approved: the request as it will be when used, and the MAC it has until then.
    Approved(Box<Approval>, Vec<u8>),
}

impl Permission {
    /// Spends it for something that is no single transaction of this database: who acts from now on.
    ///
    /// # Errors
    /// [`Error::Rejected`] when it was spent or has expired meanwhile.
    pub async fn begin(self, store: &Store, now: Millis) -> Result<Actor, Error> {
        let actor = self.actor.clone();
        if let Basis::Alone = self.basis {
            return Ok(actor);
        }
        let spent = store
            .acting(actor.clone())
            .write(async move |tx| self.spend(tx, now).await)
            .await?;
        spent.then_some(actor).ok_or(SPENT)
    }

    /// Spends it: false when it is no good any more. The first statement of the unit that does what it permits.
    pub(super) async fn spend(&self, tx: &mut Tx, now: Millis) -> Result<bool, StoreError> {
        let Basis::Approved(used, old_mac) = &self.basis else {
            return Ok(true);
        };
        let spent = tx
            .execute(
                "UPDATE approval SET state = $3, record_mac = $4
                 WHERE id = $1 AND record_mac = $2 AND state = 'approved' AND requested > $5",
                params![
                    &used.id,
                    old_mac.clone(),
                    used.state.name(),
                    used.record_mac.clone(),
                    now - LIFETIME
                ],
            )
            .await?;
        if spent == 1 {
            let approval = used.id.to_string();
            audit::record(tx, now, "", &Event::DualUsed { approval });
        }
        Ok(spent == 1)
    }
}

impl Operators {
    /// Whether this operator may run this command now.
    ///
    /// # Errors
    /// [`Error::NotAllowed`]; where it takes two, [`Error::Waiting`] without an approval, and what is wrong with the one there is.
    pub async fn permit(
        &self,
        operator: &Operator,
        capability: Capability,
        command: &str,
        approval: Option<&ApprovalId>,
    ) -> Result<Permission, Error> {
        let role = match capability.role_in(&operator.roles) {
            Some(role) => role,
            None => return Err(self.not_allowed(operator, capability).await?),
        };
        let basis = match (capability.persons(), approval) {
            (Persons::One, _) => Basis::Alone,
            (Persons::Two, Some(id)) => self.approved(operator, capability, command, id).await?,
            (Persons::Two, None) => {
                let id = self.request(operator, role, capability, command).await?;
                return Err(Error::Waiting(id));
            }
        };
        let approval = match &basis {
            Basis::Approved(approval, _) => Some(approval.id.to_string()),
            Basis::Alone => None,
        };
        Ok(Permission {
            actor: actor(operator, Some(role), approval),
            basis,
        })
    }

    /// Records that none of his roles lets him; the answer to it.
    pub(super) async fn not_allowed(
        &self,
        operator: &Operator,
        capability: Capability,
    ) -> Result<Error, StoreError> {
        let store = self
            .store
            .acting(actor(operator, operator.any_role(), None));
        let event = Event::CapabilityRefused {
            capability: capability.name(),
        };
        audit::note(&store, self.clock.now(), "", event).await?;
        Ok(Error::NotAllowed {
            name: operator.name.clone(),
            capability,
        })
    }

    async fn approved(
        &self,
        operator: &Operator,
        capability: Capability,
        command: &str,
        id: &ApprovalId,
    ) -> Result<Basis, Error> {
        let approval = self.approval(id).await?;
        if approval.requester != operator.id
            || approval.capability != capability.name()
            || approval.command != command
        {
            return Err(self.reject(operator, id, Rejection::Other).await?);
        }
        if let Err(rejection) = approval.must_be(&[State::Approved], self.clock.now()) {
            return Err(self.reject(operator, id, rejection).await?);
        }
        // The other one must still be who he was: a role removed since then approves nothing.
        let approver = approval.approver.clone().ok_or(Error::DamagedRequest)?;
        let approver = self.by_id(&approver).await?;
        if capability.approver_in(&approver.roles).is_none() {
            return Err(self.reject(operator, id, Rejection::Approver).await?);
        }
        let old_mac = approval.record_mac.clone();
        let used = Approval {
            state: State::Used,
            ..approval
        };
        Ok(Basis::Approved(Box::new(self.signed(used).await?), old_mac))
    }
}

/// What a permission is that somebody spent meanwhile.
pub(super) const SPENT: Error = Error::Rejected(Rejection::Used);

pub(super) fn actor(operator: &Operator, role: Option<Role>, approval: Option<String>) -> Actor {
    Actor::Operator {
        id: operator.id.to_string(),
        role: role.map(Role::name),
        approval,
    }
}
