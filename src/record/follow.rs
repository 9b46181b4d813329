//! Follows one session's journal as it grows and keeps its rows true.
//!
//! The journal is the source: samples and notes go through [`Tracker`], the resulting changes into
//! the database, together with the callbacks they announce. While the database is away the
//! changes are tried again and the journal waits; ingest does not notice. A journal found after
//! a crash is followed in the same way, only that it no longer grows.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    db::Db,
    domain::{journal_note::Note, session::Session, snapshot::Snapshot},
    journal::{Journal, JournalError, Progress, Reader},
    media::{
        config::CodecConfig,
        sample::{Sample, SampleKind, Track},
    },
};

use super::{
    rows::Rows,
    tracker::{Change, Tracker},
};

/// Samples taken in per step: bounds memory and the size of a transaction.
const STEP_SAMPLES: usize = 50_000;
/// Pause between two looks at a growing journal.
const PACE: Duration = Duration::from_millis(300);
/// Longest wait for the rows of a replaced session, so that its event 0 precedes our event 1.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(10);

/// What every follower needs.
pub struct Shared {
    /// Rows.
    pub db: Db,
    /// Journals.
    pub journal: Journal,
    /// Configuration, for callback targets.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The main VOD application.
    pub app_id: u64,
    /// Bytes of its journal that a stream may keep which nothing records.
    pub unclaimed_max_bytes: u64,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
}

/// A follower of one session.
pub struct Follow {
    /// Common parts.
    pub shared: Arc<Shared>,
    /// The session.
    pub session: Session,
    /// How far its journal has grown.
    pub progress: watch::Receiver<Progress>,
    /// Turns true when the rows of the session that this one replaced say that it has ended.
    pub predecessor: Option<watch::Receiver<bool>>,
    /// Turns true when our own rows say so.
    pub done: watch::Sender<bool>,
}

/// What moves between the async side and the blocking reads.
struct State {
    reader: Reader,
    tracker: Tracker,
    cursor: u64,
    changes: Vec<Change>,
    /// Picture width and height, 0 while unknown.
    dimensions: (u32, u32),
}

impl Follow {
    /// Follows until the journal is closed and every row is written. `abandon` gives up while the
    /// database is away: the next start reads the journal again.
    pub async fn run(mut self, abandon: CancellationToken) {
        let id = self.session.id;
        tokio::select! {
            () = abandon.cancelled() => {
                info!(session.id = %id, "following a session is left to the next start");
            }
            outcome = self.follow() => match outcome {
                Ok(()) => {
                    self.shared.journal.clear_floor(id);
                    self.done.send_replace(true);
                    self.shared.db.media_changed().notify_one();
                }
                Err(error) => tracing::error!(
                    session.id = %id, %error,
                    "the journal of a session cannot be read; its folder is kept as it is"
                ),
            },
        }
    }

    async fn follow(&mut self) -> Result<(), JournalError> {
        let id = self.session.id;
        if let Some(mut predecessor) = self.predecessor.take() {
            let ended = predecessor.wait_for(|done| *done);
            if tokio::time::timeout(PREDECESSOR_WAIT, ended).await.is_err() {
                warn!(session.id = %id, "the rows of the replaced session are late; going on without them");
            }
        }
        let rows = Rows { shared: self.shared.clone(), session: self.session.clone() };
        rows.begin().await;
        let journal = self.shared.journal.clone();
        let started_ms = self.session.started_ms;
        let mut state = run_read(&self.shared.journal, move || {
            let reader = journal.reader(id)?;
            let cursor = reader.start();
            Ok(State {
                reader,
                tracker: Tracker::new(started_ms),
                cursor,
                changes: Vec::new(),
                dimensions: (0, 0),
            })
        })
        .await?;
        loop {
            let Progress { written, closed, .. } = *self.progress.borrow_and_update();
            while state.cursor < written {
                state = run_read(&self.shared.journal, move || state.step(written)).await?;
                let changes = std::mem::take(&mut state.changes);
                rows.commit(&changes).await;
                self.set_floor(&state);
            }
            self.set_floor(&state);
            // A writer that went away without closing has ended too.
            if closed || self.progress.has_changed().is_err() {
                let latest = self.progress.borrow().written;
                if latest == state.cursor {
                    break;
                }
                continue;
            }
            tokio::select! {
                _ = self.progress.changed() => {}
                () = sleep(PACE) => continue,
            }
            sleep(PACE).await;
        }
        let (reason, ended_ms) = state.tracker.finish(state.cursor, &mut state.changes);
        let changes = std::mem::take(&mut state.changes);
        rows.commit(&changes).await;
        rows.end(reason, ended_ms, state.dimensions).await;
        Ok(())
    }

    /// Tells the janitor what this session may still need beyond what the rows say: everything
    /// from the last key frame on (for tasks to come) and what was not read yet.
    fn set_floor(&self, state: &State) {
        let progress = *self.progress.borrow();
        let recent = match progress.last_keyframe {
            Some(mark) if progress.written - mark.position <= self.shared.unclaimed_max_bytes => {
                mark.position
            }
            _ => progress.written,
        };
        let needed = state.tracker.oldest_needed().unwrap_or(u64::MAX);
        self.shared.journal.set_floor(self.session.id, recent.min(state.cursor).min(needed));
    }
}

impl State {
    /// Reads on towards `written`, at most [`STEP_SAMPLES`] samples.
    fn step(mut self, written: u64) -> Result<Self, JournalError> {
        let mut notes = Vec::new();
        let mut sizes = Vec::new();
        let mut taken = 0usize;
        for sample in self.reader.samples(self.cursor, written)? {
            let sample = sample?;
            // A step ends only where a tag does: its further samples have no length.
            if taken >= STEP_SAMPLES && sample.tag_len > 0 {
                break;
            }
            self.cursor = self.cursor.max(sample.position + u64::from(sample.tag_len));
            taken += 1;
            match sample.kind {
                SampleKind::Private => notes.push(sample),
                SampleKind::Config if sample.track == Track::Video => sizes.push(sample),
                _ => {}
            }
            self.tracker.push(&sample, &mut self.changes);
            // A note takes effect before whatever follows it.
            if !notes.is_empty() {
                break;
            }
        }
        if taken == 0 {
            self.cursor = written;
        }
        for sample in sizes {
            let mut record = vec![0; sample.data_len as usize];
            self.reader.read(sample.data_position(), &mut record)?;
            let parsed = CodecConfig::parse(sample.codec, &record).ok();
            self.dimensions = parsed.and_then(|c| c.dimensions()).unwrap_or(self.dimensions);
        }
        for sample in notes {
            self.note(&sample)?;
        }
        Ok(self)
    }

    fn note(&mut self, sample: &Sample) -> Result<(), JournalError> {
        let Some(note) = self.reader.note(sample)?.as_deref().and_then(Note::parse) else {
            return Ok(());
        };
        let preroll = match &note {
            Note::Attach { recording, from } if *from < sample.position => {
                Some((recording.id, *from))
            }
            _ => None,
        };
        self.tracker.note(sample.position, note, &mut self.changes);
        if let Some((recording, from)) = preroll {
            for earlier in self.reader.samples(from, sample.position)? {
                self.tracker.replay(recording, &earlier?, &mut self.changes);
            }
        }
        Ok(())
    }
}

async fn run_read<T: Send + 'static>(
    journal: &Journal,
    job: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    journal.run_read(job).await
}
