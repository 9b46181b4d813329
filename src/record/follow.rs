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
use tracing::info;

use crate::{
    db::Db,
    domain::{journal_note::Note, recording::Attachment, session::Session, snapshot::Snapshot},
    journal::{Journal, JournalError, Left, Progress, Reader},
    media::{
        config::CodecConfig,
        sample::{SampleKind, Track},
    },
};

use super::{
    beginning::last_keyframe,
    continuation,
    give_up::give_up,
    rows::{Begun, Rows},
    tracker::{Change, Tracker},
    turns::Turn,
};

/// Samples taken in per step: bounds memory and the size of a transaction.
const STEP_SAMPLES: usize = 50_000;
/// Pause before a journal that the disk would not read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Pause between two looks at a growing journal, unless there is a note or nothing more will come.
const PACE: Duration = Duration::from_secs(1);

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
    /// Times in names are shown so many seconds east of UTC.
    pub utc_offset_s: i32,
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
    /// Its place among the sessions of its stream, left when the rows say that it has ended.
    pub turn: Turn,
}

/// What moves between the async side and the blocking reads.
struct State {
    reader: Reader,
    tracker: Tracker,
    cursor: u64,
    changes: Vec<Change>,
    /// A note that was read and takes effect now, and where it stands.
    note: Option<(u64, Note)>,
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
            outcome = self.follow_to_the_end() => match outcome {
                Ok(()) => self.leave(),
                Err(JournalError::Missing(_)) if self.is_lost().await => {
                    self.end_as_lost().await;
                    self.leave();
                }
                Err(error) => tracing::error!(
                    session.id = %id, %error,
                    "the journal of a session cannot be read; its folder is kept as it is"
                ),
            },
        }
    }

    /// The rows say everything from now on.
    fn leave(&self) {
        self.shared.journal.clear_floor(self.session.id);
        self.shared.journal.clear_decided(self.session.id);
        self.shared.db.media_changed().notify_waiters();
    }

    /// Whether nobody writes the journal and its folder is there without any data: what is not mounted
    /// has no folder.
    async fn is_lost(&self) -> bool {
        let (id, journal) = (self.session.id, self.shared.journal.clone());
        let is_closed = self.progress.borrow().closed;
        let left = run_read(&self.shared.journal, move || journal.left(id)).await;
        is_closed && left.is_ok_and(|left| left == Left::Empty)
    }

    /// Ends the session and what runs in it by the rows alone.
    async fn end_as_lost(&self) {
        let (shared, session) = (&self.shared, &self.session);
        let rows = Rows { shared: shared.clone(), session: session.clone() };
        let ended = rows.retry("end a session whose journal is lost", || {
            give_up(shared.clone(), session.clone(), &session.node_id)
        });
        if let Some(files) = ended.await {
            tracing::error!(
                session.id = %session.id, stream.path = %session.path, files = files.len(),
                "the journal of a session is lost, its folder has no data file: its recordings end with what is left of them elsewhere"
            );
        }
    }

    /// Follows from the beginning as often as the disk refuses to read: what the rows have is not
    /// made again.
    async fn follow_to_the_end(&mut self) -> Result<(), JournalError> {
        let may_continue = self.turn.wait().await;
        let id = self.session.id;
        let mut is_failing = false;
        loop {
            match self.follow(may_continue).await {
                Err(error) if error.is_transient() => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(
                            session.id = %id, %error,
                            "the journal of a session cannot be read; trying again"
                        );
                    }
                    sleep(READ_AGAIN).await;
                }
                Ok(()) if is_failing => {
                    info!(session.id = %id, "the journal of a session could be read again");
                    return Ok(());
                }
                outcome => return outcome,
            }
        }
    }

    async fn follow(&mut self, may_continue: bool) -> Result<(), JournalError> {
        let rows = Rows { shared: self.shared.clone(), session: self.session.clone() };
        let begun = rows.begin().await;
        // Behind our back only a session may suspend that we have not waited for.
        let may_settle = begun.has_suspended || !may_continue;
        let may_continue = may_continue && begun.has_suspended;
        let mut state = self.open(&rows, begun).await?;
        let mut is_failing = false;
        loop {
            let Progress { written, notes, closed, .. } = *self.progress.borrow();
            while state.cursor < written {
                state = run_read(&self.shared.journal, move || state.step(written)).await?;
                let mut changes = std::mem::take(&mut state.changes);
                if !may_settle {
                    changes.retain(|change| *change != Change::Settle);
                }
                rows.commit(&changes).await;
                if state.tracker.is_settled() {
                    self.turn.settle();
                }
                let mut begun = None;
                if let Some((position, note)) = state.note.take() {
                    begun = note.attached();
                    state = self.take(&rows, state, position, note, may_continue).await?;
                }
                self.set_floor(&state);
                if let Some(recording) = begun {
                    self.shared.journal.let_go(self.session.id, recording);
                }
                // Behind the commit, or delivery would run past the end of a file.
                self.shared.journal.set_decided(self.session.id, state.cursor);
            }
            self.set_floor(&state);
            let failure = self.progress.borrow().failure;
            if let Some(failure) = failure.filter(|_| !is_failing) {
                is_failing = true;
                state.tracker.fail(failure, &mut state.changes);
                let changes = std::mem::take(&mut state.changes);
                rows.commit(&changes).await;
            }
            // A writer that went away without closing has ended too.
            if closed || self.progress.has_changed().is_err() {
                let latest = self.progress.borrow().written;
                if latest == state.cursor {
                    break;
                }
                continue;
            }
            tokio::select! {
                _ = self.progress.wait_for(|now| {
                    now.closed || now.notes > notes || now.failure.is_some() && !is_failing
                }) => {}
                () = sleep(PACE) => {}
            }
        }
        // By now it is known what that cost.
        if let Some(failure) = self.progress.borrow().failure {
            state.tracker.fail(failure, &mut state.changes);
        }
        let may_suspend = !self.turn.is_overtaken();
        let (reason, ended_ms) =
            state.tracker.finish(state.cursor, may_suspend, &mut state.changes);
        let changes = std::mem::take(&mut state.changes);
        rows.commit(&changes).await;
        rows.end(reason, ended_ms, state.dimensions).await;
        Ok(())
    }

    /// Opens the journal at its beginning, with everything running that the rows know of.
    async fn open(&self, rows: &Rows, begun: Begun) -> Result<State, JournalError> {
        let (id, journal) = (self.session.id, self.shared.journal.clone());
        let reader = run_read(&self.shared.journal, move || journal.reader(id)).await?;
        let mut tracker = Tracker::new(reader.wall_ms());
        tracker.watch().restore(rows.told_to().await);
        let known = match begun.is_new {
            true => Vec::new(),
            false => rows.attachments().await,
        };
        for Attachment { attached, running } in known {
            let running = match running {
                Some((recording, file)) => Some(
                    continuation::restored(&self.shared.journal, attached, recording, file).await,
                ),
                None => None,
            };
            tracker.restore(attached, running);
        }
        let cursor = reader.start();
        let (changes, note) = (Vec::new(), None);
        Ok(State { reader, tracker, cursor, changes, note, dimensions: (0, 0) })
    }

    /// Lets a note take effect.
    async fn take(
        &self,
        rows: &Rows,
        mut state: State,
        position: u64,
        note: Note,
        may_continue: bool,
    ) -> Result<State, JournalError> {
        if let Note::Attach { recording, from } = &note
            && may_continue
            && state.tracker.may_continue(recording.id, *from)
            && let Some(running) = rows.resume(recording, *from).await
        {
            state.tracker.resume(running);
        }
        state = run_read(&self.shared.journal, move || state.take(position, note)).await?;
        let changes = std::mem::take(&mut state.changes);
        rows.commit(&changes).await;
        Ok(state)
    }

    /// Tells the janitor what this session may still need beyond what the rows say: everything
    /// from the last key frame on (for tasks to come) and what was not read yet.
    fn set_floor(&self, state: &State) {
        let progress = *self.progress.borrow();
        let recent = last_keyframe(&progress, self.shared.unclaimed_max_bytes);
        let recent = recent.unwrap_or(progress.written);
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
            let size = parsed.map(|config| config.dimensions().unwrap_or((0, 0)));
            if sample.track_id == 0 {
                self.tracker.watch().video_header(sample.position, size);
            }
            self.dimensions = size.filter(|size| *size != (0, 0)).unwrap_or(self.dimensions);
        }
        for sample in notes {
            let note = self.reader.note(&sample)?.as_deref().and_then(Note::parse);
            self.note = note.map(|note| (sample.position, note));
        }
        Ok(self)
    }

    /// Lets a note take effect, with the pre-roll of a recording that reaches back.
    fn take(mut self, position: u64, note: Note) -> Result<Self, JournalError> {
        let (recording, from) = match note {
            Note::Attach { recording, from } if from < position => (recording, from),
            note => {
                self.tracker.note(position, note, &mut self.changes);
                return Ok(self);
            }
        };
        let mut wall_ms = self.tracker.wall_ms();
        // When its first tag arrived is said by the next mark: there is one each second.
        for earlier in self.reader.samples(from, position)? {
            let earlier = earlier?;
            if earlier.kind == SampleKind::Clock {
                wall_ms = earlier.dts_ms;
                break;
            }
        }
        let id = recording.id;
        if !self.tracker.attach(recording, from, wall_ms, &mut self.changes) {
            return Ok(self);
        }
        for earlier in self.reader.samples(from, position)? {
            let earlier = earlier?;
            if earlier.kind == SampleKind::Clock {
                wall_ms = earlier.dts_ms;
            }
            self.tracker.replay(id, &earlier, wall_ms, &mut self.changes);
        }
        Ok(self)
    }
}

async fn run_read<T: Send + 'static>(
    journal: &Journal,
    job: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    journal.run_read(job).await
}
