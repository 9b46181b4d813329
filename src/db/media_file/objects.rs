//! The objects of an HLS media file that the store has already: its rows in `media_part`, by the
//! object's name. An object that was put whole is its own only part.

use sqlx::{Transaction, any::Any};

use super::{
    MediaPart, MediaUpload,
    progress::{count_bytes, insert_part},
    text, to_i64,
};
use crate::{
    db::{Db, Result, at},
    domain::ids::FileId,
};

impl Db {
    /// Remembers an object that the store has taken, as all of its parts, in place of an earlier one
    /// of this name.
    pub async fn put_media_object(
        &self,
        id: FileId,
        object: &str,
        parts: &[MediaPart],
        now_ms: i64,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        delete_object(&mut tx, id, object).await?;
        for part in parts {
            insert_part(&mut tx, id, object, part, now_ms).await?;
        }
        let bytes = parts.iter().map(|part| part.size_bytes).sum();
        count_bytes(&mut tx, id, bytes, now_ms).await?;
        self.commit(tx, "note an object").await
    }

    /// An object is going to be replaced: what the rows say of it counts no more.
    pub async fn forget_media_object(&self, id: FileId, object: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        delete_object(&mut tx, id, object).await?;
        self.commit(tx, "forget an object").await
    }

    /// Names of the objects of a file that the store has.
    pub async fn media_objects(&self, id: FileId) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT object FROM media_part WHERE file_id = $1")
            .bind(id.to_string())
            .fetch_all(self.reader())
            .await
            .map_err(at("read the objects of a file"))?;
        rows.iter().map(|row| text(row, "object")).collect()
    }

    /// Notes the upload in parts of one of a file's objects, or, with an empty id, that there is
    /// none. The other objects stay what they are.
    pub async fn note_object_upload(&self, id: FileId, upload: &MediaUpload) -> Result<()> {
        sqlx::query(
            "UPDATE media_file SET projector = $2, upload_id = $3, part_size = $4 \
             WHERE id = $1 AND state IN ('recording', 'ended')",
        )
        .bind(id.to_string())
        .bind(upload.projector)
        .bind(upload.upload_id.as_str())
        .bind(to_i64(upload.part_size))
        .execute(self.pool())
        .await
        .map_err(at("note the upload of an object"))?;
        Ok(())
    }
}

async fn delete_object(tx: &mut Transaction<'static, Any>, id: FileId, object: &str) -> Result<()> {
    sqlx::query("DELETE FROM media_part WHERE file_id = $1 AND object = $2")
        .bind(id.to_string())
        .bind(object)
        .execute(&mut **tx)
        .await
        .map_err(at("forget an object"))?;
    Ok(())
}
