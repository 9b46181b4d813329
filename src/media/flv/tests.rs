//! Whole files: written from samples as a journal would hold them, and read back tag by tag.

use proptest::prelude::*;

use super::header::{FILE_HEADER_LEN, TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader};
use super::*;
use crate::media::amf0::encode_all;
use crate::media::demux::demux;

const AVC_CONFIG: &[u8] = b"\x17\0\0\0\0\x01\x64\0\x1e\xff\xe0\0";
const AVC_KEY: &[u8] = b"\x17\x01\0\0\0\0\0\0\x01\x65";
const AVC_INTER: &[u8] = b"\x27\x01\0\0\x28\0\0\0\x01\x41";
const AAC_CONFIG: &[u8] = b"\xaf\0\x12\x10";
const AAC_FRAME: &[u8] = b"\xaf\x01\x21";

/// The bytes of a journal and the samples in them.
#[derive(Default)]
struct Journal {
    bytes: Vec<u8>,
    samples: Vec<(Sample, bool)>,
}

impl Journal {
    fn push(&mut self, kind: TagKind, time_ms: i64, payload: &[u8]) -> &mut Self {
        let position = self.bytes.len() as u64;
        encode_tag(kind, time_ms, payload, &mut self.bytes);
        let mut found = Vec::new();
        demux(kind, payload, &mut found);
        for (n, sample) in found.iter().enumerate() {
            let sample = Sample {
                position,
                tag_len: if n == 0 { tag_len(payload.len()) as u32 } else { 0 },
                data_offset: sample.data_offset + TAG_HEADER_LEN as u32,
                data_len: sample.data_len,
                dts_ms: time_ms,
                cts_ms: sample.cts_ms,
                config: 0,
                track: sample.track,
                track_id: sample.track_id,
                kind: sample.kind,
                codec: sample.codec,
                keyframe: sample.keyframe,
                has_nanos: false,
                crc: None,
            };
            let is_metadata = kind == TagKind::Script && script::is_metadata(payload);
            self.samples.push((sample, is_metadata));
        }
        self
    }

    fn video(&mut self, time_ms: i64, payload: &[u8]) -> &mut Self {
        self.push(TagKind::Video, time_ms, payload)
    }

    fn audio(&mut self, time_ms: i64, payload: &[u8]) -> &mut Self {
        self.push(TagKind::Audio, time_ms, payload)
    }

    /// A file of all samples, and the layout of it.
    fn file(
        &self,
        metadata: Option<&[u8]>,
        in_force: &[(Track, Bytes)],
        reserved: Option<u64>,
    ) -> (Vec<u8>, FlvLayout) {
        let mut head = FlvHead::new();
        let mut body = Vec::new();
        for (sample, is_metadata) in &self.samples {
            if head.push(sample, *is_metadata) {
                let start = sample.position as usize;
                body.extend_from_slice(&self.bytes[start..start + sample.tag_len as usize]);
            }
        }
        assert_eq!(head.body_len(), body.len() as u64);
        let layout = head.finish(metadata, in_force, reserved).unwrap();
        let file = [&layout.head[..], &body].concat();
        assert_eq!(file.len() as u64, layout.total_len);
        (file, layout)
    }
}

/// Position, kind, time and payload of every tag, checking the back pointers.
fn tags(file: &[u8]) -> Vec<(u64, u8, u32, &[u8])> {
    let mut tags = Vec::new();
    let mut at = FILE_HEADER_LEN;
    while at < file.len() {
        let header = TagHeader::decode(file[at..].first_chunk().unwrap());
        let end = at + TAG_HEADER_LEN + header.data_size as usize;
        let trailer = u32::from_be_bytes(file[end..end + TAG_TRAILER_LEN].try_into().unwrap());
        assert_eq!(trailer as usize, end - at);
        let payload = &file[at + TAG_HEADER_LEN..end];
        tags.push((at as u64, header.kind_byte, header.time_ms, payload));
        at = end + TAG_TRAILER_LEN;
    }
    tags
}

fn metadata_of(file: &[u8]) -> Value {
    let (_, kind, time_ms, payload) = tags(file)[0];
    assert_eq!((kind, time_ms), (18, 0));
    let script = script::decode_script(payload).unwrap();
    assert_eq!(script.name, "onMetaData");
    script.values[0].clone()
}

fn number(metadata: &Value, name: &str) -> f64 {
    metadata.get(name).unwrap().as_number().unwrap()
}

fn numbers(metadata: &Value, name: &str) -> Vec<f64> {
    match metadata.get("keyframes").unwrap().get(name) {
        Some(Value::StrictArray(values)) => values.iter().map(|v| v.as_number().unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

fn on_metadata(prefix: &[&str], key: &str) -> Vec<u8> {
    let mut values: Vec<Value> = prefix.iter().map(|name| Value::from(*name)).collect();
    values.push(Value::EcmaArray(vec![(key.into(), 1.0.into()), ("duration".into(), 0.0.into())]));
    encode_all(&values)
}

/// A stream of two seconds from 5 s on, with two onMetaData.
fn stream() -> Journal {
    let mut journal = Journal::default();
    let set = on_metadata(&["@setDataFrame", "onMetaData"], "width");
    journal.push(TagKind::Script, 0, &set).video(5000, AVC_CONFIG).audio(5000, AAC_CONFIG);
    for n in 0..50 {
        let frame = if n % 25 == 0 { AVC_KEY } else { AVC_INTER };
        journal.video(5000 + n * 40, frame).audio(5010 + n * 40, AAC_FRAME);
        if n == 30 {
            journal.push(TagKind::Script, 6200, &set);
        }
    }
    journal.video(0, b"\x17\x02\0\0\0");
    journal
}

#[test]
fn the_first_metadata_move_to_the_head() {
    let journal = stream();
    let payload = on_metadata(&["@setDataFrame", "onMetaData"], "width");
    let (file, layout) = journal.file(Some(&payload), &[], None);
    assert_eq!(layout.skip_position, Some(0));
    assert_eq!((layout.duration_ms, layout.is_thinned), (2010, false));
    let metadata = metadata_of(&file);
    let keys: Vec<_> = metadata.members().unwrap().iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys[..3], ["width", "duration", "filesize"]);
    assert_eq!(number(&metadata, "duration"), 2.01);
    assert_eq!(number(&metadata, "filesize"), file.len() as f64);
    assert_eq!(number(&metadata, "lasttimestamp"), 1.97);
    assert_eq!(number(&metadata, "lastkeyframetimestamp"), 1.0);
    // Everything else is as it was, the second onMetaData included.
    let first_len = tag_len(payload.len()) as usize;
    assert!(file.ends_with(&journal.bytes[first_len..]));
    assert_eq!(file.len(), layout.head.len() + journal.bytes.len() - first_len);
    assert_eq!(file[..5], *b"FLV\x01\x05");
}

#[test]
fn key_frames_point_at_their_tags() {
    let (file, _) = stream().file(None, &[], None);
    let metadata = metadata_of(&file);
    assert_eq!(numbers(&metadata, "times"), [0.0, 0.0, 1.0]);
    let positions = numbers(&metadata, "filepositions");
    let at = |position: f64| *tags(&file).iter().find(|tag| tag.0 as f64 == position).unwrap();
    assert_eq!(at(positions[0]).3, AVC_CONFIG);
    assert_eq!((at(positions[1]).2, at(positions[1]).3), (5000, AVC_KEY));
    assert_eq!((at(positions[2]).2, at(positions[2]).3), (6000, AVC_KEY));
    assert_eq!(number(&metadata, "lastkeyframelocation"), positions[2]);
}

#[test]
fn a_file_from_the_middle_gets_its_configuration_and_metadata() {
    let mut journal = Journal::default();
    let time_ms = 0x1_0000_0010;
    journal.video(time_ms, AVC_KEY).audio(time_ms + 5, AAC_FRAME);
    journal.samples.iter_mut().for_each(|(_, is_metadata)| *is_metadata = false);
    let in_force = [
        (Track::Video, Bytes::from_static(AVC_CONFIG)),
        (Track::Audio, Bytes::from_static(AAC_CONFIG)),
    ];
    let metadata = on_metadata(&["onMetaData"], "width");
    let (file, layout) = journal.file(Some(&metadata), &in_force, None);
    let expected =
        [(9, 0x10, AVC_CONFIG), (8, 0x10, AAC_CONFIG), (9, 0x10, AVC_KEY), (8, 0x15, AAC_FRAME)];
    let found: Vec<_> = tags(&file)[1..].iter().map(|tag| (tag.1, tag.2, tag.3)).collect();
    assert_eq!(found, expected);
    assert_eq!(layout.skip_position, None);
    let metadata = metadata_of(&file);
    assert_eq!(number(&metadata, "width"), 1.0);
    assert_eq!(numbers(&metadata, "filepositions")[0], tags(&file)[1].0 as f64);
}

#[test]
fn sound_alone_and_nothing_at_all() {
    let mut journal = Journal::default();
    for n in 0..10 {
        journal.audio(n * 23, AAC_FRAME);
    }
    let (file, layout) = journal.file(None, &[], None);
    assert_eq!((file[4], layout.duration_ms), (4, 230));
    let metadata = metadata_of(&file);
    assert_eq!(metadata.get("keyframes"), None);
    assert_eq!(metadata.get("hasKeyframes"), Some(&false.into()));

    let (file, layout) = Journal::default().file(None, &[], None);
    assert_eq!((tags(&file).len(), layout.duration_ms), (1, 0));
}

#[test]
fn the_journals_own_tags_are_left_out() {
    let mut journal = stream();
    let whole = journal.file(None, &[], None).0.len();
    let frame = journal.samples.iter().position(|(sample, _)| sample.keyframe).unwrap();
    for kind in [SampleKind::Private, SampleKind::Repeated, SampleKind::Clock] {
        let (sample, _) = &mut journal.samples[frame];
        sample.kind = kind;
        let less = tag_len(AVC_KEY.len()) + keyframes::ENTRY_LEN;
        assert_eq!(journal.file(None, &[], None).0.len() as u64, whole as u64 - less);
    }
}

#[test]
fn a_jump_says_nothing_about_the_last_frame() {
    let mut span = Span::new(0);
    [40, 80, 3_600_000].into_iter().for_each(|dts_ms| span.extend(dts_ms));
    assert_eq!((span.first_ms, span.end_ms()), (0, 3_600_040));
    span.extend(3_599_000);
    span.extend(3_599_000);
    assert_eq!(span.end_ms(), 3_600_040);
    let mut far = Span::new(i64::MIN);
    far.extend(i64::MAX);
    assert_eq!(far.end_ms(), i64::MAX);
}

#[test]
fn a_reserve_is_filled_exactly_or_refused() {
    let journal = stream();
    let payload = on_metadata(&["onMetaData"], "width");
    let enough = FlvHead::reserve_for(Some(&payload), &[], 2);
    let (file, layout) = journal.file(Some(&payload), &[], Some(enough));
    assert_eq!((layout.head.len() as u64, layout.is_thinned), (enough, false));
    assert_eq!(numbers(&metadata_of(&file), "times"), [0.0, 0.0, 1.0]);
    let (file, layout) = journal.file(Some(&payload), &[], Some(enough - 1));
    assert_eq!((layout.head.len() as u64, layout.is_thinned), (enough - 1, true));
    assert_eq!(numbers(&metadata_of(&file), "times"), [0.0, 0.0]);
    assert_eq!(number(&metadata_of(&file), "lastkeyframetimestamp"), 1.0);

    let mut head = FlvHead::new();
    journal.samples.iter().for_each(|(sample, _)| {
        head.push(sample, false);
    });
    let needed = enough - 2 * keyframes::ENTRY_LEN;
    assert_eq!(head.finish(Some(&payload), &[], Some(needed)).unwrap().head.len() as u64, needed);
    let refused = head.finish(Some(&payload), &[], Some(needed - 1));
    assert_eq!(refused, Err(FlvError::HeadTooLarge { needed, reserved: needed - 1 }));
    let refused = head.finish(None, &[], Some(RESERVE_MAX_BYTES + 1));
    assert_eq!(refused, Err(FlvError::ReserveTooLarge(RESERVE_MAX_BYTES + 1)));
    let largest = head.finish(None, &[], Some(RESERVE_MAX_BYTES)).unwrap();
    assert_eq!(largest.head.len() as u64, RESERVE_MAX_BYTES);
}

fn any_tag() -> impl Strategy<Value = (TagKind, i64, Vec<u8>)> {
    let payload = prop_oneof![
        Just((TagKind::Video, AVC_KEY.to_vec())),
        Just((TagKind::Video, AVC_INTER.to_vec())),
        Just((TagKind::Video, b"\x96\x13av01\x00\0\0\x01a\x01\0\0\x01b".to_vec())),
        Just((TagKind::Audio, AAC_FRAME.to_vec())),
        Just((TagKind::Script, on_metadata(&["onMetaData"], "k"))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| (TagKind::Script, bytes)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| (TagKind::Video, bytes)),
    ];
    (payload, -5_000..100_000i64).prop_map(|((kind, payload), time_ms)| (kind, time_ms, payload))
}

proptest! {
    #[test]
    fn the_body_is_the_journal_without_one_tag(
        stream in prop::collection::vec(any_tag(), 0..40),
        extra in prop::option::of(0..5000u64),
    ) {
        let mut journal = Journal::default();
        for (kind, time_ms, payload) in &stream {
            journal.push(*kind, *time_ms, payload);
        }
        let first = stream.iter().position(|(kind, _, payload)| {
            *kind == TagKind::Script && script::is_metadata(payload)
        });
        let metadata = first.map(|at| &stream[at].2[..]);
        let reserved = extra.map(|extra| FlvHead::reserve_for(metadata, &[], 0) + extra);
        let (file, layout) = journal.file(metadata, &[], reserved);
        let tags_of_file = tags(&file);
        let written = tags_of_file[1..].iter().map(|tag| (tag.1, tag.2, tag.3.to_vec()));
        let written: Vec<_> = written.collect();
        let expected: Vec<_> = stream
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != first)
            .map(|(_, (kind, time_ms, payload))| (*kind as u8, *time_ms as u32, payload.clone()))
            .collect();
        prop_assert_eq!(written, expected);
        prop_assert!(layout.duration_ms >= 0);
        let metadata = metadata_of(&file);
        prop_assert_eq!(number(&metadata, "filesize"), file.len() as f64);
        if metadata.get("keyframes").is_some() {
            let starts: Vec<_> = tags(&file).iter().map(|tag| tag.0 as f64).collect();
            for position in numbers(&metadata, "filepositions") {
                prop_assert!(starts.contains(&position));
            }
        }
    }
}
