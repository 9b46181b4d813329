//! Cuts at the places the rules name, and nowhere else.

use super::*;
use crate::media::testing;

fn sample(track: Track, dts_ms: i64, keyframe: bool) -> Sample {
    Sample { keyframe: keyframe || track == Track::Audio, ..testing::frame(track, dts_ms) }
}

fn clock(wall_ms: i64) -> Sample {
    Sample { kind: SampleKind::Clock, dts_ms: wall_ms, ..sample(Track::Script, 0, false) }
}

/// dts of the samples before which a cut was made.
fn cuts(cutter: &mut Cutter, samples: &[Sample]) -> Vec<(i64, CutReason)> {
    samples.iter().filter_map(|s| cutter.push(s).map(|r| (s.dts_ms, r))).collect()
}

#[test]
fn cuts_at_the_first_key_frame_at_or_after_the_interval() {
    let mut cutter = Cutter::new(Container::Flv, 60, 0);
    let stream: Vec<_> = (0..2000).map(|i| sample(Track::Video, i * 100, i % 70 == 0)).collect();
    let at: Vec<_> = cuts(&mut cutter, &stream).into_iter().map(|c| c.0).collect();
    assert_eq!(at, [63_000, 126_000, 189_000]);
}

#[test]
fn audio_does_not_cut_while_there_are_pictures() {
    let mut cutter = Cutter::new(Container::Mp4, 60, 0);
    let mut stream = vec![sample(Track::Video, 0, true)];
    stream.extend((0..3000).map(|i| sample(Track::Audio, i * 23, true)));
    assert!(cuts(&mut cutter, &stream).is_empty());
    assert_eq!(cutter.push(&sample(Track::Video, 69_000, true)), Some(CutReason::Interval));
}

#[test]
fn audio_alone_cuts_at_any_frame() {
    let mut cutter = Cutter::new(Container::Aac, 60, 0);
    let stream: Vec<_> = (0..3000).map(|i| sample(Track::Audio, i * 23, true)).collect();
    assert_eq!(cuts(&mut cutter, &stream), [(60_007, CutReason::Interval)]);
}

#[test]
fn a_jump_counts_as_wall_time() {
    let mut cutter = Cutter::new(Container::Flv, 60, 1_000_000);
    let stream = [
        sample(Track::Video, 0, true),
        clock(1_002_000),
        sample(Track::Video, 10_800_000, true),
        sample(Track::Video, 10_801_000, true),
    ];
    assert!(cuts(&mut cutter, &stream).is_empty());
    assert_eq!(cutter.video.elapsed_ms, 3_000);
}

#[test]
fn only_mp4_ends_at_steps_back_and_codec_changes() {
    let mut other_codec = sample(Track::Video, 50, true);
    other_codec.codec = Codec::Hevc;
    let stream = [
        sample(Track::Audio, 100, true),
        sample(Track::Audio, 90, true),
        sample(Track::Video, 20_000, true),
        sample(Track::Video, 10_000, true),
        sample(Track::Video, -1, true),
        other_codec,
    ];
    assert_eq!(
        cuts(&mut Cutter::new(Container::Mp4, 600, 0), &stream),
        [(90, CutReason::StepBack), (-1, CutReason::StepBack), (50, CutReason::CodecChange)]
    );
    assert!(cuts(&mut Cutter::new(Container::Flv, 600, 0), &stream).is_empty());
}

#[test]
fn hls_is_never_cut() {
    let mut cutter = Cutter::new(Container::Hls, 60, 0);
    let stream: Vec<_> = (0..5000).map(|i| sample(Track::Video, i * 100, true)).collect();
    assert!(cuts(&mut cutter, &stream).is_empty());
}

#[test]
fn a_session_that_goes_on_is_not_compared_with_the_one_before() {
    for container in Container::ALL {
        let mut cutter = Cutter::new(container, 60, 1_000_000);
        let first = [
            sample(Track::Video, 3_600_000, true),
            sample(Track::Audio, 3_600_000, true),
            sample(Track::Video, 3_601_000, true),
        ];
        assert!(cuts(&mut cutter, &first).is_empty());
        cutter.begin_session(1_021_000, 20_000);
        assert!(!cutter.has_frames_of_session());
        // Far behind the clock of the session before, and later far ahead of it.
        let second = [
            sample(Track::Audio, 0, true),
            sample(Track::Video, 0, true),
            sample(Track::Video, 1_000, true),
        ];
        assert!(cuts(&mut cutter, &second).is_empty(), "{container}");
        assert!(cutter.has_frames_of_session());
        assert_eq!(cutter.video.elapsed_ms, 1_000 + 20_000 + 1_000, "the gap is time too");
        cutter.begin_session(1_050_000, 10_000);
        assert!(cuts(&mut cutter, &[sample(Track::Audio, 9_000_000, true)]).is_empty());
        assert_eq!(cutter.audio.elapsed_ms, 32_000);
    }
}

#[test]
fn the_interval_is_reached_in_a_gap() {
    let mut cutter = Cutter::new(Container::Flv, 60, 0);
    assert!(cuts(&mut cutter, &[sample(Track::Video, 0, true)]).is_empty());
    cutter.begin_session(70_000, 70_000);
    let second = [sample(Track::Video, 5, false), sample(Track::Video, 10, true)];
    assert_eq!(cuts(&mut cutter, &second), [(10, CutReason::Interval)]);
}

#[test]
fn another_codec_after_a_gap_cuts_whatever_the_container() {
    let config =
        |track, codec| Sample { kind: SampleKind::Config, codec, ..sample(track, 7, false) };
    for container in Container::ALL {
        let first = [sample(Track::Audio, 0, true), sample(Track::Video, 0, true)];
        let resumed = || {
            let mut cutter = Cutter::new(container, 60, 0);
            assert!(cuts(&mut cutter, &first).is_empty());
            cutter.begin_session(5_000, 5_000);
            cutter
        };
        let other = [config(Track::Video, Codec::Hevc)];
        assert_eq!(cuts(&mut resumed(), &other), [(7, CutReason::OtherCodec)], "{container}");
        // Without a configuration the first frame tells.
        let mut frame = sample(Track::Audio, 9, true);
        frame.codec = Codec::Opus;
        assert_eq!(cuts(&mut resumed(), &[frame]), [(9, CutReason::OtherCodec)], "{container}");
        let same = [config(Track::Video, Codec::H264), config(Track::Audio, Codec::Aac)];
        let mut cutter = resumed();
        assert!(cuts(&mut cutter, &same).is_empty());
        assert!(cuts(&mut cutter, &first).is_empty());
        // A session without the track keeps it in mind for the next one.
        let mut cutter = resumed();
        cutter.begin_session(9_000, 1_000);
        assert_eq!(cuts(&mut cutter, &other), [(7, CutReason::OtherCodec)], "{container}");
        // Nothing is left to compare with once the new file has begun.
        assert!(cuts(&mut cutter, &[config(Track::Audio, Codec::Opus)]).is_empty());
    }
}

/// A further sample of the message at `position`, or its first one.
fn in_message(position: u64, is_first: bool, sample: Sample) -> Sample {
    Sample { position, tag_len: if is_first { 30 } else { 0 }, ..sample }
}

fn other(track: Track, track_id: u8, dts_ms: i64, keyframe: bool) -> Sample {
    Sample { track_id, ..sample(track, dts_ms, keyframe) }
}

/// Messages with track 1 before the default track, 100 ms apart.
fn default_last(track: Track, range: std::ops::Range<i64>) -> Vec<Sample> {
    let message = |i: i64| {
        let (position, is_key) = (i as u64 * 100, i % 70 == 0);
        [
            in_message(position, true, other(track, 1, i * 100, is_key)),
            in_message(position, false, sample(track, i * 100, is_key)),
        ]
    };
    range.flat_map(message).collect()
}

#[test]
fn the_default_track_counts_wherever_it_stands_in_its_message() {
    for container in [Container::Flv, Container::Mp4] {
        let mut cutter = Cutter::new(container, 60, 0);
        let at = cuts(&mut cutter, &default_last(Track::Video, 0..1300));
        assert_eq!(at, [(63_000, CutReason::Interval), (126_000, CutReason::Interval)]);
    }
    for container in [Container::Flv, Container::Mp4, Container::Aac] {
        let mut cutter = Cutter::new(container, 60, 0);
        let at = cuts(&mut cutter, &default_last(Track::Audio, 0..1250));
        assert_eq!(at, [(60_000, CutReason::Interval), (120_000, CutReason::Interval)]);
    }
}

#[test]
fn a_codec_change_is_seen_wherever_it_stands_in_its_message() {
    let mut stream = default_last(Track::Video, 0..70);
    stream.extend(default_last(Track::Video, 70..140).into_iter().map(|sample| {
        let codec = if sample.track_id == 0 { Codec::Hevc } else { sample.codec };
        Sample { codec, ..sample }
    }));
    let mut cutter = Cutter::new(Container::Mp4, 600, 0);
    assert_eq!(cuts(&mut cutter, &stream), [(7_000, CutReason::CodecChange)]);
}

#[test]
fn a_message_is_never_parted() {
    let mut hevc = sample(Track::Video, 0, true);
    hevc.codec = Codec::Hevc;
    let stream = [
        in_message(0, true, sample(Track::Video, 0, true)),
        in_message(0, false, hevc),
        in_message(40, true, hevc),
        in_message(40, false, sample(Track::Video, 40, true)),
    ];
    let mut cutter = Cutter::new(Container::Mp4, 600, 0);
    assert_eq!(cuts(&mut cutter, &stream), [(0, CutReason::CodecChange)], "the second message");
    // Not twice at one place, where another track has cut already.
    let mut cutter = Cutter::new(Container::Flv, 60, 0);
    let old = [sample(Track::Video, 0, true)];
    assert!(cuts(&mut cutter, &old).is_empty());
    cutter.begin_session(200_000, 200_000);
    let back = [in_message(7, true, other(Track::Video, 1, 0, true)), in_message(7, false, hevc)];
    assert_eq!(cuts(&mut cutter, &back).len(), 1);
}

#[test]
fn other_tracks_lead_where_the_default_track_has_ended() {
    // Faster than real time; without sound.
    let stream: Vec<_> = (0..2000)
        .flat_map(|i| {
            let is_key = i % 50 == 0;
            let default = (i < 200).then(|| sample(Track::Video, i * 100, is_key));
            let others = [2, 1].map(|id| other(Track::Video, id, i * 100, is_key));
            default.into_iter().chain(others)
        })
        .collect();
    let at = cuts(&mut Cutter::new(Container::Flv, 60, 0), &stream);
    assert_eq!(at, [(80_000, CutReason::Interval), (140_000, CutReason::Interval)]);
    // MP4 has nothing of them.
    assert!(cuts(&mut Cutter::new(Container::Mp4, 60, 0), &stream).is_empty());
    // Without a default track they lead from the beginning.
    let alone: Vec<_> = stream.iter().filter(|sample| sample.track_id != 0).copied().collect();
    let at = cuts(&mut Cutter::new(Container::Flv, 60, 0), &alone);
    let every = [60_000, 120_000, 180_000].map(|dts_ms| (dts_ms, CutReason::Interval));
    assert_eq!(at, every);
}

#[test]
fn other_tracks_do_not_cut_beside_the_default_track() {
    // Its key frames lie elsewhere.
    let stream: Vec<_> = (0..2000)
        .flat_map(|i| {
            [
                sample(Track::Video, i * 100, i % 100 == 50),
                other(Track::Video, 1, i * 100, i % 10 == 0),
                other(Track::Audio, 1, i * 100, true),
            ]
        })
        .collect();
    let at: Vec<_> = cuts(&mut Cutter::new(Container::Flv, 60, 0), &stream)
        .into_iter()
        .map(|cut| cut.0)
        .collect();
    assert_eq!(at, [65_000, 125_000, 185_000]);
}

#[test]
fn sound_alone_of_another_track_is_cut_anywhere() {
    let stream: Vec<_> = (0..900).map(|i| other(Track::Audio, 3, i * 100, true)).collect();
    let at = cuts(&mut Cutter::new(Container::Flv, 60, 0), &stream);
    assert_eq!(at, [(60_000, CutReason::Interval)]);
}

#[test]
fn a_configuration_alone_does_not_say_that_the_codec_is_the_same() {
    let config =
        |codec| Sample { kind: SampleKind::Config, codec, ..sample(Track::Video, 7, false) };
    for container in Container::ALL {
        let mut cutter = Cutter::new(container, 60, 0);
        assert!(cuts(&mut cutter, &[sample(Track::Video, 0, true)]).is_empty());
        cutter.begin_session(5_000, 5_000);
        let stale = [config(Codec::H264)];
        assert!(cuts(&mut cutter, &stale).is_empty());
        let hevc = Sample { codec: Codec::Hevc, ..sample(Track::Video, 9, true) };
        assert_eq!(cuts(&mut cutter, &[hevc]), [(9, CutReason::OtherCodec)], "{container}");
    }
}
