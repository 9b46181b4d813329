//! Media files with how far delivery is with each, for whoever watches over a server.

use sqlx::any::AnyRow;

use super::{decimal, int, text, to_i64, unreadable, unsigned};
use crate::{
    db::{Db, Result, at},
    domain::{
        ids::FileId,
        media_file::{DeliveryProgress, MediaFileState},
    },
};

/// What is asked for; empty texts ask nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliverySearch {
    /// Push domain.
    pub domain: String,
    /// AppName.
    pub app: String,
    /// StreamName.
    pub stream: String,
    /// State of the file.
    pub state: Option<MediaFileState>,
    /// Rows skipped.
    pub offset: u64,
    /// Rows answered at most.
    pub limit: u64,
}

/// A file on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Id.
    pub id: FileId,
    /// The recording it is a file of, and which one of it.
    pub recording_id: String,
    /// 0, 1, 2, ... within the recording.
    pub ordinal: i64,
    /// Push domain, AppName, StreamName.
    pub path: [String; 3],
    /// Container.
    pub container: String,
    /// State.
    pub state: MediaFileState,
    /// How far delivery is.
    pub progress: DeliveryProgress,
    /// The store's id of the upload in parts; empty without one.
    pub upload_id: String,
    /// Bytes of a part; 0 without an upload.
    pub part_size: u64,
    /// Parts that the store has.
    pub parts: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Attempts that failed.
    pub attempts: i64,
    /// Unix milliseconds of the next attempt; 0 while the file grows.
    pub next_try_ms: i64,
    /// What the last attempt came to; empty if it was well.
    pub error: String,
    /// Unix milliseconds of the first byte.
    pub start_ms: i64,
    /// Unix milliseconds of the last byte; 0 while the file grows.
    pub end_ms: i64,
    /// Unix milliseconds at which the stored objects were found to be what was sent; 0 not yet.
    pub verified_ms: i64,
    /// Unix milliseconds of event 100; 0 not yet.
    pub announced_ms: i64,
}

impl Db {
    /// Files that match, the newest first, and how many there are without paging.
    pub async fn describe_deliveries(
        &self,
        search: &DeliverySearch,
    ) -> Result<(u64, Vec<DeliveryRow>)> {
        const MATCHING: &str = "FROM media_file f WHERE ($1 = '' OR domain = $1) \
             AND ($2 = '' OR app = $2) AND ($3 = '' OR stream = $3) AND ($4 = '' OR state = $4)";
        let state = search.state.map_or("", MediaFileState::as_str);
        let count = format!("SELECT COUNT(*) AS n {MATCHING}");
        let row = sqlx::query(sqlx::AssertSqlSafe(count))
            .bind(search.domain.as_str())
            .bind(search.app.as_str())
            .bind(search.stream.as_str())
            .bind(state)
            .fetch_one(self.reader())
            .await
            .map_err(at("count media files"))?;
        let total = u64::try_from(int(&row, "n")?).unwrap_or_default();
        let list = format!(
            "SELECT id, recording_id, ordinal, domain, app, stream, container, state, progress, \
             upload_id, part_size, uploaded_bytes, attempts, next_try_ms, error, start_ms, end_ms, \
             verified_ms, announced_ms, \
             (SELECT COUNT(*) FROM media_part p WHERE p.file_id = f.id) AS parts \
             {MATCHING} ORDER BY id DESC LIMIT $5 OFFSET $6"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(list))
            .bind(search.domain.as_str())
            .bind(search.app.as_str())
            .bind(search.stream.as_str())
            .bind(state)
            .bind(to_i64(search.limit))
            .bind(to_i64(search.offset))
            .fetch_all(self.reader())
            .await
            .map_err(at("describe media files"))?;
        Ok((total, rows.iter().map(decode).collect::<Result<_>>()?))
    }
}

fn decode(row: &AnyRow) -> Result<DeliveryRow> {
    let (state, progress) = (text(row, "state")?, text(row, "progress")?);
    let upload_id = text(row, "upload_id")?;
    let state = MediaFileState::parse(&state).ok_or_else(|| unreadable("state", &state))?;
    let progress =
        DeliveryProgress::parse(&progress).ok_or_else(|| unreadable("progress", &progress))?;
    Ok(DeliveryRow {
        id: decimal(row, "id")?,
        recording_id: text(row, "recording_id")?,
        ordinal: int(row, "ordinal")?,
        path: [text(row, "domain")?, text(row, "app")?, text(row, "stream")?],
        container: text(row, "container")?,
        state,
        // Files that were stored before this was noted.
        progress: match (state, progress) {
            (MediaFileState::Stored, _) => DeliveryProgress::Announced,
            (_, progress) => progress,
        },
        // In front of the store's id stands which object it is of.
        upload_id: upload_id.split_once(':').map_or("", |(_, id)| id).to_owned(),
        part_size: unsigned(row, "part_size")?,
        parts: unsigned(row, "parts")?,
        uploaded_bytes: unsigned(row, "uploaded_bytes")?,
        attempts: int(row, "attempts")?,
        next_try_ms: match state {
            MediaFileState::Ended => int(row, "next_try_ms")?,
            _ => 0,
        },
        error: text(row, "error")?,
        start_ms: int(row, "start_ms")?,
        end_ms: int(row, "end_ms")?,
        verified_ms: match state {
            MediaFileState::Stored => int(row, "verified_ms")?,
            _ => 0,
        },
        announced_ms: int(row, "announced_ms")?,
    })
}
