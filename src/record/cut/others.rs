//! The tracks beside the default ones: how much time they had, and which of them leads.
//!
//! They matter only where a default track is silent, so one of them is enough to go by: of each kind
//! the lowest track id that is there.

use std::collections::BTreeMap;

use super::{Clock, GONE_MS};
use crate::media::sample::{Sample, Track};

/// The other tracks of one file, pictures and sound.
#[derive(Debug, Clone, Default)]
pub(super) struct Others {
    clocks: BTreeMap<(Track, u8), Clock>,
    elapsed_ms: i64,
    total_ms: i64,
    video: Option<Lead>,
    audio: Option<Lead>,
    /// Unix milliseconds of the last picture; not forgotten where a file ends.
    picture_wall_ms: Option<i64>,
}

/// The track that leads.
#[derive(Debug, Clone, Copy)]
struct Lead {
    track_id: u8,
    wall_ms: i64,
}

impl Others {
    /// Media time of the file, by the track that had most.
    pub fn elapsed_ms(&self) -> i64 {
        self.elapsed_ms
    }

    /// The same of all files of the session, about.
    pub fn total_ms(&self) -> i64 {
        self.total_ms
    }

    /// Whether the track of the sample is the one to go by.
    pub fn is_lead(&self, sample: &Sample) -> bool {
        let lead = if sample.track == Track::Video { self.video } else { self.audio };
        lead.is_some_and(|lead| lead.track_id == sample.track_id)
    }

    /// Whether there is a track with pictures.
    pub fn has_pictures(&self, wall_ms: i64) -> bool {
        self.picture_wall_ms.is_some_and(|seen_ms| wall_ms.saturating_sub(seen_ms) <= GONE_MS)
    }

    /// Counts a frame in; by the default tracks the file has lasted for `default_ms`.
    pub fn push(&mut self, sample: &Sample, wall_ms: i64, default_ms: i64) {
        let lead = match sample.track {
            Track::Video => {
                self.picture_wall_ms = Some(wall_ms);
                &mut self.video
            }
            Track::Audio => &mut self.audio,
            Track::Script => return,
        };
        let yields = lead.is_none_or(|lead| {
            sample.track_id <= lead.track_id || wall_ms.saturating_sub(lead.wall_ms) > GONE_MS
        });
        if yields {
            *lead = Some(Lead { track_id: sample.track_id, wall_ms });
        }
        let begun = Clock { elapsed_ms: self.elapsed_ms.max(default_ms), ..Clock::default() };
        let clock = self.clocks.entry((sample.track, sample.track_id)).or_insert(begun);
        let before_ms = self.elapsed_ms.max(clock.elapsed_ms);
        clock.advance(sample.dts_ms, wall_ms);
        self.elapsed_ms = before_ms.max(clock.elapsed_ms);
        self.total_ms = self.total_ms.saturating_add(self.elapsed_ms - before_ms);
    }

    /// A new file begins.
    pub fn restart(&mut self) {
        let (total_ms, picture_wall_ms) = (self.total_ms, self.picture_wall_ms);
        *self = Self { total_ms, picture_wall_ms, ..Self::default() };
    }
}
