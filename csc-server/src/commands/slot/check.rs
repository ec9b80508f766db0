//! `csc-server slot check`: the operator's doctor.
//!
//! It needs the configuration and the HSM, and no database: it works before there is one, and when that is what is broken. Who may is
//! decided by who may read the PIN files.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use hsm_adapter::{
    About, KeyAlgorithm,
    check::{self, Curve, Finding, Point, Purpose, Scope, Told, Verdict},
};
use serde_json::{Value, json};

use crate::{
    clock::{Clock, Millis},
    commands::{
        caller::Caller,
        module::{examiner, module_setup, slot_setup},
        terminal::say,
    },
    config::{self, Config, Role, Slot},
    timekeeper::ask,
    timestamp,
};

/// How the command ends when something should be changed, and when the service cannot do with it what it must.
const WARNED: u8 = 4;
const WRONG: u8 = 5;
/// Octets of a bar of a curve.
const BAR: f64 = 40.0;
/// How far apart the clocks of token and machine may be.
const APART: Millis = 5000;
/// How much longer than a signature a step may take: one makes the longest RSA key.
const SLOW: u32 = 12;

#[derive(Debug, Args)]
pub(in crate::commands) struct Check {
    /// The name of a slot; every slot of the configuration when none is said.
    slot: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Key types that are tried [default: every one that the service offers].
    #[arg(long, value_name = "TYPE")]
    key: Vec<KeyAlgorithm>,
    /// Open at most so many sessions to see where the HSM stops.
    #[arg(long, value_name = "N", default_value_t = 64)]
    sessions: usize,
    /// Measure each point of the curve so many milliseconds; 0 measures nothing.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    measure: u64,
}

/// How an examination ended that did not end well; everything has been said.
#[derive(Debug, thiserror::Error)]
#[error("the examination ended with a verdict")]
pub(in crate::commands) struct Judged(Verdict);

impl Judged {
    /// The status of the command.
    pub(in crate::commands) fn status(&self) -> ExitCode {
        match self.0 {
            Verdict::Ok => ExitCode::SUCCESS,
            Verdict::Warn => ExitCode::from(WARNED),
            Verdict::Wrong => ExitCode::from(WRONG),
        }
    }
}

/// What was said of a slot.
#[derive(Default)]
struct Examined {
    about: Option<Box<About>>,
    findings: Vec<Finding>,
    curves: Vec<Curve>,
}

impl Check {
    pub(super) async fn run(self, caller: &Caller) -> Result<()> {
        let config = caller.config()?;
        let named = |slot: &&Slot| self.slot.as_deref().is_none_or(|name| name == slot.name());
        let slots: Vec<_> = config.slots.iter().filter(named).collect();
        if slots.is_empty() {
            let names: Vec<_> = config.slots.iter().map(Slot::name).collect();
            bail!(
                "the configuration has no slot of this name; it has {}",
                names.join(", ")
            );
        }
        let mut all = vec![machine_clock(&config.clock).await];
        if !self.json {
            say("machine");
            print(&all[..]);
        }
        let mut told = Vec::new();
        for slot in slots {
            if !self.json {
                say(&format!(
                    "\n{} slot '{}', profile {}",
                    role(slot),
                    slot.name(),
                    slot.profile
                ));
            }
            let examined = self.examine(&config, slot).await?;
            told.push(json_of(slot, &examined));
            all.extend(examined.findings);
        }
        let worst = all.iter().map(|finding| finding.verdict).max();
        let worst = worst.unwrap_or(Verdict::Ok);
        if self.json {
            let machine: Vec<_> = all.iter().take(1).collect();
            let whole = json!({ "verdict": worst, "machine": machine, "slots": told });
            say(&format!("{whole:#}"));
        } else {
            let count = |verdict| all.iter().filter(|found| found.verdict == verdict).count();
            say(&format!(
                "\n{} ok, {} to change, {} wrong",
                count(Verdict::Ok),
                count(Verdict::Warn),
                count(Verdict::Wrong)
            ));
        }
        match worst {
            Verdict::Ok => Ok(()),
            verdict => Err(Judged(verdict).into()),
        }
    }

    async fn examine(&self, config: &Config, slot: &Slot) -> Result<Examined> {
        let (program, module) = (examiner(config)?, module_setup(config, &slot.module));
        let (setup, patience) = (slot_setup(slot)?, config.hsm.patience.saturating_mul(SLOW));
        let scope = self.scope(config, slot);
        let aloud = !self.json;
        // A process of its own ends with the thread that started it.
        let examined = tokio::task::spawn_blocking(move || {
            let mut examined = Examined::default();
            let ended = check::examine(&program, module, setup, scope, patience, |told| {
                let findings = examined.take(told);
                if aloud {
                    print(findings);
                }
            });
            ended.map(|()| examined)
        });
        let examined = examined.await??;
        if aloud {
            for curve in &examined.curves {
                draw(curve);
            }
        }
        Ok(examined)
    }

    fn scope(&self, config: &Config, slot: &Slot) -> Scope {
        let purpose = match slot.role {
            Role::Holder => Purpose::Holder,
            Role::Issuer => Purpose::Issuer,
        };
        let offered: &[_] = match purpose {
            Purpose::Holder => &[
                KeyAlgorithm::P256,
                KeyAlgorithm::P384,
                KeyAlgorithm::P521,
                KeyAlgorithm::Rsa3072,
                KeyAlgorithm::Rsa4096,
            ],
            Purpose::Issuer => &[timestamp::KEY, config.certificate.ca_key],
        };
        let mut algorithms = match self.key.is_empty() {
            true => offered.to_vec(),
            false => self.key.clone(),
        };
        algorithms.dedup();
        Scope {
            purpose,
            algorithms,
            sessions: slot.sessions,
            most_sessions: self.sessions,
            measure: Duration::from_millis(self.measure),
        }
    }
}

impl Examined {
    /// Keeps what was told: the findings that are new.
    fn take(&mut self, told: Told) -> &[Finding] {
        let before = self.findings.len();
        match told {
            Told::Begun(_) => {}
            Told::About(about) => {
                self.findings
                    .extend(token_clock(&about, Clock::System.now()));
                self.about = Some(about);
            }
            Told::Finding(finding) => self.findings.push(finding),
            Told::Curve(curve) => self.curves.push(curve),
        }
        self.findings.get(before..).unwrap_or_default()
    }
}

/// The clock that the service goes by: the machine's.
async fn machine_clock(config: &config::Clock) -> Finding {
    const CHECK: &str = "clock";
    if config.sources.is_empty() {
        let remedy = "name time sources in clock.sources: without one only steps back are noticed";
        return Finding::warn(CHECK, "compared with nothing", remedy);
    }
    let Some(compared) = ask(config).await else {
        let remedy =
            "nothing is signed for want of a comparison: see the network, and clock.sources";
        return Finding::wrong(CHECK, "no time source answers", remedy);
    };
    let found = format!("{} ms from {}", compared.offset, compared.source);
    let off = compared.offset.unsigned_abs();
    let remedy = "synchronise the machine (chrony) with the same sources";
    if u128::from(off) > config.stop.as_millis() {
        Finding::wrong(CHECK, found, remedy)
    } else if u128::from(off) > config.warn.as_millis() {
        Finding::warn(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// The clock of a token that has one: the service does not go by it, its own log may.
fn token_clock(about: &About, now: Millis) -> Option<Finding> {
    const CHECK: &str = "token clock";
    let said = about.clock.as_deref()?;
    let Some(time) = moment(said) else {
        let remedy = "set it with the vendor's tool";
        return Some(Finding::warn(CHECK, format!("'{said}' is no time"), remedy));
    };
    let found = format!("{said}, {} ms from the machine's", time - now);
    Some(if (time - now).abs() > APART {
        let remedy = "set it with the vendor's tool: the times in the device's own log are of use only when they are right";
        Finding::warn(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, found)
    })
}

/// `YYYYMMDDhhmmss00`, UTC.
fn moment(said: &str) -> Option<Millis> {
    const FORM: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year][month][day][hour][minute][second]");
    let moment = time::PrimitiveDateTime::parse(said.get(..14)?, FORM).ok()?;
    Some(moment.assume_utc().unix_timestamp() * 1000)
}

fn role(slot: &Slot) -> &'static str {
    match slot.role {
        Role::Holder => "holder",
        Role::Issuer => "issuer",
    }
}

fn print(findings: &[Finding]) {
    for Finding {
        check,
        verdict,
        found,
        remedy,
    } in findings
    {
        say(&format!("  {verdict:<5}  {check:<16}  {found}"));
        if let Some(remedy) = remedy {
            say(&format!("                           → {remedy}"));
        }
    }
}

/// A curve, a bar a number of sessions.
fn draw(curve: &Curve) {
    let best = curve
        .points
        .iter()
        .map(|point| point.per_second)
        .fold(f64::MIN_POSITIVE, f64::max);
    say(&format!(
        "\n  {}: signatures a second by sessions",
        curve.algorithm.name()
    ));
    for Point {
        sessions,
        per_second,
        median_us,
        p99_us,
    } in &curve.points
    {
        let bar = "█".repeat(((per_second / best * BAR).round() as usize).max(1));
        let milliseconds = |us: u64| us as f64 / 1000.0;
        say(&format!(
            "  {sessions:>4}  {per_second:>8.0}  half {:>7.2} ms  99 % {:>7.2} ms  {bar}",
            milliseconds(*median_us),
            milliseconds(*p99_us)
        ));
    }
}

fn json_of(slot: &Slot, examined: &Examined) -> Value {
    let findings = &examined.findings;
    json!({
        "slot": slot.name(),
        "role": role(slot),
        "profile": slot.profile,
        "module": slot.module,
        "token": examined.about,
        "verdict": findings.iter().map(|finding| finding.verdict).max(),
        "findings": findings,
        "speed": examined.curves,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::generalized;

    const NOW: Millis = 1_700_000_000_000;

    fn clock(said: Option<&str>) -> Option<Verdict> {
        let about = About {
            clock: said.map(str::to_owned),
            ..About::default()
        };
        token_clock(&about, NOW).map(|finding| finding.verdict)
    }

    #[test]
    fn the_clock_of_a_token_is_compared_where_there_is_one() {
        let at = |time| format!("{}00", generalized(time).trim_end_matches('Z'));

        assert_eq!(clock(None), None);
        assert_eq!(clock(Some(&at(NOW))), Some(Verdict::Ok));
        assert_eq!(clock(Some(&at(NOW - 3_600_000))), Some(Verdict::Warn));
        assert_eq!(clock(Some("0000000000000000")), Some(Verdict::Warn));
        assert_eq!(clock(Some("soon")), Some(Verdict::Warn));
    }
}
