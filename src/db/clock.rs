//! What the rows still have of a clock that was ahead and has been set back: moments to come at which
//! something is to be tried, which would else not be tried for as long as it was ahead; and ids that
//! are newer than those to come, though the order of events and sessions is that of their ids.

use sqlx::Row;

use super::{Db, Result, at};

/// The newest ids that there are; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewestIds {
    /// Of events, a UUIDv7.
    pub callback: String,
    /// Of publish sessions, a UUIDv7.
    pub session: String,
}

impl Db {
    /// Lets whatever is put off for longer than anything ever is (`longest_ms`) be due at once: files
    /// to be made and leases of this node, queues of callbacks. An interruption that lies in the
    /// future has just been. How many rows that were.
    pub async fn pull_back(&self, node_id: &str, now_ms: i64, longest_ms: i64) -> Result<u64> {
        const ACTION: &str = "put right what a clock that was ahead has put off";
        let far_ms = now_ms.saturating_add(longest_ms);
        let later = |sql| sqlx::query(sql).bind(now_ms).bind(far_ms);
        let statements = [
            later(
                "UPDATE media_file SET next_try_ms = $1 \
                 WHERE state = 'ended' AND next_try_ms > $2 AND node_id = $3",
            )
            .bind(node_id),
            later(
                "UPDATE media_file SET lease_until = $1 \
                 WHERE state = 'ended' AND lease_until > $2 AND node_id = $3",
            )
            .bind(node_id),
            later(
                "UPDATE recording SET suspended_ms = $1 \
                 WHERE ended_ms = 0 AND suspended_ms > $2 AND node_id = $3",
            )
            .bind(node_id),
            later("UPDATE callback_queue SET ready_ms = $1 WHERE ready_ms > $2"),
        ];
        let mut tx = self.begin().await?;
        let mut rows = 0;
        for statement in statements {
            rows += statement.execute(&mut *tx).await.map_err(at(ACTION))?.rows_affected();
        }
        self.commit(tx, ACTION).await?;
        Ok(rows)
    }

    /// The newest ids.
    pub async fn newest_ids(&self) -> Result<NewestIds> {
        let newest = async |sql: &'static str| {
            let row = sqlx::query(sql).fetch_one(self.reader()).await;
            row.and_then(|row| row.try_get(0)).map_err(at("read the newest ids"))
        };
        Ok(NewestIds {
            callback: newest("SELECT COALESCE(MAX(id), '') FROM callback").await?,
            session: newest("SELECT COALESCE(MAX(id), '') FROM session").await?,
        })
    }
}
