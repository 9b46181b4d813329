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
    pub async fn create_record_template(&self, template: &RecordTemplate, now_ms: i64) -> Result<Creation> {
        let mut tx = self.begin().await?;
        let Some(id) = template::take_id(&mut tx, &SQL).await? else { return Ok(Creation::Full) };
        insert(&mut tx, id, template, now_ms).await?;
        tx.commit().await.map_err(at("create a record template"))?;
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
            .fetch_optional(self.pool())
            .await
            .map_err(at("read a record template"))?;
        row.as_ref().map(read).transpose()
    }

    /// The templates for normal live (0) or slow live (1), by id.
    pub async fn record_templates(&self, is_delay_live: i64) -> Result<Vec<RecordTemplate>> {
        let rows = sqlx::query("SELECT id, body FROM record_template WHERE is_delay_live = $1 ORDER BY id")
            .bind(is_delay_live)
            .fetch_all(self.pool())
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
mod tests {
    use super::*;
    use crate::{
        db::{callback::testing::databases, template::MAX_TEMPLATES},
        domain::{record_rule::RecordRule, stream::DomainName},
    };

    fn template(name: &str) -> RecordTemplate {
        RecordTemplate { name: name.to_owned(), ..RecordTemplate::default() }
    }

    async fn created(db: &Db, name: &str) -> i64 {
        match db.create_record_template(&template(name), 5).await.unwrap() {
            Creation::Created(id) => id,
            Creation::Full => panic!("full"),
        }
    }

    #[tokio::test]
    async fn a_template_lives_from_creation_to_removal() {
        for test in databases().await {
            let db = &test.db;
            let first = created(db, "first").await;
            let slow = RecordTemplate { is_delay_live: 1, ..template("slow") };
            let Creation::Created(slow) = db.create_record_template(&slow, 5).await.unwrap() else { panic!() };
            assert!(slow > first && first > 0);
            let stored = db.record_template(first).await.unwrap().unwrap();
            assert_eq!(stored, RecordTemplate { id: first, ..template("first") });
            assert_eq!(db.record_templates(1).await.unwrap().iter().map(|t| t.id).collect::<Vec<_>>(), [slow]);

            let renamed = db.change_record_template::<()>(first, 6, |t| {
                t.name = "renamed".to_owned();
                Ok(())
            });
            assert_eq!(renamed.await.unwrap(), Change::Changed);
            let refused = db.change_record_template(first, 7, |t| {
                t.name = "never".to_owned();
                Err("no")
            });
            assert_eq!(refused.await.unwrap(), Change::Refused("no"));
            assert_eq!(db.change_record_template::<()>(99, 7, |_| Ok(())).await.unwrap(), Change::Absent);
            assert_eq!(db.record_template(first).await.unwrap().unwrap().name, "renamed");

            let rule = RecordRule {
                domain: DomainName::parse("d.com").unwrap(),
                app: String::new(),
                stream: String::new(),
                template_id: first,
                created_ms: 1,
                updated_ms: 1,
            };
            db.create_record_rule(&rule).await.unwrap();
            assert_eq!(db.remove_record_template(first).await.unwrap(), Removal::InUse);
            assert!(db.remove_record_rule(&rule.domain, "", "").await.unwrap());
            assert_eq!(db.remove_record_template(first).await.unwrap(), Removal::Removed);
            assert_eq!(db.remove_record_template(first).await.unwrap(), Removal::Absent);
            assert_eq!(db.record_template(first).await.unwrap(), None);
            assert_ne!(created(db, "next").await, first, "an id is never given twice");
        }
    }

    #[tokio::test]
    async fn the_limit_holds_against_many_at_once() {
        for test in databases().await {
            let db = &test.db;
            for n in 0..MAX_TEMPLATES - 3 {
                created(db, &format!("t{n}")).await;
            }
            let last = template("last");
            let tries = (0..8).map(|_| db.create_record_template(&last, 9));
            let outcomes = futures_util::future::join_all(tries).await;
            let full = outcomes.iter().filter(|o| matches!(o, Ok(Creation::Full))).count();
            assert_eq!(full, 5, "{outcomes:?}");
            assert_eq!(db.record_templates(0).await.unwrap().len() as i64, MAX_TEMPLATES);
        }
    }

    #[tokio::test]
    async fn changes_at_once_are_both_kept() {
        for test in databases().await {
            let db = &test.db;
            let id = created(db, "t").await;
            let changes = (0..6).map(|_| {
                db.change_record_template::<()>(id, 6, |t| {
                    t.flow_continue_duration += 1;
                    Ok(())
                })
            });
            for outcome in futures_util::future::join_all(changes).await {
                assert_eq!(outcome.unwrap(), Change::Changed);
            }
            assert_eq!(db.record_template(id).await.unwrap().unwrap().flow_continue_duration, 6);
        }
    }
}
