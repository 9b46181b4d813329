-- Uploads that begin while a recording runs: what of a product is in the store already.

-- the parts of an upload that is under way; gone when the file is committed
CREATE TABLE media_part (
    file_id    TEXT NOT NULL REFERENCES media_file (id),
    object     TEXT NOT NULL,
    number     BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256     TEXT NOT NULL,
    -- as the store gave it, empty if it gave none
    etag       TEXT NOT NULL,
    stored_ms  BIGINT NOT NULL,
    PRIMARY KEY (file_id, object, number)
);

-- how far delivery is: '' (nothing stored), 'uploading', 'stored', 'verified', 'announced'
ALTER TABLE media_file ADD COLUMN progress TEXT NOT NULL DEFAULT '';
-- bytes of the parts above
ALTER TABLE media_file ADD COLUMN uploaded_bytes BIGINT NOT NULL DEFAULT 0;
-- when the stored objects were found to be what was sent; 0 not yet. What an earlier version stored counts as it was.
ALTER TABLE media_file ADD COLUMN verified_ms BIGINT NOT NULL DEFAULT 1;
-- when event 100 was written; 0 never
ALTER TABLE media_file ADD COLUMN announced_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX media_file_unverified ON media_file (node_id, id) WHERE state = 'stored' AND verified_ms = 0;
