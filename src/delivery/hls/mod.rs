//! An HLS product, finished or still growing: initialisation segments, media segments, the playlist
//! last.
//!
//! All samples are pushed into a [`plan`] first; as soon as the plan knows enough of a segment, its
//! samples are read again and written. So a segment is made when it is complete, and what is kept
//! between two segments is small: counters, clocks, and a few bytes of each segment.
//!
//! What must be said in the first segment may depend on the last sample: a track that begins after
//! an hour has to be announced from the beginning, since players pass over what turns up later.
//! While a file grows, the segments are made as if there was nothing more to come. Where a sample
//! contradicts that, the body says [`Block::Restart`] and makes all objects again, with the same
//! names, from the plan as it is by then. The last making is always the one that the whole file asks
//! for: **a product that was made while its stream was live has the same bytes as one made at once
//! from the complete journal**, playlist and initialisation segments included.

mod fmp4;
mod growing;
mod plan;
mod playlists;
mod ts;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::media::{
    config::Configs,
    hls::{Error, SegmentType, fragments::Gathered},
    mp4::Irregularities,
    product_clock::TimeRule,
    sample::Sample,
};

pub use self::growing::GrowingHls;
use self::{fmp4::Fmp4Segments, plan::HlsPlan, ts::TsSegments};
use super::{
    evidence::Evidence,
    project::{Block, CHANGED, Object, ProjectError, unsupported},
    source::Source,
};
use crate::domain::container::Container;

/// How often a growing product is made anew. After that it waits for the end of its file.
const RESTARTS_MAX: u32 = 3;
/// What a sample takes in memory.
const SAMPLE_BYTES: usize = size_of::<(usize, Sample)>();
/// What a block may reach over its size without growing.
const READ_OVER: usize = 64 << 10;

/// How HLS products are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HlsSettings {
    /// Segment length in milliseconds.
    pub segment_ms: i64,
    /// What the segments are.
    pub segment_type: SegmentType,
    /// Whether there is a playlist while the stream is live.
    pub live_playlist: bool,
}

/// What is known of a product when all of its samples have been looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// What is added to the times of its first push.
    pub shift_ms: i64,
    /// How many initialisation segments it has.
    pub init_segments: u32,
    /// What was not as a tidy stream has it.
    pub irregularities: Irregularities,
}

/// All objects of one HLS media file. To be driven like this, in any number of steps:
///
/// 1. [`begin_span`](Self::begin_span) and [`push`](Self::push) for every sample there is by now.
/// 2. [`next_block`](Self::next_block) until it says [`Block::Starved`]; then 1 again, or, when no
///    more samples will come, [`finish`](Self::finish) and blocks to the end.
///
/// The source may be another one at each step, as long as it has the same spans and bytes.
pub struct HlsBody {
    settings: HlsSettings,
    plan: HlsPlan,
    writer: Writer,
    stage: Stage,
    /// Segments that are complete.
    made: usize,
    /// The segment being made, and with fragments the one behind it. Empty between two steps.
    gathered: VecDeque<Gathered>,
    restarts: u32,
    /// Segments in the latest playlist of the growing file.
    published: usize,
    /// That playlist is of an earlier making.
    is_outdated: bool,
}

/// What makes bytes of a segment's samples.
enum Writer {
    Ts(Box<TsSegments>),
    Fmp4(Box<Fmp4Segments>),
}

/// A block being made, and who is shown the packets in it.
struct Out<'a> {
    bytes: Vec<u8>,
    max: usize,
    evidence: &'a mut Evidence,
}

impl Out<'_> {
    fn is_full(&self) -> bool {
        self.bytes.len() >= self.max
    }
}

enum Stage {
    /// Looks what comes next.
    Choose,
    Init(u64, Bytes),
    CompleteInit,
    Segment,
    CompleteSegment,
    Playlist,
    CompletePlaylist,
    End,
}

impl HlsBody {
    /// Nothing looked at yet. Initialisation segments say that they were created at `creation_s`.
    pub(super) fn new(settings: HlsSettings, creation_s: u64) -> Self {
        Self {
            settings,
            plan: HlsPlan::new(settings, creation_s),
            writer: Writer::new(settings.segment_type),
            stage: Stage::Choose,
            made: 0,
            gathered: VecDeque::new(),
            restarts: 0,
            published: 0,
            is_outdated: false,
        }
    }

    /// See [`HlsPlan::begin_span`].
    pub(super) fn begin_span(
        &mut self,
        span: usize,
        configs: Configs,
        is_new_push: bool,
        shift_ms: i64,
    ) {
        self.plan.begin_span(span, configs, is_new_push, shift_ms);
    }

    /// True if the beginning of this frame is wanted by [`HlsBody::push`].
    pub(super) fn wants_frame(&mut self, sample: &Sample) -> bool {
        self.plan.wants_frame(sample)
    }

    /// Takes in the next sample of the span, with the times it came with.
    pub(super) fn push(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        head: &[u8],
    ) -> Result<(), ProjectError> {
        if self.plan.lacks_config(sample)
            && let Some(config) = source.config(span, sample)?
        {
            self.plan.add_config(sample.config, config);
        }
        self.plan.push(sample, head).map_err(unsupported(Container::Hls))
    }

    /// All samples have been pushed.
    pub(super) fn finish(&mut self) -> Result<Outcome, Error> {
        self.plan.finish()?;
        let inits = self.plan.inits();
        let init_count = inits.map_or(0, |planner| planner.init_count());
        Ok(Outcome {
            shift_ms: match inits {
                Some(planner) => planner.shift_ms(),
                None => self.shift_ms(0),
            },
            init_segments: u32::try_from(init_count).unwrap_or(u32::MAX),
            irregularities: inits.map(|planner| planner.irregularities()).unwrap_or_default(),
        })
    }

    /// How the product tells time.
    pub(super) fn time_rule(&self) -> TimeRule {
        match self.settings.segment_type {
            SegmentType::Ts => TimeRule::Ts,
            SegmentType::Fmp4 => TimeRule::Fragmented,
        }
    }

    /// All that is added to the times of a span, as far as is known.
    pub(super) fn shift_ms(&self, span: usize) -> i64 {
        self.plan.shift_ms(span).unwrap_or(0)
    }

    /// How long the playlist plays: the sum of its segments.
    pub(super) fn duration_ms(&self) -> i64 {
        let segments = self.plan.segments().iter();
        let total = segments.map(|planned| planned.segment().duration_ms).sum::<u64>();
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    /// Bytes of memory, about.
    fn memory_bytes(&self) -> usize {
        self.plan.memory_bytes()
            + self
                .gathered
                .iter()
                .map(|segment| segment.samples.len() * SAMPLE_BYTES)
                .sum::<usize>()
    }

    /// The next block, of about `max` bytes.
    pub(super) fn next_block(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<Block, ProjectError> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Choose) {
                Stage::Choose => {
                    if let Some(block) = self.choose(source, evidence)? {
                        return Ok(block);
                    }
                }
                Stage::Init(number, bytes) => {
                    self.stage = Stage::CompleteInit;
                    return Ok(Block::Bytes { object: Object::Init(number), bytes });
                }
                Stage::CompleteInit => {
                    self.stage = Stage::Segment;
                    return Ok(Block::EndOfObject);
                }
                Stage::Segment => {
                    let object = Object::Segment(self.made as u64);
                    let (bytes, is_complete) = self.write(source, max, evidence)?;
                    self.stage = if is_complete { Stage::CompleteSegment } else { Stage::Segment };
                    return Ok(Block::Bytes { object, bytes });
                }
                Stage::CompleteSegment => {
                    self.gathered.pop_front();
                    self.made += 1;
                    return Ok(Block::EndOfObject);
                }
                Stage::Playlist => {
                    self.stage = Stage::CompletePlaylist;
                    let bytes = self.playlist().into();
                    return Ok(Block::Bytes { object: Object::Main, bytes });
                }
                Stage::CompletePlaylist => {
                    self.stage = Stage::End;
                    return Ok(Block::EndOfObject);
                }
                Stage::End => {
                    self.stage = Stage::End;
                    return Ok(Block::End);
                }
            }
        }
    }

    /// Decides what comes next. A block if there is nothing to be written of a segment now.
    fn choose(
        &mut self,
        source: &mut Source,
        evidence: &mut Evidence,
    ) -> Result<Option<Block>, ProjectError> {
        if let Some(error) = self.plan.refusal() {
            return Err(unsupported(Container::Hls)(error));
        }
        if self.made > 0 && !self.writer.agrees(&self.plan, self.made - 1) {
            self.restart();
            evidence.begin_again();
            return Ok(Some(Block::Restart));
        }
        if self.plan.is_complete() && self.made == self.plan.segments().len() {
            self.stage = Stage::Playlist;
            return Ok(None);
        }
        let may_begin = self.plan.is_complete() || self.restarts <= RESTARTS_MAX;
        if !may_begin || !self.plan.is_ready(self.made) {
            return Ok(Some(self.starve()));
        }
        self.gather(source)?;
        self.stage = match &mut self.writer {
            Writer::Ts(ts) => {
                if self.made == 0 {
                    ts.begin(&self.plan);
                }
                Stage::Segment
            }
            Writer::Fmp4(fmp4) => match fmp4.begin(&self.plan, self.made)? {
                Some((number, bytes)) => Stage::Init(number, bytes),
                None => Stage::Segment,
            },
        };
        Ok(None)
    }

    /// Begins with the first object again.
    fn restart(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
        self.writer = Writer::new(self.settings.segment_type);
        self.made = 0;
        self.gathered.clear();
        self.is_outdated = true;
    }

    /// Nothing can be made now but, once for all that was made, a playlist of it. It never has fewer
    /// segments than the one before, which a player may have read.
    fn starve(&mut self) -> Block {
        self.gathered.clear();
        let is_news = self.made > self.published
            || (self.is_outdated && self.made > 0 && self.made == self.published);
        if !self.settings.live_playlist || self.plan.is_complete() || !is_news {
            return Block::Starved;
        }
        self.published = self.made;
        self.is_outdated = false;
        Block::Playlist { bytes: self.growing_playlist().into() }
    }

    /// Reads the samples of the segment to be made and, where its last samples last up to it, of the
    /// one behind.
    fn gather(&mut self, source: &mut Source) -> Result<(), ProjectError> {
        let wanted = match self.writer {
            Writer::Ts(_) => 1,
            Writer::Fmp4(_) => 2,
        };
        while self.gathered.len() < wanted
            && let Some(planned) =
                self.plan.segments().get(self.made + self.gathered.len()).copied()
        {
            let span = planned.span as usize;
            source.seek(span, planned.position);
            let mut nth = 0;
            let mut samples = Vec::with_capacity(planned.samples as usize);
            while samples.len() < planned.samples as usize
                && let Some((at, sample)) = source.next_sample()?
            {
                let is_before = sample.position == planned.position && nth < planned.nth;
                nth = nth.saturating_add(1);
                if at == span && !is_before && self.settings.segment_type.takes(&sample) {
                    samples.push((span, sample.moved_by(self.plan.placing_ms(span))));
                }
            }
            let next = self.plan.segments().get(self.made + self.gathered.len() + 1);
            if !planned.is_of(&samples, next) {
                return Err(ProjectError::Broken(CHANGED));
            }
            self.gathered.push_back(Gathered { segment: planned.segment(), samples });
        }
        Ok(())
    }

    /// Writes on; true when the segment is complete.
    fn write(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<(Bytes, bool), ProjectError> {
        let Some(gathered) = self.gathered.front() else { return Ok((Bytes::new(), true)) };
        let mut out = Out { bytes: Vec::with_capacity(max + READ_OVER), max, evidence };
        let is_complete = match &mut self.writer {
            Writer::Ts(ts) => ts.write(&self.plan, gathered, source, &mut out)?,
            Writer::Fmp4(fmp4) => {
                fmp4.write(&self.plan, gathered, self.gathered.get(1), source, &mut out)?
            }
        };
        Ok((out.bytes.into(), is_complete))
    }
}

impl Writer {
    fn new(segment_type: SegmentType) -> Self {
        match segment_type {
            SegmentType::Ts => Writer::Ts(Box::new(TsSegments::new())),
            SegmentType::Fmp4 => Writer::Fmp4(Box::new(Fmp4Segments::new())),
        }
    }

    fn agrees(&self, plan: &HlsPlan, last: usize) -> bool {
        match self {
            Writer::Ts(ts) => ts.agrees(plan),
            Writer::Fmp4(fmp4) => fmp4.agrees(plan, last),
        }
    }
}
