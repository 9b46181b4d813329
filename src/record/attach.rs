//! The recordings of one live session, begun and ended by notes in its journal.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;
use tracing::info;

use super::{
    Settings,
    beginning::{Beginning, PATIENCE_MS, beginning, last_keyframe},
};
use crate::{
    domain::{
        ids::{DecimalId, RecordingId},
        journal_note::Note,
        plan::{LiveStream, Wanted},
        record_template::RecordTemplate,
        recording::{Origin, Recording},
        session::Session,
    },
    ingest::{Control, LiveSession, Waiting},
    journal::{Journal, Progress},
};

/// What it depends on whether and where a recording begins.
pub(super) struct Terms<'a> {
    pub settings: &'a Settings,
    pub journal: &'a Journal,
    pub unclaimed_max_bytes: u64,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// A live session.
pub(super) struct Running {
    live: Arc<LiveSession>,
    rule_template: Option<RecordTemplate>,
    /// What has begun. Of an idle task: no recordings.
    groups: HashMap<Origin, Vec<RecordingId>>,
    /// What waits for a key frame.
    waiting: HashMap<Origin, Pending>,
}

/// Recordings that wait for a key frame.
struct Pending {
    /// Unix milliseconds.
    since_ms: i64,
    recordings: Vec<Recording>,
    /// Where they begin if none comes. Held in the journal.
    from: u64,
}

impl Running {
    pub fn new(rule_template: Option<RecordTemplate>, live: Arc<LiveSession>) -> Self {
        Self { live, rule_template, groups: HashMap::new(), waiting: HashMap::new() }
    }

    pub fn session(&self) -> &Session {
        &self.live.session
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.live.progress.clone()
    }

    /// The session as the rule engine sees it. A task that waits counts as running: it keeps its
    /// place and its template, and deleting it ends nothing.
    pub fn as_live_stream(&self) -> LiveStream {
        let tasks = |idle: bool| {
            let groups =
                self.groups.iter().filter(move |(_, recordings)| recordings.is_empty() == idle);
            groups.filter_map(|(origin, _)| origin.task_id().map(ToOwned::to_owned))
        };
        let waiting = self.waiting.keys().filter_map(Origin::task_id).map(ToOwned::to_owned);
        LiveStream {
            session: self.live.session.id,
            path: self.live.session.path.clone(),
            rule_template: self.rule_template.clone(),
            running_tasks: tasks(false).chain(waiting).collect(),
            idle_tasks: tasks(true).collect(),
        }
    }

    /// Begins a recording with the session; whoever asks attaches it.
    pub fn begin(&mut self, wanted: &Wanted, now_ms: i64, settings: &Settings) -> Vec<Recording> {
        let recordings = self.make(wanted, now_ms, settings);
        self.enter(&wanted.origin, &recordings);
        recordings
    }

    /// Begins what is wanted of a session that is live already, unless it has begun. False if it
    /// has to be tried again: it waits for a key frame, or the journal takes no notes at the moment.
    pub fn attach(&mut self, wanted: &Wanted, terms: &Terms<'_>) -> bool {
        let Wanted { origin, .. } = wanted;
        if self.groups.contains_key(origin) {
            return true;
        }
        let pending = self.waiting.get(origin);
        if pending.is_none() && !wanted.has_format() {
            self.enter(origin, &[]);
            return true;
        }
        let (progress, now_ms) = (*self.live.progress.borrow(), terms.now_ms);
        let since_ms = pending.map_or(now_ms, |pending| pending.since_ms);
        let max_preroll = terms.settings.max_preroll.as_millis();
        let max_preroll_ms = i64::try_from(max_preroll).unwrap_or(i64::MAX);
        let (recordings, from) =
            match (beginning(&progress, now_ms, since_ms, max_preroll_ms), pending) {
                (Beginning::At(from), Some(pending)) => (pending.recordings.clone(), from),
                (Beginning::At(from), None) => (self.make(wanted, now_ms, terms.settings), from),
                (Beginning::Anyway, Some(pending)) => (pending.recordings.clone(), pending.from),
                (Beginning::Wait, Some(_)) => return false,
                (Beginning::Wait | Beginning::Anyway, None) => {
                    self.wait(wanted, &progress, terms);
                    return false;
                }
            };
        self.send(origin, recordings, from, terms.journal)
    }

    /// Ends the tasks that are not wanted any more. One that waits begins before it ends: what came
    /// meanwhile was asked for. False if it has to be tried again.
    pub fn end_unwanted(&mut self, is_wanted: impl Fn(&str) -> bool, terms: &Terms<'_>) -> bool {
        let is_over = |origin: &&Origin| origin.task_id().is_some_and(|task| !is_wanted(task));
        let mut is_done = true;
        let over: Vec<Origin> = self.waiting.keys().filter(is_over).cloned().collect();
        for origin in over {
            if let Some(Pending { recordings, from, .. }) = self.waiting.get(&origin) {
                let (recordings, from) = (recordings.clone(), *from);
                is_done &= self.send(&origin, recordings, from, terms.journal);
            }
        }
        let over: Vec<Origin> = self.groups.keys().filter(is_over).cloned().collect();
        for origin in over {
            is_done &= self.detach(&origin, terms.now_ms);
        }
        is_done
    }

    /// The recordings of one origin, one per enabled container.
    fn make(&self, wanted: &Wanted, now_ms: i64, settings: &Settings) -> Vec<Recording> {
        let session_id = match wanted.origin {
            Origin::Rule => self.live.session.sequence,
            Origin::Task { .. } => DecimalId::next(now_ms),
        };
        let make = |container| Recording {
            id: RecordingId::new(now_ms),
            session_id,
            origin: wanted.origin.clone(),
            container,
            template: wanted.template.clone(),
            started_ms: now_ms,
            resume_window_s: settings.resume_window_s(&wanted.template, container),
        };
        wanted.template.containers().map(make).collect()
    }

    fn enter(&mut self, origin: &Origin, recordings: &[Recording]) {
        for recording in recordings {
            info!(
                stream.path = %self.live.session.path,
                recording.id = %recording.id,
                container = %recording.container,
                task.id = origin.task_id().unwrap_or(""),
                "recording started"
            );
        }
        self.groups.insert(origin.clone(), recordings.iter().map(|r| r.id).collect());
    }

    /// Notes that recordings begin at `from`. False if the journal takes no notes at the moment, or
    /// has released that place just now.
    fn send(
        &mut self,
        origin: &Origin,
        recordings: Vec<Recording>,
        from: u64,
        journal: &Journal,
    ) -> bool {
        let live = self.live.clone();
        let Ok(permits) = live.control.try_reserve_many(recordings.len()) else { return false };
        if !self.hold(&recordings, from, journal) {
            return false;
        }
        self.enter(origin, &recordings);
        for (recording, permit) in recordings.into_iter().zip(permits) {
            permit.send(Control::Note(attach_note(recording, from)));
        }
        if let (Some(_), Some(task)) = (self.waiting.remove(origin), origin.task_id()) {
            live.waiting.leave(task);
        }
        true
    }

    /// Keeps the journal from `from` on until the follower has read the notes. What one recording
    /// holds the others can hold, too.
    fn hold(&self, recordings: &[Recording], from: u64, journal: &Journal) -> bool {
        recordings.iter().all(|recording| journal.hold(self.live.session.id, recording.id, from))
    }

    /// Lets a task wait for a key frame. The last one is held for it, however old; where none can
    /// be, the journal from here on: so whatever ends the wait, nothing that it asked for is lost.
    fn wait(&mut self, wanted: &Wanted, progress: &Progress, terms: &Terms<'_>) {
        let Some(task) = wanted.origin.task_id().filter(|_| !self.live.has_ended()) else { return };
        let Terms { settings, journal, unclaimed_max_bytes, now_ms } = *terms;
        let recordings = self.make(wanted, now_ms, settings);
        let places = last_keyframe(progress, unclaimed_max_bytes).into_iter();
        let mut places = places.chain([progress.written]);
        let Some(from) = places.find(|from| self.hold(&recordings, *from, journal)) else { return };
        let keyframe_ms = progress.last_keyframe.map(|mark| mark.wall_ms);
        let until_ms = now_ms.saturating_add(PATIENCE_MS);
        info!(
            stream.path = %self.live.session.path,
            task.id = task,
            last_keyframe_s = keyframe_ms.map(|ms| now_ms.saturating_sub(ms) / 1000),
            patience_s = PATIENCE_MS / 1000,
            "a task waits for a key frame: the last one is older than record.max_preroll, or there was none"
        );
        let notes = recordings.iter().map(|recording| attach_note(recording.clone(), from));
        let waiting = Waiting { since_ms: now_ms, until_ms, keyframe_ms, notes: notes.collect() };
        self.live.waiting.enter(task, waiting);
        self.waiting.insert(wanted.origin.clone(), Pending { since_ms: now_ms, recordings, from });
    }

    /// Ends the recordings of one origin. False if it has to be tried again: the journal takes no
    /// notes at the moment.
    fn detach(&mut self, origin: &Origin, now_ms: i64) -> bool {
        let live = self.live.clone();
        let Some(recordings) = self.groups.get(origin) else { return true };
        let Ok(permits) = live.control.try_reserve_many(recordings.len()) else { return false };
        for (recording, permit) in recordings.iter().zip(permits) {
            info!(
                stream.path = %live.session.path,
                recording.id = %recording,
                task.id = origin.task_id().unwrap_or(""),
                "recording ended by its task"
            );
            let note = Note::Detach { recording: *recording, ended_ms: now_ms };
            permit.send(Control::Note(note.to_json()));
        }
        self.groups.remove(origin);
        true
    }
}

fn attach_note(recording: Recording, from: u64) -> String {
    Note::Attach { recording: Box::new(recording), from }.to_json()
}
