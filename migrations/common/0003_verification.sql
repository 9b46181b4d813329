-- what was put into a stored media file, counted and hashed (JSON); long, and read only for one
-- file at a time, so it is not a column of media_file
CREATE TABLE media_file_verification (
    file_id TEXT PRIMARY KEY REFERENCES media_file (id),
    body    TEXT NOT NULL
);
