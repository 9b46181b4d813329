//! Media playlists (RFC 8216 clause 4, version 3).
//!
//! Only written here, never read; one recording has one rendition, so there is no master playlist.

use std::fmt::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Segment;

/// What stays as it is in the path of a relative reference. A colon does not: in front of the
/// first slash it would end a scheme.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// One line of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path of the segment relative to the playlist, not escaped.
    pub path: &'a str,
    /// The segment.
    pub segment: Segment,
}

/// The playlist of a recording that is finished.
pub fn vod<'a>(entries: impl IntoIterator<Item = Entry<'a>> + Clone) -> String {
    let longest_ms = entries.clone().into_iter().map(|e| e.segment.duration_ms).max().unwrap_or(0);
    // The rounded length of no segment may be above it (4.3.3.1), and 0 is no duration.
    let target_s = longest_ms.saturating_add(500) / 1000;
    playlist("VOD", target_s.max(1), entries) + "#EXT-X-ENDLIST\n"
}

/// The playlist of a recording that is still growing. `target_duration_s` must be the same each
/// time, and no segment may be longer: see [`super::Segmenter::target_duration_s`].
pub fn event<'a>(entries: impl IntoIterator<Item = Entry<'a>>, target_duration_s: u64) -> String {
    playlist("EVENT", target_duration_s, entries)
}

fn playlist<'a>(kind: &str, target_s: u64, entries: impl IntoIterator<Item = Entry<'a>>) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target_s}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:{kind}\n"
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
        let (s, ms) = (self.segment.duration_ms / 1000, self.segment.duration_ms % 1000);
        writeln!(f, "#EXTINF:{s}.{ms:03},\n{}", utf8_percent_encode(self.path, PATH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, duration_ms: u64, is_discontinuous: bool) -> Entry<'_> {
        Entry { path, segment: Segment { duration_ms, is_discontinuous } }
    }

    #[test]
    fn a_finished_playlist() {
        let entries = [entry("a/0.ts", 10_499, false), entry("a/1.ts", 7, true)];
        insta::assert_snapshot!(vod(entries), @"
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
        assert!(vod([entry("x", 10_500, false)]).contains("DURATION:11\n"));
        assert!(vod([]).contains("DURATION:1\n"));
    }

    #[test]
    fn a_growing_playlist_has_no_end() {
        let text = event([entry("0.ts", 10_000, false)], 21);
        assert!(text.contains("#EXT-X-TARGETDURATION:21\n") && text.contains("TYPE:EVENT\n"));
        assert!(!text.contains("ENDLIST"));
        // More segments only append lines.
        assert!(
            event([entry("0.ts", 10_000, false), entry("1.ts", 1, true)], 21).starts_with(&text)
        );
    }

    #[test]
    fn names_are_escaped() {
        let text = vod([entry("#直播 a:b\n.ts", 1, false)]);
        assert!(text.contains("\n%23%E7%9B%B4%E6%92%AD%20a%3Ab%0A.ts\n"), "{text}");
    }
}
