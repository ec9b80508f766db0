//! A bounded set of sessions: a fixed number of threads, each owning one, behind queues with a deadline.
//!
//! Threads and not the runtime's blocking pool: a session must not be used by two threads, and a device that hangs must
//! not take the runtime with it. Two lanes: signatures never wait behind the generation of an RSA key.
//!
//! A session that is lost is replaced once and its job run again; when that fails too, jobs are answered with
//! [`HsmError::Unavailable`] at once and the thread keeps trying. The loss of one session makes every other prove itself,
//! so that a device that is gone is let go of entirely: only then can some modules find it again.

mod lane;
mod task;
mod worker;

use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time};

use self::{
    lane::Lane,
    task::{Posted, Task},
    worker::Worker,
};
use crate::{Hsm, HsmError, Token, VaultError};

/// How long the end of the last [`Pool`] waits for calls under way.
const PARTING: Duration = Duration::from_secs(5);

/// Bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Sessions that sign (the fast lane); one more serves the slow lane.
    pub sessions: usize,
    /// Jobs that may wait, in each lane.
    pub queue: usize,
    /// How long a job may wait before it is refused with [`HsmError::Busy`].
    pub deadline: Duration,
}

/// What a pool is doing, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// Sessions that are open.
    pub sessions: usize,
    /// Sessions at work.
    pub busy: usize,
    /// Jobs that wait.
    pub waiting: usize,
    /// Keys kept open in the HSM.
    pub open_keys: usize,
}

/// A bounded pool of sessions; clones share it, and the threads end with the last one.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<Threads>,
}

/// Which threads a job is for.
#[derive(Clone, Copy)]
pub(crate) enum Speed {
    /// Signing, opening, sealing.
    Fast,
    /// Key generation, search, health.
    Slow,
}

/// A session as jobs see it.
pub(crate) struct Session {
    pub(crate) hsm: Box<dyn Hsm>,
    /// Never given twice in a pool: objects made through this session die with it.
    pub(crate) id: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(u64);

/// Which sessions of a pool live. Jobs may hold it; a [`Pool`] they must not, for its threads cannot wait for themselves.
#[derive(Default)]
pub(crate) struct Living(Mutex<HashSet<SessionId>>);

impl Living {
    /// Whether a session lives, and with it the objects made through it.
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        lock(&self.0).contains(&session)
    }
}

/// What a job may fail with: the pool looks for the HSM's part in it.
pub(crate) trait Failure: From<HsmError> + Send + 'static {
    fn hsm(&self) -> Option<&HsmError>;
}

impl Failure for HsmError {
    fn hsm(&self) -> Option<&HsmError> {
        Some(self)
    }
}

impl Failure for VaultError {
    fn hsm(&self) -> Option<&HsmError> {
        match self {
            Self::Hsm(error) => Some(error),
            Self::WrongPin | Self::WrongPuk | Self::NotBound | Self::Expired | Self::Damaged => {
                None
            }
        }
    }
}

/// What the threads of a pool share.
struct Shared {
    token: Arc<dyn Token>,
    fast: Lane,
    slow: Lane,
    /// Sessions opened so far.
    opened: AtomicU64,
    /// Sessions lost so far: when it moves, every session is proved.
    lost: AtomicU64,
    living: Arc<Living>,
    /// The PIN was refused, or the device says that it failed: nobody asks it again.
    barred: OnceLock<HsmError>,
    closed: AtomicBool,
}

struct Threads {
    shared: Arc<Shared>,
    running: Arc<Running>,
    deadline: Duration,
}

/// How many threads there are. Apart from what they share, which is gone when the last has ended.
#[derive(Default)]
struct Running {
    count: Mutex<usize>,
    ended: Condvar,
}

/// One of them, until it is dropped.
struct Started(Arc<Running>);

impl Started {
    fn new(running: &Arc<Running>) -> Self {
        *lock(&running.count) += 1;
        Self(running.clone())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.ended.notify_all();
    }
}

impl Pool {
    /// Starts the threads; each opens its session and logs in. A device that does not answer yet is waited for.
    ///
    /// # Errors
    /// [`HsmError::PinRefused`], and [`HsmError::Unfit`] when the module cannot be loaded or has no such token.
    pub fn start(token: Arc<dyn Token>, limits: PoolLimits) -> Result<Self, HsmError> {
        let shared = Arc::new(Shared {
            token,
            fast: Lane::new(limits.queue),
            slow: Lane::new(limits.queue),
            opened: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            living: Arc::default(),
            barred: OnceLock::new(),
            closed: AtomicBool::new(false),
        });
        let running = Arc::new(Running::default());
        // From here on an early return ends the threads.
        let pool = Self {
            threads: Arc::new(Threads {
                shared: shared.clone(),
                running: running.clone(),
                deadline: limits.deadline,
            }),
        };
        let fast = std::iter::repeat_n(Speed::Fast, limits.sessions.max(1));
        let (report, reports) = mpsc::channel();
        for (number, speed) in fast.chain([Speed::Slow]).enumerate() {
            let mut worker = Worker::new(shared.clone(), speed);
            let report = report.clone();
            let started = Started::new(&running);
            let thread = thread::Builder::new()
                .name(format!("hsm-{}-{number}", shared.token.name()))
                .spawn(move || {
                    // Dropped after the worker.
                    let _started = started;
                    // The caller may have given up on an earlier report.
                    let _ = report.send(worker.open());
                    drop(report);
                    worker.run();
                });
            thread.map_err(|error| HsmError::Unavailable(format!("no thread: {error}")))?;
        }
        drop(report);
        for opened in reports {
            match opened {
                Ok(()) => {}
                Err(HsmError::Unavailable(reason)) => {
                    tracing::warn!(slot = shared.token.name(), reason, "no session yet");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pool)
    }

    /// Runs a job on a session. It may be run a second time when the first ended with a lost session or object; a job that
    /// signed must not end so.
    pub(crate) async fn run<T, E>(
        &self,
        speed: Speed,
        work: impl FnMut(&mut Session) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        let deadline = self.threads.deadline;
        let lane = self.threads.shared.lane(speed);
        let (answer, mut answered) = oneshot::channel();
        let claimed = Arc::new(AtomicBool::new(false));
        let until = Instant::now() + deadline;
        lane.push(Box::new(Task::new(work, answer, claimed.clone(), until)));
        let result = match time::timeout(deadline, &mut answered).await {
            Ok(result) => result,
            // Whoever sets the flag has the job: a thread that already runs it is waited for.
            Err(_) if !claimed.swap(true, Ordering::AcqRel) => return Err(lane.busy().into()),
            Err(_) => answered.await,
        };
        result
            .unwrap_or_else(|_| Err(HsmError::Unavailable("the pool has ended".to_owned()).into()))
    }

    /// Runs a job on a session, and has its answer handed over by the thread that ran it: for callers that are in another process.
    pub(crate) fn post<T, E>(
        &self,
        speed: Speed,
        work: impl FnMut(&mut Session) -> Result<T, E> + Send + 'static,
        answer: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: Failure,
    {
        let until = Instant::now() + self.threads.deadline;
        let lane = self.threads.shared.lane(speed);
        lane.push(Box::new(Posted::new(work, answer, until)));
    }

    /// How long the job lasts that has lasted longest, of those that sign and of those that make keys.
    pub(crate) fn longest(&self) -> [Duration; 2] {
        let shared = &self.threads.shared;
        [&shared.fast, &shared.slow].map(Lane::longest)
    }

    /// Why the device is not asked again.
    pub(crate) fn barred(&self) -> Option<HsmError> {
        self.threads.shared.barred.get().cloned()
    }

    /// Which of its sessions live.
    pub(crate) fn living(&self) -> Arc<Living> {
        self.threads.shared.living.clone()
    }

    /// What the pool is doing now.
    pub fn state(&self) -> PoolState {
        let shared = &self.threads.shared;
        let mut state = PoolState::default();
        for lane in [&shared.fast, &shared.slow] {
            lane.add_to(&mut state);
        }
        state
    }
}

impl Shared {
    /// Takes note of an answer of the device that is final: heard by one thread, it holds for all.
    fn heed(&self, error: &HsmError) {
        if error.is_final() {
            // The first reason stays.
            let _ = self.barred.set(error.clone());
        }
    }

    fn lane(&self, speed: Speed) -> &Lane {
        match speed {
            Speed::Fast => &self.fast,
            Speed::Slow => &self.slow,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.closed.store(true, Ordering::Release);
        shared.fast.wake_all();
        shared.slow.wake_all();
        // A process that exits under a call into the module may crash in it.
        let count = lock(&self.running.count);
        let waited = self
            .running
            .ended
            .wait_timeout_while(count, PARTING, |count| *count > 0);
        if waited.is_ok_and(|(count, _)| *count > 0) {
            tracing::warn!(slot = shared.token.name(), "an HSM call has not come back");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
