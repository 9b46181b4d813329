//! What stands in an empty database after the first start: the default domain with a push key, and
//! a template and a rule, so that the first push is recorded without set-up.
//!
//! These are ordinary rows: what an operator deletes stays deleted. Several nodes starting at once
//! write them once.

use rand::Rng;
use sqlx::{Any, Row, Transaction};

use super::{Db, Result, at, push_domain::domain_name, record_rule, record_template};
use crate::domain::{
    push_domain::{PushDomain, PushKeys},
    record_rule::RecordRule,
    record_template::{RecordParam, RecordTemplate},
    stream::DomainName,
};

/// Settings that remember what was seeded.
const FIRST_START: &str = "first_start_ms";
const DEFAULT_DOMAIN: &str = "default_domain";

/// RecordInterval of the template `default`, in seconds.
const RECORD_INTERVAL_S: i64 = 7200;

/// Length of a generated push key.
const KEY_LEN: usize = 32;

/// Seeds an empty database; true if this call did. On every start: a default domain other than last
/// time is registered, with the push keys of the former one, so that domains without keys of their
/// own keep theirs.
pub async fn run(db: &Db, default_domain: &DomainName, now_ms: i64) -> Result<bool> {
    let mut tx = db.begin().await?;
    let is_first = Db::claim_setting(&mut tx, FIRST_START, &now_ms.to_string()).await?;
    if is_first {
        Db::claim_setting(&mut tx, DEFAULT_DOMAIN, default_domain.as_str()).await?;
        let keys = Some(generated_keys());
        let domain = PushDomain::new(default_domain.clone(), keys, now_ms);
        Db::insert_domain(&mut tx, &domain).await?;
        let id = Db::next_number(&mut tx, record_template::SQL.table).await?;
        record_template::insert(&mut tx, id, &default_template(), now_ms).await?;
        let rule = RecordRule {
            domain: default_domain.clone(),
            app: String::new(),
            stream: String::new(),
            template_id: id,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        record_rule::insert(&mut tx, &rule).await.map_err(at("insert the first record rule"))?;
    } else {
        follow_default_domain(&mut tx, default_domain, now_ms).await?;
    }
    db.commit(tx, "seed the database").await?;
    Ok(is_first)
}

async fn follow_default_domain(
    tx: &mut Transaction<'static, Any>,
    default_domain: &DomainName,
    now_ms: i64,
) -> Result<()> {
    let row = sqlx::query("SELECT value FROM setting WHERE name = $1")
        .bind(DEFAULT_DOMAIN)
        .fetch_optional(&mut **tx)
        .await
        .map_err(at("read the default domain"))?;
    let former: Option<String> =
        row.map(|r| r.try_get(0)).transpose().map_err(at("read the default domain"))?;
    let Some(former) = former.filter(|former| former != default_domain.as_str()) else {
        return Ok(());
    };
    // Of several nodes that saw the same former name only one finds it still there.
    let changed = sqlx::query("UPDATE setting SET value = $2 WHERE name = $1 AND value = $3")
        .bind(DEFAULT_DOMAIN)
        .bind(default_domain.as_str())
        .bind(former.as_str())
        .execute(&mut **tx)
        .await
        .map_err(at("note the default domain"))?;
    if changed.rows_affected() == 0 {
        return Ok(());
    }
    // Whatever the limits are: without it nobody can push by address.
    Db::insert_domain(tx, &PushDomain::new(default_domain.clone(), None, now_ms)).await?;
    let registered = Db::push_domain(tx, default_domain).await?;
    if registered.is_some_and(|domain| domain.keys.is_none()) {
        let former = Db::push_domain(tx, &domain_name("setting", &former)?).await?;
        let keys = former.and_then(|domain| domain.keys).unwrap_or_else(generated_keys);
        Db::set_push_keys(tx, default_domain, &keys).await?;
    }
    Ok(())
}

fn default_template() -> RecordTemplate {
    RecordTemplate {
        name: "default".to_owned(),
        description: "made at the first start".to_owned(),
        mp4: RecordParam {
            enable: true,
            record_interval: RECORD_INTERVAL_S,
            ..RecordParam::default()
        },
        ..RecordTemplate::default()
    }
}

fn generated_keys() -> PushKeys {
    let master =
        rand::rng().sample_iter(rand::distr::Alphanumeric).take(KEY_LEN).map(char::from).collect();
    PushKeys { enabled: true, master, backup: String::new(), delta_s: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{callback::testing::databases, snapshot};

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[tokio::test]
    async fn several_nodes_seed_once() {
        for test in databases().await {
            let db = &test.db;
            let domain = name("live.local");
            let starts =
                futures_util::future::join_all((0..6).map(|n| run(db, &domain, 1000 + n))).await;
            assert_eq!(starts.iter().filter(|s| matches!(s, Ok(true))).count(), 1, "{starts:?}");
            assert!(starts.iter().all(|s| s.is_ok()), "{starts:?}");
            let snapshot = snapshot::load(db, 1000).await.unwrap();
            let keys = snapshot.push_domains[&domain].keys.clone().unwrap();
            assert!(keys.enabled && keys.master.len() == KEY_LEN);
            assert_eq!(snapshot.record_rules.len(), 1);
            let template = &snapshot.record_templates[&snapshot.record_rules[0].template_id];
            assert_eq!((template.name.as_str(), template.mp4.record_interval), ("default", 7200));
            assert_eq!(
                template.containers().collect::<Vec<_>>(),
                [crate::domain::container::Container::Mp4]
            );
            assert_eq!(template.check(), Ok(()));
        }
    }

    #[tokio::test]
    async fn what_was_deleted_stays_deleted() {
        for test in databases().await {
            let db = &test.db;
            let domain = name("live.local");
            assert!(run(db, &domain, 1).await.unwrap());
            let id = db.record_rules().await.unwrap()[0].template_id;
            assert!(db.remove_record_rule(&domain, "", "").await.unwrap());
            db.remove_record_template(id).await.unwrap();
            assert!(!run(db, &domain, 2).await.unwrap());
            let snapshot = snapshot::load(db, 2).await.unwrap();
            assert!(snapshot.record_rules.is_empty() && snapshot.record_templates.is_empty());
        }
    }

    #[tokio::test]
    async fn another_default_domain_takes_the_keys_over() {
        for test in databases().await {
            let db = &test.db;
            run(db, &name("old.local"), 1).await.unwrap();
            assert!(!run(db, &name("new.local"), 2).await.unwrap());
            let domains = snapshot::load(db, 2).await.unwrap().push_domains;
            assert_eq!(domains[&name("new.local")].keys, domains[&name("old.local")].keys);
            assert!(domains[&name("new.local")].keys.is_some());
            run(db, &name("new.local"), 3).await.unwrap();
            assert_eq!(snapshot::load(db, 3).await.unwrap().push_domains, domains);
        }
    }
}
