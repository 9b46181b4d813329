//! What the rows say of a recording between two sessions of its stream: suspended, continued, or
//! ended because nothing came in time.
//!
//! Every change names the suspension that it found, so of two that want the same recording (a
//! session that continues it, a window that is over) exactly one has it. Repeating a change does
//! nothing.

use sqlx::{AnyConnection, Row, Transaction, any::Any, any::AnyRow};

use super::OPEN;
use crate::{
    db::{Db, DbError, Result, at},
    domain::{
        ids::{FileId, RecordingId, SessionId},
        recording::{Attachment, GrowingFile, Recording, Span, Stretch, Suspended},
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
};

impl Db {
    /// Suspends a recording whose session ended at `suspended_ms` (unix milliseconds); `to` is one
    /// past its last byte there. True if it was not yet: the caller then enqueues `record_paused`.
    pub async fn suspend_recording(
        tx: &mut Transaction<'static, Any>,
        id: RecordingId,
        session: SessionId,
        to: u64,
        suspended_ms: i64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE recording_span SET to_pos = $3 \
             WHERE recording_id = $1 AND session_id = $2 AND to_pos = $4",
        )
        .bind(id.to_string())
        .bind(session.to_string())
        .bind(i64::try_from(to).unwrap_or(i64::MAX))
        .bind(OPEN)
        .execute(&mut **tx)
        .await
        .map_err(at("close a recording span"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let done =
            sqlx::query("UPDATE recording SET suspended_ms = $2 WHERE id = $1 AND ended_ms = 0")
                .bind(id.to_string())
                .bind(suspended_ms.max(1))
                .execute(&mut **tx)
                .await
                .map_err(at("suspend a recording"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The suspended recordings of a node, or only those of one stream, the longest suspended
    /// first.
    pub async fn suspended_recordings(
        &self,
        node_id: &str,
        path: Option<&StreamPath>,
    ) -> Result<Vec<Suspended>> {
        let mut connection = self.acquire().await?;
        suspended(&mut connection, node_id, path).await
    }

    /// The suspended recordings of one stream, inside a transaction.
    pub async fn suspended_recordings_of(
        tx: &mut Transaction<'static, Any>,
        node_id: &str,
        path: &StreamPath,
    ) -> Result<Vec<Suspended>> {
        suspended(tx, node_id, Some(path)).await
    }

    /// The file of a recording that still grows.
    pub async fn growing_file(&self, id: RecordingId) -> Result<Option<GrowingFile>> {
        let mut connection = self.acquire().await?;
        growing_file(&mut connection, id).await
    }

    /// Goes on with a suspended recording and its growing file in the session of `span`, whose
    /// journal calls it `attached`. False if it is not suspended as it was found: then nothing was
    /// changed.
    pub async fn resume_recording(
        tx: &mut Transaction<'static, Any>,
        suspended: &Suspended,
        file: FileId,
        attached: RecordingId,
        span: &Span,
    ) -> Result<bool> {
        let id = suspended.recording.id;
        let done = sqlx::query(
            "UPDATE recording SET suspended_ms = 0, failed_ms = 0 \
             WHERE id = $1 AND suspended_ms = $2 AND ended_ms = 0",
        )
        .bind(id.to_string())
        .bind(suspended.since_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("resume a recording"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO recording_span (recording_id, ordinal, session_id, from_pos, to_pos, attached_id) \
             SELECT $1, COUNT(*), $2, $3, $4, $5 FROM recording_span WHERE recording_id = $1",
        )
        .bind(id.to_string())
        .bind(span.session.to_string())
        .bind(i64::try_from(span.from).unwrap_or(i64::MAX))
        .bind(OPEN)
        .bind(attached.to_string())
        .execute(&mut **tx)
        .await
        .map_err(at("insert a recording span"))?;
        Self::resume_media_file(tx, file, span).await?;
        Ok(true)
    }

    /// Ends a suspended recording and its growing file as of its suspension. True if it was not
    /// yet: the caller then enqueues `record_ended`.
    pub async fn end_suspended_recording(
        tx: &mut Transaction<'static, Any>,
        suspended: &Suspended,
        now_ms: i64,
    ) -> Result<bool> {
        let id = suspended.recording.id;
        let done = sqlx::query(
            "UPDATE recording SET ended_ms = suspended_ms \
             WHERE id = $1 AND suspended_ms = $2 AND ended_ms = 0",
        )
        .bind(id.to_string())
        .bind(suspended.since_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("end a suspended recording"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(file) = growing_file(tx, id).await? {
            Self::end_suspended_media_file(tx, file.id, now_ms).await?;
        }
        Ok(true)
    }

    /// What was decided of the recordings that a session's journal attaches, as far as the rows
    /// have it.
    pub async fn attachments(&self, session: SessionId) -> Result<Vec<Attachment>> {
        let mut connection = self.acquire().await?;
        let rows = sqlx::query(
            "SELECT s.recording_id, s.attached_id, s.to_pos, r.body FROM recording_span s \
             JOIN recording r ON r.id = s.recording_id WHERE s.session_id = $1",
        )
        .bind(session.to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(at("read the recordings of a session"))?;
        let mut attachments = Vec::with_capacity(rows.len());
        for row in &rows {
            let recording = recording_of(row)?;
            let attached = match text(row, "attached_id")?.as_str() {
                "" => recording.id,
                id => recording_id(id)?,
            };
            let running = match int(row, "to_pos")? {
                OPEN => growing_file(&mut connection, recording.id).await?,
                _ => None,
            };
            let running = running.map(|file| (recording, file));
            attachments.push(Attachment { attached, running });
        }
        Ok(attachments)
    }

    /// The sessions of a node whose rows are complete and whose journals are still there.
    pub async fn complete_sessions(&self, node_id: &str) -> Result<Vec<SessionId>> {
        let rows = sqlx::query(
            "SELECT id AS session_id FROM session WHERE node_id = $1 AND has_journal = 1 AND ended_ms <> 0",
        )
        .bind(node_id)
        .fetch_all(self.reader())
        .await
        .map_err(at("list the complete sessions"))?;
        rows.iter().map(session_id).collect()
    }

    async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<Any>> {
        self.reader().acquire().await.map_err(at("reach the database"))
    }
}

async fn suspended(
    connection: &mut AnyConnection,
    node_id: &str,
    path: Option<&StreamPath>,
) -> Result<Vec<Suspended>> {
    let (domain, app, stream) = path.map_or(("", "", ""), |path| {
        (path.domain.as_str(), path.app.as_str(), path.stream.as_str())
    });
    let rows = sqlx::query(
        "SELECT r.id AS recording_id, r.body, r.suspended_ms, s.domain, s.app, s.stream, \
         (SELECT l.session_id FROM recording_span l WHERE l.recording_id = r.id \
          ORDER BY l.ordinal DESC LIMIT 1) AS session_id \
         FROM recording r JOIN session s ON s.id = r.session_id \
         WHERE r.node_id = $1 AND r.suspended_ms > 0 AND r.ended_ms = 0 \
         AND ($2 = '' OR (s.domain = $2 AND s.app = $3 AND s.stream = $4)) \
         ORDER BY r.suspended_ms, r.id",
    )
    .bind(node_id)
    .bind(domain)
    .bind(app)
    .bind(stream)
    .fetch_all(connection)
    .await
    .map_err(at("find suspended recordings"))?;
    rows.iter()
        .map(|row| {
            let (domain, app) = (text(row, "domain")?, text(row, "app")?);
            let stream = text(row, "stream")?;
            Ok(Suspended {
                recording: recording_of(row)?,
                path: StreamPath {
                    domain: DomainName::parse(&domain).map_err(|e| unreadable("domain", &e))?,
                    app: AppName::parse(&app).map_err(|e| unreadable("app", &e))?,
                    stream: StreamName::parse(&stream).map_err(|e| unreadable("stream", &e))?,
                },
                since_ms: int(row, "suspended_ms")?,
                last_session: session_id(row)?,
            })
        })
        .collect()
}

async fn growing_file(
    connection: &mut AnyConnection,
    id: RecordingId,
) -> Result<Option<GrowingFile>> {
    let row = sqlx::query(
        "SELECT id, ordinal, start_ms FROM media_file WHERE recording_id = $1 AND state = 'recording' \
         ORDER BY ordinal DESC LIMIT 1",
    )
    .bind(id.to_string())
    .fetch_optional(&mut *connection)
    .await
    .map_err(at("find the growing file of a recording"))?;
    let Some(row) = row else { return Ok(None) };
    let file = text(&row, "id")?;
    let spans = sqlx::query(
        "SELECT f.session_id, f.from_pos, f.to_pos, s.started_ms, s.ended_ms FROM media_file_span f \
         JOIN session s ON s.id = f.session_id WHERE f.file_id = $1 ORDER BY f.ordinal",
    )
    .bind(file.as_str())
    .fetch_all(&mut *connection)
    .await
    .map_err(at("read the stretches of a growing file"))?;
    let stretches = spans
        .iter()
        .map(|row| {
            Ok(Stretch {
                span: Span {
                    session: session_id(row)?,
                    from: position(row, "from_pos")?,
                    to: match int(row, "to_pos")? {
                        OPEN => None,
                        _ => Some(position(row, "to_pos")?),
                    },
                },
                started_ms: int(row, "started_ms")?,
                ended_ms: int(row, "ended_ms")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Some(GrowingFile {
        id: FileId::parse(&file).ok_or_else(|| unreadable("media_file.id", &file))?,
        ordinal: int(&row, "ordinal")?,
        start_ms: int(&row, "start_ms")?,
        stretches,
    }))
}

fn recording_of(row: &AnyRow) -> Result<Recording> {
    serde_json::from_str(&text(row, "body")?).map_err(|e| unreadable("body", &e))
}

fn recording_id(text: &str) -> Result<RecordingId> {
    RecordingId::parse(text).ok_or_else(|| unreadable("id", &text))
}

fn session_id(row: &AnyRow) -> Result<SessionId> {
    let id = text(row, "session_id")?;
    SessionId::parse(&id).ok_or_else(|| unreadable("session_id", &id))
}

fn position(row: &AnyRow, column: &'static str) -> Result<u64> {
    let value = int(row, column)?;
    u64::try_from(value).map_err(|_| unreadable(column, &value))
}

fn text(row: &AnyRow, column: &'static str) -> Result<String> {
    row.try_get(column).map_err(at("read a column of a recording"))
}

fn int(row: &AnyRow, column: &'static str) -> Result<i64> {
    row.try_get(column).map_err(at("read a column of a recording"))
}

fn unreadable(column: &str, what: &dyn std::fmt::Display) -> DbError {
    DbError::Row { table: "recording", what: format!("{column}: {what}") }
}

#[cfg(test)]
mod tests;
