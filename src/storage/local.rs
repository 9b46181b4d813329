//! The directory store: objects are files under one directory.
//!
//! ```text
//! <dir>/<key>              an object: complete, synced, renamed into place
//! <dir>/.tmp/put-<uuid>    a small object on its way; the id begins with the writer's tag
//! <dir>/.tmp/<uuid>.body   an upload: part n at (n - 1) * part_size; the id begins with the key's tag
//! <dir>/.tmp/<uuid>.parts  which parts of it are complete, see [`parts`]
//! ```
//!
//! Several nodes may share a directory. What a killed process left of small objects is cleared by the
//! next process of the same node, which holds the lock of its data directory, so that nobody can be
//! writing under that tag; everybody else's stays until it is a week old. See [`temporary`].
//!
//! No key begins a component with a dot, so nothing under `.tmp` can be read. An upload is one file
//! written at offsets, because composing it from one file per part would write every byte twice.
//! Objects are read through symbolic links (an operator may move old ones to another disk), but
//! deleting or replacing one touches the link alone. Every disk access is in a blocking thread, and
//! few at a time: a stuck disk must not take all threads.

mod disk;
mod list;
mod parts;
mod place;
mod temporary;
mod upload;

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};

use self::{
    disk::{Disk, io_error, is_absent},
    place::Places,
    temporary::tag_of,
};
use super::{
    BoxFuture, COMPLETING, ObjectBody, ObjectInfo, ObjectStore, OpenUpload, Page, Part, Result,
    StorageError, StorageKey, Upload,
};

/// Bytes of one read.
const BLOCK_BYTES: u64 = 128 << 10;

/// Age at which what a crash left in `.tmp` is removed. An upload whose recording still wants it
/// after that is projected anew.
const LEFTOVER_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Objects in a directory. Cheap to clone.
#[derive(Clone)]
pub struct LocalStore {
    disk: Disk,
    files: Arc<Files>,
}

/// The directory; everything in here blocks.
struct Files {
    root: PathBuf,
    tmp: PathBuf,
    places: Places,
    /// Of whom writes here, if it is the only one of its name.
    writer: Option<[u8; 8]>,
}

impl LocalStore {
    /// Opens a store in `dir`, which is created if absent. Blocks; removes temporary files of this
    /// store that are older than a week and nothing else.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_as(dir, None)
    }

    /// The same for the node `node_id`, of which this is the only process: what earlier ones left of
    /// small objects is removed at any age.
    pub fn open_for(dir: &Path, node_id: &str) -> Result<Self> {
        Self::open_as(dir, Some(tag_of("node", node_id)))
    }

    fn open_as(dir: &Path, writer: Option<[u8; 8]>) -> Result<Self> {
        const ACTION: &str = "open the storage directory";
        let root = std::path::absolute(dir).map_err(|e| io_error(ACTION, dir, e))?;
        let tmp = root.join(".tmp");
        fs::create_dir_all(&tmp).map_err(|e| io_error(ACTION, &tmp, e))?;
        place::sync_dir(&root).map_err(|e| io_error(ACTION, &root, e))?;
        if let Some(parent) = root.parent() {
            place::sync_dir(parent).map_err(|e| io_error(ACTION, parent, e))?;
        }
        let files = Files { places: Places::new(root.clone()), root, tmp, writer };
        files.remove_leftovers(SystemTime::now()).map_err(|e| io_error(ACTION, &files.tmp, e))?;
        Ok(Self { disk: Disk::new(), files: Arc::new(files) })
    }

    /// A store that is there already, to be read: nothing is made, nothing cleared away.
    ///
    /// # Errors
    /// The directory has no absolute path.
    pub fn open_to_read(dir: &Path) -> Result<Self> {
        let root =
            std::path::absolute(dir).map_err(|e| io_error("open the storage directory", dir, e))?;
        let (places, tmp) = (Places::new(root.clone()), root.join(".tmp"));
        Ok(Self { disk: Disk::new(), files: Arc::new(Files { places, root, tmp, writer: None }) })
    }

    /// Writes, syncs, renames, removes.
    async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = self.files.clone();
        self.disk.write(action, move || work(&files)).await
    }

    async fn open_object(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ObjectBody> {
        const ACTION: &str = "read an object";
        let (files, wanted) = (self.files.clone(), key.clone());
        let (file, info) = self.disk.read(ACTION, move || files.open_object(&wanted)).await?;
        let range = match range {
            None => 0..info.size,
            Some(range) if range.start < range.end.min(info.size) => {
                range.start..range.end.min(info.size)
            }
            Some(_) => return Err(StorageError::Range { size: info.size }),
        };
        let (disk, file, end) = (self.disk.clone(), Arc::new(file), range.end);
        let key = key.clone();
        let blocks = stream::try_unfold(range.start, move |at| {
            let (disk, file, key) = (disk.clone(), file.clone(), key.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let block = disk.read(ACTION, move || read_block(&file, at..end, &key)).await?;
                let next = at + block.len() as u64;
                Ok(Some((block, next)))
            }
        });
        Ok(ObjectBody { info, range, stream: Box::pin(blocks) })
    }
}

impl ObjectStore for LocalStore {
    fn put<'a>(&'a self, key: &'a StorageKey, body: Bytes) -> BoxFuture<'a, Result<()>> {
        let key = key.clone();
        self.write("store an object", move |files| files.put(&key, &body)).boxed()
    }

    fn start<'a>(&'a self, key: &'a StorageKey, part_size: u64) -> BoxFuture<'a, Result<Upload>> {
        let key = key.clone();
        self.write("begin an upload", move |files| {
            let id = files.start_upload(&key)?;
            Ok(Upload { key, id, part_size })
        })
        .boxed()
    }

    fn put_part<'a>(
        &'a self,
        upload: &'a Upload,
        number: u32,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Part>> {
        let upload = upload.clone();
        self.write("store a part", move |files| files.put_part(&upload, number, &body)).boxed()
    }

    fn complete<'a>(&'a self, upload: &'a Upload, parts: &'a [Part]) -> BoxFuture<'a, Result<()>> {
        let (upload, parts) = (upload.clone(), parts.to_vec());
        self.write(COMPLETING, move |files| files.complete_upload(&upload, &parts)).boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<()>> {
        let id = upload.id.clone();
        self.write("abort an upload", move |files| files.abort_upload(&id)).boxed()
    }

    fn list_parts<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>>> {
        let (files, upload) = (self.files.clone(), upload.clone());
        self.disk.read("list the parts of an upload", move || files.list_parts(&upload)).boxed()
    }

    fn head<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<ObjectInfo>>> {
        let (files, key) = (self.files.clone(), key.clone());
        self.disk.read("look at an object", move || files.head(&key)).boxed()
    }

    fn get<'a>(
        &'a self,
        key: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody>> {
        self.open_object(key, range).boxed()
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<()>> {
        let key = key.clone();
        self.write("delete an object", move |files| {
            files
                .places
                .remove(&key)
                .map_err(|e| io_error("delete an object", Path::new(key.as_str()), e))
        })
        .boxed()
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page>> {
        let (files, under, after) =
            (self.files.clone(), under.to_owned(), after.map(str::to_owned));
        let list = move || files.list(&under, after.as_deref());
        self.disk.read("list the storage directory", list).boxed()
    }

    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>>> {
        let files = self.files.clone();
        self.disk.read("list open uploads", move || files.open_uploads()).boxed()
    }

    fn uploads_of<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Vec<OpenUpload>>> {
        let (files, key) = (self.files.clone(), key.clone());
        self.disk.read("list the uploads of an object", move || files.uploads_of(&key)).boxed()
    }

    fn discard<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>> {
        let id = upload.id.clone();
        self.write("remove a leftover", move |files| files.discard(&id)).boxed()
    }

    fn is_own_disk(&self) -> bool {
        true
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        self.write("check the storage directory", |files| {
            let path = files.temporary();
            let written = fs::write(&path, b"?");
            let removed = fs::remove_file(&path);
            written.and(removed).map_err(|e| io_error("check the storage directory", &path, e))
        })
        .boxed()
    }
}

impl Files {
    fn path(&self, key: &StorageKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn put(&self, key: &StorageKey, body: &[u8]) -> Result<()> {
        let path = self.temporary();
        let stored = write_synced(&path, body).and_then(|()| self.places.install(&path, key));
        stored.map_err(|error| {
            // Gone already if only the last sync failed.
            let _ = fs::remove_file(&path);
            io_error("store an object", &self.path(key), error)
        })
    }

    fn head(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        let path = self.path(key);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Some(object_info(&meta))),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io_error("look at an object", &path, error)),
        }
    }

    fn open_object(&self, key: &StorageKey) -> Result<(fs::File, ObjectInfo)> {
        let missing = || StorageError::NotFound { key: key.to_string() };
        // Looked at first: opening a pipe that somebody put there would block.
        self.head(key)?.ok_or_else(missing)?;
        let path = self.path(key);
        match fs::File::open(&path)
            .and_then(|file| file.metadata().map(|meta| (file, object_info(&meta))))
        {
            Ok(opened) => Ok(opened),
            Err(error) if is_absent(&error) => Err(missing()),
            Err(error) => Err(io_error("read an object", &path, error)),
        }
    }
}

fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(body)?;
    file.sync_all()
}

/// A tag that changes with the content: objects are replaced by renaming, never written in place.
fn object_info(meta: &fs::Metadata) -> ObjectInfo {
    let etag =
        format!("{:x}-{:x}-{:x}{:08x}", meta.size(), meta.ino(), meta.mtime(), meta.mtime_nsec());
    ObjectInfo { size: meta.size(), etag }
}

/// Reads the first block of `range`, which is not empty.
fn read_block(file: &fs::File, range: Range<u64>, key: &StorageKey) -> Result<Bytes> {
    let mut block = vec![0; (range.end - range.start).min(BLOCK_BYTES) as usize];
    let fail = |e| io_error("read an object", Path::new(key.as_str()), e);
    match file.read_at(&mut block, range.start).map_err(fail)? {
        0 => Err(fail(io::ErrorKind::UnexpectedEof.into())),
        n => {
            block.truncate(n);
            Ok(block.into())
        }
    }
}

#[cfg(test)]
mod tests;
