//! What can go wrong with a journal.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::domain::ids::SessionId;

/// Result of a journal operation.
pub type Result<T> = std::result::Result<T, JournalError>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, present tense.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no journal of this session (any more).
    #[error("there is no journal of session {0}")]
    Missing(SessionId),
    /// A session has one journal and one writer.
    #[error("a journal of session {0} exists already")]
    Exists(SessionId),
    /// The operation is only for sessions without a writer.
    #[error("the journal of session {0} is still being written")]
    Live(SessionId),
    /// A tag, a note or the head is larger than a journal can hold.
    #[error("{what} of {bytes} bytes is too large, at most {max} are allowed")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A file does not hold what it should.
    #[error("journal file {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The position is before the first or after the last byte that is kept.
    #[error("position {position} is outside the journal of session {session}")]
    Position {
        /// Whose journal.
        session: SessionId,
        /// The position asked for.
        position: u64,
    },
    /// The stream changed its codec configuration so often that they no longer fit in memory.
    #[error("the codec configurations of session {session} are larger than {max} bytes together")]
    Configurations {
        /// Whose journal.
        session: SessionId,
        /// The limit.
        max: usize,
    },
    /// A blocking task died or was refused because the process is stopping.
    #[error("a journal task did not finish: {0}")]
    Task(String),
}

impl JournalError {
    /// True when the same call may succeed later without anybody repairing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            JournalError::Io { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
            ),
            JournalError::Live(_) | JournalError::Task(_) => true,
            JournalError::Missing(_)
            | JournalError::Exists(_)
            | JournalError::TooLarge { .. }
            | JournalError::Damaged { .. }
            | JournalError::Position { .. }
            | JournalError::Configurations { .. } => false,
        }
    }

    /// For `map_err`: names what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| JournalError::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, what: &'static str) -> Self {
        JournalError::Damaged { path: path.to_owned(), what }
    }
}
