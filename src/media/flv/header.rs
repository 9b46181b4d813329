//! The fixed-size parts of an FLV file: file header, tag header, back pointer (FLV v10.1 E.2, E.3,
//! E.4.1).

use crate::media::tag::TagKind;

/// The file header with the back pointer of 0 that follows it.
pub const FILE_HEADER_LEN: usize = 9 + TAG_TRAILER_LEN;
/// The bytes before a tag's payload.
pub const TAG_HEADER_LEN: usize = 11;
/// The bytes behind a tag's payload: the length of what is before them.
pub const TAG_TRAILER_LEN: usize = 4;
/// The longest payload of a tag: its length has 24 bits.
pub const PAYLOAD_MAX: usize = 0x00ff_ffff;

const SIGNATURE: [u8; 3] = *b"FLV";
const VERSION: u8 = 1;
const HAS_AUDIO: u8 = 4;
const HAS_VIDEO: u8 = 1;

/// Why bytes are no FLV file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an FLV version 1 file header")]
pub struct NotFlv;

/// What a file header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Audio tags are present.
    pub has_audio: bool,
    /// Video tags are present.
    pub has_video: bool,
}

impl FileHeader {
    /// The header and the first back pointer.
    pub fn encode(self) -> [u8; FILE_HEADER_LEN] {
        let audio = if self.has_audio { HAS_AUDIO } else { 0 };
        let video = if self.has_video { HAS_VIDEO } else { 0 };
        [b'F', b'L', b'V', VERSION, audio | video, 0, 0, 0, 9, 0, 0, 0, 0]
    }

    /// Reads a header with the first back pointer.
    ///
    /// # Errors
    /// The signature, version, length or back pointer is another.
    pub fn decode(bytes: &[u8; FILE_HEADER_LEN]) -> Result<Self, NotFlv> {
        let [s0, s1, s2, VERSION, flags, 0, 0, 0, 9, 0, 0, 0, 0] = *bytes else {
            return Err(NotFlv);
        };
        if [s0, s1, s2] != SIGNATURE {
            return Err(NotFlv);
        }
        Ok(FileHeader { has_audio: flags & HAS_AUDIO != 0, has_video: flags & HAS_VIDEO != 0 })
    }
}

/// What a tag header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagHeader {
    /// First byte: the tag type in the low five bits, above it a bit for encryption.
    pub kind_byte: u8,
    /// Length of the payload in bytes, at most [`PAYLOAD_MAX`].
    pub data_size: u32,
    /// Time in milliseconds, 32 bits of it.
    pub time_ms: u32,
    /// Always 0 by specification.
    pub stream_id: u32,
}

impl TagHeader {
    /// Reads a tag header; any eleven bytes are one.
    pub fn decode(bytes: &[u8; TAG_HEADER_LEN]) -> Self {
        let [kind_byte, l0, l1, l2, t1, t2, t3, t0, s0, s1, s2] = *bytes;
        TagHeader {
            kind_byte,
            data_size: u32::from_be_bytes([0, l0, l1, l2]),
            time_ms: u32::from_be_bytes([t0, t1, t2, t3]),
            stream_id: u32::from_be_bytes([0, s0, s1, s2]),
        }
    }

    /// The kind of an unencrypted tag of a type that a stream can have.
    pub fn kind(&self) -> Option<TagKind> {
        TagKind::from_byte(self.kind_byte)
    }

    /// Length of the whole tag, header and back pointer included.
    pub fn tag_len(&self) -> u64 {
        tag_len(self.data_size as usize)
    }
}

/// Length of the whole tag around a payload.
pub fn tag_len(payload_len: usize) -> u64 {
    (TAG_HEADER_LEN + payload_len + TAG_TRAILER_LEN) as u64
}

/// A tag header. FLV has room for the low 32 bits of `time_ms` (24 and an extension of 8) and the
/// low 24 bits of `data_size`.
pub fn encode_tag_header(kind: TagKind, data_size: u32, time_ms: i64) -> [u8; TAG_HEADER_LEN] {
    let [_, l0, l1, l2] = data_size.to_be_bytes();
    let mut header = [kind as u8, l0, l1, l2, 0, 0, 0, 0, 0, 0, 0];
    set_time(&mut header, time_ms);
    header
}

/// Writes header and back pointer of a whole tag anew: its time may be another one in a product, and
/// what rotted must not part a reader from the tags behind it. Shorter ones stay as they are.
pub fn set_frame(tag: &mut [u8], kind: TagKind, time_ms: i64) {
    let Some(data_size) = tag.len().checked_sub(TAG_HEADER_LEN + TAG_TRAILER_LEN) else { return };
    let data_size = data_size as u32;
    if let Some(header) = tag.first_chunk_mut() {
        *header = encode_tag_header(kind, data_size, time_ms);
    }
    if let Some(trailer) = tag.last_chunk_mut() {
        *trailer = encode_tag_trailer(data_size);
    }
}

fn set_time(header: &mut [u8; TAG_HEADER_LEN], time_ms: i64) {
    let [_, _, _, _, t1, t2, t3, t0, ..] = header;
    [*t0, *t1, *t2, *t3] = (time_ms as u32).to_be_bytes();
}

/// The back pointer behind a payload of `data_size` bytes.
pub fn encode_tag_trailer(data_size: u32) -> [u8; TAG_TRAILER_LEN] {
    (data_size + TAG_HEADER_LEN as u32).to_be_bytes()
}

/// Appends a whole tag around `payload`, at most [`PAYLOAD_MAX`] bytes of it.
pub fn encode_tag(kind: TagKind, time_ms: i64, payload: &[u8], out: &mut Vec<u8>) {
    let payload = payload.get(..PAYLOAD_MAX).unwrap_or(payload);
    let data_size = payload.len() as u32;
    out.extend_from_slice(&encode_tag_header(kind, data_size, time_ms));
    out.extend_from_slice(payload);
    out.extend_from_slice(&encode_tag_trailer(data_size));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_headers() {
        let header = FileHeader { has_audio: false, has_video: true };
        assert_eq!(header.encode(), *b"FLV\x01\x01\0\0\0\x09\0\0\0\0");
        for (has_audio, has_video) in [(false, false), (true, false), (false, true), (true, true)] {
            let header = FileHeader { has_audio, has_video };
            assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
        }
        assert_eq!(FileHeader::decode(b"FLX\x01\x05\0\0\0\x09\0\0\0\0"), Err(NotFlv));
        assert_eq!(FileHeader::decode(b"FLV\x02\x05\0\0\0\x09\0\0\0\0"), Err(NotFlv));
        assert_eq!(FileHeader::decode(b"FLV\x01\x05\0\0\0\x0a\0\0\0\0"), Err(NotFlv));
    }

    #[test]
    fn a_tag() {
        let mut tag = Vec::new();
        encode_tag(TagKind::Audio, 0x1_1234_5678, b"abc", &mut tag);
        assert_eq!(tag, b"\x08\0\0\x03\x34\x56\x78\x12\0\0\0abc\0\0\0\x0e");
        assert_eq!(tag.len() as u64, tag_len(3));
        // A time before the start of the clock wraps like the encoder's own.
        let header = encode_tag_header(TagKind::Video, 0, -1);
        assert_eq!(header[4..8], [0xff; 4]);
    }

    proptest! {
        #[test]
        fn tag_headers_round_trip(data_size in 0..=0x00ff_ffffu32, time_ms: i64, later: i64) {
            let mut bytes = encode_tag_header(TagKind::Script, data_size, time_ms);
            let header = TagHeader::decode(&bytes);
            let time_32 = time_ms as u32;
            let expected = TagHeader { kind_byte: 18, data_size, time_ms: time_32, stream_id: 0 };
            prop_assert_eq!(header, expected);
            prop_assert_eq!(header.kind(), Some(TagKind::Script));
            set_time(&mut bytes, later);
            let expected = encode_tag_header(TagKind::Script, data_size, later);
            prop_assert_eq!(bytes, expected);
        }
    }
}
