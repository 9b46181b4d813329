-- Recordings that outlive their session: suspended between two pushes, then continued or ended.

-- unix milliseconds at which the last session ended, while the recording waits for the next; else 0
ALTER TABLE recording ADD COLUMN suspended_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX recording_suspended ON recording (node_id, suspended_ms) WHERE suspended_ms > 0 AND ended_ms = 0;

-- the id by which the session's journal names the recording; empty: the recording's own
ALTER TABLE recording_span ADD COLUMN attached_id TEXT NOT NULL DEFAULT '';
