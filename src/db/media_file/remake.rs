//! Making a product again from a journal that is still there.
//!
//! A file that could not be made goes back to delivery as itself. Anything else becomes a file of
//! its own, beside the one whose stretch of the journal it takes: with an ordinal below zero, so
//! that it never meets one of those that the recording counts.

use sqlx::{Row, Transaction, any::Any};

use super::decimal;
use crate::{
    db::{Db, Result, at},
    domain::{
        ids::{FileId, SessionId},
        media_file::MediaFile,
    },
};

impl Db {
    /// The files of a session, by the id of its journal or by its vendor's `session_id` (the
    /// `sequence` of its push), oldest first.
    pub async fn media_files_of_session(&self, session: &str) -> Result<Vec<FileId>> {
        let rows = sqlx::query(
            "SELECT id FROM media_file WHERE session_id = $1 OR EXISTS (SELECT 1 FROM \
             media_file_span s WHERE s.file_id = media_file.id AND s.session_id = $1) ORDER BY id",
        )
        .bind(session)
        .fetch_all(self.reader())
        .await
        .map_err(at("find the files of a session"))?;
        rows.iter().map(|row| decimal(row, "id")).collect()
    }

    /// Gives a file that could not be made to the delivery of a node that has its journal. False if
    /// it is none (any more).
    pub async fn retry_failed_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        node_id: &str,
        now_ms: i64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE media_file SET state = 'ended', error = '', attempts = 0, next_try_ms = $2, \
             lease_owner = '', lease_until = 0, fence = fence + 1, updated_ms = $2, progress = '', \
             announced_ms = 0, upload_id = '', uploaded_bytes = 0, node_id = $3 WHERE id = $1 AND state = 'failed'",
        )
        .bind(id.to_string())
        .bind(now_ms)
        .bind(node_id)
        .execute(&mut **tx)
        .await
        .map_err(at("make a media file good"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Enters a file with complete spans as one that delivery is to make.
    pub async fn insert_remade_media_file(
        tx: &mut Transaction<'static, Any>,
        mut file: MediaFile,
        now_ms: i64,
    ) -> Result<FileId> {
        let row = sqlx::query(
            "SELECT COALESCE(MIN(ordinal), 0) AS lowest FROM media_file WHERE recording_id = $1",
        )
        .bind(file.recording.to_string())
        .fetch_one(&mut **tx)
        .await
        .map_err(at("number a media file"))?;
        let lowest: i64 = row.try_get("lowest").map_err(at("number a media file"))?;
        file.ordinal = lowest.min(0) - 1;
        let id = Db::insert_media_file(tx, &file).await?;
        Db::end_media_file(tx, id, None, file.facts.end_ms, now_ms).await?;
        Ok(id)
    }

    /// Whether the journal of a session was there when the transaction began, as far as the rows
    /// know; from then on it stays as long as a row needs it.
    pub async fn holds_journal(
        tx: &mut Transaction<'static, Any>,
        session: SessionId,
    ) -> Result<bool> {
        let row =
            sqlx::query("UPDATE session SET has_journal = 1 WHERE id = $1 AND has_journal = 1")
                .bind(session.to_string())
                .execute(&mut **tx)
                .await
                .map_err(at("hold a journal"))?;
        Ok(row.rows_affected() == 1)
    }
}
