//! What events tell of the rows of tables.

use serde::{Deserialize, Serialize};

use super::{
    staff,
    tables::{self, Of},
};
use crate::{clock::Millis, factor, question};

/// A change of one row that an event tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) of: Of,
    pub(super) key: String,
    /// That of the row from here on; 0 where rows have none, because their changes go together in any order.
    pub(super) version: i64,
    pub(super) deeds: Vec<Deed>,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Deed {
    /// It is there from now on.
    Made,
    /// It was taken out.
    Gone,
    /// From this time on it may be gone.
    Until(Millis),
    /// Its record.
    Record(String),
    /// A column has this value.
    Set(String, String),
    /// A number becomes so much more.
    Add(String, i64),
    /// A number becomes this, which is more than it was.
    Raise(String, i64),
    /// A number is this now: so the table said when the event was recorded.
    Stands(String, i64),
}

use Deed::{Add, Gone, Made, Raise, Record, Set, Stands, Until};

pub(super) fn set(column: &str, value: impl ToString) -> Deed {
    Set(column.to_owned(), value.to_string())
}

fn add(column: &str, more: i64) -> Deed {
    Add(column.to_owned(), more)
}

/// So much more, and what the table said then.
pub(super) fn count(column: &str, more: i64, now: i64) -> Vec<Deed> {
    vec![add(column, more), Stands(column.to_owned(), now)]
}

pub(super) fn change(of: Of, key: &str, version: i64, deeds: Vec<Deed>) -> Change {
    let key = key.to_owned();
    Change {
        of,
        key,
        version,
        deeds,
    }
}

/// The events that tell of rows, with those of their members that do.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
enum Told {
    CaCreated {
        label: String,
        record: String,
    },
    TsaCreated {
        label: String,
        record: String,
    },
    HolderAdded {
        holder: String,
        record: String,
    },
    HolderBlocked(OfHolder),
    HolderUnblocked(OfHolder),
    LoginTried {
        holder: String,
        version: i64,
        failures: i64,
        after: Millis,
    },
    LoginOk(OfHolder),
    SessionBegun {
        session: String,
        ends: Millis,
        record: String,
    },
    SessionEnded {
        session: String,
    },
    ClientRegistered {
        client: String,
        record: String,
    },
    ClientChanged {
        client: String,
        version: i64,
        record: String,
    },
    ClientLinked {
        client: String,
        holder: String,
    },
    TokenIssued {
        tokens: Vec<Token>,
    },
    TokenSpent {
        token: String,
    },
    TokenRevoked {
        tokens: Vec<String>,
    },
    FactorAdded {
        factor: String,
        version: i64,
        record: String,
    },
    TokenImported {
        factor: String,
        counter: i64,
        record: String,
    },
    FactorResynced {
        factor: String,
        version: i64,
        counter: i64,
    },
    FactorUnlocked {
        factor: String,
        version: i64,
    },
    OtpSent {
        challenge: String,
        record: String,
        expires: Millis,
        replaced: Vec<String>,
    },
    OtpOk {
        factor: String,
        version: i64,
        counter: Option<i64>,
        challenge: Option<String>,
        bound_to: String,
    },
    OtpFail {
        factor: String,
        version: i64,
        failures: i64,
        challenge: Option<String>,
    },
    OtpLocked {
        factor: String,
        version: i64,
        until: Millis,
    },
    KeyTaken {
        spki_hash: String,
    },
    CertActivated {
        credential: String,
        record: String,
    },
    CertPrepared {
        credential: String,
        record: String,
    },
    CertTakenUp(Rewritten),
    CertSuspended(Rewritten),
    CertReactivated(Rewritten),
    CertRevoked(Rewritten),
    CertExpired(Rewritten),
    KeyResealed(Rewritten),
    PinChanged(Rewritten),
    PinReset(Rewritten),
    PinTried(Counted),
    PinTryReturned(Counted),
    PinOk(Right),
    PukTried(Counted),
    PukTryReturned(Counted),
    PukUsed(Right),
    SadIssued {
        activation: String,
        count: i64,
        record: String,
    },
    CodeIssued {
        activation: String,
        count: i64,
        record: String,
    },
    CodeTraded {
        code: String,
        code_version: i64,
        activation: String,
        count: i64,
        record: String,
    },
    SadExtended {
        activation: String,
        version: i64,
        record: String,
    },
    SadRevoked {
        activation: String,
        version: i64,
    },
    QuestionAsked {
        question: String,
        record: String,
    },
    QuestionAnswered(OfQuestion),
    QuestionEnded(OfQuestion),
    MandateCreated {
        activation: String,
        count: i64,
        record: String,
    },
    MandateUsed {
        activation: String,
        version: i64,
        remaining: i64,
        next_position: i64,
        period_start: Millis,
        period_used: i64,
    },
    MandateEnded {
        activation: String,
        version: i64,
    },
    SignStarted {
        activation: String,
        version: i64,
        remaining: i64,
        state: String,
        credential: String,
        client: String,
        request: String,
        positions: Vec<u32>,
        hashes: Vec<String>,
    },
    SignOk {
        activation: String,
        request: String,
        signatures: Vec<Signature>,
    },
    SignFailed {
        activation: String,
        version: Option<i64>,
        request: String,
        given_back: bool,
        positions: Vec<u32>,
    },
    #[serde(other)]
    Nothing,
}

#[derive(Debug, Deserialize)]
struct OfHolder {
    holder: String,
    version: i64,
}

#[derive(Debug, Deserialize)]
struct OfQuestion {
    question: String,
    state: String,
    version: i64,
    record: String,
}

#[derive(Debug, Deserialize)]
struct Token {
    token: String,
    record: String,
}

/// A credential with a new record.
#[derive(Debug, Deserialize)]
struct Rewritten {
    credential: String,
    version: i64,
    /// None: what was recorded before still holds.
    record: Option<String>,
}

impl Rewritten {
    fn record(&self) -> Vec<Deed> {
        self.record.iter().cloned().map(Record).collect()
    }
}

/// A credential of which a counter changed.
#[derive(Debug, Deserialize)]
struct Counted {
    credential: String,
    version: i64,
    failures: i64,
}

/// A credential whose PIN or PUK was right.
#[derive(Debug, Deserialize)]
struct Right {
    credential: String,
    version: i64,
}

#[derive(Debug, Deserialize)]
struct Signature {
    position: u32,
}

/// What this event, of this time, tells; `None` when it cannot be read.
pub(super) fn changes(event: &str, time: Millis) -> Option<Vec<Change>> {
    let told: Told = serde_json::from_str(event).ok()?;
    Some(match told {
        Told::CaCreated { label, record } | Told::TsaCreated { label, record } => {
            vec![change(Of::Issuer, &label, 0, vec![Made, Record(record)])]
        }
        Told::HolderAdded { holder, record } => {
            let mut deeds = vec![Made, Record(record), set("status", "active")];
            deeds.extend(["login_failures", "login_after"].map(|column| set(column, 0)));
            vec![change(Of::Holder, &holder, 1, deeds)]
        }
        Told::HolderBlocked(of) => vec![of.with(vec![set("status", "blocked")])],
        Told::HolderUnblocked(of) => vec![of.with(vec![set("status", "active")])],
        Told::LoginTried {
            holder,
            version,
            failures,
            after,
        } => {
            let mut deeds = count("login_failures", 1, failures);
            deeds.push(set("login_after", after));
            vec![change(Of::Holder, &holder, version, deeds)]
        }
        Told::LoginOk(of) => {
            let deeds = ["login_failures", "login_after"].map(|column| set(column, 0));
            vec![of.with(deeds.to_vec())]
        }
        Told::SessionBegun {
            session,
            ends,
            record,
        } => {
            let deeds = vec![Made, Record(record), Until(ends)];
            vec![change(Of::Session, &session, 0, deeds)]
        }
        Told::SessionEnded { session } => vec![change(Of::Session, &session, 0, vec![Gone])],
        Told::ClientRegistered { client, record } => {
            vec![change(Of::Client, &client, 1, vec![Made, Record(record)])]
        }
        Told::ClientChanged {
            client,
            version,
            record,
        } => vec![change(Of::Client, &client, version, vec![Record(record)])],
        Told::ClientLinked { client, holder } => {
            let deeds = vec![Made, set("created", time)];
            vec![change(Of::Link, &format!("{client}/{holder}"), 0, deeds)]
        }
        Told::TokenIssued { tokens } => tokens
            .into_iter()
            .map(|Token { token, record }| change(Of::Token, &token, 0, vec![Made, Record(record)]))
            .collect(),
        Told::KeyTaken { spki_hash } => {
            let deeds = vec![Made, set("created", time)];
            vec![change(Of::PublicKey, &spki_hash, 0, deeds)]
        }
        Told::TokenSpent { token } => vec![revoked(&token, time)],
        Told::TokenRevoked { tokens } => tokens.iter().map(|token| revoked(token, time)).collect(),
        Told::OtpSent {
            challenge,
            record,
            expires,
            replaced,
        } => {
            let until = Until(time + factor::HOUR);
            let deeds = vec![Made, Record(record), until, set("expires", expires)];
            let deeds = [deeds, vec![set("failures", 0)]].concat();
            let replaced = replaced.iter();
            let replaced =
                replaced.map(|id| change(Of::Challenge, id, 0, vec![set("expires", time)]));
            let sent = change(Of::Challenge, &challenge, 0, deeds);
            replaced.chain([sent]).collect()
        }
        Told::QuestionAsked { question, record } => {
            let until = Until(time + question::KEPT);
            let deeds = vec![Made, Record(record), until, set("state", "waiting")];
            vec![change(Of::Question, &question, 1, deeds)]
        }
        Told::QuestionAnswered(of) | Told::QuestionEnded(of) => {
            let deeds = vec![Record(of.record), set("state", of.state)];
            vec![change(Of::Question, &of.question, of.version, deeds)]
        }
        Told::Nothing => staff::changes(event)?,
        told => of_factor(&told, time)
            .or_else(|| of_credential(&told))
            .unwrap_or_else(|| of_activation(&told, time)),
    })
}

fn revoked(token: &str, time: Millis) -> Change {
    change(Of::Token, token, 0, vec![set("revoked", time)])
}

impl OfHolder {
    fn with(&self, deeds: Vec<Deed>) -> Change {
        change(Of::Holder, &self.holder, self.version, deeds)
    }
}

impl Counted {
    fn more(&self, column: &str, more: i64) -> Vec<Deed> {
        count(column, more, self.failures)
    }
}

/// What becomes of the code that was sent, if it was one.
fn of_code(challenge: Option<&String>, deeds: Vec<Deed>) -> Option<Change> {
    challenge.map(|id| change(Of::Challenge, id, 0, deeds))
}

fn of_factor(told: &Told, time: Millis) -> Option<Vec<Change>> {
    let of = |factor: &str, version: i64, deeds| change(Of::Factor, factor, version, deeds);
    let fresh = |record: &str, counter: i64| {
        let mut deeds = vec![Made, Record(record.to_owned()), set("counter", counter)];
        deeds.extend(["failures", "locked_until"].map(|column| set(column, 0)));
        deeds
    };
    Some(match told {
        Told::FactorAdded {
            factor,
            version: 1,
            record,
        } => vec![of(factor, 1, fresh(record, 0))],
        Told::FactorAdded {
            factor,
            version,
            record,
        } => vec![of(factor, *version, vec![Record(record.clone())])],
        Told::TokenImported {
            factor,
            counter,
            record,
        } => vec![of(factor, 1, fresh(record, *counter))],
        Told::FactorResynced {
            factor,
            version,
            counter,
        } => vec![of(
            factor,
            *version,
            vec![Raise("counter".into(), *counter)],
        )],
        Told::FactorUnlocked { factor, version } => {
            let deeds = ["failures", "locked_until"].map(|column| set(column, 0));
            vec![of(factor, *version, deeds.to_vec())]
        }
        Told::OtpOk {
            factor,
            version,
            counter,
            challenge,
            bound_to,
        } => {
            let mut deeds = vec![set("failures", 0)];
            // The least step or count that is still accepted.
            deeds.extend(counter.map(|counter| Raise("counter".into(), counter + 1)));
            let taken = vec![set("consumed", time), set("consumed_for", bound_to)];
            let taken = of_code(challenge.as_ref(), taken);
            [of(factor, *version, deeds)]
                .into_iter()
                .chain(taken)
                .collect()
        }
        Told::OtpFail {
            factor,
            version,
            failures,
            challenge,
        } => {
            let wrong = of_code(challenge.as_ref(), vec![add("failures", 1)]);
            let deeds = count("failures", 1, *failures);
            [of(factor, *version, deeds)]
                .into_iter()
                .chain(wrong)
                .collect()
        }
        Told::OtpLocked {
            factor,
            version,
            until,
        } => vec![of(factor, *version, vec![set("locked_until", until)])],
        _ => return None,
    })
}

fn of_credential(told: &Told) -> Option<Vec<Change>> {
    let (credential, version, deeds) = match told {
        Told::CertActivated { credential, record } | Told::CertPrepared { credential, record } => {
            let mut deeds = vec![Made, Record(record.clone())];
            let zero = ["pin_failures", "puk_failures", "unblocks"];
            deeds.extend(zero.map(|column| set(column, 0)));
            (credential, 1, deeds)
        }
        Told::CertSuspended(to)
        | Told::CertTakenUp(to)
        | Told::CertReactivated(to)
        | Told::CertRevoked(to)
        | Told::CertExpired(to)
        | Told::KeyResealed(to) => (&to.credential, to.version, to.record()),
        Told::PinChanged(to) | Told::PinReset(to) => {
            let deeds = [to.record(), vec![set("pin_failures", 0)]].concat();
            (&to.credential, to.version, deeds)
        }
        Told::PinTried(of) => (&of.credential, of.version, of.more("pin_failures", 1)),
        Told::PinTryReturned(of) => (&of.credential, of.version, of.more("pin_failures", -1)),
        Told::PinOk(of) => (&of.credential, of.version, vec![set("pin_failures", 0)]),
        Told::PukTried(of) => (&of.credential, of.version, of.more("puk_failures", 1)),
        Told::PukTryReturned(of) => (&of.credential, of.version, of.more("puk_failures", -1)),
        Told::PukUsed(of) => {
            let deeds = vec![
                set("pin_failures", 0),
                add("puk_failures", -1),
                add("unblocks", 1),
            ];
            (&of.credential, of.version, deeds)
        }
        _ => return None,
    };
    Some(vec![change(Of::Credential, credential, version, deeds)])
}

fn issued(count: i64, record: &str) -> Vec<Deed> {
    let mut deeds = vec![Made, Record(record.to_owned())];
    deeds.extend([set("state", "active"), set("remaining", count)]);
    deeds
}

/// Of activations, and the signatures under them.
fn of_activation(told: &Told, time: Millis) -> Vec<Change> {
    let of = |id: &str, version: i64, deeds| change(Of::Activation, id, version, deeds);
    let signing = |id: &str, position: u32, request: &str, deeds| {
        change(
            Of::Signing,
            &tables::signing(id, position, request),
            0,
            deeds,
        )
    };
    match told {
        Told::SadIssued {
            activation,
            count,
            record,
        }
        | Told::CodeIssued {
            activation,
            count,
            record,
        } => vec![of(activation, 1, issued(*count, record))],
        Told::CodeTraded {
            code,
            code_version,
            activation,
            count,
            record,
        } => vec![
            of(code, *code_version, vec![set("state", "used")]),
            of(activation, 1, issued(*count, record)),
        ],
        Told::SadExtended {
            activation,
            version,
            record,
        } => {
            let deeds = vec![Record(record.clone()), set("state", "active")];
            vec![of(activation, *version, deeds)]
        }
        Told::MandateCreated {
            activation,
            count,
            record,
        } => {
            let mut deeds = vec![Made, Record(record.clone())];
            deeds.extend([set("state", "active"), set("remaining", count)]);
            deeds.extend(["next_position", "period_used"].map(|column| set(column, 0)));
            deeds.push(set("period_start", time));
            vec![of(activation, 1, deeds)]
        }
        Told::MandateUsed {
            activation,
            version,
            remaining,
            next_position,
            period_start,
            period_used,
        } => {
            let state = if *remaining == 0 { "used" } else { "active" };
            let deeds = vec![
                set("state", state),
                Raise("next_position".into(), *next_position),
                set("period_start", period_start),
                set("period_used", period_used),
            ];
            vec![of(activation, *version, deeds)]
        }
        Told::SadRevoked {
            activation,
            version,
        }
        | Told::MandateEnded {
            activation,
            version,
        } => vec![of(activation, *version, vec![set("state", "revoked")])],
        Told::SignStarted {
            activation,
            version,
            remaining,
            state,
            credential,
            client,
            request,
            positions,
            hashes,
        } => {
            let used = i64::try_from(positions.len()).unwrap_or(i64::MAX);
            let mut deeds = count("remaining", -used, *remaining);
            deeds.push(set("state", state));
            let started = positions.iter().zip(hashes).map(|(position, hash)| {
                let deeds = vec![
                    Made,
                    set("credential", credential),
                    set("client", client),
                    set("hash", hash),
                    set("outcome", "started"),
                    set("started", time),
                ];
                signing(activation, *position, request, deeds)
            });
            started.chain([of(activation, *version, deeds)]).collect()
        }
        Told::SignOk {
            activation,
            request,
            signatures,
        } => {
            let signed = vec![set("outcome", "signed")];
            let signed = signatures.iter().map(|Signature { position }| {
                signing(activation, *position, request, signed.clone())
            });
            signed.collect()
        }
        Told::SignFailed {
            activation,
            version,
            request,
            given_back,
            positions,
        } => {
            let deeds = match given_back {
                true => vec![Gone],
                false => vec![set("outcome", "unknown")],
            };
            let ended = positions
                .iter()
                .map(|position| signing(activation, *position, request, deeds.clone()));
            let returned = version.map(|version| {
                let more = i64::try_from(positions.len()).unwrap_or(i64::MAX);
                let deeds = vec![add("remaining", more), set("state", "active")];
                of(activation, version, deeds)
            });
            ended.chain(returned).collect()
        }
        _ => Vec::new(),
    }
}
