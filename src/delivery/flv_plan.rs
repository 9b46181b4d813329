//! What the head and the body of an FLV product need beyond the journal's own tags: the onMetaData
//! that moves to the head, and configurations that a stretch does not begin with.
//!
//! Every track has a configuration of its own, and one tag may bring those of several tracks. So what
//! is repeated is repeated in the order in which it came: an old tag must not undo a newer one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::media::{
    config::{Configs, TrackConfig},
    demux::demux,
    flv::{FlvHead, header::encode_tag, script, takes},
    sample::{Sample, SampleKind, Track},
};

use super::{
    flv_clock::{FlvClock, Placing, Resumed},
    project::ProjectError,
    source::Source,
};

/// Where the push of a span begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begun {
    /// With the span.
    Here {
        /// Its first frame, if there is one.
        first: Option<Sample>,
    },
    /// In a span before.
    Before,
}

impl Begun {
    /// True if it is a push of its own.
    pub fn is_here(self) -> bool {
        matches!(self, Begun::Here { .. })
    }
}

/// The first walk over an FLV product.
#[derive(Default)]
pub(super) struct FlvPlan {
    /// Collects what the head says.
    pub head: FlvHead,
    /// The onMetaData that moves from the body to the head.
    pub metadata: Option<(usize, u64, Bytes)>,
    /// What the later stretches of the file have before some tags, in order.
    pub inserts: Vec<Insert>,
    /// Configurations that the first frame of a track needs and the file does not begin with, by
    /// ordinal.
    in_force: BTreeMap<u32, (Track, Bytes)>,
    configs: Configs,
    /// By track the configuration that a reader of this stretch was told last.
    told: BTreeMap<(Track, u8), u32>,
    /// Of each span.
    placings: Vec<Placing>,
    clock: FlvClock,
    /// The latest time of a frame so far, in the product.
    latest_ms: Option<i64>,
    /// Tags that do not stand at their own times.
    pub moved_headers: u64,
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
    /// The samples that follow are of another stretch and refer to these configurations. It begins
    /// like this, or goes on with the push of the stretch before.
    pub fn begin_span(&mut self, span: usize, configs: Configs, begun: Begun, shift_ms: i64) {
        self.configs = configs;
        self.told.clear();
        let resumed = match (begun, self.latest_ms) {
            (Begun::Before, _) => self.placings.last().and_then(|before| before.resumed),
            (Begun::Here { first }, Some(latest_ms)) => Some(Resumed {
                first: first.map_or(u64::MAX, |first| first.position),
                at_ms: first.map_or(latest_ms, |first| {
                    first.dts_ms.saturating_add(shift_ms).max(latest_ms)
                }),
                latest_ms,
            }),
            _ => None,
        };
        self.placings.resize(span, Placing::default());
        self.placings.push(Placing { shift_ms, resumed });
    }

    /// Where the tags of all spans stand in time.
    pub fn placings(&self) -> &[Placing] {
        &self.placings
    }

    /// Where the tags of a span stand in time.
    pub fn placing(&self, span: usize) -> Placing {
        self.placings.get(span).copied().unwrap_or_default()
    }

    /// More configurations of the same stretch have become known.
    pub fn add_configs(&mut self, configs: Configs) {
        self.configs = configs;
    }

    /// Takes in a sample, with the time it came with.
    pub fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
    ) -> Result<(), ProjectError> {
        let (time_ms, is_moved) = self.clock.time_ms(self.placing(span), sample);
        self.moved_headers += u64::from(is_moved && takes(sample));
        let sample = &Sample { dts_ms: time_ms, ..*sample };
        if sample.kind == SampleKind::Frame {
            self.latest_ms = self.latest_ms.max(Some(time_ms));
        }
        // A tag is not parted: its further samples are settled with the first.
        if sample.tag_len > 0 && sample.track != Track::Script {
            let mut needed = BTreeSet::new();
            for sample in std::iter::once(sample).chain(source.rest_of_tag()) {
                needed.extend(self.settle(sample));
            }
            self.repeat(span, sample, needed);
        }
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

    /// The configurations that the file begins without, in the order in which they came.
    pub fn in_force(&self) -> Vec<(Track, Bytes)> {
        let mut tags: Vec<(Track, Bytes)> = Vec::new();
        for tag in self.in_force.values() {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// The first configuration or frame of a track in a stretch decides whether its configuration
    /// must be given before; which that is.
    fn settle(&mut self, sample: &Sample) -> Option<u32> {
        let track = (sample.track, sample.track_id);
        match sample.kind {
            SampleKind::Config => {
                self.told.insert(track, sample.config);
                None
            }
            SampleKind::Frame if !self.told.contains_key(&track) => {
                self.told.insert(track, sample.config);
                self.configs.get(sample.config).map(|_| sample.config)
            }
            _ => None,
        }
    }

    /// Gives these configurations before the tag of a sample: the first stretch in the head.
    fn repeat(&mut self, span: usize, sample: &Sample, mut needed: BTreeSet<u32>) {
        let Some(first) = needed.first().copied() else { return };
        if span == 0 {
            for ordinal in needed {
                if let Some(config) = self.configs.get(ordinal) {
                    let tag = (config.track, config.tag_payload().clone());
                    self.in_force.insert(ordinal, tag);
                }
            }
            return;
        }
        if needed.iter().filter_map(|ordinal| self.configs.get(*ordinal)).any(brings_several) {
            // What has come since for the other tracks would be undone.
            let told = self.told.iter().filter(|((track, _), _)| *track == sample.track);
            needed.extend(told.map(|(_, ordinal)| *ordinal).filter(|ordinal| *ordinal > first));
        }
        let mut tags = Vec::new();
        let mut before: Option<&Bytes> = None;
        for config in needed.iter().filter_map(|ordinal| self.configs.get(*ordinal)) {
            if before != Some(config.tag_payload()) {
                let kind = config.track.tag_kind();
                encode_tag(kind, sample.dts_ms, config.tag_payload(), &mut tags);
            }
            before = Some(config.tag_payload());
        }
        self.head.insert(tags.len() as u64);
        self.inserts.push(Insert { span, position: sample.position, tags });
    }
}

/// Whether the tag of a configuration has those of other tracks, too.
fn brings_several(config: &TrackConfig) -> bool {
    let mut samples = Vec::new();
    demux(config.track.tag_kind(), config.tag_payload(), &mut samples);
    samples.len() > 1
}
