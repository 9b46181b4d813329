//! The verification summary of a media file: what was put into it, counted and hashed while it was
//! made, so that anybody can check a stored product without the journal it came from.
//!
//! Kept in the file's row and told in event 100. How packets are hashed is in
//! [`crate::media::packet_digest`]; how a product is checked against this is the verifier's.

use serde::{Deserialize, Serialize};

/// Version of the meaning of these fields.
pub const VERSION: u32 = 1;

/// Everything that can be checked about one media file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// [`VERSION`] of the writer; 0 for a file made before there were summaries.
    pub version: u32,
    /// The tracks in the product: video before audio.
    pub tracks: Vec<TrackEvidence>,
    /// The pushes it was made from, in order: one per span.
    pub sessions: Vec<SessionEvidence>,
    /// Where time passed without media.
    pub gaps: Vec<Gap>,
    /// What was not as a tidy stream has it.
    pub irregularities: Vec<Irregularity>,
    /// Every stored part, or every object of an HLS file, in the order of the product.
    pub objects: Vec<ObjectEvidence>,
    /// SHA-256, in hexadecimal, of the lines `object/number size sha256\n` of [`Self::objects`].
    pub objects_sha256: String,
}

/// One track of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackEvidence {
    /// `video` or `audio`.
    pub track: String,
    /// Codec name of its first packet.
    pub codec: String,
    /// Packets in the product.
    pub packets: u64,
    /// Bytes of their payloads, as they came from the encoder.
    pub bytes: u64,
    /// Decoding time of the first packet on its encoder's clock, milliseconds.
    pub first_dts_ms: i64,
    /// Decoding time of the last packet on its encoder's clock, milliseconds.
    pub last_dts_ms: i64,
    /// SHA-256, in hexadecimal, of every block of 1,024 packets; the last block may be shorter.
    pub blocks: Vec<String>,
}

/// One push that a file was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionEvidence {
    /// Session id.
    pub session: String,
    /// Constant added to all times of this push in this file, the same for both tracks, milliseconds.
    pub shift_ms: i64,
}

/// A stretch of time without media inside a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Why: the end reason of the interrupted push (`network`, `replaced`, `crashed`, ...), or
    /// `clock_jump` where the encoder's clock jumped forward.
    pub cause: String,
    /// Where in the product, milliseconds of its own timeline.
    pub at_ms: i64,
    /// Wall-clock time that passed, milliseconds.
    pub wall_ms: i64,
    /// Time that the product's timeline shows for it, milliseconds.
    pub media_ms: i64,
}

/// Something worth knowing, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Irregularity {
    /// A stable name: `backward_step`, `parameter_change`, `missing_keyframe`, ...
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// One stored part of an object, or a whole one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectEvidence {
    /// `main` (the file itself, or the playlist), `init` (initialisation segment), or a segment's
    /// number from 0.
    pub object: String,
    /// Number of the part within the object, from 1; 1 for an object stored whole.
    pub part: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}
