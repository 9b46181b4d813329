//! Names of media files from the pattern `VodFileName` of a record template (spec live-api 5.1).
//!
//! The result is what the VOD API shows, not a path: nothing is escaped. Unknown placeholders stay
//! as they are written.

use super::placeholder::{Times, replace};

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
    let times = Times::new(start_ms, end_ms, utc_offset_s);
    let pattern = if pattern.is_empty() { DEFAULT_PATTERN } else { pattern };
    let mut name = replace(pattern, |placeholder| match placeholder {
        "StreamID" => Some(stream.to_owned()),
        time => times.value_of(time),
    });
    if let Some((cut, _)) = name.char_indices().nth(MAX_NAME_CHARS) {
        name.truncate(cut);
    }
    name
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
