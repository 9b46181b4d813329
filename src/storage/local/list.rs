//! What is in the directory: objects page by page, and what `.tmp` holds.
//!
//! Directories are walked in the order of their names, so that a page can begin behind any name.
//! Hidden names are no objects; what is no regular file is passed over.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use super::{
    Files, io_error, is_absent,
    temporary::{is_own_temporary, is_upload_of},
};
use crate::storage::{
    ListedObject, OpenUpload, Page, Result, StorageKey,
    listing::{MAX_UPLOADS, PAGE_OBJECTS},
};

const ACTION: &str = "list the storage directory";

impl Files {
    /// Objects below the directory `under` (empty: all), behind the name `after`.
    pub(super) fn list(&self, under: &str, after: Option<&str>) -> Result<Page> {
        let after: Vec<&str> = after.map_or_else(Vec::new, |name| name.split('/').collect());
        let mut page = Page::default();
        // Directories to look into, the next one last.
        let under = under.trim_end_matches('/');
        let mut waiting = vec![(under.to_owned(), true)];
        while let Some((name, is_directory)) = waiting.pop() {
            if page.objects.len() == PAGE_OBJECTS {
                page.next = page.objects.last().map(|object| object.name.clone());
                break;
            }
            if !is_directory {
                page.objects.extend(self.listed(&name)?);
                continue;
            }
            let mut entries = self.entries(&name)?;
            // What lies wholly before `after` is not walked again.
            entries.retain(|(name, is_directory)| {
                let parts: Vec<&str> = name.split('/').collect();
                let same_depth = after.get(..parts.len()).unwrap_or(&after);
                parts.as_slice() > same_depth || (*is_directory && parts.as_slice() == same_depth)
            });
            entries.sort_unstable_by(|a, b| b.0.cmp(&a.0));
            waiting.append(&mut entries);
        }
        Ok(page)
    }

    /// Names in a directory, relative to the root, and whether each is a directory.
    fn entries(&self, directory: &str) -> Result<Vec<(String, bool)>> {
        let path = self.root.join(directory);
        let fail = |e| io_error(ACTION, &path, e);
        let read = match fs::read_dir(&path) {
            // Gone in between, or never there.
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            read => read.map_err(fail)?,
        };
        let mut entries = Vec::new();
        for entry in read {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            // An object may be a link to another disk; a directory that is one is not ours.
            if !kind.is_dir() && !kind.is_file() && !kind.is_symlink() {
                continue;
            }
            let name = match directory {
                "" => name.to_owned(),
                directory => format!("{directory}/{name}"),
            };
            entries.push((name, kind.is_dir()));
        }
        Ok(entries)
    }

    fn listed(&self, name: &str) -> Result<Option<ListedObject>> {
        let path = self.root.join(name);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Some(ListedObject {
                name: name.to_owned(),
                size: meta.len(),
                modified_ms: modified_ms(&meta),
            })),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io_error(ACTION, &path, error)),
        }
    }

    /// What `.tmp` holds that this store made: uploads by their id, small objects by their name.
    pub(super) fn open_uploads(&self) -> Result<Vec<OpenUpload>> {
        self.temporaries(is_own_temporary)
    }

    /// The uploads of a key.
    pub(super) fn uploads_of(&self, key: &StorageKey) -> Result<Vec<OpenUpload>> {
        self.temporaries(|name| is_upload_of(name, key))
    }

    fn temporaries(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<OpenUpload>> {
        let fail = |e| io_error("list open uploads", &self.tmp, e);
        let mut uploads = Vec::new();
        let read = match fs::read_dir(&self.tmp) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            read => read.map_err(fail)?,
        };
        for entry in read {
            if uploads.len() == MAX_UPLOADS {
                break;
            }
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_wanted(name)) else { continue };
            let id = match name.rsplit_once('.') {
                Some((id, "body")) => id,
                // Goes with its body; one left alone is an upload without bytes.
                Some((id, _)) if self.tmp.join(format!("{id}.body")).exists() => continue,
                Some((id, _)) => id,
                None => name,
            };
            let Ok(meta) = entry.metadata() else { continue };
            uploads.push(OpenUpload {
                name: None,
                id: id.to_owned(),
                changed_ms: modified_ms(&meta),
                // What it takes on the disk: parts are written at their places, with holes between.
                bytes: Some(meta.blocks().saturating_mul(512).min(meta.len())),
            });
        }
        Ok(uploads)
    }

    /// Removes what an entry of [`Files::open_uploads`] names.
    pub(super) fn discard(&self, id: &str) -> Result<()> {
        if !id.starts_with("put-") {
            return self.abort_upload(id);
        }
        if !is_own_temporary(id) {
            return Ok(());
        }
        let path: PathBuf = self.tmp.join(id);
        match fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => Err(io_error("remove a leftover", &path, error)),
            _ => Ok(()),
        }
    }
}

/// When a file was last written.
fn modified_ms(meta: &fs::Metadata) -> i64 {
    meta.mtime().saturating_mul(1000).saturating_add(meta.mtime_nsec() / 1_000_000)
}
