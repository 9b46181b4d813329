//! Rows of media files and of the journal stretches they lie in.
//!
//! A row is written when its stretch begins, ends with it, and is made true by delivery: only a
//! `stored` one is visible in the VOD API. Here: the row itself; [`work`] has what delivery does
//! with it under a lease, [`progress`] how far that is, [`describe`] tells of it, [`search`] who asks for many,
//! [`segments`] what a playlist says,
//! [`verification`] what was hashed, [`strays`] what the store may have begun without our knowing.

mod describe;
mod expiry;
mod objects;
mod progress;
mod remake;
mod search;
mod segments;
mod strays;
mod verification;
mod work;

use sqlx::{Row, Transaction, any::Any, any::AnyRow};

pub use describe::{DeliveryRow, DeliverySearch};
pub use expiry::{ClockRun, ExpiryClock};
pub use progress::{Claim, GrowingMedia, MediaPart};
pub use search::{Backlog, MediaSearch};
pub use strays::StrayUpload;
pub use work::{Fence, Fenced, MediaUpload};

use super::{Db, DbError, Result, at};
use crate::domain::{
    container::Container,
    ids::{DecimalId, FileId, RecordingId, SessionId},
    media_file::{MediaFacts, MediaFile, MediaFileState},
    recording::{Origin, Span},
    stream::{AppName, DomainName, StreamName, StreamPath},
};

/// `to_pos` of a span that still grows.
const OPEN: i64 = -1;

/// What [`decode`] reads, in any order.
const COLUMNS: &str = "id, recording_id, ordinal, node_id, domain, app, stream, container, origin, \
    task_id, session_id, template_id, sub_app_id, stream_param, state, error, name, cos_bucket_path, \
    utc_offset_s, storage_key, facts, size_bytes, duration_ms, start_ms, end_ms, expire_ms, storage_class, class_id, \
    created_ms, updated_ms";

impl Db {
    /// Writes a media file and its spans, unless its recording has a file of this ordinal already
    /// (written before a crash). Answers the id that is in the database, which is then the one to
    /// use. `facts.start_ms` is when the first byte arrived.
    pub async fn insert_media_file(
        tx: &mut Transaction<'static, Any>,
        file: &MediaFile,
    ) -> Result<FileId> {
        let inserted = sqlx::query(
            "INSERT INTO media_file (id, recording_id, ordinal, node_id, domain, app, stream, \
             container, origin, task_id, session_id, template_id, sub_app_id, stream_param, state, \
             error, name, storage_key, facts, size_bytes, duration_ms, start_ms, end_ms, expire_ms, \
             storage_class, class_id, projector, upload_id, part_size, reserve_bytes, attempts, \
             next_try_ms, lease_owner, lease_until, fence, created_ms, updated_ms, cos_bucket_path, \
             utc_offset_s) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18, $19, $20, $21, $22, $23, $24, $25, $26, 0, '', 0, 0, 0, $27, '', 0, 0, $28, $27, $29, $30) \
             ON CONFLICT (recording_id, ordinal) DO NOTHING",
        )
        .bind(file.id.to_string())
        .bind(file.recording.to_string())
        .bind(file.ordinal)
        .bind(file.node_id.as_str())
        .bind(file.path.domain.as_str())
        .bind(file.path.app.as_str())
        .bind(file.path.stream.as_str())
        .bind(file.container.as_str())
        .bind(origin_text(&file.origin))
        .bind(file.origin.task_id().unwrap_or(""))
        .bind(file.session_id.to_string())
        .bind(file.template_id)
        .bind(to_i64(file.sub_app_id))
        // The one text that comes unparsed from a publisher; PostgreSQL has no NUL in texts.
        .bind(file.stream_param.replace('\0', ""))
        .bind(file.state.as_str())
        .bind(file.error.as_str())
        .bind(file.name.as_str())
        .bind(file.storage_key.as_str())
        .bind(facts_text(&file.facts)?)
        .bind(to_i64(file.facts.size_bytes))
        .bind(file.facts.duration_ms)
        .bind(file.facts.start_ms)
        .bind(file.facts.end_ms)
        .bind(file.expire_ms)
        .bind(file.storage_class.as_str())
        .bind(file.class_id)
        .bind(file.updated_ms)
        .bind(file.created_ms)
        // An API that knew less may have let one pass.
        .bind(file.cos_bucket_path.replace('\0', ""))
        .bind(i64::from(file.utc_offset_s))
        .execute(&mut **tx)
        .await
        .map_err(at("insert a media file"))?;
        if inserted.rows_affected() == 1 {
            for (ordinal, span) in (0_i64..).zip(&file.spans) {
                insert_span(tx, file.id, ordinal, span).await?;
            }
            return Ok(file.id);
        }
        let row = sqlx::query("SELECT id FROM media_file WHERE recording_id = $1 AND ordinal = $2")
            .bind(file.recording.to_string())
            .bind(file.ordinal)
            .fetch_one(&mut **tx)
            .await
            .map_err(at("find a media file"))?;
        decimal(&row, "id")
    }

    /// One media file with its spans, in whatever state.
    pub async fn media_file(&self, id: FileId) -> Result<Option<MediaFile>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM media_file WHERE id = $1"
        )))
        .bind(id.to_string())
        .fetch_optional(self.reader())
        .await
        .map_err(at("read a media file"))?;
        let Some(row) = row else { return Ok(None) };
        let mut file = decode(&row)?;
        file.spans = self.media_file_spans(id).await?;
        Ok(Some(file))
    }

    /// Ends a growing file: its stretch is complete and delivery may have it. `to` is one past the
    /// last byte of a span that still grows. False if it had ended already.
    pub async fn end_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        to: Option<u64>,
        end_ms: i64,
        now_ms: i64,
    ) -> Result<bool> {
        // next_try_ms becomes the place in delivery's queue: first ended, first made.
        let done = sqlx::query(
            "UPDATE media_file SET state = 'ended', end_ms = $2, next_try_ms = $3, updated_ms = $3 \
             WHERE id = $1 AND state = 'recording'",
        )
        .bind(id.to_string())
        .bind(end_ms)
        .bind(now_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("end a media file"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(to) = to {
            sqlx::query(
                "UPDATE media_file_span SET to_pos = $2 WHERE file_id = $1 AND to_pos = $3",
            )
            .bind(id.to_string())
            .bind(to_i64(to))
            .bind(OPEN)
            .execute(&mut **tx)
            .await
            .map_err(at("close a media file span"))?;
        }
        Ok(true)
    }

    /// Closes the span of a session that ended at `end_ms` (unix milliseconds) without ending the
    /// file: the stream may come back. Repeating this does nothing.
    pub async fn suspend_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        session: SessionId,
        to: u64,
        end_ms: i64,
    ) -> Result<()> {
        sqlx::query("UPDATE media_file SET end_ms = $2 WHERE id = $1 AND state = 'recording'")
            .bind(id.to_string())
            .bind(end_ms)
            .execute(&mut **tx)
            .await
            .map_err(at("suspend a media file"))?;
        sqlx::query(
            "UPDATE media_file_span SET to_pos = $3 \
             WHERE file_id = $1 AND session_id = $2 AND to_pos = $4",
        )
        .bind(id.to_string())
        .bind(session.to_string())
        .bind(to_i64(to))
        .bind(OPEN)
        .execute(&mut **tx)
        .await
        .map_err(at("suspend a media file"))?;
        Ok(())
    }

    /// Ends a file that was suspended and does not go on: as of its suspension, without the stretch
    /// that may have been added meanwhile. False if it had ended already.
    pub async fn end_suspended_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        now_ms: i64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE media_file SET state = 'ended', next_try_ms = $2, updated_ms = $2 \
             WHERE id = $1 AND state = 'recording'",
        )
        .bind(id.to_string())
        .bind(now_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("end a suspended media file"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM media_file_span WHERE file_id = $1 AND to_pos = $2")
            .bind(id.to_string())
            .bind(OPEN)
            .execute(&mut **tx)
            .await
            .map_err(at("drop a stretch of a media file"))?;
        Ok(true)
    }

    /// Adds the stretch in which a suspended file goes on. A file has at most one span of a session
    /// that begins at the same place, so repeating this does nothing.
    pub async fn resume_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        span: &Span,
    ) -> Result<()> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS spans, COUNT(CASE WHEN session_id = $2 AND from_pos = $3 THEN 1 END) AS same \
             FROM media_file_span WHERE file_id = $1",
        )
        .bind(id.to_string())
        .bind(span.session.to_string())
        .bind(to_i64(span.from))
        .fetch_one(&mut **tx)
        .await
        .map_err(at("count the spans of a media file"))?;
        if int(&row, "same")? == 0 {
            insert_span(tx, id, int(&row, "spans")?, span).await?;
        }
        Ok(())
    }

    async fn media_file_spans(&self, id: FileId) -> Result<Vec<Span>> {
        let rows = sqlx::query(
            "SELECT session_id, from_pos, to_pos FROM media_file_span WHERE file_id = $1 ORDER BY ordinal",
        )
        .bind(id.to_string())
        .fetch_all(self.reader())
        .await
        .map_err(at("read the spans of a media file"))?;
        rows.iter().map(progress::decode_span).collect()
    }
}

async fn insert_span(
    tx: &mut Transaction<'static, Any>,
    id: FileId,
    ordinal: i64,
    span: &Span,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO media_file_span (file_id, ordinal, session_id, from_pos, to_pos) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.to_string())
    .bind(ordinal)
    .bind(span.session.to_string())
    .bind(to_i64(span.from))
    .bind(span.to.map_or(OPEN, to_i64))
    .execute(&mut **tx)
    .await
    .map_err(at("insert a media file span"))?;
    Ok(())
}

/// Reads a row of [`COLUMNS`]; spans stay empty.
fn decode(row: &AnyRow) -> Result<MediaFile> {
    let facts = text(row, "facts")?;
    let facts: MediaFacts = serde_json::from_str(&facts).map_err(|e| unreadable("facts", &e))?;
    // The columns are what statements change and search by: they win over the text.
    let facts = MediaFacts {
        size_bytes: unsigned(row, "size_bytes")?,
        duration_ms: int(row, "duration_ms")?,
        start_ms: int(row, "start_ms")?,
        end_ms: int(row, "end_ms")?,
        ..facts
    };
    let (domain, app, stream) = (text(row, "domain")?, text(row, "app")?, text(row, "stream")?);
    let (recording, container) = (text(row, "recording_id")?, text(row, "container")?);
    let (state, origin) = (text(row, "state")?, text(row, "origin")?);
    Ok(MediaFile {
        id: decimal(row, "id")?,
        recording: RecordingId::parse(&recording)
            .ok_or_else(|| unreadable("recording_id", &recording))?,
        ordinal: int(row, "ordinal")?,
        node_id: text(row, "node_id")?,
        path: StreamPath {
            domain: DomainName::parse(&domain).map_err(|e| unreadable("domain", &e))?,
            app: AppName::parse(&app).map_err(|e| unreadable("app", &e))?,
            stream: StreamName::parse(&stream).map_err(|e| unreadable("stream", &e))?,
        },
        container: Container::parse(&container)
            .ok_or_else(|| unreadable("container", &container))?,
        origin: match origin.as_str() {
            "rule" => Origin::Rule,
            "task" => Origin::Task { task_id: text(row, "task_id")? },
            _ => return Err(unreadable("origin", &origin)),
        },
        session_id: decimal(row, "session_id")?,
        template_id: int(row, "template_id")?,
        sub_app_id: unsigned(row, "sub_app_id")?,
        stream_param: text(row, "stream_param")?,
        spans: Vec::new(),
        state: MediaFileState::parse(&state).ok_or_else(|| unreadable("state", &state))?,
        error: text(row, "error")?,
        name: text(row, "name")?,
        cos_bucket_path: text(row, "cos_bucket_path")?,
        utc_offset_s: i32::try_from(int(row, "utc_offset_s")?)
            .map_err(|e| unreadable("utc_offset_s", &e))?,
        storage_key: text(row, "storage_key")?,
        facts,
        expire_ms: int(row, "expire_ms")?,
        storage_class: text(row, "storage_class")?,
        class_id: int(row, "class_id")?,
        created_ms: int(row, "created_ms")?,
        updated_ms: int(row, "updated_ms")?,
    })
}

fn origin_text(origin: &Origin) -> &'static str {
    match origin {
        Origin::Rule => "rule",
        Origin::Task { .. } => "task",
    }
}

fn facts_text(facts: &MediaFacts) -> Result<String> {
    serde_json::to_string(facts).map_err(|e| unreadable("facts", &e))
}

fn unreadable(column: &str, what: &dyn std::fmt::Display) -> DbError {
    DbError::Row { table: "media_file", what: format!("{column}: {what}") }
}

fn text(row: &AnyRow, column: &'static str) -> Result<String> {
    row.try_get(column).map_err(at("read a column of a media file"))
}

fn int(row: &AnyRow, column: &'static str) -> Result<i64> {
    row.try_get(column).map_err(at("read a column of a media file"))
}

fn unsigned(row: &AnyRow, column: &'static str) -> Result<u64> {
    let value = int(row, column)?;
    u64::try_from(value).map_err(|_| unreadable(column, &value))
}

fn decimal(row: &AnyRow, column: &'static str) -> Result<DecimalId> {
    let value = text(row, column)?;
    DecimalId::parse(&value).ok_or_else(|| unreadable(column, &value))
}

/// Sizes and positions stay far below 2^63; a value beyond it could only be nonsense.
fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
