-- Sessions of holders in a browser, by SHA-256 of their secret.
CREATE TABLE holder_session (
    hash BLOB NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL REFERENCES holder (id),
    begun BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX holder_session_ends ON holder_session (ends);
