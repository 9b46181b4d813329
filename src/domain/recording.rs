//! A recording: one stream, one origin, one container; an ordered list of journal spans.

use serde::{Deserialize, Serialize};

use super::{
    container::Container,
    ids::{DecimalId, RecordingId, SessionId},
    record_template::RecordTemplate,
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
