//! What a playlist says of the segments of an HLS media file that is not stored yet: should its journal
//! be lost, a playlist can be made of what the store has.

use sqlx::{Row, Transaction, any::Any};

use super::to_i64;
use crate::{
    db::{Db, DbError, Result, at},
    domain::{ids::FileId, media_file::NotedSegment},
};

/// `init` where no initialisation segment begins to hold.
const NONE: i64 = -1;

impl Db {
    /// Notes a segment before it is stored; the same number again replaces it.
    pub async fn note_media_segment(
        &self,
        id: FileId,
        number: u64,
        noted: NotedSegment,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO media_segment (file_id, number, duration_ms, is_discontinuous, init) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (file_id, number) DO UPDATE \
             SET duration_ms = excluded.duration_ms, \
             is_discontinuous = excluded.is_discontinuous, init = excluded.init",
        )
        .bind(id.to_string())
        .bind(to_i64(number))
        .bind(to_i64(noted.duration_ms))
        .bind(i64::from(noted.is_discontinuous))
        .bind(noted.init.map_or(NONE, to_i64))
        .execute(self.pool())
        .await
        .map_err(at("note a segment"))?;
        Ok(())
    }

    /// The segments that were noted of a file, from the first one on without a hole.
    pub async fn noted_media_segments(&self, id: FileId) -> Result<Vec<NotedSegment>> {
        const ACTION: &str = "read the segments of a file";
        let rows = sqlx::query(
            "SELECT number, duration_ms, is_discontinuous, init FROM media_segment \
             WHERE file_id = $1 ORDER BY number",
        )
        .bind(id.to_string())
        .fetch_all(self.reader())
        .await
        .map_err(at(ACTION))?;
        let mut noted = Vec::with_capacity(rows.len());
        for row in &rows {
            let number = |column: &str| row.try_get::<i64, _>(column).map_err(at(ACTION));
            if u64::try_from(number("number")?) != Ok(noted.len() as u64) {
                break;
            }
            let duration_ms = number("duration_ms")?;
            noted.push(NotedSegment {
                duration_ms: u64::try_from(duration_ms).map_err(|_| DbError::Row {
                    table: "media_segment",
                    what: format!("duration_ms: {duration_ms}"),
                })?,
                is_discontinuous: number("is_discontinuous")? != 0,
                init: u64::try_from(number("init")?).ok(),
            });
        }
        Ok(noted)
    }

    /// The segments are made anew: what was noted of them counts no more.
    pub async fn forget_noted_segments(&self, id: FileId) -> Result<()> {
        let mut tx = self.begin().await?;
        forget(&mut tx, id).await?;
        self.commit(tx, "forget the segments of a file").await
    }
}

/// Forgets what was noted of a file's segments.
pub(super) async fn forget(tx: &mut Transaction<'static, Any>, id: FileId) -> Result<()> {
    sqlx::query("DELETE FROM media_segment WHERE file_id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(at("forget the segments of a file"))?;
    Ok(())
}
