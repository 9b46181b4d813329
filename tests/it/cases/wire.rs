//! RTMP chunks written by hand, for what differs between encoders (RTMP 1.0, 5.3.1.3).

use liverec::media::tag::{Tag, TagKind};

/// What every connection begins with.
const CHUNK_SIZE: usize = 128;
const EXTENDED: u32 = 0xFF_FFFF;

/// The chunks of these messages on one message stream, in chunks of the initial size. Each message
/// begins with a type 0 header; where its time needs an extended timestamp, the chunks of type 3
/// that follow repeat it or do not.
pub fn chunks(tags: &[Tag], stream: u32, repeats_extended: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for tag in tags {
        let csid: u8 = match tag.kind {
            TagKind::Script => 20,
            TagKind::Audio => 21,
            TagKind::Video => 22,
        };
        // The wire has the low 32 bits.
        let time_ms = u32::try_from(tag.time_ms & 0xFFFF_FFFF).unwrap();
        let extended = time_ms >= EXTENDED;
        out.push(csid);
        out.extend_from_slice(&time_ms.min(EXTENDED).to_be_bytes()[1..]);
        out.extend_from_slice(&u32::try_from(tag.payload.len()).unwrap().to_be_bytes()[1..]);
        out.push(tag.kind as u8);
        out.extend_from_slice(&stream.to_le_bytes());
        let time = if extended { time_ms.to_be_bytes().to_vec() } else { Vec::new() };
        out.extend_from_slice(&time);
        for (number, part) in tag.payload.chunks(CHUNK_SIZE).enumerate() {
            if number > 0 {
                out.push(0xC0 | csid);
                out.extend_from_slice(if repeats_extended { &time } else { &[] });
            }
            out.extend_from_slice(part);
        }
    }
    out
}
