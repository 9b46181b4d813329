//! Files made by the server's writers, with the packets that readers should find in them.

use shiguredo_mp4::{
    Encode,
    boxes::{MfhdBox, MoofBox, TfdtBox, TfhdBox, TrafBox, TrunBox, TrunSample},
};

use super::Found;
use crate::{
    media::{
        adts::AdtsWriter,
        config::Configs,
        flv::header::{FileHeader, encode_tag},
        mp4::Mp4Builder,
        nal,
        product_clock::{ProductClock, TimeRule},
        sample::{Codec, Sample, Track},
        tag::TagKind,
        testing,
        ts::{Streams, TsMuxer},
    },
    verify::packet::Lane,
};

const AVC: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
const OFFSET_MS: i64 = 10_000;

/// A frame and its data.
pub type Frame = (Sample, Vec<u8>);
/// A file and its packets.
pub type File = (Vec<u8>, Vec<Found>);

/// Pictures and sound in turn, some of them large, reordered, and with a step of the clock back.
pub fn frames(count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for nth in 0..count {
        let time_ms = 500 + nth as i64 * 20 - if nth == 17 { 60 } else { 0 };
        let body: Vec<u8> = (0..(nth * 37 % 900)).map(|n| (n % 250) as u8 + 3).collect();
        let data = match nth % 2 {
            0 => {
                let nal = [&[if nth % 20 == 0 { 0x65 } else { 0x41 }], body.as_slice()].concat();
                // Length size 2 in AVC above.
                [&(nal.len() as u16).to_be_bytes(), nal.as_slice()].concat()
            }
            _ => [&[0x21], body.as_slice()].concat(),
        };
        let track = if nth % 2 == 0 { Track::Video } else { Track::Audio };
        let sample = Sample {
            tag_len: 0,
            data_len: data.len() as u32,
            cts_ms: if nth % 2 == 0 { [40, -20, 0][nth % 3] } else { 0 },
            config: 1 + (nth as u32 % 2),
            keyframe: nth % 2 == 1 || nth % 20 == 0,
            ..testing::frame(track, time_ms)
        };
        frames.push((sample, data));
    }
    frames
}

fn configs() -> Configs {
    let mut avc = AVC.to_vec();
    avc[4] = 0xfd;
    let records = [(Track::Video, Codec::H264, avc), (Track::Audio, Codec::Aac, vec![0x12, 0x10])];
    let mut configs = Configs::new();
    for (ordinal, (track, codec, record)) in (1..).zip(records) {
        configs.insert(ordinal, testing::config(track, codec, &record));
    }
    configs
}

fn lane(sample: &Sample) -> Lane {
    if sample.track == Track::Video { Lane::Video } else { Lane::Audio }
}

fn packets(frames: &[Frame], rule: TimeRule, shift_ms: i64) -> Vec<Found> {
    let mut clock = ProductClock::new(rule);
    let found = frames.iter().map(|(sample, data)| {
        let (pts, dts) = clock.times(sample, shift_ms);
        (lane(sample), pts, dts, data.clone())
    });
    found.collect()
}

/// FLV, with an onMetaData in front and script data in the middle.
pub fn flv_file(frames: &[Frame]) -> File {
    let mut bytes = FileHeader { has_audio: true, has_video: true }.encode().to_vec();
    encode_tag(TagKind::Script, 0, b"\x02\0\x0aonMetaData", &mut bytes);
    let mut expected = packets(frames, TimeRule::Flv, 0);
    for (nth, (sample, data)) in frames.iter().enumerate() {
        let (kind, head) = match sample.track {
            Track::Video => {
                let [_, a, b, c] = sample.cts_ms.to_be_bytes();
                let key = if sample.keyframe { 0x17 } else { 0x27 };
                (TagKind::Video, vec![key, 1, a, b, c])
            }
            _ => (TagKind::Audio, vec![0xaf, 1]),
        };
        encode_tag(kind, sample.dts_ms, &[head, data.clone()].concat(), &mut bytes);
        if nth == frames.len() / 2 {
            encode_tag(TagKind::Script, sample.dts_ms, b"\x02\0\x01x", &mut bytes);
            let data = (Lane::Data, sample.dts_ms, sample.dts_ms, b"\x02\0\x01x".to_vec());
            expected.push(data);
        }
    }
    (bytes, expected)
}

/// ADTS: sound alone.
pub fn adts_file(frames: &[Frame]) -> File {
    let writer = AdtsWriter::new(&configs());
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for (sample, data) in frames.iter().filter(|(sample, _)| sample.track == Track::Audio) {
        bytes.extend(writer.header(sample).unwrap());
        bytes.extend(data);
        expected.push((Lane::Audio, 0, 0, data.clone()));
    }
    (bytes, expected)
}

/// One MPEG-TS segment.
pub fn ts_file(frames: &[Frame]) -> File {
    let mut muxer = TsMuxer::new(&configs(), OFFSET_MS);
    let (mut bytes, mut streams) = (Vec::new(), Streams::default());
    frames.iter().for_each(|(sample, _)| streams.observe(sample));
    muxer.begin_segment(streams, &mut bytes);
    let mut expected = packets(frames, TimeRule::Ts, OFFSET_MS);
    for ((sample, data), packet) in frames.iter().zip(&mut expected) {
        muxer.write_sample(sample, data, &mut bytes).unwrap();
        if sample.track == Track::Video {
            packet.3.clear();
            assert!(nal::canonical_nal_units(sample.codec, data, 2, &mut packet.3));
        }
    }
    (bytes, expected)
}

/// Plain MP4.
pub fn mp4_file(frames: &[Frame]) -> File {
    let mut builder = Mp4Builder::new(&configs(), 1_700_000_000);
    frames.iter().for_each(|(sample, _)| builder.push(sample).unwrap());
    let layout = builder.finish(None).unwrap();
    let mut bytes = layout.head.read_all().to_vec();
    frames.iter().for_each(|(_, data)| bytes.extend(data));
    bytes.extend(layout.tail.read_all());
    (bytes, packets(frames, TimeRule::Mp4, -layout.start_ms))
}

/// An initialisation segment (that of a plain file) and one fragment of both tracks, whose boxes are
/// written by `shiguredo_mp4`.
pub fn fragments_file(frames: &[Frame]) -> File {
    let mut builder = Mp4Builder::new(&configs(), 1_700_000_000);
    frames.iter().for_each(|(sample, _)| builder.push(sample).unwrap());
    let head = builder.finish(None).unwrap().head.read_all();
    // Without the header of the mdat box at the end.
    let mut bytes = head[..head.len() - 8].to_vec();
    let expected = packets(frames, TimeRule::Fragmented, OFFSET_MS);
    let moof = |lens: [i32; 2]| MoofBox {
        mfhd_box: MfhdBox { sequence_number: 1 },
        traf_boxes: (0..2).map(|n| traf(&expected, n, lens[n as usize])).collect(),
        unknown_boxes: Vec::new(),
    };
    let data = |lane: Lane| -> Vec<u8> {
        let own = expected.iter().filter(|packet| packet.0 == lane);
        own.flat_map(|packet| packet.3.clone()).collect()
    };
    let (video, audio) = (data(Lane::Video), data(Lane::Audio));
    let start = moof([0, 0]).encode_to_vec().unwrap().len() as i32 + 8;
    bytes.extend(moof([start, start + video.len() as i32]).encode_to_vec().unwrap());
    bytes.extend(boxed(b"mdat", &[video, audio].concat()));
    (bytes, expected)
}

fn traf(packets: &[Found], track: u32, data_offset: i32) -> TrafBox {
    let lane = if track == 0 { Lane::Video } else { Lane::Audio };
    let own: Vec<&Found> = packets.iter().filter(|packet| packet.0 == lane).collect();
    let steps = own.windows(2).map(|pair| pair[1].2 - pair[0].2).chain([20]);
    let samples = own.iter().zip(steps).map(|(packet, step)| TrunSample {
        duration: Some(step as u32),
        size: Some(packet.3.len() as u32),
        flags: None,
        composition_time_offset: Some(packet.1 - packet.2),
    });
    TrafBox {
        tfhd_box: TfhdBox {
            track_id: track + 1,
            base_data_offset: None,
            sample_description_index: None,
            default_sample_duration: None,
            default_sample_size: None,
            default_sample_flags: None,
            duration_is_empty: false,
            default_base_is_moof: true,
        },
        tfdt_box: Some(TfdtBox {
            version: 1,
            base_media_decode_time: own.first().map_or(0, |packet| packet.2 as u64),
        }),
        trun_boxes: vec![TrunBox {
            data_offset: Some(data_offset),
            first_sample_flags: None,
            samples: samples.collect(),
        }],
        unknown_boxes: Vec::new(),
    }
}

/// A box.
pub fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat()
}
