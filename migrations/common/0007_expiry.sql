-- What each node last believed of its clock; expiry asks it after a restart.
CREATE TABLE expiry_clock (
    node_id         TEXT PRIMARY KEY,
    -- the newest time that was believed, unix milliseconds
    trusted_ms      BIGINT NOT NULL,
    -- since when, by the doubtful clock, nothing expires; 0: the clock is believed
    paused_since_ms BIGINT NOT NULL
);
