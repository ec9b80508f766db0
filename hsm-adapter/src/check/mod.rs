//! The doctor: what a token can do for the service, and what to change. Throw-away keys only; nothing is left behind.
//!
//! Every step is told when it begins and how it ended, so that who listens knows where a device hung or a module crashed:
//! [`examine`] runs in a process of its own, which may be lost.

mod chain;
mod examination;
mod process;
mod speed;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    examination::examine_token,
    process::{examine, serve},
};
use crate::{About, HsmError, KeyAlgorithm};

/// How good what was found is, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The service runs with it, and something should be changed.
    Warn,
    /// The service cannot do with it what it must.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; `None` when it is as it should be.
    pub remedy: Option<String>,
}

/// How fast a token signs, and how that grows with sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// With keys of this type.
    pub algorithm: KeyAlgorithm,
    /// By number of sessions, ascending.
    pub points: Vec<Point>,
}

/// What so many sessions signed at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Sessions.
    pub sessions: usize,
    /// Signatures a second, of all together.
    pub per_second: f64,
    /// Half of the signatures took no longer: microseconds.
    pub median_us: u64,
    /// 99 of 100 took no longer: microseconds.
    pub p99_us: u64,
}

/// What is told during an examination, in its order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// A step begins.
    Begun(String),
    /// What the token says of itself.
    About(Box<About>),
    /// How a step ended.
    Finding(Finding),
    /// What was measured.
    Curve(Curve),
}

/// Whose keys the slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Keys of holders, sealed.
    Holder,
    /// Keys of the provider, on the token.
    Issuer,
}

/// How far an examination goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scope {
    /// Whose keys the slot is for.
    pub purpose: Purpose,
    /// Key types that are tried.
    pub algorithms: Vec<KeyAlgorithm>,
    /// Sessions that the configuration wants to sign with.
    pub sessions: usize,
    /// Sessions are opened until the token refuses one, or so many are open.
    pub most_sessions: usize,
    /// How long each point of a curve is measured; nothing is when it is zero.
    pub measure: Duration,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Wrong => "wrong",
        })
    }
}

impl Finding {
    /// It is as it should be.
    pub fn ok(check: &str, found: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    /// Something should be changed.
    pub fn warn(check: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(check, found)
        }
    }

    /// The service cannot do with it what it must.
    pub fn wrong(check: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Wrong,
            remedy: Some(remedy.into()),
            ..Self::ok(check, found)
        }
    }

    /// A step that did not end well.
    fn failed(check: &str, error: &HsmError) -> Self {
        Self::wrong(check, error.to_string(), remedy(error))
    }
}

/// What to do about it.
fn remedy(error: &HsmError) -> &'static str {
    match error {
        HsmError::Busy { .. } | HsmError::Unavailable(_) => {
            "look at the device, its connection and its own log, and check again"
        }
        HsmError::PinRefused(_) => {
            "correct the PIN file; it was tried once, and each further try may lock the token"
        }
        HsmError::Tampered(_) => "take the device out of service, and have it examined",
        HsmError::Unfit(_) => {
            "the token lacks this or ignores what was asked: see its profile, its firmware and the policy of its partition"
        }
        HsmError::Refused(_) => {
            "the token has it and refuses: see the policy of its partition (FIPS mode, key export) and the profile"
        }
        HsmError::Missing(_) => {
            "the token lost an object while it was in use: nothing else may write to it"
        }
        HsmError::OutcomeUnknown(_) => "it signs wrongly, or says nothing: sign nothing with it",
    }
}
