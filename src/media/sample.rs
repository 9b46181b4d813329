//! What a tag means: track, codec, key frame, composition offset, where the coded data lie.
//!
//! The numeric values are written to journal indexes: they may be added to, never changed.

use super::tag::TagKind;

/// A step forward of the encoder's clock above this is a jump, not the length of a frame.
pub const CLOCK_JUMP_MS: i64 = 10_000;
/// After so many milliseconds the 32 bits that RTMP and FLV have for a time begin again.
pub const CLOCK_CYCLE_MS: i64 = 1 << 32;

/// Which elementary stream a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Track {
    /// Pictures.
    Video = 0,
    /// Sound.
    Audio = 1,
    /// Script data.
    Script = 2,
}

impl Track {
    /// The name of it: `video`, `audio` or `script`.
    pub fn as_str(self) -> &'static str {
        match self {
            Track::Video => "video",
            Track::Audio => "audio",
            Track::Script => "script",
        }
    }

    /// The kind of the tags that it comes in.
    pub fn tag_kind(self) -> TagKind {
        match self {
            Track::Video => TagKind::Video,
            Track::Audio => TagKind::Audio,
            Track::Script => TagKind::Script,
        }
    }
}

/// What kind of thing a tag carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SampleKind {
    /// A coded frame.
    Frame = 0,
    /// A codec configuration record (sequence header); empty ones are [`SampleKind::Other`].
    Config = 1,
    /// The encoder's script data: onMetaData, onTextData, ...
    Script = 2,
    /// End of sequence: never moves the clock.
    EndOfSequence = 3,
    /// Anything else the encoder sent: colour metadata, command frames, empty or unknown tags.
    Other = 4,
    /// Written by the journal itself (header, notes): no product contains it.
    Private = 5,
    /// A configuration or onMetaData repeated by the journal at the start of a rolled file: no product contains it.
    Repeated = 6,
    /// The journal's own wall-clock mark; `dts_ms` of its index record is unix milliseconds.
    Clock = 7,
}

/// How the coded data are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Codec {
    None = 0,
    H264 = 1,
    Hevc = 2,
    Av1 = 3,
    Vp9 = 4,
    Vp8 = 5,
    Aac = 16,
    Opus = 17,
    Flac = 18,
    Ac3 = 19,
    Eac3 = 20,
    Mp3 = 21,
    /// Known to FLV but to none of our other containers (Speex, Nellymoser, G.711, Sorenson, VP6, ...).
    Legacy = 254,
    /// Not recognised: kept, never interpreted.
    Unknown = 255,
}

macro_rules! from_byte {
    ($name:ident { $($variant:ident),+ $(,)? }) => {
        impl $name {
            /// The value with this number, if there is one.
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $(b if b == $name::$variant as u8 => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

from_byte!(Track { Video, Audio, Script });
from_byte!(SampleKind { Frame, Config, Script, EndOfSequence, Other, Private, Repeated, Clock });
from_byte!(Codec {
    None,
    H264,
    Hevc,
    Av1,
    Vp9,
    Vp8,
    Aac,
    Opus,
    Flac,
    Ac3,
    Eac3,
    Mp3,
    Legacy,
    Unknown
});

impl Codec {
    /// The name used in metadata, callbacks and messages (`h264`, `hevc`, `aac`, ...).
    pub fn as_str(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::H264 => "h264",
            Codec::Hevc => "hevc",
            Codec::Av1 => "av1",
            Codec::Vp9 => "vp9",
            Codec::Vp8 => "vp8",
            Codec::Aac => "aac",
            Codec::Opus => "opus",
            Codec::Flac => "flac",
            Codec::Ac3 => "ac3",
            Codec::Eac3 => "eac3",
            Codec::Mp3 => "mp3",
            Codec::Legacy => "legacy",
            Codec::Unknown => "unknown",
        }
    }
}

/// One sample inside one tag, as [`super::demux`] found it. Offsets count from the first byte of
/// the tag's payload (not of the tag).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagSample {
    /// Track.
    pub track: Track,
    /// Enhanced RTMP multitrack id; 0 is the default track.
    pub track_id: u8,
    /// Kind.
    pub kind: SampleKind,
    /// Codec.
    pub codec: Codec,
    /// True for a key frame (video) and for every audio frame.
    pub keyframe: bool,
    /// True if the tag moves its time by a part of a millisecond (ModEx TimestampOffsetNano),
    /// which only FLV keeps.
    pub has_nanos: bool,
    /// Composition time offset (PTS - DTS) in milliseconds, -8388608 to 8388607.
    pub cts_ms: i32,
    /// First byte of the coded data or the configuration record within the payload.
    pub data_offset: u32,
    /// Length of it.
    pub data_len: u32,
}

/// One sample as the journal's index remembers it, with absolute times and places. This is what
/// every container writer works from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Logical position in the session's journal of the first byte of its tag.
    pub position: u64,
    /// Length of the whole tag (11 + payload + 4); 0 for the second and further samples of one tag.
    pub tag_len: u32,
    /// First byte of the data, counted from the first byte of the tag (so at least 11).
    pub data_offset: u32,
    /// Length of the data.
    pub data_len: u32,
    /// Decoding time in milliseconds, 64-bit; unix milliseconds for [`SampleKind::Clock`].
    pub dts_ms: i64,
    /// PTS - DTS in milliseconds.
    pub cts_ms: i32,
    /// Ordinal within the session of the configuration in force for this track; 0 is none yet.
    pub config: u32,
    /// Track.
    pub track: Track,
    /// Enhanced RTMP track id.
    pub track_id: u8,
    /// Kind.
    pub kind: SampleKind,
    /// Codec.
    pub codec: Codec,
    /// True for a key frame (video) and for every audio frame.
    pub keyframe: bool,
    /// True if the tag moves its time by a part of a millisecond, which is not in `dts_ms`.
    pub has_nanos: bool,
    /// CRC-32 of what was received: of the whole tag for the first sample of one, of its data alone
    /// for a further one. `None` in a journal of a version that wrote none.
    pub crc: Option<u32>,
}

impl Sample {
    /// Logical journal position of the first byte of the coded data.
    pub fn data_position(&self) -> u64 {
        self.position + u64::from(self.data_offset)
    }

    /// Presentation time in milliseconds.
    pub fn pts_ms(&self) -> i64 {
        self.dts_ms + i64::from(self.cts_ms)
    }

    /// The same sample at another time of its encoder's clock, `shift_ms` later.
    pub fn moved_by(&self, shift_ms: i64) -> Self {
        Sample { dts_ms: self.dts_ms.saturating_add(shift_ms), ..*self }
    }

    /// True for a coded frame of the default video track.
    pub fn is_video_frame(&self) -> bool {
        self.kind == SampleKind::Frame && self.track == Track::Video && self.track_id == 0
    }

    /// True for a coded frame of the default audio track.
    pub fn is_audio_frame(&self) -> bool {
        self.kind == SampleKind::Frame && self.track == Track::Audio && self.track_id == 0
    }

    /// True for a coded frame of a default track that has data: what a container with packets can
    /// carry.
    pub fn is_packet(&self) -> bool {
        (self.is_video_frame() || self.is_audio_frame()) && self.data_len > 0
    }
}
