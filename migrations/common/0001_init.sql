-- Every table of the recorder. BIGINT, TEXT and DOUBLE PRECISION only, so that one text serves
-- SQLite and PostgreSQL; times are unix milliseconds unless the name ends in _s; booleans are 0/1.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- numeric ids that clients see: one row a kind, taken with UPDATE .. RETURNING
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    next BIGINT NOT NULL
);

CREATE TABLE push_domain (
    name       TEXT PRIMARY KEY,
    enabled    BIGINT NOT NULL,
    own_keys   BIGINT NOT NULL,
    keys_on    BIGINT NOT NULL,
    master_key TEXT NOT NULL,
    backup_key TEXT NOT NULL,
    delta_s    BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE record_template (
    id            BIGINT PRIMARY KEY,
    is_delay_live BIGINT NOT NULL,
    body          TEXT NOT NULL,
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL
);

CREATE TABLE record_rule (
    domain      TEXT NOT NULL,
    app         TEXT NOT NULL,
    stream      TEXT NOT NULL,
    template_id BIGINT NOT NULL REFERENCES record_template (id),
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL,
    PRIMARY KEY (domain, app, stream)
);
CREATE INDEX record_rule_template ON record_rule (template_id);

CREATE TABLE record_task (
    id          TEXT PRIMARY KEY,
    domain      TEXT NOT NULL,
    app         TEXT NOT NULL,
    stream      TEXT NOT NULL,
    start_s     BIGINT NOT NULL,
    end_s       BIGINT NOT NULL,
    template_id BIGINT NOT NULL,
    stream_type BIGINT NOT NULL,
    stopped_ms  BIGINT NOT NULL,
    deleted_ms  BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL
);
CREATE INDEX record_task_window ON record_task (start_s, id);
CREATE INDEX record_task_end ON record_task (end_s);

CREATE TABLE callback_template (
    id         BIGINT PRIMARY KEY,
    body       TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE callback_rule (
    domain      TEXT NOT NULL,
    app         TEXT NOT NULL,
    template_id BIGINT NOT NULL REFERENCES callback_template (id),
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL,
    PRIMARY KEY (domain, app)
);
CREATE INDEX callback_rule_template ON callback_rule (template_id);

-- one push; body is the session as its journal's head has it (JSON)
CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    node_id    TEXT NOT NULL,
    domain     TEXT NOT NULL,
    app        TEXT NOT NULL,
    stream     TEXT NOT NULL,
    body       TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms   BIGINT NOT NULL,
    end_reason TEXT NOT NULL,
    -- 1 until its journal folder is gone
    has_journal BIGINT NOT NULL
);
CREATE INDEX session_stream ON session (domain, app, stream, started_ms);
CREATE INDEX session_journal ON session (node_id, has_journal);

-- one stream + origin + container; body is the recording as the journal notes it (JSON)
CREATE TABLE recording (
    id          TEXT PRIMARY KEY,
    node_id     TEXT NOT NULL,
    session_id  TEXT NOT NULL REFERENCES session (id),
    task_id     TEXT NOT NULL,
    container   TEXT NOT NULL,
    body        TEXT NOT NULL,
    started_ms  BIGINT NOT NULL,
    ended_ms    BIGINT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    fence       BIGINT NOT NULL
);
CREATE INDEX recording_session ON recording (session_id);
CREATE INDEX recording_task ON recording (task_id);

-- the journal stretches of a recording, in order; to_pos is -1 while it grows
CREATE TABLE recording_span (
    recording_id TEXT NOT NULL REFERENCES recording (id),
    ordinal      BIGINT NOT NULL,
    session_id   TEXT NOT NULL REFERENCES session (id),
    from_pos     BIGINT NOT NULL,
    to_pos       BIGINT NOT NULL,
    PRIMARY KEY (recording_id, ordinal)
);
CREATE INDEX recording_span_session ON recording_span (session_id);

CREATE TABLE media_file (
    id            TEXT PRIMARY KEY,
    recording_id  TEXT NOT NULL REFERENCES recording (id),
    ordinal       BIGINT NOT NULL,
    node_id       TEXT NOT NULL,
    domain        TEXT NOT NULL,
    app           TEXT NOT NULL,
    stream        TEXT NOT NULL,
    container     TEXT NOT NULL,
    origin        TEXT NOT NULL,
    task_id       TEXT NOT NULL,
    session_id    TEXT NOT NULL,
    template_id   BIGINT NOT NULL,
    sub_app_id    BIGINT NOT NULL,
    stream_param  TEXT NOT NULL,
    state         TEXT NOT NULL,
    error         TEXT NOT NULL,
    name          TEXT NOT NULL,
    storage_key   TEXT NOT NULL,
    facts         TEXT NOT NULL,
    size_bytes    BIGINT NOT NULL,
    duration_ms   BIGINT NOT NULL,
    start_ms      BIGINT NOT NULL,
    end_ms        BIGINT NOT NULL,
    expire_ms     BIGINT NOT NULL,
    storage_class TEXT NOT NULL,
    class_id      BIGINT NOT NULL,
    -- which projector made it, with which reserve and part size: another version projects anew
    projector     BIGINT NOT NULL,
    upload_id     TEXT NOT NULL,
    part_size     BIGINT NOT NULL,
    reserve_bytes BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    next_try_ms   BIGINT NOT NULL,
    lease_owner   TEXT NOT NULL,
    lease_until   BIGINT NOT NULL,
    fence         BIGINT NOT NULL,
    created_ms    BIGINT NOT NULL,
    updated_ms    BIGINT NOT NULL,
    UNIQUE (recording_id, ordinal)
);
CREATE INDEX media_file_work ON media_file (state, node_id, next_try_ms);
CREATE INDEX media_file_created ON media_file (sub_app_id, state, created_ms);
CREATE INDEX media_file_stream ON media_file (sub_app_id, stream, created_ms);

-- where in the journals a media file lies, in order; to_pos is -1 while it grows
CREATE TABLE media_file_span (
    file_id    TEXT NOT NULL REFERENCES media_file (id),
    ordinal    BIGINT NOT NULL,
    session_id TEXT NOT NULL REFERENCES session (id),
    from_pos   BIGINT NOT NULL,
    to_pos     BIGINT NOT NULL,
    PRIMARY KEY (file_id, ordinal)
);
CREATE INDEX media_file_span_session ON media_file_span (session_id);

-- events to deliver; body and url are fixed when the row is written, t and sign are made at sending
CREATE TABLE callback (
    id          TEXT PRIMARY KEY,
    event_type  BIGINT NOT NULL,
    stream_path TEXT NOT NULL,
    url         TEXT NOT NULL,
    sign_key    TEXT NOT NULL,
    body        TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    next_try_ms BIGINT NOT NULL,
    last_result TEXT NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL
);
CREATE INDEX callback_due ON callback (state, next_try_ms, id);
-- with many events waiting for a dead receiver, finding the next of each stream must stay cheap
CREATE INDEX callback_order ON callback (url, stream_path, id) WHERE state = 'pending';
CREATE INDEX media_file_expiry ON media_file (expire_ms) WHERE state = 'stored' AND expire_ms > 0;
