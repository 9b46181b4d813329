//! Rows of publish sessions: what was pushed, when, why it ended, whether its journal is still there.

use sqlx::{Row, Transaction, any::Any};

use super::{Db, DbError, Result, at};
use crate::domain::{
    ids::SessionId,
    session::{EndReason, Session},
};

impl Db {
    /// Writes the row of a session that has begun. True if it was not there yet: the caller then
    /// enqueues event 1 in the same transaction.
    pub async fn insert_session(
        tx: &mut Transaction<'static, Any>,
        session: &Session,
    ) -> Result<bool> {
        let body = serde_json::to_string(session)
            .map_err(|e| DbError::Row { table: "session", what: e.to_string() })?;
        let done = sqlx::query(
            "INSERT INTO session (id, node_id, domain, app, stream, body, started_ms, ended_ms, end_reason, has_journal) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 1) ON CONFLICT (id) DO NOTHING",
        )
        .bind(session.id.to_string())
        .bind(session.node_id.as_str())
        .bind(session.path.domain.as_str())
        .bind(session.path.app.as_str())
        .bind(session.path.stream.as_str())
        .bind(body)
        .bind(session.started_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("insert a session"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks a session as ended. True if it was not yet: the caller then enqueues event 0.
    pub async fn end_session(
        tx: &mut Transaction<'static, Any>,
        id: SessionId,
        ended_ms: i64,
        reason: EndReason,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE session SET ended_ms = $2, end_reason = $3 WHERE id = $1 AND ended_ms = 0",
        )
        .bind(id.to_string())
        .bind(ended_ms.max(1))
        .bind(reason.as_str())
        .execute(&mut **tx)
        .await
        .map_err(at("end a session"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether the rows say that this session has ended; `None` if there is no row.
    pub async fn session_has_ended(&self, id: SessionId) -> Result<Option<bool>> {
        let row = sqlx::query("SELECT ended_ms FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(at("read a session"))?;
        let Some(row) = row else { return Ok(None) };
        let ended_ms: i64 = row.try_get(0).map_err(at("read a session"))?;
        Ok(Some(ended_ms != 0))
    }

    /// Why a session ended, as [`EndReason::as_str`]; `None` if there is no row or it goes on.
    pub async fn session_end_reason(&self, id: SessionId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT end_reason FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(at("read a session"))?;
        let Some(row) = row else { return Ok(None) };
        let reason: String = row.try_get(0).map_err(at("read a session"))?;
        Ok(Some(reason).filter(|reason| !reason.is_empty()))
    }

    /// Notes that a session's journal folder is about to be removed. Written before the unlink, so
    /// that a crash between the two leaves a folder without need, never a need without a folder.
    pub async fn forget_journal(&self, id: SessionId) -> Result<()> {
        sqlx::query("UPDATE session SET has_journal = 0 WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await
            .map_err(at("release a journal"))?;
        Ok(())
    }
}
