//! Identifiers: internal ones are UUIDv7, the ones clients see are decimal 64-bit texts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new id, ordered by time (unix milliseconds; before 1970 counts as 1970).
            pub fn new(now_ms: i64) -> Self {
                let ms = u64::try_from(now_ms).unwrap_or(0);
                let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
                Self(Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos)))
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
        let next = |last: u64| Some(wanted.max(last + 1));
        // The closure never answers None, so both arms carry the previous value.
        let last = match LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => last,
        };
        Self(wanted.max(last + 1))
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
