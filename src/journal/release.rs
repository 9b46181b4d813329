//! The end of journal files. Who decides is elsewhere; who unlinks is here, and nobody else.

use std::{fs, io, path::Path};

use super::{
    error::{JournalError, Result},
    folder::Folder,
    index_file::IndexFile,
};

/// Unlinks the files that end at or below `keep_from`, as far as `give_up` says of their ends that
/// nobody holds them; gives the bytes freed.
pub(super) fn below(folder: &Folder, keep_from: u64, give_up: impl Fn(u64) -> bool) -> Result<u64> {
    let numbers = folder.numbers()?;
    let mut freed = 0;
    for pair in numbers.windows(2) {
        let [number, next] = *pair else { break };
        // A file ends where the next one begins, whatever else it holds.
        let end = IndexFile::open(folder, next)?.header.base;
        if end > keep_from || !give_up(end) {
            break;
        }
        freed += unlink(&folder.data(number))?;
        freed += unlink(&folder.index(number))?;
    }
    Ok(freed)
}

/// Unlinks all files of a session and its folder; gives the bytes freed. Foreign files stay, and
/// the folder with them.
pub(super) fn all(folder: &Folder) -> Result<u64> {
    let mut freed = 0;
    let numbers = match folder.numbers() {
        Err(JournalError::Missing(_)) => return Ok(0),
        numbers => numbers?,
    };
    // An index that is left alone tells of a loss, so it goes first.
    for number in numbers {
        freed += unlink(&folder.index(number))?;
        freed += unlink(&folder.data(number))?;
    }
    for stray in folder.strays(true)? {
        freed += unlink(&stray)?;
    }
    match fs::remove_dir(&folder.path) {
        Ok(()) => Ok(freed),
        Err(error) if is_settled(&error) => Ok(freed),
        Err(error) => Err(JournalError::io("remove", &folder.path)(error)),
    }
}

fn is_settled(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound)
}

fn unlink(path: &Path) -> Result<u64> {
    let bytes = fs::metadata(path).map_or(0, |data| data.len());
    match fs::remove_file(path) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(JournalError::io("remove", path)(error)),
    }
}
