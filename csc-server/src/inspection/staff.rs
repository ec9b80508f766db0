//! What events tell of the rows of operators: accounts, requests, the policy.

use serde::Deserialize;

use super::{
    tables::Of,
    told::{
        Change,
        Deed::{self, Made, Raise, Record},
        change, count, set,
    },
};
use crate::clock::Millis;

/// The events that tell of rows, with those of their members that do.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
enum Told {
    UserCreated {
        operator: String,
        record: String,
    },
    OperatorLoginTried {
        operator: String,
        version: i64,
        failures: i64,
        after: Millis,
    },
    OperatorLoginOk {
        operator: String,
        version: i64,
        step: i64,
        record: String,
    },
    OperatorConfirmed {
        operator: String,
        version: i64,
    },
    OperatorEnrolled(Rewritten),
    OperatorPasswordChanged(Rewritten),
    RoleGranted(Rewritten),
    RoleRemoved(Rewritten),
    OperatorReset(Rewritten),
    DualRequest {
        approval: String,
        record: String,
    },
    DualApprove(Decided),
    DualRefuse(Decided),
    DualUsed {
        approval: String,
        version: i64,
    },
    PolicyChanged {
        version: i64,
        record: String,
    },
    #[serde(other)]
    Nothing,
}

/// An account with a new record.
#[derive(Debug, Deserialize)]
struct Rewritten {
    operator: String,
    version: i64,
    record: String,
}

/// A request that somebody decided.
#[derive(Debug, Deserialize)]
struct Decided {
    approval: String,
    version: i64,
    record: String,
}

/// What this event tells; `None` when it cannot be read.
pub(super) fn changes(event: &str) -> Option<Vec<Change>> {
    let told: Told = serde_json::from_str(event).ok()?;
    Some(match told {
        Told::UserCreated { operator, record } => {
            let deeds = [
                vec![Made, Record(record)],
                forgiven(),
                vec![set("next_step", 0)],
            ];
            vec![change(Of::Operator, &operator, 1, deeds.concat())]
        }
        Told::OperatorLoginTried {
            operator,
            version,
            failures,
            after,
        } => {
            let mut deeds = count("login_failures", 1, failures);
            deeds.push(set("login_after", after));
            vec![change(Of::Operator, &operator, version, deeds)]
        }
        Told::OperatorLoginOk {
            operator,
            version,
            step,
            record,
        } => {
            // The least step that is still accepted.
            let taken = vec![Record(record), Raise("next_step".into(), step + 1)];
            vec![change(
                Of::Operator,
                &operator,
                version,
                [forgiven(), taken].concat(),
            )]
        }
        Told::OperatorConfirmed { operator, version } => {
            vec![change(Of::Operator, &operator, version, forgiven())]
        }
        Told::OperatorEnrolled(to)
        | Told::OperatorPasswordChanged(to)
        | Told::RoleGranted(to)
        | Told::RoleRemoved(to) => vec![to.with(vec![])],
        // Another app counts anew.
        Told::OperatorReset(to) => vec![to.with(vec![set("next_step", 0)])],
        Told::DualRequest { approval, record } => {
            let deeds = vec![Made, Record(record), set("state", "waiting")];
            vec![change(Of::Approval, &approval, 1, deeds)]
        }
        Told::DualApprove(to) => vec![to.with("approved")],
        Told::DualRefuse(to) => vec![to.with("refused")],
        Told::DualUsed { approval, version } => {
            vec![change(
                Of::Approval,
                &approval,
                version,
                vec![set("state", "used")],
            )]
        }
        Told::PolicyChanged { version, record } => {
            vec![change(Of::Policy, "1", version, vec![Made, Record(record)])]
        }
        Told::Nothing => Vec::new(),
    })
}

fn forgiven() -> Vec<Deed> {
    vec![set("login_failures", 0), set("login_after", 0)]
}

impl Rewritten {
    fn with(self, deeds: Vec<Deed>) -> Change {
        let deeds = [vec![Record(self.record)], deeds].concat();
        change(Of::Operator, &self.operator, self.version, deeds)
    }
}

impl Decided {
    fn with(self, state: &str) -> Change {
        let deeds = vec![Record(self.record), set("state", state)];
        change(Of::Approval, &self.approval, self.version, deeds)
    }
}
