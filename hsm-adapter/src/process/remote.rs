//! A slot whose sessions are in the process of its module: calls wait here for one of them, go there, and come back.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout_at,
};

use super::{
    keeper::{Process, Stand},
    link::{Answer, Link, Unsent},
    lock,
    seats::{Caller, Queue},
    wire::SlotSetup,
};
use crate::{
    HsmError, MasterSet, PoolState,
    call::{Call, IfLost, decode},
    pool::{Failure, Speed},
    vault::Masters,
};

/// A slot of a module in a process of its own; clones share it.
#[derive(Clone)]
pub struct Remote(Arc<Slot>);

struct Slot {
    name: String,
    process: Process,
    number: u16,
    fast: Arc<Queue>,
    slow: Arc<Queue>,
    deadline: Duration,
    /// The versions in use, as the process says with every answer.
    masters: Masters,
    barred: Arc<OnceLock<HsmError>>,
    seats: Mutex<Seats>,
}

/// One for each session of the n-th process.
struct Seats {
    process: u64,
    fast: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl Remote {
    pub(super) fn new(
        process: Process,
        number: u16,
        setup: &SlotSetup,
        barred: Arc<OnceLock<HsmError>>,
    ) -> Self {
        Self(Arc::new(Slot {
            name: setup.name.clone(),
            process,
            number,
            fast: Queue::new(setup.sessions.max(1), setup.queue),
            slow: Queue::new(1, setup.queue),
            deadline: setup.deadline,
            masters: Masters::default(),
            barred,
            seats: Mutex::new(Seats {
                process: 0,
                fast: Arc::new(Semaphore::new(0)),
                slow: Arc::new(Semaphore::new(0)),
            }),
        }))
    }

    /// The process it is in.
    pub fn process(&self) -> &Process {
        &self.0.process
    }

    pub(crate) fn masters(&self) -> &Masters {
        &self.0.masters
    }

    /// What it is doing now.
    pub fn state(&self) -> PoolState {
        let slot = &self.0;
        let told = match &*slot.process.stand().borrow() {
            Stand::Up(_, link) => link.slot(slot.number),
            Stand::Starting | Stand::Down(_) => None,
        };
        let told = told.map(|state| state.pool).unwrap_or_default();
        PoolState {
            busy: slot.fast.served() + slot.slow.served(),
            waiting: slot.fast.waiting() + slot.slow.waiting(),
            ..told
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Runs a call there, as it travels.
    pub(crate) async fn ask<C: Call>(&self, request: &[u8]) -> Result<C::Answer, C::Error> {
        let answer = self.0.answer(C::SPEED, C::IF_LOST, request).await?;
        let octets = answer.octets.get(answer.begins..).unwrap_or_default();
        let result = decode::<Result<C::Answer, C::Error>>(octets)?;
        if let Some(error) = result.as_ref().err().and_then(Failure::hsm)
            && error.is_final()
        {
            // The first reason stays.
            let _ = self.0.barred.set(error.clone());
        }
        result
    }

    /// Has a call run there if anything is there, and does not wait for it.
    pub(crate) fn mention(&self, request: &[u8]) {
        if let Stand::Up(_, link) = &*self.0.process.stand().borrow() {
            link.mention(self.0.number, request);
        }
    }
}

impl Slot {
    async fn answer(
        &self,
        speed: Speed,
        if_lost: IfLost,
        request: &[u8],
    ) -> Result<Answer, HsmError> {
        let queue = match speed {
            Speed::Fast => &self.fast,
            Speed::Slow => &self.slow,
        };
        let caller = queue.enter()?;
        let until = Instant::now() + self.deadline;
        let mut stand = self.process.stand();
        let mut lost = false;
        loop {
            if let Some(error) = self.barred.get() {
                return Err(error.clone());
            }
            let free = timeout_at(until.into(), self.free(&mut stand, speed)).await;
            let (link, seat) = free.map_err(|_| queue.busy())??;
            // The process that was waited for may have been refused.
            if let Some(error) = self.barred.get() {
                return Err(error.clone());
            }
            let begun = Instant::now();
            let Some(ended) = self.served(&caller, &link, request, seat).await else {
                continue;
            };
            let error = match (ended, if_lost) {
                (Ok(answer), _) => {
                    queue.took(begun.elapsed());
                    return Ok(answer);
                }
                (Err(()), IfLost::Again) if !lost => {
                    lost = true;
                    continue;
                }
                (Err(()), IfLost::Unknown) => {
                    HsmError::OutcomeUnknown("the process of the module ended under it".to_owned())
                }
                (Err(()), _) => {
                    HsmError::Unavailable("the process of the module has ended".to_owned())
                }
            };
            return Err(error);
        }
    }

    /// Sends a call and waits for its answer: an error when none comes, `None` when it did not go out.
    async fn served(
        &self,
        caller: &Caller,
        link: &Link,
        request: &[u8],
        seat: OwnedSemaphorePermit,
    ) -> Option<Result<Answer, ()>> {
        let answered = match link.send(self.number, request, seat) {
            Ok(answered) => answered,
            Err(Unsent) => return None,
        };
        let _served = caller.is_served();
        let answer = answered.await.map_err(drop);
        if let Ok(Answer { learned, .. }) = &answer {
            self.masters
                .learn(MasterSet::ALL.into_iter().zip(learned.masters));
            self.masters.add_derivations(learned.derivations);
        }
        Some(answer)
    }

    /// Waits for a process and one of its sessions.
    async fn free(
        &self,
        stand: &mut watch::Receiver<Stand>,
        speed: Speed,
    ) -> Result<(Arc<Link>, OwnedSemaphorePermit), HsmError> {
        loop {
            let now = stand.borrow_and_update().clone();
            match now {
                Stand::Down(error) => return Err(error),
                Stand::Up(number, link) if link.takes_calls() => {
                    let seats = self.seats(number, speed);
                    tokio::select! {
                        // A semaphore that is never closed.
                        seat = seats.acquire_owned() => if let Ok(seat) = seat {
                            return Ok((link, seat));
                        },
                        _ = stand.changed() => continue,
                    }
                }
                Stand::Up(..) | Stand::Starting => {}
            }
            if stand.changed().await.is_err() {
                return Err(HsmError::Unavailable(
                    "the process of the module has ended".to_owned(),
                ));
            }
        }
    }

    fn seats(&self, process: u64, speed: Speed) -> Arc<Semaphore> {
        let mut seats = lock(&self.seats);
        if seats.process < process {
            *seats = Seats {
                process,
                fast: Arc::new(Semaphore::new(self.fast.sessions)),
                slow: Arc::new(Semaphore::new(self.slow.sessions)),
            };
        }
        match speed {
            Speed::Fast => seats.fast.clone(),
            Speed::Slow => seats.slow.clone(),
        }
    }
}
