//! Which initialisation segments a recording in fragmented MP4 needs, and from which segment on
//! each holds (RFC 8216 clause 4.3.2.5).
//!
//! A player has no use for a track that the initialisation segment did not announce, so it must
//! describe what comes up to the next discontinuity before the first of it is written. The samples
//! are therefore cut into segments twice: here, to learn what the segments use, and again when
//! they are written. Nothing is kept of a sample.

use super::segment_type::{Error, SegmentType};
use super::{Segment, Segmenter};
use crate::media::config::Configs;
use crate::media::mp4::fragment::Descriptions;
use crate::media::mp4::{self, Irregularities};
use crate::media::sample::{Sample, Track};
use crate::media::ts::START_OFFSET_MS;

/// What each track has in force, where it is used: video, audio.
type Used = [Option<usize>; 2];

/// What a recording in fragmented MP4 consists of besides its media segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitPlan {
    /// The initialisation segments.
    pub inits: Vec<Vec<u8>>,
    /// From which media segment on which of them holds, in order; the first is media segment 0.
    pub maps: Vec<Map>,
    /// What is to be added to all times so that none is negative.
    pub shift_ms: i64,
    /// What was not as a tidy stream has it.
    pub irregularities: Irregularities,
}

/// From a media segment on, this initialisation segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// Number of the media segment.
    pub segment: u64,
    /// Index of the initialisation segment in [`InitPlan::inits`].
    pub init: usize,
}

impl InitPlan {
    /// The initialisation segment that begins to hold with this media segment, if one does.
    pub fn map_at(&self, segment: u64) -> Option<usize> {
        let index = self.maps.binary_search_by_key(&segment, |map| map.segment).ok()?;
        self.maps.get(index).map(|map| map.init)
    }
}

/// Segments between two discontinuities. No track changes its configuration within.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first_segment: u64,
    used: Used,
}

/// Looks at all samples of a recording, in journal order.
#[derive(Debug)]
pub struct InitPlanner {
    creation_unix_s: u64,
    segmenter: Segmenter,
    configs: Configs,
    segments: u64,
    /// What the open segment uses.
    used: Used,
    descriptions: Descriptions,
    /// Those of which the last is that of the latest complete segment.
    stretches: Vec<Stretch>,
    lowest_ms: i64,
    clocks: [Clock; 2],
    plan: InitPlan,
}

/// Counts the steps back of one track that its segments absorb.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    last_ms: Option<i64>,
}

impl InitPlanner {
    /// For segments of about this length, see [`Segmenter::new`]; they say that they were created
    /// at `creation_unix_s`.
    pub fn new(configs: &Configs, segment_duration_ms: u64, creation_unix_s: u64) -> Self {
        InitPlanner {
            creation_unix_s,
            segmenter: Segmenter::new(configs, segment_duration_ms, SegmentType::Fmp4),
            configs: configs.clone(),
            segments: 0,
            used: Default::default(),
            descriptions: Descriptions::default(),
            stretches: Vec::new(),
            lowest_ms: i64::MAX,
            clocks: Default::default(),
            plan: InitPlan::default(),
        }
    }

    /// There are more configurations now.
    pub fn set_configs(&mut self, configs: &Configs) {
        self.segmenter.set_configs(configs);
        self.configs = configs.clone();
    }

    /// The samples that follow are of another session.
    pub fn next_session(&mut self, configs: &Configs) {
        self.segmenter.next_session(configs);
        self.descriptions.start_session();
        self.configs = configs.clone();
        self.clocks = Default::default();
    }

    /// True if the beginning of this frame would say what no configuration has said, as
    /// [`Mp4Builder::wants_frame`](mp4::Mp4Builder::wants_frame).
    pub fn wants_frame(&mut self, sample: &Sample) -> bool {
        if !self.segmenter.takes(sample) {
            return false;
        }
        // An error comes again when the sample is pushed.
        let slot = self.descriptions.slot(&self.configs, sample).ok();
        slot.is_some_and(|slot| self.descriptions.wants_frame(slot, sample))
    }

    /// Takes in the next sample, with its beginning if it is wanted. Frames before the first
    /// configuration are counted, as MP4 does.
    ///
    /// # Errors
    /// The sample's codec is none that MP4 takes, its session has not its configuration, or a
    /// track's first configuration cannot be read.
    pub fn push_with_frame(&mut self, sample: &Sample, head: &[u8]) -> Result<(), Error> {
        if !sample.is_packet() {
            return Ok(());
        }
        if let Some(error) = SegmentType::Fmp4.unsupported(&[sample.codec]) {
            return Err(error);
        }
        if !self.segmenter.takes(sample) {
            self.plan.irregularities.undescribed_frames += 1;
            return Ok(());
        }
        let slot = self.descriptions.slot(&self.configs, sample)?;
        if !head.is_empty() {
            self.descriptions.look_at(slot, sample.track, head)?;
        }
        if let Some(segment) = self.segmenter.push(sample) {
            self.close(segment);
        }
        self.lowest_ms = self.lowest_ms.min(sample.dts_ms).min(sample.pts_ms());
        let index = usize::from(sample.track == Track::Audio);
        if let Some(clock) = self.clocks.get_mut(index) {
            clock.push(sample, &mut self.plan.irregularities);
        }
        if let Some(used) = self.used.get_mut(index) {
            used.get_or_insert(slot);
        }
        Ok(())
    }

    /// All samples have been looked at.
    ///
    /// # Errors
    /// There is no frame to write, or nothing says how some are coded.
    pub fn finish(mut self) -> Result<InitPlan, Error> {
        if let Some(segment) = self.segmenter.finish() {
            self.close(segment);
        }
        if self.stretches.is_empty() {
            return Err(mp4::Error::Empty.into());
        }
        let described = self.descriptions.finish()?;
        let mut plan = self.plan;
        plan.irregularities.damaged_configs += described.damaged;
        plan.shift_ms = shift_ms(self.lowest_ms);
        // What each initialisation segment describes.
        let mut inits: Vec<[Option<u32>; 2]> = Vec::new();
        for stretch in self.stretches {
            let used = described.numbers(stretch.used);
            let current = plan.maps.last().and_then(|map| inits.get(map.init));
            if current.is_some_and(|current| describes(current, &used)) {
                continue;
            }
            let init = match inits.iter().position(|known| *known == used) {
                Some(known) => known,
                None => {
                    plan.inits.push(described.encode_init(used, self.creation_unix_s)?);
                    inits.push(used);
                    inits.len() - 1
                }
            };
            plan.maps.push(Map { segment: stretch.first_segment, init });
        }
        Ok(plan)
    }

    /// A segment is complete.
    fn close(&mut self, segment: Segment) {
        let used = std::mem::take(&mut self.used);
        match self.stretches.last_mut() {
            Some(stretch) if !segment.is_discontinuous => {
                for (known, used) in stretch.used.iter_mut().zip(used) {
                    *known = known.or(used);
                }
            }
            Some(_) | None => self.stretches.push(Stretch { first_segment: self.segments, used }),
        }
        self.segments += 1;
    }
}

impl Clock {
    fn push(&mut self, sample: &Sample, seen: &mut Irregularities) {
        let step_ms = self.last_ms.map_or(0, |last_ms| sample.dts_ms.saturating_sub(last_ms));
        let allowed_ms = SegmentType::Fmp4.absorbed_step_back_ms(sample.track);
        // A larger one is a discontinuity, where time starts anew.
        seen.backward_steps += u64::from((-allowed_ms..0).contains(&step_ms));
        self.last_ms = Some(sample.dts_ms);
    }
}

/// True if nothing is used that `known` does not describe.
fn describes(known: &[Option<u32>; 2], used: &[Option<u32>; 2]) -> bool {
    known.iter().zip(used).all(|(known, used)| used.is_none() || known == used)
}

/// Nothing, or what makes the lowest time zero or more: usually what MPEG-TS adds, too.
fn shift_ms(lowest_ms: i64) -> i64 {
    if lowest_ms >= 0 { 0 } else { START_OFFSET_MS.max(lowest_ms.saturating_neg()) }
}
