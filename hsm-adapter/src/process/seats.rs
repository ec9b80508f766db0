//! The queue in front of a slot whose sessions are in another process: as many calls go out as it has sessions, the rest wait here.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::lock;
use crate::HsmError;

/// A queue of callers.
pub(super) struct Queue {
    /// Sessions that serve it.
    pub(super) sessions: usize,
    capacity: usize,
    /// Callers, waiting and served.
    callers: AtomicUsize,
    served: AtomicUsize,
    /// How long a call takes: a moving mean.
    service: Mutex<Duration>,
}

/// A caller, until it is dropped.
pub(super) struct Caller(Arc<Queue>);

/// A caller that is served, until it is dropped.
pub(super) struct Served(Arc<Queue>);

impl Queue {
    pub(super) fn new(sessions: usize, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            sessions,
            capacity,
            callers: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            service: Mutex::default(),
        })
    }

    /// Lets a caller in, unless too many wait.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Caller, HsmError> {
        let room = self.capacity + self.sessions;
        let enter = |callers| (callers < room).then_some(callers + 1);
        match self
            .callers
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter)
        {
            Ok(_) => Ok(Caller(self.clone())),
            Err(_) => Err(self.busy()),
        }
    }

    /// The answer to a caller that has waited too long, or may not wait.
    pub(super) fn busy(&self) -> HsmError {
        let waiting = u32::try_from(self.waiting() + 1).unwrap_or(u32::MAX);
        let sessions = u32::try_from(self.sessions.max(1)).unwrap_or(u32::MAX);
        HsmError::Busy {
            retry_after: lock(&self.service).saturating_mul(waiting) / sessions,
        }
    }

    /// Callers that are served.
    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Acquire)
    }

    /// Callers that wait.
    pub(super) fn waiting(&self) -> usize {
        self.callers
            .load(Ordering::Acquire)
            .saturating_sub(self.served())
    }

    /// A call took so long.
    pub(super) fn took(&self, took: Duration) {
        let mut service = lock(&self.service);
        *service = (*service * 7 + took) / 8;
    }
}

impl Caller {
    pub(super) fn is_served(&self) -> Served {
        self.0.served.fetch_add(1, Ordering::AcqRel);
        Served(self.0.clone())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.callers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::AcqRel);
    }
}
