//! What the journal says of itself: its head and the notes between the tags.
//!
//! Enough to make every row from the journal alone: a publish never waits for the database, and a
//! crash loses no intent. The same notes drive normal work and recovery. They are JSON inside
//! private script tags, which no product contains.

use serde::{Deserialize, Serialize};

pub use super::stall::{StallCause, StoreFailure};
use super::{
    ids::RecordingId,
    recording::Recording,
    session::{EndReason, Session},
};

/// Stands in the head tag of every file of a session's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The session.
    pub session: Session,
}

/// A note between the tags. Its own place in the journal is part of its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A recording of this session begins at `from`, which is at or before the note.
    Attach {
        /// The recording.
        recording: Box<Recording>,
        /// Logical position of its first tag.
        from: u64,
    },
    /// A recording ends where this note stands.
    Detach {
        /// Which.
        recording: RecordingId,
        /// Unix milliseconds.
        ended_ms: i64,
    },
    /// The disk took nothing for a while: the tags before this note were held in memory, those
    /// behind it with the encoder.
    Stall {
        /// Why.
        cause: StallCause,
        /// Unix milliseconds of the first write that was not taken.
        from_ms: i64,
        /// Unix milliseconds at which it was.
        until_ms: i64,
    },
    /// The session ends where this note stands.
    End {
        /// Why.
        reason: EndReason,
        /// Unix milliseconds.
        ended_ms: i64,
        /// Unix milliseconds at which the last tag arrived; not in journals of earlier versions.
        #[serde(default)]
        arrived_ms: Option<i64>,
    },
}

impl Note {
    /// The JSON text kept in the journal.
    pub fn to_json(&self) -> String {
        // Plain data with text keys always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The recording that it begins.
    pub fn attached(&self) -> Option<RecordingId> {
        match self {
            Note::Attach { recording, .. } => Some(recording.id),
            Note::Detach { .. } | Note::Stall { .. } | Note::End { .. } => None,
        }
    }

    /// Reads a note back; `None` for one of another version, which is skipped.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}
