-- Uploads in parts that the store may have begun, or may yet begin, although its answer never came:
-- nobody knows their ids, so they are looked for by the key of the object they were to be.
CREATE TABLE stray_upload (
    storage_key TEXT PRIMARY KEY,
    -- the upload that its row names is not a stray
    file_id     TEXT NOT NULL,
    -- when the answer was missed, unix milliseconds
    noted_ms    BIGINT NOT NULL,
    -- when to look for it, unix milliseconds
    due_ms      BIGINT NOT NULL
);
CREATE INDEX stray_upload_due ON stray_upload (due_ms);
