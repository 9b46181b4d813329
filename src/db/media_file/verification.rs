//! The verification summary of a media file: written with its commit, read one at a time.

use sqlx::{Transaction, any::Any};

use super::{text, unreadable};
use crate::{
    db::{Db, Result, at},
    domain::{ids::FileId, verification::Verification},
};

impl Db {
    /// Writes the summary of a file in the transaction that commits it, in place of any earlier one.
    pub async fn set_media_file_verification(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        verification: &Verification,
    ) -> Result<()> {
        let body =
            serde_json::to_string(verification).map_err(|e| unreadable("verification", &e))?;
        sqlx::query(
            "INSERT INTO media_file_verification (file_id, body) VALUES ($1, $2) \
             ON CONFLICT (file_id) DO UPDATE SET body = excluded.body",
        )
        .bind(id.to_string())
        .bind(body)
        .execute(&mut **tx)
        .await
        .map_err(at("write the verification summary of a media file"))?;
        Ok(())
    }

    /// The summary of a file. `None` if it has none: it is not stored yet, or was stored before
    /// there were summaries.
    pub async fn media_file_verification(&self, id: FileId) -> Result<Option<Verification>> {
        let row = sqlx::query("SELECT body FROM media_file_verification WHERE file_id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await
            .map_err(at("read the verification summary of a media file"))?;
        let Some(row) = row else { return Ok(None) };
        let body = text(&row, "body")?;
        serde_json::from_str(&body).map(Some).map_err(|e| unreadable("verification", &e))
    }
}
