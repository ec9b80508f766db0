//! Several slots with the same master keys, as one.
//!
//! A call goes to the slot that has least to do for its weight. One that is without a session is passed over: its own pool tries to get one, and
//! a session counts only when it has proved itself, so a slot that is back is taken in again. A call that a slot refused before it did anything
//! goes to the next.

use std::{cmp::Ordering, sync::Arc};

use super::remote::Remote;
use crate::{
    HsmError, MasterSet, PoolState,
    call::{Call, IfLost, Request, encode},
    pool::Failure,
    vault::Masters,
};

/// Slots of one role; clones share them.
#[derive(Clone)]
pub(crate) struct Spread(Arc<Slots>);

struct Slots {
    /// Each with its weight.
    slots: Vec<(Remote, u32)>,
    masters: Masters,
}

impl Spread {
    pub(crate) fn new(slots: Vec<(Remote, u32)>) -> Self {
        let masters = Masters::default();
        Self(Arc::new(Slots { slots, masters }))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Remote> {
        self.0.slots.iter().map(|(slot, _)| slot)
    }

    pub(crate) fn masters(&self) -> &Masters {
        &self.0.masters
    }

    /// All of them together.
    pub(crate) fn state(&self) -> PoolState {
        let states = self.slots().map(Remote::state);
        states.fold(PoolState::default(), |sum, state| PoolState {
            sessions: sum.sessions + state.sessions,
            busy: sum.busy + state.busy,
            waiting: sum.waiting + state.waiting,
            open_keys: sum.open_keys + state.open_keys,
        })
    }

    /// Runs a call on one of them.
    pub(crate) async fn call<C>(&self, call: C) -> Result<C::Answer, C::Error>
    where
        C: Call,
        Request: From<C>,
    {
        let order = match (self.0.slots.as_slice(), C::IF_LOST) {
            // What stays on a token is made on the first: the vendor's cloning takes it to the others.
            ([(first, _), ..], IfLost::Fails) | ([(first, _)], _) => vec![first],
            (slots, _) => in_order(slots, call.affinity()),
        };
        let request = encode(&Request::from(call))?;
        let mut refused = HsmError::Unavailable("no slot".to_owned()).into();
        for slot in order {
            let ended = slot.ask::<C>(&request).await;
            self.learn(slot);
            match ended {
                Err(error) if error.hsm().is_some_and(did_nothing) => refused = error,
                ended => return ended,
            }
        }
        Err(refused)
    }

    /// Has every slot run a call, and does not wait for it.
    pub(crate) fn mention<C>(&self, call: C)
    where
        C: Call,
        Request: From<C>,
    {
        if let Ok(request) = encode(&Request::from(call)) {
            self.slots().for_each(|slot| slot.mention(&request));
        }
    }

    /// Versions are the same everywhere; derivations add up.
    fn learn(&self, slot: &Remote) {
        let (ours, theirs) = (&self.0.masters, slot.masters());
        ours.learn(
            MasterSet::ALL
                .map(|set| (set, theirs.known(set)))
                .into_iter(),
        );
        ours.add_derivations(theirs.take_derivations());
    }
}

/// Whether another slot may be asked after this answer.
fn did_nothing(error: &HsmError) -> bool {
    match error {
        HsmError::Busy { .. }
        | HsmError::Unavailable(_)
        | HsmError::PinRefused(_)
        | HsmError::Tampered(_) => true,
        HsmError::Unfit(_)
        | HsmError::Refused(_)
        | HsmError::Missing(_)
        | HsmError::OutcomeUnknown(_) => false,
    }
}

/// Those with a session first, the least busy before the others. A call that may find its key open goes where that would be, unless one waits there.
fn in_order(slots: &[(Remote, u32)], affinity: Option<u64>) -> Vec<&Remote> {
    let mut ranked: Vec<_> = slots
        .iter()
        .map(|(slot, weight)| (slot, slot.state(), u64::from((*weight).max(1))))
        .collect();
    // In thousandths of a call.
    let load = |(_, state, weight): &(&Remote, PoolState, u64)| {
        (state.busy + state.waiting) as u64 * 1000 / weight
    };
    ranked.sort_by(|one, other| {
        let up = (other.1.sessions > 0).cmp(&(one.1.sessions > 0));
        up.then_with(|| match load(one).cmp(&load(other)) {
            Ordering::Equal => other.2.cmp(&one.2),
            unequal => unequal,
        })
    });
    let mut order: Vec<_> = ranked.iter().map(|(slot, ..)| *slot).collect();
    if let Some(affinity) = affinity {
        let home = slots.get((affinity % slots.len() as u64) as usize);
        let ready = |slot: &Remote| {
            let state = slot.state();
            state.sessions > 0 && state.waiting == 0
        };
        if let Some((home, _)) = home.filter(|(home, _)| ready(home)) {
            order.retain(|slot| !std::ptr::eq(*slot, home));
            order.insert(0, home);
        }
    }
    order
}
