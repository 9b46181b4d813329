//! How far the product of a media file is: its upload in parts, what of it the store has, whether
//! that was checked.
//!
//! Uploads are begun while the file still grows, without a lease: one process has the journals of a
//! node, and inside it delivery sees to it that one worker at a time has a file in hand.

use sqlx::{Transaction, any::Any, any::AnyRow};

use super::{
    COLUMNS, Fence, Fenced, MediaUpload, OPEN, decimal, decode, int, text, to_i64, unreadable,
    unsigned,
};
use crate::{
    db::{Db, Result, at},
    domain::{
        container::Container,
        ids::{FileId, SessionId},
        media_file::{DeliveryProgress, MediaFile},
        recording::Span,
        verification::ObjectEvidence,
    },
};

/// A file that still grows, as much as is needed to see whether there is a part to be made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowingMedia {
    /// Id.
    pub id: FileId,
    /// Container.
    pub container: Container,
    /// Where in the journals, in order.
    pub spans: Vec<Span>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPart {
    /// 1 and up.
    pub number: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// Of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// The store's tag of it, as received.
    pub etag: String,
}

impl MediaPart {
    /// What the summary of a file says of it; `object` is the name of what it is a part of.
    pub fn evidence(self, object: &str) -> ObjectEvidence {
        let Self { number, size_bytes, sha256, .. } = self;
        ObjectEvidence { object: object.to_owned(), part: number, size_bytes, sha256 }
    }
}

/// Which of the ended files a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The one that has waited longest.
    Oldest,
    /// The one with the least to be read: it need not wait for the large ones.
    Smallest,
    /// The one of the newest push, if at most so many bytes of journal are to be read: it need not wait
    /// for what an earlier process left behind.
    Newest(u64),
}

impl Claim {
    /// What else holds of such a row, and what the rows are ordered by.
    pub(super) fn sql(self) -> (String, String) {
        const LEFT: &str = "((SELECT COALESCE(SUM(s.to_pos - s.from_pos), 0) FROM media_file_span s \
             WHERE s.file_id = media_file.id) - uploaded_bytes)";
        const WAITED: &str = "next_try_ms, id";
        const PUSH: &str = "(SELECT MAX(s.session_id) FROM media_file_span s \
             WHERE s.file_id = media_file.id)";
        match self {
            Claim::Oldest => (String::new(), WAITED.to_owned()),
            Claim::Smallest => (String::new(), format!("{LEFT}, {WAITED}")),
            Claim::Newest(max) => {
                (format!(" AND {LEFT} <= {}", to_i64(max)), format!("{PUSH} DESC, {WAITED}"))
            }
        }
    }
}

impl Db {
    /// The files of a node that still grow.
    pub async fn growing_media_files(&self, node_id: &str) -> Result<Vec<GrowingMedia>> {
        let rows = sqlx::query(
            "SELECT f.id, f.container, s.session_id, s.from_pos, s.to_pos FROM media_file f \
             JOIN media_file_span s ON s.file_id = f.id \
             WHERE f.state = 'recording' AND f.node_id = $1 \
             ORDER BY f.id, s.ordinal",
        )
        .bind(node_id)
        .fetch_all(self.reader())
        .await
        .map_err(at("look for media files that grow"))?;
        let mut files: Vec<GrowingMedia> = Vec::new();
        for row in &rows {
            let (id, span) = (decimal(row, "id")?, decode_span(row)?);
            match files.last_mut() {
                Some(file) if file.id == id => file.spans.push(span),
                _ => {
                    let container = text(row, "container")?;
                    let container = Container::parse(&container)
                        .ok_or_else(|| unreadable("container", &container))?;
                    files.push(GrowingMedia { id, container, spans: vec![span] });
                }
            }
        }
        Ok(files)
    }

    /// Notes an upload before its first part, in place of any earlier one.
    pub async fn begin_media_upload(&self, id: FileId, upload: &MediaUpload) -> Result<()> {
        let mut tx = self.begin().await?;
        delete_parts(&mut tx, id).await?;
        sqlx::query(
            "UPDATE media_file SET projector = $2, upload_id = $3, part_size = $4, \
             reserve_bytes = $5, uploaded_bytes = 0, progress = $6 \
             WHERE id = $1 AND state IN ('recording', 'ended')",
        )
        .bind(id.to_string())
        .bind(upload.projector)
        .bind(upload.upload_id.as_str())
        .bind(to_i64(upload.part_size))
        .bind(to_i64(upload.reserve_bytes))
        .bind(DeliveryProgress::Uploading.as_str())
        .execute(&mut *tx)
        .await
        .map_err(at("note an upload"))?;
        self.commit(tx, "note an upload").await
    }

    /// Forgets an upload that was given up.
    pub async fn forget_media_upload(&self, id: FileId) -> Result<()> {
        let mut tx = self.begin().await?;
        delete_parts(&mut tx, id).await?;
        super::segments::forget(&mut tx, id).await?;
        sqlx::query(
            "UPDATE media_file SET upload_id = '', part_size = 0, reserve_bytes = 0, \
             uploaded_bytes = 0, progress = '' WHERE id = $1 AND state IN ('recording', 'ended')",
        )
        .bind(id.to_string())
        .execute(&mut *tx)
        .await
        .map_err(at("forget an upload"))?;
        self.commit(tx, "forget an upload").await
    }

    /// Remembers a part that the store has taken; the same number again replaces it.
    pub async fn put_media_part(
        &self,
        id: FileId,
        object: &str,
        part: &MediaPart,
        now_ms: i64,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        insert_part(&mut tx, id, object, part, now_ms).await?;
        count_bytes(&mut tx, id, part.size_bytes, now_ms).await?;
        self.commit(tx, "note a part").await
    }

    /// One part of an object, if the store has it.
    pub async fn media_part(
        &self,
        id: FileId,
        object: &str,
        number: u32,
    ) -> Result<Option<MediaPart>> {
        let row = sqlx::query(
            "SELECT number, size_bytes, sha256, etag FROM media_part \
             WHERE file_id = $1 AND object = $2 AND number = $3",
        )
        .bind(id.to_string())
        .bind(object)
        .bind(i64::from(number))
        .fetch_optional(self.reader())
        .await
        .map_err(at("read a part"))?;
        row.as_ref().map(decode_part).transpose()
    }

    /// All parts of an object that the store has, by number.
    pub async fn media_parts(&self, id: FileId, object: &str) -> Result<Vec<MediaPart>> {
        let rows = sqlx::query(
            "SELECT number, size_bytes, sha256, etag FROM media_part \
             WHERE file_id = $1 AND object = $2 ORDER BY number",
        )
        .bind(id.to_string())
        .bind(object)
        .fetch_all(self.reader())
        .await
        .map_err(at("read the parts of an object"))?;
        rows.iter().map(decode_part).collect()
    }

    /// How far delivery is with a file it has a lease of.
    pub async fn set_media_progress(
        &self,
        id: FileId,
        fence: Fence,
        progress: DeliveryProgress,
    ) -> Result<Fenced> {
        let done = sqlx::query(
            "UPDATE media_file SET progress = $3 WHERE id = $1 AND fence = $2 AND state = 'ended'",
        )
        .bind(id.to_string())
        .bind(fence.0)
        .bind(progress.as_str())
        .execute(self.pool())
        .await
        .map_err(at("note how far a media file is"))?;
        Ok(if done.rows_affected() == 1 { Fenced::Done } else { Fenced::Lost })
    }

    /// In the transaction that makes a file visible: it is announced now, its parts are history, and
    /// `verified_ms` (0 if that is still to be done) is when its objects were checked. Answers
    /// whether it was announced before, which happens to a file that had to be made again.
    pub async fn announce_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        verified_ms: i64,
        now_ms: i64,
    ) -> Result<bool> {
        delete_parts(tx, id).await?;
        super::segments::forget(tx, id).await?;
        let first = sqlx::query(
            "UPDATE media_file SET announced_ms = $2 WHERE id = $1 AND announced_ms = 0",
        )
        .bind(id.to_string())
        .bind(now_ms.max(1))
        .execute(&mut **tx)
        .await
        .map_err(at("announce a media file"))?;
        sqlx::query("UPDATE media_file SET progress = $2, verified_ms = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(DeliveryProgress::Announced.as_str())
            .bind(verified_ms)
            .execute(&mut **tx)
            .await
            .map_err(at("announce a media file"))?;
        Ok(first.rows_affected() == 0)
    }

    /// The stored file of a node that waits longest for its objects to be read back; those with an
    /// id up to `after` were looked at.
    pub async fn unverified_media_file(
        &self,
        node_id: &str,
        after: Option<FileId>,
    ) -> Result<Option<MediaFile>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM media_file WHERE state = 'stored' AND verified_ms = 0 \
             AND node_id = $1 AND id > $2 ORDER BY id LIMIT 1"
        )))
        .bind(node_id)
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .fetch_optional(self.reader())
        .await
        .map_err(at("look for media files to read back"))?;
        row.as_ref().map(decode).transpose()
    }

    /// The objects of a stored file were read back and are what was sent.
    pub async fn set_media_verified(&self, id: FileId, now_ms: i64) -> Result<()> {
        sqlx::query("UPDATE media_file SET verified_ms = $2 WHERE id = $1 AND verified_ms = 0")
            .bind(id.to_string())
            .bind(now_ms.max(1))
            .execute(self.pool())
            .await
            .map_err(at("note that a media file was read back"))?;
        Ok(())
    }

    /// A stored file turned out not to be what was sent: it is made again.
    pub async fn remake_media_file(&self, id: FileId, error: &str, now_ms: i64) -> Result<()> {
        sqlx::query(
            "UPDATE media_file SET state = 'ended', progress = '', verified_ms = 1, error = $2, \
             next_try_ms = $3, updated_ms = $3, lease_owner = '', lease_until = 0, \
             upload_id = '', uploaded_bytes = 0 WHERE id = $1 AND state = 'stored' AND verified_ms = 0",
        )
        .bind(id.to_string())
        .bind(super::work::bounded(error))
        .bind(now_ms)
        .execute(self.pool())
        .await
        .map_err(at("give a media file back to delivery"))?;
        self.media_changed().notify_waiters();
        Ok(())
    }
}

async fn delete_parts(tx: &mut Transaction<'static, Any>, id: FileId) -> Result<()> {
    sqlx::query("DELETE FROM media_part WHERE file_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(at("forget the parts of a media file"))?;
    Ok(())
}

fn decode_part(row: &AnyRow) -> Result<MediaPart> {
    let number = int(row, "number")?;
    Ok(MediaPart {
        number: u32::try_from(number).map_err(|_| unreadable("number", &number))?,
        size_bytes: unsigned(row, "size_bytes")?,
        sha256: text(row, "sha256")?,
        etag: text(row, "etag")?,
    })
}

/// A row of `media_file_span`.
pub(super) fn decode_span(row: &AnyRow) -> Result<Span> {
    let session = text(row, "session_id")?;
    Ok(Span {
        session: SessionId::parse(&session).ok_or_else(|| unreadable("session_id", &session))?,
        from: unsigned(row, "from_pos")?,
        to: match int(row, "to_pos")? {
            OPEN => None,
            _ => Some(unsigned(row, "to_pos")?),
        },
    })
}

/// Writes the row of a part; the same number again replaces it.
pub(super) async fn insert_part(
    tx: &mut Transaction<'static, Any>,
    id: FileId,
    object: &str,
    part: &MediaPart,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO media_part (file_id, object, number, size_bytes, sha256, etag, stored_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (file_id, object, number) DO UPDATE \
         SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256, \
         etag = excluded.etag, stored_ms = excluded.stored_ms",
    )
    .bind(id.to_string())
    .bind(object)
    .bind(i64::from(part.number))
    .bind(to_i64(part.size_bytes))
    .bind(part.sha256.as_str())
    .bind(part.etag.as_str())
    .bind(now_ms)
    .execute(&mut **tx)
    .await
    .map_err(at("note a part"))?;
    Ok(())
}

/// Counts bytes that the store has taken of a file.
pub(super) async fn count_bytes(
    tx: &mut Transaction<'static, Any>,
    id: FileId,
    bytes: u64,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "UPDATE media_file SET updated_ms = $3, uploaded_bytes = uploaded_bytes + $2 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(to_i64(bytes))
    .bind(now_ms)
    .execute(&mut **tx)
    .await
    .map_err(at("note a part"))?;
    Ok(())
}
