//! What hostile connections send: mutations of one in which all goes well. The same number always
//! sends the same.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use bytes::Bytes;
use liverec::{
    media::tag::{Tag, TagKind},
    rtmp::{
        publisher::{Phase, Publisher, Target},
        session::{Event, ServerSession},
    },
};
use rand::{Rng, RngCore, rngs::StdRng};

/// Bytes of handshake in what a publisher sends: C0, C1, C2.
const HANDSHAKE: usize = 1 + 2 * 1536;

/// Every byte that a publisher sends in a connection where all goes well.
pub fn good_connection(key: &str, tags: &[Tag]) -> Vec<u8> {
    let target = Target {
        app: "attack".to_owned(),
        tc_url: "rtmp://127.0.0.1/attack".to_owned(),
        key: key.to_owned(),
    };
    let mut publisher = Publisher::new(target, 4096).unwrap();
    let mut server = ServerSession::new(1 << 20);
    let mut sent = Vec::new();
    while publisher.phase() != &Phase::Publishing {
        let output = publisher.take_output();
        sent.extend_from_slice(&output);
        server.receive(Bytes::from(output)).unwrap();
        while let Some(event) = server.next_event().unwrap() {
            if let Event::Publish(request) = event {
                server.accept(request.stream).unwrap();
            }
        }
        publisher.receive(Bytes::from(server.take_output())).unwrap();
    }
    for tag in tags {
        publisher.tag(tag);
    }
    publisher.finish().unwrap();
    sent.extend_from_slice(&publisher.take_output());
    sent
}

/// What one hostile connection sends; the same for the same number.
pub fn hostile_bytes(number: usize, good: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let place = |random: &mut StdRng, from: usize, to: usize| random.random_range(from..to);
    match number % 10 {
        // Nothing of RTMP.
        0 => return noise(random, 6000),
        // A handshake, then noise.
        1 => {
            bytes.truncate(HANDSHAKE);
            bytes.extend(noise(random, 6000));
        }
        // Bits flipped anywhere behind the handshake, mostly in the commands.
        2 | 3 => {
            let end = if number.is_multiple_of(3) { bytes.len() } else { HANDSHAKE + 700 };
            for _ in 0..random.random_range(1..20) {
                let at = place(random, HANDSHAKE, end);
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        // Cut off.
        4 => bytes.truncate(place(random, 1, good.len())),
        // A piece repeated.
        5 => {
            let (from, length) =
                (place(random, HANDSHAKE, good.len()), random.random_range(1..3000));
            let piece = good[from..(from + length).min(good.len())].to_vec();
            let at = place(random, HANDSHAKE, good.len());
            for _ in 0..random.random_range(1..20) {
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        // A piece left out.
        6 => {
            let from = place(random, HANDSHAKE, good.len() - 1);
            let to = place(random, from, good.len());
            bytes.drain(from..to.min(from + 500));
        }
        // Chunks of every chunk stream, kind and length, huge ones among them.
        7 => {
            bytes.truncate(place(random, HANDSHAKE, good.len()));
            for _ in 0..random.random_range(1..200) {
                bytes.extend(random_chunk(random));
            }
        }
        // Commands and script data nested without end, or counted without end.
        8 => {
            bytes.truncate(HANDSHAKE);
            let type_id = [20, 17, 18, 15][random.random_range(0..4)];
            bytes.extend(message(type_id, &amf_bomb(random)));
        }
        // Chunk sizes and aggregates that lie.
        _ => {
            let at = place(random, HANDSHAKE, good.len());
            let lie = match random.random_range(0..4) {
                0 => message(1, &random.next_u32().to_be_bytes()),
                1 => message(22, &noise(random, 3000)),
                2 => message(5, &[0, 0, 0, 1]),
                _ => message(1, &[0, 0, 0, 0]),
            };
            bytes.splice(at..at, lie);
        }
    }
    bytes
}

/// Random bytes, half of them like the beginning of a handshake.
pub fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    if bytes.len() % 2 == 0 {
        // Past the first check.
        bytes.insert(0, 3);
    }
    bytes
}

fn random_chunk(random: &mut StdRng) -> Vec<u8> {
    let kind = random.random_range(0..4u8);
    let mut chunk = vec![kind << 6 | random.random_range(0..64u8)];
    match chunk[0] & 0x3F {
        0 => chunk.push(random.random()),
        1 => chunk.extend([random.random(), random.random::<u8>()]),
        _ => {}
    }
    let mut header = [0; 11];
    random.fill_bytes(&mut header);
    if random.random_bool(0.5) {
        header[3] = 0xFF; // length
        header[4] = 0xFF;
    }
    if random.random_bool(0.3) {
        header[..3].fill(0xFF); // extended timestamp
    }
    let length = [11, 7, 3, 0][usize::from(kind)];
    chunk.extend_from_slice(&header[..length]);
    chunk.extend(std::iter::repeat_n(random.random::<u8>(), random.random_range(0..300)));
    chunk
}

/// A message on chunk stream 3 of message stream 0, in chunks of the initial size.
fn message(type_id: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0];
    bytes.extend(length);
    bytes.extend([type_id, 0, 0, 0, 0]);
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xC3);
        }
        bytes.extend_from_slice(chunk);
    }
    bytes
}

fn amf_bomb(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = b"\x02\0\x07connect\0\x3F\xF0\0\0\0\0\0\0".to_vec();
    match random.random_range(0..5) {
        // Objects in objects.
        0 => (0..8000).for_each(|_| bytes.extend(b"\x03\0\x01a")),
        // Arrays in arrays, each said to be long.
        1 => (0..8000).for_each(|_| bytes.extend(b"\x0A\xFF\xFF\xFF\xFF")),
        // A dictionary said to be endless.
        2 => bytes.extend(b"\x08\xFF\xFF\xFF\xFF\0\x01a"),
        // A long string that is not there.
        3 => bytes.extend(b"\x0C\xFF\xFF\xFF\xF0abc"),
        // Very many small values.
        _ => bytes.extend(std::iter::repeat_n(5, 40_000)),
    }
    bytes
}

/// Sends it all, and now and then waits for what the server has to say.
pub fn attack(server: SocketAddr, bytes: &[u8], is_polite: bool) {
    let Ok(mut socket) = TcpStream::connect(server) else { return };
    socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // The server may close at any moment.
    let _ = socket.write_all(bytes);
    if is_polite {
        let _ = socket.shutdown(Shutdown::Write);
        let mut rest = [0; 4096];
        while matches!(socket.read(&mut rest), Ok(read) if read > 0) {}
    }
}

/// Changes a tag as a broken or hostile encoder might.
pub fn damage(tag: &mut Tag, random: &mut StdRng) {
    let mut payload = tag.payload.to_vec();
    match random.random_range(0..6) {
        0 => payload.truncate(random.random_range(0..8)),
        1 => {
            let at = random.random_range(0..payload.len().clamp(1, 64));
            if let Some(byte) = payload.get_mut(at) {
                *byte = random.random();
            }
        }
        2 => tag.time_ms = random.random_range(0..1 << 32),
        3 => {
            tag.kind = [TagKind::Audio, TagKind::Video, TagKind::Script][random.random_range(0..3)]
        }
        4 => {
            payload = vec![0; random.random_range(1..2000)];
            random.fill_bytes(&mut payload);
        }
        _ => payload.clear(),
    }
    tag.payload = Bytes::from(payload);
}
