//! Rows of publish sessions: what was pushed, when, why it ended, whether its journal is still there.

mod given_up;

use sqlx::{
    Row, Transaction,
    any::{Any, AnyRow},
};

use super::{Db, DbError, Result, at};
use crate::domain::{
    ids::SessionId,
    session::{EndReason, Session},
    stream::StreamPath,
};

/// Which sessions that are over are asked for. Empty texts ask nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSearch {
    /// Unix milliseconds, inclusive.
    pub start_ms: i64,
    /// Unix milliseconds, inclusive.
    pub end_ms: i64,
    /// Push domain.
    pub domain: String,
    /// AppName.
    pub app: String,
    /// StreamName, or a part of it.
    pub stream: String,
    /// Whether the stream name is the whole one.
    pub is_exact: bool,
    /// Whether the beginning, not the end, lies in the stretch; also the order.
    pub by_start: bool,
    /// Oldest first; newest first otherwise.
    pub is_ascending: bool,
}

/// A session and how it ended, if it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// What was known from its beginning.
    pub session: Session,
    /// Unix milliseconds.
    pub ended_ms: i64,
    /// [`EndReason::as_str`].
    pub reason: String,
    /// Picture width, 0 if unknown.
    pub width: i64,
    /// Picture height, 0 if unknown.
    pub height: i64,
}

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

    /// Marks a session as ended, with the size of its pictures, 0 if unknown. True if it was not
    /// yet: the caller then enqueues event 0.
    pub async fn end_session(
        tx: &mut Transaction<'static, Any>,
        id: SessionId,
        ended_ms: i64,
        reason: EndReason,
        (width, height): (u32, u32),
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE session SET ended_ms = $2, end_reason = $3, width = $4, height = $5 \
             WHERE id = $1 AND ended_ms = 0",
        )
        .bind(id.to_string())
        .bind(ended_ms.max(1))
        .bind(reason.as_str())
        .bind(i64::from(width))
        .bind(i64::from(height))
        .execute(&mut **tx)
        .await
        .map_err(at("end a session"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Sessions that are over and that a search finds, and how many there are in all.
    pub async fn ended_sessions(
        &self,
        search: &SessionSearch,
        offset: u64,
        limit: u64,
    ) -> Result<(u64, Vec<EndedSession>)> {
        let edge = if search.by_start { "started_ms" } else { "ended_ms" };
        let order = if search.is_ascending { "ASC" } else { "DESC" };
        // LIKE ignores case on SQLite and not on PostgreSQL, and has wildcards to escape.
        let found = format!(
            "FROM session WHERE ended_ms > 0 AND {edge} >= $1 AND {edge} <= $2 \
             AND ($3 = '' OR domain = $3) AND ($4 = '' OR app = $4) AND ($5 = '' \
             OR ($6 = 1 AND stream = $5) OR ($6 = 0 AND replace(stream, $5, '') <> stream))"
        );
        let count = format!("SELECT COUNT(*) AS n {found}");
        let rows = format!(
            "SELECT body, ended_ms, end_reason, width, height {found} \
             ORDER BY {edge} {order}, id {order} LIMIT $7 OFFSET $8"
        );
        macro_rules! bound {
            ($sql:expr) => {
                sqlx::query(sqlx::AssertSqlSafe($sql))
                    .bind(search.start_ms)
                    .bind(search.end_ms)
                    .bind(search.domain.as_str())
                    .bind(search.app.as_str())
                    .bind(search.stream.as_str())
                    .bind(i64::from(search.is_exact))
            };
        }
        let total = bound!(count).fetch_one(self.reader()).await.map_err(at("count sessions"))?;
        let total: i64 = total.try_get("n").map_err(at("count sessions"))?;
        let rows = bound!(rows)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX))
            .fetch_all(self.reader())
            .await
            .map_err(at("read sessions"))?;
        let rows = rows.iter().map(read_ended).collect::<Result<_>>()?;
        Ok((total.max(0).unsigned_abs(), rows))
    }

    /// The sessions of a stream that were live between two moments (unix milliseconds) on any node, the
    /// newest first. One that goes on has `ended_ms` 0.
    pub async fn sessions_between(
        &self,
        path: &StreamPath,
        (from_ms, to_ms): (i64, i64),
        limit: i64,
    ) -> Result<Vec<EndedSession>> {
        let rows = sqlx::query(
            "SELECT body, ended_ms, end_reason, width, height FROM session \
             WHERE domain = $1 AND app = $2 AND stream = $3 AND started_ms <= $5 \
             AND (ended_ms = 0 OR ended_ms >= $4) ORDER BY started_ms DESC, id DESC LIMIT $6",
        )
        .bind(path.domain.as_str())
        .bind(path.app.as_str())
        .bind(path.stream.as_str())
        .bind(from_ms)
        .bind(to_ms)
        .bind(limit)
        .fetch_all(self.reader())
        .await
        .map_err(at("read the sessions of a stream"))?;
        rows.iter().map(read_ended).collect()
    }

    /// Whether the rows say that this session has ended; `None` if there is no row.
    pub async fn session_has_ended(&self, id: SessionId) -> Result<Option<bool>> {
        let row = sqlx::query("SELECT ended_ms FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a session"))?;
        let Some(row) = row else { return Ok(None) };
        let ended_ms: i64 = row.try_get(0).map_err(at("read a session"))?;
        Ok(Some(ended_ms != 0))
    }

    /// What was known of a session from its beginning; `None` if there is no row.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        let row = sqlx::query("SELECT body FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a session"))?;
        row.as_ref().map(read_session).transpose()
    }

    /// The sessions of a node that have not ended, oldest first, at most `limit`.
    pub async fn unended_sessions(&self, node_id: &str, limit: i64) -> Result<Vec<Session>> {
        let rows = sqlx::query(
            "SELECT body FROM session WHERE ended_ms = 0 AND node_id = $1 ORDER BY id LIMIT $2",
        )
        .bind(node_id)
        .bind(limit)
        .fetch_all(self.reader())
        .await
        .map_err(at("list the sessions that go on"))?;
        rows.iter().map(read_session).collect()
    }

    /// Why a session ended, as [`EndReason::as_str`]; `None` if there is no row or it goes on.
    pub async fn session_end_reason(&self, id: SessionId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT end_reason FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a session"))?;
        let Some(row) = row else { return Ok(None) };
        let reason: String = row.try_get(0).map_err(at("read a session"))?;
        Ok(Some(reason).filter(|reason| !reason.is_empty()))
    }

    /// Notes that the irregularities of a session are told up to this position of its journal. True
    /// if they were not yet: the caller then enqueues them.
    pub async fn set_told_to(
        tx: &mut Transaction<'static, Any>,
        id: SessionId,
        position: u64,
    ) -> Result<bool> {
        let done = sqlx::query("UPDATE session SET told_to = $2 WHERE id = $1 AND told_to < $2")
            .bind(id.to_string())
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .execute(&mut **tx)
            .await
            .map_err(at("note what was told of a session"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The position that [`Db::set_told_to`] noted last.
    pub async fn told_to(&self, id: SessionId) -> Result<Option<u64>> {
        let row = sqlx::query("SELECT told_to FROM session WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read what was told of a session"))?;
        let Some(row) = row else { return Ok(None) };
        let position: i64 = row.try_get(0).map_err(at("read what was told of a session"))?;
        Ok(u64::try_from(position).ok())
    }

    /// Notes that a session's journal folder is about to be removed. Written before the unlink, so
    /// that a crash between the two leaves a folder without need, never a need without a folder.
    /// False if a file is to be made from it after all: nothing was noted.
    pub async fn forget_journal(&self, id: SessionId) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE session SET has_journal = 0 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM \
             media_file_span s JOIN media_file f ON f.id = s.file_id \
             WHERE s.session_id = $1 AND f.state IN ('recording', 'ended'))",
        )
        .bind(id.to_string())
        .execute(self.pool())
        .await
        .map_err(at("release a journal"))?;
        Ok(done.rows_affected() == 1)
    }
}

fn read_ended(row: &AnyRow) -> Result<EndedSession> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a session"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a session"));
    Ok(EndedSession {
        session: read_session(row)?,
        ended_ms: number("ended_ms")?,
        reason: text("end_reason")?,
        width: number("width")?,
        height: number("height")?,
    })
}

fn read_session(row: &AnyRow) -> Result<Session> {
    let body: String = row.try_get("body").map_err(at("read a session"))?;
    serde_json::from_str(&body).map_err(|e| DbError::Row { table: "session", what: e.to_string() })
}
