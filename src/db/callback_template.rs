//! Rows of callback templates.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Db, Result, at,
    template::{self, Change, Creation, Removal, Statements},
};
use crate::domain::callback_template::CallbackTemplate;

pub(super) const SQL: Statements = Statements {
    table: "callback_template",
    count: "SELECT COUNT(*) FROM callback_template",
    lock: "UPDATE callback_template SET updated_ms = $2 WHERE id = $1 RETURNING body",
    write: "UPDATE callback_template SET body = $2 WHERE id = $1",
    delete: "DELETE FROM callback_template WHERE id = $1 \
             AND NOT EXISTS (SELECT 1 FROM callback_rule WHERE template_id = $1)",
    exists: "SELECT id FROM callback_template WHERE id = $1",
};

impl Db {
    /// Stores a new template; its `id` is ignored and the one it gets is answered.
    pub async fn create_callback_template(
        &self,
        template: &CallbackTemplate,
        now_ms: i64,
    ) -> Result<Creation> {
        let mut tx = self.begin().await?;
        let Some(id) = template::take_id(&mut tx, &SQL, self.limits.templates).await? else {
            return Ok(Creation::Full);
        };
        sqlx::query("INSERT INTO callback_template (id, body, created_ms, updated_ms) VALUES ($1, $2, $3, $3)")
            .bind(id)
            .bind(template::encode(SQL.table, template)?)
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(at("insert a callback template"))?;
        self.commit(tx, "create a callback template").await?;
        Ok(Creation::Created(id))
    }

    /// Changes a template under a lock.
    pub async fn change_callback_template<E>(
        &self,
        id: i64,
        now_ms: i64,
        apply: impl FnOnce(&mut CallbackTemplate) -> std::result::Result<(), E>,
    ) -> Result<Change<E>> {
        template::change(self, &SQL, id, now_ms, apply).await
    }

    /// Deletes a template unless a rule names it.
    pub async fn remove_callback_template(&self, id: i64) -> Result<Removal> {
        template::remove(self, &SQL, id).await
    }

    /// One template.
    pub async fn callback_template(&self, id: i64) -> Result<Option<CallbackTemplate>> {
        let row = sqlx::query("SELECT id, body FROM callback_template WHERE id = $1")
            .bind(id)
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a callback template"))?;
        row.as_ref().map(read).transpose()
    }

    /// Every template, by id.
    pub async fn callback_templates(&self) -> Result<Vec<CallbackTemplate>> {
        let mut connection =
            self.reader().acquire().await.map_err(at("read callback templates"))?;
        all(&mut connection).await
    }
}

/// Every template, by id.
pub(super) async fn all(connection: &mut AnyConnection) -> Result<Vec<CallbackTemplate>> {
    let rows = sqlx::query("SELECT id, body FROM callback_template ORDER BY id")
        .fetch_all(connection)
        .await
        .map_err(at("read callback templates"))?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<CallbackTemplate> {
    let id: i64 = row.try_get(0).map_err(at("read a callback template"))?;
    let body: String = row.try_get(1).map_err(at("read a callback template"))?;
    Ok(CallbackTemplate { id, ..template::decode(SQL.table, &body)? })
}
