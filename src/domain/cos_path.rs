//! Where the objects of a media file lie, from the pattern `CosBucketPath` of a record template
//! (spec live-api 5.1).
//!
//! The pattern names a folder; inside it every file has one of its own, so that no file replaces
//! another whatever the pattern says. The result are names, not a path: escaping them is the
//! store's affair. Unknown placeholders stay as they are written.

use super::placeholder::{Times, replace};

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// `{Domain}`.
    pub domain: &'a str,
    /// `{AppName}`.
    pub app: &'a str,
    /// `{StreamID}`.
    pub stream: &'a str,
    /// `{RecordId}`: of what was asked for; an interruption may not change it.
    pub record_id: &'a str,
    /// `{RandomID}`: of this file.
    pub random_id: &'a str,
    /// `{StartYear}` to `{StartMillisecond}`: unix milliseconds.
    pub start_ms: i64,
    /// `{EndYear}` to `{EndMillisecond}`: unix milliseconds.
    pub end_ms: i64,
    /// Times are shown so many seconds east of UTC.
    pub utc_offset_s: i32,
}

/// Folders inside each other, the outermost first; none for a pattern that names none.
pub fn folders(pattern: &str, names: &Names<'_>) -> Vec<String> {
    let times = Times::new(names.start_ms, names.end_ms, names.utc_offset_s);
    let value_of = |placeholder: &str| match placeholder {
        // What was pushed is what is recorded, without a watermark and never transcoded.
        "RecordSource" => Some("origin".to_owned()),
        "Domain" => Some(names.domain.to_owned()),
        "AppName" => Some(names.app.to_owned()),
        "StreamID" => Some(names.stream.to_owned()),
        "RecordId" => Some(names.record_id.to_owned()),
        "RandomID" => Some(names.random_id.to_owned()),
        time => times.value_of(time),
    };
    // Cut first: a name that stands for a placeholder may hold a slash.
    let written = pattern.split('/').filter(|folder| !folder.is_empty());
    written.map(|folder| replace(folder, value_of)).collect()
}

/// Whether the folders are known only when the file ends.
pub fn needs_end(pattern: &str) -> bool {
    let fields = ["Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond"];
    fields.iter().any(|field| pattern.contains(&format!("{{End{field}}}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        domain: "push.example.com",
        app: "live",
        stream: "a/b{Domain}",
        record_id: "task-1",
        random_id: "1234567890123456789",
        start_ms: 1_743_484_094_007,
        end_ms: 1_743_555_599_999,
        utc_offset_s: 8 * 3600,
    };

    #[test]
    fn the_documented_example() {
        let pattern = "/{RecordSource}/{Domain}/{AppName}/{StreamID}/{RecordId}-{RandomID}/\
            {StartYear}-{StartMonth}-{StartDay}-{StartHour}-{StartMinute}-{StartSecond}";
        assert_eq!(
            folders(pattern, &NAMES),
            [
                "origin",
                "push.example.com",
                "live",
                "a/b{Domain}",
                "task-1-1234567890123456789",
                "2025-04-01-13-08-14"
            ]
        );
        assert!(!needs_end(pattern));
    }

    #[test]
    fn folders_that_name_the_end_are_known_then() {
        let pattern = "//{EndYear}{EndMonth}/{EndHour}.{EndMillisecond}{StartMillisecond}//";
        assert_eq!(folders(pattern, &NAMES), ["202504", "08.999007"]);
        assert!(needs_end(pattern));
    }

    #[test]
    fn what_names_nothing_is_no_folder() {
        for pattern in ["", "/", "//"] {
            assert_eq!(folders(pattern, &NAMES), [""; 0]);
        }
        assert_eq!(folders("/{Nope}/{EndWeek}/../{", &NAMES), ["{Nope}", "{EndWeek}", "..", "{"]);
        assert!(!needs_end("/{EndWeek}/End"));
    }
}
