//! The body of a single-object product while its file grows: both walks at once, a part at a time.
//!
//! What the second walk needs of the first is decided as samples come: which onMetaData moves to
//! the head, what is inserted, how times are shifted. One thing is assumed, the shift that the
//! summary's times have in an MP4: it was measured when the upload began and is checked at the end.
//! Between steps no file is open, and little more than the place is remembered. Bytes can be made
//! again without being counted again, since they are deterministic.

use sha2::{Digest, Sha256};

use crate::{
    domain::{
        container::Container,
        media_file::MediaFacts,
        recording::Span,
        verification::{ObjectEvidence, Verification},
    },
    media::{
        adts::{self, AdtsWriter},
        config::Configs,
        flv,
        lazy_bytes::LazyBytes,
        mp4,
        product_clock::TimeRule,
        sample::{Sample, SampleKind},
    },
};

use super::{
    damage::Damage,
    emit::Emit,
    evidence::{Evidence, Known},
    first_walk::{FirstWalk, Planned},
    flv_clock::FlvClock,
    hls::HlsSettings,
    project::{Body, ProjectError},
    source::Source,
};

/// A place in the body: the bytes that were made of the samples before `next` but not given out,
/// then everything from there on.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Span and position of the next sample; `None` at the beginning.
    next: Option<(usize, u64)>,
    /// Where it stands in an FLV.
    clock: FlvClock,
    rest: Vec<u8>,
}

/// See the module.
pub(super) struct Growing {
    container: Container,
    first: Option<FirstWalk>,
    emit: Emit,
    evidence: Evidence,
    shift_ms: i64,
    /// Span that the walk is in, and its configurations.
    at: Option<usize>,
    configs: Configs,
    place: Place,
    /// Bytes made so far.
    body_len: u64,
    /// SHA-256 of what goes up with the head, as it was when it was counted.
    lead_sha256: Option<[u8; 32]>,
    /// What of the journal was not what came, as far as the body goes.
    damage: Damage,
}

/// The end of a product whose body is made.
pub(super) struct Ends {
    /// What was measured.
    pub facts: MediaFacts,
    /// Before the body, as long as was reserved.
    pub head: LazyBytes,
    /// Behind it.
    pub tail: LazyBytes,
}

impl Growing {
    /// At the beginning. `creation_s` is what the product says of its making (unix seconds);
    /// `shift_ms` what is thought to be added to all times in the end.
    pub fn new(container: Container, creation_s: i64, shift_ms: i64) -> Self {
        let (emit, rule) = match container {
            Container::Flv => (Emit::flv(None, Vec::new(), Vec::new()), TimeRule::Flv),
            Container::Mp4 | Container::Hls => (Emit::Mp4, TimeRule::Mp4),
            Container::Aac => {
                (Emit::Aac { span: None, writer: AdtsWriter::default() }, TimeRule::Adts)
            }
        };
        let first = FirstWalk::new(container, HlsSettings::default(), creation_s, &[], Vec::new());
        Self {
            container,
            first: Some(first),
            emit,
            evidence: Evidence::new(rule, Known::default()),
            shift_ms,
            at: None,
            configs: Configs::new(),
            place: Place::default(),
            body_len: 0,
            lead_sha256: None,
            damage: Damage::default(),
        }
    }

    /// The file has these spans by now; the causes are those of [`FirstWalk::new`].
    pub fn set_spans(&mut self, spans: &[Span], causes: Vec<String>) {
        if let Some(first) = &mut self.first {
            first.set_spans(spans, causes);
        }
    }

    /// Where the body goes on.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether nothing was taken yet.
    pub fn is_at_start(&self) -> bool {
        self.body_len == 0
    }

    /// Bytes of memory that are kept between two steps, about.
    pub fn memory_bytes(&self) -> usize {
        let first = self.first.as_ref().map_or(0, FirstWalk::memory_bytes);
        first + self.place.rest.capacity() + size_of::<Self>()
    }

    /// Lets go of what the head needs; it is found in another walk then. False if that is nothing.
    pub fn shed(&mut self) -> bool {
        self.first.as_mut().is_some_and(FirstWalk::shed)
    }

    /// Whether the body goes on for at least `want` bytes, found in the index alone.
    pub fn has(&self, source: &mut Source, want: u64) -> Result<u64, ProjectError> {
        let mut found = self.place.rest.len() as u64;
        self.place.seek(source);
        while found < want {
            let Some((_, sample)) = source.next_sample()? else { break };
            found += match self.container {
                // One of the script tags moves to the head.
                Container::Flv if sample.kind == SampleKind::Script => 0,
                Container::Flv if flv::takes(&sample) => u64::from(sample.tag_len),
                Container::Mp4 if mp4::takes(&sample) => u64::from(sample.data_len),
                Container::Aac => adts::frame_len(&sample),
                Container::Flv | Container::Mp4 | Container::Hls => 0,
            };
        }
        Ok(found)
    }

    /// The next `want` bytes of the body, in the empty `out`; fewer if there are no more by now. Room
    /// for [`READ_OVER`] more is of use.
    pub fn take(
        &mut self,
        source: &mut Source,
        want: usize,
        mut out: Vec<u8>,
    ) -> Result<Vec<u8>, ProjectError> {
        out.append(&mut self.place.rest);
        self.place.rest = Vec::new();
        self.place.seek(source);
        source.swap_damage(&mut self.damage);
        let before = out.len();
        while let Some((span, sample)) = source.next_sample()? {
            // Only where a tag ends: its further samples have no length and no place of their own.
            if sample.tag_len > 0 {
                if out.len() >= want {
                    break;
                }
                let next = sample.position.saturating_add(u64::from(sample.tag_len));
                self.place.next = Some((span, next));
            }
            self.push(source, span, &sample, &mut out)?;
        }
        source.swap_damage(&mut self.damage);
        self.body_len += (out.len() - before) as u64;
        if out.len() > want {
            self.place.rest = out.split_off(want);
        }
        Ok(out)
    }

    /// Takes what goes up with the head, which is made again at the end.
    pub fn take_lead(
        &mut self,
        source: &mut Source,
        want: usize,
        out: Vec<u8>,
    ) -> Result<Vec<u8>, ProjectError> {
        let lead = self.take(source, want, out)?;
        self.lead_sha256 = Some(Sha256::digest(&lead).into());
        Ok(lead)
    }

    /// Whether this is what [`Growing::take_lead`] gave. Hours later the journal may have rotted.
    pub fn is_lead(&self, bytes: &[u8]) -> bool {
        self.lead_sha256.is_none_or(|sha256| sha256 == <[u8; 32]>::from(Sha256::digest(bytes)))
    }

    /// Gives back what was taken last and not used.
    pub fn give_back(&mut self, bytes: &[u8]) {
        self.place.rest.splice(..0, bytes.iter().copied());
    }

    /// The same bytes as [`Growing::take`] gave at a place before this one, without counting them.
    pub fn again(
        &self,
        source: &mut Source,
        place: &Place,
        want: usize,
        mut out: Vec<u8>,
    ) -> Result<Vec<u8>, ProjectError> {
        let mut emit = self.emit.clone();
        match &mut emit {
            Emit::Aac { span, .. } => *span = None,
            Emit::Flv { clock, .. } => *clock = place.clock,
            Emit::Mp4 => {}
        }
        out.extend_from_slice(&place.rest);
        place.seek(source);
        while let Some((span, sample)) = source.next_sample()? {
            if sample.tag_len > 0 && out.len() >= want {
                break;
            }
            emit.take(source, span, &sample, None, &mut out)?;
        }
        out.truncate(want);
        Ok(out)
    }

    fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        out: &mut Vec<u8>,
    ) -> Result<(), ProjectError> {
        let Some(first) = &mut self.first else {
            return Err(ProjectError::Broken("the body went on behind its end"));
        };
        if self.at != Some(span) {
            self.at = Some(span);
            self.configs = source.configs(span)?;
            first.begin_span(source, span)?;
            self.evidence.set_session(span, first.session(span, self.shift_ms));
        } else if sample.kind == SampleKind::Config && self.configs.get(sample.config).is_none() {
            self.configs = source.configs(span)?;
            first.add_configs(&self.configs);
            if let Emit::Aac { span, .. } = &mut self.emit {
                *span = None;
            }
        }
        first.push(source, span, sample)?;
        first.guide(&mut self.emit, span, sample);
        self.emit.take(source, span, sample, Some(&mut self.evidence), out)?;
        if let Emit::Flv { clock, .. } = &self.emit {
            self.place.clock = *clock;
        }
        Ok(())
    }

    /// Head and tail of the product, all of whose body was taken. `facts` has what the row knew.
    ///
    /// # Errors
    /// [`ProjectError::Broken`] if the body is not the one that the whole file has.
    pub fn finish(
        &mut self,
        source: &mut Source,
        spans: &[Span],
        causes: Vec<String>,
        facts: MediaFacts,
        reserve: u64,
    ) -> Result<Ends, ProjectError> {
        let fixed = (self.container != Container::Aac).then_some(reserve);
        let planned = match self.first.take() {
            Some(mut first) if first.is_whole() => {
                first.set_spans(spans, causes);
                first.finish(source, facts, fixed)?
            }
            _ => {
                let creation_s = facts.start_ms.div_euclid(1000);
                let hls = HlsSettings::default();
                source.rewind();
                FirstWalk::new(self.container, hls, creation_s, spans, causes)
                    .walk(source, facts, fixed)?
            }
        };
        let Planned { facts, total_len, body, known, left_out, .. } = planned;
        let Body::Single(body) = body else {
            return Err(ProjectError::Broken("the product is not one object"));
        };
        let (head, tail) = body.into_ends();
        let body_len = total_len.saturating_sub(head.len() + tail.len());
        if head.len() != reserve || body_len != self.body_len {
            return Err(ProjectError::Broken("the body is not as long as its head says"));
        }
        if !self.evidence.complete(known) {
            return Err(ProjectError::Broken("the times of the product are not what was assumed"));
        }
        self.evidence.leave_out(left_out);
        Ok(Ends { facts, head, tail })
    }

    /// The summary of the product, once it is finished and stored as these objects.
    pub fn verification(&self, objects: Vec<ObjectEvidence>) -> Verification {
        self.evidence.clone().finish(objects, self.damage.clone())
    }
}

impl Place {
    fn seek(&self, source: &mut Source) {
        match self.next {
            Some((span, position)) => source.seek(span, position),
            None => source.rewind(),
        }
    }

    /// Journal bytes of the spans that lie before this place.
    pub fn passed(&self, spans: &[Span]) -> u64 {
        let Some((at, position)) = self.next else { return 0 };
        let before = |span: &Span| span.to.unwrap_or(span.from).saturating_sub(span.from);
        let earlier: u64 = spans.iter().take(at).map(before).sum();
        earlier + spans.get(at).map_or(0, |span| position.saturating_sub(span.from))
    }
}

#[cfg(test)]
mod tests;
