-- What pushes to a domain may take; 0 is no limit.
CREATE TABLE domain_limits (
    domain      TEXT PRIMARY KEY,
    max_streams BIGINT NOT NULL,
    max_kbps    BIGINT NOT NULL,
    max_hours   BIGINT NOT NULL
);
