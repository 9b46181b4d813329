//! MP4 (ISO/IEC 14496-12): `ftyp`, `moov`, `mdat`, plain and with the `moov` in front.
//!
//! A file is made in two passes over the same samples. The first pushes them into a [`Mp4Builder`],
//! which keeps a few bytes of each and computes the head; the second writes the head and then the
//! data of every sample that [`takes`] says yes to, back to back and unchanged. Nothing here reads
//! or writes files. Such a file is never fragmented; [`fragment`] makes the pieces of HLS.
//!
//! The time scale is 1000 for the movie and both tracks, so that the sender's milliseconds are
//! exact; parts of a millisecond ([`Sample::has_nanos`]) are not in the file. Movie time 0 is the
//! first presentation time of any track, `-shift` on the sender's clock; a track that starts later
//! has an empty edit, and tracks are never moved against each other. With the edit list applied
//! (time in the track - `media_time` + empty edit):
//!
//! - PTS = sent PTS + shift, for every sample. Sound whose clock steps back is the exception: it
//!   follows at once what came before, and is counted as moved.
//! - DTS = the larger of sent DTS + shift and the DTS before. Where samples were sent to be presented
//!   before they are decoded, all of their track are decoded earlier by one constant, as much as the
//!   farthest of them needs: it is in all composition offsets, so that none is negative, and the edit
//!   list takes it out again. Steps between decoding times are as they were sent.
//!
//! The last sample lasts as long as the one before it, and all durations agree with that.
//! [`super::product_clock`] says the same independently.

mod boxes;
mod builder;
mod chunks;
mod entries;
pub mod fragment;
mod headers;
mod layout;
mod packed;
mod sample_entry;
mod sample_table;
mod track_head;

#[cfg(test)]
mod tests;

pub use self::builder::Mp4Builder;
pub(in crate::media) use self::sample_table::MAX_OFFSET_MS;
use super::config::ConfigError;
use super::lazy_bytes::LazyBytes;
use super::sample::{Codec, Sample, Track};

/// Units per second of all times in the file.
const TIMESCALE: u32 = 1000;

/// A recording as MP4 would need it cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// MP4 (or this writer) has no sample entry for the codec.
    #[error("mp4 cannot carry {}: {reason}", .codec.as_str())]
    Unsupported {
        /// The codec.
        codec: Codec,
        /// Why not.
        reason: &'static str,
    },
    /// The configuration of the first frames of a track cannot be read.
    #[error("{} configuration cannot be read", .codec.as_str())]
    Config {
        /// The codec.
        codec: Codec,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// Neither a configuration nor a frame says how the track is coded.
    #[error("no configuration and no frame of the file says how its {} is coded", .0.as_str())]
    Undescribed(Codec),
    /// A sample names a configuration that its session does not have.
    #[error("no configuration {0} in the session")]
    NoConfig(u32),
    /// There is no frame to write.
    #[error("no frame that mp4 could carry")]
    Empty,
    /// The reserve is larger than a head may be, or smaller than the boxes that are always in it.
    #[error("mp4 head cannot be {0} bytes")]
    Reserve(u64),
    /// A number does not fit into its field.
    #[error("{0} too large for mp4")]
    TooLarge(&'static str),
    /// A box could not be written.
    #[error("mp4 box: {0}")]
    Box(#[from] mp4_atom::Error),
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// True for the samples whose data make up the body, in journal order: coded frames of the default
/// tracks, of codecs that MP4 takes. Those that come before the first configuration of their track are
/// described by the one that follows.
pub fn takes(sample: &Sample) -> bool {
    sample.is_packet() && sample_entry::refusal(sample.codec).is_none()
}

/// Why these codecs cannot go into an MP4 file; none if they can.
pub fn unsupported(codecs: &[Codec]) -> Option<Error> {
    codecs.iter().find_map(|&codec| {
        sample_entry::refusal(codec).map(|reason| Error::Unsupported { codec, reason })
    })
}

/// An upper estimate of the head of a file with this many samples, for a reserve.
pub fn estimated_head_bytes(samples: u64) -> u64 {
    // A run of one in each of stts, ctts and stsc, a size and a wide chunk offset.
    const PER_SAMPLE: u64 = 8 + 8 + 12 + 4 + 8;
    4096 + samples.saturating_mul(PER_SAMPLE)
}

/// What was not as a tidy stream has it. Nothing of it costs a byte of a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Irregularities {
    /// Frames of tracks whose configuration never came: nothing can describe them, and no track of
    /// the file has them.
    pub undescribed_frames: u64,
    /// Frames that the edit list hides, because they come before the first keyframe.
    pub hidden_frames: u64,
    /// Decoding times that stepped back.
    pub backward_steps: u64,
    /// Frames whose presentation time could not be kept.
    pub moved_frames: u64,
    /// Configurations that cannot be read; the one before stays in force.
    pub damaged_configs: u64,
    /// Changes of the parameters that another sample entry describes.
    pub parameter_changes: u64,
    /// How much earlier in the file than they were sent the samples of a track are decoded at most,
    /// in milliseconds, because some were to be presented before they are decoded.
    pub early_decode_ms: u64,
}

/// A finished file but for its body.
#[derive(Debug)]
pub struct Mp4Layout {
    /// Everything before the first byte of the body.
    pub head: LazyBytes,
    /// Everything after the body: nothing, or the `moov` that did not fit into the reserve.
    pub tail: LazyBytes,
    /// Length of the body in bytes: the data of all samples that [`takes`] takes.
    pub body_len: u64,
    /// Length of the file in bytes.
    pub total_len: u64,
    /// Length of the movie in milliseconds.
    pub duration_ms: u64,
    /// The sender's time that became movie time 0: the one shift of both tracks.
    pub start_ms: i64,
    /// Tracks that the file does not have, though it has frames of them in its body: their
    /// configuration never came.
    pub left_out: Vec<Track>,
    /// What was not as a tidy stream has it.
    pub irregularities: Irregularities,
}

impl Mp4Layout {
    /// True if the head did not fit into the reserve and the `moov` follows the body.
    pub fn is_moov_last(&self) -> bool {
        !self.tail.is_empty()
    }
}
