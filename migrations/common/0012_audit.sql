-- Who asked for a change, when, and what came of it. parameters and answer are JSON without secrets.
-- outcome is empty from before the change until it is known.
CREATE TABLE audit (
    id         TEXT PRIMARY KEY,
    at_ms      BIGINT NOT NULL,
    secret_id  TEXT NOT NULL,
    role       TEXT NOT NULL,
    action     TEXT NOT NULL,
    peer       TEXT NOT NULL,
    request_id TEXT NOT NULL,
    parameters TEXT NOT NULL,
    answer     TEXT NOT NULL,
    outcome    TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at_ms);
