//! Uploads of the directory store: one file written at offsets, one log of its parts.
//!
//! The bytes of a part are synced before its record, and the whole file before it is renamed: an
//! object never has a hole, and what [`Files::list_parts`] names survived a power loss.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use uuid::Uuid;

use super::{
    Files, io_error, is_absent,
    parts::{MAX_LOG_BYTES, decode_log, encode_record},
    place::sync_dir,
    temporary::{tag_of, tagged},
};
use crate::storage::{
    COMPLETING, MAX_PARTS, Part, Result, StorageError, StorageKey, Upload, check_parts,
};

/// The two files of an upload.
struct Paths {
    body: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Makes the files of a new upload; answers its id.
    pub(super) fn start_upload(&self, key: &StorageKey) -> Result<String> {
        let id = tagged(tag_of("key", key.as_str())).to_string();
        let paths = self.upload_paths(&id)?;
        let made = fs::File::create_new(&paths.body)
            .and_then(|_| fs::File::create_new(&paths.log))
            .and_then(|_| sync_dir(&self.tmp));
        made.map_err(|e| io_error("begin an upload", &paths.body, e))?;
        Ok(id)
    }

    /// Writes and syncs one part, then says so in the log.
    pub(super) fn put_part(&self, upload: &Upload, number: u32, bytes: &[u8]) -> Result<Part> {
        const ACTION: &str = "store a part";
        let size = bytes.len() as u64;
        let offset = part_offset(upload, number);
        let (Some(offset), 1..=MAX_PARTS) =
            (offset.filter(|_| size > 0 && size <= upload.part_size), number)
        else {
            let message = format!(
                "part {number} of {size} bytes does not fit parts of {} bytes",
                upload.part_size
            );
            return Err(StorageError::Refused { action: ACTION, message });
        };
        let paths = self.upload_paths(&upload.id)?;
        let known = self.read_log(upload, &paths)?;
        let fail = |e| upload_error(ACTION, upload, &paths, e);
        let mut log = fs::OpenOptions::new().append(true).open(&paths.log).map_err(fail)?;
        let body = fs::OpenOptions::new().write(true).open(&paths.body).map_err(fail)?;
        let mut append =
            |size| log.write_all(&encode_record(number, size)).and_then(|()| log.sync_data());
        if known.contains_key(&number) {
            // Until it is whole again it must not count.
            append(0).map_err(fail)?;
        }
        body.write_all_at(bytes, offset).map_err(fail)?;
        // The size of the file is part of what has to survive; `sync_data` includes it.
        body.sync_data().map_err(fail)?;
        append(size).map_err(fail)?;
        Ok(Part { number, etag: String::new(), size })
    }

    /// Cuts the file to its size and renames it into place.
    pub(super) fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<()> {
        const ACTION: &str = COMPLETING;
        let size = check_parts(upload, parts)?;
        let paths = self.upload_paths(&upload.id)?;
        let object = self.path(&upload.key);
        let body = match fs::OpenOptions::new().write(true).open(&paths.body) {
            Ok(body) => body,
            Err(error) if is_absent(&error) => return self.resume_complete(upload, &paths, size),
            Err(error) => return Err(io_error(ACTION, &paths.body, error)),
        };
        let known = self.read_log(upload, &paths)?;
        if let Some(part) = parts.iter().find(|part| known.get(&part.number) != Some(&part.size)) {
            let reason = format!("part {} of {} bytes is not on disk", part.number, part.size);
            return Err(StorageError::NoSuchUpload { upload: upload.id.clone(), reason });
        }
        let on_disk = body.metadata().map_err(|e| io_error(ACTION, &paths.body, e))?.len();
        if on_disk < size {
            // Never make up bytes by growing the file.
            let reason = format!("{on_disk} of {size} bytes are on disk");
            return Err(StorageError::NoSuchUpload { upload: upload.id.clone(), reason });
        }
        let done = cut_to(&body, size).and_then(|()| self.places.install(&paths.body, &upload.key));
        done.map_err(|e| io_error(ACTION, &object, e))?;
        remove(&paths.log).map_err(|e| io_error(ACTION, &paths.log, e))
    }

    /// The body is gone: either it was renamed already and only the rest is left to do, or the
    /// upload was aborted.
    fn resume_complete(&self, upload: &Upload, paths: &Paths, size: u64) -> Result<()> {
        if self.head(&upload.key)?.is_none_or(|object| object.size != size) {
            return Err(no_such_upload(upload));
        }
        let settled = self.places.settle(&upload.key).and_then(|()| remove(&paths.log));
        settled.map_err(|e| io_error(COMPLETING, &self.path(&upload.key), e))
    }

    /// Removes the files of an upload, if there are any.
    pub(super) fn abort_upload(&self, id: &str) -> Result<()> {
        // An id that cannot be ours holds nothing here.
        let Ok(paths) = self.upload_paths(id) else { return Ok(()) };
        let removed = remove(&paths.body).and_then(|()| remove(&paths.log));
        removed.map_err(|e| io_error("abort an upload", &paths.body, e))
    }

    /// The complete parts by number.
    pub(super) fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let paths = self.upload_paths(&upload.id)?;
        let on_disk = fs::metadata(&paths.body)
            .map_err(|e| upload_error("list the parts of an upload", upload, &paths, e))?
            .len();
        let known = self.read_log(upload, &paths)?;
        let is_whole = |&(&number, &size): &(&u32, &u64)| {
            part_offset(upload, number)
                .and_then(|offset| offset.checked_add(size))
                .is_some_and(|end| end <= on_disk)
        };
        let whole = known.iter().filter(is_whole);
        Ok(whole.map(|(&number, &size)| Part { number, etag: String::new(), size }).collect())
    }

    fn read_log(&self, upload: &Upload, paths: &Paths) -> Result<BTreeMap<u32, u64>> {
        let mut log = Vec::new();
        fs::File::open(&paths.log)
            .and_then(|file| file.take(MAX_LOG_BYTES).read_to_end(&mut log))
            .map_err(|e| upload_error("read a part log", upload, paths, e))?;
        Ok(decode_log(&log))
    }

    /// The id comes from a row: only the form that this store makes is used in a path.
    fn upload_paths(&self, id: &str) -> Result<Paths> {
        let Ok(uuid) = Uuid::try_parse(id) else {
            let reason = "it is not of this store".to_owned();
            return Err(StorageError::NoSuchUpload { upload: id.to_owned(), reason });
        };
        let path = |extension| self.tmp.join(format!("{}.{extension}", uuid.hyphenated()));
        Ok(Paths { body: path("body"), log: path("parts") })
    }
}

/// Where a part begins, `None` beyond 64 bits.
fn part_offset(upload: &Upload, number: u32) -> Option<u64> {
    u64::from(number).checked_sub(1)?.checked_mul(upload.part_size)
}

/// Takes off what a longer last part left behind, and syncs.
fn cut_to(body: &fs::File, size: u64) -> io::Result<()> {
    body.set_len(size)?;
    body.sync_all()
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

fn no_such_upload(upload: &Upload) -> StorageError {
    StorageError::NoSuchUpload { upload: upload.id.clone(), reason: "it is not on disk".to_owned() }
}

fn upload_error(
    action: &'static str,
    upload: &Upload,
    paths: &Paths,
    error: io::Error,
) -> StorageError {
    if is_absent(&error) { no_such_upload(upload) } else { io_error(action, &paths.body, error) }
}
