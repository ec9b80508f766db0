-- What clients ask for and holders answer. Anybody may ask: a row opens nothing by itself.
CREATE TABLE oauth_request (
    id TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL REFERENCES client (id),
    -- JSON; what a code opens is bound to each of its octets.
    request TEXT NOT NULL,
    -- pushed, pending, answered, refused.
    state TEXT NOT NULL,
    -- SHA-256 of what the browser has.
    browser BYTEA,
    -- Name of the code it was answered with, and the session it was answered in.
    code TEXT,
    session TEXT,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX oauth_request_code ON oauth_request (code);
CREATE INDEX oauth_request_session ON oauth_request (session);
CREATE INDEX oauth_request_expires ON oauth_request (expires);

-- What is taken once: names of account tokens, assertions and proofs, by SHA-256, until they are too old anyway.
CREATE TABLE seen (
    digest BYTEA NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX seen_expires ON seen (expires);
