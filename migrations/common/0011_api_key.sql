-- Key pairs of API clients beside the configured one. sealed is the secret key, encrypted with a
-- master key that is kept outside the database.
CREATE TABLE api_key (
    secret_id  TEXT PRIMARY KEY,
    sealed     TEXT NOT NULL,
    role       TEXT NOT NULL,
    sub_app_id BIGINT NOT NULL,
    note       TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    revoked_ms BIGINT NOT NULL
);
