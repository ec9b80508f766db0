//! A job and the way back to its caller: a task of this process, or whoever hands the answer on.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Failure, Session,
    lane::{Job, Ran},
};
use crate::HsmError;

/// What runs, for whom, until when.
pub(super) struct Task<F, T, E> {
    work: F,
    answer: Option<oneshot::Sender<Result<T, E>>>,
    claimed: Arc<AtomicBool>,
    until: Instant,
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnMut(&mut Session) -> Result<T, E> + Send,
    T: Send,
    E: Failure,
{
    fn wanted(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| !answer.is_closed())
            && !self.claimed.load(Ordering::Acquire)
    }

    fn claim(&self) -> bool {
        // Past its deadline the caller answers for itself.
        self.wanted() && Instant::now() < self.until && !self.claimed.swap(true, Ordering::AcqRel)
    }

    fn run(&mut self, session: &mut Session, last: bool) -> Ran {
        let result = (self.work)(session);
        let ran = judged(&result);
        if last || matches!(ran, Ran::Answered | Ran::Barred(_)) {
            self.send(result);
        }
        ran
    }

    fn refuse(&mut self, error: HsmError) {
        self.send(Err(error.into()));
    }
}

impl<F, T, E> Task<F, T, E> {
    pub(super) fn new(
        work: F,
        answer: oneshot::Sender<Result<T, E>>,
        claimed: Arc<AtomicBool>,
        until: Instant,
    ) -> Self {
        Self {
            work,
            answer: Some(answer),
            claimed,
            until,
        }
    }

    fn send(&mut self, result: Result<T, E>) {
        if let Some(answer) = self.answer.take() {
            // The caller may be gone; then nobody wants to know.
            let _ = answer.send(result);
        }
    }
}

/// What runs, who hands the answer on, until when. It is answered whatever happens.
pub(super) struct Posted<F, A, T, E>
where
    A: FnOnce(Result<T, E>),
    E: Failure,
{
    work: F,
    answer: Option<A>,
    until: Instant,
    of: PhantomData<fn() -> Result<T, E>>,
}

impl<F, A, T, E> Posted<F, A, T, E>
where
    A: FnOnce(Result<T, E>),
    E: Failure,
{
    pub(super) fn new(work: F, answer: A, until: Instant) -> Self {
        Self {
            work,
            answer: Some(answer),
            until,
            of: PhantomData,
        }
    }

    fn send(&mut self, result: Result<T, E>) {
        if let Some(answer) = self.answer.take() {
            answer(result);
        }
    }
}

impl<F, A, T, E> Job for Posted<F, A, T, E>
where
    F: FnMut(&mut Session) -> Result<T, E> + Send,
    A: FnOnce(Result<T, E>) + Send,
    E: Failure,
{
    fn wanted(&self) -> bool {
        Instant::now() < self.until
    }

    fn claim(&self) -> bool {
        self.wanted()
    }

    fn run(&mut self, session: &mut Session, last: bool) -> Ran {
        let result = (self.work)(session);
        let ran = judged(&result);
        if last || matches!(ran, Ran::Answered | Ran::Barred(_)) {
            self.send(result);
        }
        ran
    }

    fn refuse(&mut self, error: HsmError) {
        self.send(Err(error.into()));
    }
}

impl<F, A, T, E> Drop for Posted<F, A, T, E>
where
    A: FnOnce(Result<T, E>),
    E: Failure,
{
    /// Nobody took it in time.
    fn drop(&mut self) {
        let retry_after = Duration::from_secs(1);
        self.send(Err(HsmError::Busy { retry_after }.into()));
    }
}

fn judged<T, E: Failure>(result: &Result<T, E>) -> Ran {
    match result.as_ref().err().and_then(Failure::hsm) {
        Some(error) if error.is_final() => Ran::Barred(error.clone()),
        Some(HsmError::Unavailable(_)) => Ran::SessionLost,
        Some(HsmError::Missing(_)) => Ran::ObjectLost,
        _ => Ran::Answered,
    }
}
