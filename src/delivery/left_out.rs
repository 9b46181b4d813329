//! Says of a stored media file that frames are not in it because its container cannot carry them.
//!
//! The summary counts them in any case; that much is lost of this one product deserves an operator
//! and a receiver who did not ask. The other containers have the frames, and so has the journal.

use tracing::warn;

use crate::{
    db::DbError,
    domain::{
        callback::{RecordException, stream_exception},
        media_file::MediaFile,
        recording::Recording,
        verification::{IrregularityKind, Verification},
    },
};

use super::Delivery;

impl Delivery {
    /// Logs it and puts event 341 into the outbox, if there are such frames.
    pub(super) async fn tell_left_out(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        file: &MediaFile,
        recording: Option<&Recording>,
        summary: &Verification,
    ) -> Result<(), DbError> {
        let kind = IrregularityKind::OversizedFrames.as_str();
        let mut seen = summary.irregularities.iter().filter(|seen| seen.kind == kind);
        let Some(count) = seen.next().map(|seen| seen.count) else { return Ok(()) };
        let what = "AAC frames longer than their header can say are not in the file";
        warn!(file.id = %file.id, count, container = %file.container, "{what}");
        let Some(recording) = recording else { return Ok(()) };
        let event = stream_exception(
            recording,
            &file.path,
            self.settings.app_id,
            RecordException::WriteError,
            count,
            what,
            (self.now_ms)(),
        );
        self.enqueue(tx, file, event).await
    }
}
