//! Rows of record templates on every database: ids, limits, races with rules.

use super::*;
use crate::{
    db::callback::testing::databases,
    domain::limits::Limits,
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
        let Creation::Created(slow) = db.create_record_template(&slow, 5).await.unwrap() else {
            panic!()
        };
        assert!(slow > first && first > 0);
        let stored = db.record_template(first).await.unwrap().unwrap();
        assert_eq!(stored, RecordTemplate { id: first, ..template("first") });
        assert_eq!(
            db.record_templates(1).await.unwrap().iter().map(|t| t.id).collect::<Vec<_>>(),
            [slow]
        );

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
        assert_eq!(
            db.change_record_template::<()>(99, 7, |_| Ok(())).await.unwrap(),
            Change::Absent
        );
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
        let (db, max) = (&test.db, Limits::default().templates);
        for n in 0..max - 3 {
            created(db, &format!("t{n}")).await;
        }
        let last = template("last");
        let tries = (0..8).map(|_| db.create_record_template(&last, 9));
        let outcomes = futures_util::future::join_all(tries).await;
        let full = outcomes.iter().filter(|o| matches!(o, Ok(Creation::Full))).count();
        assert_eq!(full, 5, "{outcomes:?}");
        assert_eq!(db.record_templates(0).await.unwrap().len() as i64, max);
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
