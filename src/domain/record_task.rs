//! Record tasks: a window in which every push of one stream is recorded (spec live-api 7, 8).

use serde::{Deserialize, Serialize};

use super::{record_template::RecordTemplate, stream::StreamPath};

/// A record task, of the new task API or of the legacy one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordTask {
    /// 60 alphanumerics; of a legacy task a number.
    pub id: String,
    /// The one stream it is about.
    pub path: StreamPath,
    /// Unix seconds; the creation time when the request named none.
    pub start_s: i64,
    /// Unix seconds, exclusive.
    pub end_s: i64,
    /// Template id as given; 0, absent or unknown is the default profile.
    pub template_id: i64,
    /// StreamType as given: 0 ordinary, 1 mixed.
    pub stream_type: i64,
    /// What a legacy task records; `None` for tasks of the new API, which name a template.
    pub profile: Option<RecordTemplate>,
    /// Unix milliseconds of StopRecordTask; 0 if never.
    pub stopped_ms: i64,
    /// Unix milliseconds of DeleteRecordTask; 0 if never. A deleted task starts no new recording
    /// and leaves a running one alone.
    pub deleted_ms: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
}

/// Longest window of one task, in seconds.
pub const MAX_WINDOW_S: i64 = 24 * 3600;

/// A task must end less than this many seconds from now.
pub const MAX_AHEAD_S: i64 = 7 * 24 * 3600;

/// For how long a task is kept and answered after its end, in seconds ("3 months").
pub const KEPT_S: i64 = 90 * 24 * 3600;

/// Length of a TaskId.
pub const ID_LEN: usize = 60;

/// Why a window is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It is empty or reversed.
    #[error("EndTime must be later than StartTime")]
    Reversed,
    /// It is over already.
    #[error("EndTime must be later than the current time")]
    Past,
    /// It is too long.
    #[error("EndTime must be at most 24 hours after StartTime")]
    TooLong,
    /// It ends too far ahead.
    #[error("EndTime must be less than 7 days from the current time")]
    TooFar,
}

/// Checks a window given in unix seconds against the current time.
pub fn check_window(start_s: i64, end_s: i64, now_s: i64) -> Result<(), WindowError> {
    if end_s <= start_s {
        Err(WindowError::Reversed)
    } else if end_s <= now_s {
        Err(WindowError::Past)
    } else if end_s.saturating_sub(start_s) > MAX_WINDOW_S {
        Err(WindowError::TooLong)
    } else if end_s.saturating_sub(now_s) >= MAX_AHEAD_S {
        Err(WindowError::TooFar)
    } else {
        Ok(())
    }
}

impl RecordTask {
    /// Whether the window is open and the task was not stopped: a recording of it may go on.
    pub fn is_open_at(&self, now_ms: i64) -> bool {
        let window = self.start_s.saturating_mul(1000)..self.end_s.saturating_mul(1000);
        self.stopped_ms == 0 && window.contains(&now_ms)
    }

    /// Whether a recording of it may begin: open and not deleted.
    pub fn is_wanted_at(&self, now_ms: i64) -> bool {
        self.deleted_ms == 0 && self.is_open_at(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::{AppName, DomainName, StreamName};

    #[test]
    fn windows_are_checked_against_the_clock() {
        const NOW: i64 = 1_000_000;
        assert_eq!(check_window(NOW, NOW + 1, NOW), Ok(()));
        assert_eq!(check_window(NOW - 10, NOW + 1, NOW), Ok(()));
        assert_eq!(check_window(NOW, NOW + MAX_WINDOW_S, NOW), Ok(()));
        assert_eq!(check_window(NOW + 5, NOW + 5, NOW), Err(WindowError::Reversed));
        assert_eq!(check_window(NOW - 10, NOW, NOW), Err(WindowError::Past));
        assert_eq!(check_window(NOW, NOW + MAX_WINDOW_S + 1, NOW), Err(WindowError::TooLong));
        let end = NOW + MAX_AHEAD_S;
        assert_eq!(check_window(end - 10, end - 1, NOW), Ok(()));
        assert_eq!(check_window(end - 10, end, NOW), Err(WindowError::TooFar));
        assert_eq!(check_window(i64::MIN, i64::MAX, NOW), Err(WindowError::TooLong));
    }

    #[test]
    fn stopped_ends_and_deleted_only_starts_nothing_new() {
        let task = RecordTask {
            id: "t".to_owned(),
            path: StreamPath {
                domain: DomainName::parse("d").unwrap(),
                app: AppName::parse("live").unwrap(),
                stream: StreamName::parse("s").unwrap(),
            },
            start_s: 10,
            end_s: 20,
            template_id: 0,
            stream_type: 0,
            profile: None,
            stopped_ms: 0,
            deleted_ms: 0,
            created_ms: 0,
        };
        for (now_ms, is_open) in [(9_999, false), (10_000, true), (19_999, true), (20_000, false)] {
            assert_eq!(task.is_open_at(now_ms), is_open, "{now_ms}");
            assert_eq!(task.is_wanted_at(now_ms), is_open, "{now_ms}");
        }
        let deleted = RecordTask { deleted_ms: 12_000, ..task.clone() };
        assert!(deleted.is_open_at(15_000) && !deleted.is_wanted_at(15_000));
        let stopped = RecordTask { stopped_ms: 12_000, ..task };
        assert!(!stopped.is_open_at(15_000) && !stopped.is_wanted_at(15_000));
    }
}
