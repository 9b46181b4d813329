//! The end of media files whose StorageTime is over: their objects first, then their rows.
//!
//! Searches do not answer expired files, so they are out of sight already; a crash or a store that
//! is away only delays what is left. A file whose objects cannot be removed is passed over and tried
//! again in the next round; when nothing can be, the rounds become rare. Whether the clock may be
//! believed is [`super::clock_guard`]'s.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    boot_clock::BootClock,
    clock_guard::{ClockGuard, Leap, Run, Verdict},
};
use crate::{
    db::{
        Db, DbError,
        media_file::{ClockRun, ExpiryClock},
    },
    domain::{container::Container, media_file::MediaFile},
    storage::{ObjectStore, StorageError, StorageKey},
};

/// Pause between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Longest pause while the store or the database is away.
const LONGEST: Duration = Duration::from_secs(300);
/// Files removed between two looks at the clock and at the token, and rows of one transaction.
const BATCH: i64 = 100;
/// Objects removed at the same time.
const DELETES: usize = 4;
/// Files that fail one after the other until the store is taken to be away.
const FAILURES: usize = 3;
/// How often what is believed of the clock is written down.
const NOTE_EVERY_MS: i64 = 60_000;

/// Why a round was cut short.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExpiryError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Removes expired media files.
pub(super) struct Expiry {
    pub db: Db,
    pub store: Arc<dyn ObjectStore>,
    pub node_id: String,
    pub now_ms: fn() -> i64,
    pub boot: BootClock,
}

/// What is remembered between rounds.
#[derive(Default)]
pub(super) struct Memory {
    guard: Option<ClockGuard>,
    /// What the row says.
    noted: Option<ExpiryClock>,
    noted_run: Option<Run>,
}

impl Expiry {
    /// Goes round until stopped.
    pub(super) async fn run(self, token: CancellationToken) {
        let mut memory = Memory::default();
        // At once: what is stored before the clock was looked at is not known to be young when it leaps.
        let (mut pause, mut is_failing) = (Duration::ZERO, false);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(pause) => {}
            }
            let at_ms = self.boot.now_ms();
            let round = tokio::select! {
                () = token.cancelled() => return,
                round = self.round(&mut memory, at_ms) => round,
            };
            match round {
                Ok(_) => {
                    if is_failing {
                        info!("expired media files can be removed again");
                    }
                    (pause, is_failing) = (ROUND, false);
                }
                Err(error) => {
                    pause = (pause * 2).clamp(ROUND, LONGEST);
                    if !is_failing {
                        warn!(%error, "expired media files cannot be removed now; trying again, ever more rarely");
                    }
                    is_failing = true;
                }
            }
        }
    }

    /// Looks at the clock, then removes all that is expired; how many files. `at_ms` is what
    /// [`BootClock::now_ms`] says.
    pub(super) async fn round(
        &self,
        memory: &mut Memory,
        at_ms: i64,
    ) -> Result<usize, ExpiryError> {
        let now_ms = (self.now_ms)();
        if !self.may_expire(memory, now_ms, at_ms).await? {
            return Ok(0);
        }
        let (mut removed, mut failures, mut after) = (0, 0, None);
        loop {
            let files = self.db.expired_media_files(now_ms, after, BATCH).await?;
            let Some(last) = files.last() else { return Ok(removed) };
            after = Some((last.expire_ms, last.id));
            let mut gone = Vec::with_capacity(files.len());
            let mut trouble = None;
            for file in files {
                match self.remove_objects(&file).await {
                    Ok(()) => {
                        failures = 0;
                        gone.push(file);
                    }
                    Err(error) => {
                        failures += 1;
                        trouble = Some(error);
                        if failures >= FAILURES {
                            break;
                        }
                    }
                }
            }
            removed += self.remove_rows(&gone, now_ms).await?;
            match trouble {
                Some(error) if failures >= FAILURES || gone.is_empty() => return Err(error.into()),
                Some(error) => {
                    warn!(%error, "an expired media file could not be removed; it is tried again")
                }
                None => {}
            }
        }
    }

    async fn remove_rows(&self, files: &[MediaFile], now_ms: i64) -> Result<usize, DbError> {
        let mut removed = Vec::with_capacity(files.len());
        if files.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        for file in files {
            // Another node may have been faster.
            if Db::delete_media_file(&mut tx, file.id, now_ms).await? {
                removed.push(file);
            }
        }
        self.db.commit(tx, "delete expired media files").await?;
        for file in &removed {
            info!(file.id = %file.id, stream.path = %file.path, "media file expired and was removed");
        }
        metrics::counter!("liverec_expired_files_total").increment(removed.len() as u64);
        Ok(removed.len())
    }

    /// Removes every object of a file. The main one first: what a player could still find must not
    /// name what is gone.
    async fn remove_objects(&self, file: &MediaFile) -> Result<(), StorageError> {
        let Ok(main) = StorageKey::parse(&file.storage_key) else { return Ok(()) };
        self.store.delete(&main).await?;
        if file.container != Container::Hls {
            return Ok(());
        }
        let facts = &file.facts;
        let inits = (0..facts.init_segments).map(|number| main.init(number.into()));
        // The playlist is one of the objects, too.
        let segments = facts.objects.saturating_sub(1).saturating_sub(facts.init_segments);
        let segments = (0..segments.into()).map(|number| main.segment(number, facts.segment_type));
        let mut deletes = stream::iter(inits.chain(segments))
            .map(|key| async move { self.store.delete(&key).await })
            .buffer_unordered(DELETES);
        while let Some(deleted) = deletes.next().await {
            deleted?;
        }
        Ok(())
    }

    /// Judges the clock, writes down what is believed, and says so when that changes.
    async fn may_expire(
        &self,
        memory: &mut Memory,
        now_ms: i64,
        at_ms: i64,
    ) -> Result<bool, DbError> {
        let is_paused = memory.noted.is_none_or(|noted| noted.paused_since_ms != 0);
        if memory.guard.is_none() || is_paused {
            // At the start, and while an operator may confirm the clock.
            let row = self.db.expiry_clock(&self.node_id).await?;
            let guard = match &mut memory.guard {
                Some(guard) => guard,
                none => {
                    let mut guard = ClockGuard::new(row.map_or(now_ms, |row| row.trusted_ms));
                    if let Some(run) = self.earlier_run(at_ms).await? {
                        guard.go_on(run);
                    }
                    none.insert(guard)
                }
            };
            match row {
                Some(row) if memory.noted.is_some() && row.trusted_ms != guard.trusted_ms() => {
                    guard.confirm(row.trusted_ms);
                }
                _ => {}
            }
            memory.noted = row;
        }
        let Some(guard) = memory.guard.as_mut() else { return Ok(false) };
        let verdict = guard.observe(now_ms, at_ms);
        if let Some(Leap { from_ms, to_ms, by_ms }) = guard.leap() {
            let put_off = self.db.postpone_expiry(&self.node_id, (from_ms, to_ms), by_ms).await?;
            guard.forget_leap();
            if put_off > 0 {
                let hours = by_ms / 3_600_000;
                info!(files = put_off, hours, "the clock has leapt: files expire later by as much");
            }
        }
        let (may_expire, paused_since_ms) = match verdict {
            Verdict::Believed | Verdict::Behind(_) => (true, 0),
            Verdict::Ahead(_) => {
                let since = memory.noted.map_or(0, |noted| noted.paused_since_ms);
                (false, if since == 0 { now_ms.max(1) } else { since })
            }
        };
        let now = ExpiryClock { trusted_ms: guard.trusted_ms(), paused_since_ms };
        let was_paused = memory.noted.is_some_and(|noted| noted.paused_since_ms != 0);
        match verdict {
            Verdict::Ahead(ahead_ms) if !was_paused => warn!(
                ahead_hours = ahead_ms / 3_600_000,
                "the clock has leapt forward: nothing expires until it has run steadily for a day, or \
                 `liverec doctor --fix` confirms that it is right"
            ),
            Verdict::Believed | Verdict::Behind(_) if was_paused => {
                info!("the clock is believed again: media files expire");
            }
            _ => {}
        }
        metrics::gauge!("liverec_expiry_paused").set(if may_expire { 0.0 } else { 1.0 });
        let is_due = memory.noted.is_none_or(|noted| {
            noted.paused_since_ms != paused_since_ms
                || noted.trusted_ms.abs_diff(now.trusted_ms) >= NOTE_EVERY_MS.unsigned_abs()
        });
        let run = guard.run();
        if is_due {
            self.db.set_expiry_clock(&self.node_id, now).await?;
            memory.noted = Some(now);
        }
        if let Some(begun) = run.filter(|_| memory.noted_run != run) {
            let Run { wall_ms, at_ms: boot_ms } = begun;
            let noted = ClockRun { boot_id: self.boot.id.clone(), wall_ms, boot_ms };
            self.db.set_clock_run(&self.node_id, &noted).await?;
            memory.noted_run = run;
        }
        Ok(may_expire)
    }

    /// The run that an earlier process has noted since the machine was started.
    async fn earlier_run(&self, at_ms: i64) -> Result<Option<Run>, DbError> {
        let noted = self.db.clock_run(&self.node_id).await?;
        let is_same = |noted: &ClockRun| noted.boot_id == self.boot.id && noted.boot_ms <= at_ms;
        let run = |noted: ClockRun| Run { wall_ms: noted.wall_ms, at_ms: noted.boot_ms };
        Ok(noted.filter(|noted| !self.boot.id.is_empty() && is_same(noted)).map(run))
    }
}

#[cfg(test)]
mod tests;
