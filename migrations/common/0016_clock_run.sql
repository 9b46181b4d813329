-- Since when the clock has run without a step: so the next process of the same boot sees a step that
-- came while none was running.
ALTER TABLE expiry_clock ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';
-- the wall clock at its beginning, unix milliseconds
ALTER TABLE expiry_clock ADD COLUMN steady_wall_ms BIGINT NOT NULL DEFAULT 0;
-- the machine's running time at its beginning, milliseconds
ALTER TABLE expiry_clock ADD COLUMN steady_boot_ms BIGINT NOT NULL DEFAULT 0;
