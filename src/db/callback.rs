//! The outbox: events to deliver, written in the transaction of what they announce (spec live-api 11).
//!
//! Receiver, key and body are fixed when a row is written. Rows are taken under a lease with a
//! fence by `delivery::callback`; a row whose process died is free again when its lease is over.
//! Ids are UUIDv7, so their order is the order of enqueueing.

use serde_json::{Map, Value};
use sqlx::{
    Row, Transaction,
    any::{Any, AnyRow},
};
use uuid::Uuid;

use super::{Db, DbError, Result, at};
use crate::domain::callback::NewCallback;

/// Longest `last_result` kept, in characters.
const MAX_RESULT_CHARS: usize = 300;
/// Rows deleted by one statement, so that pruning never holds the write lock for long.
const PRUNE_BATCH: i64 = 1000;

const PENDING: &str = "pending";
const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";

/// A row taken for one attempt. Not `Debug`: it holds the key of the signature.
pub struct DueCallback {
    /// Row.
    pub id: String,
    /// `event_type` of the body.
    pub event_type: i64,
    /// Stream, as text.
    pub stream_path: String,
    /// Receiver.
    pub url: String,
    /// Key of the signature; empty for none. A secret.
    pub sign_key: String,
    /// JSON object without `t` and `sign`.
    pub body: Map<String, Value>,
    /// Attempts made before this one.
    pub attempts: u32,
    fence: i64,
}

/// How many rows are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallbackCounts {
    /// To be delivered, first or again.
    pub pending: u64,
    /// Accepted by their receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
}

impl Db {
    /// Adds events to the outbox. After the commit the caller wakes the sender with
    /// `outbox_changed().notify_one()`.
    pub async fn enqueue_callbacks(
        tx: &mut Transaction<'static, Any>,
        now_ms: i64,
        callbacks: &[NewCallback],
    ) -> Result<()> {
        for callback in callbacks {
            let body = serde_json::to_string(&callback.body).map_err(|e| unreadable(&e))?;
            sqlx::query(
                "INSERT INTO callback (id, event_type, stream_path, url, sign_key, body, state, \
                 attempts, next_try_ms, last_result, lease_owner, lease_until, fence, created_ms, \
                 updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, '', '', 0, 0, $8, $8)",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(callback.event_type.number())
            .bind(callback.stream_path.to_string())
            .bind(callback.url.as_str())
            .bind(callback.sign_key.as_str())
            .bind(body)
            .bind(PENDING)
            .bind(now_ms)
            .execute(&mut **tx)
            .await
            .map_err(at("enqueue a callback"))?;
        }
        Ok(())
    }

    /// The receivers for whom something is due, the longest waiting first.
    pub async fn due_callback_urls(&self, now_ms: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT url, MIN(next_try_ms) AS due FROM callback WHERE state = 'pending' \
             AND next_try_ms <= $1 AND lease_until <= $1 GROUP BY url ORDER BY due, url",
        )
        .bind(now_ms)
        .fetch_all(self.pool())
        .await
        .map_err(at("find the receivers of due callbacks"))?;
        rows.iter().map(|row| text(row, "url")).collect()
    }

    /// Takes up to `limit` due events of one receiver, in order. An event that was never tried
    /// waits until the earlier ones of its stream have been.
    pub async fn claim_callbacks(
        &self,
        url: &str,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
        limit: usize,
    ) -> Result<Vec<DueCallback>> {
        // Due and free is said twice: PostgreSQL checks only the outer condition again when it had
        // to wait for another node's claim of the same row.
        let rows = sqlx::query(
            "UPDATE callback SET lease_owner = $3, lease_until = $4, fence = fence + 1 \
             WHERE id IN (SELECT c.id FROM callback c WHERE c.state = 'pending' AND c.url = $1 \
               AND c.next_try_ms <= $2 AND c.lease_until <= $2 \
               AND (c.attempts > 0 OR NOT EXISTS (SELECT 1 FROM callback e \
                 WHERE e.state = 'pending' AND e.url = c.url AND e.stream_path = c.stream_path \
                 AND e.attempts = 0 AND e.id < c.id)) \
               ORDER BY c.next_try_ms, c.id LIMIT $5) \
             AND state = 'pending' AND lease_until <= $2 \
             RETURNING id, event_type, stream_path, url, sign_key, body, attempts, fence, next_try_ms",
        )
        .bind(url)
        .bind(now_ms)
        .bind(owner)
        .bind(now_ms.saturating_add(lease_ms))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.pool())
        .await
        .map_err(at("claim callbacks"))?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            due.push((int(row, "next_try_ms")?, decode(row)?));
        }
        due.sort_by(|(a_ms, a), (b_ms, b)| (a_ms, &a.id).cmp(&(b_ms, &b.id)));
        Ok(due.into_iter().map(|(_, callback)| callback).collect())
    }

    /// The receiver has accepted the event. False if the lease was lost meanwhile.
    pub async fn callback_delivered(
        &self,
        callback: &DueCallback,
        now_ms: i64,
        result: &str,
    ) -> Result<bool> {
        self.finish_attempt(callback, DELIVERED, now_ms, now_ms, result).await
    }

    /// An attempt failed: try again at `next_try_ms` (unix milliseconds), or give up. False if the
    /// lease was lost meanwhile.
    pub async fn callback_failed(
        &self,
        callback: &DueCallback,
        next_try_ms: Option<i64>,
        now_ms: i64,
        result: &str,
    ) -> Result<bool> {
        match next_try_ms {
            Some(next) => self.finish_attempt(callback, PENDING, next, now_ms, result).await,
            None => self.finish_attempt(callback, FAILED, now_ms, now_ms, result).await,
        }
    }

    async fn finish_attempt(
        &self,
        callback: &DueCallback,
        state: &str,
        next_try_ms: i64,
        now_ms: i64,
        result: &str,
    ) -> Result<bool> {
        // A finished row needs its key no more; its next_try_ms is when it was finished.
        let result: String = result.chars().filter(|c| *c != '\0').take(MAX_RESULT_CHARS).collect();
        let done = sqlx::query(
            "UPDATE callback SET state = $3, attempts = attempts + 1, next_try_ms = $4, \
             last_result = $5, lease_owner = '', lease_until = 0, updated_ms = $6, \
             sign_key = CASE WHEN $3 = 'pending' THEN sign_key ELSE '' END \
             WHERE id = $1 AND fence = $2 AND state = 'pending'",
        )
        .bind(callback.id.as_str())
        .bind(callback.fence)
        .bind(state)
        .bind(next_try_ms)
        .bind(result)
        .bind(now_ms)
        .execute(self.pool())
        .await
        .map_err(at("note the outcome of a callback"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Frees what owners whose name begins with `owner_prefix` have taken and not finished. Fences
    /// rise, so that an attempt still under way notes nothing.
    pub async fn release_callbacks(&self, owner_prefix: &str) -> Result<u64> {
        let chars = owner_prefix.chars().count();
        let done = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE callback SET lease_owner = '', lease_until = 0, fence = fence + 1 \
             WHERE state = 'pending' AND lease_until > 0 AND substr(lease_owner, 1, {chars}) = $1"
        )))
        .bind(owner_prefix)
        .execute(self.pool())
        .await
        .map_err(at("release callbacks"))?;
        Ok(done.rows_affected())
    }

    /// The next moment after `now_ms` at which an event becomes due or free by itself.
    pub async fn next_callback_due(&self, now_ms: i64) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT MIN(CASE WHEN lease_until > next_try_ms THEN lease_until ELSE next_try_ms END) \
             AS due FROM callback WHERE state = 'pending' AND (next_try_ms > $1 OR lease_until > $1)",
        )
        .bind(now_ms)
        .fetch_one(self.pool())
        .await
        .map_err(at("find the next due callback"))?;
        row.try_get("due").map_err(at("find the next due callback"))
    }

    /// Deletes finished rows that were finished before `before_ms`, and the oldest beyond the
    /// newest `keep` of each outcome. Answers how many went.
    pub async fn prune_callbacks(&self, before_ms: i64, keep: u64) -> Result<u64> {
        let mut gone = 0;
        for state in [DELIVERED, FAILED] {
            let row = sqlx::query(
                "SELECT next_try_ms FROM callback WHERE state = $1 \
                 ORDER BY next_try_ms DESC, id DESC LIMIT 1 OFFSET $2",
            )
            .bind(state)
            .bind(i64::try_from(keep).unwrap_or(i64::MAX))
            .fetch_optional(self.pool())
            .await
            .map_err(at("find the callbacks to prune"))?;
            let before_ms = match row {
                Some(row) => before_ms.max(int(&row, "next_try_ms")?.saturating_add(1)),
                None => before_ms,
            };
            loop {
                let done = sqlx::query(
                    "DELETE FROM callback WHERE id IN (SELECT id FROM callback WHERE state = $1 \
                     AND next_try_ms < $2 ORDER BY next_try_ms, id LIMIT $3)",
                )
                .bind(state)
                .bind(before_ms)
                .bind(PRUNE_BATCH)
                .execute(self.pool())
                .await
                .map_err(at("prune callbacks"))?;
                gone += done.rows_affected();
                if done.rows_affected() < PRUNE_BATCH.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(gone)
    }

    /// How many rows are in each state.
    pub async fn count_callbacks(&self) -> Result<CallbackCounts> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM callback GROUP BY state")
            .fetch_all(self.pool())
            .await
            .map_err(at("count callbacks"))?;
        let mut counts = CallbackCounts::default();
        for row in &rows {
            let n = u64::try_from(int(row, "n")?).unwrap_or_default();
            match text(row, "state")?.as_str() {
                PENDING => counts.pending = n,
                DELIVERED => counts.delivered = n,
                FAILED => counts.failed = n,
                other => return Err(unreadable(&format!("state {other}"))),
            }
        }
        Ok(counts)
    }
}

fn decode(row: &AnyRow) -> Result<DueCallback> {
    let body = text(row, "body")?;
    Ok(DueCallback {
        id: text(row, "id")?,
        event_type: int(row, "event_type")?,
        stream_path: text(row, "stream_path")?,
        url: text(row, "url")?,
        sign_key: text(row, "sign_key")?,
        body: serde_json::from_str(&body).map_err(|e| unreadable(&e))?,
        attempts: u32::try_from(int(row, "attempts")?).unwrap_or(u32::MAX),
        fence: int(row, "fence")?,
    })
}

fn unreadable(what: &dyn std::fmt::Display) -> DbError {
    DbError::Row { table: "callback", what: what.to_string() }
}

fn text(row: &AnyRow, column: &'static str) -> Result<String> {
    row.try_get(column).map_err(at("read a column of a callback"))
}

fn int(row: &AnyRow, column: &'static str) -> Result<i64> {
    row.try_get(column).map_err(at("read a column of a callback"))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
