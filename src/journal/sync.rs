//! Makes what was written survive a power loss.
//!
//! A sync that failed says that cached pages may have been dropped, and a second one that
//! succeeds proves nothing about them. Such a file is not written to any more; it is copied from
//! the cache, while that still holds it, into a new file which then takes its name.

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    append::{Handle, Retired},
    file::{Disk, JournalFile, write_all},
    folder::Folder,
    index::IndexHeader,
    live::LiveGuard,
};

const COPY_BYTES: usize = 1 << 20;

/// One round of syncing for one session.
pub(super) struct SyncWork {
    pub disk: Arc<dyn Disk>,
    pub folder: Folder,
    /// Folders with new names in them.
    pub dirs: Vec<PathBuf>,
    /// Files that are complete.
    pub retired: Vec<Retired>,
    /// The file that is being written, if it is to be synced.
    pub current: Option<Handle>,
    /// Keeps the session live until the round is over.
    pub live: Arc<LiveGuard>,
}

/// What is left to do after a round.
#[derive(Default)]
pub(super) struct SyncDone {
    /// Folders to sync again.
    pub dirs: Vec<PathBuf>,
    /// Complete files that are still not safe.
    pub retired: Vec<Retired>,
    /// Number of the file that was current and must not be written to any more.
    pub bad_file: Option<u32>,
    /// The first thing that failed.
    pub error: Option<(PathBuf, io::Error)>,
}

impl SyncWork {
    /// Does what it can. The current file is left alone as long as a complete one is in trouble:
    /// one file at a time is given up on a disk that fails every sync.
    pub fn run(self) -> SyncDone {
        let mut done = SyncDone::default();
        for mut file in self.retired {
            if let Err(error) = settle(&*self.disk, &self.folder, &mut file) {
                done.note(self.folder.data(file.handle.header.number), error);
                done.retired.push(file);
            }
        }
        if let Some(current) = self.current.filter(|_| done.retired.is_empty())
            && let Err(error) = current.data.sync()
        {
            done.note(self.folder.data(current.header.number), error);
            done.bad_file = Some(current.header.number);
        }
        for dir in self.dirs {
            if let Err(error) = self.disk.sync_dir(&dir) {
                done.note(dir.clone(), error);
                done.dirs.push(dir);
            }
        }
        drop(self.live);
        done
    }
}

impl SyncDone {
    fn note(&mut self, path: PathBuf, error: io::Error) {
        self.error.get_or_insert((path, error));
    }
}

/// Makes a complete file safe and seals its index.
fn settle(disk: &dyn Disk, folder: &Folder, file: &mut Retired) -> io::Result<()> {
    let Retired { handle, seal, is_distrusted } = file;
    if *is_distrusted || handle.data.sync().is_err() {
        *is_distrusted = true;
        let len = u64::from(handle.header.prefix_len) + seal.body_len;
        match copy(disk, &folder.data(handle.header.number), len) {
            // Released in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            fresh => handle.data = fresh?,
        }
        *is_distrusted = false;
        disk.sync_dir(&folder.path)?;
    }
    // Records first, then the seal that says they can be believed.
    handle.index.cut(handle.header.layout.record_offset(seal.records))?;
    handle.index.sync()?;
    let sealed = IndexHeader { seal: Some(*seal), ..handle.header.clone() };
    handle.index.overwrite(&sealed.encode())?;
    handle.index.sync()
}

/// Replaces a file by a synced copy of its first `len` bytes.
fn copy(disk: &dyn Disk, path: &Path, len: u64) -> io::Result<Arc<dyn JournalFile>> {
    let mut from = File::open(path)?.take(len);
    let fresh = Folder::fresh(path);
    let copied = (|| {
        let to = disk.create(&fresh)?;
        let mut buf = vec![0; COPY_BYTES];
        let mut left = len;
        while left > 0 {
            let got = from.read(&mut buf)?;
            let part = buf.get(..got).filter(|part| !part.is_empty());
            let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
            write_all(&*to, &mut [IoSlice::new(part)])?;
            left -= part.len() as u64;
        }
        to.sync()?;
        fs::rename(&fresh, path)?;
        Ok(to)
    })();
    if copied.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    copied
}
