//! Rows of record rules. The triple (domain, app, stream) is the primary key.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Db, Result, at,
    push_domain::domain_name,
    readable::readable,
    record_template,
    rule::{RuleCreation, is_full},
    template::is_foreign_key_violation,
};
use crate::domain::{record_rule::RecordRule, stream::DomainName};

impl Db {
    /// Stores a new rule and registers its domain if need be, both or nothing.
    pub async fn create_record_rule(&self, rule: &RecordRule) -> Result<RuleCreation> {
        let mut tx = self.begin().await?;
        let template = sqlx::query(record_template::SQL.exists)
            .bind(rule.template_id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(at("read a record template"))?;
        if template.is_none() {
            return Ok(RuleCreation::NoTemplate);
        }
        if is_full(&mut tx, "record_rule", self.limits.rules).await? {
            return Ok(RuleCreation::Full);
        }
        if let Some(why) = self.register_domain(&mut tx, &rule.domain, rule.created_ms).await? {
            return Ok(RuleCreation::NoDomain(why));
        }
        match insert(&mut tx, rule).await {
            Ok(true) => {}
            Ok(false) => return Ok(RuleCreation::Exists),
            // The template was deleted after the look at it above.
            Err(error) if is_foreign_key_violation(&error) => return Ok(RuleCreation::NoTemplate),
            Err(error) => return Err(at("insert a record rule")(error)),
        }
        self.commit(tx, "create a record rule").await?;
        Ok(RuleCreation::Created)
    }

    /// Deletes the rule of exactly this scope. False if there is none.
    pub async fn remove_record_rule(
        &self,
        domain: &DomainName,
        app: &str,
        stream: &str,
    ) -> Result<bool> {
        let done =
            sqlx::query("DELETE FROM record_rule WHERE domain = $1 AND app = $2 AND stream = $3")
                .bind(domain.as_str())
                .bind(app)
                .bind(stream)
                .execute(self.pool())
                .await
                .map_err(at("delete a record rule"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every rule, by scope.
    pub async fn record_rules(&self) -> Result<Vec<RecordRule>> {
        let mut connection = self.reader().acquire().await.map_err(at("read record rules"))?;
        all(&mut connection).await
    }
}

/// Writes a row; false if the scope has one.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    rule: &RecordRule,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO record_rule (domain, app, stream, template_id, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain, app, stream) DO NOTHING",
    )
    .bind(rule.domain.as_str())
    .bind(rule.app.as_str())
    .bind(rule.stream.as_str())
    .bind(rule.template_id)
    .bind(rule.created_ms)
    .bind(rule.updated_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Every rule, by scope.
pub(super) async fn all(connection: &mut AnyConnection) -> Result<Vec<RecordRule>> {
    let rows = sqlx::query(
        "SELECT domain, app, stream, template_id, created_ms, updated_ms FROM record_rule \
         ORDER BY domain, app, stream",
    )
    .fetch_all(connection)
    .await
    .map_err(at("read record rules"))?;
    readable(&rows, read)
}

fn read(row: &AnyRow) -> Result<RecordRule> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a record rule"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a record rule"));
    Ok(RecordRule {
        domain: domain_name("record_rule", &text("domain")?)?,
        app: text("app")?,
        stream: text("stream")?,
        template_id: number("template_id")?,
        created_ms: number("created_ms")?,
        updated_ms: number("updated_ms")?,
    })
}

#[cfg(test)]
mod tests;
