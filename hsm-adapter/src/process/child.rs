//! The process of a module: it loads the module, has the PINs and the sessions, and answers calls until its socket ends.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, stdin},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{
    lock, sandbox,
    wire::{self, Learned, ModuleSetup, Order, Report, SlotSetup, SlotState, State},
};
use crate::{
    HsmError, MasterSet, Pool, PoolLimits, Token,
    call::{Engine, Request, decode},
    pkcs11::Pkcs11Token,
};

/// How often the state is looked at, and how often it is told though nothing changed.
const LOOK: Duration = Duration::from_millis(100);
const TELL: Duration = Duration::from_secs(1);

/// Serves the socket that is the standard input of this process, until it ends. `read_pin` reads the PIN file of a slot.
///
/// # Errors
/// When there is no such socket.
pub fn serve(read_pin: fn(&Path) -> Result<Zeroizing<String>, String>) -> io::Result<()> {
    let socket = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    serve_tokens(socket, sandbox::enter, move |module, slot| {
        let pin = read_pin(&slot.pin_file).map_err(HsmError::Unfit)?;
        let profile = slot.profile.parse().map_err(HsmError::Unfit)?;
        let selector = slot.selector.clone();
        let token = Pkcs11Token::new(&slot.name, &module.module, selector, pin, profile);
        Ok(Arc::new(token))
    })
}

/// The same for tokens that the caller makes; `shut_in` is told whether the network stays open.
pub(super) fn serve_tokens(
    socket: UnixStream,
    shut_in: impl FnOnce(bool) -> Result<(), String>,
    token: impl Fn(&ModuleSetup, &SlotSetup) -> Result<Arc<dyn Token>, HsmError>,
) -> io::Result<()> {
    let to = Arc::new(Mutex::new(socket.try_clone()?));
    let mut reader = wire::Reader::new(&socket);
    let Some(first) = reader.next()? else {
        return Ok(());
    };
    let Ok((Order::Start(module), [])) = wire::head(&first) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let entered = shut_in(module.network).map_err(|reason| {
        HsmError::Unfit(format!("the module's process is not shut in: {reason}"))
    });
    let refused = entered.is_err();
    tell(&to, &Report::Started(entered), &[]);
    if refused {
        return Ok(());
    }
    let engines = Arc::new(Engines::default());
    let teller = thread::Builder::new().name("hsm-state".to_owned()).spawn({
        let (engines, to) = (engines.clone(), to.clone());
        move || engines.tell_all(&to)
    })?;
    let ended = answer(&mut reader, &to, &engines, |slot| token(&module, slot));
    engines.end();
    // A panic in it has been told.
    let _ = teller.join();
    ended
}

fn answer(
    reader: &mut wire::Reader<&UnixStream>,
    to: &Arc<Mutex<UnixStream>>,
    engines: &Engines,
    token: impl Fn(&SlotSetup) -> Result<Arc<dyn Token>, HsmError>,
) -> io::Result<()> {
    while let Some(octets) = reader.next()? {
        match wire::head(&octets) {
            Ok((Order::Open(slot, setup), [])) => {
                let opened = token(&setup).and_then(|token| open(token, &setup));
                let ended = match opened {
                    Ok(engine) => {
                        lock(&engines.open).slots.insert(slot, engine);
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                // The state comes first: whoever knows that it is open may ask for it.
                tell(to, &Report::State(engines.state()), &[]);
                tell(to, &Report::Opened(slot, ended), &[]);
            }
            Ok((Order::Call { id, slot }, request)) => {
                let Ok(request) = decode::<Request>(request) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let Some(engine) = lock(&engines.open).slots.get(&slot).cloned() else {
                    let closed = HsmError::Unavailable("the slot is not open".to_owned());
                    let answer = request.refused(closed);
                    tell(to, &Report::Answered(id, Learned::default()), &answer);
                    continue;
                };
                let (to, masters) = (to.clone(), engine.tools.masters.clone());
                request.post(&engine, move |answer| {
                    let learned = Learned {
                        masters: MasterSet::ALL.map(|set| masters.known(set)),
                        derivations: masters.take_derivations(),
                    };
                    tell(&to, &Report::Answered(id, learned), &answer);
                });
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

fn open(token: Arc<dyn Token>, setup: &SlotSetup) -> Result<Engine, HsmError> {
    let limits = PoolLimits {
        sessions: setup.sessions,
        queue: setup.queue,
        deadline: setup.deadline,
    };
    Ok(Engine::new(Pool::start(token, limits)?, setup.open_keys))
}

/// Whoever cannot be told anything has ended; reading says so too.
fn tell(to: &Mutex<UnixStream>, report: &Report, body: &[u8]) {
    if let Ok(message) = wire::message(report, body)
        && let Err(error) = wire::write(&*lock(to), &message)
    {
        tracing::debug!(%error, "nobody hears the process of the module");
    }
}

/// The slots that are open.
#[derive(Default)]
struct Engines {
    open: Mutex<Open>,
    ended: Condvar,
}

#[derive(Default)]
struct Open {
    slots: BTreeMap<u16, Engine>,
    ended: bool,
}

impl Engines {
    fn state(&self) -> State {
        let slots = lock(&self.open).slots.clone();
        let state = |(slot, engine): (u16, Engine)| SlotState {
            slot,
            pool: engine.state(),
            longest: engine.pool.longest().map(|lasts| lasts.as_secs()),
            barred: engine.pool.barred(),
        };
        State {
            memory: memory(),
            slots: slots.into_iter().map(state).collect(),
        }
    }

    /// Tells the state when it changes, and now and then, until the end.
    fn tell_all(&self, to: &Mutex<UnixStream>) {
        let (mut told, mut when) = (State::default(), Instant::now());
        loop {
            let open = lock(&self.open);
            let waited = self
                .ended
                .wait_timeout_while(open, LOOK, |open| !open.ended);
            if waited.is_ok_and(|(open, _)| open.ended) {
                return;
            }
            let state = self.state();
            if state.slots != told.slots || when.elapsed() >= TELL {
                tell(to, &Report::State(state.clone()), &[]);
                (told, when) = (state, Instant::now());
            }
        }
    }

    /// Closes every session.
    fn end(&self) {
        let slots = {
            let mut open = lock(&self.open);
            open.ended = true;
            std::mem::take(&mut open.slots)
        };
        self.ended.notify_all();
        drop(slots);
    }
}

/// Resident memory of this process, in octets; 0 where the system does not say.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| {
            let resident = statm.split_ascii_whitespace().nth(1)?;
            resident.parse::<u64>().ok()
        });
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}
