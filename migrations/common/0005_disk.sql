-- A recording whose journal the disk did not take for longer than a publisher is held: since when
-- (unix milliseconds, 0: not, or not since it was resumed), and what it cost (JSON).
ALTER TABLE recording ADD COLUMN failed_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recording ADD COLUMN failure TEXT NOT NULL DEFAULT '';
