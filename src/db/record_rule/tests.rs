//! Rows of record rules on every database: identity, races, limits.

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
        let mut rules = [
            rule("d.com", "", "", one),
            rule("d.com", "", "s", one),
            rule("d.com", "live", "s", two),
        ];
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
        let outcomes =
            futures_util::future::join_all((0..8).map(|_| db.create_record_rule(&wanted))).await;
        let count = |wanted| outcomes.iter().filter(|o| matches!(o, Ok(o) if *o == wanted)).count();
        assert_eq!(
            (count(RuleCreation::Created), count(RuleCreation::Exists)),
            (1, 7),
            "{outcomes:?}"
        );
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
                (RuleCreation::Created, Removal::InUse)
                | (RuleCreation::NoTemplate, Removal::Removed) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
