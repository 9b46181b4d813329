//! Says of a stored media file that not everything is in it that was sent.
//!
//! The summary says so in any case; what is lost deserves an operator who did not ask. What only this
//! container cannot carry, the others have, and so has the journal: that is for a receiver, too.

use tracing::{error, warn};

use crate::{
    db::DbError,
    domain::{
        callback::{RecordException, stream_exception},
        media_file::MediaFile,
        recording::Recording,
        verification::{IrregularityKind, JOURNAL_LOST, Verification},
    },
};

use super::Delivery;

/// Logs how often a part of its journal was lost.
pub(super) fn tell_lost(file: &MediaFile, summary: &Verification) {
    let mut lost = summary.gaps.iter().filter(|gap| gap.cause == JOURNAL_LOST);
    let Some(first) = lost.next() else { return };
    error!(
        file.id = %file.id, container = %file.container,
        gaps = 1 + lost.count(), first_at_ms = first.at_ms,
        "a media file lacks what its journal has lost"
    );
}

impl Delivery {
    /// Logs frames that its container cannot carry and puts event 341 into the outbox, if there are any.
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
