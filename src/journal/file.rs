//! The few operations of a file system that a writer needs, behind a seam so that tests can make them fail.
//!
//! Readers use `std::fs` directly: a failed read is an error for its caller, nothing more.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::space::Room;

/// Most buffers handed to the system in one call (Linux accepts 1024).
const MAX_SLICES: usize = 1024;

/// A file that is written from front to back.
pub(super) trait JournalFile: Send + Sync + 'static {
    /// Writes some of `bufs` at the cursor and says how many bytes.
    fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Shortens the file to `len` bytes and puts the cursor there.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Replaces the first bytes of the file, leaving the cursor alone.
    fn overwrite(&self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written survive a power loss (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
}

/// Makes files.
pub(super) trait Disk: Send + Sync + 'static {
    /// Opens an empty file, replacing what has that name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn JournalFile>>;
    /// Makes the names in a folder survive a power loss.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// How much room there is where `path` lies.
    fn room(&self, path: &Path) -> io::Result<Room>;
    /// Makes a file that takes up so many bytes, replacing what has that name.
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Removes a file; that there is none is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Makes a folder and the missing ones above it, so that their names survive a power loss: what is
/// synced in a folder whose own name is lost is lost with it.
///
/// # Errors
/// The file system refuses.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    fs::create_dir_all(path)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        FileSystem.sync_dir(parent)?;
    }
    Ok(())
}

/// The file system.
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn JournalFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        let seen = statvfs(path)?;
        // What is set aside for root is there for root.
        let is_root = fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
        let free = if is_root { seen.f_bfree } else { seen.f_bavail };
        let bytes = |blocks: u64| blocks.saturating_mul(seen.f_frsize);
        Ok(Room { free: bytes(free), total: bytes(seen.f_blocks) })
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            Err(error) if io::Error::from(error).kind() == io::ErrorKind::Unsupported => {
                fill(&file, bytes)?;
            }
            Err(error) => return Err(error.into()),
        }
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Writes `bytes` bytes that no file system can make smaller.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let block: [u8; 4096] = std::array::from_fn(|_| rand::random());
        let part = block.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&block);
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(())
}

impl JournalFile for File {
    fn write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file = self;
        file.write_vectored(bufs)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        let mut file = self;
        file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn overwrite(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, 0)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes all of `bufs` at the cursor, in as few calls as the system allows.
pub(super) fn write_all(file: &dyn JournalFile, mut bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut bufs, 0);
    while !bufs.is_empty() {
        let batch = bufs.get(..MAX_SLICES).unwrap_or(bufs);
        match file.write(batch) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut bufs, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
