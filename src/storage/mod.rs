//! Where products live: one trait, two stores (directory, S3-compatible).
//!
//! A store knows keys and bytes; it knows neither recordings nor rows. Large objects are made from
//! parts of one equal size (all but the last), in any order, so that a head can be stored last.

#[cfg(test)]
pub mod failing;
pub mod key;
pub mod listing;
pub mod local;
pub mod s3;

use std::{fmt, future::Future, ops::Range, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;

pub use key::StorageKey;
pub use listing::{ListedObject, OpenUpload, Page};
pub use local::LocalStore;
pub use s3::{S3Settings, S3Store};

/// Smallest size of a part that S3 accepts, except for the last one, in bytes.
pub const MIN_PART_BYTES: u64 = 5 << 20;

/// Most parts that an upload can have.
pub const MAX_PARTS: u32 = 10_000;

/// What [`ObjectStore::complete`] is called in errors: whoever may do everything else to an upload and
/// is refused this has lost parts of it.
pub const COMPLETING: &str = "complete an upload";

/// A boxed future, so that the trait can be used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What went wrong at the store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("no object {key}")]
    NotFound {
        /// The key asked for.
        key: String,
    },
    /// The upload is not known (any more) to the store, or what it has of it does not make the
    /// object: abort and begin anew.
    #[error("upload {upload} cannot go on: {reason}")]
    NoSuchUpload {
        /// The upload id.
        upload: String,
        /// What is missing.
        reason: String,
    },
    /// The requested range lies outside the object.
    #[error("range is outside the object of {size} bytes")]
    Range {
        /// Size of the object.
        size: u64,
    },
    /// Worth another try later: time-outs, 5xx, throttling, full disk.
    #[error("{action}: {message}")]
    Transient {
        /// What was tried, present tense.
        action: &'static str,
        /// What the store said.
        message: String,
    },
    /// The store refuses for good: bad credentials, no bucket, forbidden.
    #[error("{action}: {message}")]
    Refused {
        /// What was tried, present tense.
        action: &'static str,
        /// What the store said.
        message: String,
    },
}

impl StorageError {
    /// Whether trying again later can help without an operator. `Refused` is retried too by
    /// delivery (nothing is ever given up), only more slowly and louder.
    pub fn is_transient(&self) -> bool {
        matches!(self, StorageError::Transient { .. })
    }
}

/// An upload in parts that has been started. Everything needed to go on after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object to be.
    pub key: StorageKey,
    /// The store's id of the upload.
    pub id: String,
    /// Size of every part but the last, in bytes.
    pub part_size: u64,
}

/// A part that the store has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// 1 and up, consecutive.
    pub number: u32,
    /// The store's tag of it, exactly as received; empty for a directory store (and for an S3
    /// store whose ListParts names none).
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// What the store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Bytes.
    pub size: u64,
    /// The store's tag of it, without quotes; changes when the object does.
    pub etag: String,
}

/// An object being read.
pub struct ObjectBody {
    /// The whole object.
    pub info: ObjectInfo,
    /// Which bytes of it follow.
    pub range: Range<u64>,
    /// The bytes, in blocks of at most about 256 KiB.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody")
            .field("info", &self.info)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// Checks that `parts` are all parts of an object, in order: numbers 1 and up without a gap, every
/// part but the last `part_size` bytes. Answers the size of the object in bytes.
fn check_parts(upload: &Upload, parts: &[Part]) -> Result<u64> {
    let broken = |reason| Err(StorageError::NoSuchUpload { upload: upload.id.clone(), reason });
    let Some(last) = parts.last() else { return broken("it has no parts".to_owned()) };
    if parts.len() > MAX_PARTS as usize {
        return broken(format!("{} parts, at most {MAX_PARTS} are allowed", parts.len()));
    }
    for (number, part) in (1..).zip(parts) {
        if part.number != number {
            return broken(format!("part {number} is missing"));
        }
        let is_last = part.number == last.number;
        if part.size > upload.part_size
            || part.size == 0
            || (part.size < upload.part_size && !is_last)
        {
            return broken(format!(
                "part {number} has {} bytes, parts have {}",
                part.size, upload.part_size
            ));
        }
    }
    // Each is at most `part_size`, but that is any number from a row.
    match parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.size)) {
        Some(size) => Ok(size),
        None => broken("its size exceeds 64 bits".to_owned()),
    }
}

/// A place for products. All calls are bounded in time by the implementation; a call that is
/// dropped may still take effect.
pub trait ObjectStore: Send + Sync + 'static {
    /// Stores a small object whole; it appears at once or not at all, and replaces an older one.
    fn put<'a>(&'a self, key: &'a StorageKey, body: Bytes) -> BoxFuture<'a, Result<()>>;
    /// Begins an object in parts of `part_size` bytes. If it is not known whether an upload was begun
    /// this is an error, never another attempt: what may be open is found by
    /// [`ObjectStore::uploads_of`], now or a little later.
    fn start<'a>(&'a self, key: &'a StorageKey, part_size: u64) -> BoxFuture<'a, Result<Upload>>;
    /// Stores one part of 1 to `part_size` bytes, `number` from 1 to [`MAX_PARTS`]; the same number
    /// again replaces it. Parts of one upload may be stored at the same time, one number only once.
    fn put_part<'a>(
        &'a self,
        upload: &'a Upload,
        number: u32,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Part>>;
    /// Makes the object from all its parts, given in order. Durable when it returns. Saying it again
    /// after the answer was lost is no error.
    fn complete<'a>(&'a self, upload: &'a Upload, parts: &'a [Part]) -> BoxFuture<'a, Result<()>>;
    /// Gives an upload up and frees what it held. An unknown upload is no error, a completed one
    /// stays an object.
    fn abort<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<()>>;
    /// The parts the store has of an upload, by number. For an upload it does not know this is
    /// `NoSuchUpload`, or no parts (some S3 servers).
    fn list_parts<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>>>;
    /// What the store knows of an object, `None` if it has none.
    fn head<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<ObjectInfo>>>;
    /// Reads an object or a range of it; the end is cut to the size. A range that is empty or starts
    /// at or behind the end is [`StorageError::Range`]. Dropping the stream ends the reading; a
    /// stream that ends without an error has given the whole range.
    fn get<'a>(
        &'a self,
        key: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody>>;
    /// Removes an object; an absent one is no error.
    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<()>>;
    /// One page of all objects whose names begin with `under` (empty, or a key and a slash), `after`
    /// the page whose [`Page::next`] is given. Names need not be ours.
    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page>>;
    /// Uploads that are open, and what crashes left of them. Not every S3 server can say.
    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>>>;
    /// The open uploads of this key, whoever began them: for one whose id was never learned.
    fn uploads_of<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Vec<OpenUpload>>>;
    /// Frees what an entry of [`ObjectStore::list_uploads`] holds; gone already is no error.
    fn discard<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>>;
    /// True if what it has acknowledged needs no second look: written from memory and synced by this
    /// process. A store behind a network is asked what it has.
    fn is_own_disk(&self) -> bool {
        false
    }
    /// Cheap check that the store can be reached and written, for `/readyz`.
    fn check(&self) -> BoxFuture<'_, Result<()>>;
}
