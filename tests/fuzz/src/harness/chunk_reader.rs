//! `rtmp::chunk`: any bytes, cut in two ways, give the same messages within the limits.

use bytes::Bytes;

use crate::rtmp::chunk::{ChunkReader, Limits, Message};

const LIMITS: Limits = Limits { message_bytes: 4096, partial_bytes: 8192 };

/// First byte: length of the pieces. The rest: what a peer sends after the handshake.
pub fn run(mut data: &[u8]) {
    let step = usize::from(super::first(&mut data)) + 1;
    let (whole, whole_ended) = read(data, usize::MAX);
    let (pieces, pieces_ended) = read(data, step);
    super::assert_same((&whole, whole_ended), (&pieces, pieces_ended));
}

/// The messages, and whether there was no error.
fn read(data: &[u8], step: usize) -> (Vec<Message>, bool) {
    let mut reader = ChunkReader::new(LIMITS);
    let mut messages = Vec::new();
    for piece in data.chunks(step) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= LIMITS.message_bytes);
                    messages.push(message);
                }
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
            assert!(reader.partial_bytes() <= LIMITS.partial_bytes);
        }
        assert!(input.is_empty(), "what is not a message is remembered");
    }
    if let Some(last) = reader.finish() {
        assert!(last.payload.len() <= LIMITS.message_bytes);
        messages.push(last);
    }
    assert_eq!(reader.finish(), None);
    assert!(reader.partial_bytes() <= LIMITS.partial_bytes);
    (messages, true)
}
