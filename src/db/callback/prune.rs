//! How long the outbox keeps what: the one place that deletes events and their log.

use super::{DELIVERED, FAILED, int};
use crate::db::{Db, Result, at};

/// Rows changed by one statement, so that pruning never holds the write lock for long.
const BATCH: i64 = 1000;

/// What is kept. The log of an event goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Events that were enqueued or replayed before this and are still not accepted are given up
    /// (unix milliseconds).
    pub waiting_since_ms: i64,
    /// Events that were over before this go (unix milliseconds).
    pub over_since_ms: i64,
    /// Of each outcome no more than this stay: the newest.
    pub rows: u64,
}

/// What pruning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events given up because they waited for too long.
    pub expired: u64,
    /// Rows deleted.
    pub deleted: u64,
}

impl Db {
    /// Gives up what waited for too long, then deletes what is over for long enough.
    pub async fn prune_callbacks(&self, keep: Keep, now_ms: i64) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        loop {
            let done = sqlx::query(
                "UPDATE callback SET state = 'failed', next_try_ms = $2, updated_ms = $2, \
                 sign_key = '', last_result = 'waited too long for its receiver' \
                 WHERE state = 'pending' AND id IN (SELECT id FROM callback WHERE state = 'pending' \
                 AND queue <> '' AND queued_ms < $1 ORDER BY queued_ms LIMIT $3)",
            )
            .bind(keep.waiting_since_ms)
            .bind(now_ms)
            .bind(BATCH)
            .execute(self.pool())
            .await
            .map_err(at("give up callbacks that waited for too long"))?;
            pruned.expired += done.rows_affected();
            if done.rows_affected() < BATCH.unsigned_abs() {
                break;
            }
        }
        for state in [DELIVERED, FAILED] {
            pruned.deleted += self.prune_finished(state, keep).await?;
        }
        Ok(pruned)
    }

    async fn prune_finished(&self, state: &str, keep: Keep) -> Result<u64> {
        let row = sqlx::query(
            "SELECT next_try_ms FROM callback WHERE state = $1 \
             ORDER BY next_try_ms DESC, id DESC LIMIT 1 OFFSET $2",
        )
        .bind(state)
        .bind(i64::try_from(keep.rows).unwrap_or(i64::MAX))
        .fetch_optional(self.reader())
        .await
        .map_err(at("find the callbacks to prune"))?;
        let before_ms = match row {
            Some(row) => keep.over_since_ms.max(int(&row, "next_try_ms")?.saturating_add(1)),
            None => keep.over_since_ms,
        };
        let mut gone = 0;
        loop {
            let done = sqlx::query(
                "DELETE FROM callback WHERE state = $1 AND id IN (SELECT id FROM callback \
                 WHERE state = $1 AND next_try_ms < $2 ORDER BY next_try_ms, id LIMIT $3)",
            )
            .bind(state)
            .bind(before_ms)
            .bind(BATCH)
            .execute(self.pool())
            .await
            .map_err(at("prune callbacks"))?;
            gone += done.rows_affected();
            if done.rows_affected() < BATCH.unsigned_abs() {
                return Ok(gone);
            }
        }
    }
}
