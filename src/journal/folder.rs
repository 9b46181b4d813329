//! Names: one folder for each session, two files for each number in it.
//!
//! Whatever does not have such a name is foreign and left alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::error::{JournalError, Result};
use crate::domain::ids::SessionId;

/// The folder of one session.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub session: SessionId,
    pub path: PathBuf,
}

impl Folder {
    pub fn new(root: &Path, session: SessionId) -> Self {
        Folder { session, path: root.join(session.to_string()) }
    }

    /// The data file with this number.
    pub fn data(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number:08}.flv"))
    }

    /// The index beside it.
    pub fn index(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number:08}.idx"))
    }

    /// Where a file is made anew before it takes the place of `path`.
    pub fn fresh(path: &Path) -> PathBuf {
        path.with_added_extension("new")
    }

    /// Where a data file that cannot be read is put, or what had to be cut off one; of an index, where
    /// one is put that knows of more than is left.
    pub fn aside(path: &Path) -> PathBuf {
        path.with_added_extension("damaged")
    }

    /// Whether something was put aside that stood behind all that is left, or that knows of it. `last`
    /// is the number of the last data file.
    pub fn is_cut_short(&self, last: u32) -> Result<bool> {
        let mut aside = Vec::new();
        self.each_name(|name| {
            let number = aside_number(name);
            aside.extend(number.filter(|number| *number >= last).map(|_| self.path.join(name)));
        })?;
        // An empty one was begun when the process died: it never held anything.
        Ok(aside.iter().any(|path| path.metadata().is_ok_and(|data| data.len() > 0)))
    }

    /// Whether there is a data file with this number; a link to one is none.
    pub fn has_file(&self, number: u32) -> bool {
        self.data(number).symlink_metadata().is_ok_and(|found| found.is_file())
    }

    /// Numbers of the data files that are there, lowest first.
    ///
    /// # Errors
    /// [`JournalError::Missing`] if there is no such folder.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        self.numbers_with(".flv")
    }

    /// Everything of ours that goes with no data file: half-made replacements, indexes of files
    /// that were not begun or are gone, and, if asked for, what was put aside.
    pub fn strays(&self, with_aside: bool) -> Result<Vec<PathBuf>> {
        let numbers = self.numbers()?;
        let mut strays = Vec::new();
        self.each_name(|name| {
            let is_half_made =
                number_of(name, ".flv.new").or(number_of(name, ".idx.new")).is_some();
            let is_alone =
                number_of(name, ".idx").is_some_and(|n| numbers.binary_search(&n).is_err());
            let is_aside = with_aside && aside_number(name).is_some();
            if is_half_made || is_alone || is_aside {
                strays.push(self.path.join(name));
            }
        })?;
        Ok(strays)
    }

    /// Numbers of the indexes without a data file, lowest first.
    pub fn lone_indexes(&self) -> Result<Vec<u32>> {
        let numbers = self.numbers()?;
        let mut lone = self.numbers_with(".idx")?;
        lone.retain(|number| numbers.binary_search(number).is_err());
        Ok(lone)
    }

    /// Numbers of the indexes that were put aside, lowest first.
    pub fn indexes_aside(&self) -> Result<Vec<u32>> {
        self.numbers_with(".idx.damaged")
    }

    /// Shows what stands in the place of a data file, whatever it is.
    ///
    /// # Errors
    /// [`JournalError::Missing`] if there is no such folder.
    pub fn each_in_place_of_data(&self, mut f: impl FnMut(&fs::DirEntry)) -> Result<()> {
        self.each_entry(|entry, name| {
            if number_of(name, ".flv").is_some() {
                f(entry);
            }
        })
    }

    /// Numbers of the files with this ending, lowest first.
    fn numbers_with(&self, extension: &str) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.each_name(|name| numbers.extend(number_of(name, extension)))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn each_name(&self, mut f: impl FnMut(&str)) -> Result<()> {
        self.each_entry(|entry, name| {
            // Names and links to elsewhere that somebody else put here are none of ours.
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                f(name);
            }
        })
    }

    fn each_entry(&self, mut f: impl FnMut(&fs::DirEntry, &str)) -> Result<()> {
        // A link to elsewhere is none of ours either.
        let is_ours = self.path.symlink_metadata().is_ok_and(|found| !found.is_symlink());
        let entries = match fs::read_dir(&self.path) {
            Ok(_) if !is_ours => return Err(JournalError::Missing(self.session)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(JournalError::Missing(self.session));
            }
            entries => entries.map_err(JournalError::io("list", &self.path))?,
        };
        for entry in entries {
            let entry = entry.map_err(JournalError::io("list", &self.path))?;
            if let Some(name) = entry.file_name().to_str() {
                f(&entry, name);
            }
        }
        Ok(())
    }
}

/// The sessions that have a folder, oldest first.
pub(super) fn sessions(root: &Path) -> Result<Vec<SessionId>> {
    let mut sessions = Vec::new();
    for entry in fs::read_dir(root).map_err(JournalError::io("list", root))? {
        let entry = entry.map_err(JournalError::io("list", root))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|_| is_folder) else { continue };
        // Only the very text that a session id has; a UUID can be written in other ways.
        sessions.extend(SessionId::parse(name).filter(|id| id.to_string() == name));
    }
    sessions.sort_unstable();
    Ok(sessions)
}

/// The number of a file that was put aside.
fn aside_number(name: &str) -> Option<u32> {
    number_of(name, ".flv.damaged").or(number_of(name, ".idx.damaged"))
}

fn number_of(name: &str, extension: &str) -> Option<u32> {
    let digits = name.strip_suffix(extension)?;
    let is_number = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}
