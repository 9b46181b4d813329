//! Rows of record rules. The triple (domain, app, stream) is the primary key.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Db, Result, at,
    push_domain::domain_name,
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
        if is_full(&mut tx, "SELECT COUNT(*) FROM record_rule").await? {
            return Ok(RuleCreation::Full);
        }
        Self::register_domain(&mut tx, &rule.domain, rule.created_ms).await?;
        match insert(&mut tx, rule).await {
            Ok(true) => {}
            Ok(false) => return Ok(RuleCreation::Exists),
            // The template was deleted after the look at it above.
            Err(error) if is_foreign_key_violation(&error) => return Ok(RuleCreation::NoTemplate),
            Err(error) => return Err(at("insert a record rule")(error)),
        }
        tx.commit().await.map_err(at("create a record rule"))?;
        Ok(RuleCreation::Created)
    }

    /// Deletes the rule of exactly this scope. False if there is none.
    pub async fn remove_record_rule(&self, domain: &DomainName, app: &str, stream: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM record_rule WHERE domain = $1 AND app = $2 AND stream = $3")
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
        let mut connection = self.pool().acquire().await.map_err(at("read record rules"))?;
        all(&mut connection).await
    }
}

/// Writes a row; false if the scope has one.
pub(super) async fn insert(connection: &mut AnyConnection, rule: &RecordRule) -> sqlx::Result<bool> {
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
    rows.iter().map(read).collect()
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
mod tests {
    use super::*;
    use crate::{
        db::{
            callback::testing::databases,
            snapshot,
            template::{Creation, Removal},
        },
        domain::record_template::RecordTemplate,
    };

    fn rule(domain: &str, app: &str, stream: &str, template_id: i64) -> RecordRule {
        RecordRule {
            domain: DomainName::parse(domain).unwrap(),
            app: app.to_owned(),
            stream: stream.to_owned(),
            template_id,
            created_ms: 1,
            updated_ms: 2,
        }
    }

    async fn template(db: &Db) -> i64 {
        match db.create_record_template(&RecordTemplate::default(), 1).await.unwrap() {
            Creation::Created(id) => id,
            Creation::Full => panic!("full"),
        }
    }

    #[tokio::test]
    async fn the_scope_is_the_identity() {
        for test in databases().await {
            let db = &test.db;
            let (one, two) = (template(db).await, template(db).await);
            let mut rules = [rule("d.com", "", "", one), rule("d.com", "", "s", one), rule("d.com", "live", "s", two)];
            for rule in &rules {
                assert_eq!(db.create_record_rule(rule).await.unwrap(), RuleCreation::Created);
            }
            let again = rule("d.com", "", "s", two);
            assert_eq!(db.create_record_rule(&again).await.unwrap(), RuleCreation::Exists);
            let unknown = rule("other.com", "", "", 99);
            assert_eq!(db.create_record_rule(&unknown).await.unwrap(), RuleCreation::NoTemplate);

            rules.sort_by_key(|r| (r.app.clone(), r.stream.clone()));
            assert_eq!(db.record_rules().await.unwrap(), rules);
            let snapshot = snapshot::load(db, 1).await.unwrap();
            assert_eq!(snapshot.record_rules, rules);
            let registered: Vec<_> = snapshot.push_domains.values().collect();
            assert_eq!(registered.len(), 1, "what is refused registers nothing");
            assert!(registered[0].enabled && registered[0].keys.is_none());

            assert!(!db.remove_record_rule(&rules[0].domain, "live", "").await.unwrap());
            assert!(db.remove_record_rule(&rules[0].domain, "", "").await.unwrap());
            assert_eq!(db.record_rules().await.unwrap(), rules[1..]);
        }
    }

    #[tokio::test]
    async fn of_many_at_once_one_is_stored() {
        for test in databases().await {
            let db = &test.db;
            let id = template(db).await;
            let wanted = rule("d.com", "live", "s", id);
            let outcomes = futures_util::future::join_all((0..8).map(|_| db.create_record_rule(&wanted))).await;
            let count = |wanted| outcomes.iter().filter(|o| matches!(o, Ok(o) if *o == wanted)).count();
            assert_eq!((count(RuleCreation::Created), count(RuleCreation::Exists)), (1, 7), "{outcomes:?}");
        }
    }

    #[tokio::test]
    async fn a_rule_never_outlives_its_template() {
        for test in databases().await {
            let db = &test.db;
            for n in 0..10 {
                let id = template(db).await;
                let wanted = rule(&format!("d{n}.com"), "", "", id);
                let (created, removed) =
                    tokio::join!(db.create_record_rule(&wanted), db.remove_record_template(id));
                match (created.unwrap(), removed.unwrap()) {
                    (RuleCreation::Created, Removal::InUse) | (RuleCreation::NoTemplate, Removal::Removed) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
