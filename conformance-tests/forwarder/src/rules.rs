//! The file of rules: a call (or `*`), what to do to it, and how often, a line each.
//!
//! ```text
//! C_Sign delay 2ms                 late
//! C_Sign fail 0x30 times=3         not passed on; this code instead, three times
//! C_Sign fail-after 0x30           passed on; this code instead of the answer
//! C_Sign hang after=10             not passed on before the rules change, from the eleventh call on
//! C_Sign crash                     the process aborts
//! * forget-sessions times=1        all sessions are closed behind the caller's back, then passed on
//! * forget-login times=1           the user is logged out behind the caller's back, then passed on
//! C_Sign remember                  the same data has the same signature, at no cost
//! C_GetMechanismList without 0x1105    passed on; this mechanism is not in the answer
//! report FILE                      how often each function was called, written when the rules are read, a line each
//! ```

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use cryptoki_sys::{CK_MECHANISM_TYPE, CK_RV};

/// What is done to a call.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    Delay(Duration),
    Hang,
    Crash,
    Fail(CK_RV),
    FailAfter(CK_RV),
    ForgetSessions,
    ForgetLogin,
    Remember,
    Without(CK_MECHANISM_TYPE),
}

struct Rule {
    call: String,
    action: Action,
    after: AtomicU64,
    times: AtomicU64,
}

/// The rules as last read.
#[derive(Default)]
pub(crate) struct Rules(Vec<Rule>);

/// Which file it was: a rename changes the inode, a rewrite the time.
type Stamp = (u64, i64, i64);

/// The rules in force, and the counts of calls.
pub(crate) struct Control {
    file: Option<PathBuf>,
    read: RwLock<(Stamp, Arc<Rules>)>,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl Control {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            read: RwLock::default(),
            calls: Mutex::default(),
        }
    }

    /// Counts a call and gives the rules for it.
    pub(crate) fn rules(&self, call: &'static str) -> Arc<Rules> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(call).or_default() += 1;
        drop(calls);
        self.look()
    }

    /// The rules as they stand in the file now.
    pub(crate) fn look(&self) -> Arc<Rules> {
        let Some(file) = &self.file else {
            return Arc::default();
        };
        let stamp = fs::metadata(file).map_or((0, 0, 0), |file| {
            (file.ino(), file.mtime(), file.mtime_nsec())
        });
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        if read.0 == stamp {
            return read.1.clone();
        }
        drop(read);
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if read.0 != stamp {
            let text = fs::read_to_string(file).unwrap_or_default();
            let rules = text.lines().filter_map(|line| self.rule(line)).collect();
            *read = (stamp, Arc::new(Rules(rules)));
        }
        read.1.clone()
    }

    fn rule(&self, line: &str) -> Option<Rule> {
        let mut words = line.split_whitespace();
        let call = words.next()?;
        if call == "report" {
            self.report(Path::new(words.next()?));
            return None;
        }
        let action = match words.next()? {
            "delay" => Action::Delay(milliseconds(words.next()?)?),
            "hang" => Action::Hang,
            "crash" => Action::Crash,
            "fail" => Action::Fail(code(words.next()?)?),
            "fail-after" => Action::FailAfter(code(words.next()?)?),
            "forget-sessions" => Action::ForgetSessions,
            "forget-login" => Action::ForgetLogin,
            "remember" => Action::Remember,
            "without" => Action::Without(code(words.next()?)?),
            _ => return None,
        };
        let mut bounds = BTreeMap::new();
        for word in words {
            let (name, count) = word.split_once('=')?;
            bounds.insert(name, count.parse().ok()?);
        }
        Some(Rule {
            call: call.to_owned(),
            action,
            after: AtomicU64::new(bounds.get("after").copied().unwrap_or(0)),
            times: AtomicU64::new(bounds.get("times").copied().unwrap_or(u64::MAX)),
        })
    }

    fn report(&self, to: &Path) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = calls
            .iter()
            .map(|(call, count)| format!("{call} {count}\n"));
        let draft = to.with_extension("draft");
        // Whoever waits for the file finds out when it cannot be written.
        let _ = fs::write(&draft, lines.collect::<String>()).and_then(|()| fs::rename(&draft, to));
    }
}

impl Rules {
    /// What is done to this call now; each rule that applies has been used once more.
    pub(crate) fn of(&self, call: &str) -> impl Iterator<Item = Action> {
        let rules = self.0.iter().filter(move |rule| rule.is_for(call));
        rules.filter(|rule| rule.applies()).map(|rule| rule.action)
    }

    /// Whether this mechanism is kept quiet about.
    pub(crate) fn without(&self, call: &str, mechanism: CK_MECHANISM_TYPE) -> bool {
        self.0.iter().any(|rule| {
            rule.is_for(call)
                && matches!(rule.action, Action::Without(left_out) if left_out == mechanism)
        })
    }

    /// Whether signatures of this call are remembered.
    pub(crate) fn remember(&self, call: &str) -> bool {
        self.0
            .iter()
            .any(|rule| rule.is_for(call) && matches!(rule.action, Action::Remember))
    }
}

impl Rule {
    fn is_for(&self, call: &str) -> bool {
        self.call == "*" || self.call == call
    }

    fn applies(&self) -> bool {
        !counted_down(&self.after) && counted_down(&self.times)
    }
}

/// Takes one of what is left.
fn counted_down(left: &AtomicU64) -> bool {
    left.fetch_update(Relaxed, Relaxed, |left| match left {
        0 => None,
        u64::MAX => Some(u64::MAX),
        left => Some(left - 1),
    })
    .is_ok()
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.strip_suffix("ms")?
        .parse()
        .ok()
        .map(Duration::from_millis)
}

fn code(text: &str) -> Option<CK_RV> {
    CK_RV::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
