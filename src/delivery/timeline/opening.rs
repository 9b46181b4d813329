//! Where a push begins, found in its first samples.

use std::collections::BTreeMap;

use crate::media::sample::{Sample, SampleKind, Track};

use super::{is_of_other_track, track_of};

/// How far a frame's time is trusted to lie before the first mark behind it.
const BEFORE_MARK_MAX_MS: i64 = 2_000;
/// Samples that are looked at to find where a push begins: more than a second of any stream.
pub(in crate::delivery) const OPENING_SAMPLES: usize = 4096;

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

impl Opening {
    /// From the first samples of a span, [`OPENING_SAMPLES`] of them; `None` without a frame.
    pub fn find<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Option<Self> {
        let mut first: [Option<i64>; 2] = [None; 2];
        let mut first_other = None;
        let mut first_of_all: BTreeMap<(Track, u8), i64> = BTreeMap::new();
        let (mut mark, mut at_mark, mut other_at_mark) = (None, None, None);
        for sample in samples {
            if track_of(sample).is_some() || is_of_other_track(sample) {
                first_of_all.entry((sample.track, sample.track_id)).or_insert(sample.dts_ms);
            }
            if sample.kind == SampleKind::Clock {
                mark = mark.or(Some(sample.dts_ms));
            } else if let Some(track) = track_of(sample) {
                if let Some(first) = first.get_mut(track) {
                    first.get_or_insert(sample.dts_ms);
                }
                at_mark = at_mark.or(mark.map(|_| sample.dts_ms));
            } else if is_of_other_track(sample) {
                let lowest = first_other.unwrap_or(sample.dts_ms);
                first_other = Some(sample.dts_ms.min(lowest));
                other_at_mark = other_at_mark.or(mark.map(|_| sample.dts_ms));
            }
        }
        let [video, audio] = first;
        let (dts_ms, at_mark) = match video.into_iter().chain(audio).min() {
            Some(dts_ms) => (dts_ms, at_mark),
            None => (first_other?, other_at_mark),
        };
        let wall_ms = mark.map(|mark: i64| {
            // A span that begins in the middle of a push has frames before its first mark.
            let before = at_mark.map_or(0, |at: i64| at.saturating_sub(dts_ms));
            mark.saturating_sub(before.clamp(0, BEFORE_MARK_MAX_MS))
        });
        let all_dts_ms = first_of_all.into_values().min().unwrap_or(dts_ms);
        Some(Self { dts_ms, all_dts_ms, wall_ms })
    }
}
