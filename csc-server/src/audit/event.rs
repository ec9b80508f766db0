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
    MasterCreated {
        label: String,
    },
    /// A new version is in use; `key` is `store` or `masters`.
    MasterRotated {
        key: &'static str,
        version: u32,
    },
    /// No row needs this version or an older one, and none can any more.
    MasterRetired {
        key: &'static str,
        version: u32,
    },
    MasterDestroyed {
        key: &'static str,
        version: u32,
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
    KeyGenerated {
        credential: String,
        algorithm: &'static str,
        spki_hash: String,
    },
    CertIssued {
        credential: String,
        certificate_hash: String,
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
    OtpSent {
        credential: String,
        factor: String,
        client: String,
    },
    OtpOk {
        credential: String,
        factor: String,
        client: String,
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

/// A digest that was signed, and SHA-256 of the signature, both hexadecimal.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "as above")]
#[serde(rename_all = "camelCase")]
pub struct HashOutcome {
    pub hash: String,
    pub signature_hash: String,
}
