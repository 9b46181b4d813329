//! A packet as it was found in a product, whatever the container, and why a product cannot be read.

use std::io;

/// Which sequence of packets one belongs to. Packets are in order within their lane only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Frames of the default video track.
    Video = 0,
    /// Frames of the default audio track.
    Audio = 1,
    /// FLV alone: whatever else the encoder sent, tag by tag.
    Data = 2,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Lane; 3] = [Lane::Video, Lane::Audio, Lane::Data];

    /// The name in reports; that of a track in a file's summary.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Video => "video",
            Lane::Audio => "audio",
            Lane::Data => "data",
        }
    }
}

/// One packet. Times are on the clock of the container, as [`crate::media::packet_digest`] has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Lane.
    pub lane: Lane,
    /// Presentation time.
    pub pts: i64,
    /// Decoding time.
    pub dts: i64,
    /// What is hashed.
    pub payload: &'a [u8],
    /// FLV alone: what stands between the tag's header and the payload (codec, frame type,
    /// composition time). Not hashed, but compared with the journal.
    pub prefix: &'a [u8],
    /// FLV alone: a codec configuration, which the server may repeat in a product.
    pub is_config: bool,
}

impl<'a> Packet<'a> {
    /// A frame of which nothing but the coded data is in the container.
    pub fn frame(lane: Lane, pts: i64, dts: i64, payload: &'a [u8]) -> Self {
        Packet { lane, pts, dts, payload, prefix: &[], is_config: false }
    }
}

/// Takes packets as a reader finds them.
pub type Sink<'a> = dyn FnMut(Packet<'_>) + 'a;

/// Why the packets of an object cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not what the container asks for.
    #[error("at byte {at}: {what}")]
    Malformed {
        /// Where in the object.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// The bytes cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    /// Names what is wrong at a place.
    pub fn malformed(at: u64, what: impl Into<String>) -> Self {
        ReadError::Malformed { at, what: what.into() }
    }
}

/// Result of reading.
pub type Result<T> = std::result::Result<T, ReadError>;
