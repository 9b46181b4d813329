//! Where a push begins, found in its first samples.

use std::collections::BTreeMap;

use crate::media::sample::{Sample, SampleKind, Track};

use super::{is_of_other_track, track_of};

/// How far a frame's time is trusted to lie before that of another one that a mark is of.
const BEFORE_MARK_MAX_MS: i64 = 2_000;
/// Marks behind the first frame up to which first frames of further tracks are looked for: two seconds
/// of the wall at least.
const WINDOW_MARKS: u32 = 3;
/// Samples behind it that are looked at at most.
const WINDOW_SAMPLES: u32 = 4096;

/// Where a push begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Opening {
    /// Lowest decoding time among the first frames of its default tracks or, without any, of the
    /// others.
    pub(super) dts_ms: i64,
    /// Lowest decoding time among the first frames of all its tracks.
    pub(super) all_dts_ms: i64,
    /// Unix milliseconds at which `dts_ms` was; `None` without a mark nearby.
    pub(super) wall_ms: Option<i64>,
}

/// Is shown the samples of a span until it knows how the push begins. Headers and script data before
/// the first frame may be any number, and take any time.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Search {
    /// Frames of all tracks count, not only those of the default ones.
    of_all_tracks: bool,
    /// Video, audio.
    first: [Option<i64>; 2],
    first_other: Option<i64>,
    first_of_all: BTreeMap<(Track, u8), i64>,
    first_frame: Option<Sample>,
    default: FirstMark,
    other: FirstMark,
    /// Marks and samples behind the first frame that counts.
    behind: Option<(u32, u32)>,
}

/// The last mark before a first frame or, without one, the first behind it.
#[derive(Debug, Default)]
struct FirstMark {
    has_frame: bool,
    mark: Option<i64>,
    /// The first frame behind the mark.
    at_mark: Option<i64>,
}

impl FirstMark {
    fn mark(&mut self, wall_ms: i64) {
        if !self.has_frame || self.mark.is_none() {
            self.mark = Some(wall_ms);
        }
    }

    fn frame(&mut self, dts_ms: i64) {
        self.has_frame = true;
        self.at_mark = self.at_mark.or(self.mark.map(|_| dts_ms));
    }
}

impl Search {
    /// In a file of all tracks, or of the default ones alone.
    pub fn new(of_all_tracks: bool) -> Self {
        Self { of_all_tracks, ..Self::default() }
    }

    /// Takes in the next sample. True if more of them change nothing.
    pub fn push(&mut self, sample: &Sample) -> bool {
        if let Some((marks, samples)) = &mut self.behind {
            *marks += u32::from(sample.kind == SampleKind::Clock);
            *samples += 1;
        }
        if self.is_over() {
            return true;
        }
        if sample.kind == SampleKind::Frame {
            self.first_frame.get_or_insert(*sample);
        }
        let track = track_of(sample);
        if track.is_some() || is_of_other_track(sample) {
            self.first_of_all.entry((sample.track, sample.track_id)).or_insert(sample.dts_ms);
            if track.is_some() || self.of_all_tracks {
                self.behind.get_or_insert((0, 0));
            }
        }
        if sample.kind == SampleKind::Clock {
            self.default.mark(sample.dts_ms);
            self.other.mark(sample.dts_ms);
        } else if let Some(track) = track {
            if let Some(first) = self.first.get_mut(track) {
                first.get_or_insert(sample.dts_ms);
            }
            self.default.frame(sample.dts_ms);
        } else if is_of_other_track(sample) {
            let lowest = self.first_other.unwrap_or(sample.dts_ms);
            self.first_other = Some(sample.dts_ms.min(lowest));
            self.other.frame(sample.dts_ms);
        }
        false
    }

    /// Whether what comes behind changes nothing.
    pub fn is_over(&self) -> bool {
        self.behind
            .is_some_and(|(marks, samples)| marks >= WINDOW_MARKS || samples >= WINDOW_SAMPLES)
    }

    /// The first frame of any track.
    pub fn first_frame(&self) -> Option<Sample> {
        self.first_frame
    }

    /// How the push begins; `None` without a frame.
    pub fn opening(&self) -> Option<Opening> {
        let (dts_ms, FirstMark { mark, at_mark, .. }) = match self.first.iter().flatten().min() {
            Some(dts_ms) => (*dts_ms, &self.default),
            None => (self.first_other?, &self.other),
        };
        let wall_ms = mark.map(|mark| {
            // A span that begins in the middle of a push has frames before its first mark.
            let before_ms = at_mark.map_or(0, |at| at.saturating_sub(dts_ms));
            let is_near = (0..=BEFORE_MARK_MAX_MS).contains(&before_ms);
            mark.saturating_sub(if is_near { before_ms } else { 0 })
        });
        let all_dts_ms = self.first_of_all.values().copied().min().unwrap_or(dts_ms);
        Some(Opening { dts_ms, all_dts_ms, wall_ms })
    }
}
