//! How long the outbox waits for a receiver and keeps what is over, in time that the server has run.

use tokio::time::Instant;

use super::{Sending, millis, waited::Waited};
use crate::db::{self, callback::Keep};

/// What waited for its receiver for this long is given up: it failed, and can be replayed. Like
/// [`KEEP_MS`] counted in time that this server ran.
const MAX_WAIT_MS: i64 = 3 * 24 * 3600 * 1000;
/// Finished rows are kept as long as the vendor's delivery log reaches back ...
const KEEP_MS: i64 = 14 * 24 * 3600 * 1000;
/// ... but never more than this many of each outcome.
const KEEP_ROWS: u64 = 100_000;

impl Sending {
    /// What this node has marked so far.
    pub(super) async fn waited(&self) -> db::Result<Waited> {
        let text = self.db.setting(&self.waited_name()).await?;
        Ok(text.as_deref().map(Waited::parse).unwrap_or_default())
    }

    /// Marks how long the server has run since `marked`.
    pub(super) async fn mark(&self, waited: &mut Waited, marked: &mut Instant) -> db::Result<()> {
        let mut next = waited.clone();
        let now = Instant::now();
        next.mark(millis(now - *marked), self.now_ms(), KEEP_MS);
        self.db.set_setting(&self.waited_name(), &next.to_text()).await?;
        (*waited, *marked) = (next, now);
        Ok(())
    }

    fn waited_name(&self) -> String {
        format!("outbox_waited/{}", self.settings.node_id)
    }

    /// Gives up what waited for too long, and deletes what has been over for long enough.
    pub(super) async fn prune(&self, waited: &Waited) -> db::Result<()> {
        let keep = Keep {
            waiting_since_ms: waited.before_ms(MAX_WAIT_MS),
            over_since_ms: waited.before_ms(KEEP_MS),
            rows: KEEP_ROWS,
        };
        let pruned = self.db.prune_callbacks(keep, self.now_ms()).await?;
        if pruned.expired > 0 {
            tracing::error!(
                events = pruned.expired,
                "callbacks given up that their receiver did not accept for three days of running; LiverecReplayCallback sends them again"
            );
        }
        Ok(())
    }
}
