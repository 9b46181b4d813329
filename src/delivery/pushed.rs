//! Whether a file holds anything, and where it does not, why there is no product.
//!
//! Frames of the default tracks go into every container. FLV takes whatever was pushed: what has
//! frames of other tracks, packets that nobody knows or script data alone is a file there, and in
//! any other container one that cannot be made, so that its journal is kept. Headers and onMetaData
//! alone are nothing: they describe what never came.

use crate::{
    domain::{container::Container, media_file::MediaFacts},
    media::{
        flv::{FlvHead, script, takes},
        sample::{Sample, SampleKind},
    },
};

use super::{project::ProjectError, source::Source};

/// What of the samples of one file counts.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    has_frames: bool,
    /// First and last time of what is more than a description, on the file's timeline.
    content_ms: Option<(i64, i64)>,
}

impl Pushed {
    /// Takes in a sample at its time in the product.
    pub fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
    ) -> Result<(), ProjectError> {
        self.has_frames |= sample.is_video_frame() || sample.is_audio_frame();
        // Nobody asks for the rest once there are frames.
        if self.has_frames || !takes(sample) || sample.data_len == 0 {
            return Ok(());
        }
        let is_content = match sample.kind {
            SampleKind::Frame | SampleKind::Other => true,
            SampleKind::Script => !script::is_metadata(&source.payload(span, sample)?),
            _ => false,
        };
        if is_content {
            let (first, last) = self.content_ms.unwrap_or((sample.dts_ms, sample.dts_ms));
            self.content_ms = Some((first.min(sample.dts_ms), last.max(sample.dts_ms)));
        }
        Ok(())
    }

    /// Nothing, if there is a product of this container.
    ///
    /// # Errors
    /// Why there is none. While the file grows nothing is final. What the journal `has_lost` may have
    /// been frames: then it is not empty.
    pub fn check(
        &self,
        container: Container,
        is_final: bool,
        has_lost: bool,
    ) -> Result<(), ProjectError> {
        let reason = "no frame came in a default track".to_owned();
        match (self.has_frames, self.content_ms) {
            (true, _) => Ok(()),
            (false, Some(_)) if container == Container::Flv => Ok(()),
            (false, Some(_)) if is_final => Err(ProjectError::Unsupported { container, reason }),
            (false, None) if is_final && has_lost => Err(ProjectError::Lost),
            (false, _) => Err(ProjectError::Empty),
        }
    }

    /// What is said of an FLV without a frame of the default tracks.
    pub fn complete(&self, head: &FlvHead, facts: &mut MediaFacts) {
        if let (false, Some((first_ms, last_ms))) = (self.has_frames, self.content_ms) {
            facts.first_pts_ms = first_ms;
            facts.duration_ms = head.duration_ms().max(last_ms.saturating_sub(first_ms));
        }
    }
}
