//! Rows of record tasks.

use sqlx::{Any, AnyConnection, Row, Transaction, any::AnyRow};

use super::{Db, DbError, Result, at, domain_name::Unregistered};
use crate::domain::{
    record_task::{KEPT_S, RecordTask},
    stream::{AppName, DomainName, NameError, StreamName, StreamPath},
};

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

/// What became of a new task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskCreation {
    /// It is stored.
    Created,
    /// There are as many unfinished tasks of its API as there may be.
    Full,
    /// As many tasks of the legacy API were made since the day began as may be.
    DayFull,
    /// Its domain is none that can be pushed to, and cannot become one.
    NoDomain(Unregistered),
}

impl Db {
    /// Stores a new task of the new API and registers its domain if need be; `limits.tasks` is how many
    /// of them may be unfinished.
    pub async fn create_record_task(&self, task: &RecordTask, now_ms: i64) -> Result<TaskCreation> {
        let mut tx = self.begin().await?;
        // Whoever counts waits for those who are about to add.
        Self::next_number(&mut tx, "record_task").await?;
        let row = sqlx::query(
            "SELECT COUNT(*) FROM record_task \
             WHERE profile = '' AND end_s > $1 AND stopped_ms = 0 AND deleted_ms = 0",
        )
        .bind(now_ms.div_euclid(1000))
        .fetch_one(&mut *tx)
        .await
        .map_err(at("count record tasks"))?;
        if row.try_get::<i64, _>(0).map_err(at("count record tasks"))? >= self.limits.tasks {
            return Ok(TaskCreation::Full);
        }
        self.insert_task(tx, task, now_ms).await
    }

    /// Stores a new task of the legacy API under the next number, which it answers, and registers its
    /// domain if need be. The limits are how many of them may be unfinished and how many may be made
    /// since `day_s` (unix seconds).
    pub async fn create_legacy_task(
        &self,
        task: &RecordTask,
        day_s: i64,
        now_ms: i64,
    ) -> Result<(TaskCreation, i64)> {
        let mut tx = self.begin().await?;
        let number = Self::next_number(&mut tx, "legacy_task").await?;
        let row = sqlx::query(
            "SELECT COALESCE(SUM(CASE WHEN created_ms >= $1 THEN 1 ELSE 0 END), 0) AS today, \
             COALESCE(SUM(CASE WHEN end_s > $2 AND stopped_ms = 0 AND deleted_ms = 0 THEN 1 ELSE 0 END), 0) AS armed \
             FROM record_task WHERE profile <> '' AND (created_ms >= $1 OR end_s > $2)",
        )
        .bind(day_s.saturating_mul(1000))
        .bind(now_ms.div_euclid(1000))
        .fetch_one(&mut *tx)
        .await
        .map_err(at("count legacy tasks"))?;
        let count = |column: &str| row.try_get::<i64, _>(column).map_err(at("count legacy tasks"));
        if count("today")? >= self.limits.legacy_tasks_per_day {
            return Ok((TaskCreation::DayFull, number));
        }
        if count("armed")? >= self.limits.legacy_tasks {
            return Ok((TaskCreation::Full, number));
        }
        let task = RecordTask { id: number.to_string(), ..task.clone() };
        Ok((self.insert_task(tx, &task, now_ms).await?, number))
    }

    /// Registers the domain, writes the row, takes the chance to remove a few rows that are past their
    /// keeping, and commits.
    async fn insert_task(
        &self,
        mut tx: Transaction<'static, Any>,
        task: &RecordTask,
        now_ms: i64,
    ) -> Result<TaskCreation> {
        let profile = task.profile.as_ref().map(serde_json::to_string).transpose();
        let profile = profile.map_err(|e| odd(e.to_string()))?.unwrap_or_default();
        if let Some(why) = self.register_domain(&mut tx, &task.path.domain, now_ms).await? {
            return Ok(TaskCreation::NoDomain(why));
        }
        sqlx::query(
            "INSERT INTO record_task (id, domain, app, stream, start_s, end_s, template_id, stream_type, \
             stopped_ms, deleted_ms, created_ms, profile) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
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
        .bind(profile)
        .execute(&mut *tx)
        .await
        .map_err(at("insert a record task"))?;
        sqlx::query("DELETE FROM record_task WHERE id IN (SELECT id FROM record_task WHERE end_s < $1 LIMIT $2)")
            .bind(now_ms.div_euclid(1000).saturating_sub(KEPT_S))
            .bind(PURGED_AT_ONCE)
            .execute(&mut *tx)
            .await
            .map_err(at("remove old record tasks"))?;
        self.commit(tx, "create a record task").await?;
        Ok(TaskCreation::Created)
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
            .fetch_optional(self.reader())
            .await
            .map_err(at("read a record task"))?;
        Ok(row.is_some())
    }

    /// Deletes a task; the row stays, so that a running recording of it goes on. False if there is
    /// none.
    pub async fn delete_record_task(&self, id: &str, now_ms: i64) -> Result<bool> {
        let done =
            sqlx::query("UPDATE record_task SET deleted_ms = $2 WHERE id = $1 AND deleted_ms = 0")
                .bind(id)
                .bind(now_ms)
                .execute(self.pool())
                .await
                .map_err(at("delete a record task"))?;
        Ok(done.rows_affected() == 1)
    }

    /// A task that was not deleted.
    pub async fn record_task(&self, id: &str) -> Result<Option<RecordTask>> {
        let row = sqlx::query(
            "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, profile, \
             stopped_ms, deleted_ms, created_ms FROM record_task WHERE id = $1 AND deleted_ms = 0",
        )
        .bind(id)
        .fetch_optional(self.reader())
        .await
        .map_err(at("read a record task"))?;
        row.as_ref().map(read).transpose()
    }

    /// The tasks of one stream, deleted ones and those of the legacy API too: first those that are
    /// open at `at_s` (unix seconds), in the order in which they get a place, then those that end latest.
    pub async fn record_tasks_of(
        &self,
        path: &StreamPath,
        at_s: i64,
        limit: i64,
    ) -> Result<Vec<RecordTask>> {
        let rows = sqlx::query(
            "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, profile, \
             stopped_ms, deleted_ms, created_ms FROM record_task \
             WHERE domain = $1 AND app = $2 AND stream = $3 ORDER BY \
             CASE WHEN start_s <= $4 AND end_s > $4 AND deleted_ms = 0 AND stopped_ms = 0 THEN 0 ELSE 1 END, \
             CASE WHEN start_s <= $4 AND end_s > $4 AND deleted_ms = 0 AND stopped_ms = 0 THEN start_s ELSE -end_s END, \
             created_ms, id LIMIT $5",
        )
        .bind(path.domain.as_str())
        .bind(path.app.as_str())
        .bind(path.stream.as_str())
        .bind(at_s)
        .bind(limit)
        .fetch_all(self.reader())
        .await
        .map_err(at("read the record tasks of a stream"))?;
        rows.iter().map(read).collect()
    }

    /// One page of tasks of the new API that were not deleted, by start and id.
    pub async fn record_tasks(&self, filter: &TaskFilter, limit: i64) -> Result<Vec<RecordTask>> {
        let (after_s, after_id) =
            filter.after.as_ref().map_or((i64::MIN, ""), |(s, id)| (*s, id.as_str()));
        let rows = sqlx::query(
            "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, profile, stopped_ms, deleted_ms, \
             created_ms FROM record_task WHERE deleted_ms = 0 AND profile = '' AND start_s >= $1 AND end_s <= $2 \
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
        .fetch_all(self.reader())
        .await
        .map_err(at("read record tasks"))?;
        rows.iter().map(read).collect()
    }
}

/// Every armed task, and those with `end_s` after `since_s` that are over, stopped or deleted: the
/// latest of them, since what ran may still be finishing.
pub(super) async fn current(
    connection: &mut AnyConnection,
    now_s: i64,
    since_s: i64,
) -> Result<Vec<RecordTask>> {
    let armed = sqlx::query(
        "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, profile, stopped_ms, deleted_ms, \
         created_ms FROM record_task WHERE end_s > $1 AND stopped_ms = 0 AND deleted_ms = 0 \
         ORDER BY start_s, id",
    )
    .bind(now_s)
    .fetch_all(&mut *connection)
    .await
    .map_err(at("read armed record tasks"))?;
    let recent = sqlx::query(
        "SELECT id, domain, app, stream, start_s, end_s, template_id, stream_type, profile, stopped_ms, deleted_ms, \
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
    let name = |e: NameError| odd(e.to_string());
    let profile = text("profile")?;
    Ok(RecordTask {
        id: text("id")?,
        path: StreamPath {
            domain: DomainName::parse(&text("domain")?).map_err(name)?,
            app: AppName::parse(&text("app")?).map_err(name)?,
            stream: StreamName::parse(&text("stream")?).map_err(name)?,
        },
        start_s: number("start_s")?,
        end_s: number("end_s")?,
        template_id: number("template_id")?,
        stream_type: number("stream_type")?,
        profile: match profile.is_empty() {
            true => None,
            false => Some(serde_json::from_str(&profile).map_err(|e| odd(e.to_string()))?),
        },
        stopped_ms: number("stopped_ms")?,
        deleted_ms: number("deleted_ms")?,
        created_ms: number("created_ms")?,
    })
}

fn odd(what: String) -> DbError {
    DbError::Row { table: "record_task", what }
}

#[cfg(test)]
mod tests;
