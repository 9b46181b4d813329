//! Where segments end, and whether what the playlist says of them adds up.

mod fmp4;

use proptest::prelude::*;

use super::playlist::{Entry, Header, event, vod};
use super::*;
use crate::media::sample::SampleKind;
use crate::media::testing;

fn config(record: &'static [u8]) -> TrackConfig {
    testing::config(Track::Video, Codec::H264, record)
}

/// 1 and 3 say the same, 2 another thing.
fn configs() -> Configs {
    let mut configs = Configs::new();
    configs.insert(1, config(b"\x01\x64\x00\x1e\xff\xe0\x00"));
    configs.insert(2, config(b"\x01\x4d\x00\x1e\xff\xe0\x00"));
    configs.insert(3, config(b"\x01\x64\x00\x1e\x03\x00\x00padding"));
    configs
}

fn video(dts_ms: i64, keyframe: bool) -> Sample {
    Sample { tag_len: 0, cts_ms: 80, keyframe, ..testing::frame(Track::Video, dts_ms) }
}

fn audio(dts_ms: i64) -> Sample {
    Sample { config: 9, track: Track::Audio, codec: Codec::Aac, cts_ms: 0, ..video(dts_ms, true) }
}

/// Times of the samples before which it was cut, and the segments.
fn cut(samples: &[Sample], segment_ms: u64) -> (Vec<i64>, Vec<Segment>) {
    let mut segmenter = Segmenter::new(&configs(), segment_ms, SegmentType::Ts);
    let (mut cuts, mut segments) = (Vec::new(), Vec::new());
    for sample in samples {
        if let Some(segment) = segmenter.push(sample, false) {
            cuts.push(sample.dts_ms);
            segments.push(segment);
        }
    }
    segments.extend(segmenter.finish());
    assert_eq!(segmenter.finish(), None);
    (cuts, segments)
}

fn segment(duration_ms: u64, is_discontinuous: bool) -> Segment {
    Segment { duration_ms, is_discontinuous }
}

#[test]
fn cuts_at_the_first_keyframe_that_is_late_enough() {
    // 25 frames a second, a keyframe every 2 s, sound in between.
    let samples: Vec<_> =
        (0..700).flat_map(|n| [video(n * 40, n % 50 == 0), audio(n * 40 + 1)]).collect();
    let (cuts, segments) = cut(&samples, 5_000);
    assert_eq!(cuts, [6_000, 12_000, 18_000, 24_000]);
    let expected = [6_000, 6_000, 6_000, 6_000, 4_001].map(|ms| segment(ms, false));
    assert_eq!(segments, expected);
}

#[test]
fn without_keyframes_it_cuts_at_twice_the_duration() {
    let samples: Vec<_> = (0..700).map(|n| video(n * 40, n == 0)).collect();
    assert_eq!(cut(&samples, 5_000).0, [10_000, 20_000]);
    // Pictures have stopped, sound goes on.
    let mut samples: Vec<_> = (0..10).map(|n| video(n * 40, n == 0)).collect();
    samples.extend((0..1000).map(|n| audio(n * 23)));
    assert_eq!(cut(&samples, 5_000).0, [10_005, 15_019, 20_033]);
}

#[test]
fn sound_alone_is_cut_at_any_frame() {
    let samples: Vec<_> = (0..1000).map(|n| audio(n * 23)).collect();
    let (cuts, segments) = cut(&samples, 10_000);
    assert_eq!(cuts, [10_005, 20_010]);
    assert_eq!(segments, [10_005, 10_005, 2_990].map(|ms| segment(ms, false)));
}

#[test]
fn other_parameters_break_the_segment() {
    let with = |config, dts_ms, keyframe| Sample { config, ..video(dts_ms, keyframe) };
    let samples = [
        with(0, 0, false),
        with(1, 40, true),
        with(3, 80, true),
        audio(81),
        with(2, 120, true),
        Sample { codec: Codec::Mp3, config: 0, ..audio(121) },
        with(2, 160, false),
    ];
    let (cuts, segments) = cut(&samples, 5_000);
    assert_eq!(cuts, [120], "padding is no change, and the sound changes at the same place");
    assert_eq!(segments, [segment(121, false), segment(80, true)]);
}

#[test]
fn gaps_and_clocks_set_back_break_the_segment() {
    let run = |start_ms: i64| {
        (0..25).flat_map(move |n| [video(start_ms + n * 40, n == 0), audio(start_ms + n * 40)])
    };
    let samples: Vec<_> =
        run(100_000).chain(run(111_000)).chain(run(50_000)).chain(run(51_000)).collect();
    let (cuts, segments) = cut(&samples, 10_000);
    assert_eq!(cuts, [111_000, 50_000]);
    assert_eq!(segments, [segment(1_000, false), segment(1_000, true), segment(2_000, true)]);
    // Jitter, and a microphone that was switched off, are none.
    let samples = [
        audio(0),
        video(0, true),
        audio(23),
        audio(20),
        video(9_000, false),
        video(18_000, false),
        audio(18_000),
    ];
    // The last picture may last another 9 s, but no segment exceeds the target duration.
    assert_eq!(cut(&samples, 10_000), (vec![], vec![segment(21_000, false)]));
    let (_, segments) = cut(&[audio(5_000), audio(3_999)], 10_000);
    assert_eq!(segments, [segment(40, false), segment(40, true)]);
}

#[test]
fn a_clock_for_each_track_is_one_break() {
    for apart_ms in [30_000, -30_000, 7_000] {
        let samples: Vec<_> = (0..1000)
            .flat_map(|n| {
                let jump_ms = if n >= 125 { apart_ms } else { 0 };
                [video(n * 40 + jump_ms, n % 25 == 0), audio(n * 40 + 1)]
            })
            .collect();
        let (_, segments) = cut(&samples, 1_000);
        let breaks = segments.iter().filter(|segment| segment.is_discontinuous).count();
        assert!(breaks == 1 && segments.len() <= 42, "{apart_ms} {segments:?}");
    }
}

#[test]
fn another_session_is_a_discontinuity() {
    let mut segmenter = Segmenter::new(&configs(), 10_000, SegmentType::Ts);
    assert_eq!(segmenter.push(&video(0, true), false), None);
    assert_eq!(segmenter.push(&video(40, false), false), None);
    segmenter.next_session(&configs());
    assert_eq!(
        segmenter.push(&Sample { kind: SampleKind::Script, ..video(50, true) }, false),
        None
    );
    assert_eq!(segmenter.push(&video(80, true), false), Some(segment(80, false)));
    assert_eq!(segmenter.finish(), Some(segment(40, true)));
    assert_eq!(segmenter.target_duration_s(), 21);
    assert_eq!(Segmenter::new(&configs(), 2_500, SegmentType::Ts).target_duration_s(), 6);
    assert_eq!(Segmenter::new(&configs(), 2_600, SegmentType::Ts).target_duration_s(), 7);
}

/// What a player reads out of a media playlist.
#[derive(Debug, Default, PartialEq)]
struct Read {
    target_s: u64,
    is_ended: bool,
    segments: Vec<(String, u64, bool)>,
}

fn read(text: &str) -> Read {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#EXTM3U"));
    let mut read = Read::default();
    let (mut duration_ms, mut is_discontinuous) = (None, false);
    for line in lines {
        assert!(!read.is_ended);
        if let Some(target) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            read.target_s = target.parse().unwrap();
        } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
            let (s, ms) = duration.strip_suffix(',').unwrap().split_once('.').unwrap();
            assert_eq!(ms.len(), 3);
            duration_ms = Some(s.parse::<u64>().unwrap() * 1000 + ms.parse::<u64>().unwrap());
        } else if line == "#EXT-X-DISCONTINUITY" {
            is_discontinuous = true;
        } else if line == "#EXT-X-ENDLIST" {
            read.is_ended = true;
        } else if !line.starts_with('#') {
            read.segments.push((line.into(), duration_ms.take().unwrap(), is_discontinuous));
            is_discontinuous = false;
        }
    }
    read
}

proptest! {
    #[test]
    fn playlists_say_what_the_segmenter_said(
        steps in prop::collection::vec((any::<bool>(), 0i64..400, 0u8..50), 1..400),
        segment_ms in 500u64..8000,
    ) {
        let mut now_ms = 70_000;
        let samples: Vec<_> = steps
            .into_iter()
            .map(|(is_video, step_ms, key)| {
                now_ms += step_ms;
                if is_video { video(now_ms, key == 0) } else { audio(now_ms) }
            })
            .collect();
        let (cuts, segments) = cut(&samples, segment_ms);
        prop_assert_eq!(cuts.len() + 1, segments.len());
        prop_assert!(segments.iter().all(|segment| !segment.is_discontinuous));
        // The sum is the length of the medium: up to the last frame and that frame's own length.
        let total_ms = segments.iter().map(|segment| segment.duration_ms as i64).sum::<i64>();
        let to_last_ms = now_ms - samples[0].dts_ms;
        prop_assert!(total_ms > to_last_ms && total_ms <= to_last_ms + JUMP_MS);

        let names: Vec<String> = (0..segments.len()).map(|n| format!("{n}.ts")).collect();
        let entries: Vec<_> =
            names.iter().zip(&segments).map(|(path, s)| Entry { path, segment: *s, init: None }).collect();
        let expected: Vec<_> =
            names.iter().zip(&segments).map(|(n, s)| (n.clone(), s.duration_ms, false)).collect();
        let header = Header::default();
        let target_s = Segmenter::new(&configs(), segment_ms, SegmentType::Ts).target_duration_s();
        for (text, is_ended) in [(vod(header, entries.clone()), true), (event(header, entries, target_s), false)] {
            let read = read(&text);
            prop_assert_eq!(&read.segments, &expected);
            prop_assert_eq!(read.is_ended, is_ended);
            prop_assert!(segments.iter().all(|s| (s.duration_ms + 500) / 1000 <= read.target_s));
        }
    }

    #[test]
    fn no_times_panic_and_every_segment_has_a_frame(
        times in prop::collection::vec((any::<bool>(), any::<i64>(), any::<bool>()), 1..60),
        segment_ms: u64,
    ) {
        let samples: Vec<_> = times
            .into_iter()
            .map(|(is_video, ms, key)| if is_video { video(ms, key) } else { audio(ms) })
            .collect();
        let (cuts, segments) = cut(&samples, segment_ms);
        prop_assert_eq!(cuts.len() + 1, segments.len());
        prop_assert!(segments.len() <= samples.len());
    }
}
