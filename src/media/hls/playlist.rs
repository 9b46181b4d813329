//! Media playlists (RFC 8216 clause 4).
//!
//! Version 3 serves MPEG-TS, with the tenths and thousandths of durations; `EXT-X-MAP` beside media
//! segments needs version 6 (clause 7).
//! Only written here, never read; one recording has one rendition, so there is no master playlist.

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Segment, SegmentType};

/// What stays as it is in the path of a relative reference. A colon does not: in front of the
/// first slash it would end a scheme.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Name of a media segment beside the playlist.
pub fn segment_name(number: u64, segment_type: SegmentType) -> String {
    format!("{number}.{}", segment_type.extension())
}

/// Name of an initialisation segment beside the playlist.
pub fn init_name(number: u64) -> String {
    format!("init-{number}.mp4")
}

/// One line of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path of the segment relative to the playlist, not escaped.
    pub path: &'a str,
    /// The segment.
    pub segment: Segment,
    /// Path of the initialisation segment that holds from here on, where another one begins to.
    pub init: Option<&'a str>,
}

/// What is said of all segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// What the segments are.
    pub segment_type: SegmentType,
    /// Every segment can be decoded without any other.
    pub is_independent: bool,
}

/// The playlist of a recording that is finished.
pub fn vod<'a>(header: Header, entries: impl IntoIterator<Item = Entry<'a>> + Clone) -> String {
    let longest_ms = entries.clone().into_iter().map(|e| e.segment.duration_ms).max().unwrap_or(0);
    // The rounded length of no segment may be above it (4.3.3.1), and 0 is no duration.
    let target_s = longest_ms.saturating_add(500) / 1000;
    playlist("VOD", header, target_s.max(1), entries) + "#EXT-X-ENDLIST\n"
}

/// The playlist of a recording that is still growing. `target_duration_s` and `header` must be the
/// same each time, and no segment may be longer: see [`super::Segmenter::target_duration_s`].
pub fn event<'a>(
    header: Header,
    entries: impl IntoIterator<Item = Entry<'a>>,
    target_duration_s: u64,
) -> String {
    playlist("EVENT", header, target_duration_s, entries)
}

fn playlist<'a>(
    kind: &str,
    header: Header,
    target_s: u64,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> String {
    let version = match header.segment_type {
        SegmentType::Ts => 3,
        SegmentType::Fmp4 => 6,
    };
    let independent = if header.is_independent { "#EXT-X-INDEPENDENT-SEGMENTS\n" } else { "" };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:{version}\n{independent}#EXT-X-TARGETDURATION:{target_s}\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{kind}\n"
    );
    for entry in entries {
        // Writing to a string cannot fail.
        let _ = write!(text, "{entry}");
    }
    text
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segment.is_discontinuous {
            f.write_str("#EXT-X-DISCONTINUITY\n")?;
        }
        if let Some(init) = self.init {
            writeln!(f, "#EXT-X-MAP:URI=\"{}\"", utf8_percent_encode(init, PATH))?;
        }
        let (s, ms) = (self.segment.duration_ms / 1000, self.segment.duration_ms % 1000);
        writeln!(f, "#EXTINF:{s}.{ms:03},\n{}", utf8_percent_encode(self.path, PATH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, duration_ms: u64, is_discontinuous: bool) -> Entry<'_> {
        Entry { path, segment: Segment { duration_ms, is_discontinuous }, init: None }
    }

    const TS: Header = Header { segment_type: SegmentType::Ts, is_independent: false };

    #[test]
    fn a_finished_playlist() {
        let entries = [entry("a/0.ts", 10_499, false), entry("a/1.ts", 7, true)];
        insta::assert_snapshot!(vod(TS, entries), @"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-TARGETDURATION:10
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXTINF:10.499,
        a/0.ts
        #EXT-X-DISCONTINUITY
        #EXTINF:0.007,
        a/1.ts
        #EXT-X-ENDLIST
        ");
        assert!(vod(TS, [entry("x", 10_500, false)]).contains("DURATION:11\n"));
        assert!(vod(TS, []).contains("DURATION:1\n"));
    }

    #[test]
    fn a_growing_playlist_has_no_end() {
        let text = event(TS, [entry("0.ts", 10_000, false)], 21);
        assert!(text.contains("#EXT-X-TARGETDURATION:21\n") && text.contains("TYPE:EVENT\n"));
        assert!(!text.contains("ENDLIST"));
        // More segments only append lines.
        assert!(
            event(TS, [entry("0.ts", 10_000, false), entry("1.ts", 1, true)], 21)
                .starts_with(&text)
        );
    }

    #[test]
    fn initialisation_segments_stand_where_they_begin_to_hold() {
        let entries = [
            Entry { init: Some("init-0.mp4"), ..entry("0.m4s", 4_000, false) },
            entry("1.m4s", 4_000, false),
            Entry { init: Some("init-1.mp4"), ..entry("2.m4s", 4_000, true) },
        ];
        let header = Header { segment_type: SegmentType::Fmp4, is_independent: true };
        insta::assert_snapshot!(vod(header, entries), @r#"
        #EXTM3U
        #EXT-X-VERSION:6
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-TARGETDURATION:4
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXT-X-MAP:URI="init-0.mp4"
        #EXTINF:4.000,
        0.m4s
        #EXTINF:4.000,
        1.m4s
        #EXT-X-DISCONTINUITY
        #EXT-X-MAP:URI="init-1.mp4"
        #EXTINF:4.000,
        2.m4s
        #EXT-X-ENDLIST
        "#);
    }

    #[test]
    fn names_are_escaped() {
        let text = vod(TS, [entry("#直播 a:b\n.ts", 1, false)]);
        assert!(text.contains("\n%23%E7%9B%B4%E6%92%AD%20a%3Ab%0A.ts\n"), "{text}");
    }
}
