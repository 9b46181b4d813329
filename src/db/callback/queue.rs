//! Queues of the outbox: what one stream has for one URL, in order, one attempt at a time.
//!
//! A row of `callback_queue` stands for a queue in which something waits, so that looking for work
//! costs as much as there are receivers, and taking it as much as is taken, however many events
//! wait. Whoever takes the first event of a queue has the queue until the attempt is noted or the
//! lease is over; the fence keeps one who lost it from noting anything.

use serde_json::{Map, Value};
use sqlx::{Transaction, any::Any};
use uuid::Uuid;

use super::{DELIVERED, FAILED, PENDING, body_of, cut, int, queue_of, receiver_of, text};
use crate::db::{Db, Result, at};

/// Longest `last_result` kept, in characters.
const MAX_RESULT_CHARS: usize = 300;
/// Longest answer kept in the delivery log, in characters.
const MAX_RESPONSE_CHARS: usize = 1024;
/// Attempts of one event that the delivery log keeps: the newest.
const MAX_LOGGED: i64 = 20;
/// Events of an earlier version taken over by one transaction.
const ADOPT_BATCH: i64 = 500;

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
    /// Attempts made before this one, since it was enqueued or replayed.
    pub attempts: u32,
    stream: String,
    created_ms: i64,
    replays: i64,
    queue: String,
    fence: i64,
}

/// A URL for which something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingReceiver {
    /// What to claim by.
    pub receiver: String,
    /// Its URL.
    pub url: String,
    /// When the first of its events may be taken, in unix milliseconds.
    pub ready_ms: i64,
}

/// How an attempt went, for the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 0 if the event was accepted.
    pub result_code: i64,
    /// The receiver's answer, or why there is none.
    pub response: String,
    /// One line for people.
    pub result: String,
    /// `t` as it was sent, 0 without a signature.
    pub sent_t: i64,
    /// `sign` as it was sent, empty without a signature.
    pub sent_sign: String,
    /// When the attempt was over, in unix milliseconds.
    pub ended_ms: i64,
}

/// What becomes of an event after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has accepted it.
    Delivered,
    /// It is tried again at this time, in unix milliseconds.
    Again(i64),
    /// It is not tried again.
    GivenUp,
}

/// Makes sure that a queue is looked at. Holds its row until the end of the transaction, so that
/// nobody takes it for empty meanwhile.
pub(super) async fn open(
    tx: &mut Transaction<'static, Any>,
    queue: &str,
    url: &str,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO callback_queue (queue, receiver, url, ready_ms, lease_owner, fence) \
         VALUES ($1, $2, $3, $4, '', 0) ON CONFLICT (queue) DO UPDATE SET url = excluded.url",
    )
    .bind(queue)
    .bind(receiver_of(url))
    .bind(url)
    .bind(now_ms)
    .execute(&mut **tx)
    .await
    .map_err(at("open a queue of callbacks"))?;
    Ok(())
}

/// Removes the row of a queue in which nothing waits. The transaction holds the row already.
async fn close_if_empty(tx: &mut Transaction<'static, Any>, queue: &str) -> Result<()> {
    sqlx::query(
        "DELETE FROM callback_queue WHERE queue = $1 AND NOT EXISTS \
         (SELECT 1 FROM callback c WHERE c.queue = $1 AND c.state = 'pending')",
    )
    .bind(queue)
    .execute(&mut **tx)
    .await
    .map_err(at("close a queue of callbacks"))?;
    Ok(())
}

impl Db {
    /// Every receiver for whom something waits, the longest waiting first. What waits for others to
    /// end their attempt counts as ready when their lease is over.
    pub async fn waiting_receivers(&self) -> Result<Vec<WaitingReceiver>> {
        // From one receiver to the next by the index: it does not matter how many queues each has.
        let rows = sqlx::query(
            "WITH RECURSIVE r(receiver) AS (SELECT MIN(receiver) FROM callback_queue UNION ALL \
               SELECT (SELECT MIN(q.receiver) FROM callback_queue q WHERE q.receiver > r.receiver) \
               FROM r WHERE r.receiver IS NOT NULL) \
             SELECT q.receiver, q.url, q.ready_ms FROM r JOIN callback_queue q ON q.queue = \
               (SELECT f.queue FROM callback_queue f WHERE f.receiver = r.receiver \
                ORDER BY f.ready_ms, f.queue LIMIT 1) \
             ORDER BY q.ready_ms, q.receiver",
        )
        .fetch_all(self.reader())
        .await
        .map_err(at("find the receivers of callbacks"))?;
        let mut receivers = Vec::with_capacity(rows.len());
        for row in &rows {
            receivers.push(WaitingReceiver {
                receiver: text(row, "receiver")?,
                url: text(row, "url")?,
                ready_ms: int(row, "ready_ms")?,
            });
        }
        Ok(receivers)
    }

    /// Takes up to `limit` due events of one receiver, each the first of its queue.
    pub async fn claim_callbacks(
        &self,
        receiver: &str,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
        limit: usize,
    ) -> Result<Vec<DueCallback>> {
        let mut tx = self.begin().await?;
        // Ready is said twice: PostgreSQL checks only the outer condition again when it had to wait
        // for another node's claim of the same row.
        let rows = sqlx::query(
            "UPDATE callback_queue SET lease_owner = $3, ready_ms = $4, fence = fence + 1 \
             WHERE queue IN (SELECT f.queue FROM callback_queue f WHERE f.receiver = $1 \
               AND f.ready_ms <= $2 ORDER BY f.ready_ms, f.queue LIMIT $5) AND ready_ms <= $2 \
             RETURNING queue, fence",
        )
        .bind(receiver)
        .bind(now_ms)
        .bind(owner)
        .bind(now_ms.saturating_add(lease_ms))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await
        .map_err(at("claim callbacks"))?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            let (queue, fence) = (text(row, "queue")?, int(row, "fence")?);
            let head = sqlx::query(
                "SELECT id, event_type, stream_path, stream, url, sign_key, body, attempts, \
                 replays, created_ms FROM callback \
                 WHERE queue = $1 AND state = 'pending' ORDER BY id LIMIT 1",
            )
            .bind(queue.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(at("read the first callback of a queue"))?;
            let Some(head) = head else {
                close_if_empty(&mut tx, &queue).await?;
                continue;
            };
            due.push(DueCallback {
                id: text(&head, "id")?,
                event_type: int(&head, "event_type")?,
                stream_path: text(&head, "stream_path")?,
                url: text(&head, "url")?,
                sign_key: text(&head, "sign_key")?,
                body: body_of(&head)?,
                attempts: u32::try_from(int(&head, "attempts")?).unwrap_or(u32::MAX),
                stream: text(&head, "stream")?,
                created_ms: int(&head, "created_ms")?,
                replays: int(&head, "replays")?,
                queue,
                fence,
            });
        }
        self.commit(tx, "claim callbacks").await?;
        due.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(due)
    }

    /// Notes how an attempt went and what becomes of the event. False if the lease was lost
    /// meanwhile: nothing is noted then.
    pub async fn note_attempt(
        &self,
        callback: &DueCallback,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<bool> {
        let (state, next_ms) = match verdict {
            Verdict::Delivered => (DELIVERED, attempt.ended_ms),
            Verdict::Again(next_ms) => (PENDING, next_ms),
            Verdict::GivenUp => (FAILED, attempt.ended_ms),
        };
        let mut tx = self.begin().await?;
        let held = sqlx::query(
            "UPDATE callback_queue SET lease_owner = '', ready_ms = $3, fence = fence + 1 \
             WHERE queue = $1 AND fence = $2",
        )
        .bind(callback.queue.as_str())
        .bind(callback.fence)
        .bind(next_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("give a queue of callbacks back"))?;
        if held.rows_affected() == 0 {
            return Ok(false);
        }
        // A finished row needs its key no more; its next_try_ms is when it was finished.
        sqlx::query(
            "UPDATE callback SET state = $2, attempts = attempts + 1, next_try_ms = $3, \
             last_result = $4, updated_ms = $5, \
             sign_key = CASE WHEN $2 = 'pending' THEN sign_key ELSE '' END \
             WHERE id = $1 AND state = 'pending'",
        )
        .bind(callback.id.as_str())
        .bind(state)
        .bind(next_ms)
        .bind(cut(&attempt.result, MAX_RESULT_CHARS))
        .bind(attempt.ended_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("note the outcome of a callback"))?;
        log_attempt(&mut tx, callback, attempt).await?;
        if verdict == Verdict::Delivered || verdict == Verdict::GivenUp {
            close_if_empty(&mut tx, &callback.queue).await?;
        }
        self.commit(tx, "note the outcome of a callback").await?;
        Ok(true)
    }

    /// Frees what owners whose name begins with `owner_prefix` have taken and not finished. Fences
    /// rise, so that an attempt still under way notes nothing.
    pub async fn release_callbacks(&self, owner_prefix: &str, now_ms: i64) -> Result<u64> {
        let chars = owner_prefix.chars().count();
        let done = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE callback_queue SET lease_owner = '', ready_ms = $2, fence = fence + 1 \
             WHERE lease_owner > '' AND substr(lease_owner, 1, {chars}) = $1"
        )))
        .bind(owner_prefix)
        .bind(now_ms)
        .execute(self.pool())
        .await
        .map_err(at("release callbacks"))?;
        Ok(done.rows_affected())
    }

    /// Puts events that an earlier version enqueued into their queues. Answers how many; the caller
    /// goes on until there are none.
    pub async fn adopt_callbacks(&self) -> Result<usize> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "SELECT id, url, stream_path, body, next_try_ms, created_ms FROM callback \
             WHERE state = 'pending' AND queue = '' ORDER BY id LIMIT $1",
        )
        .bind(ADOPT_BATCH)
        .fetch_all(&mut *tx)
        .await
        .map_err(at("find callbacks of an earlier version"))?;
        for row in &rows {
            let url = text(row, "url")?;
            let queue = queue_of(&url, &text(row, "stream_path")?);
            let body = body_of(row)?;
            sqlx::query(
                "UPDATE callback SET queue = $2, stream = $3, queued_ms = created_ms WHERE id = $1",
            )
            .bind(text(row, "id")?)
            .bind(queue.as_str())
            .bind(body.get("stream_id").and_then(Value::as_str).unwrap_or_default())
            .execute(&mut *tx)
            .await
            .map_err(at("take a callback over"))?;
            open(&mut tx, &queue, &url, int(row, "next_try_ms")?).await?;
        }
        self.commit(tx, "take callbacks over").await?;
        Ok(rows.len())
    }
}

async fn log_attempt(
    tx: &mut Transaction<'static, Any>,
    callback: &DueCallback,
    attempt: &Attempt,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO callback_delivery (id, callback_id, stream, event_ms, event_type, \
         result_code, response, sent_t, sent_sign, ended_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(callback.id.as_str())
    .bind(callback.stream.as_str())
    .bind(callback.created_ms)
    .bind(callback.event_type)
    .bind(attempt.result_code)
    .bind(cut(&attempt.response, MAX_RESPONSE_CHARS))
    .bind(attempt.sent_t)
    .bind(attempt.sent_sign.as_str())
    .bind(attempt.ended_ms)
    .execute(&mut **tx)
    .await
    .map_err(at("log an attempt to deliver a callback"))?;
    if callback.replays == 0 && i64::from(callback.attempts) < MAX_LOGGED {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM callback_delivery WHERE callback_id = $1 AND id NOT IN (SELECT d.id \
         FROM callback_delivery d WHERE d.callback_id = $1 ORDER BY d.id DESC LIMIT $2)",
    )
    .bind(callback.id.as_str())
    .bind(MAX_LOGGED)
    .execute(&mut **tx)
    .await
    .map_err(at("prune the log of a callback"))?;
    Ok(())
}
