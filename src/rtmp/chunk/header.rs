//! Decodes one chunk header (RTMP 1.0 section 5.3.1). What it begins or continues is decided by
//! [`super::ChunkReader`].

use super::{ChunkError, stream::ChunkStream};

/// Basic header, message header and extended timestamp at their longest, in bytes.
pub(super) const MAX_HEADER: usize = 18;
/// A 24-bit time field with this value is followed by the extended timestamp.
const EXTENDED: u32 = 0xFF_FFFF;

/// A chunk header as it stands on the wire.
pub(super) struct Header {
    /// Bytes it takes.
    pub(super) size: usize,
    /// Header type, 0 to 3.
    pub(super) format: u8,
    pub(super) csid: u32,
    /// Index of its chunk stream, if that is known already.
    pub(super) slot: Option<usize>,
    /// Absolute in type 0, a delta in types 1 and 2, the one before in type 3.
    pub(super) time_field: u32,
    pub(super) is_extended: bool,
    pub(super) length: usize,
    pub(super) type_id: u8,
    pub(super) stream_id: u32,
    /// Whether a type 3 header is followed by the extended timestamp; none where there is nothing
    /// to repeat.
    pub(super) repeats: Option<bool>,
}

impl Header {
    /// The header that `bytes` begin with, which [`Self::decode`] could not tell the end of, if
    /// nothing comes behind them: a type 3 header without the extended timestamp, and the bytes
    /// behind it are body. `None` if it is another one, or if the sender is known to repeat it;
    /// `repeats` is what other chunk streams have shown of that.
    pub(super) fn decode_last(
        bytes: &[u8],
        streams: &[ChunkStream],
        repeats: Option<bool>,
    ) -> Option<Self> {
        let (format, csid, size) = basic_header(bytes)?;
        let slot = streams.iter().position(|stream| stream.csid == csid)?;
        let previous = streams.get(slot)?;
        let is_open =
            format == 3 && previous.is_extended && previous.repeats.or(repeats) != Some(true);
        is_open.then_some(Self {
            size,
            format,
            csid,
            slot: Some(slot),
            time_field: previous.time_field,
            is_extended: true,
            length: previous.length,
            type_id: previous.type_id,
            stream_id: previous.stream_id,
            repeats: Some(false),
        })
    }

    /// Decodes a header from the front of `bytes`; `None` if it may be longer than `bytes`, which
    /// cannot be with [`MAX_HEADER`] bytes. `repeats` is what other chunk streams have shown of this
    /// sender.
    pub(super) fn decode(
        bytes: &[u8],
        streams: &[ChunkStream],
        repeats: Option<bool>,
    ) -> Result<Option<Self>, ChunkError> {
        let Some((format, csid, basic)) = basic_header(bytes) else { return Ok(None) };
        let slot = streams.iter().position(|stream| stream.csid == csid);
        let previous = slot.and_then(|slot| streams.get(slot));
        let rest = bytes.get(basic..).unwrap_or_default();
        let mut header = match previous {
            Some(previous) => Self {
                size: basic,
                format,
                csid,
                slot,
                time_field: previous.time_field,
                is_extended: previous.is_extended,
                length: previous.length,
                type_id: previous.type_id,
                stream_id: previous.stream_id,
                repeats: None,
            },
            None if format >= 2 => return Err(ChunkError::NoPreviousHeader { csid, format }),
            // Some encoders begin a chunk stream with type 1, meaning message stream 0 and time 0.
            None => Self {
                size: basic,
                format,
                csid,
                slot,
                time_field: 0,
                is_extended: false,
                length: 0,
                type_id: 0,
                stream_id: 0,
                repeats: None,
            },
        };
        if format == 3 {
            let Some(previous) = previous.filter(|previous| previous.is_extended) else {
                return Ok(Some(header));
            };
            return Ok(previous.repeats_extended(rest, repeats).map(|is_repeated| {
                header.size += if is_repeated { 4 } else { 0 };
                header.repeats = Some(is_repeated);
                header
            }));
        }
        let fixed = match format {
            0 => 11,
            1 => 7,
            _ => 3,
        };
        let Some(fields) = rest.get(..fixed) else { return Ok(None) };
        header.size += fixed;
        header.time_field = be24(fields);
        if let Some([_, _, _, length @ .., type_id]) = fields.get(..7) {
            header.length = be24(length) as usize;
            header.type_id = *type_id;
        }
        if let Some(&[a, b, c, d]) = fields.get(7..11) {
            header.stream_id = u32::from_le_bytes([a, b, c, d]);
        }
        header.is_extended = header.time_field == EXTENDED;
        if header.is_extended {
            let Some(&[a, b, c, d]) = rest.get(fixed..fixed + 4) else { return Ok(None) };
            header.size += 4;
            header.time_field = u32::from_be_bytes([a, b, c, d]);
        }
        Ok(Some(header))
    }
}

/// Format, chunk stream id and length of the basic header; `None` if it is not complete.
fn basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let (csid, size) = match first & 0x3F {
        0 => (64 + u32::from(*bytes.get(1)?), 2),
        1 => (64 + u32::from(*bytes.get(1)?) + (u32::from(*bytes.get(2)?) << 8), 3),
        csid => (u32::from(csid), 1),
    };
    Some((first >> 6, csid, size))
}

/// The first three bytes as a number; 0 if there are fewer.
fn be24(bytes: &[u8]) -> u32 {
    match bytes {
        [a, b, c, ..] => u32::from_be_bytes([0, *a, *b, *c]),
        _ => 0,
    }
}
