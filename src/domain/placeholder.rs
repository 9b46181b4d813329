//! The placeholders of `VodFileName` and `CosBucketPath` (spec live-api 5.1).
//!
//! What is no placeholder stays as it is written, and what stands in for one is never looked at again.

use chrono::{DateTime, Datelike, FixedOffset, Offset, Timelike, Utc};

/// Replaces each `{name}` for which `value_of` has a value.
pub(super) fn replace(pattern: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut rest = pattern;
    let mut replaced = String::with_capacity(pattern.len());
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        replaced.push_str(before);
        let value = tail.find('}').and_then(|close| {
            let placeholder = tail.get(1..close)?;
            Some((value_of(placeholder)?, close + 1))
        });
        let used = match value {
            Some((value, used)) => {
                replaced.push_str(&value);
                used
            }
            None => {
                replaced.push('{');
                1
            }
        };
        rest = tail.get(used..).unwrap_or_default();
    }
    replaced.push_str(rest);
    replaced
}

/// When something starts and ends, as placeholders show it.
pub(super) struct Times {
    start: DateTime<FixedOffset>,
    end: DateTime<FixedOffset>,
}

impl Times {
    /// Unix milliseconds, shown at `utc_offset_s` seconds east of UTC, zero padded.
    pub fn new(start_ms: i64, end_ms: i64, utc_offset_s: i32) -> Self {
        Self { start: local_time(start_ms, utc_offset_s), end: local_time(end_ms, utc_offset_s) }
    }

    /// `StartYear`, `EndMillisecond` and what is between.
    pub fn value_of(&self, placeholder: &str) -> Option<String> {
        let (time, field) = match placeholder.strip_prefix("Start") {
            Some(field) => (&self.start, field),
            None => (&self.end, placeholder.strip_prefix("End")?),
        };
        Some(match field {
            "Year" => format!("{:04}", time.year()),
            "Month" => format!("{:02}", time.month()),
            "Day" => format!("{:02}", time.day()),
            "Hour" => format!("{:02}", time.hour()),
            "Minute" => format!("{:02}", time.minute()),
            "Second" => format!("{:02}", time.second()),
            "Millisecond" => format!("{:03}", time.timestamp_subsec_millis()),
            _ => return None,
        })
    }
}

/// A time or an offset that no calendar has (a broken clock) shows as the epoch, as UTC.
fn local_time(unix_ms: i64, utc_offset_s: i32) -> DateTime<FixedOffset> {
    let offset = FixedOffset::east_opt(utc_offset_s).unwrap_or_else(|| Utc.fix());
    // A day is kept free at both ends, so that adding the offset cannot leave the calendar.
    let range = -8_000_000_000_000_000..8_000_000_000_000_000;
    let unix_ms = if range.contains(&unix_ms) { unix_ms } else { 0 };
    DateTime::from_timestamp_millis(unix_ms).unwrap_or(DateTime::UNIX_EPOCH).with_timezone(&offset)
}
