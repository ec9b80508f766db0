//! Request → approval by a second officer, with his own password; good for the one command it names, once, for a day (EN 419 241-1,
//! SRG_KM.1, SRG_M.1). A row under a MAC: SQL approves nothing.

use hsm_adapter::MacKey;
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Capability, Error, Operator, Operators, Role, permission::actor};
use crate::{
    audit::{self, Event},
    clock::Millis,
    ids::{ApprovalId, OperatorId},
    params,
    store::{Row, StoreError},
};

/// How long a request may be approved and used.
pub(super) const LIFETIME: Millis = 24 * 60 * 60 * 1000;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Approved,
    Refused,
    Used,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Approved, Self::Refused, Self::Used]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Why a request cannot be approved, refused or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Requester and approver are one person.
    #[error("it takes two: who made a request cannot approve it")]
    Requester,
    /// Made by somebody else, or for something else.
    #[error("the request is another officer's, or for another command")]
    Other,
    /// Nobody has approved it yet.
    #[error("the request still waits for a second officer")]
    Waiting,
    /// Somebody has.
    #[error("the request was approved already")]
    Approved,
    /// Somebody refused it.
    #[error("the request was refused")]
    Refused,
    /// It is good once.
    #[error("the request was used")]
    Used,
    /// It is good for a day.
    #[error("the request has expired; make it again")]
    Expired,
    /// His role was removed since.
    #[error("who approved the request has no role any more that approves this")]
    Approver,
}

impl Rejection {
    /// The name in the audit log.
    fn name(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Other => "other",
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Approver => "approver",
        }
    }
}

/// A request as the row says it is.
#[derive(Clone, Debug)]
pub(super) struct Approval {
    pub(super) id: ApprovalId,
    pub(super) capability: String,
    pub(super) command: String,
    pub(super) requester: OperatorId,
    pub(super) requested: Millis,
    pub(super) state: State,
    /// Who approved or refused.
    pub(super) approver: Option<OperatorId>,
    pub(super) record_mac: Vec<u8>,
}

/// A request that can still be approved, refused or used.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Identifier.
    pub approval: String,
    /// What capability it takes.
    pub capability: String,
    /// The command and its arguments.
    pub command: serde_json::Value,
    /// Name of who asks.
    pub requester: String,
    /// `waiting` or `approved`.
    pub state: &'static str,
    /// When it was made.
    pub requested: Millis,
    /// When it ends.
    pub expires: Millis,
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, capability, command, requester, requested, state, approver, record_mac FROM approval WHERE ",
            $where
        )
    };
}

impl Approval {
    /// Refuses to go on from another state, or past its time.
    pub(super) fn must_be(&self, states: &[State], now: Millis) -> Result<(), Rejection> {
        Err(match self.state {
            State::Used => Rejection::Used,
            State::Refused => Rejection::Refused,
            _ if self.requested <= now - LIFETIME => Rejection::Expired,
            state if states.contains(&state) => return Ok(()),
            State::Waiting => Rejection::Waiting,
            State::Approved => Rejection::Approved,
        })
    }

    fn record(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Record<'a> {
            version: u8,
            approval: &'a str,
            capability: &'a str,
            command: &'a str,
            requester: &'a str,
            requested: Millis,
            state: &'a str,
            approver: Option<&'a str>,
        }
        let record = Record {
            version: 1,
            approval: self.id.as_str(),
            capability: &self.capability,
            command: &self.command,
            requester: self.requester.as_str(),
            requested: self.requested,
            state: self.state.name(),
            approver: self.approver.as_ref().map(OperatorId::as_str),
        };
        // Strings and integers always serialise.
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

impl Operators {
    /// What this operator may still approve or use, oldest first.
    ///
    /// # Errors
    /// When database or HSM fail, or a request is not what the service wrote.
    pub async fn requests(&self, operator: &Operator) -> Result<Vec<Request>, Error> {
        const SQL: &str =
            select!("state IN ('waiting', 'approved') AND requested > $1 ORDER BY requested, id");
        let since = self.clock.now() - LIFETIME;
        let mut requests = Vec::new();
        for row in self.store.query(SQL, params![since]).await? {
            let approval = self.genuine_request(read(row)?).await?;
            let capability = approval.capability()?;
            let own = approval.requester == operator.id;
            if !own && capability.approver_in(&operator.roles).is_none() {
                continue;
            }
            requests.push(Request {
                requester: self.by_id(&approval.requester).await?.name,
                command: serde_json::from_str(&approval.command).unwrap_or_default(),
                state: approval.state.name(),
                requested: approval.requested,
                expires: approval.requested + LIFETIME,
                approval: approval.id.to_string(),
                capability: approval.capability,
            });
        }
        Ok(requests)
    }

    /// Approves a request of somebody else, who proves himself once more by his password.
    ///
    /// # Errors
    /// [`Error::NotLoggedIn`], [`Error::NotAllowed`], [`Error::Rejected`].
    pub async fn approve(
        &self,
        operator: &Operator,
        password: &str,
        id: &ApprovalId,
    ) -> Result<(), Error> {
        let operator = &self.confirmed(&operator.name, password).await?;
        let approval = self.approval(id).await?;
        if approval.requester == operator.id {
            return Err(self.reject(operator, id, Rejection::Requester).await?);
        }
        let capability = approval.capability()?;
        let Some(role) = capability.approver_in(&operator.roles) else {
            return Err(self.not_allowed(operator, capability).await?);
        };
        if let Err(rejection) = approval.must_be(&[State::Waiting], self.clock.now()) {
            return Err(self.reject(operator, id, rejection).await?);
        }
        self.decide(operator, role, approval, State::Approved).await
    }

    /// Refuses a request, also one's own, also one that was approved and not used yet.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::Rejected`].
    pub async fn refuse(&self, operator: &Operator, id: &ApprovalId) -> Result<(), Error> {
        let approval = self.approval(id).await?;
        let capability = approval.capability()?;
        let role = match approval.requester == operator.id {
            true => capability.role_in(&operator.roles),
            false => capability.approver_in(&operator.roles),
        };
        let Some(role) = role else {
            return Err(self.not_allowed(operator, capability).await?);
        };
        let open = [State::Waiting, State::Approved];
        if let Err(rejection) = approval.must_be(&open, self.clock.now()) {
            return Err(self.reject(operator, id, rejection).await?);
        }
        self.decide(operator, role, approval, State::Refused).await
    }

    /// Records that a request cannot be approved, refused or used so; the answer to it.
    pub(super) async fn reject(
        &self,
        operator: &Operator,
        id: &ApprovalId,
        rejection: Rejection,
    ) -> Result<Error, StoreError> {
        let store = self
            .store
            .acting(actor(operator, operator.any_role(), None));
        let event = Event::DualRejected {
            approval: id.to_string(),
            reason: rejection.name(),
        };
        audit::note(&store, self.clock.now(), "", event).await?;
        Ok(Error::Rejected(rejection))
    }

    async fn decide(
        &self,
        operator: &Operator,
        role: Role,
        approval: Approval,
        state: State,
    ) -> Result<(), Error> {
        let (old, now) = (approval.record_mac.clone(), self.clock.now());
        let next = self
            .signed(Approval {
                state,
                approver: Some(operator.id.clone()),
                ..approval
            })
            .await?;
        let decided = self
            .store
            .acting(actor(operator, Some(role), None))
            .write(async move |tx| {
                let decided = tx
                    .execute(
                        "UPDATE approval SET state = $3, approver = $4, decided = $5, record_mac = $6
                         WHERE id = $1 AND record_mac = $2 AND state IN ('waiting', 'approved') AND requested > $7",
                        params![
                            &next.id,
                            old.clone(),
                            state.name(),
                            next.approver.as_ref().map(OperatorId::to_string),
                            now,
                            next.record_mac.clone(),
                            now - LIFETIME
                        ],
                    )
                    .await?;
                if decided == 1 {
                    let approval = next.id.to_string();
                    let event = match state {
                        State::Approved => Event::DualApprove { approval },
                        _ => Event::DualRefuse { approval },
                    };
                    audit::record(tx, now, "", &event);
                }
                Ok(decided == 1)
            })
            .await?;
        // Somebody else decided meanwhile.
        match decided {
            true => Ok(()),
            false => Err(Error::StaleRequest),
        }
    }

    /// Asks for a second officer.
    pub(super) async fn request(
        &self,
        operator: &Operator,
        role: Role,
        capability: Capability,
        command: &str,
    ) -> Result<ApprovalId, Error> {
        let now = self.clock.now();
        let approval = self
            .signed(Approval {
                id: ApprovalId::random(),
                capability: capability.name().to_owned(),
                command: command.to_owned(),
                requester: operator.id.clone(),
                requested: now,
                state: State::Waiting,
                approver: None,
                record_mac: Vec::new(),
            })
            .await?;
        let id = approval.id.clone();
        self.store
            .acting(actor(operator, Some(role), None))
            .write(async move |tx| {
                tx.execute(
                    "INSERT INTO approval (id, capability, command, requester, requested, state, record_mac)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    params![
                        &approval.id,
                        approval.capability.as_str(),
                        approval.command.as_str(),
                        &approval.requester,
                        now,
                        approval.state.name(),
                        approval.record_mac.clone()
                    ],
                )
                .await?;
                let event = Event::DualRequest {
                    approval: approval.id.to_string(),
                    capability: capability.name(),
                    command_hash: hex::encode(Sha256::digest(&approval.command)),
                };
                audit::record(tx, now, "", &event);
                Ok(())
            })
            .await?;
        Ok(id)
    }

    /// The request, if it is what the service wrote.
    pub(super) async fn approval(&self, id: &ApprovalId) -> Result<Approval, Error> {
        let row = self.store.find(select!("id = $1"), params![id]).await?;
        let row = row.ok_or_else(|| Error::NoRequest(id.clone()))?;
        self.genuine_request(read(row)?).await
    }

    /// The request with the MAC of what it says now.
    pub(super) async fn signed(&self, mut approval: Approval) -> Result<Approval, Error> {
        let record = approval.record();
        approval.record_mac = self.vault.mac(MacKey::Operator, &[&record]).await?.to_vec();
        Ok(approval)
    }

    async fn genuine_request(&self, approval: Approval) -> Result<Approval, Error> {
        let expected = self.signed(approval.clone()).await?;
        if expected.record_mac.ct_eq(&approval.record_mac).into() {
            return Ok(approval);
        }
        let approval = approval.id.to_string();
        tracing::error!(approval, "a request is not what the service wrote");
        let event = Event::ApprovalIntegrityFail { approval };
        audit::note(&self.store, self.clock.now(), "", event).await?;
        Err(Error::DamagedRequest)
    }
}

impl Approval {
    fn capability(&self) -> Result<Capability, StoreError> {
        Capability::parse(&self.capability)
            .ok_or(StoreError::Corrupt("the capability of a request"))
    }
}

fn read(mut row: Row) -> Result<Approval, StoreError> {
    Ok(Approval {
        id: ApprovalId::new(row.get::<String>(0)?),
        capability: row.get(1)?,
        command: row.get(2)?,
        requester: OperatorId::new(row.get::<String>(3)?),
        requested: row.get(4)?,
        state: State::parse(&row.get::<String>(5)?)
            .ok_or(StoreError::Corrupt("the state of a request"))?,
        approver: row.optional::<String>(6)?.map(OperatorId::new),
        record_mac: row.get(7)?,
    })
}
