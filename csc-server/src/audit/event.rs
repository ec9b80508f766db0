//! The closed list of events.

use serde::Serialize;

/// What happened. Identifiers and hashes only: no secret, no name, no document.
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "event",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
#[expect(
    missing_docs,
    reason = "names and fields are the audit format, described in docs/operations.md"
)]
pub enum Event {
    Start {
        version: &'static str,
    },
    Stop,
    /// SHA-256 over file and environment, as merged; and every setting that weakens the service.
    ConfigLoaded {
        hash: String,
        weak: Vec<String>,
    },
    /// The slot did with throw-away keys what is asked of it.
    Selftest {
        slot: &'static str,
        passed: bool,
    },
    /// The clock agrees with a source, this many milliseconds behind it: each day, and when it is trusted again.
    ClockSync {
        source: String,
        offset: i64,
    },
    /// From here on nothing is signed.
    ClockAlarm {
        reason: String,
    },
    HsmConnected {
        slot: &'static str,
    },
    HsmLost {
        slot: &'static str,
    },
    /// The device says so; it serves nobody until somebody looked at it.
    HsmTamper {
        slot: &'static str,
    },
    LogRead {
        credential: String,
    },
    /// The filter: times, a pseudonym, a credential; all null for the whole log.
    LogExported {
        from: Option<i64>,
        to: Option<i64>,
        person: Option<String>,
        credential: Option<String>,
    },
    /// `checkpoint` is the last one; `finding` says what is wrong.
    LogVerified {
        intact: bool,
        rows: u64,
        checkpoint: i64,
        finding: Option<String>,
    },
    MasterCreated {
        label: String,
    },
    CaCreated {
        certificate_hash: String,
    },
    HolderAdded {
        holder: String,
    },
    ClientRegistered {
        client: String,
    },
    ClientLinked {
        client: String,
        holder: String,
    },
    FactorAdded {
        factor: String,
        kind: &'static str,
    },
    /// Of a file of the maker; nobody's yet.
    TokenImported {
        factor: String,
        serial: String,
    },
    FactorResynced {
        factor: String,
        counter: i64,
    },
    FactorUnlocked {
        factor: String,
    },
    FactorIntegrityFail {
        factor: String,
    },
    KeyGenerated {
        credential: String,
        algorithm: &'static str,
        spki_hash: String,
        /// Of the certification request that the key has signed.
        request_hash: String,
        /// Serial number of the HSM.
        device: String,
    },
    CertIssued {
        credential: String,
        certificate_hash: String,
    },
    /// The holder accepted this version of the terms by choosing his PIN; SHA-256 of the document.
    TermsAccepted {
        credential: String,
        version: String,
        hash: String,
    },
    CertActivated {
        credential: String,
    },
    LoginOk {
        client: String,
    },
    LoginFail {
        client: String,
    },
    TokenIssued {
        client: String,
        grant: String,
    },
    TokenRevoked {
        client: String,
        grant: String,
    },
    /// Before any factor is looked at.
    AuthzAsked {
        credential: String,
        client: String,
        count: u32,
        hashes: Vec<String>,
    },
    OtpSent {
        credential: String,
        factor: String,
        client: String,
    },
    OtpOk {
        credential: String,
        factor: String,
        client: String,
        /// The time step or count of a device: the witness of the counter in its row.
        #[serde(skip_serializing_if = "Option::is_none")]
        counter: Option<i64>,
    },
    OtpFail {
        credential: String,
        factor: String,
        client: String,
        failures: i64,
    },
    OtpLocked {
        credential: String,
        factor: String,
        until: i64,
    },
    PinOk {
        credential: String,
        client: String,
    },
    PinFail {
        credential: String,
        client: String,
        failures: i64,
    },
    PinLocked {
        credential: String,
    },
    SadIssued {
        activation: String,
        credential: String,
        client: String,
        count: u32,
        hashes: Vec<String>,
        expires: i64,
    },
    SadExtended {
        activation: String,
        credential: String,
        client: String,
        expires: i64,
    },
    SadRevoked {
        activation: String,
        credential: String,
        client: String,
    },
    /// Of a wrong PIN or OTP their own events tell. No activation when none was issued or named.
    SadRefused {
        act: Act,
        activation: Option<String>,
        credential: Option<String>,
        client: String,
        reason: String,
    },
    /// Before the HSM was asked for anything.
    SignRefused {
        activation: Option<String>,
        credential: String,
        client: String,
        request: String,
        hashes: Vec<String>,
        reason: String,
    },
    /// Before the HSM acts.
    SignStarted {
        activation: String,
        credential: String,
        client: String,
        request: String,
        hashes: Vec<String>,
    },
    /// Before the answer leaves.
    SignOk {
        activation: String,
        credential: String,
        request: String,
        signatures: Vec<HashOutcome>,
    },
    SignFailed {
        activation: String,
        credential: String,
        request: String,
        given_back: bool,
        reason: String,
    },
    PinChanged {
        credential: String,
    },
    PinReset {
        credential: String,
    },
    PukUsed {
        credential: String,
    },
    PukFail {
        credential: String,
    },
    KeyResealed {
        credential: String,
    },
    KeyDestroyed {
        credential: String,
        blob_hash: String,
    },
    CertSuspended {
        credential: String,
    },
    CertReactivated {
        credential: String,
    },
    CertRevoked {
        credential: String,
    },
    HolderBlocked {
        holder: String,
    },
    HolderUnblocked {
        holder: String,
    },
    KeyIntegrityFail {
        credential: String,
    },
}

/// What was asked of a SAD, or for one.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as above")]
pub enum Act {
    Authorize,
    Extend,
    Revoke,
}

/// A digest that was signed at this position of its activation, and SHA-256 of the signature, both hexadecimal.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "as above")]
#[serde(rename_all = "camelCase")]
pub struct HashOutcome {
    pub position: u32,
    pub hash: String,
    pub signature_hash: String,
}
