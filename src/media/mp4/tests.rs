//! Files are taken apart again by `mp4-atom` and compared sample by sample with what was pushed.

mod codecs;
mod golden;
mod large;
mod read;
mod second;
mod times;

use mp4_atom::{Decode, Ftyp};
use proptest::prelude::*;

use self::read::{moov, seen, shift_ms, top_level};
use super::*;
use crate::media::config::Configs;
use crate::media::product_clock::{ProductClock, TimeRule};
use crate::media::sample::{SampleKind, Track};
use crate::media::testing::{self, config};

const AVC_640: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// The same with another PPS: parameters changed, size did not.
const AVC_CHANGED: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc1\xfd\xf8\xf8\x00";
const AAC_44100: &[u8] = b"\x12\x10";

/// 1 is video, 2 is audio, 3 is video with other parameters, 4 is 1 again, 5 is damaged.
fn configs() -> Configs {
    let mut configs = Configs::new();
    configs.insert(1, config(Track::Video, Codec::H264, AVC_640));
    configs.insert(2, config(Track::Audio, Codec::Aac, AAC_44100));
    configs.insert(3, config(Track::Video, Codec::H264, AVC_CHANGED));
    configs.insert(4, config(Track::Video, Codec::H264, AVC_640));
    configs.insert(5, config(Track::Video, Codec::H264, b"\x01\x64"));
    configs
}

fn video(dts_ms: i64, cts_ms: i32, keyframe: bool, data_len: u32) -> Sample {
    let tag_len = data_len.saturating_add(20);
    Sample { tag_len, data_len, cts_ms, keyframe, ..testing::frame(Track::Video, dts_ms) }
}

fn audio(dts_ms: i64, data_len: u32) -> Sample {
    Sample {
        config: 2,
        track: Track::Audio,
        codec: Codec::Aac,
        data_offset: 13,
        ..video(dts_ms, 0, true, data_len)
    }
}

/// A layout whose head and tail were read.
#[derive(Debug)]
struct Mp4File {
    head: Vec<u8>,
    tail: Vec<u8>,
    body_len: u64,
    total_len: u64,
    duration_ms: u64,
    start_ms: i64,
    left_out: Vec<Track>,
    irregularities: Irregularities,
}

impl From<Mp4Layout> for Mp4File {
    fn from(layout: Mp4Layout) -> Self {
        let lens = (layout.head.len(), layout.tail.len());
        let (head, tail) = (layout.head.read_all().to_vec(), layout.tail.read_all().to_vec());
        assert_eq!(lens, (head.len() as u64, tail.len() as u64), "as long as it was said to be");
        Self {
            head,
            tail,
            body_len: layout.body_len,
            total_len: layout.total_len,
            duration_ms: layout.duration_ms,
            start_ms: layout.start_ms,
            left_out: layout.left_out,
            irregularities: layout.irregularities,
        }
    }
}

impl Mp4File {
    fn is_moov_last(&self) -> bool {
        !self.tail.is_empty()
    }
}

fn layout_of(samples: &[Sample], reserve: Option<u64>) -> Mp4File {
    let mut builder = Mp4Builder::new(&configs(), 1_700_000_000);
    samples.iter().for_each(|sample| builder.push(sample).unwrap());
    builder.finish(reserve).unwrap().into()
}

/// Checks everything that holds for any file.
fn check(samples: &[Sample], layout: &Mp4File) {
    second::agree(layout);
    let moov = moov(layout);
    let base = layout.head.len() as u64;
    let mut place = base;
    let placed: Vec<(Sample, u64)> = samples
        .iter()
        .filter(|sample| takes(sample))
        .map(|sample| {
            place += u64::from(sample.data_len);
            (*sample, place - u64::from(sample.data_len))
        })
        .collect();
    assert_eq!(layout.body_len, place - base);
    assert_eq!(layout.total_len, place + layout.tail.len() as u64);
    let boxes = top_level(&layout.head);
    let (kind, start, header, size) = boxes.last().unwrap();
    assert_eq!(kind, "mdat");
    assert_eq!(start + header + size, place);
    assert_eq!(layout.duration_ms, moov.mvhd.duration);
    assert_eq!(moov.mvhd.next_track_id as usize, moov.trak.len() + 1);
    let mut count = 0;
    for (trak, id) in moov.trak.iter().zip(1..) {
        assert_eq!(trak.tkhd.track_id, id);
        let edits = &trak.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
        let end_ms: u64 = edits.iter().map(|e| e.segment_duration).sum();
        assert_eq!(trak.tkhd.duration, end_ms);
        assert!(moov.mvhd.duration >= end_ms);
        let track = if trak.tkhd.volume.integer() == 1 { Track::Audio } else { Track::Video };
        let ours = placed.iter().filter(|(sample, _)| sample.track == track);
        let mut first_dts_ms = None;
        let mut clock = ProductClock::new(TimeRule::Mp4);
        let seen = seen(trak);
        count += seen.len();
        for ((sample, offset), seen) in ours.zip(&seen) {
            assert_eq!((seen.offset, seen.size), (*offset, sample.data_len));
            assert_eq!(seen.pts_ms, sample.pts_ms() - layout.start_ms);
            let first_dts_ms = *first_dts_ms.get_or_insert(seen.dts_ms);
            let times_ms = (seen.pts_ms, seen.dts_ms - first_dts_ms);
            assert_eq!(times_ms, clock.times(sample, -layout.start_ms), "as it is hashed");
            assert!(seen.dts_ms <= seen.pts_ms, "nothing is presented before it is decoded");
            let early_ms = layout.irregularities.early_decode_ms as i64;
            assert!(seen.dts_ms >= sample.dts_ms - layout.start_ms - early_ms);
            assert_eq!(seen.is_sync, sample.keyframe);
            assert!(seen.pts_ms < end_ms as i64, "every sample is presented before the end");
            // Config 4 says the same as 1.
            assert_eq!(seen.entry, if sample.config == 3 { 2 } else { 1 });
        }
    }
    assert_eq!(count, placed.len());
}

#[test]
fn b_frames_and_a_late_audio_track() {
    let samples = [
        video(5000, 80, true, 900),
        video(5040, 160, false, 300),
        video(5080, 80, false, 100),
        audio(5103, 40),
        audio(5126, 41),
        video(5120, 0, false, 90),
        video(5160, 40, false, 120),
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!((layout.start_ms, layout.duration_ms), (5080, 160));
    assert_eq!(layout.irregularities, Irregularities::default());
    let moov = moov(&layout);
    let [video, audio] = moov.trak.as_slice() else { panic!() };
    assert_eq!((shift_ms(video), shift_ms(audio)), (-80, 23));
    assert_eq!((video.tkhd.width.integer(), video.tkhd.height.integer()), (640, 360));
    assert_eq!(video.mdia.minf.stbl.stss.as_ref().unwrap().entries, [1]);
    assert_eq!(audio.mdia.minf.stbl.stss, None);
    assert_eq!(audio.mdia.minf.stbl.ctts, None);
    assert_eq!(video.mdia.minf.stbl.stco.as_ref().unwrap().entries.len(), 2);
    assert_eq!(moov.mvhd.creation_time, 1_700_000_000 + 2_082_844_800);
    let ftyp = Ftyp::decode(&mut layout.head.as_slice()).unwrap();
    assert!(ftyp.compatible_brands.contains(&b"avc1".into()));
}

#[test]
fn boxes_lie_in_the_customary_order() {
    let layout = layout_of(&[video(0, 0, true, 10), audio(0, 10), video(40, 0, false, 10)], None);
    let text: Vec<&[u8]> = vec![
        b"ftyp", b"moov", b"mvhd", b"tkhd", b"edts", b"mdhd", b"hdlr", b"vmhd", b"dref", b"stsd",
        b"avcC", b"stts", b"stss", b"stsz", b"stsc", b"stco", b"smhd", b"mp4a", b"esds", b"mdat",
    ];
    let mut rest = layout.head.as_slice();
    for kind in text {
        let at = rest.windows(4).position(|w| w == kind);
        rest = &rest[at.unwrap_or_else(|| panic!("{kind:?} missing"))..];
    }
    // The encoder's own records, byte for byte.
    for record in [AVC_640, b"\x05\x02\x12\x10"] {
        assert!(layout.head.windows(record.len()).any(|w| w == record));
    }
}

#[test]
fn parameters_that_change_get_a_sample_entry() {
    let mut samples = Vec::new();
    for (index, config) in [1, 1, 3, 3, 4, 5, 5].into_iter().enumerate() {
        samples.push(Sample { config, ..video(index as i64 * 40, 0, true, 10) });
    }
    let layout = layout_of(&samples, None);
    let moov = moov(&layout);
    assert_eq!(moov.trak[0].mdia.minf.stbl.stsd.codecs.len(), 2);
    let entries: Vec<u32> = seen(&moov.trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!(entries, [1, 1, 2, 2, 1, 1, 1]);
    assert_eq!(layout.irregularities.damaged_configs, 1);
}

#[test]
fn configurations_of_the_next_session_have_ordinals_of_their_own() {
    let mut builder = Mp4Builder::new(&configs(), 0);
    builder.push(&video(0, 0, true, 10)).unwrap();
    let mut second = Configs::new();
    second.insert(1, config(Track::Video, Codec::H264, AVC_CHANGED));
    builder.set_configs(&second);
    builder.push(&video(40, 0, true, 10)).unwrap();
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let entries: Vec<u32> = seen(&moov(&layout).trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!(entries, [1, 2]);
}

#[test]
fn frames_that_cannot_be_described() {
    let mut builder = Mp4Builder::new(&configs(), 0);
    let early = Sample { config: 0, ..audio(0, 5) };
    builder.push(&Sample { kind: SampleKind::Script, track: Track::Script, ..early }).unwrap();
    assert!(takes(&early) && !fragment::takes(&early));
    let second_track = Sample { track_id: 1, ..audio(0, 5) };
    builder.push(&second_track).unwrap();
    assert!(!takes(&second_track));
    let speex = Sample { codec: Codec::Legacy, ..audio(0, 5) };
    assert!(!takes(&speex));
    assert!(matches!(builder.push(&speex), Err(Error::Unsupported { codec: Codec::Legacy, .. })));
    let damaged = Sample { config: 5, ..video(0, 0, true, 5) };
    assert!(matches!(builder.push(&damaged), Err(Error::Config { codec: Codec::H264, .. })));
    assert!(matches!(builder.push(&Sample { config: 9, ..audio(0, 5) }), Err(Error::NoConfig(9))));
    assert!(matches!(builder.finish(None), Err(Error::Empty)));
    let mut builder = Mp4Builder::new(&Configs::new(), 0);
    builder.push(&early).unwrap();
    assert!(matches!(builder.finish(None), Err(Error::Empty)));
    assert!(unsupported(&[Codec::H264, Codec::Aac, Codec::Hevc]).is_none());
    let error = unsupported(&[Codec::H264, Codec::Legacy]).unwrap().to_string();
    assert!(error.starts_with("mp4 cannot carry legacy: it is one of FLV's old codecs"));
    let error = unsupported(&[Codec::Aac, Codec::Unknown]).unwrap();
    assert_eq!(error.to_string(), "mp4 cannot carry unknown: it is not known");
}

#[test]
fn frames_before_the_first_configuration_are_described_by_it() {
    let early = |sample: Sample| Sample { config: 0, ..sample };
    let samples = [
        early(video(0, 40, true, 10)),
        early(audio(3, 5)),
        early(video(40, 40, false, 11)),
        video(80, 40, false, 12),
        audio(26, 5),
        Sample { config: 3, ..video(120, 40, true, 13) },
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!((layout.start_ms, layout.body_len, layout.left_out.len()), (3, 56, 0));
    assert_eq!(layout.irregularities.undescribed_frames, 0);
    assert_eq!(
        (layout.irregularities.hidden_frames, layout.irregularities.parameter_changes),
        (0, 1)
    );
    // A lead-in is hidden as any other: only where no parameters change behind it.
    let mut samples = samples;
    (samples[0].keyframe, samples[3].keyframe) = (false, true);
    for (len, hidden) in [(5, 2), (6, 0)] {
        let layout = layout_of(&samples[..len], None);
        check(&samples[..len], &layout);
        assert_eq!(layout.irregularities.hidden_frames, hidden);
    }
    // It may come when no frame follows, and in the next push.
    for pushes in [1, 2] {
        let mut builder = Mp4Builder::new(&configs(), 0);
        builder.push(&samples[0]).unwrap();
        if pushes == 2 {
            builder.set_configs(&Configs::new());
            builder.push(&samples[2]).unwrap();
        }
        let layout = Mp4File::from(builder.finish(None).unwrap());
        assert_eq!(layout.body_len, if pushes == 2 { 21 } else { 10 });
        assert_eq!(seen(&moov(&layout).trak[0]).len(), pushes);
        assert_eq!(layout.irregularities.undescribed_frames, 0);
    }
}

#[test]
fn a_track_whose_configuration_never_comes_is_left_out() {
    let mut alone = Configs::new();
    alone.insert(1, config(Track::Video, Codec::H264, AVC_640));
    let mut builder = Mp4Builder::new(&alone, 0);
    let samples = [
        Sample { config: 0, ..audio(0, 5) },
        video(0, 0, true, 10),
        Sample { config: 0, ..audio(23, 6) },
        video(40, 0, false, 11),
    ];
    samples.iter().for_each(|sample| builder.push(sample).unwrap());
    let layout = Mp4File::from(builder.finish(None).unwrap());
    // Their bytes are in the body, but no track has them.
    assert_eq!((layout.body_len, layout.left_out.as_slice()), (32, &[Track::Audio][..]));
    assert_eq!(layout.irregularities.undescribed_frames, 2);
    let moov = moov(&layout);
    assert_eq!(moov.trak.len(), 1);
    let base = layout.head.len() as u64;
    let places: Vec<u64> = seen(&moov.trak[0]).iter().map(|seen| seen.offset - base).collect();
    assert_eq!(places, [5, 21]);
    second::agree(&layout);
}

#[test]
fn a_reserve_is_filled_to_the_byte_or_the_moov_goes_last() {
    let samples = [video(0, 0, true, 100), audio(3, 20), video(40, 0, false, 50)];
    let needed = layout_of(&samples, None).head.len() as u64;
    for reserve in (needed..needed + 20).chain([needed + 4096, 1 << 20]) {
        let layout = layout_of(&samples, Some(reserve));
        assert_eq!((layout.head.len() as u64, layout.is_moov_last()), (reserve, false));
        check(&samples, &layout);
    }
    for reserve in [48, 55, 56, needed - 1] {
        let layout = layout_of(&samples, Some(reserve));
        assert_eq!((layout.head.len() as u64, layout.is_moov_last()), (reserve, true));
        check(&samples, &layout);
    }
    let mut builder = Mp4Builder::new(&configs(), 0);
    builder.push(&samples[0]).unwrap();
    assert!(matches!(builder.finish(Some(30)), Err(Error::Reserve(30))));
}

#[test]
fn ten_hours_take_little_memory() {
    let mut table = sample_table::SampleTable::new(sample_table::BackwardStep::Absorb);
    let mut chunks = chunks::Chunks::default();
    let count = 100_000;
    for index in 0..count {
        let dts_ms = i64::from(index) * 100 / 6;
        table.push(dts_ms, (index % 3) as i32 * 33, 6000 + index % 9000, index % 60 == 0).unwrap();
        chunks.push(0, 1, 6000);
        chunks.push(1, 1, 340);
    }
    assert!(table.memory_bytes() + chunks.memory_bytes() <= 12 * count as usize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_sample_keeps_its_bytes_and_its_time(
        start in -1_000_000i64..5_000_000_000,
        steps in prop::collection::vec(
            (any::<bool>(), -3000i64..3000, -500i32..500, any::<bool>(), 1u32..70_000, 0u32..4),
            1..300,
        ),
        reserve in prop::option::of(60u64..20_000),
    ) {
        let (mut video_ms, mut audio_ms) = (start, start + 7);
        let samples: Vec<Sample> = steps
            .into_iter()
            .map(|(is_video, step_ms, cts_ms, keyframe, len, config)| {
                if is_video {
                    video_ms += step_ms;
                    // 1, 1, 3, 4.
                    let config = [1, 1, 3, 4][config as usize];
                    Sample { config, ..video(video_ms, cts_ms, keyframe, len) }
                } else {
                    audio_ms += step_ms.abs();
                    audio(audio_ms, len)
                }
            })
            .collect();
        // The first video configuration is number 1 in the file: let it be the plain one.
        let mut samples = samples;
        if let Some(first) = samples.iter_mut().find(|s| s.track == Track::Video) {
            first.config = 1;
        }
        let layout = layout_of(&samples, reserve);
        check(&samples, &layout);
        prop_assert_eq!(layout.irregularities.moved_frames, 0);
    }

    #[test]
    fn no_times_panic(times in prop::collection::vec((any::<bool>(), any::<i64>(), any::<i32>()), 1..50)) {
        let samples: Vec<Sample> = times
            .into_iter()
            .map(|(is_video, dts_ms, cts_ms)| {
                if is_video { video(dts_ms, cts_ms, cts_ms & 1 == 0, 9) } else { audio(dts_ms, 9) }
            })
            .collect();
        let layout = layout_of(&samples, None);
        prop_assert_eq!(layout.body_len, 9 * samples.len() as u64);
    }
}
