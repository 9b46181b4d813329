//! Sessions whose journal is gone, as the operator says: they have ended, and should the journal come
//! back, nothing of it is deleted unseen.

use sqlx::{Row, Transaction, any::Any};

use crate::{
    db::{Db, Result, at},
    domain::{
        ids::{FileId, SessionId},
        session::EndReason,
    },
};

impl Db {
    /// Ends a session whose journal is gone, when the rows last heard of it, which it answers (unix
    /// milliseconds). `None` if it has ended already.
    pub async fn give_up_session(
        tx: &mut Transaction<'static, Any>,
        id: SessionId,
        now_ms: i64,
    ) -> Result<Option<i64>> {
        const ACTION: &str = "give a session up";
        let row = sqlx::query(
            "SELECT s.started_ms, (SELECT COALESCE(MAX(f.updated_ms), 0) FROM media_file f \
             JOIN media_file_span p ON p.file_id = f.id WHERE p.session_id = $1 \
             AND p.to_pos < 0) AS heard_ms FROM session s WHERE s.id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(at(ACTION))?;
        let Some(row) = row else { return Ok(None) };
        let started_ms: i64 = row.try_get("started_ms").map_err(at(ACTION))?;
        let heard_ms: i64 = row.try_get("heard_ms").map_err(at(ACTION))?;
        let ended_ms = started_ms.max(heard_ms).max(1);
        let done = sqlx::query(
            "UPDATE session SET ended_ms = $2, end_reason = $3, has_journal = 0, given_up_ms = $4 \
             WHERE id = $1 AND ended_ms = 0",
        )
        .bind(id.to_string())
        .bind(ended_ms)
        .bind(EndReason::Crashed.as_str())
        .bind(now_ms.max(1))
        .execute(&mut **tx)
        .await
        .map_err(at(ACTION))?;
        Ok((done.rows_affected() == 1).then_some(ended_ms))
    }

    /// Gives a file to the node that is to make it.
    pub async fn hand_over_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        node_id: &str,
    ) -> Result<()> {
        sqlx::query("UPDATE media_file SET node_id = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(node_id)
            .execute(&mut **tx)
            .await
            .map_err(at("hand a media file over"))?;
        Ok(())
    }

    /// Whether a session was given up.
    pub async fn session_is_given_up(&self, id: SessionId) -> Result<bool> {
        let row = sqlx::query("SELECT 1 FROM session WHERE id = $1 AND given_up_ms > 0")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a session"))?;
        Ok(row.is_some())
    }

    /// The journal of a session that has ended is lost, unless it was released: from now on the session
    /// counts as given up. True if that is news.
    pub async fn note_journal_lost(&self, id: SessionId, now_ms: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE session SET has_journal = 0, given_up_ms = $2 \
             WHERE id = $1 AND ended_ms <> 0 AND given_up_ms = 0 AND has_journal = 1",
        )
        .bind(id.to_string())
        .bind(now_ms.max(1))
        .execute(self.pool())
        .await
        .map_err(at("note that a journal is lost"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether the rows say that a session was given up and its journal is not back.
    pub async fn is_journal_given_up(&self, id: SessionId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT 1 FROM session WHERE id = $1 AND given_up_ms > 0 AND has_journal = 0",
        )
        .bind(id.to_string())
        .fetch_optional(self.reader())
        .await
        .map_err(at("read a session"))?;
        Ok(row.is_some())
    }

    /// The journal of a session that was given up is there. True if that is news. From now on it is kept
    /// for as long as that of a file that could not be made.
    pub async fn note_journal_back(&self, id: SessionId, now_ms: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE session SET has_journal = 1, given_up_ms = $2 \
             WHERE id = $1 AND given_up_ms > 0 AND has_journal = 0",
        )
        .bind(id.to_string())
        .bind(now_ms.max(1))
        .execute(self.pool())
        .await
        .map_err(at("note that a journal is back"))?;
        Ok(done.rows_affected() == 1)
    }
}
