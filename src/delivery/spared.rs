//! Products that were stored before the database was lost.
//!
//! A database from a backup may know a file as unfinished that was stored since, and whose journal
//! was released from its beginning on. What is left of the journal must not take its product's place.

use tracing::error;

use super::{DeliverError, Delivery, step::main_key};
use crate::{
    db::{
        Db,
        media_file::{Fence, Fenced},
    },
    domain::media_file::{MediaFile, MediaFileState},
    journal::JournalError,
};

impl Delivery {
    /// Nothing, unless the store has a product of this file that cannot be made again.
    ///
    /// # Errors
    /// [`DeliverError::Spared`] if it has.
    pub(super) async fn spare_what_is_stored(&self, file: &MediaFile) -> Result<(), DeliverError> {
        let (journal, spans) = (self.journal.clone(), file.spans.clone());
        let is_whole = self
            .journal
            .run_read(move || {
                for span in spans {
                    match journal.reader(span.session) {
                        Ok(reader) if reader.start() <= span.from => {}
                        Ok(_) | Err(JournalError::Missing(_)) => return Ok(false),
                        Err(error) => return Err(error),
                    }
                }
                Ok::<_, JournalError>(true)
            })
            .await?;
        match is_whole || self.store.head(&main_key(file)).await?.is_none() {
            true => Ok(()),
            false => Err(DeliverError::Spared),
        }
    }

    /// Leaves the product as it is, and says so in the row.
    pub(super) async fn spare(&self, file: &MediaFile, fence: Fence) -> Result<(), DeliverError> {
        self.abort_earlier(file, &main_key(file)).await?;
        self.db.forget_media_upload(file.id).await?;
        self.uploads.forget(file.id);
        let (now_ms, reason) = ((self.now_ms)(), DeliverError::Spared.to_string());
        let mut tx = self.db.begin().await?;
        let state = MediaFileState::Failed;
        if Db::fail_media_file(&mut tx, file.id, fence, state, &reason, now_ms).await?
            == Fenced::Lost
        {
            return Err(DeliverError::LeaseLost);
        }
        error!(key = main_key(file).as_str(), "a media file is not made: {reason}");
        self.db.commit(tx, "spare a stored product").await?;
        Ok(())
    }
}
