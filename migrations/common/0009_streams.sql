-- Domains as AddLiveDomain describes them, streams that may not be pushed, and what a push looked like.

ALTER TABLE push_domain ADD COLUMN is_delay_live BIGINT NOT NULL DEFAULT 0;
ALTER TABLE push_domain ADD COLUMN is_mini_program BIGINT NOT NULL DEFAULT 0;

-- kept and shown only: what is played, and how, is not decided here
CREATE TABLE play_domain (
    name            TEXT PRIMARY KEY,
    enabled         BIGINT NOT NULL,
    play_type       BIGINT NOT NULL,
    is_delay_live   BIGINT NOT NULL,
    is_mini_program BIGINT NOT NULL,
    created_ms      BIGINT NOT NULL
);

CREATE TABLE forbidden_stream (
    domain     TEXT NOT NULL,
    app        TEXT NOT NULL,
    stream     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    -- unix milliseconds from which it may be pushed again
    resume_ms  BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (domain, app, stream)
);

-- picture size, 0 if unknown
ALTER TABLE session ADD COLUMN width BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN height BIGINT NOT NULL DEFAULT 0;
CREATE INDEX session_started ON session (started_ms);
CREATE INDEX session_ended ON session (ended_ms);
CREATE INDEX recording_started ON recording (started_ms);
