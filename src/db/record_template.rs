//! Rows of record templates.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Db, Result, at,
    template::{self, Change, Creation, Removal, Statements},
};
use crate::domain::record_template::RecordTemplate;

pub(super) const SQL: Statements = Statements {
    table: "record_template",
    count: "SELECT COUNT(*) FROM record_template",
    lock: "UPDATE record_template SET updated_ms = $2 WHERE id = $1 RETURNING body",
    write: "UPDATE record_template SET body = $2 WHERE id = $1",
    delete: "DELETE FROM record_template WHERE id = $1 \
             AND NOT EXISTS (SELECT 1 FROM record_rule WHERE template_id = $1)",
    exists: "SELECT id FROM record_template WHERE id = $1",
};

impl Db {
    /// Stores a new template; its `id` is ignored and the one it gets is answered.
    pub async fn create_record_template(
        &self,
        template: &RecordTemplate,
        now_ms: i64,
    ) -> Result<Creation> {
        let mut tx = self.begin().await?;
        let Some(id) = template::take_id(&mut tx, &SQL, self.limits.templates).await? else {
            return Ok(Creation::Full);
        };
        insert(&mut tx, id, template, now_ms).await?;
        self.commit(tx, "create a record template").await?;
        Ok(Creation::Created(id))
    }

    /// Changes a template under a lock.
    pub async fn change_record_template<E>(
        &self,
        id: i64,
        now_ms: i64,
        apply: impl FnOnce(&mut RecordTemplate) -> std::result::Result<(), E>,
    ) -> Result<Change<E>> {
        template::change(self, &SQL, id, now_ms, apply).await
    }

    /// Deletes a template unless a rule names it.
    pub async fn remove_record_template(&self, id: i64) -> Result<Removal> {
        template::remove(self, &SQL, id).await
    }

    /// One template.
    pub async fn record_template(&self, id: i64) -> Result<Option<RecordTemplate>> {
        let row = sqlx::query("SELECT id, body FROM record_template WHERE id = $1")
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a record template"))?;
        row.as_ref().map(read).transpose()
    }

    /// The templates for normal live (0) or slow live (1), by id.
    pub async fn record_templates(&self, is_delay_live: i64) -> Result<Vec<RecordTemplate>> {
        let rows = sqlx::query(
            "SELECT id, body FROM record_template WHERE is_delay_live = $1 ORDER BY id",
        )
        .bind(is_delay_live)
        .fetch_all(self.reader())
        .await
        .map_err(at("read record templates"))?;
        rows.iter().map(read).collect()
    }
}

/// Writes the row of a template whose id is taken already.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    id: i64,
    template: &RecordTemplate,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO record_template (id, is_delay_live, body, created_ms, updated_ms) VALUES ($1, $2, $3, $4, $4)",
    )
    .bind(id)
    .bind(template.is_delay_live)
    .bind(template::encode(SQL.table, template)?)
    .bind(now_ms)
    .execute(connection)
    .await
    .map_err(at("insert a record template"))?;
    Ok(())
}

/// Every template.
pub(super) async fn all(connection: &mut AnyConnection) -> Result<Vec<RecordTemplate>> {
    let rows = sqlx::query("SELECT id, body FROM record_template")
        .fetch_all(connection)
        .await
        .map_err(at("read record templates"))?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<RecordTemplate> {
    let id: i64 = row.try_get(0).map_err(at("read a record template"))?;
    let body: String = row.try_get(1).map_err(at("read a record template"))?;
    Ok(RecordTemplate { id, ..template::decode(SQL.table, &body)? })
}

#[cfg(test)]
mod tests;
