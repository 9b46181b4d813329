//! The outbox: events to deliver, written in the transaction of what they announce (spec live-api 11).
//!
//! Receiver, key and body are fixed when a row is written. Ids are UUIDv7, so their order is the
//! order of enqueueing. The events of one stream to one URL are a queue ([`queue`]) that is taken
//! from under a lease by `delivery::callback`; every attempt leaves a row ([`log`]); what is over is
//! kept for a while ([`prune`]) and can be sent again ([`replay`]).

pub mod log;
mod prune;
mod queue;
pub mod replay;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::{
    Row, Transaction,
    any::{Any, AnyRow},
};

use super::{Db, DbError, Result, at};
use crate::domain::{callback::NewCallback, ids};

pub use prune::Keep;
pub use queue::{Attempt, DueCallback, Verdict, WaitingReceiver};

const PENDING: &str = "pending";
const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";

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
            let stream_path = callback.stream_path.to_string();
            let queue = queue_of(&callback.url, &stream_path);
            sqlx::query(
                "INSERT INTO callback (id, event_type, stream_path, stream, url, queue, sign_key, \
                 body, state, attempts, next_try_ms, queued_ms, last_result, lease_owner, \
                 lease_until, fence, created_ms, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, \
                 $8, $9, 0, $10, $10, '', '', 0, 0, $10, $10)",
            )
            .bind(ids::event_id(now_ms).to_string())
            .bind(callback.event_type.number())
            .bind(stream_path)
            .bind(callback.stream_path.stream.as_str())
            .bind(callback.url.as_str())
            .bind(queue.as_str())
            .bind(callback.sign_key.as_str())
            .bind(body)
            .bind(PENDING)
            .bind(now_ms)
            .execute(&mut **tx)
            .await
            .map_err(at("enqueue a callback"))?;
            queue::open(tx, &queue, &callback.url, now_ms).await?;
        }
        Ok(())
    }

    /// How many rows are in each state.
    pub async fn count_callbacks(&self) -> Result<CallbackCounts> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM callback GROUP BY state")
            .fetch_all(self.reader())
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

/// The queue of a stream's events to a URL.
fn queue_of(url: &str, stream_path: &str) -> String {
    digest(&[url, "\n", stream_path])
}

/// What all queues to a URL have in common.
fn receiver_of(url: &str) -> String {
    digest(&[url])
}

/// 128 bits of a digest: both together may be longer than an index of PostgreSQL takes.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A text as a row takes it: PostgreSQL has no NUL.
fn cut(text: &str, max_chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max_chars).collect()
}

fn body_of(row: &AnyRow) -> Result<Map<String, Value>> {
    serde_json::from_str(&text(row, "body")?).map_err(|e| unreadable(&e))
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
mod many;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
