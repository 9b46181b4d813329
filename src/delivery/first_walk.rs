//! The first walk over a media file: what its head needs and what is measured of it.
//!
//! Collects from samples and, for FLV, from script data; emits nothing. The second walk is in
//! [`super::project`].

use crate::{
    domain::{
        container::Container,
        journal_note::Note,
        media_file::MediaFacts,
        recording::Span,
        verification::{IrregularityKind, SessionEvidence},
    },
    media::{
        adts::{self, AdtsWriter},
        config::Configs,
        frame_head::{FRAME_HEAD_BYTES, is_described_in_band},
        hls::{Error as HlsError, SegmentType},
        lazy_bytes::LazyBytes,
        mp4::{self, Mp4Builder},
        product_clock::TimeRule,
        sample::{Sample, SampleKind, Track},
    },
};

use super::{
    emit::Emit,
    evidence::Known,
    facts::Facts,
    flv_plan::{Begun, FlvPlan},
    hls::{HlsBody, HlsSettings},
    observe::Observer,
    project::{Body, ProjectError, SingleBody, unsupported},
    pushed::Pushed,
    source::Source,
    timeline::{GapRule, Timeline},
};

/// Remarks of products whose head has outgrown what was kept free for it.
const MOOV_LAST: &str = "the moov is behind the media, larger than the room that was left for it";
const NO_HEADER: &str = "no frame of sound came that an adts header can be written for";
const THINNED: &str = "not every key frame is listed, for want of room in the head";

/// What the first walk found out.
pub(super) struct Planned {
    /// What was measured.
    pub facts: MediaFacts,
    /// Length of the product if it is one object.
    pub total_len: u64,
    /// The second walk.
    pub body: Body,
    /// How the product tells time.
    pub rule: TimeRule,
    /// What the summary says besides the packets.
    pub known: Known,
    /// Tracks that the product does not have.
    pub left_out: Vec<Track>,
}

/// The first walk.
pub(super) struct FirstWalk {
    pub(super) facts: Facts,
    pub(super) observer: Observer,
    timeline: Timeline,
    /// Why the push of each span ended.
    pub(super) causes: Vec<String>,
    pub(super) sessions: Vec<SessionEvidence>,
    pub(super) plan: Plan,
    hls: HlsSettings,
    pushed: Pushed,
    /// Span that the walk is in, and where its next tag begins if none is lost.
    at: Option<usize>,
    next: Option<u64>,
}

/// What each container's first walk collects.
pub(super) enum Plan {
    Flv(Box<FlvPlan>),
    /// `None` once its tables were let go.
    Mp4(Option<Box<Mp4Builder>>),
    Aac {
        total_len: u64,
    },
    /// What the segments will be; it can be written while its file grows.
    Hls(Box<HlsBody>),
}

impl Plan {
    fn container(&self) -> Container {
        match self {
            Plan::Flv(_) => Container::Flv,
            Plan::Mp4(_) => Container::Mp4,
            Plan::Aac { .. } => Container::Aac,
            Plan::Hls(_) => Container::Hls,
        }
    }
}

impl FirstWalk {
    /// `creation_s` (unix seconds) is what the product says of its making; `causes` says for each
    /// span why its push ended.
    pub(super) fn new(
        container: Container,
        hls: HlsSettings,
        creation_s: i64,
        spans: &[Span],
        causes: Vec<String>,
    ) -> Self {
        let creation_s = u64::try_from(creation_s).unwrap_or(0);
        let gap_rule = match (container, hls.segment_type) {
            (Container::Flv | Container::Mp4, _) => GapRule::Shown,
            // Readers that take the fragments for one file expect times that go on.
            (Container::Hls, SegmentType::Fmp4) => GapRule::Shown,
            (Container::Hls, SegmentType::Ts) | (Container::Aac, _) => GapRule::LeftOut,
        };
        let plan = match container {
            Container::Flv => Plan::Flv(Box::default()),
            Container::Mp4 => {
                Plan::Mp4(Some(Box::new(Mp4Builder::new(&Configs::new(), creation_s))))
            }
            Container::Aac => Plan::Aac { total_len: 0 },
            Container::Hls => Plan::Hls(Box::new(HlsBody::new(hls, creation_s))),
        };
        let sessions = spans.iter().map(Self::session_of).collect();
        let (facts, observer) = (Facts::default(), Observer::default());
        let timeline = Timeline::new(gap_rule).of_all_tracks(container == Container::Flv);
        let (pushed, at, next) = (Pushed::default(), None, None);
        Self { facts, observer, timeline, causes, sessions, plan, hls, pushed, at, next }
    }

    pub(super) fn session_of(span: &Span) -> SessionEvidence {
        SessionEvidence { session: span.session.to_string(), shift_ms: 0 }
    }

    pub(super) fn begin_span(
        &mut self,
        source: &mut Source,
        span: usize,
    ) -> Result<(), ProjectError> {
        let configs = source.configs(span)?;
        self.facts.push_configs(&configs);
        self.observer.begin_span(&configs);
        let begun = self.begin_push(source, span)?;
        if begun.is_here() {
            self.timeline.begin_behind(source.mark_before(span)?);
        }
        let shift_ms = self.sessions.get(span).map_or(0, |session| session.shift_ms);
        match &mut self.plan {
            Plan::Flv(flv) => flv.begin_span(span, configs, begun, shift_ms),
            Plan::Mp4(Some(builder)) => builder.set_configs(&configs),
            Plan::Mp4(None) | Plan::Aac { .. } => {}
            Plan::Hls(hls) => hls.begin_span(span, configs, begun.is_here(), shift_ms),
        }
        Ok(())
    }

    /// Where a span begins another push, places it on the file's timeline.
    fn begin_push(&mut self, source: &mut Source, span: usize) -> Result<Begun, ProjectError> {
        self.notice_loss(source, span);
        self.at = Some(span);
        self.next = source.extent(span).map(|(from, _)| from);
        let Some(before) = span.checked_sub(1) else {
            return Ok(Begun::Here { first: None });
        };
        let session = |nth: usize| self.sessions.get(nth).map(|session| &session.session);
        let mut begun = Begun::Before;
        if session(span) != session(before) {
            let search = source.opening(span, matches!(self.plan, Plan::Flv(_)), usize::MAX)?;
            let cause = self.causes.get(before).map_or("unknown", String::as_str);
            self.timeline.begin_push(search.opening(), cause);
            begun = Begun::Here { first: search.first_frame() };
        }
        if let (Some(session), Some(shift_ms)) =
            (self.sessions.get_mut(span), self.timeline.shown_shift_ms())
        {
            session.shift_ms = shift_ms;
        }
        Ok(begun)
    }

    /// Where the spans up to `span` are not there to their ends, says so.
    fn notice_loss(&mut self, source: &Source, span: usize) {
        let first = self.at.unwrap_or(0);
        let is_lost = (first..span).any(|nth| {
            let reached = self.next.filter(|_| self.at == Some(nth));
            source.extent(nth).is_some_and(|(from, to)| reached.unwrap_or(from) < to)
        });
        if is_lost {
            self.timeline.lose();
        }
    }

    pub(super) fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
    ) -> Result<(), ProjectError> {
        if self.next.is_some_and(|next| sample.position > next) {
            self.timeline.lose();
        }
        if sample.tag_len > 0 {
            self.next = Some(sample.position.saturating_add(u64::from(sample.tag_len)));
        }
        // What describes the frames is read now and never again, except into FLV.
        if sample.kind == SampleKind::Config && !matches!(self.plan, Plan::Flv(_)) {
            source.check_apart(span, sample)?;
        }
        if sample.kind == SampleKind::Private
            && let Some(note) = source.note(span, sample)?.as_deref().and_then(Note::parse)
        {
            self.timeline.note(&note);
        }
        let placed = sample.moved_by(self.timeline.push(sample));
        // A file of sound alone has nothing else to tell of.
        let is_aac = matches!(self.plan, Plan::Aac { .. });
        let is_told = !is_aac || (sample.track, sample.track_id) == (Track::Audio, 0);
        if is_told {
            self.observer.push(sample);
        }
        let mut head = Vec::new();
        let is_wanted = match &mut self.plan {
            Plan::Mp4(Some(builder)) => builder.wants_frame(sample),
            Plan::Hls(hls) => hls.wants_frame(sample),
            Plan::Flv(_) => is_described_in_band(sample),
            Plan::Mp4(None) | Plan::Aac { .. } => false,
        };
        if is_wanted || self.facts.wants_frame(sample) {
            let len = sample.data_len.min(FRAME_HEAD_BYTES as u32);
            source.peek(span, sample.data_position(), len, &mut head)?;
            self.observer.listen(sample, &head);
        }
        self.pushed.push(source, span, &placed)?;
        if is_told {
            self.facts.push(&placed, &head);
        }
        match &mut self.plan {
            Plan::Flv(flv) => flv.push(source, span, sample),
            Plan::Mp4(Some(builder)) => {
                builder.push_with_frame(&placed, &head).map_err(unsupported(Container::Mp4))
            }
            Plan::Mp4(None) => Ok(()),
            Plan::Aac { total_len } => {
                self.observer.describe(sample);
                *total_len += adts::frame_len(sample);
                Ok(())
            }
            Plan::Hls(hls) => {
                // In fragmented MP4 they are counted where they are described.
                if self.hls.segment_type == SegmentType::Ts {
                    self.observer.describe(sample);
                }
                hls.push(source, span, sample, &head)
            }
        }
    }

    /// Walks the whole file and finishes.
    pub(super) fn walk(
        mut self,
        source: &mut Source,
        known: MediaFacts,
        reserve: Option<u64>,
    ) -> Result<Planned, ProjectError> {
        let mut at = None;
        while let Some((span, sample)) = source.next_sample()? {
            if at != Some(span) {
                at = Some(span);
                self.begin_span(source, span)?;
            }
            self.push(source, span, &sample)?;
        }
        self.finish(source, known, reserve)
    }

    /// What was found out. With a `reserve` the head takes exactly so many bytes.
    pub(super) fn finish(
        mut self,
        source: &mut Source,
        known: MediaFacts,
        reserve: Option<u64>,
    ) -> Result<Planned, ProjectError> {
        let container = self.plan.container();
        self.notice_loss(source, self.sessions.len());
        self.pushed.check(container, source.is_final(), self.timeline.has_lost())?;
        let (codecs, sound) = (self.facts.codecs(), self.facts.audio_codecs());
        let unlisted_gaps = self.timeline.unlisted_gaps();
        let (gaps, paused_ms) = self.timeline.finish();
        let mut facts = self.facts.complete(known, paused_ms, container == Container::Flv);
        let single = |head, tail, emit| Body::Single(SingleBody::new(head, tail, emit));
        let mut irregularities = self.observer.finish();
        irregularities.insert(IrregularityKind::UnlistedGaps, unlisted_gaps);
        let mut left_out = Vec::new();
        let (rule, total_len, body) = match self.plan {
            Plan::Flv(flv) => {
                self.pushed.complete(&flv.head, &mut facts);
                let in_force = flv.in_force();
                let placings = flv.placings().to_vec();
                let (moved, metadata) = match flv.metadata {
                    Some((span, position, payload)) => (Some((span, position)), Some(payload)),
                    None => (None, source.metadata()?),
                };
                let layout = flv
                    .head
                    .finish(metadata.as_deref(), &in_force, reserve)
                    .map_err(|_| ProjectError::Broken("the head does not fit where it must"))?;
                if layout.is_thinned && reserve.is_some() {
                    facts.irregularities.push(THINNED.to_owned());
                }
                irregularities.insert(IrregularityKind::MovedHeaders, flv.moved_headers);
                let emit = Emit::flv(moved, placings, flv.inserts);
                let head = layout.head.into();
                (TimeRule::Flv, layout.total_len, single(head, LazyBytes::default(), emit))
            }
            Plan::Mp4(builder) => {
                let Some(builder) = builder else {
                    return Err(ProjectError::Broken("the sample tables were let go"));
                };
                let layout = match builder.finish(reserve) {
                    Err(mp4::Error::Empty) => return Err(undescribed(Container::Mp4)),
                    Err(mp4::Error::Reserve(_)) => {
                        return Err(ProjectError::Broken("the head does not fit where it must"));
                    }
                    layout => layout.map_err(unsupported(Container::Mp4))?,
                };
                facts.shift_ms = layout.start_ms.saturating_neg();
                if layout.is_moov_last() {
                    facts.irregularities.push(MOOV_LAST.to_owned());
                }
                irregularities.extend(counts(layout.irregularities));
                left_out = layout.left_out;
                (TimeRule::Mp4, layout.total_len, single(layout.head, layout.tail, Emit::Mp4))
            }
            Plan::Aac { total_len } => {
                let reason = match adts::unsupported(&sound) {
                    _ if sound.is_empty() => Some("there is no sound".to_owned()),
                    Some(error) => Some(error.to_string()),
                    None if total_len == 0 && source.is_final() => Some(NO_HEADER.to_owned()),
                    None => None,
                };
                if let Some(reason) = reason {
                    return Err(ProjectError::Unsupported { container: Container::Aac, reason });
                }
                let emit = Emit::Aac { span: None, writer: AdtsWriter::default() };
                let body = single(LazyBytes::default(), LazyBytes::default(), emit);
                (TimeRule::Adts, total_len, body)
            }
            Plan::Hls(mut hls) => {
                let segment_type = self.hls.segment_type;
                // Of fragmented MP4 each sample has been asked.
                if segment_type == SegmentType::Ts
                    && let Some(error) = segment_type.unsupported(&codecs)
                {
                    return Err(unsupported(Container::Hls)(error));
                }
                let outcome = match hls.finish() {
                    Err(HlsError::Mp4(mp4::Error::Empty)) => {
                        return Err(undescribed(Container::Hls));
                    }
                    outcome => outcome.map_err(unsupported(Container::Hls))?,
                };
                facts.segment_type = segment_type;
                facts.init_segments = outcome.init_segments;
                facts.shift_ms = outcome.shift_ms;
                // Jumps of the encoder's clock that a discontinuity stands for are not played.
                facts.duration_ms = hls.duration_ms();
                if segment_type == SegmentType::Fmp4 {
                    irregularities.extend(counts(outcome.irregularities));
                }
                (hls.time_rule(), 0, Body::Hls(hls))
            }
        };
        let mut sessions = self.sessions;
        for (span, session) in sessions.iter_mut().enumerate() {
            session.shift_ms = match &body {
                Body::Single(_) => session.shift_ms.saturating_add(facts.shift_ms),
                Body::Hls(hls) => hls.shift_ms(span),
            };
        }
        let known = Known { sessions, gaps, irregularities };
        Ok(Planned { facts, total_len, body, rule, known, left_out })
    }
}

/// There are frames, but none that the container could carry.
fn undescribed(container: Container) -> ProjectError {
    let reason = "no frame came with a configuration that describes it".to_owned();
    ProjectError::Unsupported { container, reason }
}

/// What an MP4 had to absorb that nobody else sees.
fn counts(seen: mp4::Irregularities) -> [(IrregularityKind, u64); 5] {
    [
        (IrregularityKind::UndescribedFrames, seen.undescribed_frames),
        (IrregularityKind::HiddenFrames, seen.hidden_frames),
        (IrregularityKind::MovedFrames, seen.moved_frames),
        (IrregularityKind::DamagedConfigs, seen.damaged_configs),
        (IrregularityKind::EarlyDecodeMs, seen.early_decode_ms),
    ]
}
