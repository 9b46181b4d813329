-- When the operator gave a session up whose journal was gone, or, if its folder came back after that,
-- when it was seen to be back; 0 if it never was given up. Unix milliseconds.
ALTER TABLE session ADD COLUMN given_up_ms BIGINT NOT NULL DEFAULT 0;
