//! What is left of a journal, as its names say it: nothing is opened.
//!
//! One answer for all who have to tell a journal that is lost from one that is released, or elsewhere.

use std::{fs, io, path::PathBuf};

use super::{
    Journal,
    error::{JournalError, Result},
    folder::Folder,
};
use crate::domain::ids::SessionId;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// No folder: it was released, its disk is not mounted, or it is gone.
    Nothing,
    /// The folder is there without data: those that it had are lost.
    Empty,
    /// This stands in the place of the folder or of a data file: a link, or a folder. The data may be
    /// behind it, or elsewhere.
    Obstructed(PathBuf),
    /// Data, be they readable or not.
    Data,
}

impl Folder {
    /// What is left in the folder.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn left(&self) -> Result<Left> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(Left::Obstructed(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Nothing),
            Err(error) => return Err(JournalError::io("look at", &self.path)(error)),
        }
        let (mut has_data, mut obstacle) = (false, None);
        let listed = self.each_in_place_of_data(|entry| match entry.metadata() {
            Ok(found) if !found.is_file() => obstacle = Some(entry.path()),
            Ok(found) => has_data |= found.len() > 0,
            // Released since it was listed; what cannot be looked at may be anything.
            Err(error) => has_data |= error.kind() != io::ErrorKind::NotFound,
        });
        match (listed, obstacle) {
            // Released meanwhile.
            (Err(JournalError::Missing(_)), _) => Ok(Left::Nothing),
            (Err(error), _) => Err(error),
            (Ok(()), Some(place)) => Ok(Left::Obstructed(place)),
            (Ok(()), None) => Ok(if has_data { Left::Data } else { Left::Empty }),
        }
    }
}

impl Journal {
    /// What is left of the journal of a session. Blocking.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn left(&self, session: SessionId) -> Result<Left> {
        self.folder(session).left()
    }
}
