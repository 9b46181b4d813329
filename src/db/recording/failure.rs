//! Rows of recordings whose disk took nothing for too long.

use sqlx::{Row, Transaction, any::Any};

use crate::{
    db::{Db, DbError, Result, at},
    domain::{
        ids::{FileId, RecordingId},
        journal_note::StoreFailure,
        media_file::MediaFacts,
    },
};

impl Db {
    /// Writes what the disk did not take of a recording. True if nothing had been written since the
    /// recording began or was resumed: the caller then enqueues `record_error` and event 341.
    pub async fn fail_recording(
        tx: &mut Transaction<'static, Any>,
        id: RecordingId,
        failed_ms: i64,
        failure: &StoreFailure,
    ) -> Result<bool> {
        let text = serde_json::to_string(failure)
            .map_err(|e| DbError::Row { table: "recording", what: e.to_string() })?;
        let done =
            sqlx::query("UPDATE recording SET failed_ms = $2 WHERE id = $1 AND failed_ms = 0")
                .bind(id.to_string())
                .bind(failed_ms.max(1))
                .execute(&mut **tx)
                .await
                .map_err(at("fail a recording"))?;
        let is_new = done.rows_affected() == 1;
        // Told again, it is worth more only if it says what was lost.
        if is_new || failure.lost_bytes > 0 {
            sqlx::query("UPDATE recording SET failure = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(text)
                .execute(&mut **tx)
                .await
                .map_err(at("fail a recording"))?;
        }
        Ok(is_new)
    }

    /// What the disk did not take of a recording, if anything.
    pub async fn failure_of_recording(&self, id: RecordingId) -> Result<Option<StoreFailure>> {
        let row = sqlx::query("SELECT failure FROM recording WHERE id = $1 AND failed_ms > 0")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a recording"))?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0).map_err(at("read a recording"))?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| DbError::Row { table: "recording", what: e.to_string() })
    }

    /// Adds a remark to the row of a file that still grows, once.
    pub async fn remark_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        remark: &str,
    ) -> Result<()> {
        let row = sqlx::query("SELECT facts FROM media_file WHERE id = $1 AND state = 'recording'")
            .bind(id.to_string())
            .fetch_optional(&mut **tx)
            .await
            .map_err(at("read a media file"))?;
        let Some(row) = row else { return Ok(()) };
        let unreadable =
            |e: serde_json::Error| DbError::Row { table: "media_file", what: e.to_string() };
        let text: String = row.try_get(0).map_err(at("read a media file"))?;
        let mut facts: MediaFacts = serde_json::from_str(&text).map_err(unreadable)?;
        if facts.irregularities.iter().any(|known| known == remark) {
            return Ok(());
        }
        facts.irregularities.push(remark.to_owned());
        sqlx::query("UPDATE media_file SET facts = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(serde_json::to_string(&facts).map_err(unreadable)?)
            .execute(&mut **tx)
            .await
            .map_err(at("remark on a media file"))?;
        Ok(())
    }
}
