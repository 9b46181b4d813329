//! What to do about an error: from what a store or a database says to what an operator changes.
//!
//! Servers say the same thing with many codes; the codes of AWS, MinIO, Ceph, Garage and PostgreSQL
//! are here. What is not here gets the general advice.

/// Texts that an error of an S3 server holds, and what to do then.
const STORE: &[(&[&str], &str)] = &[
    (
        &["InvalidAccessKeyId", "InvalidAccessKey:", "NotSignedUp"],
        "the store does not know storage.s3.access_key_id: compare it with the key that the store shows, and look whether that key is enabled",
    ),
    (
        &["SignatureDoesNotMatch"],
        "storage.s3.secret_access_key does not belong to the access key, or something between changes the Host header: compare the secret",
    ),
    (
        &["NoSuchBucket"],
        "make the bucket, or correct storage.s3.bucket; with virtual host names look at storage.s3.path_style",
    ),
    (
        &["RequestTimeTooSkewed", "RequestExpired"],
        "the clocks of this machine and of the store differ by more than 15 minutes: set the clock (NTP)",
    ),
    (
        &[
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "TemporaryRedirect",
            "IllegalLocationConstraint",
            "InvalidRegion",
            "HTTP 301",
            "HTTP 307",
        ],
        "the bucket is in another region: correct storage.s3.region, and storage.s3.endpoint if it names one",
    ),
    (
        &["AccessDenied", "HTTP 403", "Forbidden"],
        "the key lacks a right: it needs s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload, s3:ListMultipartUploadParts and s3:ListBucketMultipartUploads on the bucket and its objects",
    ),
    (
        &["dns error", "failed to lookup", "Name or service not known"],
        "the host of storage.s3.endpoint has no address: correct it; with path_style = false the bucket is part of the host name",
    ),
    (
        &["onnection refused", "os error 111"],
        "nothing listens at storage.s3.endpoint: is the store running, is the port right?",
    ),
    (
        &["certificate", "invalid peer", "UnknownIssuer", "HandshakeFailure", "InvalidMessage"],
        "TLS with storage.s3.endpoint fails: its certificate must be of a public authority; is https right, or should it be http?",
    ),
    (
        &["timed out", "timeout", "time-out", "did not answer in time"],
        "the store does not answer: look at the network and at firewalls, then at the store; storage.s3.timeout is how long is waited",
    ),
    (
        &["SlowDown", "HTTP 503", "HTTP 429"],
        "the store is overloaded or limits the rate: look there",
    ),
    (&["os error 28", "No space left"], "the disk is full: make room"),
    (
        &["os error 30", "Read-only file system"],
        "the file system is read-only: look at the kernel's log, then mount it for writing",
    ),
    (&["os error 13", "Permission denied"], "the user that liverec runs as must own the directory"),
    (
        &["os error 2)", "No such file"],
        "the directory is not there: start the server once, or mount its disk",
    ),
    (
        &["HTTP 501", "NotImplemented"],
        "the store cannot do this; liverec needs it only to find orphans",
    ),
];

/// Texts that an error of a database holds, and what to do then.
const DATABASE: &[(&[&str], &str)] = &[
    (&["password authentication failed", "28P01"], "the password or user in database.url is wrong"),
    (
        &["28000", "no pg_hba.conf entry"],
        "PostgreSQL does not let this user in from here: look at pg_hba.conf",
    ),
    (
        &["role \"", "does not exist"],
        "the user or the database in database.url does not exist: make it (CREATE ROLE, CREATE DATABASE)",
    ),
    (
        &["onnection refused", "os error 111"],
        "nothing listens at the address in database.url: is PostgreSQL running?",
    ),
    (&["failed to lookup", "Name or service not known"], "the host in database.url has no address"),
    (
        &["timed out", "PoolTimedOut"],
        "the database does not answer: is it running, are host and port in database.url right, is it overloaded?",
    ),
    (
        &["too many clients", "53300"],
        "PostgreSQL has no connection left: raise max_connections; liverec takes up to 8 for each process",
    ),
    (
        &["database disk image is malformed", "file is not a database"],
        "the SQLite file is damaged: stop the server and restore a backup",
    ),
    (&["database or disk is full", "No space left"], "the disk is full: make room"),
    (
        &["readonly database", "read-only"],
        "the database cannot be written: the user that liverec runs as must own file and directory",
    ),
    (&["database is locked"], "another program holds the SQLite file for long: look for it"),
    (
        &["unable to open database file", "code: 14"],
        "the SQLite file cannot be opened: does it exist, and may this user read and write it and its directory?",
    ),
];

/// What to do about an error of the store.
pub(super) fn for_store(error: &str) -> &'static str {
    advice(STORE, error).unwrap_or("look at the log of the store")
}

/// What to do about an error of the database.
pub(super) fn for_database(error: &str) -> &'static str {
    advice(DATABASE, error).unwrap_or("look at the log of the database")
}

/// What to do about an error of the file system.
pub(super) fn for_disk(error: &str) -> &'static str {
    advice(STORE, error).unwrap_or("look at the kernel's log: the disk may be failing")
}

fn advice(table: &[(&[&str], &'static str)], error: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(texts, _)| texts.iter().any(|text| error.contains(text)))
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_mistake_has_its_own_advice() {
        type Case<'a> = (fn(&str) -> &'static str, &'a str, &'a str);
        let cases: [Case<'_>; 12] = [
            (for_store, "store an object: InvalidAccessKeyId: x (HTTP 403)", "access_key_id"),
            (for_store, "SignatureDoesNotMatch: as asked (HTTP 403)", "secret_access_key"),
            (for_store, "check the bucket: NoSuchBucket: there is no bucket x", "make the bucket"),
            (for_store, "RequestTimeTooSkewed: x (HTTP 403)", "set the clock"),
            (for_store, "AuthorizationHeaderMalformed: x (HTTP 400)", "storage.s3.region"),
            (for_store, "dispatch failure: io error: dns error: x", "has no address"),
            (for_store, "client error (Connect): Connection refused (os error 111)", "listens"),
            (for_store, "/x: Read-only file system (os error 30)", "read-only"),
            (for_database, "password authentication failed for user \"x\"", "password"),
            (for_database, "role \"nobody\" does not exist", "make it"),
            (for_database, "attempt to write a readonly database", "must own"),
            (for_disk, "No space left on device (os error 28)", "make room"),
        ];
        for (advise, error, part) in cases {
            assert!(advise(error).contains(part), "{error}: {}", advise(error));
        }
        assert_eq!(for_database("something new"), "look at the log of the database");
    }
}
