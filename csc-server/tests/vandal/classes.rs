//! What protects each column.

/// How a column is protected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    /// Ciphertext that opens in its place only: each of these uses is refused and alarmed.
    Sealed(&'static [Use]),
    /// Under a MAC: each of these uses is refused and alarmed.
    Macd(&'static [Use]),
    /// The audit log tells what it is: an inspection finds it.
    Witnessed,
    /// A part of the audit log: its verification finds it.
    Log,
    /// Not protected, for this reason.
    Free(&'static str),
}
use Class::{Free, Log, Macd, Sealed, Witnessed};

/// What a holder, or an operator, does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// He approves with PIN and code.
    Approve,
    /// His client signs with the SAD.
    Sign,
    /// He sets the count of wrong PINs back, by PUK and code.
    Unblock,
    /// He sets a new PIN, by PUK and code.
    Reset,
    /// A code, or another message, is sent to him.
    Send,
    /// An operator logs in with password and code.
    LogIn,
    /// He goes on with his session.
    Resume,
    /// He runs the command that the second officer approved.
    Act,
    /// The second officer decides a request that waits.
    Decide,
    /// The configuration is held against the policy.
    Govern,
}
use Use::{Act, Approve, Decide, Govern, LogIn, Reset, Resume, Send, Sign, Unblock};

const DUE: &str = "who deletes a message can as well stop the mail; nothing is authorised by one";
const ROTATION: &str = "an index of what a rotation moves; what is sealed says itself what it needs, and opens under nothing else";
const VERSIONS: &str = "what nodes agree on; the log tells which keys were made and destroyed, and none opens what it did not seal";
const REST: &str =
    "a session that is kept from ending by rest still wants its secret, and ends with the shift";
const INDEX: &str = "an index: a checkpoint that is made by a false one is found to be bad";

/// Table, column, class.
pub(crate) const CLASSES: &[(&str, &str, Class)] = &[
    (
        "schema_version",
        "version",
        Free("with another the service does not start"),
    ),
    ("store_version", "version", Free(VERSIONS)),
    ("store_version", "announced", Free(VERSIONS)),
    ("store_version", "made", Free(VERSIONS)),
    ("sealing_version", "version", Free(VERSIONS)),
    ("sealing_version", "announced", Free(VERSIONS)),
    ("sealing_version", "made", Free(VERSIONS)),
    ("public_key", "spki_hash", Witnessed),
    ("public_key", "created", Witnessed),
    ("holder", "id", Witnessed),
    ("holder", "version", Witnessed),
    ("holder", "user_name", Witnessed),
    ("holder", "given_name", Witnessed),
    ("holder", "surname", Witnessed),
    ("holder", "email", Witnessed),
    ("holder", "language", Witnessed),
    ("holder", "status", Witnessed),
    ("holder", "pseudonym", Witnessed),
    ("holder", "password_salt", Witnessed),
    ("holder", "password_cost", Witnessed),
    ("holder", "password_hash", Witnessed),
    ("holder", "login_failures", Witnessed),
    ("holder", "login_after", Witnessed),
    ("holder", "created", Witnessed),
    ("client", "id", Witnessed),
    ("client", "version", Witnessed),
    ("client", "registration", Witnessed),
    ("client", "secret_hash", Witnessed),
    ("client", "record_mac", Witnessed),
    ("client", "created", Witnessed),
    ("client_holder", "client", Witnessed),
    ("client_holder", "holder", Witnessed),
    ("client_holder", "created", Witnessed),
    ("token", "hash", Witnessed),
    ("token", "kind", Witnessed),
    ("token", "grant_id", Witnessed),
    ("token", "client", Witnessed),
    ("token", "holder", Witnessed),
    ("token", "issued", Witnessed),
    ("token", "expires", Witnessed),
    ("token", "revoked", Witnessed),
    ("factor", "id", Witnessed),
    ("factor", "version", Witnessed),
    ("factor", "holder", Macd(&[Approve, Send])),
    ("factor", "kind", Macd(&[Approve, Send])),
    ("factor", "digits", Macd(&[Approve, Send])),
    ("factor", "algorithm", Macd(&[Approve])),
    ("factor", "seed", Macd(&[Approve])),
    ("factor", "serial", Macd(&[Approve])),
    ("factor", "address", Macd(&[Send])),
    ("factor", "record_mac", Macd(&[Approve, Send])),
    ("factor", "masters", Macd(&[Approve, Send])),
    ("factor", "store", Free(ROTATION)),
    ("factor", "counter", Witnessed),
    ("factor", "failures", Witnessed),
    ("factor", "locked_until", Witnessed),
    ("factor", "created", Witnessed),
    ("credential", "id", Witnessed),
    ("credential", "version", Witnessed),
    ("credential", "holder", Macd(&[Approve])),
    ("credential", "factor", Macd(&[Approve, Sign])),
    ("credential", "status", Macd(&[Approve])),
    (
        "credential",
        "description",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "multisign",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    ("credential", "generation", Macd(&[Approve])),
    ("credential", "algorithm", Macd(&[Approve])),
    ("credential", "spki", Macd(&[Approve, Sign, Unblock, Reset])),
    ("credential", "spki_hash", Witnessed),
    ("credential", "key_blob", Sealed(&[Sign])),
    ("credential", "w_pin", Sealed(&[Approve])),
    (
        "credential",
        "pin_check",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "pin_salt",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "pin_cost",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "masters",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    ("credential", "pin_failures", Witnessed),
    (
        "credential",
        "puk_salt",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "puk_cost",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "puk_check",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    ("credential", "puk_masters", Sealed(&[Unblock, Reset])),
    ("credential", "w_puk", Sealed(&[Reset])),
    ("credential", "store", Witnessed),
    ("credential", "puk_failures", Witnessed),
    ("credential", "unblocks", Witnessed),
    (
        "credential",
        "certificate",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "not_before",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "not_after",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    (
        "credential",
        "record_mac",
        Macd(&[Approve, Sign, Unblock, Reset]),
    ),
    ("credential", "created", Witnessed),
    ("otp_challenge", "id", Witnessed),
    ("otp_challenge", "holder", Witnessed),
    ("otp_challenge", "factor", Witnessed),
    ("otp_challenge", "credential", Witnessed),
    ("otp_challenge", "purpose", Witnessed),
    ("otp_challenge", "code_mac", Witnessed),
    ("otp_challenge", "sent", Witnessed),
    ("otp_challenge", "expires", Witnessed),
    ("otp_challenge", "failures", Witnessed),
    ("otp_challenge", "consumed", Witnessed),
    ("otp_challenge", "consumed_for", Witnessed),
    ("activation", "id", Witnessed),
    ("activation", "version", Witnessed),
    ("activation", "kind", Sealed(&[Sign])),
    ("activation", "credential", Sealed(&[Sign])),
    ("activation", "client", Sealed(&[Sign])),
    ("activation", "grant_id", Witnessed),
    ("activation", "secret_hash", Witnessed),
    ("activation", "content", Sealed(&[Sign])),
    ("activation", "wrapped", Sealed(&[Sign])),
    ("activation", "masters", Free(ROTATION)),
    ("activation", "state", Witnessed),
    ("activation", "remaining", Witnessed),
    ("activation", "expires", Sealed(&[Sign])),
    ("activation", "ends", Witnessed),
    ("activation", "created", Witnessed),
    ("signing", "activation", Witnessed),
    ("signing", "position", Witnessed),
    ("signing", "request", Witnessed),
    ("signing", "credential", Witnessed),
    ("signing", "client", Witnessed),
    ("signing", "hash", Witnessed),
    ("signing", "outcome", Witnessed),
    ("signing", "started", Witnessed),
    ("job", "id", Sealed(&[Send])),
    ("job", "kind", Sealed(&[Send])),
    ("job", "payload", Sealed(&[Send])),
    ("job", "store", Free(ROTATION)),
    ("job", "due", Free(DUE)),
    ("job", "attempts", Free(DUE)),
    ("job", "gives_up", Free(DUE)),
    ("issuer", "label", Witnessed),
    ("issuer", "certificate", Witnessed),
    ("issuer", "created", Witnessed),
    ("operator", "id", Macd(&[LogIn, Resume])),
    ("operator", "version", Witnessed),
    ("operator", "name", Macd(&[LogIn, Resume])),
    ("operator", "roles", Macd(&[LogIn, Resume])),
    ("operator", "state", Macd(&[LogIn, Resume])),
    ("operator", "device", Macd(&[LogIn, Resume])),
    ("operator", "seat", Witnessed),
    ("operator", "password_salt", Macd(&[LogIn, Resume])),
    ("operator", "password_cost", Macd(&[LogIn, Resume])),
    ("operator", "password_hash", Macd(&[LogIn, Resume])),
    ("operator", "record_mac", Macd(&[LogIn, Resume])),
    ("operator", "login_failures", Witnessed),
    ("operator", "login_after", Witnessed),
    ("operator", "next_step", Witnessed),
    ("operator", "created", Witnessed),
    ("operator_session", "hash", Macd(&[Resume])),
    ("operator_session", "operator", Macd(&[Resume])),
    ("operator_session", "begun", Macd(&[Resume])),
    ("operator_session", "used", Free(REST)),
    ("operator_session", "record_mac", Macd(&[Resume])),
    ("approval", "id", Macd(&[Act, Decide])),
    ("approval", "version", Witnessed),
    ("approval", "capability", Macd(&[Act, Decide])),
    ("approval", "command", Macd(&[Act, Decide])),
    ("approval", "requester", Macd(&[Act, Decide])),
    ("approval", "requested", Macd(&[Act, Decide])),
    ("approval", "state", Macd(&[Act, Decide])),
    ("approval", "approver", Macd(&[Act, Decide])),
    ("approval", "decided", Witnessed),
    ("approval", "record_mac", Macd(&[Act, Decide])),
    ("policy", "id", Macd(&[Govern])),
    ("policy", "version", Witnessed),
    ("policy", "settings", Macd(&[Govern])),
    ("policy", "changed", Witnessed),
    ("policy", "record_mac", Macd(&[Govern])),
    ("audit", "chain", Log),
    ("audit", "sequence", Log),
    ("audit", "version", Log),
    ("audit", "time", Log),
    ("audit", "event", Log),
    ("audit", "person", Log),
    ("audit", "hash", Log),
    ("checkpoint", "number", Log),
    ("checkpoint", "body", Log),
    ("checkpoint", "signature", Log),
    ("checkpoint_head", "chain", Free(INDEX)),
    ("checkpoint_head", "sequence", Free(INDEX)),
    ("checkpoint_head", "checkpoint", Free(INDEX)),
    (
        "turn",
        "name",
        Free("without it the next node takes the turn"),
    ),
    (
        "turn",
        "due",
        Free("a turn is due at the latest when its time and the longest work are over"),
    ),
];

/// Whether each of these uses goes by the log alone as well.
pub(crate) fn uses(class: Class) -> &'static [Use] {
    match class {
        Sealed(uses) | Macd(uses) => uses,
        Witnessed | Log | Free(_) => &[],
    }
}
