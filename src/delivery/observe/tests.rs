//! Counted by hand.

use super::*;
use crate::media::testing;

fn frame(track: Track, dts_ms: i64, keyframe: bool) -> Sample {
    Sample { keyframe, ..testing::frame(track, dts_ms) }
}

fn configs(records: &[(u32, &'static [u8])]) -> Configs {
    let mut configs = Configs::new();
    for (ordinal, record) in records {
        configs.insert(*ordinal, testing::config(Track::Audio, Codec::Aac, record));
    }
    configs
}

fn counts(seen: Observer) -> Vec<(&'static str, u64)> {
    seen.finish().into_iter().map(|(kind, count)| (kind.as_str(), count)).collect()
}

#[test]
fn steps_back_are_of_one_track_and_one_push() {
    let mut seen = Observer::default();
    for (track, dts_ms) in
        [(Track::Video, 100), (Track::Audio, 90), (Track::Video, 80), (Track::Audio, 90)]
    {
        seen.push(&frame(track, dts_ms, true));
    }
    seen.begin_span(&Configs::new());
    seen.push(&frame(Track::Video, 0, true));
    assert_eq!(counts(seen), [("backward_step", 1)]);
}

#[test]
fn pictures_without_a_key_frame() {
    let mut seen = Observer::default();
    for dts_ms in [0, 1_000, 60_000, 60_001, 61_000, 120_000, 120_002] {
        seen.push(&frame(Track::Video, dts_ms, dts_ms == 0));
    }
    assert_eq!(counts(seen), [("missing_keyframe", 2)], "after a minute, and after the next");
    let mut seen = Observer::default();
    seen.push(&frame(Track::Video, 0, false));
    seen.push(&frame(Track::Video, 40, true));
    assert_eq!(counts(seen), [("missing_keyframe", 1)], "does not begin with one");
}

#[test]
fn parameters_change_when_a_frame_needs_others() {
    let mut seen = Observer::default();
    seen.begin_span(&configs(&[(1, b"\x12\x10"), (2, b"\x12\x10"), (3, b"\x12\x08")]));
    for (dts_ms, config) in [(0, 0), (10, 1), (20, 2), (30, 3), (40, 3), (50, 1)] {
        seen.push(&Sample { config, ..frame(Track::Audio, dts_ms, true) });
    }
    seen.begin_span(&configs(&[(1, b"\x12\x10")]));
    seen.push(&frame(Track::Audio, 0, true));
    seen.begin_span(&configs(&[(1, b"\x12\x08")]));
    seen.push(&frame(Track::Audio, 0, true));
    seen.push(&Sample { codec: Codec::Mp3, ..frame(Track::Audio, 9, true) });
    assert_eq!(counts(seen), [("parameter_change", 4)]);
}

#[test]
fn further_tracks_and_ends_are_counted() {
    let mut seen = Observer::default();
    seen.push(&Sample { track_id: 1, ..frame(Track::Video, 0, false) });
    seen.push(&Sample { kind: SampleKind::EndOfSequence, ..frame(Track::Video, 0, false) });
    seen.push(&Sample { data_len: 0, ..frame(Track::Video, 0, false) });
    seen.push(&Sample { has_nanos: true, ..frame(Track::Video, 0, true) });
    let expected = [("nanosecond_offset", 1), ("other_tracks", 1), ("end_of_sequence", 1)];
    assert_eq!(counts(seen), expected);
}
