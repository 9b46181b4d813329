//! Rows of callback rules. The pair (domain, app) is the primary key.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Db, Result, at, callback_template,
    push_domain::domain_name,
    readable::readable,
    rule::{RuleCreation, is_full},
    template::is_foreign_key_violation,
};
use crate::domain::{callback_rule::CallbackRule, stream::DomainName};

impl Db {
    /// Stores a new rule and registers its domain if need be, both or nothing.
    pub async fn create_callback_rule(&self, rule: &CallbackRule) -> Result<RuleCreation> {
        let mut tx = self.begin().await?;
        let template = sqlx::query(callback_template::SQL.exists)
            .bind(rule.template_id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(at("read a callback template"))?;
        if template.is_none() {
            return Ok(RuleCreation::NoTemplate);
        }
        if is_full(&mut tx, "callback_rule", self.limits.rules).await? {
            return Ok(RuleCreation::Full);
        }
        if let Some(why) = self.register_domain(&mut tx, &rule.domain, rule.created_ms).await? {
            return Ok(RuleCreation::NoDomain(why));
        }
        let done = sqlx::query(
            "INSERT INTO callback_rule (domain, app, template_id, created_ms, updated_ms) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (domain, app) DO NOTHING",
        )
        .bind(rule.domain.as_str())
        .bind(rule.app.as_str())
        .bind(rule.template_id)
        .bind(rule.created_ms)
        .bind(rule.updated_ms)
        .execute(&mut *tx)
        .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => return Ok(RuleCreation::Exists),
            Ok(_) => {}
            // The template was deleted after the look at it above.
            Err(error) if is_foreign_key_violation(&error) => return Ok(RuleCreation::NoTemplate),
            Err(error) => return Err(at("insert a callback rule")(error)),
        }
        self.commit(tx, "create a callback rule").await?;
        Ok(RuleCreation::Created)
    }

    /// Deletes the rule of exactly this scope. False if there is none.
    pub async fn remove_callback_rule(&self, domain: &DomainName, app: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM callback_rule WHERE domain = $1 AND app = $2")
            .bind(domain.as_str())
            .bind(app)
            .execute(self.pool())
            .await
            .map_err(at("delete a callback rule"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every rule, by scope.
    pub async fn callback_rules(&self) -> Result<Vec<CallbackRule>> {
        let mut connection = self.reader().acquire().await.map_err(at("read callback rules"))?;
        all(&mut connection).await
    }
}

/// Every rule, by scope.
pub(super) async fn all(connection: &mut AnyConnection) -> Result<Vec<CallbackRule>> {
    let rows = sqlx::query(
        "SELECT domain, app, template_id, created_ms, updated_ms FROM callback_rule ORDER BY domain, app",
    )
    .fetch_all(connection)
    .await
    .map_err(at("read callback rules"))?;
    readable(&rows, read)
}

fn read(row: &AnyRow) -> Result<CallbackRule> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a callback rule"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a callback rule"));
    Ok(CallbackRule {
        domain: domain_name("callback_rule", &text("domain")?)?,
        app: text("app")?,
        template_id: number("template_id")?,
        created_ms: number("created_ms")?,
        updated_ms: number("updated_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::{
            callback::testing::databases,
            template::{Change, Creation, Removal},
        },
        domain::callback_template::CallbackTemplate,
    };

    #[tokio::test]
    async fn rules_and_templates_of_callbacks() {
        for test in databases().await {
            let db = &test.db;
            let template = CallbackTemplate {
                name: "cb".to_owned(),
                record_url: "http://a/".to_owned(),
                record_exception_levels: vec!["error".to_owned()],
                ..CallbackTemplate::default()
            };
            let Creation::Created(id) = db.create_callback_template(&template, 1).await.unwrap()
            else {
                panic!()
            };
            let change = |t: &mut CallbackTemplate| {
                t.key = "k".to_owned();
                Ok::<(), ()>(())
            };
            assert_eq!(db.change_callback_template(id, 2, change).await.unwrap(), Change::Changed);
            let stored = CallbackTemplate { id, key: "k".to_owned(), ..template };
            assert_eq!(db.callback_template(id).await.unwrap(), Some(stored.clone()));
            assert_eq!(db.callback_templates().await.unwrap(), [stored]);

            let domain = DomainName::parse("d.com").unwrap();
            let rule = |app: &str, template_id| CallbackRule {
                domain: domain.clone(),
                app: app.to_owned(),
                template_id,
                created_ms: 3,
                updated_ms: 4,
            };
            assert_eq!(
                db.create_callback_rule(&rule("", 99)).await.unwrap(),
                RuleCreation::NoTemplate
            );
            assert_eq!(
                db.create_callback_rule(&rule("", id)).await.unwrap(),
                RuleCreation::Created
            );
            assert_eq!(
                db.create_callback_rule(&rule("live", id)).await.unwrap(),
                RuleCreation::Created
            );
            assert_eq!(db.create_callback_rule(&rule("", id)).await.unwrap(), RuleCreation::Exists);
            assert_eq!(db.callback_rules().await.unwrap(), [rule("", id), rule("live", id)]);
            assert_eq!(db.remove_callback_template(id).await.unwrap(), Removal::InUse);
            assert!(db.remove_callback_rule(&domain, "").await.unwrap());
            assert!(!db.remove_callback_rule(&domain, "").await.unwrap());
            assert!(db.remove_callback_rule(&domain, "live").await.unwrap());
            assert_eq!(db.remove_callback_template(id).await.unwrap(), Removal::Removed);
        }
    }
}
