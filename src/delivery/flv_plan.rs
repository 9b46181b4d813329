//! What the head and the body of an FLV product need beyond the journal's own tags: the onMetaData
//! that moves to the head, and configurations that a stretch does not begin with.

use bytes::Bytes;

use crate::media::{
    config::Configs,
    flv::{FlvHead, header::encode_tag, script},
    sample::{Sample, SampleKind, Track},
    tag::TagKind,
};

use super::{project::ProjectError, source::Source};

/// The first walk over an FLV product.
#[derive(Default)]
pub(super) struct FlvPlan {
    /// Collects what the head says.
    pub head: FlvHead,
    /// The onMetaData that moves from the body to the head.
    pub metadata: Option<(usize, u64, Bytes)>,
    /// Configurations that the first frame of a track needs and the file does not begin with.
    pub in_force: Vec<(Track, Bytes)>,
    /// The same for the later stretches of the file, in order.
    pub inserts: Vec<Insert>,
    configs: Configs,
    settled: [bool; 2],
}

/// Tags that the body has before a tag of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Insert {
    /// Span of the tag they come before.
    pub span: usize,
    /// Its position.
    pub position: u64,
    /// The bytes.
    pub tags: Vec<u8>,
}

impl FlvPlan {
    /// The samples that follow are of another stretch and refer to these configurations.
    pub fn begin_span(&mut self, configs: Configs) {
        self.configs = configs;
        self.settled = [false; 2];
    }

    /// More configurations of the same stretch have become known.
    pub fn add_configs(&mut self, configs: Configs) {
        self.configs = configs;
    }

    /// Takes in a sample, with its time in the product.
    pub fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
    ) -> Result<(), ProjectError> {
        self.settle(span, sample);
        let mut moves_to_head = false;
        // Metadata of a later push stand where it begins.
        if sample.kind == SampleKind::Script && span == 0 && self.metadata.is_none() {
            let payload = source.payload(span, sample)?;
            if script::is_metadata(&payload) {
                moves_to_head = true;
                self.metadata = Some((span, sample.position, payload));
            }
        }
        self.head.push(sample, moves_to_head);
        Ok(())
    }

    /// The first configuration or frame of a track in a stretch decides whether its configuration
    /// must be given before.
    fn settle(&mut self, span: usize, sample: &Sample) {
        let [video, audio] = &mut self.settled;
        let (settled, kind) = match sample.track {
            Track::Video => (video, TagKind::Video),
            Track::Audio => (audio, TagKind::Audio),
            Track::Script => return,
        };
        let is_either = matches!(sample.kind, SampleKind::Config | SampleKind::Frame);
        if !is_either || sample.track_id != 0 || std::mem::replace(settled, true) {
            return;
        }
        let Some(config) = self.configs.get(sample.config) else { return };
        if sample.kind != SampleKind::Frame {
            return;
        }
        if span == 0 {
            self.in_force.push((sample.track, config.tag_payload().clone()));
        } else {
            let mut tags = Vec::new();
            encode_tag(kind, sample.dts_ms, config.tag_payload(), &mut tags);
            self.head.insert(tags.len() as u64);
            self.inserts.push(Insert { span, position: sample.position, tags });
        }
    }
}
