//! What a store says of all that it holds: pages of objects, and uploads that are not complete.
//!
//! Names here are as the store has them, relative to where keys begin. They may be anybody's: what
//! is ours is decided by [`super::StorageKey::file_id`].

/// Objects on one page of a listing, at most.
pub const PAGE_OBJECTS: usize = 1000;

/// Open uploads that are listed, at most; the others are seen when these are gone.
pub const MAX_UPLOADS: usize = 10_000;

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its name, which need not be a key of ours.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was stored, unix milliseconds of the store's clock; 0 if the store does not say.
    pub modified_ms: i64,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Every object is on exactly one page, as long as nobody stores or deletes.
    pub objects: Vec<ListedObject>,
    /// To be given for the next page; none after the last.
    pub next: Option<String>,
}

/// An upload that was begun and neither completed nor aborted, or what a crash left of storing a
/// small object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object to be; none where the store does not know (a directory).
    pub name: Option<String>,
    /// The store's id of it.
    pub id: String,
    /// When it was begun or last written, unix milliseconds of the store's clock.
    pub changed_ms: i64,
    /// Bytes that it holds, if they come with the listing.
    pub bytes: Option<u64>,
}
