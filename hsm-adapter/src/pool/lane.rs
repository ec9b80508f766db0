//! A queue and the threads that serve it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use super::{PoolState, Session, lock};
use crate::HsmError;

/// Something to be done on a session, and answered.
pub(super) trait Job: Send {
    /// Whether the caller still waits for it.
    fn wanted(&self) -> bool;
    /// Takes it for good, unless nobody wants it any more.
    fn claim(&self) -> bool;
    /// Runs it, and answers unless it could be run again and this was not the last time.
    fn run(&mut self, session: &mut Session, last: bool) -> Ran;
    /// Answers with an error.
    fn refuse(&mut self, error: HsmError);
}

/// How a job ended.
pub(super) enum Ran {
    /// Well or badly, but through.
    Answered,
    /// The session is of no more use.
    SessionLost,
    /// The device is of no more use; answered.
    Barred(HsmError),
    /// An object it needs is gone.
    ObjectLost,
    /// It panicked.
    Panicked,
}

/// What a thread with a session does next.
pub(super) enum Next {
    Serve(Box<dyn Job>),
    /// A session was lost somewhere.
    Prove,
    End,
}

pub(super) struct Lane {
    capacity: usize,
    queue: Mutex<Queue>,
    /// A job, a loss or the end, for threads with a session.
    wake: Condvar,
    /// The end, for threads that wait before they try to get one.
    end: Condvar,
}

struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Threads with a session.
    ready: usize,
    /// Threads at work, and since when.
    busy: HashMap<ThreadId, Instant>,
    /// Why there is no session, when there is none.
    reason: HsmError,
    /// How long a job takes: a moving mean.
    service: Duration,
}

impl Lane {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                ready: 0,
                busy: HashMap::new(),
                reason: HsmError::Unavailable("no session yet".to_owned()),
                service: Duration::ZERO,
            }),
            wake: Condvar::new(),
            end: Condvar::new(),
        }
    }

    /// Queues a job, or refuses it.
    pub(super) fn push(&self, mut job: Box<dyn Job>) {
        let refusal = {
            let mut queue = lock(&self.queue);
            match queue.room(self.capacity) {
                Err(error) => error,
                Ok(()) => {
                    queue.jobs.push_back(job);
                    self.wake.notify_one();
                    return;
                }
            }
        };
        job.refuse(refusal);
    }

    /// The answer to a job that waited too long.
    pub(super) fn busy(&self) -> HsmError {
        lock(&self.queue).busy()
    }

    /// Waits for something to do. A job that is handed out counts as work until [`Self::done`].
    pub(super) fn next(&self, ended: impl Fn() -> bool, alarmed: impl Fn() -> bool) -> Next {
        let mut queue = lock(&self.queue);
        loop {
            if ended() {
                return Next::End;
            }
            if alarmed() {
                return Next::Prove;
            }
            while let Some(job) = queue.jobs.pop_front() {
                if job.claim() {
                    queue.busy.insert(thread::current().id(), Instant::now());
                    return Next::Serve(job);
                }
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits before the next try to get a session, unless all has ended.
    pub(super) fn pause(&self, pause: Duration, ended: impl Fn() -> bool) {
        let queue = lock(&self.queue);
        // Poisoned or not, there is nothing to read in the queue here.
        let _ = self.end.wait_timeout_while(queue, pause, |_| !ended());
    }

    /// A job is through.
    pub(super) fn done(&self) {
        let mut queue = lock(&self.queue);
        if let Some(begun) = queue.busy.remove(&thread::current().id()) {
            queue.service = (queue.service * 7 + begun.elapsed()) / 8;
        }
    }

    /// How long the job lasts that has lasted longest.
    pub(super) fn longest(&self) -> Duration {
        let queue = lock(&self.queue);
        let lasts = queue.busy.values().map(Instant::elapsed);
        lasts.max().unwrap_or_default()
    }

    /// A thread has a session.
    pub(super) fn up(&self) {
        lock(&self.queue).ready += 1;
    }

    /// A thread has no session and cannot get one; when it was the last that had, nobody is left to wait for.
    pub(super) fn down(&self, reason: HsmError, was_up: bool) {
        let mut queue = lock(&self.queue);
        queue.reason = reason.clone();
        queue.ready -= usize::from(was_up);
        if queue.ready == 0 {
            for mut job in queue.jobs.drain(..) {
                if job.claim() {
                    job.refuse(reason.clone());
                }
            }
        }
    }

    pub(super) fn wake_all(&self) {
        // Under the lock, so that no thread is between looking and waiting.
        let _queue = lock(&self.queue);
        self.wake.notify_all();
        self.end.notify_all();
    }

    pub(super) fn add_to(&self, state: &mut PoolState) {
        let queue = lock(&self.queue);
        state.sessions += queue.ready;
        state.busy += queue.busy.len();
        state.waiting += queue.jobs.len();
    }
}

impl Queue {
    /// Whether one more job may wait.
    fn room(&mut self, capacity: usize) -> Result<(), HsmError> {
        if self.ready == 0 {
            return Err(self.reason.clone());
        }
        // A job that a free thread takes at once does not wait.
        let free = self.ready.saturating_sub(self.busy.len());
        if self.jobs.len() >= capacity + free {
            self.jobs.retain(|job| job.wanted());
        }
        if self.jobs.len() >= capacity + free {
            return Err(self.busy());
        }
        Ok(())
    }

    fn busy(&self) -> HsmError {
        let jobs = u32::try_from(self.jobs.len() + 1).unwrap_or(u32::MAX);
        let threads = u32::try_from(self.ready.max(1)).unwrap_or(u32::MAX);
        HsmError::Busy {
            retry_after: self.service.saturating_mul(jobs) / threads,
        }
    }
}
