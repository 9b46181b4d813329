//! Recordings as fragmented MP4, planned and written as delivery does, and read by another
//! implementation: nothing lost, nothing twice, every time as it was sent.

use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::super::fragments::{FragmentWriter, Gathered};
use super::super::inits::InitPlanner;
use super::*;
use crate::media::mp4;
use crate::media::product_clock::{ProductClock, TimeRule};

const AVC_640: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// The same with another PPS.
const AVC_CHANGED: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc1\xfd\xf8\xf8\x00";
/// Length of `styp`.
const STYP: usize = 24;

/// 1 is video, 2 is video with other parameters, 3 is 1 again, 5 is damaged, 9 is audio.
fn configs() -> Configs {
    let mut configs = Configs::new();
    configs.insert(1, config(AVC_640));
    configs.insert(2, config(AVC_CHANGED));
    configs.insert(3, config(AVC_640));
    configs.insert(5, config(b"\x01\x64"));
    configs.insert(9, testing::config(Track::Audio, Codec::Aac, b"\x12\x10"));
    configs
}

/// One sample as the other implementation finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    segment: usize,
    is_video: bool,
    dts_ms: i64,
    pts_ms: i64,
    duration_ms: u32,
    is_sync: bool,
    /// The number of the sample in what was pushed.
    number: usize,
}

/// What a planner says when it has seen all.
struct InitPlan {
    inits: Vec<Vec<u8>>,
    /// Media segment, initialisation segment.
    maps: Vec<(u64, usize)>,
    shift_ms: i64,
    irregularities: mp4::Irregularities,
}

impl InitPlan {
    fn of(mut planner: InitPlanner, mut segments: u64) -> Result<Self, Error> {
        segments += u64::from(planner.finish()?.is_some());
        let mut inits: Vec<Vec<u8>> = Vec::new();
        for segment in 0..segments {
            let init = planner.init_of(segment).unwrap();
            if init.number == inits.len() {
                inits.push(planner.encode(&init)?);
            }
        }
        assert_eq!(inits.len(), planner.init_count());
        let map = |segment| Some((segment, planner.map_at(segment)?));
        Ok(InitPlan {
            inits,
            maps: (0..segments).filter_map(map).collect(),
            shift_ms: planner.shift_ms(),
            irregularities: planner.irregularities(),
        })
    }
}

struct Product {
    plan: InitPlan,
    segments: Vec<Segment>,
    seen: Vec<Seen>,
}

fn plan(sessions: &[Vec<Sample>], segment_ms: u64) -> Result<InitPlan, Error> {
    let mut planner = InitPlanner::new(&Configs::new(), segment_ms, 1_700_000_000);
    let mut segments = 0;
    for (number, samples) in sessions.iter().enumerate() {
        match number {
            0 => planner.set_configs(&configs()),
            _ => planner.next_session(&configs()),
        }
        for sample in samples {
            segments += u64::from(planner.push_with_frame(sample, &[])?.is_some());
        }
    }
    InitPlan::of(planner, segments)
}

/// Both walks over these sessions. The data of a sample are its number.
fn product(sessions: &[Vec<Sample>], segment_ms: u64) -> Product {
    let plan = plan(sessions, segment_ms).unwrap();
    let mut segmenter = Segmenter::new(&Configs::new(), segment_ms, SegmentType::Fmp4);
    let (mut gathered, mut open) = (Vec::new(), Vec::new());
    let mut number = 0;
    for (session, samples) in sessions.iter().enumerate() {
        match session {
            0 => segmenter.set_configs(&configs()),
            _ => segmenter.next_session(&configs()),
        }
        for sample in samples {
            if segmenter.takes(sample) {
                if let Some(segment) = segmenter.push(sample, false) {
                    gathered.push(Gathered { segment, samples: std::mem::take(&mut open) });
                }
                open.push((session, Sample { position: number, data_len: 8, ..*sample }));
            }
            number += 1;
        }
    }
    gathered.extend(segmenter.finish().map(|segment| Gathered { segment, samples: open }));

    let mut writer = FragmentWriter::new(plan.shift_ms);
    let mut seen = Vec::new();
    let mut init = None;
    for (segment, (now, next)) in
        gathered.iter().zip(gathered.iter().skip(1).map(Some).chain([None])).enumerate()
    {
        let map = plan.maps.iter().find(|(from, _)| *from == segment as u64);
        init = map.map(|(_, init)| *init).or(init);
        let mut bytes = writer.head(now, next).unwrap().split_off(STYP);
        for (_, sample) in now.in_data_order() {
            bytes.extend_from_slice(&sample.position.to_be_bytes());
        }
        let mut demuxer = Fmp4SegmentDemuxer::new();
        demuxer.handle_init_segment(&plan.inits[init.unwrap()]).unwrap();
        seen.extend(demuxer.handle_media_segment(&bytes).unwrap().iter().map(|sample| {
            let data = &bytes[sample.data_offset as usize..][..sample.data_size];
            let dts_ms = sample.timestamp as i64 - plan.shift_ms;
            Seen {
                segment,
                is_video: sample.track.track_id == 1,
                dts_ms,
                pts_ms: dts_ms + sample.composition_time_offset.unwrap(),
                duration_ms: sample.duration,
                is_sync: sample.keyframe,
                number: u64::from_be_bytes(data.try_into().unwrap()) as usize,
            }
        }));
    }
    Product { plan, segments: gathered.iter().map(|g| g.segment).collect(), seen }
}

impl Product {
    fn of(&self, is_video: bool) -> Vec<&Seen> {
        self.seen.iter().filter(|seen| seen.is_video == is_video).collect()
    }

    fn durations(&self, is_video: bool) -> Vec<u32> {
        self.of(is_video).iter().map(|seen| seen.duration_ms).collect()
    }

    fn maps(&self) -> Vec<(u64, usize)> {
        self.plan.maps.clone()
    }
}

fn with(config: u32, dts_ms: i64, keyframe: bool) -> Sample {
    Sample { config, ..video(dts_ms, keyframe) }
}

#[test]
fn sound_that_starts_late_is_announced_at_the_beginning() {
    let pictures = (0..200).map(|n| video(n * 40, n % 25 == 0));
    let sound = |v: &Sample| (v.dts_ms > 5000).then(|| audio(v.dts_ms));
    let samples = pictures.flat_map(|v| [Some(v), sound(&v)]).flatten().collect();
    let product = product(&[samples], 1000);
    assert_eq!((product.maps(), product.plan.inits.len()), (vec![(0, 0)], 1));
    assert_eq!((product.of(true).len(), product.of(false).len()), (200, 74));
    assert!(product.of(true).iter().all(|seen| seen.pts_ms == seen.dts_ms + 80));
    assert_eq!(product.durations(true), [40; 200]);
}

#[test]
fn other_parameters_have_their_own_initialisation_segment() {
    let samples = [(1, 0), (3, 1000), (2, 2000), (2, 3000), (5, 4000), (1, 5000)]
        .map(|(config, ms)| with(config, ms, true));
    let product = product(&[samples.to_vec()], 1000);
    // The same parameters need nothing, those that come back have theirs, the damaged ones leave
    // those before in force.
    assert_eq!(product.maps(), [(0, 0), (2, 1), (5, 0)]);
    assert_eq!(product.plan.inits.len(), 2);
    let marks: Vec<_> = product.segments.iter().map(|s| s.is_discontinuous).collect();
    assert_eq!(marks, [false, false, true, false, true, true]);
    assert_eq!(product.plan.irregularities.damaged_configs, 1);
    let first = plan(&[vec![with(5, 0, true)]], 1000);
    assert!(matches!(first, Err(Error::Mp4(mp4::Error::Config { .. }))));
}

#[test]
fn a_track_that_comes_after_a_discontinuity_is_announced_there() {
    let samples = vec![audio(0), audio(23), video(60_000, true), audio(60_001), audio(120_000)];
    let product = product(&[samples], 1000);
    // What only sound follows is described by what holds already.
    assert_eq!(product.maps(), [(0, 0), (1, 1)]);
    assert_eq!(product.segments.len(), 3);
}

#[test]
fn segments_join_and_sessions_do_not() {
    let session = |start_ms: i64| (0..3).map(|n| video(start_ms + n * 1000, true)).collect();
    let product = product(&[session(50_000), session(53_500), session(0)], 1000);
    // The last frame before a break lasts as long as the one before it.
    assert_eq!(product.durations(true), [1000; 9]);
    let times: Vec<_> = product.of(true).iter().map(|seen| seen.dts_ms).collect();
    let expected = [50_000, 51_000, 52_000, 53_500, 54_500, 55_500, 0, 1000, 2000];
    assert_eq!(times, expected, "no time base is touched");
    assert_eq!(product.plan.shift_ms, 0);
}

#[test]
fn steps_back_of_pictures_are_absorbed_and_counted_those_of_sound_a_discontinuity() {
    let samples = vec![video(100, true), video(140, false), video(120, false), video(180, false)];
    let sound = vec![audio(200), audio(190), audio(223)];
    let product = product(&[[samples, sound].concat()], 10_000);
    let times: Vec<_> = product.of(true).iter().map(|s| (s.dts_ms, s.pts_ms)).collect();
    assert_eq!(times, [(100, 180), (140, 220), (140, 200), (180, 260)]);
    assert_eq!(product.durations(true), [40, 0, 40, 40]);
    let times: Vec<_> = product.of(false).iter().map(|s| (s.dts_ms, s.pts_ms)).collect();
    assert_eq!(times, [(200, 200), (190, 190), (223, 223)]);
    let breaks: Vec<_> = product.segments.iter().map(|s| s.is_discontinuous).collect();
    assert_eq!(breaks, [false, true]);
    let seen = product.plan.irregularities;
    assert_eq!((seen.backward_steps, seen.moved_frames), (1, 0));
}

#[test]
fn no_time_is_negative() {
    let early = Sample { cts_ms: -100, ..video(0, true) };
    assert_eq!(product(&[vec![early, video(40, false)]], 1000).plan.shift_ms, 10_000);
    let lowest = Sample { cts_ms: -8_388_608, ..video(40, false) };
    let product = product(&[vec![video(0, true), lowest]], 1000);
    assert_eq!(product.plan.shift_ms, 8_388_568);
    assert_eq!(product.seen[1].pts_ms, 40 - 8_388_608);
}

#[test]
fn what_mp4_cannot_describe_is_counted_or_refused() {
    let early = Sample { config: 0, ..video(0, true) };
    let samples = vec![early, Sample { track_id: 1, ..video(10, true) }, video(40, true)];
    let product = product(&[samples], 1000);
    assert_eq!((product.seen.len(), product.seen[0].number), (1, 2));
    assert_eq!(product.plan.irregularities.undescribed_frames, 1);
    assert!(matches!(plan(&[vec![early]], 1000), Err(Error::Mp4(mp4::Error::Empty))));
    let legacy = Sample { codec: Codec::Legacy, ..audio(50) };
    let refused = plan(&[vec![video(40, true), legacy]], 1000).err().unwrap();
    assert!(matches!(refused, Error::Mp4(mp4::Error::Unsupported { .. })), "{refused}");
    let unknown = plan(&[vec![with(77, 0, true)]], 1000).err().unwrap();
    assert!(matches!(unknown, Error::Mp4(mp4::Error::NoConfig(77))), "{unknown}");
}

#[test]
fn the_data_of_both_tracks_take_turns() {
    let turns_of = |samples: &[Sample]| -> Vec<(Track, usize)> {
        let samples = samples.iter().map(|sample| (0, *sample)).collect();
        let gathered = Gathered { segment: segment(1, false), samples };
        let mut turns: Vec<(Track, usize)> = Vec::new();
        for (_, sample) in gathered.in_data_order() {
            match turns.last_mut() {
                Some((track, count)) if *track == sample.track => *count += 1,
                _ => turns.push((sample.track, 1)),
            }
        }
        turns
    };
    // Sound that runs on a clock of its own.
    let usual: Vec<Sample> =
        (0..60).flat_map(|n| [video(n * 40, n == 0), audio(9_000_000 + n * 40)]).collect();
    let (sound, pictures) = (Track::Audio, Track::Video);
    let expected =
        [(sound, 25), (pictures, 25), (sound, 25), (pictures, 25), (sound, 10), (pictures, 10)];
    assert_eq!(turns_of(&usual), expected);
    // What could not be told where it begins.
    let large: Vec<Sample> =
        usual.iter().map(|sample| Sample { data_len: 1 << 24, ..*sample }).collect();
    assert_eq!(turns_of(&large), [(sound, 60), (pictures, 60)]);
    // A step back does not end a turn, silence does not begin one.
    let odd: Vec<Sample> = [0, 900, 400, 1000, 1900, 2000].map(|ms| video(ms, ms == 0)).to_vec();
    assert_eq!(turns_of(&odd), [(pictures, 6)]);
    // A turn does not begin where a track stands still, be it the other one.
    let mut late: Vec<Sample> =
        (0..40).flat_map(|n| [audio(n * 40), video(n * 40, n == 0)]).collect();
    for sample in late.iter_mut().filter(|sample| sample.dts_ms >= 1000) {
        sample.dts_ms -= if sample.track == Track::Video { 200 } else { 0 };
    }
    // Pictures are at 960 again with the 31st of them.
    assert_eq!(turns_of(&late), [(sound, 30), (pictures, 30), (sound, 10), (pictures, 10)]);
}

#[test]
fn what_has_no_record_is_described_by_its_first_frame() {
    let mut planner = InitPlanner::new(&configs(), 1000, 0);
    let sound = |dts_ms| Sample { codec: Codec::Mp3, config: 0, ..audio(dts_ms) };
    assert!(planner.wants_frame(&sound(0)) && !planner.wants_frame(&video(0, true)));
    planner.push_with_frame(&sound(0), b"\xff\xfb\x90\x64").unwrap();
    assert!(planner.wants_frame(&sound(24)), "the next one may say another thing");
    planner.push_with_frame(&sound(24), b"\xff\xfb\x90\x64").unwrap();
    let plan = InitPlan::of(planner, 0).unwrap();
    assert_eq!(plan.maps, [(0, 0)]);
    let mut demuxer = Fmp4SegmentDemuxer::new();
    demuxer.handle_init_segment(&plan.inits[0]).unwrap();
    assert_eq!(demuxer.tracks().unwrap().len(), 1);
    let mut planner = InitPlanner::new(&configs(), 1000, 0);
    planner.push_with_frame(&sound(0), b"not a header").unwrap();
    let refused = planner.finish().unwrap_err();
    assert!(matches!(refused, Error::Mp4(mp4::Error::Undescribed(Codec::Mp3))), "{refused}");
}

proptest! {
    #[test]
    fn every_sample_is_there_once_with_its_times(
        steps in prop::collection::vec(
            (any::<bool>(), -300i64..700, -200i32..200, 0u8..20, 1u32..4), 1..300),
        breaks in prop::collection::vec(0usize..300, 0..3),
        segment_ms in 500u64..5000,
    ) {
        let mut now_ms = 70_000;
        let mut sessions = vec![Vec::new()];
        let mut config = 1;
        for (number, (is_video, step_ms, cts_ms, key, parameters)) in steps.into_iter().enumerate() {
            if breaks.contains(&number) {
                sessions.push(Vec::new());
                now_ms = 5_000_000 - now_ms;
            }
            now_ms += step_ms;
            if key == 0 {
                config = parameters;
            }
            sessions.last_mut().unwrap().push(match is_video {
                true => Sample { config, cts_ms, ..video(now_ms, key < 2) },
                false => audio(now_ms),
            });
        }
        sessions.retain(|samples| !samples.is_empty());
        let product = product(&sessions, segment_ms);
        let pushed = sessions.concat();

        for is_video in [true, false] {
            let track = if is_video { Track::Video } else { Track::Audio };
            let numbers: Vec<_> = product.of(is_video).iter().map(|seen| seen.number).collect();
            let expected: Vec<_> =
                (0..pushed.len()).filter(|number| pushed[*number].track == track).collect();
            prop_assert_eq!(numbers, expected);
        }
        for seen in &product.seen {
            let sent = &pushed[seen.number];
            prop_assert_eq!(seen.is_sync, sent.keyframe);
            prop_assert!(seen.dts_ms >= sent.dts_ms);
            if seen.is_video {
                prop_assert_eq!(seen.pts_ms, sent.pts_ms());
            }
        }
        // The clock that summaries are made with says the same.
        let mut clock = ProductClock::new(TimeRule::Fragmented);
        let mut segment = 0;
        for seen in &product.seen {
            if seen.segment != segment && product.segments[seen.segment].is_discontinuous {
                clock.restart();
            }
            segment = seen.segment;
            let times = clock.times(&pushed[seen.number], product.plan.shift_ms);
            let shift_ms = product.plan.shift_ms;
            prop_assert_eq!(times, (seen.pts_ms + shift_ms, seen.dts_ms + shift_ms));
        }
        for is_video in [true, false] {
            for pair in product.of(is_video).windows(2) {
                let (before, now) = (pair[0], pair[1]);
                if now.segment <= before.segment + 1
                    && (now.segment == before.segment || !product.segments[now.segment].is_discontinuous)
                {
                    prop_assert_eq!(before.dts_ms + i64::from(before.duration_ms), now.dts_ms);
                    let sent = &pushed[now.number];
                    prop_assert_eq!(now.dts_ms, sent.dts_ms.max(before.dts_ms));
                } else if product.segments[now.segment].is_discontinuous {
                    prop_assert_eq!(now.dts_ms, pushed[now.number].dts_ms);
                }
            }
        }
    }
}
