//! Renaming finished files into place so that they survive a power loss, and taking them away.
//!
//! A rename is durable when the directory is synced, and a directory when its parent is. Which
//! directories are is remembered, so that an HLS segment costs one directory sync, not five.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::is_absent;
use crate::storage::StorageKey;

/// Directories remembered as durable; when there are more, all are forgotten and synced again.
const MAX_REMEMBERED: usize = 4096;

/// Where objects are put.
pub(super) struct Places {
    root: PathBuf,
    /// Directories whose entry in their parent is durable. The lock is held from making directories
    /// to renaming into them, so that [`Places::remove`] cannot take an empty one away in between.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Places {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default() }
    }

    /// Moves a synced file to its key, replacing what was there. Durable when it returns.
    pub(super) fn install(&self, file: &Path, key: &StorageKey) -> io::Result<()> {
        let directory = {
            let mut durable = self.lock();
            let directory = self.make_directories(&mut durable, key)?;
            fs::rename(file, self.root.join(key.as_str()))?;
            directory
        };
        sync_dir(&directory)
    }

    /// Makes an object durable that was renamed before, perhaps without the syncs.
    pub(super) fn settle(&self, key: &StorageKey) -> io::Result<()> {
        let directory = self.make_directories(&mut self.lock(), key)?;
        sync_dir(&directory)
    }

    /// Removes an object and the directories that it leaves empty. An absent one is no error.
    pub(super) fn remove(&self, key: &StorageKey) -> io::Result<()> {
        let path = self.root.join(key.as_str());
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut durable = self.lock();
        for directory in path.ancestors().skip(1).take_while(|d| *d != self.root) {
            if fs::remove_dir(directory).is_err() {
                break; // not empty
            }
            durable.remove(directory);
        }
        Ok(())
    }

    /// Makes the directories of a key and sees that their entries are durable. Answers the last one.
    fn make_directories(
        &self,
        durable: &mut HashSet<PathBuf>,
        key: &StorageKey,
    ) -> io::Result<PathBuf> {
        let mut directory = self.root.clone();
        let mut components = key.components().peekable();
        while let Some(component) = components.next() {
            if components.peek().is_none() {
                break; // the file's own name
            }
            let parent = directory.clone();
            directory.push(component);
            match fs::create_dir(&directory) {
                Ok(()) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && durable.contains(&directory) =>
                {
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            sync_dir(&parent)?;
            if durable.len() >= MAX_REMEMBERED {
                durable.clear();
            }
            durable.insert(directory.clone());
        }
        Ok(directory)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // Whatever a panicking thread had remembered is true.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory's entries durable.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    match fs::File::open(directory)?.sync_all() {
        // Some network file systems cannot sync a directory; they have nothing to sync.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        done => done,
    }
}
