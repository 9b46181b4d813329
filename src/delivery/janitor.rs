//! Deletes what nothing needs any more: journal files and old entries of the audit log here, and
//! beside that, in a loop of its own, media files whose time is over ([`super::expiry`]).
//!
//! The one place that decides the end of a journal: the minimum over what the rows need (files
//! not delivered, failed ones, retention) and over the floor of a session that is still followed.
//! A file is unlinked only after the commit that released it. A session that no row knows is
//! left alone: recovery will make its rows.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::expiry::Expiry;
use crate::{
    db::{Db, DbError},
    domain::ids::SessionId,
    journal::{Journal, JournalError},
    storage::ObjectStore,
};

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Pause between two looks at the audit log.
const PRUNE: Duration = Duration::from_secs(3600);
/// The journal of a file that could not be made is kept at least this long.
const FAILED_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// Why a round was cut short.
#[derive(Debug, thiserror::Error)]
enum JanitorError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Deletes what nothing needs any more.
pub struct Janitor {
    /// Rows.
    pub db: Db,
    /// Journals of this node.
    pub journal: Journal,
    /// Whose clock this is.
    pub node_id: String,
    /// Products.
    pub store: Arc<dyn ObjectStore>,
    /// `journal.retention` in milliseconds.
    pub retention_ms: i64,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
}

impl Janitor {
    /// Goes round until stopped.
    pub async fn run(self, token: CancellationToken) {
        let expiry = Expiry {
            db: self.db.clone(),
            store: self.store.clone(),
            node_id: self.node_id.clone(),
            now_ms: self.now_ms,
        };
        // A slow store must not keep journals from being released.
        tokio::join!(
            self.release_journals(token.clone()),
            self.prune_audit(token.clone()),
            expiry.run(token)
        );
    }

    async fn prune_audit(&self, token: CancellationToken) {
        loop {
            match self.db.prune_audit((self.now_ms)()).await {
                Ok(0) => {}
                Ok(removed) => debug!(removed, "old entries of the audit log are gone"),
                // It is only room; the next time will do.
                Err(error) => debug!(%error, "old entries of the audit log cannot be removed"),
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(PRUNE) => {}
            }
        }
    }

    async fn release_journals(&self, token: CancellationToken) {
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(ROUND) => {}
            }
            match self.round(&token).await {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    warn!(%error, "released journals cannot be removed; trying again");
                }
                Err(_) => {}
            }
        }
    }

    async fn round(&self, token: &CancellationToken) -> Result<(), JanitorError> {
        let journal = self.journal.clone();
        let sessions = self.journal.run_read(move || journal.sessions()).await?;
        for session in sessions {
            if token.is_cancelled() {
                return Ok(());
            }
            match self.release(session).await {
                // It is being recovered, or has just begun: the next round sees it again.
                Err(JanitorError::Journal(JournalError::Live(_))) => {}
                released => released?,
            }
        }
        Ok(())
    }

    /// Removes the part of one session's journal that nothing needs.
    async fn release(&self, session: SessionId) -> Result<(), JanitorError> {
        // The floor first: once it is gone the rows say everything, never the other way round.
        let floor = self.journal.floor(session);
        let has_ended = self.db.session_has_ended(session).await?;
        let now_ms = (self.now_ms)();
        let stored_since_ms = now_ms.saturating_sub(self.retention_ms);
        let failed_since_ms = now_ms.saturating_sub(self.retention_ms.max(FAILED_KEPT_MS));
        let needed = self.db.needs_of_session(session, stored_since_ms, failed_since_ms).await?;
        let keep_from = match (floor, has_ended, needed) {
            (Some(floor), _, needed) => Some(needed.map_or(floor, |needed| needed.min(floor))),
            (None, Some(true), needed) => needed,
            (None, Some(false) | None, _) => return Ok(()),
        };
        if keep_from.is_none() && !self.db.forget_journal(session).await? {
            return Ok(());
        }
        let journal = self.journal.clone();
        let freed = self.journal.run_read(move || journal.release(session, keep_from)).await?;
        match keep_from {
            None => info!(session.id = %session, freed_bytes = freed, "journal released"),
            Some(_) if freed > 0 => {
                debug!(session.id = %session, freed_bytes = freed, "a part of a journal released");
            }
            Some(_) => {}
        }
        Ok(())
    }
}
