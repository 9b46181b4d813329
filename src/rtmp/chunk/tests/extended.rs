//! Extended timestamps, which some senders repeat on type 3 chunks and others do not.

use super::*;

#[test]
fn extended_timestamps_on_type_3_may_be_there_absolute_or_missing() {
    let body: Vec<u8> = (0..200_u32).map(|i| i as u8 | 0x80).collect();
    let first = message(9, 1, 0x0200_0000, &body);
    let head = [full(6, &first), body[..128].to_vec()].concat();
    for repeated in [&0x0200_0000_u32.to_be_bytes()[..], &[]] {
        let wire = [&head[..], &[0xC6], repeated, &body[128..]].concat();
        assert_eq!(read(&wire).unwrap(), std::slice::from_ref(&first));
    }
    // A delta that needs the extension; the repetition is the delta or the absolute time.
    let second = message(9, 1, 0x0500_0000, &body);
    let delta = 0x0300_0000_u32.to_be_bytes();
    for repeated in [&delta[..], &0x0500_0000_u32.to_be_bytes(), &[]] {
        let mut wire = [&head[..], &[0xC6], &0x0200_0000_u32.to_be_bytes(), &body[128..]].concat();
        wire.extend(
            [&[0x86, 0xFF, 0xFF, 0xFF], &delta[..], &body[..128], &[0xC6], repeated, &body[128..]]
                .concat(),
        );
        assert_eq!(read(&wire).unwrap()[1], second);
    }
    // Too few bytes behind the header to compare all four: told apart by the first that differs.
    let short = message(9, 1, 0x0200_0000, &[&body[..128], &[2, 9]].concat());
    let wire = [full(6, &short), body[..128].to_vec(), vec![0xC6, 2, 9]].concat();
    assert_eq!(read(&wire).unwrap(), [short]);
}

/// What comes out of the wire, and what the end of it settles.
fn read_to_the_end(wire: &[u8]) -> Vec<Message> {
    let ends = [usize::MAX, 1].map(|cut| {
        let mut reader = ChunkReader::new(ROOMY);
        let mut messages = read_in(&mut reader, wire, &[cut]).unwrap();
        messages.extend(reader.finish());
        assert_eq!(reader.finish(), None);
        messages
    });
    let [whole, bytewise] = ends;
    assert_eq!(bytewise, whole);
    whole
}

#[test]
fn the_end_settles_whether_a_last_extended_timestamp_was_body() {
    let time = 0x1701_0203_u32;
    let extended = time.to_be_bytes();
    let head = vec![7; 128];
    // So many bytes of the body like those of a repetition that is not there, and more behind them.
    for tail in [&extended[..1], &extended[..2], &extended[..3], &extended, &[23, 1, 2, 3, 9]] {
        let sent = message(8, 1, time, &[&head[..], tail].concat());
        let wire = [full(4, &sent), head.clone(), vec![0xC4], tail.to_vec()].concat();
        assert_eq!(read_to_the_end(&wire), [sent], "{tail:?}");
    }
    // A message of its own, as short as a message can be.
    for body in [&b""[..], b"\x17", &extended] {
        let first = message(8, 1, time, body);
        let second = message(8, 1, time.wrapping_mul(2), body);
        let wire = [full(4, &first), body.to_vec(), vec![0xC4], body.to_vec()].concat();
        assert_eq!(read_to_the_end(&wire), [first, second], "{body:?}");
    }
}

#[test]
fn the_end_makes_no_message_of_one_that_was_cut_short() {
    let time = 0x1701_0203_u32;
    let extended = time.to_be_bytes();
    let (head, tail) = (vec![7; 128], [7; 4]);
    // This encoder repeats it, as has been seen; the second message ends somewhere in its chunk.
    let first = message(8, 1, time, &[&head[..], &[7; 128], &tail].concat());
    let chunk = [&[0xC4], &extended[..], &[7; 128]].concat();
    let mut wire = [full(4, &first), head.clone(), chunk.clone()].concat();
    wire.extend([&[0xC4], &extended[..], &tail].concat());
    let second = [full(4, &first), head.clone(), chunk, vec![0xC4], extended.to_vec()].concat();
    for cut in second.len() - 4..second.len() + 1 {
        let wire = [&wire[..], &second[..cut]].concat();
        assert_eq!(read_to_the_end(&wire), std::slice::from_ref(&first), "{cut}");
    }
    // Nobody knows of this one, but no reading of it is complete.
    let wire = [full(4, &first), head, vec![0xC4, 0x17]].concat();
    assert_eq!(read_to_the_end(&wire), []);
}

/// A message of two chunks on a chunk stream of its own, in which this sender shows what it does.
fn shown(time: u32, repeats: bool) -> (Message, Vec<u8>) {
    let body = vec![7; 200];
    let message = message(9, 1, time, &body);
    let extended = time.to_be_bytes();
    let repeated = if repeats { &extended[..] } else { &[] };
    let wire = [&full(6, &message)[..], &body[..128], &[0xC6], repeated, &body[128..]].concat();
    (message, wire)
}

#[test]
fn a_sender_that_repeats_the_extended_timestamp_does_so_on_every_chunk_stream() {
    let time = 0x1701_0203_u32;
    let (before, shown) = shown(time, true);
    for len in [1, 2, 3, 4, 5, 100, 128] {
        let sent = message(8, 1, time, &vec![7; 128 + len]);
        let head = [full(4, &sent), vec![7; 128], vec![0xC4]].concat();
        let rest = [&time.to_be_bytes()[..], &vec![7; len]].concat();
        // Cut everywhere, four bytes before the end among it.
        for cut in 0..rest.len() {
            let wire = [&shown[..], &head, &rest[..cut]].concat();
            assert_eq!(read_to_the_end(&wire), std::slice::from_ref(&before), "{len} {cut}");
        }
        let wire = [&shown[..], &head, &rest].concat();
        assert_eq!(read_to_the_end(&wire), [before.clone(), sent], "{len}");
    }
}

#[test]
fn a_body_like_the_extended_timestamp_is_body_from_a_sender_that_leaves_it_out() {
    let time = 0x1701_0203_u32;
    let (before, shown) = shown(time, false);
    let body = [&[7; 128][..], &time.to_be_bytes(), &[8; 60]].concat();
    for csid in [4, 6] {
        let sent = message(8, 1, time, &body);
        let next = message(8, 1, time, b"next");
        let message =
            [&full(csid, &sent)[..], &body[..128], &basic(3, csid), &body[128..]].concat();
        let wire = [&shown[..], &message, &full(csid, &next), b"next"].concat();
        assert_eq!(read(&wire).unwrap(), [before.clone(), sent, next], "{csid}");
    }
}

#[test]
fn a_message_that_begins_without_the_extended_timestamp_shows_nothing() {
    let time = 0x1701_0203_u32;
    let first = message(8, 1, time, b"ab");
    let begun = [&full(4, &first)[..], b"ab", &[0xC4], b"cd"].concat();
    let (last, repeated) = shown(time, true);
    let messages = read(&[begun, repeated].concat()).unwrap();
    assert_eq!(messages, [first, message(8, 1, time.wrapping_mul(2), b"cd"), last]);
}
