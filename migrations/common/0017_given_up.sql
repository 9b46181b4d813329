-- When the operator gave a session up whose journal was gone, or, if its folder came back after that,
-- when it was seen to be back; 0 if it never was given up. Unix milliseconds.
ALTER TABLE session ADD COLUMN given_up_ms BIGINT NOT NULL DEFAULT 0;

-- What a playlist says of the segments that the store has, for when their journal is lost.
CREATE TABLE media_segment (
    file_id          TEXT NOT NULL,
    number           BIGINT NOT NULL,
    duration_ms      BIGINT NOT NULL,
    is_discontinuous BIGINT NOT NULL,
    -- the initialisation segment that begins to hold with it; -1 if none does
    init             BIGINT NOT NULL,
    PRIMARY KEY (file_id, number)
);
