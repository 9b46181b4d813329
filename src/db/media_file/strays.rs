//! Keys under which the store may hold uploads in parts that no row knows the id of.

use crate::{
    db::{Db, Result, at},
    domain::ids::FileId,
};

use super::{decimal, int, text};

/// A key to look for strays under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayUpload {
    /// Of the object that the upload was to be.
    pub key: String,
    /// Whose object that is; the file may be gone by now.
    pub file: FileId,
    /// When the store's answer was missed, unix milliseconds.
    pub noted_ms: i64,
    /// When to look, unix milliseconds.
    pub due_ms: i64,
}

impl Db {
    /// Notes that an upload of `file` may have been begun under this key without an answer.
    pub async fn note_stray_upload(
        &self,
        file: FileId,
        key: &str,
        noted_ms: i64,
        due_ms: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO stray_upload (storage_key, file_id, noted_ms, due_ms) \
             VALUES ($1, $2, $3, $4) \
             ON CONFLICT (storage_key) DO UPDATE SET noted_ms = $3, due_ms = $4",
        )
        .bind(key)
        .bind(file.to_string())
        .bind(noted_ms)
        .bind(due_ms)
        .execute(self.pool())
        .await
        .map_err(at("note a stray upload"))?;
        Ok(())
    }

    /// Keys that are due, the longest overdue first. One that was noted later than now is due too: the
    /// clock was set back.
    pub async fn due_stray_uploads(&self, now_ms: i64, limit: i64) -> Result<Vec<StrayUpload>> {
        let rows = sqlx::query(
            "SELECT storage_key, file_id, noted_ms, due_ms FROM stray_upload \
             WHERE due_ms <= $1 OR noted_ms > $1 ORDER BY due_ms, storage_key LIMIT $2",
        )
        .bind(now_ms)
        .bind(limit)
        .fetch_all(self.reader())
        .await
        .map_err(at("find stray uploads"))?;
        let stray = |row| {
            Ok(StrayUpload {
                key: text(row, "storage_key")?,
                file: decimal(row, "file_id")?,
                noted_ms: int(row, "noted_ms")?,
                due_ms: int(row, "due_ms")?,
            })
        };
        rows.iter().map(stray).collect()
    }

    /// Puts a look off; nothing if the stray was noted anew meanwhile.
    pub async fn defer_stray_upload(
        &self,
        stray: &StrayUpload,
        now_ms: i64,
        due_ms: i64,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE stray_upload SET noted_ms = $3, due_ms = $4 \
             WHERE storage_key = $1 AND noted_ms = $2",
        )
        .bind(stray.key.as_str())
        .bind(stray.noted_ms)
        .bind(stray.noted_ms.min(now_ms))
        .bind(due_ms)
        .execute(self.pool())
        .await
        .map_err(at("put off the look for a stray upload"))?;
        Ok(())
    }

    /// Looks under this key no more, unless a stray was noted anew meanwhile.
    pub async fn forget_stray_upload(&self, stray: &StrayUpload) -> Result<()> {
        sqlx::query("DELETE FROM stray_upload WHERE storage_key = $1 AND noted_ms = $2")
            .bind(stray.key.as_str())
            .bind(stray.noted_ms)
            .execute(self.pool())
            .await
            .map_err(at("forget a stray upload"))?;
        Ok(())
    }
}
