//! Keeps the process of a module alive: starts it, watches it, replaces it.
//!
//! A thread of its own: the process is told to end when the thread that started it does.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    link::Link,
    lock,
    remote::Remote,
    wire::{ModuleSetup, Order, Report, SlotSetup},
};
use crate::HsmError;

/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to start, and to open a slot.
const STARTING: Duration = Duration::from_secs(60);
/// Pauses between tries to start it: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A process that ended sooner is not started again at once.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// How long a slot may be without a session before its process is replaced, at first and at most: some modules find a token again only
/// in a new process.
const FIRST_LOSS: Duration = Duration::from_secs(10);
const LAST_LOSS: Duration = Duration::from_secs(300);
/// How much longer than a signature the making of a key may take.
const SLOW: u32 = 12;
/// How long calls may go on in a process that another hangs in.
const GRACE: Duration = Duration::from_secs(2);
/// How long a process that is not needed any more may take to finish its calls, and to close its sessions.
const LAST_CALLS: Duration = Duration::from_secs(60);
const PARTING: Duration = Duration::from_secs(6);

/// What is started: a program that calls [`serve`](super::serve).
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// User and group it runs as, when this process may choose.
    pub user: Option<(u32, u32)>,
    /// Whether it writes its log to this process's standard output.
    pub logs: bool,
}

/// When a process is replaced.
#[derive(Clone, Copy, Debug)]
pub struct Care {
    /// How long the device may take for a call that signs; twelve times as long for one that makes a key.
    pub patience: Duration,
    /// Resident memory, in octets, beyond which a new process takes over: some modules leak with every key they open.
    pub memory: u64,
}

/// Why a process was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It ended by itself.
    Ended,
    /// A call, or the process, did not come back in time.
    Hung,
    /// A slot was without a session for too long.
    Lost,
    /// It took too much memory.
    Grown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Ended, Self::Hung, Self::Lost, Self::Grown];

    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Hung => "hung",
            Self::Lost => "lost",
            Self::Grown => "grown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the process of a module is doing, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessState {
    /// Its number, while there is one.
    pub pid: Option<u32>,
    /// Resident memory, in octets.
    pub memory: u64,
    /// How often one was replaced, by reason, in the order of [`Reason::ALL`].
    pub replaced: [u64; 4],
}

/// A module in a process of its own; clones share it, and it ends with the last one.
#[derive(Clone)]
pub struct Process(Arc<Kept>);

struct Kept {
    module: PathBuf,
    events: Sender<Event>,
    stand: watch::Receiver<Stand>,
    replaced: Arc<Mutex<[u64; 4]>>,
    slots: Mutex<u16>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where calls go now.
#[derive(Clone)]
pub(super) enum Stand {
    /// It is being started: calls wait.
    Starting,
    /// To this process, the n-th.
    Up(u64, Arc<Link>),
    /// Nowhere, for this reason.
    Down(HsmError),
}

enum Event {
    /// The n-th process reported, or ended.
    Told(u64, Option<Report>),
    Open(Slot, Sender<Result<(), HsmError>>),
    End,
}

/// A slot that is to be open.
#[derive(Clone)]
struct Slot {
    number: u16,
    setup: SlotSetup,
    barred: Arc<OnceLock<HsmError>>,
}

impl Process {
    /// Starts the process; it loads its module when the first slot is opened.
    ///
    /// # Errors
    /// [`HsmError::Unfit`] when it cannot be started.
    pub fn start(program: Program, module: ModuleSetup, care: Care) -> Result<Self, HsmError> {
        let (events, received) = channel();
        let (stand, stands) = watch::channel(Stand::Starting);
        let (report, reported) = channel();
        let replaced = Arc::<Mutex<[u64; 4]>>::default();
        let path = module.module.clone();
        let mut keeper = Keeper {
            program,
            module,
            care,
            events: events.clone(),
            received,
            later: VecDeque::new(),
            stand,
            replaced: replaced.clone(),
            slots: Vec::new(),
            started: 0,
            running: None,
            pause: Duration::ZERO,
            retry: Instant::now(),
            loss: FIRST_LOSS,
            lost: None,
        };
        let thread = thread::Builder::new()
            .name("hsm-keeper".to_owned())
            .spawn(move || {
                let started = keeper.start();
                let failed = started.is_err();
                // Whoever started it waits for this.
                let _ = report.send(started);
                if !failed {
                    keeper.run();
                }
            });
        let thread =
            thread.map_err(|error| HsmError::Unavailable(format!("no thread: {error}")))?;
        let kept = Kept {
            module: path,
            events,
            stand: stands,
            replaced,
            slots: Mutex::new(0),
            thread: Mutex::new(Some(thread)),
        };
        let started = reported.recv().unwrap_or_else(|_| Err(gone()));
        started.map(|()| Self(Arc::new(kept)))
    }

    /// Opens a slot of the module: the process reads its PIN and logs in.
    ///
    /// # Errors
    /// [`HsmError::PinRefused`], and [`HsmError::Unfit`] when the module cannot be loaded or has no such token.
    pub fn open(&self, setup: SlotSetup) -> Result<Remote, HsmError> {
        let number = {
            let mut slots = lock(&self.0.slots);
            *slots += 1;
            *slots
        };
        let barred = Arc::new(OnceLock::new());
        let slot = Slot {
            number,
            setup: setup.clone(),
            barred: barred.clone(),
        };
        let (reply, replied) = channel();
        self.0
            .events
            .send(Event::Open(slot, reply))
            .map_err(|_| gone())?;
        replied.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Remote::new(self.clone(), number, &setup, barred))
    }

    /// What it is doing now.
    pub fn state(&self) -> ProcessState {
        let replaced = *lock(&self.0.replaced);
        let link = match &*self.0.stand.borrow() {
            Stand::Up(_, link) => Some(link.clone()),
            Stand::Starting | Stand::Down(_) => None,
        };
        ProcessState {
            pid: link.as_ref().map(|link| link.pid()),
            memory: link.map_or(0, |link| link.heard().0.memory),
            replaced,
        }
    }

    /// The PKCS#11 library.
    pub fn module(&self) -> &std::path::Path {
        &self.0.module
    }

    pub(super) fn stand(&self) -> watch::Receiver<Stand> {
        self.0.stand.clone()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A keeper that has ended needs no telling.
        let _ = self.events.send(Event::End);
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> HsmError {
    HsmError::Unavailable("the process of the module has ended".to_owned())
}

struct Keeper {
    program: Program,
    module: ModuleSetup,
    care: Care,
    events: Sender<Event>,
    received: Receiver<Event>,
    /// Events that came while an answer was waited for.
    later: VecDeque<Event>,
    stand: watch::Sender<Stand>,
    replaced: Arc<Mutex<[u64; 4]>>,
    slots: Vec<Slot>,
    /// Processes started so far.
    started: u64,
    running: Option<Running>,
    pause: Duration,
    /// When the next is started, if there is none.
    retry: Instant,
    /// How long a slot may be lost.
    loss: Duration,
    /// Since when a slot is.
    lost: Option<Instant>,
}

struct Running {
    number: u64,
    child: Child,
    link: Arc<Link>,
    since: Instant,
}

impl Keeper {
    fn run(mut self) {
        loop {
            match self.next(LOOK) {
                Some(Event::End) => break,
                Some(Event::Open(slot, reply)) => {
                    // Whoever asked may have given up.
                    let _ = reply.send(self.open(slot));
                }
                Some(Event::Told(number, None)) => self.has_ended(number),
                Some(Event::Told(_, Some(_))) | None => {}
            }
            self.look();
        }
        self.stand.send_replace(Stand::Down(gone()));
        if let Some(running) = self.running.take() {
            running.link.close(PARTING);
            running.part();
        }
    }

    fn next(&mut self, patience: Duration) -> Option<Event> {
        match self.later.pop_front() {
            Some(event) => Some(event),
            None => match self.received.recv_timeout(patience) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Event::End),
            },
        }
    }

    /// Waits for a report of the n-th process; what else happens is looked at later.
    fn report(&mut self, number: u64) -> Result<Report, HsmError> {
        let until = Instant::now() + STARTING;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.received.recv_timeout(left) {
                Ok(Event::Told(told, Some(report))) if told == number => return Ok(report),
                Ok(Event::Told(told, None)) if told == number => return Err(gone()),
                Ok(event) => self.later.push_back(event),
                Err(_) => {
                    let late = "the process of the module does not answer";
                    return Err(HsmError::Unavailable(late.to_owned()));
                }
            }
        }
    }

    /// Starts a process, has it open every slot, and sends calls to it from now on.
    fn start(&mut self) -> Result<(), HsmError> {
        let running = self.spawn()?;
        let ready = self.ready(&running);
        if let Err(error) = ready {
            running.kill();
            return Err(error);
        }
        let stand = Stand::Up(running.number, running.link.clone());
        self.running = Some(running);
        self.lost = None;
        self.stand.send_replace(stand);
        Ok(())
    }

    fn spawn(&mut self) -> Result<Running, HsmError> {
        let unfit = |error: std::io::Error| {
            let path = self.program.path.display();
            HsmError::Unfit(format!(
                "the process of a module, {path}, cannot be started: {error}"
            ))
        };
        let (ours, theirs) = UnixStream::pair().map_err(unfit)?;
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.arguments)
            .stdin(OwnedFd::from(theirs))
            // What is typed at a terminal is for this process alone.
            .process_group(0);
        if !self.program.logs {
            command.stdout(Stdio::null());
        }
        if let Some((user, group)) = self.program.user {
            command.uid(user).gid(group);
        }
        let child = command.spawn().map_err(unfit)?;
        // Its end of the socket is its own now.
        drop(command);
        self.started += 1;
        let (number, events) = (self.started, self.events.clone());
        let reported = move |report| {
            // The keeper may have ended.
            let _ = events.send(Event::Told(number, report));
        };
        let link = Link::new(ours, child.id(), reported).map_err(unfit)?;
        Ok(Running {
            number,
            child,
            link,
            since: Instant::now(),
        })
    }

    fn ready(&mut self, running: &Running) -> Result<(), HsmError> {
        running.link.order(&Order::Start(self.module.clone()))?;
        match self.report(running.number)? {
            Report::Started(ended) => ended?,
            _ => return Err(nonsense()),
        }
        for slot in self.slots.clone() {
            if slot.barred.get().is_some() {
                continue;
            }
            match self.open_in(running.number, &running.link.clone(), &slot) {
                Err(error) if error.is_final() => {
                    // The first reason stays.
                    let _ = slot.barred.set(error);
                }
                ended => ended?,
            }
        }
        Ok(())
    }

    fn open_in(&mut self, number: u64, link: &Link, slot: &Slot) -> Result<(), HsmError> {
        link.order(&Order::Open(slot.number, Box::new(slot.setup.clone())))?;
        match self.report(number)? {
            Report::Opened(opened, ended) if opened == slot.number => ended,
            _ => Err(nonsense()),
        }
    }

    fn open(&mut self, slot: Slot) -> Result<(), HsmError> {
        let Some(running) = &self.running else {
            return Err(gone());
        };
        let (number, link) = (running.number, running.link.clone());
        self.open_in(number, &link, &slot)?;
        self.slots.push(slot);
        Ok(())
    }

    fn has_ended(&mut self, number: u64) {
        let Some(running) = self.running.take_if(|running| running.number == number) else {
            return;
        };
        let lived = running.since.elapsed();
        running.kill();
        self.count(Reason::Ended);
        self.pause = match lived < SHORT_LIFE {
            true => (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE),
            false => Duration::ZERO,
        };
        self.retry = Instant::now() + self.pause;
        self.stand.send_replace(Stand::Starting);
    }

    fn count(&self, reason: Reason) {
        tracing::error!(module = %self.module.module.display(), %reason, "the process of a module is replaced");
        if let Some(count) = lock(&self.replaced).get_mut(reason as usize) {
            *count += 1;
        }
    }

    fn look(&mut self) {
        match self.diagnosis() {
            Some(Reason::Grown) if Instant::now() < self.retry => {}
            Some(Reason::Grown) => self.relieve(),
            Some(reason) => self.replace(reason),
            None if self.running.is_none() && Instant::now() >= self.retry => self.restart(),
            None => {}
        }
    }

    /// What is wrong with the process.
    fn diagnosis(&mut self) -> Option<Reason> {
        let running = self.running.as_ref()?;
        let (state, ago) = running.link.heard();
        for told in &state.slots {
            let slot = self.slots.iter().find(|slot| slot.number == told.slot);
            if let (Some(slot), Some(error)) = (slot, &told.barred) {
                // The first reason stays.
                let _ = slot.barred.set(error.clone());
            }
        }
        let beyond = |lasts: u64, patience: Duration| Duration::from_secs(lasts) > patience;
        let patience = self.care.patience;
        let hangs = state.slots.iter().any(|slot| {
            let [fast, slow] = slot.longest;
            beyond(fast, patience) || beyond(slow, patience * SLOW)
        });
        if hangs || ago > patience {
            return Some(Reason::Hung);
        }
        if state.memory > self.care.memory {
            return Some(Reason::Grown);
        }
        let without =
            |slot: &super::wire::SlotState| slot.pool.sessions == 0 && slot.barred.is_none();
        if !state.slots.iter().any(without) {
            self.lost = None;
            if running.since.elapsed() > SHORT_LIFE {
                self.loss = FIRST_LOSS;
            }
            return None;
        }
        let since = *self.lost.get_or_insert_with(Instant::now);
        (since.elapsed() > self.loss).then_some(Reason::Lost)
    }

    /// A process that is of no use any more: the next one takes its place.
    fn replace(&mut self, reason: Reason) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.count(reason);
        self.stand.send_replace(Stand::Starting);
        if reason == Reason::Lost {
            self.loss = (self.loss * 2).min(LAST_LOSS);
        }
        running.retire(GRACE);
        self.pause = Duration::ZERO;
        self.restart();
    }

    /// A process that works: it goes when the next one is there.
    fn relieve(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        match self.start() {
            Ok(()) => {
                self.count(Reason::Grown);
                running.retire(LAST_CALLS);
            }
            Err(error) => {
                tracing::error!(%error, "a process of a module that has grown cannot be relieved");
                self.running = Some(running);
                self.retry = Instant::now() + LAST_PAUSE;
            }
        }
    }

    fn restart(&mut self) {
        if let Err(error) = self.start() {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            self.retry = Instant::now() + self.pause;
            tracing::warn!(%error, "the process of a module is not up yet");
            self.stand.send_replace(Stand::Down(error));
        }
    }
}

impl Running {
    /// Lets it finish its calls, and go; in the background.
    fn retire(self, patience: Duration) {
        let retiring = thread::Builder::new().name("hsm-retiring".to_owned());
        let retired = retiring.spawn(move || match self.link.close(patience) {
            true => self.part(),
            false => self.kill(),
        });
        if let Err(error) = retired {
            // It was dropped with the closure: its socket has ended, and with it the process.
            tracing::error!(%error, "a process of a module is not waited for");
        }
    }

    fn part(self) {
        self.link.part();
        self.link.wait_ended(PARTING);
        self.kill();
    }

    fn kill(mut self) {
        // One that has ended already is reaped all the same.
        let _ = self.child.kill();
        self.link.hang_up();
        let _ = self.child.wait();
    }
}

fn nonsense() -> HsmError {
    HsmError::Unavailable("the process of the module talks nonsense".to_owned())
}
