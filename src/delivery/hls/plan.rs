//! What an HLS product will look like, as far as its samples have been looked at: where segments
//! end, what is announced, what is added to times.
//!
//! The plan runs ahead of the writing and keeps a few bytes of each segment, nothing of samples. It
//! follows from the samples alone, never from how many came at a time: a plan of all samples is the
//! same for a file that was followed while it grew and for one that was read at once. What the plan
//! says of segments whose samples it has seen may still change with a later sample; see
//! [`super::HlsBody`] for what happens then.

use crate::media::{
    config::{Configs, TrackConfig},
    frame_head::{IN_BAND_CHANGES_MAX, SoundHeads, is_described_in_band},
    hls::{
        Error, Segment, SegmentType, Segmenter,
        inits::{Init, InitPlanner},
    },
    mp4::{self, fragment},
    sample::{Codec, Sample, SampleKind, Track},
    ts::{self, Streams},
};

use super::HlsSettings;

/// So much at the start of a push decides about its shift in MPEG-TS, whichever is over first.
const OPENING_MS: i64 = 5_000;
const OPENING_SAMPLES: u32 = 1024;

/// A segment as it is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Where its first sample's tag begins.
    pub position: u64,
    /// The span it is of: a segment never goes on into the next one.
    pub span: u32,
    /// How many samples of that tag come before.
    pub nth: u32,
    /// How many samples it has.
    pub samples: u32,
    duration_ms: u32,
    is_discontinuous: bool,
    /// There are no pictures in it, or the first one is a keyframe.
    pub is_independent: bool,
}

impl Planned {
    /// Whether these are its samples, where `next` is planned behind it.
    pub fn is_of(&self, samples: &[(usize, Sample)], next: Option<&Planned>) -> bool {
        let (Some((_, first)), Some((_, last))) = (samples.first(), samples.last()) else {
            return self.samples == 0;
        };
        samples.len() == self.samples as usize
            && first.position == self.position
            && next.is_none_or(|next| next.span != self.span || last.position <= next.position)
    }

    /// What the playlist says of it.
    pub fn segment(&self) -> Segment {
        let duration_ms = u64::from(self.duration_ms);
        Segment { duration_ms, is_discontinuous: self.is_discontinuous }
    }
}

/// What the two types of segments need besides.
#[derive(Debug)]
enum Kind {
    Ts(Box<TsPlan>),
    Fmp4(Box<InitPlanner>),
}

#[derive(Debug)]
struct TsPlan {
    segmenter: Segmenter,
    /// The first codec of each track: what all segments announce.
    announced: Streams,
    /// All codecs of pictures and sound.
    codecs: [Vec<Codec>; 2],
    /// What frames of sound say of themselves.
    sound: SoundHeads,
    /// How often that has changed.
    changes: usize,
    /// By push.
    openings: Vec<Opening>,
}

/// The first samples of a push.
#[derive(Debug, Default)]
struct Opening {
    samples: u32,
    first_ms: Option<i64>,
    lowest: Option<Sample>,
    is_over: bool,
}

impl Opening {
    fn push(&mut self, sample: &Sample) {
        let since_ms = sample.dts_ms.saturating_sub(*self.first_ms.get_or_insert(sample.dts_ms));
        self.is_over |= since_ms >= OPENING_MS || self.samples >= OPENING_SAMPLES;
        if self.is_over {
            return;
        }
        self.samples += 1;
        let lowest_ms = |sample: &Sample| sample.dts_ms.min(sample.pts_ms());
        self.lowest = self.lowest.into_iter().chain([*sample]).min_by_key(lowest_ms);
    }
}

/// A span of the file.
#[derive(Debug, Clone, Copy)]
struct PlannedSpan {
    push: usize,
    /// What puts its times on the file's timeline.
    shift_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct HlsPlan {
    kind: Kind,
    configs: Configs,
    spans: Vec<PlannedSpan>,
    /// Position of the latest sample's tag, and how many samples of the tag came before it.
    at: Option<(u64, u32)>,
    /// The open segment.
    open: Option<Planned>,
    has_picture: bool,
    segments: Vec<Planned>,
    is_complete: bool,
}

impl HlsPlan {
    /// For a file whose initialisation segments say that they were created at `creation_s`.
    pub fn new(settings: HlsSettings, creation_s: u64) -> Self {
        let (configs, wanted_ms) = (Configs::new(), settings.segment_ms.unsigned_abs());
        let kind = match settings.segment_type {
            SegmentType::Ts => Kind::Ts(Box::new(TsPlan {
                segmenter: Segmenter::new(&configs, wanted_ms, SegmentType::Ts),
                announced: Streams::default(),
                codecs: Default::default(),
                sound: SoundHeads::default(),
                changes: 0,
                openings: Vec::new(),
            })),
            SegmentType::Fmp4 => {
                Kind::Fmp4(Box::new(InitPlanner::new(&configs, wanted_ms, creation_s)))
            }
        };
        Self {
            kind,
            configs,
            spans: Vec::new(),
            at: None,
            open: None,
            has_picture: false,
            segments: Vec::new(),
            is_complete: false,
        }
    }

    /// The samples that follow are of this span, which begins another push or goes on with the one
    /// before, and refer to these configurations. Spans that are passed over have no samples.
    /// `shift_ms` puts the times on the file's timeline, where the product has one.
    pub fn begin_span(&mut self, span: usize, configs: Configs, is_new_push: bool, shift_ms: i64) {
        let push = self.spans.last().map_or(0, |last| last.push + usize::from(is_new_push));
        let is_first = self.spans.is_empty();
        let passed_over = self.spans.last().copied().unwrap_or(PlannedSpan { push, shift_ms: 0 });
        self.spans.resize(span, passed_over);
        self.spans.push(PlannedSpan { push, shift_ms });
        self.at = None;
        self.configs = configs;
        match &mut self.kind {
            Kind::Ts(ts) => {
                ts.openings.resize_with(push + 1, Opening::default);
                match is_first {
                    true => ts.segmenter.set_configs(&self.configs),
                    false => ts.segmenter.next_session(&self.configs),
                }
            }
            Kind::Fmp4(planner) if is_first => planner.set_configs(&self.configs),
            Kind::Fmp4(planner) => planner.next_session(&self.configs),
        }
    }

    /// True for a configuration that is not known yet, because it came after its span was begun.
    pub fn lacks_config(&self, sample: &Sample) -> bool {
        sample.kind == SampleKind::Config
            && sample.config != 0
            && self.configs.get(sample.config).is_none()
    }

    /// Takes in a configuration.
    pub fn add_config(&mut self, ordinal: u32, config: TrackConfig) {
        self.configs.insert(ordinal, config);
        match &mut self.kind {
            Kind::Ts(ts) => ts.segmenter.set_configs(&self.configs),
            Kind::Fmp4(planner) => planner.set_configs(&self.configs),
        }
    }

    /// True if the beginning of this frame would say what no configuration has said.
    pub fn wants_frame(&mut self, sample: &Sample) -> bool {
        match &mut self.kind {
            Kind::Ts(_) => ts::takes(sample) && is_described_in_band(sample),
            Kind::Fmp4(planner) => planner.wants_frame(sample),
        }
    }

    /// Takes in the next sample of the span, of whatever kind, with its beginning if it is wanted.
    ///
    /// # Errors
    /// The segments cannot carry it, or nothing describes it.
    pub fn push(&mut self, sample: &Sample, head: &[u8]) -> Result<(), Error> {
        let nth = match self.at {
            Some((position, nth)) if position == sample.position => nth.saturating_add(1),
            _ => 0,
        };
        self.at = Some((sample.position, nth));
        let span = self.spans.len().saturating_sub(1);
        let PlannedSpan { push, shift_ms } =
            self.spans.last().copied().unwrap_or(PlannedSpan { push: 0, shift_ms: 0 });
        let (closed, is_taken) = match &mut self.kind {
            Kind::Ts(ts) => {
                ts.look_at(sample, push);
                let is_new = ts.has_other_sound(sample, head);
                (ts.segmenter.push(sample, is_new), ts::takes(sample))
            }
            Kind::Fmp4(planner) => (
                planner.push_with_frame(&sample.moved_by(shift_ms), head)?,
                fragment::takes(sample),
            ),
        };
        self.close(closed);
        if !is_taken {
            return Ok(());
        }
        let open = self.open.get_or_insert(Planned {
            position: sample.position,
            span: u32::try_from(span).unwrap_or(u32::MAX),
            nth,
            samples: 0,
            duration_ms: 0,
            is_discontinuous: false,
            is_independent: true,
        });
        open.samples = open.samples.saturating_add(1);
        if sample.track == Track::Video && !std::mem::replace(&mut self.has_picture, true) {
            open.is_independent = sample.keyframe;
        }
        Ok(())
    }

    /// All samples have been looked at.
    ///
    /// # Errors
    /// There is nothing to write, or nothing says how some samples are coded.
    pub fn finish(&mut self) -> Result<(), Error> {
        let last = match &mut self.kind {
            Kind::Ts(ts) => ts.segmenter.finish(),
            Kind::Fmp4(planner) => planner.finish()?,
        };
        self.close(last);
        // As fragments say it: a playlist without a segment is no product, and would free the journal.
        if self.segments.is_empty() {
            return Err(mp4::Error::Empty.into());
        }
        self.is_complete = true;
        Ok(())
    }

    fn close(&mut self, segment: Option<Segment>) {
        if let (Some(segment), Some(open)) = (segment, self.open.take_if(|_| segment.is_some())) {
            self.has_picture = false;
            self.segments.push(Planned {
                duration_ms: u32::try_from(segment.duration_ms).unwrap_or(u32::MAX),
                is_discontinuous: segment.is_discontinuous,
                ..open
            });
        }
    }

    /// All samples have been looked at.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The segments that are complete.
    pub fn segments(&self) -> &[Planned] {
        &self.segments
    }

    /// Bytes of memory, about.
    pub fn memory_bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Planned>()
    }

    /// True if enough is known to write this segment: with fragments, also what comes behind it, up
    /// to which its last samples last.
    pub fn is_ready(&self, number: usize) -> bool {
        let Some(segment) = self.segments.get(number) else { return false };
        match &self.kind {
            _ if self.is_complete => true,
            // What is announced should be seen in two segments: tracks begin one after the other.
            Kind::Ts(_) => {
                self.segments.len() >= 2 && self.shift_ms(segment.span as usize).is_some()
            }
            Kind::Fmp4(planner) => {
                self.segments.len() > number + 1 && planner.init_of(number as u64).is_some()
            }
        }
    }

    /// What is added to the times of a span's samples before they are put into segments.
    pub fn placing_ms(&self, span: usize) -> i64 {
        match self.kind {
            Kind::Ts(_) => 0,
            Kind::Fmp4(_) => self.spans.get(span).map_or(0, |span| span.shift_ms),
        }
    }

    /// All that is added to the times of a span: one constant for each push. None as long as it is
    /// not known.
    pub fn shift_ms(&self, span: usize) -> Option<i64> {
        let PlannedSpan { push, shift_ms } = *self.spans.get(span)?;
        match &self.kind {
            Kind::Ts(ts) => {
                let opening = ts.openings.get(push)?;
                let is_behind = self.is_complete || push + 1 < ts.openings.len();
                (is_behind || opening.is_over).then(|| ts::offset_ms(&opening.lowest))
            }
            Kind::Fmp4(planner) => Some(shift_ms.saturating_add(planner.shift_ms())),
        }
    }

    /// Why MPEG-TS cannot carry what was looked at; none if it can.
    pub fn refusal(&self) -> Option<Error> {
        match &self.kind {
            Kind::Ts(ts) => SegmentType::Ts.unsupported(&ts.codecs.concat()),
            Kind::Fmp4(_) => None,
        }
    }

    /// What all MPEG-TS segments announce; nothing in fragmented MP4.
    pub fn announced(&self) -> Streams {
        match &self.kind {
            Kind::Ts(ts) => ts.announced,
            Kind::Fmp4(_) => Streams::default(),
        }
    }

    /// What plans initialisation segments, in fragmented MP4.
    pub fn inits(&self) -> Option<&InitPlanner> {
        match &self.kind {
            Kind::Ts(_) => None,
            Kind::Fmp4(planner) => Some(planner),
        }
    }

    /// The initialisation segment of a media segment.
    pub fn init_of(&self, number: usize) -> Option<Init> {
        self.inits()?.init_of(number as u64)
    }

    /// A target duration that no segment exceeds, known before the first one.
    pub fn target_duration_s(&self) -> u64 {
        match &self.kind {
            Kind::Ts(ts) => ts.segmenter.target_duration_s(),
            Kind::Fmp4(planner) => planner.target_duration_s(),
        }
    }
}

impl TsPlan {
    /// True for sound whose frames say from this one on that they are coded otherwise.
    fn has_other_sound(&mut self, sample: &Sample, head: &[u8]) -> bool {
        let is_new = ts::takes(sample) && self.sound.push(sample, head).is_some();
        self.changes += usize::from(is_new);
        is_new && self.changes <= IN_BAND_CHANGES_MAX
    }

    fn look_at(&mut self, sample: &Sample, push: usize) {
        if !sample.is_packet() {
            return;
        }
        let [pictures, sound] = &mut self.codecs;
        let codecs = if sample.track == Track::Video { pictures } else { sound };
        if !codecs.contains(&sample.codec) {
            codecs.push(sample.codec);
        }
        if !ts::takes(sample) {
            return;
        }
        self.announced.announce(sample);
        if let Some(opening) = self.openings.get_mut(push) {
            opening.push(sample);
        }
    }
}
