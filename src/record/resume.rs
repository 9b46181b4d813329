//! Ends suspended recordings: when their resume window is over, or at once when their task is.
//!
//! A window is not closed behind the back of a session that began in it and whose follower has yet
//! to look ([`super::turns`]), nor before everything an earlier process left behind has its place in
//! line. Beside the supervisor, because it waits for the database and publishing must not.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    db::DbError,
    domain::{plan, recording::Suspended},
};

use super::{continuation::end_suspended, follow::Shared, rows::chain, turns::Turns};

/// How long to sleep when nothing is known to be due.
const IDLE: Duration = Duration::from_secs(60);
/// Pause before the database is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// A session that began in time takes its place in line within this after the end of the window.
const SLACK_MS: i64 = 500;

/// Ends suspended recordings.
pub struct Expiry {
    /// Common parts.
    pub shared: Arc<Shared>,
    /// The sessions under way.
    pub turns: Arc<Turns>,
    /// Whose recordings.
    pub node_id: String,
}

impl Expiry {
    /// Works until stopped; begins when `recovered` turns true or its sender has gone.
    pub async fn run(self, mut recovered: watch::Receiver<bool>, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => return,
            _ = recovered.wait_for(|recovered| *recovered) => {}
        }
        let mut is_failing = false;
        loop {
            let wait = tokio::select! {
                () = token.cancelled() => return,
                round = self.round() => match round {
                    Ok(wait) => {
                        is_failing = false;
                        wait
                    }
                    Err(error) => {
                        if !is_failing {
                            warn!(error = %chain(&error), "suspended recordings wait for the database");
                        }
                        is_failing = true;
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = token.cancelled() => return,
                () = self.turns.changed().notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Ends what is due. Answers how long nothing can become due by itself.
    async fn round(&self) -> Result<Duration, DbError> {
        let shared = &self.shared;
        let all = shared.db.suspended_recordings(&self.node_id, None).await?;
        let now_ms = (shared.now_ms)();
        let snapshot = shared.snapshot.load_full();
        let mut next_ms = plan::next_edge_ms(now_ms, &snapshot.record_tasks);
        let mut has_ended = false;
        for suspended in all {
            let until_ms = suspended.until_ms().saturating_add(SLACK_MS);
            let is_due =
                until_ms <= now_ms || suspended.is_unwanted(&snapshot.record_tasks, now_ms);
            if !is_due {
                next_ms = Some(next_ms.map_or(until_ms, |next| next.min(until_ms)));
            } else if !self.turns.is_awaited(&suspended.path, suspended.until_ms()) {
                has_ended |= self.end(&suspended).await?;
            }
        }
        if has_ended {
            shared.db.outbox_changed().notify_one();
            shared.db.media_changed().notify_waiters();
        }
        let wait_ms = next_ms.map(|next| next.saturating_sub(now_ms).max(1));
        Ok(wait_ms
            .and_then(|ms| u64::try_from(ms).ok())
            .map_or(IDLE, Duration::from_millis)
            .min(IDLE))
    }

    async fn end(&self, suspended: &Suspended) -> Result<bool, DbError> {
        let mut tx = self.shared.db.begin().await?;
        let has_ended = end_suspended(&self.shared, &mut tx, suspended).await?;
        self.shared.db.commit(tx, "end a suspended recording").await?;
        if has_ended {
            info!(
                stream.path = %suspended.path,
                recording.id = %suspended.recording.id,
                container = %suspended.recording.container,
                "recording ended: the stream did not come back"
            );
        }
        Ok(has_ended)
    }
}
