//! Every codec that MP4 takes, with and without a configuration record: sample entries, and what
//! of a stream is looked at to write them.

use mp4_atom::Codec as Entry;

use super::*;

/// libaom, 320x180.
pub(super) const AV1C: &[u8] =
    b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40";
/// A key frame of the same stream: temporal delimiter, sequence header, start of the picture.
pub(super) const AV1_KEY: &[u8] =
    b"\x12\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40\x32\xbb\x17\x14\x00";
pub(super) const VPCC: &[u8] = b"\x00\x0b\x82\x01\x01\x01\x00\x00";
/// libvpx, 320x180.
pub(super) const VP9_KEY: &[u8] = b"\x82\x49\x83\x42\x00\x13\xf0\x0b\x36\x04\x38";
/// The same with 640x180.
pub(super) const VP9_WIDER: &[u8] = b"\x82\x49\x83\x42\x00\x27\xf0\x0b\x36\x04\x38";
pub(super) const VP8_KEY: &[u8] = b"\x10\x62\x00\x9d\x01\x2a\x40\x01\xb4\x00\x00\x07";
pub(super) const AC3: &[u8] = b"\x0b\x77\x1e\x8b\x1c\x40\xeb\xf8\x40\x3e";
pub(super) const EAC3: &[u8] = b"\x0b\x77\x01\xa0\x74\x87\xc0\x00\x20\x84";
pub(super) const MP3: &[u8] = b"\xff\xfb\x90\x64data";
const MP3_HALF: &[u8] = b"\xff\xf3\x80\xc4data";
pub(super) const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
pub(super) const FLAC_HEADER: &[u8] = b"fLaC\x80\x00\x00\x22\x12\x00\x12\x00\0\0\0\0\0\0\
    \x0a\xc4\x42\xf0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Configurations by ordinal, from 1.
pub(super) fn with(records: &[(Codec, &'static [u8])]) -> Configs {
    let mut configs = Configs::new();
    for ((codec, record), ordinal) in records.iter().zip(1..) {
        configs.insert(ordinal, config(track_of(*codec), *codec, record));
    }
    configs
}

pub(super) fn track_of(codec: Codec) -> Track {
    if codec as u8 >= Codec::Aac as u8 { Track::Audio } else { Track::Video }
}

pub(super) fn frame(codec: Codec, config: u32, dts_ms: i64, keyframe: bool) -> Sample {
    let track = track_of(codec);
    Sample { track, codec, config, ..video(dts_ms, 0, keyframe, 100) }
}

/// Pushes a frame as the first walk does; true if its beginning was looked at.
pub(super) fn walk(builder: &mut Mp4Builder, sample: &Sample, head: &[u8]) -> bool {
    let wants = builder.wants_frame(sample);
    let head = if wants { head } else { b"not to be looked at" };
    builder.push_with_frame(sample, head).unwrap();
    wants
}

fn entries_of(layout: &Mp4File) -> Vec<Entry> {
    moov(layout).trak[0].mdia.minf.stbl.stsd.codecs.clone()
}

/// One frame of a stream that has this record, or none.
fn single(codec: Codec, record: Option<&'static [u8]>, head: &[u8]) -> (Mp4File, bool) {
    let configs = record.map(|record| with(&[(codec, record)])).unwrap_or_default();
    let mut builder = Mp4Builder::new(&configs, 0);
    let sample = frame(codec, u32::from(record.is_some()), 0, true);
    assert!(takes(&sample));
    let looked = walk(&mut builder, &sample, head);
    let layout = Mp4File::from(builder.finish(None).unwrap());
    second::agree(&layout);
    (layout, looked)
}

fn holds(layout: &Mp4File, bytes: &[u8]) -> bool {
    layout.head.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn av1_from_its_record_or_its_first_key_frame() {
    let (bare, none) = (&AV1C[..4], None);
    for (record, looks, written) in
        [(Some(AV1C), true, AV1C), (Some(bare), true, bare), (none, true, AV1C)]
    {
        let (layout, looked) = single(Codec::Av1, record, AV1_KEY);
        assert_eq!(looked, looks);
        let [Entry::Av01(av01)] = &entries_of(&layout)[..] else { panic!() };
        assert_eq!((av01.visual.width, av01.visual.height), (320, 180));
        assert!(holds(&layout, &[&b"av1C"[..], written].concat()));
        assert!(layout.head[..40].windows(4).any(|brand| brand == b"av01"));
    }
}

#[test]
fn vp9_and_vp8() {
    for record in [Some(VPCC), None] {
        let (layout, looked) = single(Codec::Vp9, record, VP9_KEY);
        assert!(looked);
        let [Entry::Vp09(vp09)] = &entries_of(&layout)[..] else { panic!() };
        assert_eq!((vp09.visual.width, vp09.visual.height), (320, 180));
        let written = record.unwrap_or(b"\x00\x0b\x82\x02\x02\x02\x00\x00");
        assert!(holds(&layout, &[&b"\x00\x00\x00\x14vpcC\x01\x00\x00\x00"[..], written].concat()));
    }
    // A record with the header of its box, and one without its last field.
    for record in [&b"\x01\0\0\0\x00\x0b\x82\x01\x01\x01\0\0"[..], &VPCC[..6]] {
        let (layout, _) = single(Codec::Vp9, Some(record), VP9_KEY);
        assert!(holds(&layout, &[&b"\x00\x00\x00\x14vpcC\x01\x00\x00\x00"[..], VPCC].concat()));
    }
    let (layout, _) = single(Codec::Vp8, None, VP8_KEY);
    let [Entry::Vp08(vp08)] = &entries_of(&layout)[..] else { panic!() };
    assert_eq!((vp08.visual.width, vp08.visual.height), (320, 180));
}

#[test]
fn sound_without_a_record() {
    // A record that some encoder sends all the same changes nothing.
    for record in [None, Some(&b"whatever"[..])] {
        let (layout, looked) = single(Codec::Ac3, record, AC3);
        let [Entry::Ac3(ac3)] = &entries_of(&layout)[..] else { panic!() };
        assert_eq!((ac3.audio.channel_count, ac3.audio.sample_rate.integer()), (6, 48_000));
        assert!(looked && holds(&layout, b"dac3\x10\x3d\xc0"));
        let (layout, _) = single(Codec::Eac3, record, EAC3);
        let [Entry::Eac3(eac3)] = &entries_of(&layout)[..] else { panic!() };
        assert_eq!((eac3.audio.channel_count, eac3.audio.sample_rate.integer()), (2, 44_100));
        assert!(holds(&layout, b"dec3\x06\x00\x60\x04\x00"));
        for (head, object_type, rate, channels) in
            [(MP3, 0x6b, 44_100, 2), (MP3_HALF, 0x69, 22_050, 1)]
        {
            let (layout, _) = single(Codec::Mp3, record, head);
            let [Entry::Mp4a(mp4a)] = &entries_of(&layout)[..] else { panic!() };
            let decoder = &mp4a.esds.es_desc.dec_config;
            assert_eq!(
                (decoder.object_type_indication, &decoder.dec_specific),
                (object_type, &None)
            );
            let audio = &mp4a.audio;
            assert_eq!((audio.sample_rate.integer(), audio.channel_count), (rate, channels));
        }
    }
}

#[test]
fn opus_and_flac() {
    let (layout, looked) = single(Codec::Opus, Some(OPUS_HEAD), b"");
    let [Entry::Opus(opus)] = &entries_of(&layout)[..] else { panic!() };
    assert_eq!((opus.audio.channel_count, opus.audio.sample_rate.integer()), (2, 48_000));
    assert!(!looked && holds(&layout, b"dOps\x00\x02\x01\x38\x00\x00\xbb\x80\x00\x00\x00"));
    let (layout, looked) = single(Codec::Flac, Some(FLAC_HEADER), b"");
    let [Entry::Flac(flac)] = &entries_of(&layout)[..] else { panic!() };
    assert_eq!((flac.audio.channel_count, flac.audio.sample_size), (2, 16));
    assert!(!looked && holds(&layout, &[b"dfLa\0\0\0\0", &FLAC_HEADER[4..]].concat()));
}

#[test]
fn the_first_key_frame_describes_the_lead_in() {
    let mut builder = Mp4Builder::new(&Configs::new(), 0);
    assert!(!walk(&mut builder, &frame(Codec::Vp9, 0, 0, false), VP9_KEY));
    // Damaged, then good, then of another size.
    assert!(walk(&mut builder, &frame(Codec::Vp9, 0, 40, true), b"\0"));
    assert!(walk(&mut builder, &frame(Codec::Vp9, 0, 80, true), VP9_KEY));
    assert!(!walk(&mut builder, &frame(Codec::Vp9, 0, 120, false), VP9_WIDER));
    assert!(walk(&mut builder, &frame(Codec::Vp9, 0, 160, true), VP9_WIDER));
    assert!(!walk(&mut builder, &frame(Codec::Vp9, 0, 200, false), b""));
    assert!(walk(&mut builder, &frame(Codec::Vp9, 0, 240, true), VP9_KEY));
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let entries: Vec<u32> = seen(&moov(&layout).trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!(entries, [1, 1, 1, 1, 2, 2, 1]);
    assert_eq!(moov(&layout).trak[0].tkhd.width.integer(), 640);
}

#[test]
fn sound_may_change_without_a_record() {
    let mut builder = Mp4Builder::new(&Configs::new(), 0);
    // A damaged frame is no change, and another bit rate is none.
    let heads = [MP3, MP3, MP3_HALF, b"no frame", MP3_HALF, b"\xff\xfb\xa0\x64data"];
    for (head, at) in heads.into_iter().zip(0..) {
        assert!(walk(&mut builder, &frame(Codec::Mp3, 0, at * 26, true), head));
    }
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let entries: Vec<u32> = seen(&moov(&layout).trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!((entries, layout.irregularities.parameter_changes), (vec![1, 1, 2, 2, 2, 1], 2));

    let mut builder = Mp4Builder::new(&Configs::new(), 0);
    // Another bit rate, then another number of channels.
    let heads = [
        AC3,
        b"\x0b\x77\x1e\x8b\x1e\x40\xeb\xf8\x40\x3e",
        b"\x0b\x77\x1e\x8b\x1c\x40\x4b\xf8\x40\x3e",
    ];
    for (head, at) in heads.into_iter().zip(0..) {
        assert!(walk(&mut builder, &frame(Codec::Ac3, 0, at * 32, true), head));
    }
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let entries: Vec<u32> = seen(&moov(&layout).trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!(entries, [1, 1, 2]);
}

#[test]
fn what_nothing_describes() {
    // A record is enough where no frame can be read: the size is not known then.
    let mut builder = Mp4Builder::new(&with(&[(Codec::Vp9, VPCC)]), 0);
    walk(&mut builder, &frame(Codec::Vp9, 1, 0, false), b"");
    let layout = Mp4File::from(builder.finish(None).unwrap());
    assert_eq!(moov(&layout).trak[0].tkhd.width.integer(), 0);
    // Without one the track cannot be written.
    let mut builder = Mp4Builder::new(&Configs::new(), 0);
    for index in 0..100 {
        let looked = walk(&mut builder, &frame(Codec::Mp3, 0, index * 26, true), b"no frame");
        assert_eq!(looked, index < 64, "it is not looked for for ever");
    }
    let error = builder.finish(None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no configuration and no frame of the file says how its mp3 is coded"
    );
    // Frames under the configuration of another codec.
    let mut builder = Mp4Builder::new(&configs(), 0);
    let hevc = Sample { codec: Codec::Hevc, ..video(0, 0, true, 5) };
    assert!(!builder.wants_frame(&hevc));
    builder.push(&hevc).unwrap();
    assert!(matches!(builder.finish(None), Err(Error::Empty)));
}

#[test]
fn a_second_session_shares_the_entries_of_the_first() {
    let records = [(Codec::Vp9, VPCC), (Codec::Opus, OPUS_HEAD)];
    let mut builder = Mp4Builder::new(&with(&records), 0);
    walk(&mut builder, &frame(Codec::Vp9, 1, 0, true), VP9_KEY);
    walk(&mut builder, &frame(Codec::Opus, 2, 0, true), b"");
    // The same under other ordinals; the picture starts with what cannot be decoded.
    builder.set_configs(&with(&[(Codec::Opus, OPUS_HEAD), (Codec::Vp9, VPCC)]));
    assert!(!walk(&mut builder, &frame(Codec::Opus, 1, 20, true), b""));
    assert!(!walk(&mut builder, &frame(Codec::Vp9, 2, 40, false), b""));
    assert!(walk(&mut builder, &frame(Codec::Vp9, 2, 80, true), VP9_KEY));
    // A third one has a larger picture behind the same record.
    builder.set_configs(&with(&records));
    assert!(walk(&mut builder, &frame(Codec::Vp9, 1, 120, true), VP9_WIDER));
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let moov = moov(&layout);
    let entries =
        |track: usize| seen(&moov.trak[track]).iter().map(|s| s.entry).collect::<Vec<_>>();
    assert_eq!((entries(0), entries(1)), (vec![1, 1, 1, 2], vec![1, 1]));
    assert_eq!(moov.trak[0].mdia.minf.stbl.stsd.codecs.len(), 2);
    assert_eq!(moov.trak[0].tkhd.width.integer(), 640);
    assert_eq!(layout.irregularities.parameter_changes, 1);
}

#[test]
fn a_damaged_record_of_a_codec_that_describes_itself() {
    let configs = with(&[(Codec::Av1, b"\x7f"), (Codec::Av1, AV1C)]);
    let mut builder = Mp4Builder::new(&configs, 0);
    assert!(walk(&mut builder, &frame(Codec::Av1, 1, 0, true), AV1_KEY));
    assert!(walk(&mut builder, &frame(Codec::Av1, 2, 40, true), AV1_KEY));
    let layout = Mp4File::from(builder.finish(None).unwrap());
    assert_eq!(layout.irregularities.damaged_configs, 1);
    assert_eq!(entries_of(&layout).len(), 2);
}

#[test]
fn a_codec_that_changes_gets_a_sample_entry() {
    let mut builder = Mp4Builder::new(&configs(), 0);
    walk(&mut builder, &audio(0, 9), b"");
    // The configuration in force is that of AAC; MP3 needs none.
    let mp3 = Sample { config: 2, ..frame(Codec::Mp3, 2, 26, true) };
    assert!(walk(&mut builder, &mp3, MP3));
    walk(&mut builder, &audio(52, 9), b"");
    let layout = Mp4File::from(builder.finish(None).unwrap());
    let entries: Vec<u32> = seen(&moov(&layout).trak[0]).iter().map(|s| s.entry).collect();
    assert_eq!((entries, layout.irregularities.parameter_changes), (vec![1, 2, 1], 2));
}
