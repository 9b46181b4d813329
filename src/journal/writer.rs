//! The writer of one journal: takes in tags, decides when they are written and synced, and waits.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{error, warn};

use super::{
    Shared,
    append::Appender,
    error::{JournalError, Result},
    folder::Folder,
    intake::Intake,
    lane::{Stall, WriteLane},
    live::LiveGuard,
    progress::Progress,
    sync_lane::SyncLane,
};
use crate::{
    domain::{
        ids::SessionId,
        stall::{StallCause, StoreFailure},
    },
    media::{flv::header::PAYLOAD_MAX, tag::Tag},
};

/// A batch is written when it holds so many bytes (256 KiB are promised, and the batch before may
/// still be on its way),
const BATCH_BYTES: u64 = 128 * 1024;
/// or when it is so old (500 ms are promised, the rest is for the disk and for callers that look
/// only now and then),
const BATCH_AGE: Duration = Duration::from_millis(300);
/// or when a group of pictures is complete, unless the last one was only so long ago.
const GOP_AGE: Duration = Duration::from_millis(100);
/// Longest note, and longest text about a session.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;
/// How often the end of a journal is tried to be synced.
const LAST_SYNCS: u32 = 3;

/// Appends to the journal of one session; owned by the connection that feeds it.
///
/// [`Writer::push`] and [`Writer::note`] never wait. [`Writer::maintain`] must be called after
/// every read, and again when [`Writer::deadline`] has come; there the caller is held back while
/// the disk is slow or refuses. The futures may be dropped at any time and called again.
///
/// A writer that is dropped without [`Writer::close`] loses what was not written yet; its
/// [`Progress`] channel then closes, and the journal can be recovered as after a crash.
pub struct Writer {
    session: SessionId,
    intake: Intake,
    lane: WriteLane,
    syncs: SyncLane,
    progress: Arc<watch::Sender<Progress>>,
    /// When the batch that grows was first seen.
    batch_since: Option<Instant>,
    refused: Option<JournalError>,
    is_closed: bool,
}

impl Writer {
    pub(super) fn new(
        shared: &Shared,
        folder: Folder,
        intake: Intake,
        appender: Appender,
        progress: Arc<watch::Sender<Progress>>,
        live: Arc<LiveGuard>,
    ) -> Self {
        let session = folder.session;
        let (writes, space) = (shared.writes.clone(), shared.space.clone());
        let lane = WriteLane::new(session, writes, space, shared.retry, appender);
        let syncs = SyncLane::new(
            shared.disk.clone(),
            shared.settings.root.clone(),
            folder,
            live,
            shared.syncs.clone(),
            shared.settings.sync_interval,
        );
        let (batch_since, refused, is_closed) = (None, None, false);
        Writer { session, intake, lane, syncs, progress, batch_since, refused, is_closed }
    }

    /// Takes in a tag that arrived at `wall_ms` (unix milliseconds). The payload is not copied. One
    /// that no FLV tag can hold is refused: the next [`Writer::maintain`] says so.
    pub fn push(&mut self, tag: &Tag, wall_ms: i64) {
        if self.accept("a tag", tag.payload.len(), PAYLOAD_MAX) {
            self.intake.push(tag, wall_ms);
        }
    }

    /// Takes in a private note, which is found again at this place by [`super::Reader::notes`].
    /// One longer than a MiB is refused: the next [`Writer::maintain`] says so.
    pub fn note(&mut self, json: &str) {
        if self.accept("a note", json.len(), MAX_TEXT_BYTES) {
            self.intake.note(json);
        }
    }

    /// Logical position of what comes next. Before the next tag private ones may be written, so
    /// this is a lower bound of its position, and above the position of every tag so far.
    pub fn position(&self) -> u64 {
        self.intake.position()
    }

    /// How far the journal has come on disk, for followers.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// What [`Writer::progress`] will say when all that was pushed is on disk.
    pub fn pushed(&self) -> Progress {
        self.intake.progress()
    }

    /// When [`Writer::maintain`] must be called even if nothing more is read.
    pub fn deadline(&self) -> Option<Instant> {
        let write = self.batch_since.map(|since| since + BATCH_AGE);
        let sync = self.syncs.deadline();
        write.into_iter().chain(sync).min()
    }

    /// Since when the disk takes nothing of what it was given, and why as far as it said.
    pub fn stalled(&self) -> Option<(Instant, StallCause)> {
        self.lane.stalled()
    }

    /// A time in which the disk took nothing, once it is over; to be noted here.
    pub fn take_stall(&mut self) -> Option<Stall> {
        self.lane.take_stall()
    }

    /// Tells followers that the disk takes nothing and that the publisher is sent away.
    pub fn fail(&mut self) {
        if let Some((_, cause)) = self.lane.stalled() {
            let failure = StoreFailure { cause, lost_tags: 0, lost_bytes: 0 };
            self.progress.send_modify(|progress| {
                progress.failure.get_or_insert(failure);
            });
        }
    }

    /// Writes and syncs what is due. Returns at once while the disk keeps up; waits for it when
    /// the batch before is still on its way, or for as long as it refuses.
    ///
    /// # Errors
    /// A tag or note was refused since the last call, or the process is stopping. Never for an
    /// error of the disk: that is logged and tried again.
    pub async fn maintain(&mut self, now: Instant) -> Result<()> {
        self.lane.reap().await?;
        self.visit(now);
        if !self.intake.is_empty() && self.batch_since.is_none() {
            self.batch_since = Some(now);
        }
        if self.lane.has_failed() || self.is_write_due(now) {
            self.submit().await?;
        }
        self.syncs.tick(now, self.lane.is_busy());
        self.refused.take().map_or(Ok(()), Err)
    }

    /// Writes all that was pushed, and waits until followers can read it. Does not sync.
    ///
    /// # Errors
    /// As [`Writer::maintain`].
    pub async fn flush(&mut self) -> Result<()> {
        self.submit().await?;
        self.lane.settle(&mut self.intake).await?;
        self.visit(Instant::now());
        self.refused.take().map_or(Ok(()), Err)
    }

    /// Writes all that was pushed and then `end_note`, syncs it, and tells followers that this is
    /// the end. Gives the final logical position. Waits for as long as the disk refuses to write;
    /// if it only refuses to sync, that is tried a few times, logged, and left to recovery.
    ///
    /// # Errors
    /// The process is stopping.
    pub async fn close(self, end_note: &str) -> Result<u64> {
        self.end(end_note, None).await
    }

    /// The same for a disk that has taken nothing for long: if it goes on to refuse for
    /// `patience`, what it did not take is given up, counted and told to followers. What a call
    /// holds that is still out is not given up before that has answered.
    ///
    /// # Errors
    /// The process is stopping.
    pub async fn close_within(self, end_note: &str, patience: Duration) -> Result<u64> {
        self.end(end_note, Some(patience)).await
    }

    async fn end(mut self, end_note: &str, patience: Option<Duration>) -> Result<u64> {
        self.lane.begin_end();
        self.note(end_note);
        let flushed = match patience {
            None => self.flush().await,
            Some(patience) => self.flush_within(patience).await,
        };
        if let Err(refused) = flushed {
            if !matches!(refused, JournalError::TooLarge { .. }) {
                return Err(refused);
            }
            error!(session.id = %self.session, error = %refused, "part of a session was refused by its journal");
        }
        if let Some(appender) = self.lane.appender() {
            appender.retire(false);
            self.syncs.visit(appender);
        }
        if !self.syncs.finish(LAST_SYNCS).await {
            error!(
                session.id = %self.session,
                "the end of a journal could not be synced; a power loss would lose it"
            );
        }
        self.is_closed = true;
        self.progress.send_modify(|progress| progress.closed = true);
        Ok(self.progress.borrow().written)
    }

    /// As [`Writer::flush`]; gives up what the disk refuses for longer than `patience`.
    async fn flush_within(&mut self, patience: Duration) -> Result<()> {
        loop {
            if let Ok(flushed) = timeout(patience, self.flush()).await {
                return flushed;
            }
            // A call that is out is heard first; if it went well, so may the rest.
            self.lane.join().await?;
            if self.lane.has_failed() {
                self.give_up();
                return self.refused.take().map_or(Ok(()), Err);
            }
        }
    }

    fn give_up(&mut self) {
        let cause = self.lane.stalled().map_or(StallCause::DiskError, |(_, cause)| cause);
        let written = self.progress.borrow().written;
        let lost_tags = self.intake.tags_behind(written);
        let lost_bytes = self.intake.position().saturating_sub(written);
        self.lane.drop_rest();
        self.intake.drop_waiting();
        error!(
            session.id = %self.session, cause = cause.as_str(), lost_tags, lost_bytes,
            "the disk took nothing to the end: what had been received last is lost"
        );
        let failure = Some(StoreFailure { cause, lost_tags, lost_bytes });
        self.progress.send_modify(|progress| progress.failure = failure);
    }

    async fn submit(&mut self) -> Result<()> {
        self.lane.submit(&mut self.intake).await?;
        self.batch_since = None;
        self.syncs.touch();
        Ok(())
    }

    /// Brings the two lanes together, if no job is away.
    fn visit(&mut self, now: Instant) {
        self.syncs.reap(now);
        if let Some(appender) = self.lane.appender() {
            self.syncs.visit(appender);
        }
    }

    fn is_write_due(&self, now: Instant) -> bool {
        let age =
            self.batch_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.intake.has_full()
            || self.intake.open_bytes() >= BATCH_BYTES
            || age >= BATCH_AGE
            || age >= GOP_AGE && self.intake.has_gop_ended()
    }

    fn accept(&mut self, what: &'static str, bytes: usize, max: usize) -> bool {
        if bytes > max {
            self.refused.get_or_insert(JournalError::TooLarge { what, bytes, max });
        }
        bytes <= max
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_closed {
            let lost_bytes = self.intake.waiting_bytes() + self.lane.rest_bytes();
            warn!(
                session.id = %self.session, lost_bytes,
                "a journal was left without its end; what is on disk is kept"
            );
        }
    }
}
