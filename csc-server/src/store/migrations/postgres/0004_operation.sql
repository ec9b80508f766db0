-- Asynchronous operations, until their results are kept no longer.
CREATE TABLE operation (
    id TEXT NOT NULL PRIMARY KEY,
    client TEXT NOT NULL REFERENCES client (id),
    holder TEXT NOT NULL REFERENCES holder (id),
    ends BIGINT NOT NULL,
    -- Until when it counts as being worked on.
    lease BIGINT NOT NULL,
    response_uri TEXT,
    result BYTEA,
    result_key BYTEA,
    store BIGINT REFERENCES store_version (version)
);
CREATE INDEX operation_ends ON operation (ends);
CREATE INDEX operation_store ON operation (store, id);
