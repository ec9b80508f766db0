//! What an operator has set weaker than it should be for real signatures (SC-104): allowed, logged at each start, and recorded.

use std::time::Duration;

use super::{Argon2, Config, PukPolicy, Sms, Transport};

/// A setting that weakens the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The full path of the key.
    pub key: String,
    /// What it gives up.
    pub gives_up: &'static str,
}

impl Config {
    /// Every such setting, in the order of the file.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let mut found = Vec::new();
        let mut weak = |holds: bool, key: &str, gives_up| {
            if holds {
                let key = key.to_owned();
                found.push(Weakness { key, gives_up });
            }
        };
        for (index, slot) in self.slots.iter().enumerate() {
            weak(
                slot.is_software(),
                &format!("slot[{index}].profile"),
                "keys are as safe as this machine: the token is software",
            );
        }
        weak(
            matches!(self.mail.transport, Transport::Outbox(_)),
            "mail.outbox",
            "codes and notices rest in files and reach nobody",
        );
        weak(
            matches!(self.sms, Some(Sms::Outbox(_))),
            "sms.outbox",
            "codes rest in files and reach nobody",
        );
        weak(
            self.lifetime.sad > Duration::from_secs(30 * 60),
            "lifetime.sad",
            "an approval outlives the 30 minutes of a qualified policy (EUSPv2)",
        );
        weak(
            self.lifetime.session_idle > Duration::from_secs(30 * 60),
            "lifetime.session_idle",
            "a browser that was left alone stays logged in for longer",
        );
        weak(
            self.lifetime.session > Duration::from_secs(12 * 3600),
            "lifetime.session",
            "a stolen session is good for longer than a day's work",
        );
        weak(
            self.pin.max_failures > 5,
            "pin.max_failures",
            "more guesses at a PIN",
        );
        weak(
            self.pin.alarm_after > 500,
            "pin.alarm_after",
            "a few guesses at each of many PINs are alarmed late",
        );
        // OWASP: t=1 with 46 MiB, t=2 with 19 MiB, t≥3 with 12 MiB.
        let Argon2 { memory, passes, .. } = self.pin.argon2;
        let least = [47_104, 19_456, 12_288];
        let least = least.get(passes.clamp(1, 3) as usize - 1).copied();
        weak(
            least.is_none_or(|least| memory < least),
            "pin.argon2",
            "guesses are cheaper than OWASP's minimum",
        );
        weak(
            self.otp.max_failures > 10,
            "otp.max_failures",
            "more guesses at a code",
        );
        weak(
            self.otp.drift > 1,
            "otp.drift",
            "a code of an app is good for longer than two minutes",
        );
        weak(
            self.rate.logins_per_holder == 0 || self.rate.logins_per_holder > 60,
            "rate.logins_per_holder",
            "more guesses at a password",
        );
        weak(
            self.credential.puk == PukPolicy::Reset,
            "credential.puk",
            "who has the PUK and a code can set a new PIN",
        );
        weak(
            self.audit.checkpoint_every > Duration::from_secs(60),
            "audit.checkpoint_every",
            "more of the log can be cut off unnoticed",
        );
        weak(
            self.audit.inspect_every > Duration::from_secs(24 * 3600),
            "audit.inspect_every",
            "a change of log or tables is found later than the next night",
        );
        weak(
            self.clock.sources.is_empty(),
            "clock.sources",
            "nobody says what time it is but this machine",
        );
        weak(
            self.callback.private_addresses,
            "callback.private_addresses",
            "a client can make the service call machines of its own network",
        );
        weak(
            self.timestamp.is_without_policy(),
            "timestamp.policy",
            "time-stamps name a policy that nobody has written",
        );
        weak(
            self.terms.is_none(),
            "terms",
            "no proof which terms a holder accepted",
        );
        found
    }
}
