//! Writes what a session's journal says into the database, with the callbacks that announce it.
//!
//! Every change is tried until the database takes it, and taken twice does nothing: a journal may be
//! read again after a crash. What the changes are is decided by [`super::tracker`].

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    db::{Db, DbError},
    domain::{
        callback::{self, NewCallback, RecordEvent, RecordException},
        ids::DecimalId,
        journal_note::StoreFailure,
        media_file::{MediaFacts, MediaFile, MediaFileState},
        recording::{Recording, Span, Suspended},
        session::{EndReason, Session},
        stream::StreamPath,
    },
};

use super::{cut::CutReason, follow::Shared, tracker::Change, watch::Report};

/// Pause before a change that the database refused is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What the rows said when a session began, so that a new session of a stream without interrupted
/// recordings need not ask again and again.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// The rows did not know the session, so they know nothing that it attaches either.
    pub is_new: bool,
    /// Earlier sessions of the stream left recordings that are suspended.
    pub has_suspended: bool,
}

/// The rows of one session.
pub struct Rows {
    /// Common parts.
    pub shared: Arc<Shared>,
    /// The session.
    pub session: Session,
}

impl Rows {
    /// The session has begun: its row and event 1. To be called when the sessions before have left
    /// what they leave behind.
    pub async fn begin(&self) -> Begun {
        let session = &self.session;
        let begun = self
            .retry("begin a session", || async {
                let mut tx = self.shared.db.begin().await?;
                let is_new = Db::insert_session(&mut tx, session).await?;
                if is_new {
                    let event = callback::push_started(session, self.shared.app_id, 0, 0);
                    let events = self.route(event);
                    Db::enqueue_callbacks(&mut tx, (self.shared.now_ms)(), &events).await?;
                }
                let (node_id, path) = (&session.node_id, &session.path);
                let suspended = Db::suspended_recordings_of(&mut tx, node_id, path).await?;
                let is_earlier = |s: &Suspended| s.last_session < session.id;
                let has_suspended = suspended.iter().any(is_earlier);
                self.shared.db.commit(tx, "begin a session").await?;
                Ok(Begun { is_new, has_suspended })
            })
            .await;
        self.shared.db.outbox_changed().notify_one();
        begun
    }

    /// The session has ended: its row and event 0. `dimensions` are those of the pictures, 0 if unknown.
    pub async fn end(&self, reason: EndReason, ended_ms: i64, dimensions: (u32, u32)) {
        let session = &self.session;
        self.retry("end a session", || async {
            let mut tx = self.shared.db.begin().await?;
            if Db::end_session(&mut tx, session.id, ended_ms, reason, dimensions).await? {
                self.announce_end(&mut tx, reason, ended_ms, dimensions).await?;
            }
            self.shared.db.commit(tx, "end a session").await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
    }

    /// Enqueues event 0.
    pub(super) async fn announce_end(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        reason: EndReason,
        ended_ms: i64,
        (width, height): (u32, u32),
    ) -> Result<(), DbError> {
        let (session, app_id) = (&self.session, self.shared.app_id);
        let event = callback::push_ended(session, app_id, width, height, reason, ended_ms);
        Db::enqueue_callbacks(tx, (self.shared.now_ms)(), &self.route(event)).await
    }

    /// The session was not let in: event 0 and nothing else.
    pub async fn refuse(&self, code: (i64, &str)) {
        self.retry("tell of a refused publish", || async {
            let now_ms = (self.shared.now_ms)();
            let event = callback::push_refused(&self.session, self.shared.app_id, code, now_ms);
            let mut tx = self.shared.db.begin().await?;
            Db::enqueue_callbacks(&mut tx, now_ms, &self.route(event)).await?;
            self.shared.db.commit(tx, "tell of a refused publish").await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
    }

    /// Writes changes in one transaction.
    pub async fn commit(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.retry("write the rows of a recording", || async {
            let mut tx = self.shared.db.begin().await?;
            for change in changes {
                self.apply(&mut tx, change).await?;
            }
            self.shared.db.commit(tx, "write the rows of a recording").await
        })
        .await;
        self.shared.db.outbox_changed().notify_one();
        let ends_files = |change: &Change| {
            matches!(change, Change::CloseFile { .. } | Change::LeaveFile { .. } | Change::Settle)
        };
        if changes.iter().any(ends_files) {
            self.shared.db.media_changed().notify_waiters();
        }
    }

    pub(super) async fn apply(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        change: &Change,
    ) -> Result<(), DbError> {
        let now_ms = (self.shared.now_ms)();
        match change {
            Change::Begin { recording, from } => {
                let span = Span { session: self.session.id, from: *from, to: None };
                if Db::insert_recording(tx, recording, &self.session.node_id, &span).await? {
                    self.announce(tx, recording, RecordEvent::StartSucceeded).await?;
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
            Change::Fail { recording, ordinal, failure } => {
                self.fail(tx, recording, *ordinal, failure).await?;
            }
            Change::End { recording, to, ended_ms } => {
                if Db::end_recording(tx, *recording, *ended_ms, *to).await?
                    && let Some(recording) = Db::load_recording(tx, *recording).await?
                {
                    self.announce(tx, &recording, RecordEvent::Ended).await?;
                }
            }
            Change::Suspend { recording, ordinal, to, ended_ms } => {
                let session = self.session.id;
                if Db::suspend_recording(tx, *recording, session, *to, *ended_ms).await?
                    && let Some(recording) = Db::load_recording(tx, *recording).await?
                {
                    if let Some(id) = Db::media_file_of(tx, recording.id, *ordinal).await? {
                        Db::suspend_media_file(tx, id, session, *to, *ended_ms).await?;
                    }
                    self.announce(tx, &recording, RecordEvent::Paused).await?;
                }
            }
            Change::LeaveFile { recording, ordinal } => {
                if let Some(id) = Db::media_file_of(tx, *recording, *ordinal).await? {
                    Db::end_suspended_media_file(tx, id, now_ms).await?;
                }
            }
            Change::Settle => self.end_left(tx).await?,
            Change::Tell { report, recordings } => self.tell(tx, report, recordings).await?,
        }
        Ok(())
    }

    async fn announce(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        recording: &Recording,
        event: RecordEvent,
    ) -> Result<(), DbError> {
        announce(&self.shared, tx, &self.session.path, recording, event).await
    }

    /// Up to which position of the journal its irregularities were told.
    pub async fn told_to(&self) -> Option<u64> {
        let id = self.session.id;
        self.retry("read what was told of a session", || self.shared.db.told_to(id)).await
    }

    /// Events 321 and 341, once for every stretch of the journal.
    async fn tell(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        report: &Report,
        recordings: &[Recording],
    ) -> Result<(), DbError> {
        if !Db::set_told_to(tx, self.session.id, report.position).await? {
            return Ok(());
        }
        let (session, app_id, at_ms) = (&self.session, self.shared.app_id, report.at_ms);
        let mut events = Vec::new();
        if !report.push.is_empty() {
            events.push(callback::push_exception(session, app_id, &report.push, at_ms));
        }
        for recording in recordings {
            for (what, occurs, desc) in report.of_container(recording.container) {
                let path = &session.path;
                events.push(callback::stream_exception(
                    recording, path, app_id, *what, *occurs, desc, at_ms,
                ));
            }
        }
        let callbacks: Vec<_> = events.into_iter().flat_map(|event| self.route(event)).collect();
        Db::enqueue_callbacks(tx, (self.shared.now_ms)(), &callbacks).await
    }

    /// The one place that says that a disk failed a recording: its row, the row of its file if
    /// something is missing there, events 332 and 341.
    async fn fail(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
        recording: &Recording,
        ordinal: i64,
        failure: &StoreFailure,
    ) -> Result<(), DbError> {
        let (now_ms, path) = ((self.shared.now_ms)(), &self.session.path);
        let StoreFailure { cause, lost_tags, lost_bytes } = failure;
        let cause = cause.as_str();
        if Db::fail_recording(tx, recording.id, now_ms, failure).await? {
            self.announce(tx, recording, RecordEvent::Error).await?;
            let app_id = self.shared.app_id;
            let what = RecordException::WriteError;
            let event = callback::stream_exception(recording, path, app_id, what, 1, cause, now_ms);
            Db::enqueue_callbacks(tx, now_ms, &self.route(event)).await?;
        }
        if *lost_tags > 0
            && let Some(id) = Db::media_file_of(tx, recording.id, ordinal).await?
        {
            let remark = format!(
                "the last {lost_tags} tags ({lost_bytes} bytes) received could not be stored: {cause}"
            );
            Db::remark_media_file(tx, id, &remark).await?;
        }
        Ok(())
    }

    fn route(&self, event: callback::Event) -> Vec<NewCallback> {
        route(&self.shared, event)
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
            cos_bucket_path: recording.template.cos_bucket_path(recording.container).to_owned(),
            utc_offset_s: self.shared.utc_offset_s,
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
    pub(super) async fn retry<T, F>(
        &self,
        action: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> T
    where
        F: Future<Output = Result<T, DbError>>,
    {
        let mut failures = 0u32;
        let done = loop {
            match attempt().await {
                Ok(done) => break done,
                Err(error) => {
                    if failures == 0 {
                        warn!(session.id = %self.session.id, action, error = %chain(&error), "the database refuses rows; trying again until it takes them");
                    }
                    failures += 1;
                    sleep(RETRY).await;
                }
            }
        };
        if failures > 0 {
            info!(session.id = %self.session.id, action, failures, "the database takes rows again");
        }
        done
    }
}

/// Enqueues event 332.
pub(super) async fn announce(
    shared: &Shared,
    tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    path: &StreamPath,
    recording: &Recording,
    event: RecordEvent,
) -> Result<(), DbError> {
    let now_ms = (shared.now_ms)();
    let seq = DecimalId::next(now_ms);
    let body = callback::record_status(recording, path, shared.app_id, event, seq, now_ms);
    Db::enqueue_callbacks(tx, now_ms, &route(shared, body)).await
}

/// An event addressed by the callback template of its stream, if that has a URL for it.
fn route(shared: &Shared, event: callback::Event) -> Vec<NewCallback> {
    let snapshot = shared.snapshot.load();
    let template = callback::template_for(&snapshot, &event.path);
    template.and_then(|template| NewCallback::new(template, event)).into_iter().collect()
}

/// An error with its sources, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
