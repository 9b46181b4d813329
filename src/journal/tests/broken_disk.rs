//! A disk that fails as it is told to.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::journal::{
    file::{Disk, FileSystem, JournalFile},
    space::Room,
};

/// What the disk does, call by call.
#[derive(Debug, Default)]
pub struct Script {
    /// Bytes that can still be written before it is full.
    pub room: Option<u64>,
    /// Writes until the next one fails with EIO.
    pub writes: Option<u32>,
    /// Cutting files fails.
    pub cut_fails: bool,
    /// Cuts until the next one fails.
    pub cuts: Option<u32>,
    /// Syncs until the next one fails.
    pub syncs: Option<u32>,
    /// Making files fails.
    pub create_fails: bool,
    /// Bytes taken per call at most.
    pub at_a_time: Option<usize>,
    /// What happened so far.
    pub failures: u32,
    /// Failures until everything above works again.
    pub heals_after: Option<u32>,
    /// Writes wait for as long as this is set,
    pub is_stuck: bool,
    /// at most so many of them if this is not 0.
    pub only_stuck: u32,
    /// Writes that wait.
    pub waiting: u32,
    /// Size of the disk, 0 if it does not say.
    pub total: u64,
    /// Files that take up room, and how much.
    pub allocated: Vec<(PathBuf, u64)>,
}

#[derive(Clone, Default)]
pub struct BrokenDisk(pub Arc<Mutex<Script>>);

impl BrokenDisk {
    pub fn set(&self, f: impl FnOnce(&mut Script)) {
        f(&mut self.0.lock().unwrap());
    }

    pub fn failures(&self) -> u32 {
        self.0.lock().unwrap().failures
    }

    /// Waits while the disk is stuck.
    fn wait(&self) {
        let is_stuck = |script: &Script| {
            script.is_stuck && (script.only_stuck == 0 || script.waiting < script.only_stuck)
        };
        if !is_stuck(&self.0.lock().unwrap()) {
            return;
        }
        self.set(|script| script.waiting += 1);
        while self.0.lock().unwrap().is_stuck {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.set(|script| script.waiting -= 1);
    }

    fn fail(&self, error: io::ErrorKind) -> io::Error {
        self.set(|script| {
            script.failures += 1;
            if is_over(&mut script.heals_after) {
                let Script { failures, total, ref mut allocated, .. } = *script;
                let allocated = std::mem::take(allocated);
                *script = Script { failures, total, allocated, ..Script::default() };
            }
        });
        error.into()
    }
}

struct BrokenFile {
    disk: BrokenDisk,
    file: Arc<dyn JournalFile>,
}

/// Counts down; true when it is over.
fn is_over(left: &mut Option<u32>) -> bool {
    match left {
        Some(0) => {
            *left = None;
            true
        }
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}

impl Disk for BrokenDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn JournalFile>> {
        if self.0.lock().unwrap().create_fails {
            return Err(self.fail(io::ErrorKind::StorageFull));
        }
        let file = FileSystem.create(path)?;
        Ok(Arc::new(BrokenFile { disk: self.clone(), file }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        FileSystem.sync_dir(path)
    }

    fn room(&self, _: &Path) -> io::Result<Room> {
        let script = self.0.lock().unwrap();
        Ok(Room { free: script.room.unwrap_or(u64::MAX), total: script.total })
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let room = self.0.lock().unwrap().room;
        if room.is_some_and(|room| room < bytes) {
            return Err(self.fail(io::ErrorKind::StorageFull));
        }
        self.set(|script| {
            script.room = room.map(|room| room - bytes);
            script.allocated.push((path.to_owned(), bytes));
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.set(|script| {
            let of_path = script.allocated.extract_if(.., |(other, _)| other == path);
            let bytes: u64 = of_path.map(|(_, bytes)| bytes).sum();
            script.room = script.room.map(|room| room + bytes);
        });
        Ok(())
    }
}

impl JournalFile for BrokenFile {
    fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.disk.wait();
        let (mut allowed, fails) = {
            let mut script = self.disk.0.lock().unwrap();
            (script.at_a_time.unwrap_or(usize::MAX), is_over(&mut script.writes))
        };
        if fails {
            return Err(self.disk.fail(io::ErrorKind::Other));
        }
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        let room = self.disk.0.lock().unwrap().room;
        if let Some(room) = room {
            allowed = allowed.min(room as usize);
            if allowed == 0 && wanted > 0 {
                return Err(self.disk.fail(io::ErrorKind::StorageFull));
            }
        }
        let bytes: Vec<u8> =
            bufs.iter().flat_map(|buf| buf.iter().copied()).take(allowed).collect();
        let mut written = 0;
        while written < bytes.len() {
            written += self.file.write(&[IoSlice::new(&bytes[written..])])?;
        }
        self.disk.set(|script| script.room = script.room.map(|room| room - written as u64));
        Ok(written)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let fails = {
            let mut script = self.disk.0.lock().unwrap();
            script.cut_fails || is_over(&mut script.cuts)
        };
        if fails {
            return Err(self.disk.fail(io::ErrorKind::Other));
        }
        self.file.cut(len)
    }

    fn overwrite(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.overwrite(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let fails = is_over(&mut self.disk.0.lock().unwrap().syncs);
        if fails {
            return Err(self.disk.fail(io::ErrorKind::Other));
        }
        self.file.sync()
    }
}
