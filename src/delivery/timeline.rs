//! One timeline for a file that was made from several pushes.
//!
//! Every push has a clock of its own. In a file whose container shows time (MP4, FLV) the pushes
//! follow each other as they did on the wall: one constant is added to all times of a push, the same
//! for pictures and sound, so that the step from the last frame before an interruption to the first
//! one behind it is the wall-clock time between them. It is never shorter than the frames before it
//! last (a push faster than real time runs ahead of the wall), so no time steps back.
//!
//! When the first frame of a push arrived its mark says, when the last one did its end note; without
//! one (the process was killed) it is worked out from the last mark and the times behind it. The
//! default tracks tell time. A push that has none of them is placed by those that it has. In a file of
//! all tracks no push begins before the end of any of them.
//!
//! Pure: fed with the samples of the file in their order. Wall-clock times are the journal's marks.

mod opening;
mod seen;

pub(super) use opening::{Opening, Search};

use std::collections::BTreeMap;

use seen::Seen;

use crate::{
    domain::{
        journal_note::Note,
        verification::{Gap, JOURNAL_LOST},
    },
    media::sample::{CLOCK_JUMP_MS, Sample, SampleKind, Track},
};

/// Gaps that are listed; a broken clock may jump at every frame.
const GAPS_MAX: usize = 1_000;
/// Duration of the only frame of a track.
const LONE_FRAME_MS: i64 = 40;

/// What a container does with time in which nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapRule {
    /// Shows it.
    Shown,
    /// Leaves it out: HLS has a discontinuity there, ADTS no times at all.
    LeftOut,
}

/// The timeline of one file as far as it has been seen.
#[derive(Debug)]
pub(super) struct Timeline {
    rule: GapRule,
    /// Added to the times of the current push.
    shift_ms: i64,
    /// Video, audio; on the file's timeline.
    tracks: [Option<TrackTime>; 2],
    /// Their frames.
    frames: Seen,
    /// The frames of other tracks in this push, as long as it has none of these.
    others: Seen,
    /// Where the file has all tracks, what it has of the other ones.
    beside: Option<Beside>,
    has_frames_of_push: bool,
    /// The last mark.
    mark: Option<i64>,
    /// The disk took nothing for a while: why, and how long on the wall; until the next frame.
    stall: Option<(String, i64)>,
    gaps: Vec<Gap>,
    unlisted_gaps: u64,
    paused_ms: i64,
    /// The same up to the last frame of a default track.
    paused_before_ms: i64,
    /// A part of the journal is not there.
    is_lost: bool,
    /// Something was, at any time.
    has_lost: bool,
}

#[derive(Debug, Clone, Copy)]
struct TrackTime {
    last_ms: i64,
    step_ms: i64,
}

impl TrackTime {
    /// Behind the frame before, if there is one.
    fn next(before: Option<Self>, dts_ms: i64) -> Self {
        let before = before.unwrap_or(Self { last_ms: dts_ms, step_ms: LONE_FRAME_MS });
        let step_ms = dts_ms.saturating_sub(before.last_ms);
        let is_length = (1..=CLOCK_JUMP_MS).contains(&step_ms);
        Self { last_ms: dts_ms, step_ms: if is_length { step_ms } else { before.step_ms } }
    }

    fn end_ms(self) -> i64 {
        self.last_ms.saturating_add(self.step_ms)
    }
}

/// The tracks beside the default ones, on the file's timeline.
#[derive(Debug, Default)]
struct Beside {
    /// Of this push.
    tracks: BTreeMap<(Track, u8), TrackTime>,
    /// End of the frame that lasts longest in the whole file.
    end_ms: Option<i64>,
}

impl Timeline {
    /// Nothing seen yet.
    pub fn new(rule: GapRule) -> Self {
        Self {
            rule,
            shift_ms: 0,
            tracks: [None; 2],
            frames: Seen::default(),
            others: Seen::default(),
            beside: None,
            has_frames_of_push: false,
            mark: None,
            stall: None,
            gaps: Vec::new(),
            unlisted_gaps: 0,
            paused_ms: 0,
            paused_before_ms: 0,
            is_lost: false,
            has_lost: false,
        }
    }

    /// Whether the file has all tracks, not only the default ones.
    pub fn of_all_tracks(mut self, has_all: bool) -> Self {
        self.beside = has_all.then(Beside::default);
        self
    }

    /// Another push begins like this; the one before it ended because of `cause`. Answers what is
    /// added to its times.
    pub fn begin_push(&mut self, opening: Option<Opening>, cause: &str) -> i64 {
        let cause = if self.is_lost { JOURNAL_LOST } else { cause };
        let frame_ms = self.settle_push();
        let (Some(latest_ms), Some(opening)) = (self.frames.latest_ms, opening) else {
            // Without a frame on both sides there is nothing to be apart.
            return self.shift_ms;
        };
        let passed_ms = match (self.frames.wall_ms, opening.wall_ms) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before).max(0)),
            _ => None,
        };
        let least_ms = self.end_ms().saturating_sub(latest_ms).max(frame_ms);
        let step_ms = match self.rule {
            GapRule::Shown => passed_ms.unwrap_or(0).max(least_ms),
            GapRule::LeftOut => least_ms,
        };
        // What the other tracks have already, seen from the first default frame of this push.
        let ahead_ms = opening.dts_ms.saturating_sub(opening.all_dts_ms);
        let file_end_ms = self.beside.as_mut().and_then(|beside| {
            beside.tracks.clear();
            beside.end_ms.max(Some(latest_ms.saturating_add(least_ms)))
        });
        let beside_ms =
            file_end_ms.map(|end_ms| end_ms.saturating_add(ahead_ms).saturating_sub(latest_ms));
        let step_ms = step_ms.max(beside_ms.unwrap_or(step_ms));
        self.shift_ms = latest_ms.saturating_add(step_ms).saturating_sub(opening.dts_ms);
        let wall_ms = passed_ms.unwrap_or(step_ms);
        self.note_gap(cause, latest_ms, wall_ms, step_ms, least_ms);
        self.is_lost = false;
        (self.mark, self.frames.at_mark, self.frames.wall_ms) = (None, None, None);
        // What lies between two pushes is neither how long a frame lasts nor a jump of a clock.
        let resumed_ms = latest_ms.saturating_add(step_ms);
        self.frames.latest_ms = Some(resumed_ms);
        for track in self.tracks.iter_mut().flatten() {
            track.last_ms = resumed_ms;
        }
        self.shift_ms
    }

    /// What there was of the push that is over. Where it had other tracks alone, they stand in for the
    /// default ones; answers how long their last frame lasts then.
    fn settle_push(&mut self) -> i64 {
        let others = std::mem::take(&mut self.others);
        let has_frames = std::mem::take(&mut self.has_frames_of_push);
        let Some(latest_ms) = others.latest_ms.filter(|_| !has_frames) else { return 0 };
        let frames = &mut self.frames;
        frames.first_ms = frames.first_ms.or(others.first_ms);
        frames.latest_ms = frames.latest_ms.max(Some(latest_ms));
        frames.wall_ms = others.wall_ms;
        if others.step_ms > 0 { others.step_ms } else { LONE_FRAME_MS }
    }

    /// The samples that follow are from the middle of a push, behind this mark.
    pub fn begin_behind(&mut self, mark: Option<i64>) {
        self.mark = self.mark.or(mark);
    }

    /// Takes in what the journal notes between the samples.
    pub fn note(&mut self, note: &Note) {
        match note {
            Note::Stall { cause, from_ms, until_ms } => {
                self.begin_stall(cause.as_str(), until_ms.saturating_sub(*from_ms));
            }
            Note::End { ended_ms, arrived_ms, .. } => self.end_push(*arrived_ms, *ended_ms),
            Note::Attach { .. } | Note::Detach { .. } => {}
        }
    }

    /// The push is over: its last tag came at `arrived_ms` (unix milliseconds) or, if that is not
    /// known, at `ended_ms` or before.
    fn end_push(&mut self, arrived_ms: Option<i64>, ended_ms: i64) {
        for seen in [&mut self.frames, &mut self.others] {
            seen.end(self.mark, arrived_ms, ended_ms);
        }
    }

    /// The disk took nothing for `wall_ms` because of `cause`, between the frame before and the next.
    fn begin_stall(&mut self, cause: &str, wall_ms: i64) {
        self.stall = Some((cause.to_owned(), wall_ms.max(0)));
    }

    /// Takes in the next sample, with the times it came with. Answers what is added to them.
    pub fn push(&mut self, sample: &Sample) -> i64 {
        if sample.kind == SampleKind::Clock {
            self.mark = Some(sample.dts_ms);
            (self.frames.at_mark, self.others.at_mark) = (None, None);
            return self.shift_ms;
        }
        let Some(nth) = track_of(sample) else {
            if is_of_other_track(sample)
                || matches!(sample.kind, SampleKind::Script | SampleKind::Other)
            {
                self.frames.trail();
                self.others.trail();
            }
            if let (Some(beside), true) = (&mut self.beside, is_of_other_track(sample)) {
                let track = (sample.track, sample.track_id);
                let dts_ms = sample.dts_ms.saturating_add(self.shift_ms);
                let time = TrackTime::next(beside.tracks.get(&track).copied(), dts_ms);
                beside.tracks.insert(track, time);
                beside.end_ms = beside.end_ms.max(Some(time.end_ms()));
            }
            if is_of_other_track(sample) && !self.has_frames_of_push {
                self.others.push(sample.dts_ms.saturating_add(self.shift_ms), self.mark);
            }
            return self.shift_ms;
        };
        self.has_frames_of_push = true;
        let is_known = self.tracks.get(nth).is_some_and(Option::is_some);
        if self.is_lost && self.frames.latest_ms.is_none() {
            self.list_gap(JOURNAL_LOST, 0, 0, 0);
            self.is_lost = false;
        }
        if let (Some(latest_ms), true) = (self.frames.latest_ms, is_known || self.is_lost) {
            self.notice_jump(sample.dts_ms.saturating_add(self.shift_ms), latest_ms);
        }
        if let (Some((cause, wall_ms)), Some(latest_ms)) =
            (self.stall.take(), self.frames.latest_ms)
        {
            // Whether the encoder waited or left something out: its clock says it, nothing is moved.
            let dts_ms = sample.dts_ms.saturating_add(self.shift_ms);
            let passed_ms = dts_ms.saturating_sub(latest_ms).max(0);
            self.list_gap(&cause, latest_ms, wall_ms, passed_ms);
        }
        // Where gaps are left out, the jump has changed it.
        let dts_ms = sample.dts_ms.saturating_add(self.shift_ms);
        if let Some(track) = self.tracks.get_mut(nth) {
            *track = Some(TrackTime::next(*track, dts_ms));
        }
        self.frames.push(dts_ms, self.mark);
        self.paused_before_ms = self.paused_ms;
        self.shift_ms
    }

    /// What is added to the times of the current push in the product; none where the product keeps
    /// every push's own times.
    pub fn shown_shift_ms(&self) -> Option<i64> {
        (self.rule == GapRule::Shown).then_some(self.shift_ms)
    }

    /// A part of the journal that should come next is not there.
    pub fn lose(&mut self) {
        (self.is_lost, self.has_lost) = (true, true);
    }

    /// Whether any part of the journal is not there.
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Gaps beyond those that are listed.
    pub fn unlisted_gaps(&self) -> u64 {
        self.unlisted_gaps
    }

    /// What the file has seen of time without media, and how much of its own time that is before the
    /// last frame of a default track.
    pub fn finish(mut self) -> (Vec<Gap>, i64) {
        if self.is_lost {
            let Seen { first_ms, latest_ms, .. } = self.frames;
            let at_ms = latest_ms.unwrap_or(0).saturating_sub(first_ms.unwrap_or(0));
            self.list_gap(JOURNAL_LOST, at_ms, 0, 0);
        }
        (self.gaps, self.paused_before_ms)
    }

    fn notice_jump(&mut self, dts_ms: i64, latest_ms: i64) {
        let jump_ms = dts_ms.saturating_sub(latest_ms);
        if jump_ms <= CLOCK_JUMP_MS && !self.is_lost {
            return;
        }
        let cause = if self.is_lost { JOURNAL_LOST } else { "clock_jump" };
        let is_jump = jump_ms > CLOCK_JUMP_MS;
        self.is_lost = false;
        let least_ms = self.end_ms().saturating_sub(latest_ms);
        // Without a mark between the two frames, less than the time between two marks has passed.
        let wall_ms = match (self.mark, self.frames.at_mark, self.frames.wall_ms) {
            (Some(mark), None, Some(before_ms)) => mark.saturating_sub(before_ms).max(0),
            _ => 0,
        };
        let media_ms = match self.rule {
            GapRule::Shown => jump_ms.max(0),
            GapRule::LeftOut if !is_jump => jump_ms.max(0),
            GapRule::LeftOut => {
                self.shift_ms = self.shift_ms.saturating_sub(jump_ms.saturating_sub(least_ms));
                least_ms
            }
        };
        self.note_gap(cause, latest_ms, wall_ms, media_ms, least_ms);
    }

    fn note_gap(&mut self, cause: &str, at_ms: i64, wall_ms: i64, step_ms: i64, least_ms: i64) {
        let media_ms = match self.rule {
            GapRule::Shown => step_ms,
            GapRule::LeftOut => 0,
        };
        let paused_ms = step_ms.saturating_sub(least_ms).max(0);
        self.paused_ms = self.paused_ms.saturating_add(paused_ms);
        let at_ms = at_ms.saturating_sub(self.frames.first_ms.unwrap_or(at_ms));
        self.list_gap(cause, at_ms, wall_ms, media_ms);
    }

    fn list_gap(&mut self, cause: &str, at_ms: i64, wall_ms: i64, media_ms: i64) {
        // There are no more losses than files of a journal.
        if self.gaps.len() < GAPS_MAX || cause == JOURNAL_LOST {
            self.gaps.push(Gap { cause: cause.to_owned(), at_ms, wall_ms, media_ms });
        } else {
            self.unlisted_gaps += 1;
        }
    }

    /// End of the frame that lasts longest.
    fn end_ms(&self) -> i64 {
        let ends = self.tracks.iter().flatten().map(|t| t.end_ms());
        ends.chain(self.frames.latest_ms).max().unwrap_or(0)
    }
}

/// 0 for pictures, 1 for sound, of coded frames of the default tracks.
fn track_of(sample: &Sample) -> Option<usize> {
    match sample.track {
        Track::Video if sample.is_video_frame() => Some(0),
        Track::Audio if sample.is_audio_frame() => Some(1),
        _ => None,
    }
}

/// True for coded frames of the other tracks.
fn is_of_other_track(sample: &Sample) -> bool {
    sample.kind == SampleKind::Frame && sample.track_id != 0 && sample.track != Track::Script
}

#[cfg(test)]
mod tests;
