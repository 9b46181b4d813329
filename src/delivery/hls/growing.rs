//! An HLS product whose file still grows: both walks, over what there is of it by now.
//!
//! What is kept between two steps is small: no file is open, and of the samples only what the plan
//! has for each segment. After a restart of the process a new one is begun with the first sample
//! again: it makes the same objects, so what the store has of them need not be sent again.

use crate::{
    domain::{
        media_file::{MediaFacts, NotedSegment},
        recording::Span,
        verification::{ObjectEvidence, Verification},
    },
    media::{config::Configs, product_clock::TimeRule, sample::SampleKind},
};

use super::{HlsBody, HlsSettings, SegmentType};
use crate::{
    delivery::{
        damage::Damage,
        evidence::{Evidence, Known},
        first_walk::{FirstWalk, Plan, Planned},
        project::{Block, Body, ProjectError},
        source::Source,
    },
    domain::container::Container,
};

/// To be driven like this: [`set_spans`](Self::set_spans) and [`look_ahead`](Self::look_ahead) with
/// a source that has grown, then [`next_block`](Self::next_block) until [`Block::Starved`]. When the
/// file is complete, `look_ahead` for a last time, [`finish`](Self::finish), and blocks to the end.
///
/// At [`Block::Restart`] all objects that were made count no more; the same keys will be written
/// again, never fewer. [`Block::Playlist`] is put under the key of the main object and not counted.
/// After an error a new one must be begun.
pub struct GrowingHls {
    walk: Walk,
    evidence: Evidence,
    /// Span that the first walk is in, and its configurations.
    at: Option<usize>,
    configs: Configs,
    /// Where the first walk goes on; `None` at the beginning.
    next: Option<(usize, u64)>,
    /// What the first walk saw of the journal that is not what came.
    looked_damage: Damage,
    /// The same of the packets in the objects.
    damage: Damage,
}

enum Walk {
    First(Box<FirstWalk>),
    /// The first one is done.
    Second(Box<HlsBody>),
}

impl GrowingHls {
    /// At the beginning. Initialisation segments say that they were created at `creation_s` (unix
    /// seconds), which must be the same as long as the file is.
    pub fn new(hls: HlsSettings, creation_s: i64) -> Self {
        let rule = match hls.segment_type {
            SegmentType::Ts => TimeRule::Ts,
            SegmentType::Fmp4 => TimeRule::Fragmented,
        };
        let first = FirstWalk::new(Container::Hls, hls, creation_s, &[], Vec::new());
        Self {
            walk: Walk::First(Box::new(first)),
            evidence: Evidence::new(rule, Known::default()),
            at: None,
            configs: Configs::new(),
            next: None,
            looked_damage: Damage::default(),
            damage: Damage::default(),
        }
    }

    /// The file has these spans by now; the causes are those of [`FirstWalk::new`].
    pub fn set_spans(&mut self, spans: &[Span], causes: Vec<String>) {
        if let Walk::First(first) = &mut self.walk {
            first.set_spans(spans, causes);
        }
    }

    /// Looks at all samples that have come since.
    ///
    /// # Errors
    /// The product cannot be made, or the journal cannot be read.
    pub fn look_ahead(&mut self, source: &mut Source) -> Result<(), ProjectError> {
        source.swap_damage(&mut self.looked_damage);
        let looked = self.look_on(source);
        source.swap_damage(&mut self.looked_damage);
        looked
    }

    fn look_on(&mut self, source: &mut Source) -> Result<(), ProjectError> {
        let Walk::First(first) = &mut self.walk else { return Ok(()) };
        match self.next {
            Some((span, position)) => source.seek(span, position),
            None => source.rewind(),
        }
        while let Some((span, sample)) = source.next_sample()? {
            // Only the first sample of a tag has a length.
            if sample.tag_len > 0 {
                let next = sample.position.saturating_add(u64::from(sample.tag_len));
                self.next = Some((span, next));
            }
            if self.at != Some(span) {
                self.at = Some(span);
                self.configs = source.configs(span)?;
                first.begin_span(source, span)?;
                self.evidence.set_session(span, first.session(span, 0));
            } else if sample.kind == SampleKind::Config
                && sample.config != 0
                && self.configs.get(sample.config).is_none()
                && let Some(config) = source.config(span, &sample)?
            {
                self.configs.insert(sample.config, config);
                first.add_configs(&self.configs);
            }
            first.push(source, span, &sample)?;
        }
        Ok(())
    }

    /// The next block, of about `max` bytes.
    ///
    /// # Errors
    /// The product cannot be made, or the journal cannot be read.
    pub fn next_block(&mut self, source: &mut Source, max: usize) -> Result<Block, ProjectError> {
        let body = match &mut self.walk {
            Walk::First(first) => match &mut first.plan {
                Plan::Hls(body) => body,
                _ => return Ok(Block::End),
            },
            Walk::Second(body) => body,
        };
        source.swap_damage(&mut self.damage);
        let block = body.next_block(source, max, &mut self.evidence);
        source.swap_damage(&mut self.damage);
        if matches!(block, Ok(Block::Restart)) {
            self.damage = Damage::default();
        }
        block
    }

    /// The file is complete and was looked at to its end. Gives what was measured; `facts` has what
    /// the row knew.
    ///
    /// # Errors
    /// The product cannot be made.
    pub fn finish(
        &mut self,
        source: &mut Source,
        facts: MediaFacts,
    ) -> Result<MediaFacts, ProjectError> {
        let body = HlsBody::new(HlsSettings::default(), 0);
        let walk = std::mem::replace(&mut self.walk, Walk::Second(Box::new(body)));
        let Walk::First(first) = walk else { return Ok(facts) };
        let Planned { facts, body, known, .. } = first.finish(source, facts, None)?;
        if let Body::Hls(body) = body {
            self.walk = Walk::Second(body);
        }
        // What was written with another shift is written again.
        _ = self.evidence.complete(known);
        Ok(facts)
    }

    /// The summary of the product, when all blocks were taken and stored as these objects.
    pub fn verification(&self, objects: Vec<ObjectEvidence>) -> Verification {
        let damage = self.looked_damage.clone().and(&self.damage);
        self.evidence.clone().finish(objects, damage)
    }

    /// Whether all that was looked at belongs to these spans, of which the last may be open.
    pub(in crate::delivery) fn fits(&self, seen: &[Span], spans: &[Span]) -> bool {
        let Some((at, next)) = self.next else { return true };
        let is_same = |(seen, now): (&Span, &Span)| {
            (seen.session, seen.from) == (now.session, now.from)
                && (seen.to.is_none() || seen.to == now.to)
        };
        let is_inside = |span: &Span| next <= span.end_in(u64::MAX);
        spans.get(at).is_some_and(is_inside) && seen.iter().zip(spans).take(at + 1).all(is_same)
    }

    /// What the playlist says of a segment.
    pub(in crate::delivery) fn noted(&self, number: u64) -> Option<NotedSegment> {
        self.body()?.noted(number)
    }

    /// Journal bytes of a second of media, about, of so many in all; `None` before the first segment.
    pub(in crate::delivery) fn pace(&self, stretch: u64) -> Option<u64> {
        let body = self.body()?;
        let played_ms = u128::try_from(body.duration_ms()).ok().filter(|ms| *ms > 0)?;
        u64::try_from(u128::from(stretch) * 1000 / played_ms).ok()
    }

    /// Bytes of memory that are kept between two steps, about.
    pub(in crate::delivery) fn memory_bytes(&self) -> usize {
        let body = self.body().map_or(0, HlsBody::memory_bytes);
        size_of::<Self>() + body
    }

    fn body(&self) -> Option<&HlsBody> {
        match &self.walk {
            Walk::First(first) => match &first.plan {
                Plan::Hls(body) => Some(body),
                _ => None,
            },
            Walk::Second(body) => Some(body),
        }
    }
}
