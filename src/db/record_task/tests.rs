//! Rows of record tasks on every database: windows, stopping, deleting, paging.

use super::*;
use crate::db::{callback::testing::databases, snapshot};

const DAY_S: i64 = 24 * 3600;
const NOW_S: i64 = 1_795_344_236;

fn task(id: &str, stream: &str, start_s: i64, end_s: i64) -> RecordTask {
    RecordTask {
        id: id.to_owned(),
        path: StreamPath {
            domain: DomainName::parse("d.com").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
        },
        start_s,
        end_s,
        template_id: 7,
        stream_type: 0,
        profile: None,
        stopped_ms: 0,
        deleted_ms: 0,
        created_ms: NOW_S * 1000,
    }
}

async fn store(db: &Db, task: &RecordTask) {
    assert_eq!(db.create_record_task(task, NOW_S * 1000).await.unwrap(), TaskCreation::Created);
}

fn everything() -> TaskFilter {
    let none = String::new;
    TaskFilter {
        start_s: 0,
        end_s: i64::MAX,
        domain: none(),
        app: none(),
        stream: none(),
        after: None,
    }
}

fn ids(tasks: &[RecordTask]) -> Vec<&str> {
    tasks.iter().map(|t| t.id.as_str()).collect()
}

#[tokio::test]
async fn tasks_are_listed_page_by_page() {
    for test in databases().await {
        let db = &test.db;
        for (id, stream, start) in [("c", "x", 10), ("a", "x", 20), ("b", "y", 20), ("d", "x", 30)]
        {
            store(db, &task(id, stream, NOW_S + start, NOW_S + 100)).await;
        }
        let page = db.record_tasks(&everything(), 2).await.unwrap();
        assert_eq!(ids(&page), ["c", "a"]);
        assert_eq!(page[0], task("c", "x", NOW_S + 10, NOW_S + 100));
        let after = Some((page[1].start_s, page[1].id.clone()));
        let rest = db.record_tasks(&TaskFilter { after, ..everything() }, 9).await.unwrap();
        assert_eq!(ids(&rest), ["b", "d"]);
        let of_y =
            TaskFilter { stream: "y".to_owned(), domain: "d.com".to_owned(), ..everything() };
        assert_eq!(ids(&db.record_tasks(&of_y, 9).await.unwrap()), ["b"]);
        let window = TaskFilter { start_s: NOW_S + 20, end_s: NOW_S + 99, ..everything() };
        assert!(db.record_tasks(&window, 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn stop_and_delete() {
    for test in databases().await {
        let db = &test.db;
        let now_ms = NOW_S * 1000;
        store(db, &task("a", "x", NOW_S, NOW_S + 100)).await;
        assert!(!db.stop_record_task("z", now_ms).await.unwrap());
        assert!(db.stop_record_task("a", now_ms + 5).await.unwrap());
        assert!(db.stop_record_task("a", now_ms + 9).await.unwrap(), "a second stop is no fault");
        assert_eq!(db.record_tasks(&everything(), 9).await.unwrap()[0].stopped_ms, now_ms + 5);
        store(db, &task("b", "x", NOW_S, NOW_S + 100)).await;
        assert!(db.stop_record_task("b", now_ms + 200_000).await.unwrap());
        assert_eq!(
            db.record_tasks(&everything(), 9).await.unwrap()[1].stopped_ms,
            0,
            "it was over already"
        );
        assert!(db.delete_record_task("a", now_ms + 7).await.unwrap());
        assert!(!db.delete_record_task("a", now_ms + 8).await.unwrap());
        assert!(!db.stop_record_task("a", now_ms + 9).await.unwrap());
        assert_eq!(ids(&db.record_tasks(&everything(), 9).await.unwrap()), ["b"]);
        let known = snapshot::load(db, now_ms).await.unwrap().record_tasks;
        assert_eq!(
            known.iter().find(|t| t.id == "a").unwrap().deleted_ms,
            now_ms + 7,
            "it may be running"
        );
    }
}

#[tokio::test]
async fn old_tasks_leave_the_snapshot_and_then_the_table() {
    for test in databases().await {
        let db = &test.db;
        let over = task("over", "x", NOW_S - 10, NOW_S - 5);
        store(db, &over).await;
        store(db, &task("next", "x", NOW_S, NOW_S + 9)).await;
        let at = async |now_s: i64| {
            let mut tasks = snapshot::load(db, now_s * 1000).await.unwrap().record_tasks;
            tasks.sort_by(|a, b| a.id.cmp(&b.id));
            ids(&tasks).join(",")
        };
        assert_eq!(at(NOW_S).await, "next,over");
        assert_eq!(at(NOW_S - 5 + DAY_S).await, "next");
        assert_eq!(at(NOW_S + 9 + DAY_S).await, "");
        assert_eq!(db.record_tasks(&everything(), 9).await.unwrap().len(), 2);
        let later = NOW_S - 5 + KEPT_S + 1;
        let new = task("new", "x", later, later + 5);
        assert_eq!(db.create_record_task(&new, later * 1000).await.unwrap(), TaskCreation::Created);
        assert_eq!(ids(&db.record_tasks(&everything(), 9).await.unwrap()), ["next", "new"]);
    }
}
