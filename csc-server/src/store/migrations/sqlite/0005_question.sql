-- What holders are asked on a page of ours that a mail leads to: whether these signatures may be made. All but state, version and
-- what is sealed stands under mac.
CREATE TABLE question (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    -- What the mailed link names it by.
    link TEXT NOT NULL UNIQUE,
    holder TEXT NOT NULL REFERENCES holder (id),
    credential TEXT NOT NULL REFERENCES credential (id),
    client TEXT NOT NULL REFERENCES client (id),
    grant_id TEXT NOT NULL,
    -- SHA-256 of the handle's secret, and the X25519 key whose private half the handle gives.
    handle_hash BLOB NOT NULL,
    public_key BLOB NOT NULL,
    content BLOB NOT NULL,
    mac BLOB NOT NULL,
    -- waiting, approved, refused, taken, lapsed.
    state TEXT NOT NULL,
    -- The SAD, sealed to the handle: between approved and taken.
    sealed BLOB,
    expires BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX question_holder ON question (holder, created);
CREATE INDEX question_grant ON question (grant_id);
