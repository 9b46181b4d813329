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
    db::{Db, DbError},
    domain::{
        callback::{self, NewCallback},
        ids::DecimalId,
        journal_note::Note,
        media_file::{MediaFacts, MediaFile, MediaFileState},
        recording::{Recording, Span},
        session::{EndReason, Session},
        snapshot::Snapshot,
    },
    journal::{Journal, JournalError, Progress, Reader},
    media::{
        config::CodecConfig,
        sample::{Sample, SampleKind, Track},
    },
};

use super::{
    cut::CutReason,
    tracker::{Change, Tracker},
};

/// Samples taken in per step: bounds memory and the size of a transaction.
const STEP_SAMPLES: usize = 50_000;
/// Pause between two looks at a growing journal.
const PACE: Duration = Duration::from_millis(300);
/// Pause before a change that the database refused is tried again.
const RETRY: Duration = Duration::from_secs(1);
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
        self.begin().await;
        let journal = self.shared.journal.clone();
        let started_ms = self.session.started_ms;
        let mut state = run_read(&self.shared.journal, move || {
            let reader = journal.reader(id)?;
            let cursor = reader.start();
            Ok(State { reader, tracker: Tracker::new(started_ms), cursor, changes: Vec::new(), dimensions: (0, 0) })
        })
        .await?;
        loop {
            let Progress { written, closed, .. } = *self.progress.borrow_and_update();
            while state.cursor < written {
                state = run_read(&self.shared.journal, move || state.step(written)).await?;
                let changes = std::mem::take(&mut state.changes);
                self.commit(&changes).await;
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
        self.commit(&changes).await;
        self.end(reason, ended_ms, state.dimensions).await;
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

    async fn begin(&self) {
        let session = &self.session;
        self.retry("begin a session", || async {
            let mut tx = self.shared.db.begin().await?;
            if Db::insert_session(&mut tx, session).await? {
                let events = self.route(callback::push_started(session, self.shared.app_id, 0, 0));
                Db::enqueue_callbacks(&mut tx, (self.shared.now_ms)(), &events).await?;
            }
            commit(tx).await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
    }

    async fn end(&self, reason: EndReason, ended_ms: i64, dimensions: (u32, u32)) {
        let (width, height) = dimensions;
        let session = &self.session;
        self.retry("end a session", || async {
            let mut tx = self.shared.db.begin().await?;
            if Db::end_session(&mut tx, session.id, ended_ms, reason).await? {
                let event = callback::push_ended(session, self.shared.app_id, width, height, reason, ended_ms);
                let events = self.route(event);
                Db::enqueue_callbacks(&mut tx, (self.shared.now_ms)(), &events).await?;
            }
            commit(tx).await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
    }

    async fn commit(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.retry("write the rows of a recording", || async {
            let mut tx = self.shared.db.begin().await?;
            for change in changes {
                self.apply(&mut tx, change).await?;
            }
            commit(tx).await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
        if changes.iter().any(|c| matches!(c, Change::CloseFile { .. })) {
            self.shared.db.media_changed().notify_one();
        }
    }

    async fn apply(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        change: &Change,
    ) -> Result<(), DbError> {
        let now_ms = (self.shared.now_ms)();
        match change {
            Change::Begin { recording, from } => {
                let span = Span { session: self.session.id, from: *from, to: None };
                if Db::insert_recording(tx, recording, &self.session.node_id, &span).await? {
                    self.announce(tx, recording, callback::RecordEvent::StartSucceeded).await?;
                }
            }
            Change::OpenFile { recording, ordinal, from, start_ms, cause } => {
                let remark = cause.and_then(CutReason::remark);
                let file = self.new_file(recording, *ordinal, *from, *start_ms, remark);
                Db::insert_media_file(tx, &file).await?;
            }
            Change::CloseFile { recording, ordinal, to, end_ms } => {
                if let Some(id) = Db::media_file_of(tx, *recording, *ordinal).await? {
                    Db::end_media_file(tx, id, Some(*to), *end_ms, now_ms).await?;
                }
            }
            Change::End { recording, to, ended_ms } => {
                if Db::end_recording(tx, *recording, *ended_ms, *to).await? {
                    if let Some(recording) = Db::load_recording(tx, *recording).await? {
                        self.announce(tx, &recording, callback::RecordEvent::Ended).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn announce(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        recording: &Recording,
        event: callback::RecordEvent,
    ) -> Result<(), DbError> {
        let now_ms = (self.shared.now_ms)();
        let body = callback::record_status(
            recording,
            &self.session.path,
            self.shared.app_id,
            event,
            DecimalId::next(now_ms),
            now_ms,
        );
        let events = self.route(body);
        Db::enqueue_callbacks(tx, now_ms, &events).await
    }

    fn route(&self, event: callback::Event) -> Vec<NewCallback> {
        let snapshot = self.shared.snapshot.load();
        callback::template_for(&snapshot, &self.session.path)
            .and_then(|template| NewCallback::new(template, event))
            .into_iter()
            .collect()
    }

    fn new_file(
        &self,
        recording: &Recording,
        ordinal: i64,
        from: u64,
        start_ms: i64,
        remark: Option<&str>,
    ) -> MediaFile {
        let now_ms = (self.shared.now_ms)();
        let param = recording.template.param(recording.container);
        let is_cold = param.storage_mode.eq_ignore_ascii_case("cold");
        MediaFile {
            id: DecimalId::next(now_ms),
            recording: recording.id,
            ordinal,
            node_id: self.session.node_id.clone(),
            path: self.session.path.clone(),
            container: recording.container,
            origin: recording.origin.clone(),
            session_id: recording.session_id,
            template_id: recording.template.id,
            sub_app_id: match param.vod_sub_app_id {
                0 => self.shared.app_id,
                id => id,
            },
            stream_param: self.session.stream_param.clone(),
            spans: vec![Span { session: self.session.id, from, to: None }],
            state: MediaFileState::Recording,
            error: String::new(),
            name: String::new(),
            storage_key: String::new(),
            facts: MediaFacts {
                start_ms,
                irregularities: remark.map(ToOwned::to_owned).into_iter().collect(),
                ..MediaFacts::default()
            },
            expire_ms: 0,
            storage_class: if is_cold { "STANDARD_IA" } else { "STANDARD" }.to_owned(),
            class_id: param.class_id.unwrap_or(0),
            created_ms: now_ms,
            updated_ms: now_ms,
        }
    }

    /// Tries until the database takes it.
    async fn retry<F>(&self, action: &'static str, mut attempt: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), DbError>>,
    {
        let mut failures = 0u32;
        loop {
            match attempt().await {
                Ok(()) => break,
                Err(error) => {
                    if failures == 0 {
                        warn!(session.id = %self.session.id, action, error = %chain(&error), "the database refuses rows; trying again until it takes them");
                    }
                    failures += 1;
                    sleep(RETRY).await;
                }
            }
        }
        if failures > 0 {
            info!(session.id = %self.session.id, action, failures, "the database takes rows again");
        }
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
            self.cursor = self.cursor.max(sample.position + u64::from(sample.tag_len));
            taken += 1;
            match sample.kind {
                SampleKind::Private => notes.push(sample),
                SampleKind::Config if sample.track == Track::Video => sizes.push(sample),
                _ => {}
            }
            self.tracker.push(&sample, &mut self.changes);
            // A note takes effect before whatever follows it.
            if taken == STEP_SAMPLES || !notes.is_empty() {
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
            Note::Attach { recording, from } if *from < sample.position => Some((recording.id, *from)),
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

async fn commit(tx: sqlx::Transaction<'static, sqlx::Any>) -> Result<(), DbError> {
    tx.commit().await.map_err(crate::db::at("commit"))
}

async fn run_read<T: Send + 'static>(
    journal: &Journal,
    job: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    journal.run_read(job).await
}

/// An error with its sources, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
