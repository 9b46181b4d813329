//! Streams are taken apart again packet by packet and compared with what was written.

mod parse;

use proptest::prelude::*;

use self::parse::{Parsed, parse};
use super::*;
use crate::media::testing::{config, frame};

const AVC: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x04\x67\x64\x00\x1e\x01\x00\x03\x68\xeb\xe3";
const AVC_PREFIX: &[u8] = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67\x64\x00\x1e\0\0\0\x01\x68\xeb\xe3";
const DELIMITER: &[u8] = b"\0\0\0\x01\x09\xf0";

fn configs() -> Configs {
    let mut configs = Configs::new();
    configs.insert(1, config(Track::Video, Codec::H264, AVC));
    configs.insert(2, config(Track::Audio, Codec::Aac, b"\x12\x10"));
    configs.insert(3, config(Track::Video, Codec::H264, b"\x01"));
    configs
}

fn video(dts_ms: i64, cts_ms: i32, keyframe: bool, data: &[u8]) -> Sample {
    let data_len = data.len() as u32;
    Sample { tag_len: 0, data_len, cts_ms, keyframe, ..frame(Track::Video, dts_ms) }
}

fn audio(dts_ms: i64, data: &[u8]) -> Sample {
    let sample = video(dts_ms, 0, true, data);
    Sample { config: 2, track: Track::Audio, codec: Codec::Aac, ..sample }
}

/// A frame of one NAL unit.
fn slice(kind: u8, len: usize) -> Vec<u8> {
    let mut data = (len as u32 + 1).to_be_bytes().to_vec();
    data.push(kind);
    data.extend((0..len).map(|b| b as u8 | 1));
    data
}

fn mux(samples: &[(Sample, Vec<u8>)], offset_ms: i64) -> Vec<u8> {
    let mut muxer = TsMuxer::new(&configs(), offset_ms);
    let mut streams = Streams::default();
    samples.iter().for_each(|(sample, _)| streams.observe(sample));
    let mut out = Vec::new();
    muxer.begin_segment(streams, &mut out);
    for (sample, data) in samples {
        muxer.write_sample(sample, data, &mut out).unwrap();
    }
    out
}

#[test]
fn a_keyframe_a_b_frame_and_sound() {
    let key = slice(0x65, 70_000);
    let other = slice(0x41, 500);
    let sound = vec![0x21; 300];
    let samples = [
        (video(0, 80, true, &key), key.clone()),
        (audio(5, &sound), sound.clone()),
        (video(40, 40, false, &other), other.clone()),
        (video(80, -8, false, &other), other.clone()),
    ];
    let parsed = parse(&mux(&samples, 10_000));
    assert_eq!(parsed.maps, [(4, vec![(0x1b, PID_VIDEO), (0x0f, PID_AUDIO)])]);
    let seen: Vec<_> =
        parsed.pes.iter().map(|p| (p.pid, p.pts, p.dts, p.is_random_access)).collect();
    assert_eq!(
        seen,
        [
            (PID_VIDEO, 907_200, 900_000, true),
            (PID_AUDIO, 900_450, 900_450, false),
            (PID_VIDEO, 907_200, 903_600, false),
            (PID_VIDEO, 906_480, 907_200, false),
        ]
    );
    assert_eq!(parsed.pes[0].payload, [AVC_PREFIX, b"\0\0\0\x01", &key[4..]].concat());
    let adts = b"\xff\xf1\x50\x80\x26\x7f\xfc";
    assert_eq!(parsed.pes[1].payload, [&adts[..], &sound].concat());
    assert_eq!(parsed.pes[2].payload, [DELIMITER, b"\0\0\0\x01", &other[4..]].concat());
    let clocks: Vec<_> = parsed.clocks.iter().map(|c| (c.0, c.1, c.2)).collect();
    assert_eq!(
        clocks,
        [(PID_VIDEO, 837_000, false), (PID_VIDEO, 840_600, false), (PID_VIDEO, 844_200, false)]
    );
}

#[test]
fn sound_alone_carries_the_clock() {
    let sound = vec![7; 10];
    let samples: Vec<_> = (0..5).map(|n| (audio(20_000 + n * 23, &sound), sound.clone())).collect();
    let parsed = parse(&mux(&samples, 0));
    assert_eq!(parsed.maps, [(1, vec![(0x0f, PID_AUDIO)])]);
    assert!(parsed.pes.iter().all(|pes| pes.is_random_access));
    assert_eq!(parsed.clocks.len(), 5);
    assert_eq!(parsed.clocks[1], (PID_AUDIO, (20_023 - 700) * 90, false, 1));
}

#[test]
fn the_clock_goes_on_while_there_is_no_picture() {
    let (key, sound) = (slice(0x65, 50), vec![7; 10]);
    let mut samples = vec![(video(0, 0, true, &key), key.clone())];
    samples.extend((1..20).map(|n| (audio(n * 23, &sound), sound.clone())));
    samples.push((video(430, 0, false, &key), key.clone()));
    samples.push((video(30_000, 0, true, &key), key.clone()));
    samples.push((video(20_000, 0, true, &key), key.clone()));
    let parsed = parse(&mux(&samples, 10_000));
    assert!(parsed.clocks.iter().all(|clock| clock.0 == PID_VIDEO));
    let ms: Vec<_> = parsed.clocks.iter().map(|c| (c.1 / 90 - 9300, c.2)).collect();
    // At 430 the clock already stands at 437 - 700.
    let expected = [0, 115, 230, 345].map(|ms| (ms, false));
    assert_eq!(ms[..4], expected);
    assert_eq!(ms[4..], [(430, false), (30_000, true), (20_000, true)]);
}

#[test]
fn a_stream_that_turns_up_late_gets_its_tables() {
    let (key, sound) = (slice(0x65, 50), vec![7; 10]);
    let mut muxer = TsMuxer::new(&configs(), 0);
    let mut out = Vec::new();
    muxer.begin_segment(Streams { video: Some(Codec::H264), audio: None }, &mut out);
    muxer.write_sample(&video(0, 0, true, &key), &key, &mut out).unwrap();
    muxer.write_sample(&audio(0, &sound), &sound, &mut out).unwrap();
    let mp3 = Sample { codec: Codec::Mp3, config: 0, ..audio(23, &sound) };
    muxer.write_sample(&mp3, &sound, &mut out).unwrap();
    let parsed = parse(&out);
    let versions: Vec<_> = parsed.maps.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [3, 4, 5]);
    assert_eq!(parsed.maps[2].1, [(0x1b, PID_VIDEO), (0x03, PID_MP3)]);
    assert_eq!(parsed.pes[2].payload, sound, "mp3 frames have headers of their own");
}

#[test]
fn a_segment_written_again_is_the_same() {
    let (key, sound) = (slice(0x65, 999), vec![7; 200]);
    let streams = Streams { video: Some(Codec::H264), audio: Some(Codec::Aac) };
    let write = |muxer: &mut TsMuxer, start_ms: i64| {
        let mut out = Vec::new();
        muxer.begin_segment(streams, &mut out);
        for ms in (start_ms..start_ms + 400).step_by(40) {
            muxer.write_sample(&video(ms, 0, ms == start_ms, &key), &key, &mut out).unwrap();
            muxer.write_sample(&audio(ms + 3, &sound), &sound, &mut out).unwrap();
        }
        out
    };
    let mut muxer = TsMuxer::new(&configs(), 0);
    let first = write(&mut muxer, 0);
    let counters = muxer.counters();
    let second = write(&mut muxer, 400);
    let mut parsed = Parsed::default();
    parsed.read(&first);
    parsed.read(&second);
    let mut resumed = TsMuxer::new(&configs(), 0);
    resumed.set_counters(Counters::from_bytes(counters.to_bytes()));
    assert_eq!(write(&mut resumed, 400), second);
}

#[test]
fn frames_without_a_readable_configuration() {
    let key = slice(0x65, 5);
    for config in [0, 3] {
        let mut configs = configs();
        if config == 3 {
            configs = Configs::new();
            configs.insert(3, self::config(Track::Video, Codec::H264, b"\x01"));
        }
        let mut muxer = TsMuxer::new(&configs, 0);
        let mut out = Vec::new();
        muxer.write_sample(&Sample { config, ..video(0, 0, true, &key) }, &key, &mut out).unwrap();
        let expected = [DELIMITER, b"\0\0\0\x01", &key[4..]].concat();
        assert_eq!(parse(&out).pes[0].payload, expected);
        assert_eq!(muxer.malformed_frames(), 0);
    }
    // A damaged one leaves the one before it in force.
    let mut muxer = TsMuxer::new(&configs(), 0);
    let mut out = Vec::new();
    muxer.write_sample(&Sample { config: 3, ..video(0, 0, true, &key) }, &key, &mut out).unwrap();
    assert!(parse(&out).pes[0].payload.starts_with(AVC_PREFIX));
    let broken = b"\0\0\0\x09\x65";
    muxer.write_sample(&video(40, 0, true, broken), broken, &mut out).unwrap();
    assert_eq!(parse(&out).pes[1].payload, b"\0\0\0\x01\0\0\0\x09\x65");
    assert_eq!(muxer.malformed_frames(), 1);
    let early = Sample { config: 0, ..audio(0, &key) };
    assert!(!takes(&early));
    let before = out.len();
    muxer.write_sample(&early, &key, &mut out).unwrap();
    assert_eq!(out.len(), before);
}

#[test]
fn says_what_it_cannot_carry() {
    let mut muxer = TsMuxer::new(&configs(), 0);
    let mut out = Vec::new();
    let opus = Sample { codec: Codec::Opus, ..audio(0, b"x") };
    assert!(!takes(&opus));
    let error = muxer.write_sample(&opus, b"x", &mut out).unwrap_err();
    assert_eq!(error.to_string(), "mpeg-ts cannot carry opus: its sound must be aac or mp3");
    let huge = vec![0; 9000];
    assert!(!takes(&audio(0, &huge)));
    muxer.write_sample(&audio(0, &huge), &huge, &mut out).unwrap();
    assert!(out.is_empty());
    assert_eq!(unsupported(&[Codec::Hevc, Codec::Mp3]), None);
    assert!(unsupported(&[Codec::H264, Codec::Av1]).is_some());
}

#[test]
fn the_offset_is_for_low_starts() {
    assert_eq!(offset_ms(&[]), START_OFFSET_MS);
    assert_eq!(offset_ms(&[video(20_000, 0, true, b"x"), audio(10_699, b"x")]), START_OFFSET_MS);
    assert_eq!(offset_ms(&[video(20_000, 0, true, b"x"), audio(10_700, b"x")]), 0);
    assert_eq!(offset_ms(&[video(20_000, -15_000, true, b"x")]), START_OFFSET_MS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_frame_comes_back_with_its_times(
        start in any::<i32>(),
        steps in prop::collection::vec(
            (any::<bool>(), -300i64..3000, -500i32..500, any::<bool>(), 1usize..3000),
            1..80,
        ),
        offset in prop::sample::select(vec![0, START_OFFSET_MS]),
    ) {
        let mut now_ms = i64::from(start) * 1000;
        let samples: Vec<_> = steps
            .into_iter()
            .map(|(is_video, step_ms, cts_ms, keyframe, len)| {
                now_ms += step_ms;
                if is_video {
                    let data = slice(if keyframe { 0x65 } else { 0x41 }, len);
                    (video(now_ms, cts_ms, keyframe, &data), data)
                } else {
                    (audio(now_ms, &vec![1; len]), vec![1; len])
                }
            })
            .collect();
        let parsed = parse(&mux(&samples, offset));
        prop_assert_eq!(parsed.pes.len(), samples.len());
        let units = |ms: i64| ((ms + offset) * 90) as u64 & 0x1_ffff_ffff;
        let first = samples.iter().position(|(sample, _)| sample.track == Track::Video);
        for (index, ((sample, data), pes)) in samples.iter().zip(&parsed.pes).enumerate() {
            prop_assert_eq!((pes.pts, pes.dts), (units(sample.pts_ms()), units(sample.dts_ms)));
            let (prefix, body) = if sample.track == Track::Audio {
                prop_assert_eq!(pes.payload.len(), data.len() + 7);
                (&pes.payload[..7], data.as_slice())
            } else {
                let has_sets = sample.keyframe || first == Some(index);
                let prefix = if has_sets { AVC_PREFIX } else { DELIMITER };
                prop_assert!(pes.payload.starts_with(prefix));
                (prefix, &data[4..])
            };
            prop_assert!(pes.payload[prefix.len()..].ends_with(body));
        }
        // Every frame finds a clock that is not ahead of it, or one that says it has jumped.
        let mut clocks = parsed.clocks.iter().peekable();
        let mut last = None;
        for (index, (sample, _)) in samples.iter().enumerate() {
            while let Some(clock) = clocks.next_if(|clock| clock.3 <= index) {
                let forward = last.is_none_or(|last| clock.1.wrapping_sub(last) & 0x1_ffff_ffff < 1 << 32);
                prop_assert!(forward || clock.2);
                last = Some(clock.1);
            }
            let ahead = units(sample.dts_ms).wrapping_sub(last.unwrap()) & 0x1_ffff_ffff;
            prop_assert!(ahead < 1 << 32, "clock ahead of {:?}", sample);
        }
    }
}
