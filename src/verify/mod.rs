//! Checks that a stored product is what was sent: reads every object back from the store, demuxes it
//! with readers that are not the writers', and compares packet by packet with the journal or, when
//! that is gone, block by block with the digests of the file's summary.
//!
//! Only reads: rows, journals and objects stay as they are. What was found is a [`Report`]; who
//! asks is the command line or the API.
//!
//! Reading order: [`packet`], [`read`] (one reader per container), `expected` (the journal's side),
//! `compare`, `integrity` (hashes of objects), `product` (one check from begin to end).

mod compare;
mod expected;
mod header_clock;
mod integrity;
mod object;
pub mod packet;
mod product;
pub mod read;
pub mod report;

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{Db, DbError},
    domain::media_file::{MediaFile, MediaFileState},
    journal::Journal,
    storage::{ObjectStore, StorageError, StorageKey},
};

pub use report::Report;

use object::Objects;
use product::Job;

/// Files checked at the same time; each may hold the sample tables of its file in memory.
pub const CHECKS_MAX: usize = 2;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no product to look at.
    #[error("the file is {}, there is no product to verify", .0.as_str())]
    NotStored(MediaFileState),
    /// The row's key is none.
    #[error("the row of the file has no storage key")]
    Key,
    /// As many files as allowed are being checked.
    #[error("{CHECKS_MAX} files are being verified already")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The check was given up, or broke.
    #[error("the check did not finish: {0}")]
    Unfinished(String),
}

/// Checks files.
#[derive(Clone)]
pub struct Verifier {
    db: Db,
    store: Arc<dyn ObjectStore>,
    journal: Option<Journal>,
    slots: Arc<Semaphore>,
}

impl Verifier {
    /// Checks products in `store`, with the journals of this node if they can be reached.
    pub fn new(db: Db, store: Arc<dyn ObjectStore>, journal: Option<Journal>) -> Self {
        Self { db, store, journal, slots: Arc::new(Semaphore::new(CHECKS_MAX)) }
    }

    /// Checks one file. Dropping this ends the check soon.
    ///
    /// # Errors
    /// The file has no product, [`CHECKS_MAX`] are being checked, or database or store cannot be
    /// reached. A product that is missing or damaged is no error: the report says so.
    pub async fn verify(&self, file: MediaFile) -> Result<Report, VerifyError> {
        if file.state != MediaFileState::Stored {
            return Err(VerifyError::NotStored(file.state));
        }
        let main = StorageKey::parse(&file.storage_key).map_err(|_| VerifyError::Key)?;
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| VerifyError::Busy)?;
        let summary = self.db.media_file_verification(file.id).await?;
        let token = CancellationToken::new();
        let _given_up = token.clone().drop_guard();
        let objects = Objects { store: self.store.clone(), handle: Handle::current(), token };
        let job = Job { file, main, objects, journal: self.journal.clone() };
        let checked = spawn_blocking(move || {
            // The slot is free when the work is over, not when nobody waits for it any more.
            let _slot = slot;
            job.run(summary)
        });
        match checked.await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(error)) => Err(match error.downcast::<StorageError>() {
                Ok(error) => VerifyError::Storage(error),
                Err(error) => VerifyError::Unfinished(error.to_string()),
            }),
            Err(error) => Err(VerifyError::Unfinished(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
