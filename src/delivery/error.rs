//! Why a product could not be made this time.

use super::project::ProjectError;
use crate::{db::DbError, journal::JournalError, storage::StorageError};

/// Why a product could not be made this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliverError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(
        "the store has its product already and the journal no longer has its beginning: it is left as it is"
    )]
    Spared,
    #[error("another worker has taken the file over")]
    LeaseLost,
}

impl From<JournalError> for DeliverError {
    fn from(error: JournalError) -> Self {
        DeliverError::Project(ProjectError::Journal(error))
    }
}
