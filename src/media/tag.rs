//! One RTMP audio, video or data message, which is one FLV tag (FLV v10.1 E.4.1).
//!
//! Not parsed any further here: see [`super::demux`].

use std::fmt;

use bytes::Bytes;

/// FLV tag type; the same number as the RTMP message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TagKind {
    /// Audio data.
    Audio = 8,
    /// Video data.
    Video = 9,
    /// Script data (AMF0).
    Script = 18,
}

impl TagKind {
    /// The kind with this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            8 => Some(TagKind::Audio),
            9 => Some(TagKind::Video),
            18 => Some(TagKind::Script),
            _ => None,
        }
    }
}

/// A message as it was received: nothing in `payload` is ever changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// The publisher's clock in milliseconds, unwrapped from RTMP's 32 bits.
    pub time_ms: i64,
    /// The message body, at most 16777215 bytes.
    pub payload: Bytes,
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ms, {} bytes", self.kind, self.time_ms, self.payload.len())
    }
}
