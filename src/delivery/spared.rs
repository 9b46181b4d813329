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
    domain::{
        container::Container,
        ids::SessionId,
        media_file::{MediaFile, MediaFileState},
        recording::Span,
    },
    journal::{JournalError, Left},
};

/// What a journal has not.
enum Missed {
    /// Anything of a session.
    All { session: SessionId, left: Left },
    /// Where the file begins in a session.
    Beginning,
}

impl Delivery {
    /// Nothing, unless the store has a product of this file that cannot be made again.
    ///
    /// # Errors
    /// [`DeliverError::Spared`] if it has.
    pub(super) async fn spare_what_is_stored(&self, file: &MediaFile) -> Result<(), DeliverError> {
        let missed = self.missed(file).await?;
        if missed.is_empty() || !self.has_product(file).await? {
            return Ok(());
        }
        for missed in missed {
            let is_lost = match missed {
                // Without data in its folder, or with the operator's word, it is lost: not released, nor
                // on a disk that is not mounted.
                Missed::All { left: Left::Obstructed(_), .. } => false,
                Missed::All { session, left } => {
                    left == Left::Empty || self.db.session_is_given_up(session).await?
                }
                Missed::Beginning => false,
            };
            if !is_lost {
                return Err(DeliverError::Spared);
            }
        }
        Ok(())
    }

    /// What a file needs and its journals do not have any more.
    async fn missed(&self, file: &MediaFile) -> Result<Vec<Missed>, JournalError> {
        let (journal, spans) = (self.journal.clone(), file.spans.clone());
        let look = move || {
            let mut missed = Vec::new();
            for Span { session, from, .. } in spans {
                match journal.reader(session) {
                    Ok(reader) if reader.start() <= from => {}
                    Ok(_) => missed.push(Missed::Beginning),
                    Err(JournalError::Missing(_)) => {
                        missed.push(Missed::All { session, left: journal.left(session)? });
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(missed)
        };
        self.journal.run_read(look).await
    }

    /// Whether the store has what may be the product of a file. The playlist of an HLS file that grew is
    /// none.
    async fn has_product(&self, file: &MediaFile) -> Result<bool, DeliverError> {
        match file.container {
            Container::Hls => Ok(self.finished_playlist(file).await?.is_some()),
            _ => Ok(self.store.head(&main_key(file)).await?.is_some()),
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
