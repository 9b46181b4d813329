//! Deletes what nothing needs any more: journal files and old entries of the audit log here, and
//! beside that, in loops of their own, media files whose time is over ([`super::expiry`]) and uploads
//! of which nobody knows the id ([`super::strays`]). And lets be due what a clock that was set back put
//! off.
//!
//! The one place that decides the end of a journal: the minimum over what the rows need (files
//! not delivered, failed ones, retention) and over the floor of a session that is still followed.
//! A file is unlinked only after the commit that released it. A session that no row knows is
//! left alone: recovery will make its rows.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    boot_clock::BootClock,
    clock_guard::{ClockGuard, Verdict},
    expiry::Expiry,
    strays::Strays,
};
use crate::{
    db::{Db, DbError},
    domain::ids::SessionId,
    journal::{Journal, JournalError, Left},
    storage::ObjectStore,
};

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Pause between two looks at the audit log.
const PRUNE: Duration = Duration::from_secs(3600);
/// Pause between two looks for what a clock that was ahead has put off.
const PULL_BACK: Duration = Duration::from_secs(20);
/// More than files are ever put off, and leases last.
const LONGEST_PAUSE_MS: i64 = 3 * 60 * 1000;
/// The journal of a file that could not be made is kept at least this long.
const FAILED_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// Why a round was cut short, or what it could not do.
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
    /// `callback.retry_interval` in milliseconds.
    pub retry_ms: i64,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
}

/// A wall clock and how far it is believed.
struct Believed {
    guard: Option<ClockGuard>,
    /// Zero of the monotonic clock.
    begun: Instant,
}

impl Default for Believed {
    fn default() -> Self {
        Self { guard: None, begun: Instant::now() }
    }
}

impl Believed {
    /// The newest time believed when the wall clock says `now_ms`; `trusted_ms` is where it begins.
    fn look(&mut self, trusted_ms: i64, now_ms: i64, at_ms: i64) -> i64 {
        let guard = self.guard.get_or_insert_with(|| ClockGuard::new(trusted_ms));
        match guard.observe(now_ms, at_ms) {
            Verdict::Believed | Verdict::Behind(_) => now_ms,
            Verdict::Ahead(_) => guard.trusted_ms(),
        }
    }
}

impl Janitor {
    /// Goes round until stopped.
    pub async fn run(self, token: CancellationToken) {
        let expiry = Expiry {
            db: self.db.clone(),
            store: self.store.clone(),
            node_id: self.node_id.clone(),
            now_ms: self.now_ms,
            boot: BootClock::open(),
        };
        let strays = Strays { db: self.db.clone(), store: self.store.clone(), now_ms: self.now_ms };
        // A slow store must not keep journals from being released.
        tokio::join!(
            self.release_journals(token.clone()),
            self.prune_audit(token.clone()),
            self.pull_back(token.clone()),
            strays.run(token.clone()),
            expiry.run(token)
        );
    }

    async fn prune_audit(&self, token: CancellationToken) {
        let mut clock = Believed::default();
        loop {
            let pruned = async {
                let now_ms = self.believed_ms(&mut clock).await?;
                self.db.prune_audit(now_ms).await
            };
            match pruned.await {
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

    /// A clock that is set back leaves much put off for as long as it was ahead.
    async fn pull_back(&self, token: CancellationToken) {
        let longest_ms = self.retry_ms.saturating_mul(2).max(LONGEST_PAUSE_MS);
        loop {
            match self.db.pull_back(&self.node_id, (self.now_ms)(), longest_ms).await {
                Ok(0) => {}
                Ok(rows) => {
                    info!(rows, "the clock was set back: what it had put off is due");
                    self.db.media_changed().notify_waiters();
                    self.db.outbox_changed().notify_one();
                }
                Err(error) => debug!(%error, "what a clock put off cannot be looked for"),
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(PULL_BACK) => {}
            }
        }
    }

    async fn release_journals(&self, token: CancellationToken) {
        let (mut is_failing, mut clock) = (false, Believed::default());
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(ROUND) => {}
            }
            match self.round(&token, &mut clock).await {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    warn!(%error, "released journals cannot be removed; trying again");
                }
                Err(_) => {}
            }
        }
    }

    /// The time that things may be too old by: a clock that has leapt forward is not believed.
    async fn believed_ms(&self, clock: &mut Believed) -> Result<i64, DbError> {
        let now_ms = (self.now_ms)();
        let trusted_ms = match clock.guard {
            Some(_) => now_ms,
            None => {
                let row = self.db.expiry_clock(&self.node_id).await?;
                row.map_or(now_ms, |row| row.trusted_ms)
            }
        };
        let at_ms = i64::try_from(clock.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Ok(clock.look(trusted_ms, now_ms, at_ms))
    }

    async fn round(
        &self,
        token: &CancellationToken,
        clock: &mut Believed,
    ) -> Result<(), JanitorError> {
        let now_ms = self.believed_ms(clock).await?;
        let journal = self.journal.clone();
        let sessions = self.journal.run_read(move || journal.sessions()).await?;
        let mut first_failure = None;
        for session in sessions {
            if token.is_cancelled() {
                return Ok(());
            }
            match self.release(session, now_ms).await {
                // It is being recovered, or has just begun: the next round sees it again.
                Ok(()) | Err(JanitorError::Journal(JournalError::Live(_))) => {}
                // That of one keeps no other.
                Err(error @ JanitorError::Journal(_)) => {
                    first_failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    /// Whether there are data of a session that was given up.
    async fn is_back(&self, session: SessionId) -> Result<bool, JanitorError> {
        if !self.db.is_journal_given_up(session).await? {
            return Ok(false);
        }
        let journal = self.journal.clone();
        let left = self.journal.run_read(move || journal.left(session)).await?;
        Ok(left == Left::Data)
    }

    /// Removes the part of one session's journal that nothing needs.
    async fn release(&self, session: SessionId, now_ms: i64) -> Result<(), JanitorError> {
        // The floor first: once it is gone the rows say everything, never the other way round.
        let floor = self.journal.floor(session);
        let has_ended = self.db.session_has_ended(session).await?;
        if self.is_back(session).await? && self.db.note_journal_back(session, now_ms).await? {
            warn!(
                session.id = %session,
                "the journal of a session that was given up is here again; it is kept for a week at least, and `liverec remake SESSION --format FORMAT` makes its files from it"
            );
        }
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
            // What is foreign in a folder keeps that, and is met in each round.
            _ if freed == 0 => {}
            None => info!(session.id = %session, freed_bytes = freed, "journal released"),
            Some(_) => {
                debug!(session.id = %session, freed_bytes = freed, "a part of a journal released");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        db::callback::testing::sqlite,
        delivery::{project::tests::WALL_MS, tests::House},
        domain::{container::Container, media_file::MediaFileState},
        journal::Settings,
        storage::LocalStore,
    };

    /// An index that is missing keeps its own journal, and no other.
    #[tokio::test]
    async fn one_that_cannot_be_released_keeps_no_other() {
        const NOW: i64 = 1_795_344_236_000;
        let (test, dir) = (sqlite().await, tempfile::tempdir().unwrap());
        let root = dir.path().join("journal");
        let settings = Settings { root: root.clone(), sync_interval: ROUND, roll_bytes: 1 << 20 };
        let journal = Journal::open(settings).unwrap();
        let sessions: [_; 3] = std::array::from_fn(|nth| SessionId::new(nth as i64));
        let [before, broken, behind] = sessions.map(|session| root.join(session.to_string()));
        for (session, given_up_ms) in sessions.into_iter().zip([0, NOW, 0]) {
            let folder = root.join(session.to_string());
            std::fs::create_dir(&folder).unwrap();
            for name in ["00000001.flv", "00000002.flv"] {
                std::fs::write(folder.join(name), "data").unwrap();
            }
            sqlx::query(
                "INSERT INTO session (id, node_id, domain, app, stream, body, started_ms, ended_ms, \
                 end_reason, has_journal, given_up_ms) VALUES ($1, '', '', '', '', '', 0, 1, '', 1, $2)",
            )
            .bind(session.to_string())
            .bind(given_up_ms)
            .execute(test.db.pool())
            .await
            .unwrap();
        }
        let janitor = Janitor {
            db: test.db.clone(),
            journal,
            node_id: "node".to_owned(),
            store: Arc::new(LocalStore::open(&dir.path().join("vod")).unwrap()),
            retention_ms: 0,
            retry_ms: 1000,
            now_ms: || NOW,
        };
        let (token, mut clock) = (CancellationToken::new(), Believed::default());
        let failed = janitor.round(&token, &mut clock).await.unwrap_err();
        assert!(failed.to_string().contains("00000002.idx"), "{failed}");
        assert!(!before.exists() && broken.exists() && !behind.exists());
    }

    /// What cannot be made keeps its journal for a week, whatever the retention.
    #[test]
    fn the_journal_of_a_failed_file_is_kept_for_a_week() {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let house = House::new(|| WALL_MS + 1000);
        let push = house.place.push_heavy(WALL_MS, 2, 100);
        // There is no sound.
        let id = house.ended("silent", Container::Aac, &push);
        assert_eq!(house.turn(), Some(id));
        assert_eq!(house.state(id), MediaFileState::Failed);
        let janitor = Janitor {
            db: house.test.db.clone(),
            journal: house.place.journal.clone(),
            node_id: "node".to_owned(),
            store: house.delivery.store.clone(),
            retention_ms: 0,
            retry_ms: 1000,
            now_ms: || WALL_MS,
        };
        let folder = house.place.journal.path(push.session);
        for (tenths, is_kept) in [(1, true), (69, true), (71, false)] {
            let now_ms = WALL_MS + tenths * DAY_MS / 10;
            house.runtime.block_on(janitor.release(push.session, now_ms)).unwrap();
            assert_eq!(folder.exists(), is_kept, "{tenths} tenths of a day");
        }
    }

    #[test]
    fn a_clock_that_leaps_makes_nothing_old() {
        const NOW: i64 = 1_795_344_236_000;
        const DAY: i64 = 24 * 3600 * 1000;
        let mut clock = Believed::default();
        assert_eq!(clock.look(NOW, NOW, 0), NOW);
        assert_eq!(clock.look(0, NOW + 2_000, 2_000), NOW + 2_000);
        assert_eq!(clock.look(0, NOW + 8 * DAY, 4_000), NOW + 2_000);
        assert_eq!(clock.look(0, NOW + 6_000, 6_000), NOW + 6_000);
        // At the start an earlier process's belief counts, a week at most.
        let mut clock = Believed::default();
        assert_eq!(clock.look(NOW, NOW + 8 * DAY, 0), NOW);
        let mut clock = Believed::default();
        assert_eq!(clock.look(NOW, NOW + 6 * DAY, 0), NOW + 6 * DAY);
    }
}
