-- How often something was asked for in a minute: of all nodes together.
CREATE TABLE rate (
    subject TEXT PRIMARY KEY,
    minute BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX rate_minute ON rate (minute);
