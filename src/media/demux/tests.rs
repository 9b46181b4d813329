//! Every header layout once, and hostile bytes.

use proptest::prelude::*;

use super::*;

fn samples(kind: TagKind, payload: &[u8]) -> Vec<TagSample> {
    let mut out = Vec::new();
    demux(kind, payload, &mut out);
    out
}

/// Kind, codec, key frame, composition time, track id and data of every sample.
type Seen<'a> = (SampleKind, Codec, bool, i32, u8, &'a [u8]);

fn seen(kind: TagKind, payload: &[u8]) -> Vec<Seen<'_>> {
    let data = |s: &TagSample| {
        let start = s.data_offset as usize;
        &payload[start..start + s.data_len as usize]
    };
    samples(kind, payload)
        .iter()
        .map(|s| (s.kind, s.codec, s.keyframe, s.cts_ms, s.track_id, data(s)))
        .collect()
}

fn video(payload: &[u8]) -> Vec<Seen<'_>> {
    seen(TagKind::Video, payload)
}

fn audio(payload: &[u8]) -> Vec<Seen<'_>> {
    seen(TagKind::Audio, payload)
}

use Codec::*;
use SampleKind::{Config, EndOfSequence, Frame, Other, Script};

#[test]
fn legacy_video() {
    assert_eq!(video(b"\x17\0\0\0\0\x01d"), [(Config, H264, false, 0, 0, &b"\x01d"[..])]);
    assert_eq!(video(b"\x17\x01\0\0\x50ab"), [(Frame, H264, true, 80, 0, &b"ab"[..])]);
    assert_eq!(video(b"\x27\x01\xff\xff\xfea"), [(Frame, H264, false, -2, 0, &b"a"[..])]);
    assert_eq!(video(b"\x17\x02\0\0\0"), [(EndOfSequence, H264, false, 0, 0, &b""[..])]);
    assert_eq!(video(b"\x17\x02"), [(EndOfSequence, H264, false, 0, 0, &b""[..])]);
    assert_eq!(video(b"\x1c\0\0\0\0\x01"), [(Config, Hevc, false, 0, 0, &b"\x01"[..])]);
    assert_eq!(video(b"\x2c\x01\0\0\0a"), [(Frame, Hevc, false, 0, 0, &b"a"[..])]);
    // Sorenson, VP6, a key frame made by a server, and a codec id nobody has assigned.
    assert_eq!(video(b"\x12abc"), [(Frame, Legacy, true, 0, 0, &b"abc"[..])]);
    assert_eq!(video(b"\x24abc"), [(Frame, Legacy, false, 0, 0, &b"abc"[..])]);
    assert_eq!(video(b"\x42abc"), [(Frame, Legacy, true, 0, 0, &b"abc"[..])]);
    assert_eq!(video(b"\x1fabc"), [(Frame, Legacy, true, 0, 0, &b"abc"[..])]);
}

#[test]
fn what_is_no_media_is_kept_without_a_meaning() {
    // Command frame, empty configuration, empty frame, unknown packet type.
    assert_eq!(video(b"\x57\0"), [(Other, Unknown, false, 0, 0, &b"\0"[..])]);
    assert_eq!(video(b"\x17\0\0\0\0"), [(Other, H264, false, 0, 0, &b""[..])]);
    assert_eq!(video(b"\x17\x01\0\0\x50"), [(Other, H264, false, 0, 0, &b""[..])]);
    assert_eq!(video(b"\x17\x03\0\0\0a"), [(Other, H264, false, 0, 0, &b"a"[..])]);
    assert_eq!(audio(b"\xaf\0"), [(Other, Aac, false, 0, 0, &b""[..])]);
    assert_eq!(audio(b"\xaf\x02a"), [(Other, Aac, false, 0, 0, &b"a"[..])]);
    // Cut short.
    for payload in [&b""[..], b"\x17", b"\x17\0\0", b"\x17\x01\0\0", b"\x91hvc", b"\x91hvc1\0\0"] {
        assert_eq!(video(payload), [(Other, Unknown, false, 0, 0, payload)]);
    }
    for payload in [&b""[..], b"\xaf", b"\x91Opu"] {
        assert_eq!(audio(payload), [(Other, Unknown, false, 0, 0, payload)]);
    }
}

#[test]
fn legacy_audio_and_script() {
    assert_eq!(audio(b"\xaf\0\x12\x10"), [(Config, Aac, false, 0, 0, &b"\x12\x10"[..])]);
    assert_eq!(audio(b"\xaf\x01ab"), [(Frame, Aac, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x2fab"), [(Frame, Mp3, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\xe2ab"), [(Frame, Mp3, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x7eab"), [(Frame, Legacy, true, 0, 0, &b"ab"[..])]);
    assert_eq!(seen(TagKind::Script, b"\x02\0"), [(Script, None, false, 0, 0, &b"\x02\0"[..])]);
    assert_eq!(seen(TagKind::Script, b""), [(Other, Unknown, false, 0, 0, &b""[..])]);
    assert_eq!(samples(TagKind::Script, b"a")[0].track, Track::Script);
    assert_eq!(samples(TagKind::Script, b"")[0].track, Track::Script);
    assert_eq!(samples(TagKind::Audio, b"")[0].track, Track::Audio);
}

#[test]
fn enhanced_video() {
    assert_eq!(video(b"\x90hvc1\x01"), [(Config, Hevc, false, 0, 0, &b"\x01"[..])]);
    assert_eq!(video(b"\x91hvc1\0\0\x28ab"), [(Frame, Hevc, true, 40, 0, &b"ab"[..])]);
    assert_eq!(video(b"\xa1avc1\xff\xff\xffa"), [(Frame, H264, false, -1, 0, &b"a"[..])]);
    assert_eq!(video(b"\xa3hvc1ab"), [(Frame, Hevc, false, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\x91av01ab"), [(Frame, Av1, true, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\x90vp09a"), [(Config, Vp9, false, 0, 0, &b"a"[..])]);
    assert_eq!(video(b"\xa1vp08ab"), [(Frame, Vp8, false, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\x92hvc1"), [(EndOfSequence, Hevc, false, 0, 0, &b""[..])]);
    // A codec we have no name for still has key frames and composition times.
    assert_eq!(video(b"\x91vvc1\0\0\x05a"), [(Frame, Unknown, true, 5, 0, &b"a"[..])]);
    assert_eq!(video(b"\x91xyzwab"), [(Frame, Unknown, true, 0, 0, &b"ab"[..])]);
    // Colour metadata, also with the frame type of a command; MPEG-2 TS descriptor; a command.
    assert_eq!(video(b"\x94hvc1ab"), [(Other, Hevc, false, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\xd4hvc1ab"), [(Other, Hevc, false, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\x95av01ab"), [(Other, Av1, false, 0, 0, &b"ab"[..])]);
    assert_eq!(video(b"\xd1\0"), [(Other, Unknown, false, 0, 0, &b"\xd1\0"[..])]);
}

#[test]
fn enhanced_audio() {
    assert_eq!(audio(b"\x90OpusOpusHead"), [(Config, Opus, false, 0, 0, &b"OpusHead"[..])]);
    assert_eq!(audio(b"\x90Opus"), [(Other, Opus, false, 0, 0, &b""[..])]);
    assert_eq!(audio(b"\x91fLaCab"), [(Frame, Flac, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x91ac-3ab"), [(Frame, Ac3, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x91ec-3ab"), [(Frame, Eac3, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x91.mp3ab"), [(Frame, Mp3, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x91mp4aab"), [(Frame, Aac, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x92mp4a"), [(EndOfSequence, Aac, false, 0, 0, &b""[..])]);
    // The FourCC of a video codec has no meaning here, so nothing stands before the data.
    let foreign = (Frame, Unknown, true, 0, 0, &b"\0\0\x28ab"[..]);
    assert_eq!(audio(b"\x91hvc1\0\0\x28ab"), [foreign]);
    assert_eq!(audio(b"\x94mp4a\x01\x02"), [(Other, Aac, false, 0, 0, &b"\x01\x02"[..])]);
}

#[test]
fn modifiers() {
    // Three bytes of nanoseconds, then coded frames.
    assert_eq!(video(b"\x97\x02\0\0\x09\x01av01ab"), [(Frame, Av1, true, 0, 0, &b"ab"[..])]);
    assert_eq!(audio(b"\x97\x02\0\0\x09\x01Opusab"), [(Frame, Opus, true, 0, 0, &b"ab"[..])]);
    // Two of them, the first with the long length.
    let mut long = b"\x97\xff\x01\x00".to_vec();
    long.extend_from_slice(&[0xaa; 257]);
    long.extend_from_slice(b"\x17\0\xbb\x13hvc1ab");
    assert_eq!(video(&long), [(Frame, Hevc, true, 0, 0, &b"ab"[..])]);
    // Endless and overlong chains.
    let endless = b"\x97".iter().copied().chain([0, 0, 7].repeat(40)).collect::<Vec<_>>();
    assert_eq!(video(&endless), [(Other, Unknown, false, 0, 0, &endless[..])]);
    assert_eq!(video(b"\x97\x09a"), [(Other, Unknown, false, 0, 0, &b"\x97\x09a"[..])]);
}

#[test]
fn nanosecond_offsets_are_marked() {
    let nanos = |kind, payload: &[u8]| -> Vec<bool> {
        samples(kind, payload).iter().map(|sample| sample.has_nanos).collect()
    };
    assert_eq!(nanos(TagKind::Video, b"\x97\x02\0\0\x09\x01av01ab"), [true]);
    assert_eq!(nanos(TagKind::Audio, b"\x97\x02\x0f\x42\x3f\x01Opusab"), [true]);
    // None, one of 0, one too short, another kind of modifier.
    assert_eq!(nanos(TagKind::Video, b"\x91av01ab"), [false]);
    assert_eq!(nanos(TagKind::Video, b"\x97\x02\0\0\0\x01av01ab"), [false]);
    assert_eq!(nanos(TagKind::Video, b"\x97\x01\0\x09\x01av01ab"), [false]);
    assert_eq!(nanos(TagKind::Video, b"\x97\x02\0\0\x09\x11av01ab"), [false]);
    // The second of two counts; a longer field begins with the offset; all tracks are moved.
    let two = b"\x97\x00\x05\x17\x03\0\0\x09\xff\x01av01ab";
    assert_eq!(nanos(TagKind::Video, two), [true]);
    let tracks = b"\x97\x02\0\0\x09\x06\x13av01\x00\0\0\x01a\x01\0\0\x01b";
    assert_eq!(nanos(TagKind::Video, tracks), [true, true]);
    // What is no frame has no time of its own.
    assert_eq!(nanos(TagKind::Video, b"\x97\x02\0\0\x09\x00av01ab"), [false]);
    assert_eq!(nanos(TagKind::Video, b"\x97\x02\0\0"), [false]);
}

/// Every packet type in every kind of multitrack tag, against the same without it.
#[test]
fn tracks_read_as_they_would_alone() {
    let video_types: [(u8, &[u8]); 6] = [
        (0, b"\x01record"),
        (1, b"\xff\xff\xf6frame"),
        (2, b""),
        (3, b"frame"),
        (4, b"\x02\0\x09colorInfo"),
        (5, b"descriptor"),
    ];
    let audio_types: [(u8, &[u8]); 4] =
        [(0, b"\x12\x10"), (1, b"frame"), (2, b""), (4, b"\x01\x06")];
    let cases = video_types
        .into_iter()
        .map(|(packet, body)| (TagKind::Video, 6, packet, *b"hvc1", *b"av01", body))
        .chain(
            audio_types.map(|(packet, body)| (TagKind::Audio, 5, packet, *b"mp4a", *b"Opus", body)),
        );
    for (kind, multitrack, packet, first, second, body) in cases {
        let alone = |four_cc: [u8; 4], track_id: u8| {
            let payload = [&[0x90 | packet][..], &four_cc, body].concat();
            let [found] = samples(kind, &payload)[..] else { panic!("{packet}") };
            let data = payload[found.data_offset as usize..].to_vec();
            (found.kind, found.codec, found.keyframe, found.cts_ms, track_id, data)
        };
        let sized = |track_id: u8| {
            let size = (body.len() as u32).to_be_bytes();
            [&[track_id][..], &size[1..], body].concat()
        };
        let head = [0x90 | multitrack];
        let one = [&head[..], &[packet], &first, &[7], body].concat();
        let many = [&head[..], &[0x10 | packet], &first, &sized(0), &sized(9)].concat();
        let codecs = [&head[..], &[0x20 | packet], &first, &sized(0), &second, &sized(1)].concat();
        for (payload, expected) in [
            (one, vec![alone(first, 7)]),
            (many, vec![alone(first, 0), alone(first, 9)]),
            (codecs, vec![alone(first, 0), alone(second, 1)]),
        ] {
            let found: Vec<_> = seen(kind, &payload)
                .into_iter()
                .map(|(kind, codec, key, cts, id, data)| (kind, codec, key, cts, id, data.to_vec()))
                .collect();
            assert_eq!(found, expected, "{kind:?} packet type {packet}: {payload:x?}");
        }
    }
}

#[test]
fn multitrack() {
    // One track.
    let one = b"\x96\x01hvc1\x05\0\0\x07ab";
    assert_eq!(video(one), [(Frame, Hevc, true, 7, 5, &b"ab"[..])]);
    // Many tracks of one codec, then many tracks with their own.
    let many = b"\x96\x11avc1\x00\0\0\x05\0\0\x01ab\x01\0\0\x04\xff\xff\xffc";
    let expected = [(Frame, H264, true, 1, 0, &b"ab"[..]), (Frame, H264, true, -1, 1, &b"c"[..])];
    assert_eq!(video(many), expected);
    let mixed = b"\x95\x20mp4a\x00\0\0\x02\x12\x10Opus\x01\0\0\x01O";
    let expected =
        [(Config, Aac, false, 0, 0, &b"\x12\x10"[..]), (Config, Opus, false, 0, 1, b"O")];
    assert_eq!(audio(mixed), expected);
    // A track that reaches past the end: what came before it is good, the rest is kept.
    let overrun = b"\x96\x13av01\x00\0\0\x01a\x01\0\0\x09b";
    let expected =
        [(Frame, Av1, true, 0, 0, &b"a"[..]), (Other, Unknown, false, 0, 0, &overrun[11..])];
    assert_eq!(video(overrun), expected);
    // A track too short for its composition time; nesting; an unknown kind of multitrack.
    for payload in [&b"\x96\x11avc1\x00\0\0\x02\0\0\0"[..], b"\x96\x16hvc1\0", b"\x96\x31hvc1\0abc"]
    {
        assert_eq!(video(payload), [(Other, Unknown, false, 0, 0, payload)]);
    }
    // Behind a modifier.
    let behind = b"\x97\0\0\x06\x03av01\x02ab";
    assert_eq!(video(behind), [(Frame, Av1, true, 0, 2, &b"ab"[..])]);
}

#[test]
fn tracks_are_bounded() {
    let mut payload = b"\x96\x13av01".to_vec();
    for track_id in 0..1000u32 {
        payload.extend_from_slice(&[track_id as u8, 0, 0, 1, 0xaa]);
    }
    let found = samples(TagKind::Video, &payload);
    assert_eq!(found.len(), TRACKS_MAX + 1);
    assert_eq!(found.last().unwrap().kind, Other);
    assert_eq!(found.last().unwrap().data_offset as usize, 6 + 5 * TRACKS_MAX);
}

fn any_kind() -> impl Strategy<Value = TagKind> {
    prop_oneof![Just(TagKind::Audio), Just(TagKind::Video), Just(TagKind::Script)]
}

/// Bytes that look like the beginning of a tag more often than random ones do.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        any::<u8>(),
        (0u8..8).prop_map(|packet| 0x90 | packet),
        prop::sample::select(vec![0x17, 0x27, 0x1c, 0xaf, 0x57]),
    ];
    let second = prop_oneof![any::<u8>(), 0u8..3, (0u8..3).prop_map(|kind| kind << 4 | 1)];
    let four_cc = prop::sample::select(vec![*b"avc1", *b"hvc1", *b"mp4a", *b"Opus", [0; 4]]);
    let rest = prop::collection::vec(prop_oneof![Just(0u8), 0u8..9, any::<u8>()], 0..60);
    (first, second, four_cc, rest, 0usize..66).prop_map(|(first, second, four_cc, rest, len)| {
        let mut payload = vec![first, second];
        payload.extend_from_slice(&four_cc);
        payload.extend_from_slice(&rest);
        payload.truncate(len);
        payload
    })
}

proptest! {
    #[test]
    fn samples_lie_inside_the_payload_and_never_overlap(
        kind in any_kind(),
        payload in any_payload(),
    ) {
        let found = samples(kind, &payload);
        prop_assert!(!found.is_empty());
        let mut end = 0;
        for sample in found {
            prop_assert!(sample.data_offset >= end);
            end = sample.data_offset + sample.data_len;
            prop_assert!(end as usize <= payload.len());
            prop_assert!(sample.kind == Frame || (!sample.keyframe && sample.cts_ms == 0));
            let has_data = sample.data_len > 0;
            prop_assert!(has_data || !matches!(sample.kind, Frame | Config | Script));
        }
        // No byte behind the last sample is lost to the index.
        prop_assert_eq!(end as usize, payload.len());
    }
}
