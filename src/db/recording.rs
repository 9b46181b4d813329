//! Rows of recordings and their journal spans. Here: their beginning and end; [`resume`] has what
//! lies between two sessions, [`failure`] what a disk did not take.

mod failure;
mod resume;

use sqlx::{
    Row, Transaction,
    any::{Any, AnyRow},
};

use super::{Db, DbError, Result, at, push_domain::domain_name};
use crate::domain::{
    ids::{FileId, RecordingId, SessionId},
    record_count::RecordedStretch,
    recording::{Recording, Span},
    stream::{AppName, StreamName, StreamPath},
};

/// Most recordings that one question about the past looks at.
pub const MAX_STRETCHES: i64 = 200_000;

/// `to_pos` of a span that still grows.
const OPEN: i64 = -1;

/// A recording and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFiles {
    /// As it was noted when it began.
    pub recording: Recording,
    /// Unix milliseconds; 0 while it goes on.
    pub ended_ms: i64,
    /// Its files.
    pub files: i64,
    /// Those of them that are stored.
    pub stored: i64,
    /// What is wrong with one of them; possibly empty.
    pub error: String,
}

impl Db {
    /// Writes the row of a recording and its first span. True if it was not there yet: the caller
    /// then enqueues `record_start_succeeded`.
    pub async fn insert_recording(
        tx: &mut Transaction<'static, Any>,
        recording: &Recording,
        node_id: &str,
        span: &Span,
    ) -> Result<bool> {
        let body = serde_json::to_string(recording)
            .map_err(|e| DbError::Row { table: "recording", what: e.to_string() })?;
        let done = sqlx::query(
            "INSERT INTO recording (id, node_id, session_id, task_id, container, body, started_ms, ended_ms, \
             lease_owner, lease_until, fence) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 0, 0) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(recording.id.to_string())
        .bind(node_id)
        .bind(span.session.to_string())
        .bind(recording.origin.task_id().unwrap_or(""))
        .bind(recording.container.as_str())
        .bind(body)
        .bind(recording.started_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("insert a recording"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO recording_span (recording_id, ordinal, session_id, from_pos, to_pos, attached_id) \
             VALUES ($1, 0, $2, $3, $4, $1) ON CONFLICT (recording_id, ordinal) DO NOTHING",
        )
        .bind(recording.id.to_string())
        .bind(span.session.to_string())
        .bind(i64::try_from(span.from).unwrap_or(i64::MAX))
        .bind(OPEN)
        .execute(&mut **tx)
        .await
        .map_err(at("insert a recording span"))?;
        Ok(true)
    }

    /// Marks a recording as ended and closes its last span. True if it was not yet: the caller then
    /// enqueues `record_ended`.
    pub async fn end_recording(
        tx: &mut Transaction<'static, Any>,
        id: RecordingId,
        ended_ms: i64,
        to: u64,
    ) -> Result<bool> {
        let done = sqlx::query("UPDATE recording SET ended_ms = $2 WHERE id = $1 AND ended_ms = 0")
            .bind(id.to_string())
            .bind(ended_ms.max(1))
            .execute(&mut **tx)
            .await
            .map_err(at("end a recording"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE recording_span SET to_pos = $2 WHERE recording_id = $1 AND to_pos = $3",
        )
        .bind(id.to_string())
        .bind(i64::try_from(to).unwrap_or(i64::MAX))
        .bind(OPEN)
        .execute(&mut **tx)
        .await
        .map_err(at("close a recording span"))?;
        Ok(true)
    }

    /// When streams were recorded between two moments (unix milliseconds): those recordings that
    /// reach into it, at most [`MAX_STRETCHES`].
    pub async fn recorded_stretches(
        &self,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RecordedStretch>> {
        let rows = sqlx::query(
            "SELECT s.domain AS domain, s.app AS app, s.stream AS stream, \
             r.started_ms AS started_ms, r.ended_ms AS ended_ms \
             FROM recording r JOIN session s ON s.id = r.session_id \
             WHERE r.started_ms < $2 AND (r.ended_ms = 0 OR r.ended_ms > $1) \
             ORDER BY r.started_ms DESC LIMIT $3",
        )
        .bind(from_ms)
        .bind(to_ms)
        .bind(MAX_STRETCHES)
        .fetch_all(self.reader())
        .await
        .map_err(at("read when streams were recorded"))?;
        rows.iter().map(read_stretch).collect()
    }

    /// The recordings that have a stretch in the journal of a session, in the order they began.
    pub async fn recordings_of(&self, session: SessionId) -> Result<Vec<RecordedFiles>> {
        let action = "read the recordings of a session";
        let rows = sqlx::query(
            "SELECT r.body AS body, r.ended_ms AS ended_ms, \
             (SELECT COUNT(*) FROM media_file f WHERE f.recording_id = r.id) AS files, \
             (SELECT COUNT(*) FROM media_file f WHERE f.recording_id = r.id AND f.state = 'stored') AS stored, \
             COALESCE((SELECT MAX(f.error) FROM media_file f WHERE f.recording_id = r.id), '') AS error \
             FROM recording r WHERE r.id IN \
             (SELECT recording_id FROM recording_span WHERE session_id = $1) ORDER BY r.started_ms, r.id",
        )
        .bind(session.to_string())
        .fetch_all(self.reader())
        .await
        .map_err(at(action))?;
        let read = |row: &AnyRow| -> Result<RecordedFiles> {
            let number = |column: &str| row.try_get::<i64, _>(column).map_err(at(action));
            let text = |column: &str| row.try_get::<String, _>(column).map_err(at(action));
            let recording = serde_json::from_str(&text("body")?)
                .map_err(|e| DbError::Row { table: "recording", what: e.to_string() })?;
            Ok(RecordedFiles {
                recording,
                ended_ms: number("ended_ms")?,
                files: number("files")?,
                stored: number("stored")?,
                error: text("error")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// A recording as it was noted when it began.
    pub async fn load_recording(
        tx: &mut Transaction<'static, Any>,
        id: RecordingId,
    ) -> Result<Option<Recording>> {
        let row = sqlx::query("SELECT body FROM recording WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut **tx)
            .await
            .map_err(at("read a recording"))?;
        let Some(row) = row else { return Ok(None) };
        let body: String = row.try_get(0).map_err(at("read a recording"))?;
        serde_json::from_str(&body)
            .map(Some)
            .map_err(|e| DbError::Row { table: "recording", what: e.to_string() })
    }

    /// The id of the file of this ordinal, if its row was written.
    pub async fn media_file_of(
        tx: &mut Transaction<'static, Any>,
        id: RecordingId,
        ordinal: i64,
    ) -> Result<Option<FileId>> {
        let row = sqlx::query("SELECT id FROM media_file WHERE recording_id = $1 AND ordinal = $2")
            .bind(id.to_string())
            .bind(ordinal)
            .fetch_optional(&mut **tx)
            .await
            .map_err(at("find a media file"))?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0).map_err(at("find a media file"))?;
        FileId::parse(&text)
            .map(Some)
            .ok_or(DbError::Row { table: "media_file", what: format!("id: {text}") })
    }
}

fn read_stretch(row: &AnyRow) -> Result<RecordedStretch> {
    const TABLE: &str = "session";
    let action = "read when a stream was recorded";
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at(action));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at(action));
    let odd = |what: String| DbError::Row { table: TABLE, what };
    let ended_ms = number("ended_ms")?;
    Ok(RecordedStretch {
        path: StreamPath {
            domain: domain_name(TABLE, &text("domain")?)?,
            app: AppName::parse(&text("app")?).map_err(|e| odd(e.to_string()))?,
            stream: StreamName::parse(&text("stream")?).map_err(|e| odd(e.to_string()))?,
        },
        start_ms: number("started_ms")?,
        end_ms: (ended_ms != 0).then_some(ended_ms),
    })
}
