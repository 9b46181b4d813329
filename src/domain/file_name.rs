//! Names of media files from the pattern `VodFileName` of a record template (spec live-api 5.1).
//!
//! The result is what the VOD API shows, not a path: nothing is escaped. Unknown placeholders stay
//! as they are written.

use chrono::{DateTime, Datelike, FixedOffset, Offset, Timelike, Utc};

/// Used when a template has no pattern.
pub const DEFAULT_PATTERN: &str = "{StreamID}_{StartYear}-{StartMonth}-{StartDay}-{StartHour}-{StartMinute}-{StartSecond}_{EndYear}-{EndMonth}-{EndDay}-{EndHour}-{EndMinute}-{EndSecond}";

/// Longest name, in characters; what is beyond is cut off.
pub const MAX_NAME_CHARS: usize = 255;

/// Expands `pattern` (empty: [`DEFAULT_PATTERN`]). Times are unix milliseconds and shown at
/// `utc_offset_s` seconds east of UTC, zero padded.
pub fn expand(
    pattern: &str,
    stream: &str,
    start_ms: i64,
    end_ms: i64,
    utc_offset_s: i32,
) -> String {
    let start = local_time(start_ms, utc_offset_s);
    let end = local_time(end_ms, utc_offset_s);
    let mut rest = if pattern.is_empty() { DEFAULT_PATTERN } else { pattern };
    let mut name = String::with_capacity(rest.len() + stream.len());
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        name.push_str(before);
        let value = tail.find('}').and_then(|close| {
            let placeholder = tail.get(1..close)?;
            Some((value_of(placeholder, stream, &start, &end)?, close + 1))
        });
        let used = match value {
            Some((value, used)) => {
                name.push_str(&value);
                used
            }
            None => {
                name.push('{');
                1
            }
        };
        rest = tail.get(used..).unwrap_or_default();
    }
    name.push_str(rest);
    if let Some((cut, _)) = name.char_indices().nth(MAX_NAME_CHARS) {
        name.truncate(cut);
    }
    name
}

fn value_of(
    placeholder: &str,
    stream: &str,
    start: &DateTime<FixedOffset>,
    end: &DateTime<FixedOffset>,
) -> Option<String> {
    if placeholder == "StreamID" {
        return Some(stream.to_owned());
    }
    let (time, field) = match placeholder.strip_prefix("Start") {
        Some(field) => (start, field),
        None => (end, placeholder.strip_prefix("End")?),
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

/// A time or an offset that no calendar has (a broken clock) shows as the epoch, as UTC.
fn local_time(unix_ms: i64, utc_offset_s: i32) -> DateTime<FixedOffset> {
    let offset = FixedOffset::east_opt(utc_offset_s).unwrap_or_else(|| Utc.fix());
    // A day is kept free at both ends, so that adding the offset cannot leave the calendar.
    let range = -8_000_000_000_000_000..8_000_000_000_000_000;
    let unix_ms = if range.contains(&unix_ms) { unix_ms } else { 0 };
    DateTime::from_timestamp_millis(unix_ms).unwrap_or(DateTime::UNIX_EPOCH).with_timezone(&offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEIJING_S: i32 = 8 * 3600;
    const START_MS: i64 = 1_743_484_094_007; // the one real sample of the specification
    const END_MS: i64 = 1_743_555_599_999;

    #[test]
    fn default_pattern_in_beijing_time() {
        let name = expand("", "livetest", START_MS, END_MS, BEIJING_S);
        assert_eq!(name, "livetest_2025-04-01-13-08-14_2025-04-02-08-59-59");
        let name = expand("{StartHour}h{StartMillisecond}", "s", START_MS, END_MS, 0);
        assert_eq!(name, "05h007");
    }

    #[test]
    fn every_placeholder() {
        let fields = ["Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond"];
        let pattern: Vec<String> =
            ["Start", "End"].iter().flat_map(|p| fields.map(|f| format!("{{{p}{f}}}"))).collect();
        let name = expand(&pattern.join(" "), "s", START_MS, END_MS, BEIJING_S);
        assert_eq!(name, "2025 04 01 13 08 14 007 2025 04 02 08 59 59 999");
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        for text in
            ["{Nope}", "{", "}{", "{StreamID", "{streamid}", "{{}}", "a{Start}b", "{EndWeek}"]
        {
            assert_eq!(expand(text, "s", 0, 0, 0), text);
        }
        assert_eq!(expand("{{StreamID}}", "s", 0, 0, 0), "{s}");
        assert_eq!(
            expand("录{StreamID}制", "{StartYear}", 0, 0, 0),
            "录{StartYear}制",
            "expanded once"
        );
    }

    proptest! {
        #[test]
        fn any_input_gives_a_bounded_name(
            pattern in r"(\{StreamID\}|\{StartYear\}|\{EndDay\}|[{}录a])*",
            stream in ".*", start in any::<i64>(), end in any::<i64>(), offset in any::<i32>(),
        ) {
            prop_assert!(expand(&pattern, &stream, start, end, offset).chars().count() <= MAX_NAME_CHARS);
        }
    }
}
