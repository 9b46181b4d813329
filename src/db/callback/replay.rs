//! Events that are over, found again and sent once more.

use serde_json::{Map, Value};

use super::{body_of, int, queue, queue_of, text};
use crate::db::{Db, Result, at};

/// Which events are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackSearch {
    /// Only this one.
    pub id: Option<String>,
    /// Only of streams of this name.
    pub stream: Option<String>,
    /// Only in this state: `pending`, `delivered` or `failed`.
    pub state: Option<&'static str>,
    /// Only this event.
    pub event_type: Option<i64>,
    /// Earliest time of the event, in unix milliseconds.
    pub from_ms: i64,
    /// Latest time of the event, in unix milliseconds.
    pub to_ms: i64,
    /// Events left out.
    pub offset: u64,
    /// Most events answered.
    pub limit: u64,
}

/// An event of the outbox. Not its key.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCallback {
    /// Row.
    pub id: String,
    /// `event_type`.
    pub event_type: i64,
    /// Stream, as text.
    pub stream_path: String,
    /// Receiver.
    pub url: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// Attempts since it was enqueued or replayed.
    pub attempts: i64,
    /// How often it was replayed.
    pub replays: i64,
    /// How the last attempt went.
    pub last_result: String,
    /// Time of the event, in unix milliseconds.
    pub created_ms: i64,
    /// When it was last tried, in unix milliseconds.
    pub updated_ms: i64,
    /// The next try if it is pending, else when it was over, in unix milliseconds.
    pub next_try_ms: i64,
    /// JSON object without `t` and `sign`.
    pub body: Map<String, Value>,
}

/// What narrows most is said plainly, so that the database sees which index helps.
fn conditions(search: &CallbackSearch) -> &'static str {
    match (&search.id, &search.stream) {
        (Some(_), _) => "id = $1 AND ($2 = '' OR stream = $2)",
        (None, Some(_)) => "($1 = '' OR id = $1) AND stream = $2",
        (None, None) => "($1 = '' OR id = $1) AND ($2 = '' OR stream = $2)",
    }
}

impl Db {
    /// How many events there are, and a page of them, the oldest first.
    pub async fn search_callbacks(
        &self,
        search: &CallbackSearch,
    ) -> Result<(u64, Vec<StoredCallback>)> {
        let wanted = format!(
            "{} AND ($3 = '' OR state = $3) AND ($4 < 0 OR event_type = $4) \
             AND created_ms >= $5 AND created_ms <= $6",
            conditions(search)
        );
        macro_rules! bound {
            ($sql:expr) => {
                sqlx::query(sqlx::AssertSqlSafe($sql))
                    .bind(search.id.as_deref().unwrap_or_default())
                    .bind(search.stream.as_deref().unwrap_or_default())
                    .bind(search.state.unwrap_or_default())
                    .bind(search.event_type.unwrap_or(-1))
                    .bind(search.from_ms)
                    .bind(search.to_ms)
            };
        }
        let row = bound!(format!("SELECT COUNT(*) AS n FROM callback WHERE {wanted}"))
            .fetch_one(self.reader())
            .await
            .map_err(at("count callbacks"))?;
        let total = u64::try_from(int(&row, "n")?).unwrap_or_default();
        let rows = bound!(format!(
            "SELECT id, event_type, stream_path, url, state, attempts, replays, last_result, \
             created_ms, updated_ms, next_try_ms, body FROM callback WHERE {wanted} \
             ORDER BY id LIMIT $7 OFFSET $8"
        ))
        .bind(i64::try_from(search.limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(search.offset).unwrap_or(i64::MAX))
        .fetch_all(self.reader())
        .await
        .map_err(at("list callbacks"))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(StoredCallback {
                id: text(row, "id")?,
                event_type: int(row, "event_type")?,
                stream_path: text(row, "stream_path")?,
                url: text(row, "url")?,
                state: text(row, "state")?,
                attempts: int(row, "attempts")?,
                replays: int(row, "replays")?,
                last_result: text(row, "last_result")?,
                created_ms: int(row, "created_ms")?,
                updated_ms: int(row, "updated_ms")?,
                next_try_ms: int(row, "next_try_ms")?,
                body: body_of(row)?,
            });
        }
        Ok((total, found))
    }

    /// Sends an event that is over once more, with its id and body, to this URL and with this key.
    /// False if it is not over, or not there. After it the caller wakes the sender.
    pub async fn replay_callback(
        &self,
        callback: &StoredCallback,
        url: &str,
        sign_key: &str,
        now_ms: i64,
    ) -> Result<bool> {
        let queue = queue_of(url, &callback.stream_path);
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE callback SET state = 'pending', attempts = 0, replays = replays + 1, url = $2, \
             queue = $3, sign_key = $4, queued_ms = $5, next_try_ms = $5, updated_ms = $5 \
             WHERE id = $1 AND state <> 'pending'",
        )
        .bind(callback.id.as_str())
        .bind(url)
        .bind(queue.as_str())
        .bind(sign_key)
        .bind(now_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("replay a callback"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        queue::open(&mut tx, &queue, url, now_ms).await?;
        self.commit(tx, "replay a callback").await?;
        Ok(true)
    }
}
