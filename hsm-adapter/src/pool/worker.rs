//! A thread and its session.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Session, SessionId, Shared, Speed,
    lane::{Job, Lane, Next, Ran},
    lock,
};
use crate::HsmError;

/// Pauses between tries to get a session back: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    shared: Arc<Shared>,
    speed: Speed,
    session: Option<Session>,
    /// Whether the lane counts on this worker.
    up: bool,
    /// Losses this worker has answered by proving its session.
    seen: u64,
    pause: Duration,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, speed: Speed) -> Self {
        Self {
            shared,
            speed,
            session: None,
            up: false,
            seen: 0,
            pause: FIRST_PAUSE,
        }
    }

    fn lane(&self) -> &Lane {
        self.shared.lane(self.speed)
    }

    fn ended(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Opens a session and has it prove that it works.
    pub(super) fn open(&mut self) -> Result<(), HsmError> {
        let lost = self.shared.lost.load(Ordering::Acquire);
        let opened = match self.shared.barred.get() {
            Some(error) => Err(error.clone()),
            None => self.shared.token.open().and_then(|mut hsm| {
                hsm.health()?;
                Ok(hsm)
            }),
        };
        match opened {
            Ok(hsm) => {
                let id = SessionId(self.shared.opened.fetch_add(1, Ordering::Relaxed));
                lock(&self.shared.living.0).insert(id);
                self.session = Some(Session { hsm, id });
                self.seen = lost;
                self.pause = FIRST_PAUSE;
                if !self.up {
                    self.lane().up();
                    self.up = true;
                }
                Ok(())
            }
            Err(error) => {
                self.shared.heed(&error);
                self.down(error.clone());
                Err(error)
            }
        }
    }

    /// Serves until the pool ends.
    pub(super) fn run(mut self) {
        loop {
            if self.session.is_none() {
                if self.ended() {
                    break;
                }
                self.recover();
                continue;
            }
            let next = self.lane().next(
                || self.ended(),
                || self.shared.lost.load(Ordering::Acquire) != self.seen,
            );
            match next {
                Next::Serve(mut job) => {
                    self.serve(job.as_mut());
                    self.lane().done();
                }
                Next::Prove => self.prove(),
                Next::End => break,
            }
        }
    }

    fn recover(&mut self) {
        let pause = match self.shared.barred.get() {
            Some(_) => Duration::MAX,
            None => self.pause,
        };
        self.lane().pause(pause, || self.ended());
        if self.ended() {
            return;
        }
        match self.open() {
            Ok(()) => tracing::info!(
                slot = self.shared.token.name(),
                "an HSM session is open again"
            ),
            Err(_) => self.pause = (self.pause * 2).min(LAST_PAUSE),
        }
    }

    /// Runs a job; when its session or an object is lost under it, once more on what is there now.
    fn serve(&mut self, job: &mut dyn Job) {
        for last in [false, true] {
            match self.attempt(job, last) {
                Ran::Answered => return,
                Ran::ObjectLost => {}
                Ran::SessionLost => {
                    if let Err(error) = self.replace_session() {
                        return job.refuse(error);
                    }
                }
                Ran::Barred(error) => {
                    self.shared.heed(&error);
                    self.drop_session();
                    return self.down(error);
                }
                Ran::Panicked => {
                    // What it did before, nobody knows.
                    job.refuse(HsmError::OutcomeUnknown("a job panicked".to_owned()));
                    // Who has no session then waits for one.
                    let _ = self.replace_session();
                    return;
                }
            }
        }
    }

    fn replace_session(&mut self) -> Result<(), HsmError> {
        self.drop_session();
        self.open()
    }

    fn attempt(&mut self, job: &mut dyn Job, last: bool) -> Ran {
        let Some(session) = self.session.as_mut() else {
            return Ran::SessionLost;
        };
        // The session is replaced after a panic, and what else a job touches it owns.
        catch_unwind(AssertUnwindSafe(|| job.run(session, last))).unwrap_or(Ran::Panicked)
    }

    fn prove(&mut self) {
        self.seen = self.shared.lost.load(Ordering::Acquire);
        let proved = match (self.shared.barred.get(), self.session.as_mut()) {
            (Some(error), Some(_)) => Err(error.clone()),
            (None, Some(session)) => session.hsm.health(),
            (_, None) => Ok(()),
        };
        if let Err(error) = proved {
            self.shared.heed(&error);
            self.drop_session();
            self.down(error);
        }
    }

    /// Gives the session up and has the others prove theirs.
    fn drop_session(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        lock(&self.shared.living.0).remove(&session.id);
        drop(session);
        self.shared.lost.fetch_add(1, Ordering::AcqRel);
        self.shared.fast.wake_all();
        self.shared.slow.wake_all();
    }

    /// No session, and none to be had now.
    fn down(&mut self, reason: HsmError) {
        if self.up {
            tracing::error!(slot = self.shared.token.name(), %reason, "an HSM session is lost");
        }
        self.lane().down(reason, self.up);
        self.up = false;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            lock(&self.shared.living.0).remove(&session.id);
        }
    }
}
