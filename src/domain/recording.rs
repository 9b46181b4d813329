//! A recording: one stream, one origin, one container; an ordered list of journal spans.
//!
//! With a resume window it outlives its session: it is suspended when the session ends, and goes on
//! in the next session of the stream or ends when the window is over (spec live-api 5.1,
//! FlowContinueDuration). What decides that is here; when it is asked is `record`.

use serde::{Deserialize, Serialize};

use super::{
    container::Container,
    ids::{DecimalId, FileId, RecordingId, SessionId},
    record_task::RecordTask,
    record_template::RecordTemplate,
    stream::StreamPath,
};

/// What asked for a recording.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// The record rule in force when the push started.
    Rule,
    /// A record task.
    Task {
        /// TaskId.
        task_id: String,
    },
}

impl Origin {
    /// `start_model` of event 332: 1 rule, 5 API.
    pub fn start_model(&self) -> i64 {
        match self {
            Origin::Rule => 1,
            Origin::Task { .. } => 5,
        }
    }

    /// The task id, if a task asked.
    pub fn task_id(&self) -> Option<&str> {
        match self {
            Origin::Rule => None,
            Origin::Task { task_id } => Some(task_id),
        }
    }
}

/// A recording as it is noted in the journal when it begins. The template is the copy taken at
/// that moment: later edits do not touch a running recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Id.
    pub id: RecordingId,
    /// The vendor's `session_id` of events 332 and 100.
    pub session_id: DecimalId,
    /// Who asked.
    pub origin: Origin,
    /// Container.
    pub container: Container,
    /// Template in force.
    pub template: RecordTemplate,
    /// Unix milliseconds at which it was attached.
    pub started_ms: i64,
    /// How long it waits for its stream to come back, in seconds; 0 ends it with its session.
    #[serde(default)]
    pub resume_window_s: i64,
}

impl Recording {
    /// Whether what `next` asks for may be added to the files of this recording: asked for by the
    /// same rule origin or task, in the same container, with the same cuts, for the same VOD
    /// application.
    pub fn is_continued_by(&self, next: &Recording) -> bool {
        let (ours, theirs) =
            (self.template.param(self.container), next.template.param(next.container));
        self.origin == next.origin
            && self.container == next.container
            && ours.vod_sub_app_id == theirs.vod_sub_app_id
            // An HLS file is never cut.
            && (self.container == Container::Hls || ours.record_interval == theirs.record_interval)
    }
}

/// A recording whose session has ended while its resume window had not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// The recording.
    pub recording: Recording,
    /// Its stream.
    pub path: StreamPath,
    /// Unix milliseconds at which its last session ended.
    pub since_ms: i64,
    /// That session.
    pub last_session: SessionId,
}

impl Suspended {
    /// Unix milliseconds: a session that starts later does not continue it.
    pub fn until_ms(&self) -> i64 {
        let window_ms = self.recording.resume_window_s.max(0).saturating_mul(1000);
        self.since_ms.saturating_add(window_ms)
    }

    /// Whether nothing can continue it any more though its window may be open: its task is over,
    /// stopped, deleted or unknown. A rule is asked only when a push starts.
    pub fn is_unwanted(&self, tasks: &[RecordTask], now_ms: i64) -> bool {
        self.recording
            .origin
            .task_id()
            .is_some_and(|id| !tasks.iter().any(|task| task.id == id && task.is_wanted_at(now_ms)))
    }
}

/// The file of a recording that still grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowingFile {
    /// Id.
    pub id: FileId,
    /// 0, 1, 2, ... within the recording.
    pub ordinal: i64,
    /// Unix milliseconds at which its first tag arrived.
    pub start_ms: i64,
    /// Where it lies, in order.
    pub stretches: Vec<Stretch>,
}

/// A stretch of a file and when its session was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Where.
    pub span: Span,
    /// Unix milliseconds at which the session began.
    pub started_ms: i64,
    /// Unix milliseconds at which the session ended; 0 while it goes on.
    pub ended_ms: i64,
}

/// What the rows say of a recording that a session's journal attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The id by which the notes of the session's journal name it.
    pub attached: RecordingId,
    /// The recording and its growing file, while it runs in this session; `None` when it is over there.
    pub running: Option<(Recording, GrowingFile)>,
}

/// A stretch of one session's journal, by logical positions at tag boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Whose journal.
    pub session: SessionId,
    /// First byte.
    pub from: u64,
    /// One past the last byte; `None` while it grows.
    pub to: Option<u64>,
}

impl Span {
    /// The end of a stretch from `from` on that was given up with its journal: where it ended nobody
    /// knows. No tag is that short, so no other stretch ends like this.
    pub fn unknown_end(from: u64) -> u64 {
        from.saturating_add(1)
    }

    /// Whether it was given up: should its journal come back, it reaches to the end of that.
    pub fn has_unknown_end(&self) -> bool {
        self.to == Some(Self::unknown_end(self.from))
    }

    /// One past its last byte in a complete journal that ends at `end`; what the journal lacks is
    /// counted in.
    pub fn end_in(&self, end: u64) -> u64 {
        match self.to {
            Some(to) if !self.has_unknown_end() => to,
            _ => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        plan::default_profile,
        stream::{AppName, DomainName, StreamName},
    };

    fn recording(container: Container) -> Recording {
        Recording {
            id: RecordingId::new(0),
            session_id: DecimalId(1),
            origin: Origin::Rule,
            container,
            template: default_profile(container),
            started_ms: 0,
            resume_window_s: 30,
        }
    }

    #[test]
    fn only_the_same_kind_of_recording_goes_on() {
        let first = recording(Container::Flv);
        assert!(first.is_continued_by(&recording(Container::Flv)));
        assert!(!first.is_continued_by(&recording(Container::Mp4)));
        let task = Origin::Task { task_id: "t".to_owned() };
        let by_task = Recording { origin: task, ..recording(Container::Flv) };
        assert!(!first.is_continued_by(&by_task));
        assert!(!by_task.is_continued_by(&first));
        let mut other = recording(Container::Flv);
        other.template.flv.record_interval += 1;
        assert!(!first.is_continued_by(&other));
        let mut other = recording(Container::Flv);
        other.template.flv.vod_sub_app_id = 7;
        assert!(!first.is_continued_by(&other));
        let mut hls = recording(Container::Hls);
        hls.template.hls.record_interval += 1;
        assert!(recording(Container::Hls).is_continued_by(&hls), "HLS has no interval");
    }

    #[test]
    fn a_stretch_that_was_given_up_reaches_to_the_end_of_its_journal() {
        let session = SessionId::new(0);
        let span = |to| Span { session, from: 100, to };
        assert_eq!(span(Some(Span::unknown_end(100))).end_in(5000), 5000);
        assert_eq!(span(None).end_in(5000), 5000);
        assert_eq!(span(Some(200)).end_in(5000), 200);
        assert_eq!(span(Some(200)).end_in(150), 200, "what the journal lacks");
    }

    #[test]
    fn a_task_that_is_over_closes_its_window() {
        let path = StreamPath {
            domain: DomainName::parse("live.local").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse("a").unwrap(),
        };
        let mut suspended = Suspended {
            recording: recording(Container::Flv),
            path: path.clone(),
            since_ms: 10_000,
            last_session: SessionId::new(0),
        };
        assert_eq!(suspended.until_ms(), 40_000);
        assert!(!suspended.is_unwanted(&[], 15_000), "rules are asked when a push starts");
        suspended.recording.origin = Origin::Task { task_id: "t".to_owned() };
        let task = RecordTask {
            id: "t".to_owned(),
            path,
            start_s: 0,
            end_s: 20,
            template_id: 0,
            stream_type: 0,
            profile: None,
            stopped_ms: 0,
            deleted_ms: 0,
            created_ms: 0,
        };
        let unwanted =
            |task: &RecordTask, now_ms| suspended.is_unwanted(std::slice::from_ref(task), now_ms);
        assert!(!unwanted(&task, 15_000));
        assert!(unwanted(&task, 20_000), "over");
        assert!(unwanted(&RecordTask { stopped_ms: 1, ..task.clone() }, 15_000));
        assert!(unwanted(&RecordTask { deleted_ms: 1, ..task.clone() }, 15_000));
        assert!(suspended.is_unwanted(&[], 15_000), "unknown");
    }

    #[test]
    fn a_recording_noted_before_there_were_windows_has_none() {
        let mut noted = serde_json::to_value(recording(Container::Flv)).unwrap();
        noted.as_object_mut().unwrap().remove("resume_window_s");
        let read: Recording = serde_json::from_value(noted).unwrap();
        assert_eq!(read.resume_window_s, 0);
    }
}
