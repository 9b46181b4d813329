//! Heads of segments byte by byte, and both kinds of segment read again by another implementation.

use std::fmt::Write;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::*;
use crate::media::config::Configs;
use crate::media::sample::{Codec, Sample};
use crate::media::testing::{self, config};

const AVC_640: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// Where `moof` begins: behind `styp`.
const MOOF_AT: usize = 24;

fn frame(track: Track, codec: Codec, config: u32) -> Sample {
    Sample { codec, config, ..testing::frame(track, 0) }
}

fn init() -> Vec<u8> {
    let mut configs = Configs::new();
    configs.insert(1, config(Track::Video, Codec::H264, AVC_640));
    configs.insert(2, config(Track::Audio, Codec::Aac, b"\x12\x10"));
    let mut descriptions = Descriptions::default();
    let video = descriptions.slot(&configs, &frame(Track::Video, Codec::H264, 1)).unwrap();
    let audio = descriptions.slot(&configs, &frame(Track::Audio, Codec::Aac, 2)).unwrap();
    let numbers = descriptions.numbers([Some(video), Some(audio)]).unwrap();
    assert_eq!(descriptions.close().unwrap(), 0);
    descriptions.encode_init(numbers, 1_700_000_000).unwrap()
}

fn sample(duration_ms: u32, offset_ms: i32, size: u32, is_sync: bool) -> FragmentSample {
    FragmentSample { duration_ms, offset_ms, size, is_sync }
}

fn tracks() -> [FragmentTrack; 2] {
    let audio = vec![sample(23, 0, 3, true), sample(23, 0, 4, true)];
    let video = vec![sample(40, 80, 10, true), sample(0, -5, 2, false)];
    [
        FragmentTrack { track: Track::Audio, decode_ms: 7, samples: audio, runs: vec![2] },
        FragmentTrack { track: Track::Video, decode_ms: 1 << 33, samples: video, runs: vec![2] },
    ]
}

fn dump(bytes: &[u8]) -> String {
    bytes.chunks(16).fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{}", hex::encode(row));
        text
    })
}

#[test]
fn a_head_byte_by_byte() {
    insta::assert_snapshot!(dump(&encode_head(6, &tracks()).unwrap()), @"
    00000018737479706d73646800000000
    6d73646869736f36000000d86d6f6f66
    000000106d6668640000000000000007
    00000060747261660000001074666864
    00020000000000020000001474666474
    01000000000000000000000700000034
    7472756e01000f0100000002000000e0
    00000017000000030200000000000000
    00000017000000040200000000000000
    00000060747261660000001074666864
    00020000000000010000001474666474
    01000000000000020000000000000034
    7472756e01000f0100000002000000e7
    000000280000000a0200000000000050
    000000000000000201010000fffffffb
    0000001b6d646174
    ");
}

#[test]
fn a_head_of_turns_byte_by_byte() {
    let [mut audio, mut video] = tracks();
    (audio.runs, video.runs) = (vec![1, 0, 1], vec![0, 2, 0]);
    insta::assert_snapshot!(dump(&encode_head(6, &[audio, video]).unwrap()), @"
    00000018737479706d73646800000000
    6d73646869736f36000000ec6d6f6f66
    000000106d6668640000000000000007
    00000074747261660000001074666864
    00020000000000020000001474666474
    01000000000000000000000700000024
    7472756e01000f0100000001000000f4
    00000017000000030200000000000000
    000000247472756e01000f0100000001
    00000103000000170000000402000000
    00000000000000607472616600000010
    74666864000200000000000100000014
    74666474010000000000000200000000
    000000347472756e01000f0100000002
    000000f7000000280000000a02000000
    00000050000000000000000201010000
    fffffffb0000001b6d646174
    ");
}

#[test]
fn an_initialisation_segment_describes_its_tracks() {
    let mut demuxer = Fmp4SegmentDemuxer::new();
    demuxer.handle_init_segment(&init()).unwrap();
    let tracks = demuxer.tracks().unwrap();
    let seen: Vec<_> =
        tracks.iter().map(|t| (t.track_id, t.kind, t.duration, t.timescale.get())).collect();
    assert_eq!(seen, [(1, TrackKind::Video, 0, 1000), (2, TrackKind::Audio, 0, 1000)]);
}

#[test]
fn a_segment_is_read_as_it_was_written() {
    let mut demuxer = Fmp4SegmentDemuxer::new();
    demuxer.handle_init_segment(&init()).unwrap();
    let mut segment = encode_head(0, &tracks()).unwrap().split_off(MOOF_AT);
    segment.extend_from_slice(b"aaabbbbCCCCCCCCCCdd");
    let samples = demuxer.handle_media_segment(&segment).unwrap();
    let seen: Vec<_> = samples
        .iter()
        .map(|s| {
            let data = &segment[s.data_offset as usize..][..s.data_size];
            let offset = s.composition_time_offset.unwrap();
            (s.track.track_id, s.timestamp, s.duration, offset, s.keyframe, data)
        })
        .collect();
    let expected = [
        (2, 7, 23, 0, true, &b"aaa"[..]),
        (2, 30, 23, 0, true, &b"bbbb"[..]),
        (1, 1 << 33, 40, 80, true, &b"CCCCCCCCCC"[..]),
        (1, (1 << 33) + 40, 0, -5, false, &b"dd"[..]),
    ];
    assert_eq!(seen, expected);
    let entries: Vec<_> = samples.iter().filter_map(|s| s.sample_entry).collect();
    assert!(matches!(entries[..], [SampleEntry::Mp4a(_), SampleEntry::Avc1(_)]), "{entries:?}");
}

#[test]
fn more_than_four_gib_of_pictures() {
    let [audio, video] = tracks();
    let huge = vec![sample(40, 0, u32::MAX, true); 2];
    let head = encode_head(0, &[audio.clone(), FragmentTrack { samples: huge, ..video }]).unwrap();
    let (rest, mdat) = head.split_at(head.len() - 16);
    assert_eq!(mdat[..8], *b"\x00\x00\x00\x01mdat");
    let size = u64::from_be_bytes(mdat[8..].try_into().unwrap());
    assert_eq!(size, 16 + 7 + 2 * u64::from(u32::MAX));
    // The sound's data follow the wide header; the offset counts from the moof.
    let first = (rest.len() + 16 - MOOF_AT) as u32;
    assert!(rest.windows(4).any(|field| field == first.to_be_bytes()));
    // The other way round, the place of the sound does not fit.
    let huge = vec![sample(23, 0, 1 << 31, true)];
    let misplaced = [FragmentTrack { samples: huge, runs: vec![1], ..audio.clone() }, audio];
    assert!(matches!(encode_head(0, &misplaced), Err(Error::TooLarge("media segment"))));
}
