//! A session whose journal is gone for good: what its rows leave open ends.
//!
//! That it is gone, the server itself says only of a folder that is there without data ([`follow`]); where
//! there is no folder the operator does, for a disk with journals may be mounted late. The files end where
//! nobody knows; delivery makes them of what is left of their earlier sessions, of what the store has
//! of them, or says that nothing is left.

use std::sync::Arc;

use crate::{
    db::{Db, DbError},
    domain::{
        ids::FileId,
        recording::{Attachment, Span},
        session::{EndReason, Session},
    },
};

use super::{follow::Shared, rows::Rows, tracker::Change};

/// Ends a session and everything that the rows know as running in it, all of it or nothing, with the
/// events that tell of it. `node_id` makes the files from now on. Answers the files that ended;
/// `None` if the session had ended before.
///
/// # Errors
/// The database refuses; nothing was changed.
pub async fn give_up(
    shared: Arc<Shared>,
    session: Session,
    node_id: &str,
) -> Result<Option<Vec<FileId>>, DbError> {
    let rows = Rows { shared, session };
    let (db, id, now_ms) = (&rows.shared.db, rows.session.id, (rows.shared.now_ms)());
    let attachments = db.attachments(id).await?;
    let mut tx = db.begin().await?;
    let Some(ended_ms) = Db::give_up_session(&mut tx, id, now_ms).await? else { return Ok(None) };
    let mut files = Vec::new();
    for Attachment { running, .. } in attachments {
        let Some((recording, file)) = running else { continue };
        let (recording, ordinal) = (recording.id, file.ordinal);
        let from = file.stretches.last().map_or(0, |stretch| stretch.span.from);
        let to = Span::unknown_end(from);
        rows.apply(&mut tx, &Change::CloseFile { recording, ordinal, to, end_ms: ended_ms })
            .await?;
        rows.apply(&mut tx, &Change::End { recording, to, ended_ms }).await?;
        Db::hand_over_media_file(&mut tx, file.id, node_id).await?;
        files.push(file.id);
    }
    rows.announce_end(&mut tx, EndReason::Crashed, ended_ms, (0, 0)).await?;
    db.commit(tx, "give a session up").await?;
    db.media_changed().notify_waiters();
    db.outbox_changed().notify_one();
    Ok(Some(files))
}
