//! HLS (RFC 8216): where a recording is cut into media segments, and the playlist of them.
//!
//! The bytes of the segments are [`super::ts`]'s or [`super::mp4::fragment`]'s. A cut is a position
//! between two samples: every sample is in one segment, and none is in two.

pub mod fragments;
pub mod inits;
pub mod playlist;
mod segment_type;

#[cfg(test)]
mod tests;

use super::config::{Configs, TrackConfig};
use super::sample::{Codec, Sample, Track};

pub use self::segment_type::{Error, SegmentType};

/// A step of one track's decoding time that a player should not be asked to play through.
const JUMP_MS: i64 = 10_000;
/// How much longer than twice the setting a segment may be: the frame that ends it is late.
const LATE_FRAME_MS: i64 = 1_000;
/// Duration of the only frame of a track.
const LONE_FRAME_MS: i64 = 40;

/// What the playlist says of one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// Times or parameters do not continue those of the segment before.
    pub is_discontinuous: bool,
}

/// Decides where segments end. It looks at samples alone, so that the same samples are always cut
/// at the same places.
#[derive(Debug, Clone)]
pub struct Segmenter {
    configs: Configs,
    segment_type: SegmentType,
    wanted_ms: i64,
    open: Option<Open>,
    /// Video, audio.
    tracks: [TrackState; 2],
    /// The next frame is of another session.
    is_new_session: bool,
}

/// The segment that is being filled. Times are decoding times.
#[derive(Debug, Clone, Copy)]
struct Open {
    is_discontinuous: bool,
    start_ms: i64,
    /// The highest time so far.
    latest_ms: i64,
    /// End of the frame that lasts longest.
    end_ms: i64,
}

#[derive(Debug, Clone, Default)]
struct TrackState {
    last: Option<LastFrame>,
    /// Time of its first frame in the open segment, if it has one there.
    begun_ms: Option<i64>,
}

#[derive(Debug, Clone)]
struct LastFrame {
    dts_ms: i64,
    /// Time from the frame before it.
    step_ms: i64,
    ordinal: u32,
    codec: Codec,
    config: Option<TrackConfig>,
}

/// What is to be done before a sample.
enum Cut {
    /// It belongs to the open segment.
    None,
    /// It starts a segment.
    Here,
    /// It starts a segment that does not continue the open one.
    Break,
    /// The open segment, which has nothing of this track yet, does not continue the one before.
    Mark,
}

impl Segmenter {
    /// Cuts at the first keyframe `segment_duration_ms` or more after the segment's start, at any
    /// frame where there are no pictures, and at any frame after twice that.
    pub fn new(configs: &Configs, segment_duration_ms: u64, segment_type: SegmentType) -> Self {
        Segmenter {
            configs: configs.clone(),
            segment_type,
            // A day is more than anyone wants, and keeps all sums small.
            wanted_ms: segment_duration_ms.clamp(1, 86_400_000) as i64,
            open: None,
            tracks: Default::default(),
            is_new_session: false,
        }
    }

    /// True for the samples whose data are in the segments.
    pub fn takes(&self, sample: &Sample) -> bool {
        self.segment_type.takes(sample)
    }

    /// There are more configurations now.
    pub fn set_configs(&mut self, configs: &Configs) {
        self.configs = configs.clone();
    }

    /// The samples that follow are of another session: times and configurations start anew.
    pub fn next_session(&mut self, configs: &Configs) {
        self.configs = configs.clone();
        self.is_new_session = true;
        // Ordinals name other configurations now. What changed meanwhile needs no telling: the
        // session is a discontinuity anyway.
        for last in self.tracks.iter_mut().filter_map(|track| track.last.as_mut()) {
            (last.ordinal, last.config) = (0, None);
        }
    }

    /// A target duration in seconds that no segment exceeds, known before the first one.
    pub fn target_duration_s(&self) -> u64 {
        self.longest_ms().unsigned_abs().div_ceil(1000)
    }

    fn longest_ms(&self) -> i64 {
        2 * self.wanted_ms + LATE_FRAME_MS
    }

    /// Takes in the next sample in journal order; `is_new` if the frame says itself that it has other
    /// parameters than the one before it on its track. If a segment ends before it, gives that
    /// segment; the sample is the first of the next one.
    pub fn push(&mut self, sample: &Sample, is_new: bool) -> Option<Segment> {
        if !self.takes(sample) {
            return None;
        }
        let cut = self.open.map(|open| (open, self.cut_before(sample, is_new, &open)));
        self.is_new_session = false;
        let (closed, is_discontinuous) = match cut {
            None => (None, Some(false)),
            Some((_, Cut::None)) => (None, None),
            Some((open, Cut::Mark)) => {
                self.open = Some(Open { is_discontinuous: true, ..open });
                (None, None)
            }
            Some((open, Cut::Here)) => (Some(self.segment(&open, sample.dts_ms)), Some(false)),
            Some((open, Cut::Break)) => (Some(self.segment(&open, open.end_ms)), Some(true)),
        };
        if let Some(is_discontinuous) = is_discontinuous {
            let start_ms = sample.dts_ms;
            self.open =
                Some(Open { is_discontinuous, start_ms, latest_ms: start_ms, end_ms: start_ms });
            self.tracks.iter_mut().for_each(|track| track.begun_ms = None);
        }
        self.remember(sample);
        closed
    }

    /// Gives the last segment, if there is one.
    pub fn finish(&mut self) -> Option<Segment> {
        let open = self.open.take()?;
        Some(self.segment(&open, open.end_ms))
    }

    fn segment(&self, open: &Open, end_ms: i64) -> Segment {
        let duration_ms = end_ms.saturating_sub(open.start_ms).clamp(0, self.longest_ms());
        Segment { duration_ms: duration_ms.unsigned_abs(), is_discontinuous: open.is_discontinuous }
    }

    fn cut_before(&self, sample: &Sample, is_new: bool, open: &Open) -> Cut {
        let [video, _] = &self.tracks;
        let track = self.track(sample.track);
        let elapsed_ms = self.elapsed_ms(track, sample, open);
        if self.is_new_session || is_gap(track, sample, open) || elapsed_ms > self.longest_ms() {
            return Cut::Break;
        }
        let has_changed = is_new || self.has_changed(track, sample);
        if has_changed || self.has_stepped_back(track, sample) {
            return if track.begun_ms.is_some() { Cut::Break } else { Cut::Mark };
        }
        let is_video_key = sample.track == Track::Video && sample.keyframe;
        let is_legal = is_video_key || video.begun_ms.is_none() || elapsed_ms >= 2 * self.wanted_ms;
        if elapsed_ms >= self.wanted_ms && is_legal { Cut::Here } else { Cut::None }
    }

    /// How far the sample is into the open segment. Where its track goes on as before, but too far
    /// from what began the segment, its own beginning counts: a clock of its own for each track is
    /// odd, but no reason to cut at every frame.
    fn elapsed_ms(&self, track: &TrackState, sample: &Sample, open: &Open) -> i64 {
        let elapsed_ms = sample.dts_ms.saturating_sub(open.start_ms);
        let is_apart = !(-self.longest_ms()..=self.longest_ms()).contains(&elapsed_ms);
        let goes_on = track.step_to(sample).is_some_and(|ms| (0..=JUMP_MS).contains(&ms));
        if !(is_apart && goes_on) {
            return elapsed_ms;
        }
        track.begun_ms.map_or(0, |begun_ms| sample.dts_ms.saturating_sub(begun_ms))
    }

    /// True if the sample is described by other parameters than the one before it.
    fn has_changed(&self, track: &TrackState, sample: &Sample) -> bool {
        let Some(last) = &track.last else { return false };
        if last.codec != sample.codec {
            return true;
        }
        if last.ordinal == sample.config {
            return false;
        }
        match (&last.config, self.configs.get(sample.config)) {
            (Some(before), Some(now)) => !before.same_parameters(now),
            // The first configuration explains the frames that came before it, too.
            (None, _) | (_, None) => false,
        }
    }

    fn has_stepped_back(&self, track: &TrackState, sample: &Sample) -> bool {
        let allowed_ms = self.segment_type.absorbed_step_back_ms(sample.track);
        track.step_to(sample).is_some_and(|step_ms| step_ms < -allowed_ms)
    }

    fn remember(&mut self, sample: &Sample) {
        let track = self.track(sample.track);
        let last = track.last.as_ref();
        // What lies behind a discontinuity does not say how long a frame lasts.
        let is_behind = self.open.is_some_and(|open| open.is_discontinuous);
        let is_apart = is_behind && track.begun_ms.is_none();
        let step_ms = last.map_or(0, |last| sample.dts_ms.saturating_sub(last.dts_ms));
        let step_ms = match last {
            Some(_) if (1..=JUMP_MS).contains(&step_ms) && !is_apart => step_ms,
            Some(last) => last.step_ms,
            None => LONE_FRAME_MS,
        };
        let config = match last {
            Some(last) if last.ordinal == sample.config => last.config.clone(),
            _ => self.configs.get(sample.config).cloned(),
        };
        let last = LastFrame {
            dts_ms: sample.dts_ms,
            step_ms,
            ordinal: sample.config,
            codec: sample.codec,
            config,
        };
        let track = self.track_mut(sample.track);
        track.last = Some(last);
        track.begun_ms.get_or_insert(sample.dts_ms);
        if let Some(open) = &mut self.open {
            open.latest_ms = open.latest_ms.max(sample.dts_ms);
            open.end_ms = open.end_ms.max(sample.dts_ms.saturating_add(step_ms));
        }
    }

    fn track(&self, track: Track) -> &TrackState {
        let [video, audio] = &self.tracks;
        if track == Track::Video { video } else { audio }
    }

    fn track_mut(&mut self, track: Track) -> &mut TrackState {
        let [video, audio] = &mut self.tracks;
        if track == Track::Video { video } else { audio }
    }
}

impl TrackState {
    /// How far a sample is from the frame before it.
    fn step_to(&self, sample: &Sample) -> Option<i64> {
        self.last.as_ref().map(|last| sample.dts_ms.saturating_sub(last.dts_ms))
    }
}

/// True if neither track has anything for so long that players should not wait for it, or if the
/// whole clock was set back. A track that goes on as before is no gap, however far from the other.
fn is_gap(track: &TrackState, sample: &Sample, open: &Open) -> bool {
    let step_ms = track.step_to(sample);
    let is_late = sample.dts_ms.saturating_sub(open.latest_ms) > JUMP_MS;
    let is_early = open.start_ms.saturating_sub(sample.dts_ms) > JUMP_MS;
    (is_late && step_ms.is_none_or(|step_ms| step_ms > JUMP_MS))
        || (is_early && step_ms.is_none_or(|step_ms| step_ms < -JUMP_MS))
}
