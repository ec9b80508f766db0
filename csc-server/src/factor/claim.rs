//! Taking a code, or counting a wrong one: inside the transaction, where statements decide.

use super::{Factor, Policy, device, sent};
use crate::{
    audit::{self, Event},
    clock::Millis,
    credential::Credential,
    ids::{ClientId, FactorId},
    jobs::{Job, Notice},
    params,
    store::{StoreError, Tx},
};

/// What is claimed by a code: judged, not yet taken.
#[derive(Clone, Debug)]
pub struct Claim {
    factor: FactorId,
    policy: Policy,
    proof: Proof,
}

#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The code of a device belongs to this time step or count.
    Counter(i64),
    /// The code, if it is right, has this MAC.
    Code { challenge: String, mac: [u8; 32] },
    /// The code is wrong already.
    Wrong,
}

/// How taking a code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was right, and is spent.
    Right,
    /// It was wrong, and was counted.
    Wrong,
    /// The factor is locked.
    Locked,
}

impl Claim {
    pub(super) fn new(factor: &Factor, policy: Policy, proof: Proof) -> Self {
        Self {
            factor: factor.id.clone(),
            policy,
            proof,
        }
    }

    /// Takes the code, or counts the wrong guess; `bound_to` is the digest over what the code now stands for.
    ///
    /// The first statement counts the try and keeps the factor's row until the unit commits: of parallel tries, on whatever node,
    /// each is counted, and a lock that one leads to stands before the next is looked at. The right code sets the count back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consume(
        &self,
        tx: &mut Tx,
        credential: &Credential,
        client: &ClientId,
        bound_to: &[u8; 32],
        now: Millis,
    ) -> Result<Taken, StoreError> {
        let factor = &self.factor;
        let counted = tx
            .find(
                "UPDATE factor SET failures = failures + 1, version = version + 1
                 WHERE id = $1 AND locked_until <= $2 RETURNING failures, version",
                params![factor, now],
            )
            .await?;
        let Some(mut row) = counted else {
            return Ok(Taken::Locked);
        };
        let (failures, version) = (row.get(0)?, row.get(1)?);
        let right = match &self.proof {
            Proof::Counter(counter) => device::take(tx, factor, *counter).await?,
            Proof::Code { challenge, mac } => sent::take(tx, challenge, mac, bound_to, now).await?,
            Proof::Wrong => false,
        };
        if !right {
            self.wrong(tx, credential, client, (failures, version), now)
                .await?;
            return Ok(Taken::Wrong);
        }
        tx.execute(
            "UPDATE factor SET failures = 0 WHERE id = $1",
            params![factor],
        )
        .await?;
        let event = Event::OtpOk {
            credential: credential.id.to_string(),
            factor: factor.to_string(),
            client: client.to_string(),
            counter: match self.proof {
                Proof::Counter(counter) => Some(counter),
                Proof::Code { .. } | Proof::Wrong => None,
            },
            challenge: self.challenge(),
            version,
            bound_to: hex::encode(bound_to),
        };
        audit::record(tx, now, &credential.pseudonym, &event);
        Ok(Taken::Right)
    }

    fn challenge(&self) -> Option<String> {
        match &self.proof {
            Proof::Code { challenge, .. } => Some(challenge.clone()),
            Proof::Counter(_) | Proof::Wrong => None,
        }
    }

    /// Records a wrong code, and locks the factor when it was one too many.
    async fn wrong(
        &self,
        tx: &mut Tx,
        credential: &Credential,
        client: &ClientId,
        (failures, version): (i64, i64),
        now: Millis,
    ) -> Result<(), StoreError> {
        let (id, factor) = (credential.id.to_string(), self.factor.to_string());
        let event = Event::OtpFail {
            credential: id.clone(),
            factor: factor.clone(),
            client: client.to_string(),
            failures,
            challenge: self.challenge(),
            version,
        };
        audit::record(tx, now, &credential.pseudonym, &event);
        let Some(lock) = self.policy.lock_after(failures).map(sent::millis) else {
            return Ok(());
        };
        let until = now + lock;
        tx.execute(
            "UPDATE factor SET locked_until = $2 WHERE id = $1",
            params![&self.factor, until],
        )
        .await?;
        let event = Event::OtpLocked {
            credential: id,
            factor,
            until,
            version,
        };
        audit::record(tx, now, &credential.pseudonym, &event);
        Job::notice(&Notice::otp_locked(&credential.holder, lock), now)
            .enqueue(tx, now)
            .await
    }
}
