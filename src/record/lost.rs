//! A session whose journal is gone, as when its disk was replaced: what its rows leave open ends.
//!
//! Its files end a byte behind where they began in it: there is nothing to be read, and it is for
//! delivery to say so, or to make what earlier sessions of the same files hold.

use super::{rows::Rows, tracker::Change};
use crate::domain::{recording::Attachment, session::EndReason};

/// Ends a session and everything that the rows know as running in it.
pub async fn end(rows: &Rows) {
    let ended_ms = (rows.shared.now_ms)();
    let mut changes = Vec::new();
    for Attachment { running, .. } in rows.attachments().await {
        let Some((recording, file)) = running else { continue };
        let (recording, ordinal) = (recording.id, file.ordinal);
        let from = file.stretches.last().map_or(0, |stretch| stretch.span.from);
        let to = from.saturating_add(1);
        changes.push(Change::CloseFile { recording, ordinal, to, end_ms: ended_ms });
        changes.push(Change::End { recording, to, ended_ms });
    }
    rows.commit(&changes).await;
    rows.end(EndReason::Crashed, ended_ms, (0, 0)).await;
}
