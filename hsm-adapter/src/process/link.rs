//! The parent's end of one process of a module: many calls in flight on one socket.

use std::{
    collections::HashMap,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    lock,
    wire::{self, Learned, Order, Report, SlotState, State},
};
use crate::{HsmError, call::Octets};

/// How long the process may leave what was sent to it unread.
const UNREAD: Duration = Duration::from_secs(5);

pub(super) struct Link {
    pid: u32,
    writer: Mutex<UnixStream>,
    flight: Mutex<Flight>,
    /// An answer has come, or the end.
    moved: Condvar,
    heard: Mutex<(State, Instant)>,
}

#[derive(Default)]
struct Flight {
    calls: HashMap<u64, InFlight>,
    last: u64,
    /// No further calls are taken.
    closed: bool,
    /// The process has ended: no answers come.
    ended: bool,
}

/// A call that was sent.
struct InFlight {
    answer: oneshot::Sender<Answer>,
    _seat: OwnedSemaphorePermit,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) octets: Octets,
    /// Where the answer begins.
    pub(super) begins: usize,
    pub(super) learned: Learned,
}

/// The call did not go out: the process has ended, or is about to.
pub(super) struct Unsent;

impl Link {
    /// Listens to the socket on a thread of its own. What is no answer to a call goes to `reported`, and `None` when the process has ended.
    pub(super) fn new(
        socket: UnixStream,
        pid: u32,
        reported: impl Fn(Option<Report>) + Send + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let reader = socket.try_clone()?;
        socket.set_write_timeout(Some(UNREAD))?;
        let link = Arc::new(Self {
            pid,
            writer: Mutex::new(socket),
            flight: Mutex::default(),
            moved: Condvar::new(),
            heard: Mutex::new((State::default(), Instant::now())),
        });
        let listener = link.clone();
        thread::Builder::new()
            .name("hsm-answers".to_owned())
            .spawn(move || {
                listener.listen(&reader, &reported);
                // Whoever asks now is told at once; whoever waits learns that nothing comes.
                let calls = {
                    let mut flight = lock(&listener.flight);
                    (flight.closed, flight.ended) = (true, true);
                    std::mem::take(&mut flight.calls)
                };
                drop(calls);
                listener.moved.notify_all();
                reported(None);
            })?;
        Ok(link)
    }

    fn listen(&self, socket: &UnixStream, reported: &impl Fn(Option<Report>)) {
        let mut reader = wire::Reader::new(socket);
        loop {
            let octets = match reader.next() {
                Ok(Some(octets)) => octets,
                Ok(None) => return,
                Err(error) => {
                    return tracing::debug!(%error, "the process of a module is not heard");
                }
            };
            match wire::head(&octets) {
                Ok((Report::Answered(id, learned), answer)) => {
                    let begins = octets.len() - answer.len();
                    let call = lock(&self.flight).calls.remove(&id);
                    if let Some(call) = call {
                        let answer = Answer {
                            octets,
                            begins,
                            learned,
                        };
                        // The caller may be gone.
                        let _ = call.answer.send(answer);
                        self.moved.notify_all();
                    }
                }
                Ok((Report::State(state), _)) => *lock(&self.heard) = (state, Instant::now()),
                Ok((report, _)) => reported(Some(report)),
                Err(error) => {
                    return tracing::error!(%error, "the process of a module talks nonsense");
                }
            }
        }
    }

    /// The number of the process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether calls may be sent.
    pub(super) fn takes_calls(&self) -> bool {
        !lock(&self.flight).closed
    }

    /// Sends what is answered by a report.
    pub(super) fn order(&self, order: &Order) -> Result<(), HsmError> {
        let message = wire::message(order, &[])?;
        let written = wire::write(&*lock(&self.writer), &message);
        written
            .map_err(|error| HsmError::Unavailable(format!("the process of the module: {error}")))
    }

    /// Sends a call that has a seat, which it keeps until it is answered. Once this has returned a receiver the call may be run; a
    /// receiver that ends without an answer leaves open whether it was.
    pub(super) fn send(
        &self,
        slot: u16,
        request: &[u8],
        seat: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Answer>, Unsent> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut flight = lock(&self.flight);
            if flight.closed {
                return Err(Unsent);
            }
            flight.last += 1;
            let id = flight.last;
            flight.calls.insert(
                id,
                InFlight {
                    answer,
                    _seat: seat,
                },
            );
            id
        };
        self.write_call(id, slot, request);
        Ok(answered)
    }

    /// Sends a call whose answer nobody wants to know.
    pub(super) fn mention(&self, slot: u16, request: &[u8]) {
        self.write_call(0, slot, request);
    }

    fn write_call(&self, id: u64, slot: u16, request: &[u8]) {
        let written = wire::message(&Order::Call { id, slot }, request)
            .map_err(|error| error.to_string())
            .and_then(|message| {
                let written = wire::write(&*lock(&self.writer), &message);
                written.map_err(|error| error.to_string())
            });
        if let Err(error) = written {
            // Half a message may be out: nothing can follow it.
            tracing::error!(error, "the process of a module does not listen");
            self.hang_up();
        }
    }

    /// What it last said of a slot.
    pub(super) fn slot(&self, slot: u16) -> Option<SlotState> {
        let heard = lock(&self.heard);
        heard
            .0
            .slots
            .iter()
            .find(|state| state.slot == slot)
            .cloned()
    }

    /// What it last said of itself, and how long ago.
    pub(super) fn heard(&self) -> (State, Duration) {
        let heard = lock(&self.heard);
        (heard.0.clone(), heard.1.elapsed())
    }

    /// Ends the socket: nothing goes out or comes in any more.
    pub(super) fn hang_up(&self) {
        // A socket that has ended is what was wanted.
        let _ = lock(&self.writer).shutdown(Shutdown::Both);
    }

    /// Says that no more calls come: a process that works closes its sessions and ends.
    pub(super) fn part(&self) {
        let _ = lock(&self.writer).shutdown(Shutdown::Write);
    }

    /// Takes no further calls, and waits until every one is answered; false when that takes too long.
    pub(super) fn close(&self, patience: Duration) -> bool {
        lock(&self.flight).closed = true;
        self.wait(patience, |flight| flight.calls.is_empty())
    }

    /// Waits until the process has ended.
    pub(super) fn wait_ended(&self, patience: Duration) -> bool {
        self.wait(patience, |flight| flight.ended)
    }

    fn wait(&self, patience: Duration, done: impl Fn(&Flight) -> bool) -> bool {
        let flight = lock(&self.flight);
        let waited = self
            .moved
            .wait_timeout_while(flight, patience, |flight| !done(flight) && !flight.ended);
        let (flight, _) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&flight)
    }
}
