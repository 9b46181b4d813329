//! What delivery does with a media file, under a lease.
//!
//! A lease is a time limit and a fence: every claim raises the row's fence, and every later change
//! names the one it was given, so whoever lost the lease (a stall, a second worker, a restart)
//! changes nothing any more.

use sqlx::{Transaction, any::Any};

use super::{COLUMNS, Claim, decode, facts_text, int, text, to_i64, unsigned};
use crate::{
    db::{Db, Result, at},
    domain::{
        ids::FileId,
        media_file::{MediaFile, MediaFileState},
    },
};

/// Longest `error` kept, in characters.
const MAX_ERROR_CHARS: usize = 500;

/// Times a claim is tried again when another worker was faster.
const MAX_RACES: usize = 8;

/// The fence of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub i64);

/// Whether a change under a lease was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost lease means that nothing was written"]
pub enum Fenced {
    /// The row was changed.
    Done,
    /// The lease is somebody else's by now, or the file is no longer in the state to do this:
    /// nothing was changed, and the transaction must not be committed.
    Lost,
}

/// An upload in parts under way, and what made its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaUpload {
    /// Version of the projector; another one must begin anew.
    pub projector: i64,
    /// The store's id; empty if there is no upload.
    pub upload_id: String,
    /// Bytes of every part but the last.
    pub part_size: u64,
    /// Bytes kept free for the head.
    pub reserve_bytes: u64,
}

impl Db {
    /// Takes such a file of this node, with its spans. `None` if there is nothing to do now.
    pub async fn claim_media_file(
        &self,
        which: Claim,
        node_id: &str,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<(MediaFile, Fence)>> {
        let (is_such, order) = which.sql();
        let due = format!(
            "state = 'ended' AND node_id = $1 AND next_try_ms <= $2 AND lease_until <= $2{is_such}"
        );
        // The condition stands twice: PostgreSQL checks only the outer one again when it had to
        // wait for another worker's claim of the same row.
        let claim = format!(
            "UPDATE media_file SET lease_owner = $3, lease_until = $4, fence = fence + 1 \
             WHERE id = (SELECT id FROM media_file WHERE {due} ORDER BY {order} LIMIT 1) \
             AND {due} RETURNING fence, {COLUMNS}"
        );
        let waiting = format!("SELECT COUNT(*) AS n FROM media_file WHERE {due}");
        for _ in 0..MAX_RACES {
            let row = sqlx::query(sqlx::AssertSqlSafe(claim.clone()))
                .bind(node_id)
                .bind(now_ms)
                .bind(owner)
                .bind(now_ms.saturating_add(lease_ms))
                .fetch_optional(self.pool())
                .await
                .map_err(at("claim a media file"))?;
            if let Some(row) = row {
                let mut file = decode(&row)?;
                file.spans = self.media_file_spans(file.id).await?;
                return Ok(Some((file, Fence(int(&row, "fence")?))));
            }
            let row = sqlx::query(sqlx::AssertSqlSafe(waiting.clone()))
                .bind(node_id)
                .bind(now_ms)
                .fetch_one(self.reader())
                .await
                .map_err(at("count the media files to make"))?;
            if int(&row, "n")? == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Whether a file of this node is being made or could be made now.
    pub async fn has_media_files_due(&self, node_id: &str, now_ms: i64) -> Result<bool> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM media_file WHERE state = 'ended' AND node_id = $1 AND next_try_ms <= $2",
        )
        .bind(node_id)
        .bind(now_ms)
        .fetch_one(self.reader())
        .await
        .map_err(at("look for media files that are due"))?;
        Ok(int(&row, "n")? > 0)
    }

    /// Prolongs a lease to `until_ms` (unix milliseconds).
    pub async fn renew_media_file(
        &self,
        id: FileId,
        fence: Fence,
        until_ms: i64,
    ) -> Result<Fenced> {
        let done =
            sqlx::query("UPDATE media_file SET lease_until = $3 WHERE id = $1 AND fence = $2")
                .bind(id.to_string())
                .bind(fence.0)
                .bind(until_ms)
                .execute(self.pool())
                .await
                .map_err(at("renew the lease of a media file"))?;
        Ok(fenced(done.rows_affected()))
    }

    /// Makes a file visible: stored under `storage_key` with these facts, name and expiry. In the
    /// same transaction the caller enqueues its event 100. The VOD creation time is `now_ms`, so
    /// that whoever polls by creation time misses no file.
    pub async fn commit_stored_media_file(
        tx: &mut Transaction<'static, Any>,
        file: &MediaFile,
        fence: Fence,
        now_ms: i64,
    ) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET state = 'stored', error = '', name = $3, storage_key = $4, \
             facts = $5, size_bytes = $6, duration_ms = $7, start_ms = $8, end_ms = $9, \
             expire_ms = $10, storage_class = $11, class_id = $12, upload_id = '', lease_owner = '', \
             lease_until = 0, created_ms = $13, updated_ms = $13 \
             WHERE id = $1 AND fence = $2 AND state = 'ended'",
        )
        .bind(file.id.to_string())
        .bind(fence.0)
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
        .bind(now_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("commit a media file"))?;
        Ok(fenced(done.rows_affected()))
    }

    /// Gives a file back to be tried again at `next_try_ms` (unix milliseconds), saying why.
    pub async fn postpone_media_file(
        &self,
        id: FileId,
        fence: Fence,
        next_try_ms: i64,
        error: &str,
        now_ms: i64,
    ) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET next_try_ms = $3, error = $4, attempts = attempts + 1, \
             lease_owner = '', lease_until = 0, updated_ms = $5 WHERE id = $1 AND fence = $2",
        )
        .bind(id.to_string())
        .bind(fence.0)
        .bind(next_try_ms)
        .bind(bounded(error))
        .bind(now_ms)
        .execute(self.pool())
        .await
        .map_err(at("postpone a media file"))?;
        Ok(fenced(done.rows_affected()))
    }

    /// Gives a file back untouched, for another worker to have at once.
    pub async fn release_media_file(&self, id: FileId, fence: Fence) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET lease_owner = '', lease_until = 0 WHERE id = $1 AND fence = $2",
        )
        .bind(id.to_string())
        .bind(fence.0)
        .execute(self.pool())
        .await
        .map_err(at("release a media file"))?;
        Ok(fenced(done.rows_affected()))
    }

    /// Takes back every lease that an earlier process of this node left behind; only while no
    /// other process of the node can be running. Fences rise, so a straggler changes nothing.
    pub async fn release_media_files_of(&self, node_id: &str) -> Result<u64> {
        let done = sqlx::query(
            "UPDATE media_file SET lease_owner = '', lease_until = 0, fence = fence + 1 \
             WHERE node_id = $1 AND lease_until > 0 AND state IN ('recording', 'ended')",
        )
        .bind(node_id)
        .execute(self.pool())
        .await
        .map_err(at("release the media files of a node"))?;
        Ok(done.rows_affected())
    }

    /// Gives an ended file up for good: `Failed` (with the reason) or `Empty`.
    pub async fn fail_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        fence: Fence,
        state: MediaFileState,
        error: &str,
        now_ms: i64,
    ) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET state = $3, error = $4, lease_owner = '', lease_until = 0, \
             updated_ms = $5 WHERE id = $1 AND fence = $2 AND state = 'ended'",
        )
        .bind(id.to_string())
        .bind(fence.0)
        .bind(state.as_str())
        .bind(bounded(error))
        .bind(now_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("give up a media file"))?;
        Ok(fenced(done.rows_affected()))
    }

    /// The upload under way for a file; `None` if there is no such file.
    pub async fn media_upload(&self, id: FileId) -> Result<Option<MediaUpload>> {
        let row = sqlx::query(
            "SELECT projector, upload_id, part_size, reserve_bytes FROM media_file WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.reader())
        .await
        .map_err(at("read an upload"))?;
        row.map(|row| {
            Ok(MediaUpload {
                projector: int(&row, "projector")?,
                upload_id: text(&row, "upload_id")?,
                part_size: unsigned(&row, "part_size")?,
                reserve_bytes: unsigned(&row, "reserve_bytes")?,
            })
        })
        .transpose()
    }

    /// Notes an upload, before its first part is stored.
    pub async fn set_media_upload(
        &self,
        id: FileId,
        fence: Fence,
        upload: &MediaUpload,
    ) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET projector = $3, upload_id = $4, part_size = $5, reserve_bytes = $6 \
             WHERE id = $1 AND fence = $2",
        )
        .bind(id.to_string())
        .bind(fence.0)
        .bind(upload.projector)
        .bind(upload.upload_id.as_str())
        .bind(to_i64(upload.part_size))
        .bind(to_i64(upload.reserve_bytes))
        .execute(self.pool())
        .await
        .map_err(at("note an upload"))?;
        Ok(fenced(done.rows_affected()))
    }
}

fn fenced(rows: u64) -> Fenced {
    if rows == 1 { Fenced::Done } else { Fenced::Lost }
}

pub(super) fn bounded(error: &str) -> String {
    // PostgreSQL has no NUL in texts, and what a store answers is not ours.
    error.chars().filter(|c| *c != '\0').take(MAX_ERROR_CHARS).collect()
}
