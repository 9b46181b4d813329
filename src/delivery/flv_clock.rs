//! Where the tags of an FLV product stand in time.
//!
//! Frames stand where their push is placed. Encoders give headers and script data times of their own,
//! often 0 whatever their clock says. In a push that goes on with a file, the constant that is right
//! for the frames would put some of them anywhere, below zero too, which FLV cannot say.

use crate::media::sample::{CLOCK_CYCLE_MS, CLOCK_JUMP_MS, Sample, SampleKind};

/// Where the tags of a push stand in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Placing {
    /// Added to the encoder's times.
    pub shift_ms: i64,
    /// Where the push goes on with a file that others began.
    pub resumed: Option<Resumed>,
}

/// Where a push goes on with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Position of the push's first frame; behind all of it if it has none.
    pub first: u64,
    /// Its time in the product, or the latest one before it.
    pub at_ms: i64,
    /// The latest time of a frame that the file has before this push.
    pub latest_ms: i64,
}

/// Is shown the samples of a file in order. May be copied where a tag begins, and go on from there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FlvClock {
    /// The last frame so far, in the product.
    frame_ms: Option<i64>,
}

impl FlvClock {
    /// The time of the next sample's tag in the product, and whether it is another than its own. What
    /// comes before the first frame of its push has its own where it can be right, and what comes
    /// later where FLV can say it and it is not of another cycle.
    pub fn time_ms(&mut self, placing: Placing, sample: &Sample) -> (i64, bool) {
        let own_ms = sample.dts_ms.saturating_add(placing.shift_ms);
        if sample.kind == SampleKind::Frame {
            self.frame_ms = Some(own_ms);
            return (own_ms, false);
        }
        let Some(resumed) = placing.resumed else { return (own_ms, false) };
        let (can_be, instead_ms) = if sample.position < resumed.first {
            let last_ms = resumed.at_ms.saturating_add(CLOCK_JUMP_MS);
            ((resumed.latest_ms..=last_ms).contains(&own_ms), resumed.at_ms)
        } else {
            let before_ms = self.frame_ms.unwrap_or(resumed.at_ms);
            let sent_before_ms = before_ms.saturating_sub(placing.shift_ms);
            let can_be = own_ms >= 0 && !is_of_later_cycle(sample.dts_ms, sent_before_ms);
            // A frame of a push that was placed badly may stand below zero; nothing else is to.
            (can_be, before_ms.max(0))
        };
        if can_be { (own_ms, false) } else { (instead_ms, true) }
    }
}

/// Whether a time was sent as one before that of a frame, and is far behind it only because times are
/// unwrapped to what is nearest. Close by it is one that the clock is about to reach.
fn is_of_later_cycle(sent_ms: i64, frame_ms: i64) -> bool {
    sent_ms.div_euclid(CLOCK_CYCLE_MS) > frame_ms.div_euclid(CLOCK_CYCLE_MS)
        && sent_ms.saturating_sub(frame_ms) > CLOCK_JUMP_MS
}
