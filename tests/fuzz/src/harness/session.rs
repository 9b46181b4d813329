//! `rtmp::session`: any connection, cut in two ways, gives the same events, answers that can be
//! read, and no more memory than promised.

use bytes::Bytes;

use crate::rtmp::{
    chunk::{ChunkReader, Limits},
    session::{Event, ServerSession, SessionError},
};

const MAX_MESSAGE: usize = 1 << 18;
/// What `session` adds for chunk streams begun beside the largest message.
const PARTIAL_EXTRA: usize = 1 << 20;
const HANDSHAKE: usize = 1 + 1536 + 1536;

/// First byte: its lowest bit says that the handshake is in the data as well, the rest is the
/// length of the pieces. Then: what the peer sends.
pub fn run(mut data: &[u8]) {
    let first = super::first(&mut data);
    let step = usize::from(first >> 1) + 1;
    let is_greeted = first & 1 == 0;
    let (whole, whole_ended) = talk(data, usize::MAX, is_greeted);
    let (pieces, pieces_ended) = talk(data, step, is_greeted);
    super::assert_same((&whole, whole_ended), (&pieces, pieces_ended));
}

/// The events, and whether there was no error.
fn talk(data: &[u8], step: usize, is_greeted: bool) -> (Vec<Event>, bool) {
    let mut session = ServerSession::new(MAX_MESSAGE);
    let mut events = Vec::new();
    let mut output = Vec::new();
    if is_greeted {
        let hello = [&[3][..], &[0; 1536]].concat();
        push(&mut session, &hello, &mut events).unwrap();
        output = session.take_output();
        let echo = output[1..1537].to_vec();
        push(&mut session, &echo, &mut events).unwrap();
    }
    let mut ended = true;
    for piece in data.chunks(step.min(data.len().max(1))) {
        if push(&mut session, piece, &mut events).is_err() {
            ended = false;
            break;
        }
        assert!(session.partial_bytes() <= MAX_MESSAGE + PARTIAL_EXTRA);
    }
    output.extend(session.take_output());
    assert_readable(&output);
    (events, ended)
}

/// Hands in bytes and decides what is asked, as a server does.
fn push(
    session: &mut ServerSession,
    bytes: &[u8],
    events: &mut Vec<Event>,
) -> Result<(), SessionError> {
    session.receive(Bytes::copy_from_slice(bytes))?;
    while let Some(event) = session.next_event()? {
        if let Event::Publish(request) = &event {
            // Some are refused, and some are ended from our side at once.
            match request.key.len() % 4 {
                0 => session.refuse(request.stream, "NetStream.Publish.Denied", &request.key)?,
                1 => {
                    session.accept(request.stream)?;
                    session.end(request.stream, &request.key)?;
                }
                _ => session.accept(request.stream)?,
            }
        }
        events.push(event);
    }
    session.acknowledge()
}

/// What the server says are whole messages.
fn assert_readable(output: &[u8]) {
    let Some(chunks) = output.get(HANDSHAKE..) else { return };
    let limits = Limits { message_bytes: 1 << 20, partial_bytes: 1 << 20 };
    let mut reader = ChunkReader::new(limits);
    let mut input = Bytes::copy_from_slice(chunks);
    while reader.read(&mut input).unwrap().is_some() {}
    assert_eq!(reader.partial_bytes(), 0, "an answer is cut short");
}
