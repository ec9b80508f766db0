CREATE TABLE holder (
    id TEXT NOT NULL PRIMARY KEY,
    -- Goes up with each change that the audit log tells of.
    version BIGINT NOT NULL,
    user_name TEXT NOT NULL UNIQUE,
    given_name TEXT NOT NULL,
    surname TEXT NOT NULL,
    email TEXT NOT NULL,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    password_salt BLOB NOT NULL,
    password_cost TEXT NOT NULL,
    password_hash BLOB NOT NULL,
    login_failures BIGINT NOT NULL,
    login_after BIGINT NOT NULL,
    created BIGINT NOT NULL
);

-- Who gets tokens, and how he proves himself: under record_mac.
CREATE TABLE client (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    -- Canonical JSON.
    registration TEXT NOT NULL,
    secret_hash BLOB,
    record_mac BLOB NOT NULL,
    created BIGINT NOT NULL
);

-- Which holders a client sees.
CREATE TABLE client_holder (
    client TEXT NOT NULL REFERENCES client (id),
    holder TEXT NOT NULL REFERENCES holder (id),
    created BIGINT NOT NULL,
    PRIMARY KEY (client, holder)
);

-- Access and refresh tokens and codes for them, by SHA-256 of their value.
CREATE TABLE token (
    hash BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    client TEXT NOT NULL REFERENCES client (id),
    holder TEXT REFERENCES holder (id),
    -- The key that it is bound to, and how the client proved who it is.
    confirmation TEXT,
    proven TEXT NOT NULL,
    issued BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT
);
CREATE INDEX token_grant ON token (grant_id);
CREATE INDEX token_expires ON token (expires);

-- Versions of the master keys that a row may be under. Each row names the oldest it needs, so that a version in use cannot be taken
-- out of use; when it was, no row can name it any more, whoever writes it.
CREATE TABLE store_version (
    version BIGINT NOT NULL PRIMARY KEY,
    announced BIGINT NOT NULL,
    made BIGINT
);
CREATE TABLE sealing_version (
    version BIGINT NOT NULL PRIMARY KEY,
    announced BIGINT NOT NULL,
    made BIGINT
);

-- What a holder has (the OTP); what he knows (the PIN) is sealed into the credential. Everything but counters and locks
-- stands under record_mac.
CREATE TABLE factor (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    -- NULL: a token that is not handed out yet.
    holder TEXT REFERENCES holder (id),
    kind TEXT NOT NULL,
    digits BIGINT NOT NULL,
    -- Device: the hash of its HMAC, its sealed seed, and its serial number when it is a token.
    algorithm TEXT,
    seed BLOB,
    store BIGINT REFERENCES store_version (version),
    serial TEXT UNIQUE,
    -- Code that is sent: where to.
    address TEXT,
    record_mac BLOB NOT NULL,
    masters BIGINT NOT NULL REFERENCES sealing_version (version),
    -- Device: the least time step or count that is still accepted.
    counter BIGINT NOT NULL,
    -- Wrong codes in a row, and until when no code is looked at.
    failures BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX factor_holder ON factor (holder);
CREATE INDEX factor_store ON factor (store, id);
CREATE INDEX factor_masters ON factor (masters, id);

CREATE TABLE credential (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    holder TEXT NOT NULL REFERENCES holder (id),
    factor TEXT NOT NULL REFERENCES factor (id),
    status TEXT NOT NULL,
    mode TEXT NOT NULL,
    description TEXT NOT NULL,
    multisign BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    spki BLOB NOT NULL,
    spki_hash BLOB NOT NULL UNIQUE,
    key_blob BLOB NOT NULL,
    w_pin BLOB NOT NULL,
    store BIGINT REFERENCES store_version (version),
    pin_check BLOB NOT NULL,
    pin_salt BLOB NOT NULL,
    pin_cost TEXT NOT NULL,
    masters BIGINT NOT NULL REFERENCES sealing_version (version),
    pin_failures BIGINT NOT NULL,
    puk_salt BLOB,
    puk_cost TEXT,
    puk_check BLOB,
    puk_masters BIGINT REFERENCES sealing_version (version),
    w_puk BLOB,
    puk_failures BIGINT NOT NULL,
    unblocks BIGINT NOT NULL,
    certificate BLOB NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    record_mac BLOB NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX credential_holder ON credential (holder, id);
CREATE INDEX credential_store ON credential (store, id);
CREATE INDEX credential_masters ON credential (masters, id);
CREATE INDEX credential_not_after ON credential (not_after);
CREATE INDEX credential_puk_masters ON credential (puk_masters);

-- Every public key that was ever made, also of credentials that are gone: none comes twice.
CREATE TABLE public_key (
    spki_hash BLOB NOT NULL PRIMARY KEY,
    created BIGINT NOT NULL
);

-- Codes the service sent: bound to the credential when sent, to the hashes when consumed.
CREATE TABLE otp_challenge (
    id TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL REFERENCES holder (id),
    factor TEXT NOT NULL REFERENCES factor (id),
    credential TEXT NOT NULL REFERENCES credential (id),
    purpose TEXT NOT NULL,
    code_mac BLOB NOT NULL,
    sent BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    consumed BIGINT,
    consumed_for BLOB
);
CREATE INDEX otp_challenge_holder ON otp_challenge (holder, sent);
CREATE INDEX otp_challenge_credential ON otp_challenge (credential, sent);

-- What opens a key for a while: a SAD, or a mandate for automatic signature.
CREATE TABLE activation (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    credential TEXT NOT NULL REFERENCES credential (id),
    client TEXT NOT NULL REFERENCES client (id),
    grant_id TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    content BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    masters BIGINT REFERENCES sealing_version (version),
    state TEXT NOT NULL,
    remaining BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    created BIGINT NOT NULL,
    -- Mandate: the position of its next signature, when the period of its rate began, and the signatures in it.
    next_position BIGINT,
    period_start BIGINT,
    period_used BIGINT
);
CREATE INDEX activation_credential ON activation (credential);
CREATE INDEX activation_grant ON activation (grant_id);

-- One row a signature: the count, the witness against replay, and the holder's history.
CREATE TABLE signing (
    activation TEXT NOT NULL REFERENCES activation (id),
    position BIGINT NOT NULL,
    request TEXT NOT NULL,
    credential TEXT NOT NULL REFERENCES credential (id),
    client TEXT NOT NULL,
    hash BLOB NOT NULL,
    outcome TEXT NOT NULL,
    started BIGINT NOT NULL,
    PRIMARY KEY (activation, position)
);
CREATE INDEX signing_credential ON signing (credential, started);

-- Work of the background, leased by one node at a time. A message is sealed; a notice only names what it is about.
CREATE TABLE job (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    store BIGINT REFERENCES store_version (version),
    due BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    gives_up BIGINT NOT NULL
);
CREATE INDEX job_due ON job (due);
CREATE INDEX job_store ON job (store, id);

-- The CA certificate of the issuer slot.
CREATE TABLE issuer (
    label TEXT NOT NULL PRIMARY KEY,
    certificate BLOB NOT NULL,
    created BIGINT NOT NULL
);

-- The audit log: chains of rows, each sealed to the one before.
CREATE TABLE audit (
    chain TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    version BIGINT NOT NULL,
    time BIGINT NOT NULL,
    event TEXT NOT NULL,
    person TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (chain, sequence)
);
CREATE INDEX audit_person ON audit (person, time);

-- How many operators were made, whoever deletes them.
CREATE INDEX audit_user_created ON audit (chain) WHERE event LIKE '{"event":"USER_CREATED"%';

-- Wrong PINs and PUKs by their time, and whether the service was ended.
CREATE INDEX audit_wrong ON audit (time) WHERE event LIKE '{"event":"PIN_FAIL"%' OR event LIKE '{"event":"PUK_FAIL"%';
CREATE INDEX audit_service_ended ON audit (chain) WHERE event LIKE '{"event":"SERVICE_ENDED"%';

-- Who runs the service. All but the counts of tries and codes stands under record_mac.
CREATE TABLE operator (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    -- Names of roles, sorted, with commas between them.
    roles TEXT NOT NULL,
    -- new, until the first code of his app; active.
    state TEXT NOT NULL,
    -- Which of his apps, from 1.
    device BIGINT NOT NULL,
    password_salt BLOB NOT NULL,
    password_cost TEXT NOT NULL,
    password_hash BLOB NOT NULL,
    record_mac BLOB NOT NULL,
    -- 1 and 2: the first two, made when there was nobody to approve.
    seat BIGINT UNIQUE,
    login_failures BIGINT NOT NULL,
    login_after BIGINT NOT NULL,
    -- The least time step whose code is still accepted.
    next_step BIGINT NOT NULL,
    created BIGINT NOT NULL
);

-- Sessions of operators, by SHA-256 of their token; whose and since when stands under record_mac.
CREATE TABLE operator_session (
    hash BLOB NOT NULL PRIMARY KEY,
    operator TEXT NOT NULL REFERENCES operator (id),
    begun BIGINT NOT NULL,
    used BIGINT NOT NULL,
    record_mac BLOB NOT NULL
);
CREATE INDEX operator_session_operator ON operator_session (operator);

-- What takes two officers: waiting, approved, refused, used. All but the time of the decision stands under record_mac.
CREATE TABLE approval (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    capability TEXT NOT NULL,
    -- The command with its arguments: JSON, compared byte for byte.
    command TEXT NOT NULL,
    requester TEXT NOT NULL REFERENCES operator (id),
    requested BIGINT NOT NULL,
    state TEXT NOT NULL,
    approver TEXT REFERENCES operator (id),
    decided BIGINT,
    record_mac BLOB NOT NULL
);
CREATE INDEX approval_requested ON approval (requested);

-- The settings that two officers approved, as canonical JSON: one row.
CREATE TABLE policy (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    settings TEXT NOT NULL,
    changed BIGINT NOT NULL,
    record_mac BLOB NOT NULL
);

-- Signed by the audit key: each covers the rows since the one before. The body is canonical JSON.
CREATE TABLE checkpoint (
    number BIGINT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    signature BLOB NOT NULL
);

-- Which checkpoint covers a row: the last row of each chain in it. Finds, proves nothing.
CREATE TABLE checkpoint_head (
    chain TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL,
    PRIMARY KEY (chain, sequence)
);

-- Work that one node at a time does again and again: when it is due, or until when a node is at it.
CREATE TABLE turn (
    name TEXT NOT NULL PRIMARY KEY,
    due BIGINT NOT NULL
);
