//! Sound that says in each frame how it is coded, and says another thing in mid-stream.

use super::*;

const STEREO: &[u8] = b"\x2f\xff\xfb\x90\x64";
/// Half the sampling rate, one channel.
const MONO: &[u8] = b"\x2f\xff\xf3\x80\xc4";

/// Seconds of MP3 with this beginning of each frame, and pictures beside it.
fn seconds(times: std::ops::Range<i64>, head: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    for at in (times.start * 1000..times.end * 1000).step_by(20) {
        if at % 40 == 0 {
            let (head, nal) = if at % 1000 == 0 { (0x17, 0x65) } else { (0x27, 0x41) };
            tags.push(tag(TagKind::Video, at, vec![head, 1, 0, 0, 0, 0, 0, 0, 2, nal, 9]));
        }
        tags.push(tag(TagKind::Audio, at, [head, &[at as u8; 40]].concat()));
    }
    tags
}

#[test]
fn what_changes_at_every_frame_is_not_followed_for_ever() {
    let place = Place::rolling(1 << 20);
    let heads = (0..2000).map(|nth| if nth % 2 == 0 { STEREO } else { MONO });
    let frame = |(at, head): (i64, &[u8])| tag(TagKind::Audio, at * 20, [head, &[7; 40]].concat());
    let push = place.record(WALL_MS, (0..).zip(heads).map(frame).collect());
    for segment_type in SegmentType::ALL {
        let (made, ..) =
            place.make_as(Container::Hls, &[span(&push)], HlsSettings { segment_type, ..HLS });
        let text = &made[made.windows(7).rposition(|w| w == b"#EXTM3U").unwrap()..];
        let text = std::str::from_utf8(text).unwrap();
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 256, "{segment_type:?}");
    }
}

#[test]
fn parameters_that_change_in_band_are_a_discontinuity_and_a_sample_entry() {
    let place = Place::rolling(1 << 20);
    let mut tags = vec![tag(TagKind::Video, 0, AVC.to_vec())];
    for (times, head) in [(0..3, STEREO), (3..5, MONO), (5..8, STEREO)] {
        tags.extend(seconds(times, head));
    }
    let push = place.record(WALL_MS, tags);
    let spans = [span(&push)];
    let count =
        |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).filter(|w| *w == what).count();
    let changes = |summary: &Verification| {
        let mut seen = summary.irregularities.iter();
        seen.find(|seen| seen.kind == "parameter_change").map(|seen| seen.count)
    };
    for (segment_type, inits) in [(SegmentType::Ts, 0), (SegmentType::Fmp4, 2)] {
        let (made, facts, summary) =
            place.make_as(Container::Hls, &spans, HlsSettings { segment_type, ..HLS });
        let text = &made[made.windows(7).rposition(|w| w == b"#EXTM3U").unwrap()..];
        assert_eq!(count(text, b"#EXT-X-DISCONTINUITY\n"), 2, "{segment_type:?}");
        assert_eq!(count(text, b"#EXTINF"), 3, "{segment_type:?}");
        assert_eq!((facts.init_segments, changes(&summary)), (inits, Some(2)));
    }
    let (made, _, summary) = place.make(Container::Mp4, &spans);
    assert_eq!((count(&made, b"mp4a"), changes(&summary)), (2, Some(2)));
    let (_, _, summary) = place.make(Container::Flv, &spans);
    assert_eq!(changes(&summary), Some(2));
}

#[test]
fn sound_of_which_segments_can_say_nothing_is_a_failure_and_keeps_its_journal() {
    let place = Place::rolling(1 << 20);
    let frame = |at: i64| tag(TagKind::Audio, at * 23, [&b"\xaf\x01"[..], &[7; 9000]].concat());
    let header = tag(TagKind::Audio, 0, b"\xaf\0\x12\x10".to_vec());
    let oversized =
        place.record(WALL_MS, [header].into_iter().chain((1..300).map(frame)).collect());
    // Nothing that says how they are coded.
    let undescribed = place.record(WALL_MS, (1..300).map(frame).collect());
    for push in [oversized, undescribed] {
        let facts = MediaFacts::default();
        let opened = Projection::open(
            &place.journal,
            Container::Hls,
            &[span(&push)],
            Vec::new(),
            facts,
            HLS,
        );
        let error = opened.err().unwrap();
        assert!(matches!(error, ProjectError::Unsupported { .. }), "{error}");
    }
}
