//! Identifiers: internal ones are UUIDv7, the ones clients see are decimal 64-bit texts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// The newest time of an id of an earlier process, or later in this one; 0 while there was none.
static FLOOR_MS: AtomicU64 = AtomicU64::new(0);

/// Makes later ids newer than this one, which an earlier process made by a clock that may have been
/// ahead. What is no UUIDv7 says nothing.
pub fn begin_after(id: &str) {
    let newest = Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp());
    if let Some((seconds, nanos)) = newest.map(|time| time.to_unix()) {
        let ms = seconds.saturating_mul(1000).saturating_add(u64::from(nanos) / 1_000_000);
        FLOOR_MS.fetch_max(ms, Ordering::Relaxed);
    }
}

/// A new UUIDv7 for the row of an event, newer than every one before: events go out in the order of
/// their ids.
pub fn event_id(now_ms: i64) -> Uuid {
    static LAST_MS: AtomicU64 = AtomicU64::new(0);
    of_ms(increasing(&LAST_MS, ordered_ms(now_ms)))
}

/// What is wanted or, if it is not more than the `last` one, one more than that. Becomes the last one.
fn increasing(last: &AtomicU64, wanted: u64) -> u64 {
    let next = |last: u64| wanted.max(last + 1);
    // The closure never answers None, so both arms carry the previous value.
    match last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))) {
        Ok(before) | Err(before) => next(before),
    }
}

/// This time, or one a millisecond behind the last one.
fn ordered_ms(now_ms: i64) -> u64 {
    let now_ms = u64::try_from(now_ms).unwrap_or(0);
    match FLOOR_MS.load(Ordering::Relaxed) {
        floor if floor == 0 || floor < now_ms => now_ms,
        _ => FLOOR_MS.fetch_add(1, Ordering::Relaxed) + 1,
    }
}

fn of_ms(ms: u64) -> Uuid {
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new id, ordered by time (unix milliseconds; before 1970 counts as 1970), and
            /// newer than what [`begin_after`] was told of.
            pub fn new(now_ms: i64) -> Self {
                Self(of_ms(ordered_ms(now_ms)))
            }

            /// Parses the hyphenated text form.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::parse_str(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// One publish session (one push from start to interruption) and its journal.
    SessionId
);
uuid_id!(
    /// One recording: one stream, one origin (rule or task), one container.
    RecordingId
);

/// A 19-digit decimal id, ordered by time: `file_id`, `sequence`, `session_id`, `seq` of the
/// vendor's callbacks. Always a JSON string, since it exceeds 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecimalId(pub u64);

impl DecimalId {
    /// Makes the next id of this process: `now_ms << 20` plus random low bits, strictly increasing.
    /// For any year from 2000 to 2230 that is 19 digits with a first digit of 1 to 8.
    pub fn next(now_ms: i64) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        const FLOOR_MS: u64 = 954_000_000_000; // 10^18 >> 20, so that there are always 19 digits
        const CEILING_MS: u64 = 8_500_000_000_000;
        let ms = u64::try_from(now_ms).unwrap_or(0).clamp(FLOOR_MS, CEILING_MS);
        let wanted = (ms << 20) | u64::from(rand::random::<u32>() & 0xF_FFFF);
        Self(increasing(&LAST, wanted))
    }

    /// Parses decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for DecimalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a media file in VOD storage.
pub type FileId = DecimalId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_no_older_ids() {
        const AHEAD: i64 = 1_795_344_236_000;
        let earlier = SessionId::new(AHEAD);
        assert!(SessionId::new(AHEAD - 5000) < earlier);
        begin_after(&earlier.to_string());
        begin_after("");
        let mut last = earlier.0;
        for _ in 0..100 {
            let (session, event) = (SessionId::new(AHEAD - 5000).0, event_id(AHEAD - 5000));
            assert!(last < session && session < event, "{last} {session} {event}");
            last = event;
        }
        assert!(last < RecordingId::new(AHEAD + 5000).0);
    }

    #[test]
    fn ids_have_nineteen_digits_and_increase() {
        let mut last = DecimalId(0);
        for ms in [0, 1_795_344_236_000, 1_795_344_236_000, 4_000_000_000_000, i64::MAX, 5] {
            let id = DecimalId::next(ms);
            let text = id.to_string();
            assert_eq!(text.len(), 19, "{text}");
            assert!(('1'..='8').contains(&text.chars().next().unwrap()), "{text}");
            assert!(id > last);
            last = id;
        }
    }
}
