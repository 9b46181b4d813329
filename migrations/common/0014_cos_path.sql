-- Where the objects of a media file lie: the pattern CosBucketPath of its record template, empty for
-- <domain>/<app>/<stream>, and the offset from UTC, in seconds, that its times are shown with.
ALTER TABLE media_file ADD COLUMN cos_bucket_path TEXT NOT NULL DEFAULT '';
ALTER TABLE media_file ADD COLUMN utc_offset_s BIGINT NOT NULL DEFAULT 0;
