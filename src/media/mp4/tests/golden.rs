//! Golden layouts: what players look at before anything else.

use shiguredo_mp4::boxes::SampleEntry;

use super::codecs::*;
use super::*;

/// 160x90 in pixels of 4:3, colours of BT.709, as x264 writes it.
const AVC_WIDE: &[u8] = b"\x01\x64\x00\x0b\xff\xe1\x00\x1d\x67\x64\x00\x0b\xac\xd9\x42\x8d\xf9\x30\
    \xe6\xa0\x20\x20\x28\x00\x00\x03\x00\x08\x00\x00\x03\x01\x90\x78\xa1\x4c\xb0\x01\x00\x06\x68\
    \xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// 2023-11-14 22:13:20 UTC.
const CREATED_UNIX_S: u64 = 1_700_000_000;

fn file(codec: Codec, record: Option<&'static [u8]>, head: &[u8]) -> Mp4File {
    let configs = record.map(|record| with(&[(codec, record)])).unwrap_or_default();
    let mut builder = Mp4Builder::new(&configs, CREATED_UNIX_S);
    let ordinal = u32::from(record.is_some());
    walk(&mut builder, &frame(codec, ordinal, 0, true), head);
    walk(&mut builder, &frame(codec, ordinal, 40, true), head);
    Mp4File::from(builder.finish(None).unwrap())
}

/// The first box of a kind, header included.
fn first<'a>(layout: &'a Mp4File, kind: &[u8; 4]) -> &'a [u8] {
    let at = layout.head.windows(4).position(|window| window == kind).unwrap() - 4;
    let size = u32::from_be_bytes(*layout.head[at..].first_chunk().unwrap());
    &layout.head[at..at + size as usize]
}

fn brands(layout: &Mp4File) -> String {
    String::from_utf8_lossy(&first(layout, b"ftyp")[8..]).replace("\0\0\u{2}\0", " 512 ")
}

#[test]
fn brands_of_every_codec() {
    let brands = [
        (Codec::H264, Some(AVC_640), &b""[..]),
        (Codec::Av1, Some(AV1C), b""),
        (Codec::Vp9, Some(VPCC), VP9_KEY),
        (Codec::Aac, Some(AAC_44100), b""),
        (Codec::Ac3, None, AC3),
    ]
    .map(|(codec, record, head)| {
        format!("{}: {}", codec.as_str(), brands(&file(codec, record, head)))
    })
    .join("\n");
    insta::assert_snapshot!(brands, @r"
    h264: isom 512 isomiso2avc1mp41
    av1: isom 512 isomiso2av01mp41
    vp9: isom 512 isomiso2mp41
    aac: isom 512 isomiso2mp41
    ac3: isom 512 isomiso2mp41
    ");
}

#[test]
fn handlers_language_and_times() {
    let dump = |codec, record| {
        let layout = file(codec, Some(record), b"");
        [b"mvhd", b"tkhd", b"elst", b"mdhd", b"hdlr"]
            .map(|kind| {
                format!(
                    "{} {}",
                    String::from_utf8_lossy(kind),
                    hex::encode(&first(&layout, kind)[8..])
                )
            })
            .join("\n")
    };
    insta::assert_snapshot!(dump(Codec::H264, AVC_640), @r"
    mvhd 00000000e179a180e179a180000003e8000000500001000001000000000000000000000000010000000000000000000000000000000100000000000000000000000000004000000000000000000000000000000000000000000000000000000000000002
    tkhd 00000007e179a180e179a180000000010000000000000050000000000000000000000000000000000001000000000000000000000000000000010000000000000000000000000000400000000280000001680000
    elst 0000000000000001000000500000000000010000
    mdhd 00000000e179a180e179a180000003e80000005055c40000
    hdlr 000000000000000076696465000000000000000000000000566964656f48616e646c657200
    ");
    insta::assert_snapshot!(dump(Codec::Aac, AAC_44100), @r"
    mvhd 00000000e179a180e179a180000003e8000000500001000001000000000000000000000000010000000000000000000000000000000100000000000000000000000000004000000000000000000000000000000000000000000000000000000000000002
    tkhd 00000007e179a180e179a180000000010000000000000050000000000000000000000000010000000001000000000000000000000000000000010000000000000000000000000000400000000000000000000000
    elst 0000000000000001000000500000000000010000
    mdhd 00000000e179a180e179a180000003e80000005055c40000
    hdlr 0000000000000000736f756e000000000000000000000000536f756e6448616e646c657200
    ");
}

/// Version of `mvhd`, `tkhd` and `mdhd`, and where the first two say how long the movie is.
fn versions(created_unix_s: u64, length_ms: i64) -> [u8; 3] {
    let mut builder = Mp4Builder::new(&configs(), created_unix_s);
    let mut samples = vec![audio(0, 9)];
    // No step is longer than 24 days.
    let steps = (1..).map(|step| (step * 1_000_000_000).min(length_ms - 23));
    samples.extend(steps.take((length_ms / 1_000_000_000 + 1) as usize).map(|at| audio(at, 9)));
    samples.push(audio(length_ms - 23, 9));
    samples.iter().for_each(|sample| builder.push(sample).unwrap());
    let layout = Mp4File::from(builder.finish(None).unwrap());
    second::agree(&layout);
    [b"mvhd", b"tkhd", b"mdhd"].map(|kind| first(&layout, kind)[8])
}

#[test]
fn headers_have_64_bits_only_where_they_need_them() {
    const LAST_2040_S: u64 = u32::MAX as u64 - 2_082_844_800;
    assert_eq!(versions(CREATED_UNIX_S, 60_000), [0; 3]);
    assert_eq!(versions(LAST_2040_S - 1, 60_000), [0; 3]);
    assert_eq!(versions(LAST_2040_S + 1, 60_000), [1; 3]);
    assert_eq!(versions(CREATED_UNIX_S, 4_294_000_000), [0; 3]);
    assert_eq!(versions(CREATED_UNIX_S, 4_295_000_000), [1; 3]);
}

#[test]
fn pixels_that_are_not_square_and_colours() {
    let layout = file(Codec::H264, Some(AVC_WIDE), b"");
    second::agree(&layout);
    assert_eq!(hex::encode(first(&layout, b"pasp")), "00000010706173700000000400000003");
    assert_eq!(hex::encode(first(&layout, b"colr")), "00000013636f6c726e636c7800010001000100");
    let tkhd = first(&layout, b"tkhd");
    assert_eq!(hex::encode(&tkhd[tkhd.len() - 8..]), "00d5555500 5a0000".replace(' ', ""));
    for (codec, record) in [(Codec::Av1, AV1C), (Codec::H264, AVC_640)] {
        let layout = file(codec, Some(record), b"");
        for kind in [b"pasp", b"colr"] {
            assert!(!layout.head.windows(4).any(|window| window == kind), "nothing is invented");
        }
    }
}

#[test]
fn sample_entries_of_every_codec() {
    let entries = [
        (Codec::Av1, Some(AV1C), &b""[..]),
        (Codec::Vp9, Some(VPCC), VP9_KEY),
        (Codec::Vp8, None, VP8_KEY),
        (Codec::Aac, Some(AAC_44100), b""),
        (Codec::Opus, Some(OPUS_HEAD), b""),
        (Codec::Flac, Some(FLAC_HEADER), b""),
        (Codec::Ac3, None, AC3),
        (Codec::Eac3, None, EAC3),
        (Codec::Mp3, None, MP3),
    ]
    .map(|(codec, record, head)| {
        let layout = file(codec, record, head);
        format!("{}: {}", codec.as_str(), hex::encode(&first(&layout, b"stsd")[16..]))
    })
    .join("\n");
    insta::assert_snapshot!(entries, @r"
    av1: 0000006f61763031000000000000000100000000000000000000000000000000014000b4004800000048000000000000000100000000000000000000000000000000000000000000000000000000000000000018ffff000000196176314381000c000a0b000000043cfeccdaf90040
    vp9: 0000007d76703039000000000000000100000000000000000000000000000000014000b4004800000048000000000000000100000000000000000000000000000000000000000000000000000000000000000018ffff000000147670634301000000000b82010101000000000013636f6c726e636c7800010001000100
    vp8: 0000006a76703038000000000000000100000000000000000000000000000000014000b4004800000048000000000000000100000000000000000000000000000000000000000000000000000000000000000018ffff000000147670634301000000000b820606060000
    aac: 0000004b6d703461000000000000000100000000000000000002001000000000ac440000000000276573647300000000031900000004114015000000000000000000000005021210060102
    opus: 000000374f707573000000000000000100000000000000000002001000000000bb80000000000013644f7073000201380000bb80000000
    flac: 00000056664c6143000000000000000100000000000000000002001000000000ac4400000000003264664c610000000080000022120012000000000000000ac442f00000000000000000000000000000000000000000
    ac3: 0000002f61632d33000000000000000100000000000000000006001000000000bb8000000000000b64616333103dc0
    eac3: 0000003165632d33000000000000000100000000000000000002001000000000ac4400000000000d646563330600600400
    mp3: 000000476d703461000000000000000100000000000000000002001000000000ac4400000000002365736473000000000315000000040d6b150000000000000000000000060102
    ");
}

#[test]
fn a_second_reader_knows_the_sample_entries() {
    let entry = |codec, record, head: &[u8]| {
        let layout = file(codec, record, head);
        second::agree(&layout);
        second::entries_of(&layout).remove(0)
    };
    let SampleEntry::Avc1(avc1) = entry(Codec::H264, Some(AVC_640), b"") else { panic!() };
    assert_eq!((avc1.visual.width, avc1.visual.height), (640, 360));
    let SampleEntry::Av01(av01) = entry(Codec::Av1, Some(AV1C), b"") else { panic!() };
    assert_eq!((av01.visual.width, av01.visual.height), (320, 180));
    assert_eq!(av01.av1c_box.config_obus, AV1C[4..]);
    let SampleEntry::Vp09(vp09) = entry(Codec::Vp9, Some(VPCC), VP9_KEY) else { panic!() };
    assert_eq!((vp09.visual.width, vp09.vpcc_box.bit_depth.get()), (320, 8));
    assert!(matches!(entry(Codec::Vp8, None, VP8_KEY), SampleEntry::Vp08(_)));
    let SampleEntry::Opus(opus) = entry(Codec::Opus, Some(OPUS_HEAD), b"") else { panic!() };
    assert_eq!((opus.audio.channelcount, opus.dops_box.pre_skip), (2, 312));
    let SampleEntry::Flac(flac) = entry(Codec::Flac, Some(FLAC_HEADER), b"") else { panic!() };
    assert_eq!(flac.dfla_box.metadata_blocks.len(), 1);
    assert!(matches!(entry(Codec::Aac, Some(AAC_44100), b""), SampleEntry::Mp4a(_)));
    assert!(matches!(entry(Codec::Mp3, None, MP3), SampleEntry::Mp4a(_)));
    // It has no structure for these, but passes over them as a reader must.
    assert!(matches!(entry(Codec::Ac3, None, AC3), SampleEntry::Unknown(_)));
}
