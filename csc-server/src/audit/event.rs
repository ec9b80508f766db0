//! The closed list of events.

use serde::Serialize;

/// What happened. Identifiers and hashes only: no secret, no name, no document.
///
/// An event that leaves a row behind tells what it changed, so that the tables can be held against the log: values, the version
/// of the row, and the hash of its [record](super::Table) where that was written.
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
    /// `checkpoint` is the last one; `finding` says what is wrong with the log, `disagreement` what is with the first of the
    /// `disagreeing` rows of tables.
    LogVerified {
        intact: bool,
        rows: u64,
        checkpoint: i64,
        finding: Option<String>,
        state_rows: u64,
        disagreeing: u64,
        disagreement: Option<String>,
    },
    /// The first thing that an inspection found wrong with the log or a table.
    LogAlarm {
        finding: String,
    },
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
    /// Keys of holders are opened, or PINs and PUKs guessed, at a rate that no holders make: derivations and recorded acts of this process since
    /// it last looked, and wrong PINs and PUKs of the installation in ten minutes.
    DeriveRateAlarm {
        derivations: u64,
        acts: u64,
        wrong: u64,
    },
    /// Every key of a holder and what they were sealed under is destroyed; what is left is evidence.
    ServiceEnded,
    CaCreated {
        label: &'static str,
        certificate_hash: String,
        record: String,
    },
    /// The certificate of the time-stamping authority.
    TsaCreated {
        label: &'static str,
        certificate_hash: String,
        record: String,
    },
    HolderAdded {
        holder: String,
        record: String,
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
    /// A registration that the service did not write: nobody gets a token by it.
    ClientIntegrityFail {
        client: String,
    },
    ClientLinked {
        client: String,
        holder: String,
    },
    FactorAdded {
        factor: String,
        kind: &'static str,
        version: i64,
        record: String,
    },
    /// Of a file of the maker; nobody's yet.
    TokenImported {
        factor: String,
        serial: String,
        counter: i64,
        record: String,
    },
    FactorResynced {
        factor: String,
        counter: i64,
        version: i64,
    },
    FactorUnlocked {
        factor: String,
        version: i64,
    },
    FactorIntegrityFail {
        factor: String,
    },
    /// A message, or the result of an operation, that the service did not write, or not for this row: nobody gets it.
    JobIntegrityFail {
        job: String,
    },
    /// Before it is certified: no public key comes twice.
    KeyTaken {
        spki_hash: String,
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
        record: String,
    },
    /// Key and certificate are made; an application may take the credential up.
    CertPrepared {
        credential: String,
        record: String,
    },
    /// Before the password is looked at.
    LoginTried {
        holder: String,
        version: i64,
        failures: i64,
        /// When the next try is heard.
        after: i64,
    },
    LoginOk {
        client: String,
        holder: String,
        version: i64,
    },
    LoginFail {
        client: String,
    },
    /// In a browser: SHA-256 of its secret, and when it ends at the latest.
    SessionBegun {
        session: String,
        holder: String,
        ends: i64,
        record: String,
    },
    /// He logged out.
    SessionEnded {
        session: String,
    },
    TokenIssued {
        client: String,
        grant: String,
        tokens: Vec<TokenRecord>,
    },
    /// A refresh token was traded for a new pair.
    TokenSpent {
        client: String,
        grant: String,
        /// SHA-256 of it.
        token: String,
    },
    /// A refresh token or a code that was used before: everything of the grant ends.
    TokenReused {
        client: String,
        grant: String,
        /// SHA-256 of it.
        token: String,
    },
    TokenRevoked {
        client: String,
        grant: String,
        /// SHA-256 of each.
        tokens: Vec<String>,
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
        challenge: String,
        record: String,
        expires: i64,
        /// Codes that are no good any more.
        replaced: Vec<String>,
    },
    OtpOk {
        credential: String,
        factor: String,
        client: String,
        /// The time step or count of a device: the witness of the counter in its row.
        #[serde(skip_serializing_if = "Option::is_none")]
        counter: Option<i64>,
        /// The code that was sent.
        #[serde(skip_serializing_if = "Option::is_none")]
        challenge: Option<String>,
        version: i64,
        /// The digest of what the code was taken for.
        bound_to: String,
    },
    OtpFail {
        credential: String,
        factor: String,
        client: String,
        failures: i64,
        /// The code that was sent.
        #[serde(skip_serializing_if = "Option::is_none")]
        challenge: Option<String>,
        version: i64,
    },
    OtpLocked {
        credential: String,
        factor: String,
        until: i64,
        /// That of the wrong code.
        version: i64,
    },
    /// Before the PIN is looked at.
    PinTried {
        credential: String,
        client: String,
        version: i64,
        failures: i64,
    },
    /// The PIN was not looked at, because something else failed: the try does not count.
    PinTryReturned {
        credential: String,
        version: i64,
        failures: i64,
    },
    PinOk {
        credential: String,
        client: String,
        version: i64,
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
        record: String,
    },
    /// What a holder approved on our page, on its way to the client through his browser.
    CodeIssued {
        activation: String,
        credential: String,
        client: String,
        count: u32,
        hashes: Vec<String>,
        expires: i64,
        record: String,
    },
    /// The code, which is good no more, became a credential token.
    CodeTraded {
        code: String,
        code_version: i64,
        activation: String,
        credential: String,
        client: String,
        count: u32,
        hashes: Vec<String>,
        expires: i64,
        record: String,
    },
    /// Somebody has what was used already: all of the grant ends.
    CodeReused {
        activation: String,
        credential: String,
        client: String,
    },
    SadExtended {
        activation: String,
        credential: String,
        client: String,
        expires: i64,
        version: i64,
        record: String,
    },
    SadRevoked {
        activation: String,
        credential: String,
        client: String,
        version: i64,
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
    /// The holder is asked by a page of ours; the hashes are hexadecimal.
    QuestionAsked {
        question: String,
        credential: String,
        client: String,
        hashes: Vec<String>,
        record: String,
    },
    /// `approved` or `refused`, by the holder.
    QuestionAnswered {
        question: String,
        state: &'static str,
        version: i64,
        record: String,
    },
    /// `taken` by its client, or `lapsed`.
    QuestionEnded {
        question: String,
        state: &'static str,
        version: i64,
        record: String,
    },
    QuestionIntegrityFail {
        question: String,
    },
    /// The holder lets a client sign without him: so many signatures, so many in a period of milliseconds, until then.
    MandateCreated {
        activation: String,
        credential: String,
        client: String,
        count: u32,
        rate: u32,
        period: i64,
        expires: i64,
        record: String,
    },
    /// With the intent to sign, and of the same version.
    MandateUsed {
        activation: String,
        credential: String,
        client: String,
        request: String,
        version: i64,
        remaining: i64,
        next_position: i64,
        period_start: i64,
        period_used: i64,
    },
    MandateEnded {
        activation: String,
        credential: String,
        client: String,
        version: i64,
    },
    /// Before the HSM acts.
    SignStarted {
        activation: String,
        credential: String,
        client: String,
        request: String,
        hashes: Vec<String>,
        /// What is signed in place of them, when they are digests of documents: of the signed attributes (DTBS/R).
        #[serde(skip_serializing_if = "Vec::is_empty")]
        derived: Vec<String>,
        version: i64,
        remaining: i64,
        /// Of the activation from here on.
        state: String,
        positions: Vec<u32>,
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
        /// Whether the count was given back, and these positions may be signed again.
        given_back: bool,
        /// When the count was given back to an activation that had not ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<i64>,
        positions: Vec<u32>,
        reason: String,
    },
    /// Before anything of it is done; until `ends` its result is kept.
    OperationAccepted {
        operation: String,
        client: String,
        request: String,
        ends: i64,
    },
    /// A time-stamp over this digest; SHA-256 of the token. `authority` is `embedded` or `remote`.
    TstObtained {
        client: String,
        request: String,
        authority: &'static str,
        hash: String,
        token_hash: String,
    },
    PinChanged {
        credential: String,
        version: i64,
        record: String,
    },
    PinReset {
        credential: String,
        version: i64,
        record: String,
    },
    /// Before the PUK is looked at.
    PukTried {
        credential: String,
        version: i64,
        failures: i64,
    },
    /// The PUK was not looked at, because something else failed: the try does not count.
    PukTryReturned {
        credential: String,
        version: i64,
        failures: i64,
    },
    PukUsed {
        credential: String,
        version: i64,
    },
    PukFail {
        credential: String,
    },
    KeyResealed {
        credential: String,
        version: i64,
        record: String,
    },
    KeyDestroyed {
        credential: String,
        blob_hash: String,
    },
    /// No record when the row is not what was recorded before.
    CertSuspended {
        credential: String,
        version: i64,
        record: Option<String>,
    },
    /// From now on it signs.
    CertTakenUp {
        credential: String,
        version: i64,
        record: Option<String>,
    },
    CertReactivated {
        credential: String,
        version: i64,
        record: Option<String>,
    },
    CertRevoked {
        credential: String,
        version: i64,
        record: Option<String>,
    },
    CertExpired {
        credential: String,
        version: i64,
        record: String,
    },
    HolderBlocked {
        holder: String,
        version: i64,
    },
    HolderUnblocked {
        holder: String,
        version: i64,
    },
    KeyIntegrityFail {
        credential: String,
    },
    /// The time step of the code: the witness of the count in its row.
    OperatorLoginOk {
        operator: String,
        step: i64,
        version: i64,
        record: String,
    },
    OperatorLogout {
        operator: String,
    },
    /// A password of his own, and the seed for his app.
    OperatorEnrolled {
        operator: String,
        version: i64,
        record: String,
    },
    OperatorReset {
        operator: String,
        version: i64,
        record: String,
    },
    /// Before password and code are looked at.
    OperatorLoginTried {
        operator: String,
        version: i64,
        failures: i64,
        /// When the next try is heard.
        after: i64,
    },
    /// By his password alone: for what he does with a session, or before his first.
    OperatorConfirmed {
        operator: String,
        version: i64,
    },
    /// No operator when there is none of this name, or his time has not come.
    OperatorLoginFail {
        operator: Option<String>,
    },
    OperatorPasswordChanged {
        operator: String,
        version: i64,
        record: String,
    },
    /// No operator when accounts are gone.
    OperatorIntegrityFail {
        operator: Option<String>,
    },
    CapabilityRefused {
        capability: &'static str,
    },
    UserCreated {
        operator: String,
        roles: String,
        record: String,
    },
    RoleGranted {
        operator: String,
        role: &'static str,
        version: i64,
        record: String,
    },
    RoleRemoved {
        operator: String,
        role: &'static str,
        version: i64,
        record: String,
    },
    /// SHA-256 over the command with its arguments, which may have names in it.
    DualRequest {
        approval: String,
        capability: &'static str,
        command_hash: String,
        record: String,
    },
    DualApprove {
        approval: String,
        version: i64,
        record: String,
    },
    DualRefuse {
        approval: String,
        version: i64,
        record: String,
    },
    DualUsed {
        approval: String,
        version: i64,
    },
    /// Who acted could not approve, refuse or use it: `requester`, `other`, `waiting`, `approved`, `refused`, `used`, `expired` or
    /// `approver`.
    DualRejected {
        approval: String,
        reason: &'static str,
    },
    /// SHA-256 over the settings.
    PolicyChanged {
        hash: String,
        version: i64,
        record: String,
    },
    /// Before the first of them.
    MassStatusChange {
        status: &'static str,
        credentials: u64,
    },
    ApprovalIntegrityFail {
        approval: String,
    },
}

/// A token that was issued: SHA-256 of it, and the record of its row.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "as above")]
pub struct TokenRecord {
    pub token: String,
    pub record: String,
}

/// What was asked of a SAD, or for one.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as above")]
pub enum Act {
    Authorize,
    Extend,
    Revoke,
    Sign,
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
