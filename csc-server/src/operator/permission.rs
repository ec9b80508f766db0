//! Operator and capability → permission. A permission is spent once, in the transaction of what it permits.

use super::{
    Capability, Error, Operator, Operators, Persons, Role, Standing,
    approval::{Approval, LIFETIME, State},
    counts,
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
    pub(super) basis: Basis,
}

#[derive(Debug)]
pub(super) enum Basis {
    /// One person is enough.
    Alone,
    /// One of the first two accounts, made before there were two to approve.
    Seat(i64),
    /// The second officer approved: the request as it will be when used, and the MAC it has until then.
    Approved(Box<Approval>, Vec<u8>),
}

impl Permission {
    /// Where operators have no accounts whoever has the terminal may do everything, and make the first account.
    pub fn without_accounts(capability: Capability) -> Self {
        Self {
            actor: Actor::Terminal,
            basis: match capability {
                Capability::CreateOperator => Basis::Seat(1),
                _ => Basis::Alone,
            },
        }
    }

    /// Spends it for something that is no single transaction of this database: who acts from now on.
    ///
    /// # Errors
    /// [`Error::State`] when it was spent or has expired meanwhile.
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
        match &self.basis {
            Basis::Alone => Ok(true),
            // Whoever else takes the same seat fails at its unique column.
            Basis::Seat(seat) => Ok(counts(tx).await? == (seat - 1, seat - 1)),
            Basis::Approved(used, old_mac) => {
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
        let role = self.role(operator, capability).await?;
        let basis = if capability == Capability::CreateOperator
            && Self::standing(&self.store).await? == Standing::Accounts(1)
        {
            Basis::Seat(2)
        } else if capability.persons() == Persons::One {
            Basis::Alone
        } else if let Some(id) = approval {
            self.approved(operator, capability, command, id).await?
        } else {
            let id = self.request(operator, role, capability, command).await?;
            return Err(Error::Waiting(id));
        };
        let approval = match &basis {
            Basis::Approved(approval, _) => Some(approval.id.to_string()),
            _ => None,
        };
        Ok(Permission {
            actor: actor(operator, Some(role), approval),
            basis,
        })
    }

    /// The role that lets him; a refusal is recorded.
    pub(super) async fn role(
        &self,
        operator: &Operator,
        capability: Capability,
    ) -> Result<Role, Error> {
        if let Some(role) = capability.role_in(&operator.roles) {
            return Ok(role);
        }
        let store = self
            .store
            .acting(actor(operator, operator.any_role(), None));
        let event = Event::CapabilityRefused {
            capability: capability.name(),
        };
        audit::note(&store, self.clock.now(), "", event).await?;
        Err(Error::NotAllowed {
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
            return Err(Error::OtherRequest);
        }
        approval.must_be(&[State::Approved], self.clock.now())?;
        // Both must still be who they were: a role removed since then approves nothing.
        let approver = approval.approver.clone().ok_or(Error::DamagedRequest)?;
        let approver = self.by_id(&approver).await?;
        if capability.role_in(&approver.roles).is_none() {
            return Err(Error::NotAllowed {
                name: approver.name,
                capability,
            });
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
pub(super) const SPENT: Error = Error::State("was used, or has expired");

pub(super) fn actor(operator: &Operator, role: Option<Role>, approval: Option<String>) -> Actor {
    Actor::Operator {
        id: operator.id.to_string(),
        role: role.map(Role::name),
        approval,
    }
}
