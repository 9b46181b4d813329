//! Which initialisation segments a recording in fragmented MP4 needs, and from which segment on
//! each holds (RFC 8216 clause 4.3.2.5).
//!
//! A player has no use for a track that the initialisation segment did not announce, so it must
//! describe what comes up to the next discontinuity before the first of it is written. The samples
//! are therefore looked at ahead of the writing. While they still come, the plan is what follows
//! from those looked at so far: what a further one changes of it is for who writes to notice.
//! Nothing is kept of a sample.

use std::collections::VecDeque;

use super::segment_type::{Error, SegmentType};
use super::{Segment, Segmenter};
use crate::media::config::Configs;
use crate::media::frame_head::{IN_BAND_CHANGES_MAX, is_described_in_band};
use crate::media::mp4::fragment::Descriptions;
use crate::media::mp4::{self, Irregularities};
use crate::media::sample::{Sample, Track};
use crate::media::ts::START_OFFSET_MS;

/// What each track has in force, where it is used: video, audio.
type Used = [Option<usize>; 2];

/// An initialisation segment: its number, and what it says of each track. Two that are equal are
/// the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// Number, from 0.
    pub number: usize,
    /// What describes video and audio.
    described: [Option<u32>; 2],
}

/// From a media segment on, this initialisation segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// Number of the media segment.
    pub segment: u64,
    /// Number of the initialisation segment.
    pub init: usize,
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
    /// Those whose initialisation segment is not decided; of the last one more segments may follow.
    undecided: VecDeque<Stretch>,
    /// What the initialisation segments describe.
    inits: Vec<[Option<u32>; 2]>,
    maps: Vec<Map>,
    lowest_ms: i64,
    clocks: [Clock; 2],
    /// What the latest frame of sound has in force, where frames say that themselves.
    sound: Option<usize>,
    /// How often that has changed.
    changes: usize,
    irregularities: Irregularities,
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
            undecided: VecDeque::new(),
            inits: Vec::new(),
            maps: Vec::new(),
            lowest_ms: i64::MAX,
            clocks: Default::default(),
            sound: None,
            changes: 0,
            irregularities: Irregularities::default(),
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

    /// Takes in the next sample, with its beginning if it is wanted; gives the segment that ends
    /// before it, if one does. Frames before the first configuration are counted, as MP4 does.
    ///
    /// # Errors
    /// The sample's codec is none that MP4 takes, its session has not its configuration, or a
    /// track's first configuration cannot be read.
    pub fn push_with_frame(
        &mut self,
        sample: &Sample,
        head: &[u8],
    ) -> Result<Option<Segment>, Error> {
        if !sample.is_packet() {
            return Ok(None);
        }
        if let Some(error) = SegmentType::Fmp4.unsupported(&[sample.codec]) {
            return Err(error);
        }
        if !self.segmenter.takes(sample) {
            self.irregularities.undescribed_frames += 1;
            return Ok(None);
        }
        let mut slot = self.descriptions.slot(&self.configs, sample)?;
        if !head.is_empty() {
            slot = self.descriptions.look_at(slot, sample.track, head)?;
        }
        let is_new = self.has_other_sound(sample, slot);
        let closed = self.segmenter.push(sample, is_new);
        if let Some(segment) = closed {
            self.close(segment);
        }
        self.lowest_ms = self.lowest_ms.min(sample.dts_ms).min(sample.pts_ms());
        let index = usize::from(sample.track == Track::Audio);
        if let Some(clock) = self.clocks.get_mut(index) {
            clock.push(sample, &mut self.irregularities);
        }
        if let Some(used) = self.used.get_mut(index) {
            used.get_or_insert(slot);
        }
        Ok(closed)
    }

    /// All samples have been looked at; gives the last segment. To be called once.
    ///
    /// # Errors
    /// There is no frame to write, or nothing says how some are coded.
    pub fn finish(&mut self) -> Result<Option<Segment>, Error> {
        let last = self.segmenter.finish();
        if let Some(segment) = last {
            self.close(segment);
        }
        if self.segments == 0 {
            return Err(mp4::Error::Empty.into());
        }
        self.irregularities.damaged_configs += self.descriptions.close()?;
        self.decide();
        Ok(last)
    }

    /// What is to be added to all times so that none is negative, of the samples so far.
    pub fn shift_ms(&self) -> i64 {
        shift_ms(self.lowest_ms)
    }

    /// See [`Segmenter::target_duration_s`].
    pub fn target_duration_s(&self) -> u64 {
        self.segmenter.target_duration_s()
    }

    /// What was not as a tidy stream has it.
    pub fn irregularities(&self) -> Irregularities {
        self.irregularities
    }

    /// How many initialisation segments there are, as far as is known.
    pub fn init_count(&self) -> usize {
        let open = self.open_map().map_or(0, |(_, init)| init.number + 1);
        self.inits.len().max(open)
    }

    /// The initialisation segment that holds for a media segment; none as long as it is not known
    /// how the samples up to there are coded. That of the latest stretch without a discontinuity may
    /// become another one.
    pub fn init_of(&self, segment: u64) -> Option<Init> {
        match self.undecided.front() {
            Some(stretch) if segment >= stretch.first_segment => {
                let is_open = self.undecided.len() == 1;
                self.open_map().filter(|_| is_open).map(|(_, init)| init)
            }
            _ => {
                let behind = self.maps.partition_point(|map| map.segment <= segment);
                let number = self.maps.get(behind.checked_sub(1)?)?.init;
                Some(Init { number, described: *self.inits.get(number)? })
            }
        }
    }

    /// The initialisation segment that begins to hold with this media segment, if one does.
    pub fn map_at(&self, segment: u64) -> Option<usize> {
        if let Some((Some(map), _)) = self.open_map()
            && map.segment == segment
        {
            return Some(map.init);
        }
        let index = self.maps.binary_search_by_key(&segment, |map| map.segment).ok()?;
        self.maps.get(index).map(|map| map.init)
    }

    /// The bytes of an initialisation segment.
    ///
    /// # Errors
    /// A box does not fit into its size.
    pub fn encode(&self, init: &Init) -> Result<Vec<u8>, Error> {
        Ok(self.descriptions.encode_init(init.described, self.creation_unix_s)?)
    }

    /// True for sound whose frames say from this one on that they are coded otherwise. Pictures that
    /// change their size so are for the decoder: it is told by each key frame.
    fn has_other_sound(&mut self, sample: &Sample, slot: usize) -> bool {
        if !is_described_in_band(sample) {
            return false;
        }
        let before = self.sound.replace(slot);
        let is_other =
            before.is_some_and(|before| self.descriptions.differ(Track::Audio, before, slot));
        self.changes += usize::from(is_other);
        is_other && self.changes <= IN_BAND_CHANGES_MAX
    }

    /// A segment is complete.
    fn close(&mut self, segment: Segment) {
        let used = std::mem::take(&mut self.used);
        match self.undecided.back_mut() {
            Some(stretch) if !segment.is_discontinuous => {
                for (known, used) in stretch.used.iter_mut().zip(used) {
                    *known = known.or(used);
                }
            }
            Some(_) | None => {
                self.undecided.push_back(Stretch { first_segment: self.segments, used });
            }
        }
        self.segments += 1;
        self.decide();
    }

    /// Decides about the stretches that are complete, as far as their descriptions are known.
    fn decide(&mut self) {
        while self.undecided.len() > 1
            && let Some((map, init)) = self.undecided.front().and_then(|first| self.map_of(first))
        {
            self.undecided.pop_front();
            self.maps.extend(map);
            if init.number == self.inits.len() {
                self.inits.push(init.described);
            }
        }
    }

    /// What the latest stretch needs, if all before it is decided.
    fn open_map(&self) -> Option<(Option<Map>, Init)> {
        match self.undecided.len() {
            1 => self.map_of(self.undecided.front()?),
            _ => None,
        }
    }

    /// Which initialisation segment the first undecided stretch has, and whether it begins to hold
    /// there. None as long as nothing says how its samples are coded.
    fn map_of(&self, stretch: &Stretch) -> Option<(Option<Map>, Init)> {
        let used = self.descriptions.numbers(stretch.used)?;
        let of = |number: usize| Some((number, *self.inits.get(number)?));
        let current = self.maps.last().and_then(|map| of(map.init));
        if let Some((number, described)) = current.filter(|(_, known)| describes(known, &used)) {
            return Some((None, Init { number, described }));
        }
        let known = self.inits.iter().position(|known| describes(known, &used));
        let (number, described) = known.and_then(of).unwrap_or((self.inits.len(), used));
        let map = Map { segment: stretch.first_segment, init: number };
        Some((Some(map), Init { number, described }))
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
