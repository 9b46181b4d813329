//! Rows of record tasks.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Db, DbError, Result, at};
use crate::domain::{
    record_task::{KEPT_S, RecordTask},
    stream::{AppName, DomainName, NameError, StreamName, StreamPath},
};

/// Most tasks that are neither over nor stopped nor deleted; every one of them is in the snapshot.
pub const MAX_ARMED: i64 = 10_000;

/// Most rows of tasks that are over, stopped or deleted but may still matter to what is running.
const MAX_RECENT: i64 = 10_000;

/// Old rows removed with each new task.
const PURGED_AT_ONCE: i64 = 100;

/// Which tasks to list; empty texts match everything.
#[derive(Debug, Clone)]
pub struct TaskFilter {
    /// Unix seconds; tasks that start earlier are left out.
    pub start_s: i64,
    /// Unix seconds; tasks that end later are left out.
    pub end_s: i64,
    /// Canonical domain.
    pub domain: String,
    /// AppName.
    pub app: String,
    /// StreamName.
    pub stream: String,
    /// Start and id of the last task of the page before.
    pub after: Option<(i64, String)>,
}

impl Db {
    /// Stores a new task and registers its domain if need be. False when [`MAX_ARMED`] tasks are
    /// waiting already. Takes the chance to remove a few rows that are past their keeping.
    pub async fn create_record_task(&self, task: &RecordTask, now_ms: i64) -> Result<bool> {
        let now_s = now_ms.div_euclid(1000);
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "SELECT COUNT(*) FROM record_task WHERE end_s > $1 AND stopped_ms = 0 AND deleted_ms = 0",
        )
        .bind(now_s)
        .fetch_one(&mut *tx)
        .await
        .map_err(at("count record tasks"))?;
        if row.try_get::<i64, _>(0).map_err(at("count record tasks"))? >= MAX_ARMED {
            return Ok(false);
        }
        Self::register_domain(&mut tx, &task.path.domain, now_ms).await?;
        sqlx::query(
            "INSERT INTO record_task (id, domain, app, stream, start_s, end_s, template_id, stream_type, \
             stopped_ms, deleted_ms, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(task.id.as_str())
        .bind(task.path.domain.as_str())
        .bind(task.path.app.as_str())
        .bind(task.path.stream.as_str())
        .bind(task.start_s)
        .bind(task.end_s)
        .bind(task.template_id)
        .bind(task.stream_type)
        .bind(task.stopped_ms)
        .bind(task.deleted_ms)
        .bind(task.created_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("insert a record task"))?;
        sqlx::query("DELETE FROM record_task WHERE id IN (SELECT id FROM record_task WHERE end_s < $1 LIMIT $2)")
            .bind(now_s.saturating_sub(KEPT_S))
            .bind(PURGED_AT_ONCE)
            .execute(&mut *tx)
            .await
            .map_err(at("remove old record tasks"))?;
        tx.commit().await.map_err(at("create a record task"))?;
        Ok(true)
    }

    /// Stops a task for good; one that is over or stopped already stays as it is. False if there
    /// is none, or only a deleted one.
    pub async fn stop_record_task(&self, id: &str, now_ms: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE record_task SET stopped_ms = $2 \
             WHERE id = $1 AND deleted_ms = 0 AND stopped_ms = 0 AND end_s > $3",
        )
        .bind(id)
        .bind(now_ms)
        .bind(now_ms.div_euclid(1000))
        .execute(self.pool())
        .await
        .map_err(at("stop a record task"))?;
        if done.rows_affected() == 1 {
            return Ok(true);
        }
        let row = sqlx::query("SELECT id FROM record_task WHERE id = $1 AND deleted_ms = 0")
            .bind(id)
            .fetch_optional(self.pool())
            .await
            .map_err(at("read a record task"))?;
        Ok(row.is_some())
    }

    /// Deletes a task; the row stays, so that a running recording of it goes on. False if there is
    /// none.
    pub async fn delete_record_task(&self, id: &str, now_ms: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE record_task SET deleted_ms = $2 WHERE id = $1 AND deleted_ms = 0")
            .bind(id)
            .bind(now_ms)
            .execute(self.pool())
            .await
            .map_err(at("delete a record task"))?;
        Ok(done.rows_affected() == 1)
    }

    /// One page of tasks that were not deleted, by start and id.
    pub async fn record_tasks(&self, filter: &TaskFilter, limit: i64) -> Result<Vec<RecordTask>> {
        let (after_s, after_id) = filter.after.as_ref().map_or((i64::MIN, ""), |(s, id)| (*s, id.as_str()));
        let rows = sqlx::query(
            "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, stopped_ms, deleted_ms, \
             created_ms FROM record_task WHERE deleted_ms = 0 AND start_s >= $1 AND end_s <= $2 \
             AND ($3 = '' OR domain = $3) AND ($4 = '' OR app = $4) AND ($5 = '' OR stream = $5) \
             AND (start_s > $6 OR (start_s = $6 AND id > $7)) ORDER BY start_s, id LIMIT $8",
        )
        .bind(filter.start_s)
        .bind(filter.end_s)
        .bind(filter.domain.as_str())
        .bind(filter.app.as_str())
        .bind(filter.stream.as_str())
        .bind(after_s)
        .bind(after_id)
        .bind(limit)
        .fetch_all(self.pool())
        .await
        .map_err(at("read record tasks"))?;
        rows.iter().map(read).collect()
    }
}

/// Every armed task, and those with `end_s` after `since_s` that are over, stopped or deleted: the
/// latest of them, since what ran may still be finishing.
pub(super) async fn current(connection: &mut AnyConnection, now_s: i64, since_s: i64) -> Result<Vec<RecordTask>> {
    let armed = sqlx::query(
        "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, stopped_ms, deleted_ms, \
         created_ms FROM record_task WHERE end_s > $1 AND stopped_ms = 0 AND deleted_ms = 0 \
         ORDER BY start_s, id",
    )
    .bind(now_s)
    .fetch_all(&mut *connection)
    .await
    .map_err(at("read armed record tasks"))?;
    let recent = sqlx::query(
        "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, stopped_ms, deleted_ms, \
         created_ms FROM record_task WHERE end_s > $2 AND (end_s <= $1 OR stopped_ms <> 0 OR deleted_ms <> 0) \
         ORDER BY end_s DESC, id LIMIT $3",
    )
    .bind(now_s)
    .bind(since_s)
    .bind(MAX_RECENT)
    .fetch_all(connection)
    .await
    .map_err(at("read recent record tasks"))?;
    armed.iter().chain(recent.iter()).map(read).collect()
}

fn read(row: &AnyRow) -> Result<RecordTask> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a record task"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a record task"));
    let odd = |e: NameError| DbError::Row { table: "record_task", what: e.to_string() };
    Ok(RecordTask {
        id: text("id")?,
        path: StreamPath {
            domain: DomainName::parse(&text("domain")?).map_err(odd)?,
            app: AppName::parse(&text("app")?).map_err(odd)?,
            stream: StreamName::parse(&text("stream")?).map_err(odd)?,
        },
        start_s: number("start_s")?,
        end_s: number("end_s")?,
        template_id: number("template_id")?,
        stream_type: number("stream_type")?,
        stopped_ms: number("stopped_ms")?,
        deleted_ms: number("deleted_ms")?,
        created_ms: number("created_ms")?,
    })
}

#[cfg(test)]
mod tests {
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
            stopped_ms: 0,
            deleted_ms: 0,
            created_ms: NOW_S * 1000,
        }
    }

    async fn store(db: &Db, task: &RecordTask) {
        assert!(db.create_record_task(task, NOW_S * 1000).await.unwrap());
    }

    fn everything() -> TaskFilter {
        let none = String::new;
        TaskFilter { start_s: 0, end_s: i64::MAX, domain: none(), app: none(), stream: none(), after: None }
    }

    fn ids(tasks: &[RecordTask]) -> Vec<&str> {
        tasks.iter().map(|t| t.id.as_str()).collect()
    }

    #[tokio::test]
    async fn tasks_are_listed_page_by_page() {
        for test in databases().await {
            let db = &test.db;
            for (id, stream, start) in [("c", "x", 10), ("a", "x", 20), ("b", "y", 20), ("d", "x", 30)] {
                store(db, &task(id, stream, NOW_S + start, NOW_S + 100)).await;
            }
            let page = db.record_tasks(&everything(), 2).await.unwrap();
            assert_eq!(ids(&page), ["c", "a"]);
            assert_eq!(page[0], task("c", "x", NOW_S + 10, NOW_S + 100));
            let after = Some((page[1].start_s, page[1].id.clone()));
            let rest = db.record_tasks(&TaskFilter { after, ..everything() }, 9).await.unwrap();
            assert_eq!(ids(&rest), ["b", "d"]);
            let of_y = TaskFilter { stream: "y".to_owned(), domain: "d.com".to_owned(), ..everything() };
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
            assert_eq!(db.record_tasks(&everything(), 9).await.unwrap()[1].stopped_ms, 0, "it was over already");
            assert!(db.delete_record_task("a", now_ms + 7).await.unwrap());
            assert!(!db.delete_record_task("a", now_ms + 8).await.unwrap());
            assert!(!db.stop_record_task("a", now_ms + 9).await.unwrap());
            assert_eq!(ids(&db.record_tasks(&everything(), 9).await.unwrap()), ["b"]);
            let known = snapshot::load(db, now_ms).await.unwrap().record_tasks;
            assert_eq!(known.iter().find(|t| t.id == "a").unwrap().deleted_ms, now_ms + 7, "it may be running");
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
            assert!(db.create_record_task(&task("new", "x", later, later + 5), later * 1000).await.unwrap());
            assert_eq!(ids(&db.record_tasks(&everything(), 9).await.unwrap()), ["next", "new"]);
        }
    }
}
