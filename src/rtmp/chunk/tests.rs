//! Chunks of every shape, cut everywhere, against a writer of their own and that of `rml_rtmp`.

use std::collections::HashMap;

use proptest::{prelude::*, sample::Index};
use rml_rtmp::{chunk_io::ChunkSerializer, messages::MessagePayload, time::RtmpTimestamp};

use super::*;

mod extended;

const ROOMY: Limits = Limits { message_bytes: MAX_CHUNK_SIZE, partial_bytes: 17 << 20 };

/// Reads everything, `cut` bytes at a time.
fn read_in(
    reader: &mut ChunkReader,
    wire: &[u8],
    cuts: &[usize],
) -> Result<Vec<Message>, ChunkError> {
    let mut messages = Vec::new();
    let mut rest = wire;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        let mut input = Bytes::copy_from_slice(now);
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty());
        assert!(reader.partial_bytes() <= reader.limits.partial_bytes);
        rest = later;
    }
    Ok(messages)
}

fn read(wire: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let whole = read_in(&mut ChunkReader::new(ROOMY), wire, &[usize::MAX]);
    assert_eq!(read_in(&mut ChunkReader::new(ROOMY), wire, &[1]), whole);
    whole
}

fn message(type_id: u8, stream_id: u32, timestamp: u32, payload: &[u8]) -> Message {
    Message { type_id, timestamp, stream_id, payload: Bytes::copy_from_slice(payload) }
}

fn basic(format: u8, csid: u32) -> Vec<u8> {
    match csid {
        2..=63 => vec![format << 6 | csid as u8],
        64..=319 => vec![format << 6, (csid - 64) as u8],
        _ => vec![format << 6 | 1, (csid - 64) as u8, ((csid - 64) >> 8) as u8],
    }
}

fn three(number: usize) -> [u8; 3] {
    let [_, bytes @ ..] = (number as u32).to_be_bytes();
    bytes
}

/// A type 0 header.
fn full(csid: u32, message: &Message) -> Vec<u8> {
    let time = message.timestamp.min(0xFF_FFFF) as usize;
    let mut wire = [&basic(0, csid)[..], &three(time), &three(message.payload.len())].concat();
    wire.push(message.type_id);
    wire.extend_from_slice(&message.stream_id.to_le_bytes());
    if time == 0xFF_FFFF {
        wire.extend_from_slice(&message.timestamp.to_be_bytes());
    }
    wire
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    let message = message(1, 0, 0, &size.to_be_bytes());
    [full(2, &message), size.to_be_bytes().to_vec()].concat()
}

/// Writes messages with the shortest header that says it, chunk by chunk.
#[derive(Default)]
struct Writer {
    /// Time, time field, length, type and stream of the last message by chunk stream.
    last: HashMap<u32, (u32, u32, usize, u8, u32)>,
    omits_extended: bool,
}

impl Writer {
    fn chunks(&mut self, csid: u32, message: &Message, chunk_size: usize) -> Vec<Vec<u8>> {
        let Message { type_id, timestamp, stream_id, payload } = message;
        let length = payload.len();
        let (header, field) = match self.last.get(&csid) {
            Some((time, field, old_length, old_type, old_stream)) if old_stream == stream_id => {
                let delta = timestamp.wrapping_sub(*time);
                let short = three(delta.min(0xFF_FFFF) as usize);
                let is_alike = (*old_length, *old_type) == (length, *type_id);
                let header = match is_alike {
                    true if *field == delta => basic(3, csid),
                    true => [&basic(2, csid)[..], &short].concat(),
                    false => [&basic(1, csid)[..], &short, &three(length), &[*type_id]].concat(),
                };
                (header, delta)
            }
            _ => {
                let mut header = full(csid, message);
                if *timestamp >= 0xFF_FFFF {
                    header.truncate(header.len() - 4);
                }
                (header, *timestamp)
            }
        };
        self.last.insert(csid, (*timestamp, field, length, *type_id, *stream_id));
        let extended = if field >= 0xFF_FFFF { field.to_be_bytes().to_vec() } else { Vec::new() };
        let repeated = if self.omits_extended { &[] } else { &extended[..] };
        let first_extended = if header[0] >> 6 == 3 { repeated } else { &extended[..] };
        let mut parts = payload.chunks(chunk_size);
        let mut chunks =
            vec![[&header[..], first_extended, parts.next().unwrap_or_default()].concat()];
        chunks.extend(parts.map(|part| [&basic(3, csid)[..], repeated, part].concat()));
        chunks
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let time = prop_oneof![
        0..100_u32,
        0xFF_FFF0..0x100_0010_u32,
        0x7FFF_FFF0..0x8000_0010_u32,
        any::<u32>()
    ];
    let length = prop_oneof![0..20_usize, 100..300_usize, 500..2000_usize, Just(20_000_usize)];
    (4..23_u8, 0..3_u32, time, length, any::<u8>()).prop_map(
        |(type_id, stream, time, length, seed)| {
            let payload: Vec<u8> =
                (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            message(type_id, stream, time, &payload)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// All header types, chunk sizes and interleavings, however the bytes are cut.
    #[test]
    fn messages_come_out_as_they_went_in(
        queues in prop::collection::vec((2_u32..70_000, prop::collection::vec(any_message(), 1..8)), 1..5),
        size in prop::sample::select(vec![1_usize, 2, 128, 4096, 65536, MAX_CHUNK_SIZE]),
        order in prop::collection::vec(any::<Index>(), 1..50),
        cuts in prop::collection::vec(1_usize..5000, 1..10),
        omits_extended: bool,
    ) {
        let mut writer = Writer { omits_extended, ..Writer::default() };
        let mut wire = set_chunk_size(size as u32);
        let mut expected: Vec<Message> = Vec::new();
        // Each chunk with the message that it completes.
        type Chunk = (Vec<u8>, Option<Message>);
        let mut pending: HashMap<u32, Vec<Chunk>> = HashMap::new();
        for (csid, messages) in &queues {
            let csid = csid.rem_euclid(65_597) + 3;
            for message in messages {
                let mut chunks: Vec<_> = writer.chunks(csid, message, size).into_iter().map(|c| (c, None)).collect();
                chunks.last_mut().unwrap().1 = Some(message.clone());
                pending.entry(csid).or_default().append(&mut chunks);
            }
        }
        let mut queues: Vec<_> = pending.into_values().map(|chunks| chunks.into_iter()).collect();
        let mut order = order.iter().cycle();
        while !queues.is_empty() {
            let index = order.next().unwrap().index(queues.len());
            match queues[index].next() {
                Some((chunk, message)) => {
                    wire.extend_from_slice(&chunk);
                    expected.extend(message);
                }
                None => drop(queues.remove(index)),
            }
        }
        for cuts in [&[usize::MAX][..], &[1], &cuts] {
            let mut reader = ChunkReader::new(ROOMY);
            let messages = read_in(&mut reader, &wire, cuts).unwrap();
            prop_assert_eq!(&messages, &expected);
            prop_assert_eq!(reader.partial_bytes(), 0);
        }
    }

    /// The library that other programs write with.
    #[test]
    fn the_serializer_of_rml_is_understood(
        messages in prop::collection::vec((any_message(), 0..5000_u32), 1..12),
        size in prop::sample::select(vec![1_u32, 128, 65536, MAX_CHUNK_SIZE as u32]),
        cuts in prop::collection::vec(1_usize..5000, 1..10),
    ) {
        let mut serializer = ChunkSerializer::new();
        let mut wire = serializer.set_max_chunk_size(size, RtmpTimestamp::new(0)).unwrap().bytes;
        let mut expected = Vec::new();
        let mut timestamp = messages[0].0.timestamp;
        for (mut message, step) in messages {
            timestamp = timestamp.wrapping_add(step);
            message.timestamp = timestamp;
            if message.payload.is_empty() || message.type_id == 1 || message.type_id == 2 {
                continue;
            }
            let payload = MessagePayload {
                timestamp: RtmpTimestamp::new(timestamp),
                type_id: message.type_id,
                message_stream_id: message.stream_id,
                data: message.payload.clone(),
            };
            wire.extend(serializer.serialize(&payload, false, false).unwrap().bytes);
            expected.push(message);
        }
        let messages = read_in(&mut ChunkReader::new(ROOMY), &wire, &cuts).unwrap();
        prop_assert_eq!(messages, expected);
    }

    /// No bytes make it panic or hold more than it may.
    #[test]
    fn any_bytes_are_survived(
        wire in prop::collection::vec(any::<u8>(), 0..4000),
        cuts in prop::collection::vec(1_usize..200, 1..5),
        message_bytes in 0..100_000_usize,
        partial_bytes in 0..100_000_usize,
    ) {
        let limits = Limits { message_bytes, partial_bytes };
        let [whole, cut] = [&[usize::MAX][..], &cuts].map(|cuts| {
            let mut reader = ChunkReader::new(limits);
            let outcome = read_in(&mut reader, &wire, cuts);
            outcome.map(|messages| (messages, reader.finish(), reader.partial_bytes()))
        });
        let bare = |outcome: Result<(Vec<Message>, Option<Message>, usize), ChunkError>| {
            outcome.map(|(messages, last, held)| {
                assert!(held <= partial_bytes);
                (messages, last)
            })
        };
        prop_assert_eq!(bare(whole).ok(), bare(cut).ok());
    }
}

#[test]
fn a_message_inside_one_chunk_is_a_slice_of_the_input() {
    let body = vec![7; 3000];
    let wire =
        Bytes::from([set_chunk_size(4096), full(6, &message(9, 1, 0, &body)), body].concat());
    let mut input = wire.clone();
    let payload = ChunkReader::new(ROOMY).read(&mut input).unwrap().unwrap().payload;
    assert!(wire.as_ptr_range().contains(&payload.as_ptr()));
}

#[test]
fn type_3_repeats_the_delta_when_it_begins_a_message() {
    let first = message(8, 1, 1000, b"ab");
    let mut wire = [full(4, &first), b"ab".to_vec()].concat();
    wire.extend_from_slice(&[0x84, 0, 0, 23, b'c', b'd']);
    wire.extend_from_slice(&[0xC4, b'e', b'f', 0xC4, b'g', b'h']);
    let times: Vec<u32> = read(&wire).unwrap().iter().map(|m| m.timestamp).collect();
    assert_eq!(times, [1000, 1023, 1046, 1069]);
    // Right behind type 0 the delta is its time (RTMP 1.0 section 5.3.1.2.4).
    let wire = [full(4, &first), b"ab".to_vec(), vec![0xC4, b'c', b'd']].concat();
    assert_eq!(read(&wire).unwrap()[1].timestamp, 2000);
}

#[test]
fn chunk_streams_may_begin_with_type_1_but_not_2_or_3() {
    let wire = [&[0x42][..], &three(5), &three(1), &[4, 9]].concat();
    assert_eq!(read(&wire).unwrap(), [message(4, 0, 5, &[9])]);
    for format in [2, 3] {
        let wire = [basic(format, 7), vec![0; 20]].concat();
        assert_eq!(read(&wire), Err(ChunkError::NoPreviousHeader { csid: 7, format }));
    }
}

#[test]
fn chunk_sizes_are_checked() {
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&set_chunk_size(size)), Err(ChunkError::ChunkSize(size)));
    }
    let body = vec![1; 5000];
    for size in [5000, 0x00FF_FFFF, 0x7FFF_FFFF] {
        let wire = [set_chunk_size(size), full(6, &message(9, 1, 0, &body)), body.clone()].concat();
        assert_eq!(read(&wire).unwrap().len(), 1);
    }
    let wire = [full(2, &message(1, 0, 0, &[1])), vec![1]].concat();
    assert_eq!(read(&wire), Err(ChunkError::ShortControl { type_id: 1, bytes: 1 }));
}

#[test]
fn abort_discards_a_partial_message() {
    let begun = [full(6, &message(9, 1, 40, &[1; 300])), vec![1; 128]].concat();
    let abort =
        [full(2, &message(2, 0, 0, &6_u32.to_be_bytes())), 6_u32.to_be_bytes().to_vec()].concat();
    let next = message(9, 1, 80, b"next");
    let wire = [begun, abort, full(6, &next), b"next".to_vec()].concat();
    assert_eq!(read(&wire).unwrap(), [next]);
}

#[test]
fn a_message_can_repeat_its_header_but_not_be_interrupted() {
    let body = [5; 200];
    let begun = message(9, 1, 40, &body);
    let wire =
        [full(6, &begun), body[..128].to_vec(), full(6, &begun), body[128..].to_vec()].concat();
    assert_eq!(read(&wire).unwrap(), std::slice::from_ref(&begun));
    let other = message(9, 1, 41, &body);
    let wire = [full(6, &begun), body[..128].to_vec(), full(6, &other)].concat();
    assert_eq!(read(&wire), Err(ChunkError::Interrupted { csid: 6, received: 128, length: 200 }));
}

#[test]
fn limits_hold() {
    let limits = Limits { message_bytes: 65536, partial_bytes: 65536 };
    let wire = full(6, &message(9, 1, 0, &vec![0; 65537]));
    let error = read_in(&mut ChunkReader::new(limits), &wire, &[99]).unwrap_err();
    assert_eq!(error, ChunkError::MessageTooLarge { length: 65537, limit: 65536 });

    // Many messages begun and none finished; each announces the most it may.
    let begun = |csid| [full(csid, &message(9, 1, 0, &vec![0; 65536])), vec![0; 128]].concat();
    let wire: Vec<u8> = (3..3 + 64).flat_map(begun).collect();
    let error = read_in(&mut ChunkReader::new(limits), &wire, &[99]).unwrap_err();
    assert!(matches!(error, ChunkError::PartialTooLarge { limit: 65536, .. }), "{error}");

    let wire: Vec<u8> = (3..3 + 65).flat_map(|csid| full(csid, &message(9, 1, 0, b""))).collect();
    let error = read_in(&mut ChunkReader::new(limits), &wire, &[99]).unwrap_err();
    assert_eq!(error, ChunkError::TooManyChunkStreams);
}
