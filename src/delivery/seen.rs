//! Whether there is anything to make a product of.

use crate::{
    domain::container::Container,
    media::sample::{Sample, SampleKind},
};

use super::project::ProjectError;

/// The most that samples gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// Headers and script data at most.
    Nothing,
    /// Frames of further tracks, or packets of no known type: FLV takes them.
    Others,
    /// Frames of a default track.
    Frames,
}

impl Seen {
    /// What a sample gives.
    pub fn of(sample: &Sample) -> Self {
        match sample.kind {
            _ if sample.is_video_frame() || sample.is_audio_frame() => Seen::Frames,
            SampleKind::Frame => Seen::Others,
            SampleKind::Other if sample.data_len > 0 => Seen::Others,
            _ => Seen::Nothing,
        }
    }
}

/// There is something to record, but no frame of a default track.
pub(super) fn no_default_track(container: Container) -> ProjectError {
    let reason = "nothing was sent but further tracks or packets of unknown types".to_owned();
    ProjectError::Unsupported { container, reason }
}
