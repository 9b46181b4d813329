//! The two tables of a transport stream (ISO/IEC 13818-1 clause 2.4.4): which streams there are.
//!
//! Each is one section in one packet, as in every stream of few programs.

use crate::media::sample::Codec;
use crate::verify::packet::{Lane, ReadError, Result};

/// An elementary stream that a program map names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its PID.
    pub pid: u16,
    /// Pictures or sound.
    pub lane: Lane,
    /// How they are coded.
    pub codec: Codec,
}

/// The PID of the program map of the one program.
pub fn association(at: u64, payload: &[u8]) -> Result<u16> {
    let body = section(payload, 0).map_err(|what| ReadError::malformed(at, what))?;
    match body {
        [p0, p1, high, low] if (*p0, *p1) != (0, 0) => Ok(u16::from_be_bytes([high & 0x1f, *low])),
        _ => Err(ReadError::malformed(at, "the association table does not name one program")),
    }
}

/// The streams of the program.
pub fn map(at: u64, payload: &[u8]) -> Result<Vec<Stream>> {
    let malformed = |what: &str| ReadError::malformed(at, what);
    let body = section(payload, 2).map_err(&malformed)?;
    let behind_info = |bytes: &'_ [u8]| -> Option<usize> {
        let [high, low] = bytes.first_chunk::<2>()?;
        Some(2 + usize::from(u16::from_be_bytes([high & 0x0f, *low])))
    };
    let rest = body.get(2..).unwrap_or_default();
    let mut rest = behind_info(rest)
        .and_then(|len| rest.get(len..))
        .ok_or_else(|| malformed("the descriptors of the program map are longer than it"))?;
    let mut streams = Vec::new();
    while let Some(([kind, high, low], behind)) = rest.split_first_chunk::<3>() {
        let (lane, codec) = match kind {
            0x1b => (Lane::Video, Codec::H264),
            0x24 => (Lane::Video, Codec::Hevc),
            0x0f => (Lane::Audio, Codec::Aac),
            0x03 | 0x04 => (Lane::Audio, Codec::Mp3),
            _ => return Err(malformed("the program map has a stream of unknown type")),
        };
        streams.push(Stream { pid: u16::from_be_bytes([high & 0x1f, *low]), lane, codec });
        rest = behind_info(behind)
            .and_then(|len| behind.get(len..))
            .ok_or_else(|| malformed("the descriptors of a stream are longer than the map"))?;
    }
    match rest.is_empty() {
        true => Ok(streams),
        false => Err(malformed("the program map ends within a stream")),
    }
}

/// What is between the header and the CRC of a section of this kind.
fn section(payload: &[u8], table: u8) -> std::result::Result<&[u8], &'static str> {
    let [0, section @ ..] = payload else { return Err("a table does not begin with its packet") };
    let [id, high, low, ..] = section else { return Err("a table is cut short") };
    if *id != table || high & 0xf0 != 0xb0 {
        return Err("a table is not the one of its stream");
    }
    let len = 3 + usize::from(u16::from_be_bytes([high & 0x0f, *low]));
    let Some((section, stuffing)) = section.split_at_checked(len) else {
        return Err("a table is longer than its packet");
    };
    if stuffing.iter().any(|byte| *byte != 0xff) {
        return Err("what follows a table is no stuffing");
    }
    let Some((covered, crc)) = section.split_last_chunk::<4>() else {
        return Err("a table is cut short");
    };
    if crc32(covered) != u32::from_be_bytes(*crc) {
        return Err("the CRC of a table is wrong");
    }
    covered.get(8..).ok_or("a table is cut short")
}

/// CRC_32 (annex A), a bit at a time: tables are short and few.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| u32::from(byte >> n) & 1)) {
        let is_one = (crc >> 31) ^ bit == 1;
        crc = (crc << 1) ^ if is_one { 0x04c1_1db7 } else { 0 };
    }
    crc
}
