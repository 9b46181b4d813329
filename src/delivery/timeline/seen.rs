//! What was seen of some tracks, and when on the wall the last of it came.

use crate::media::sample::CLOCK_JUMP_MS;

/// No tag arrives so long after the mark before it: it would have a mark of its own. What is further
/// from it on the encoder's clock came in a burst.
const BEHIND_MARK_MAX_MS: i64 = 1_000;

/// See the module. Times are decoding times on the file's timeline.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub first_ms: Option<i64>,
    pub latest_ms: Option<i64>,
    /// The latest step forward.
    pub step_ms: i64,
    /// The first one behind the last mark.
    pub at_mark: Option<i64>,
    /// Unix milliseconds at which the latest one came, by the mark before it.
    pub wall_ms: Option<i64>,
    /// Something else of the encoder came behind the latest one.
    is_trailed: bool,
}

impl Seen {
    /// Takes in a frame.
    pub fn push(&mut self, dts_ms: i64, mark: Option<i64>) {
        self.first_ms.get_or_insert(dts_ms);
        let before_ms = self.latest_ms.unwrap_or(dts_ms);
        let latest_ms = before_ms.max(dts_ms);
        if (1..=CLOCK_JUMP_MS).contains(&latest_ms.saturating_sub(before_ms)) {
            self.step_ms = latest_ms.saturating_sub(before_ms);
        }
        self.latest_ms = Some(latest_ms);
        self.wall_ms = mark.map(|mark| {
            let since_ms = latest_ms.saturating_sub(*self.at_mark.get_or_insert(dts_ms));
            mark.saturating_add(since_ms.clamp(0, BEHIND_MARK_MAX_MS))
        });
        self.is_trailed = false;
    }

    /// Something came that is no frame of these tracks.
    pub fn trail(&mut self) {
        self.is_trailed = true;
    }

    /// The push ended: its last tag came at `arrived_ms` or, if that is not known, before `ended_ms`.
    pub fn end(&mut self, mark: Option<i64>, arrived_ms: Option<i64>, ended_ms: i64) {
        // One before the last mark is no part of the last burst.
        if let (Some(mark), Some(_), Some(wall_ms)) = (mark, self.at_mark, &mut self.wall_ms) {
            let known_ms = arrived_ms.filter(|_| !self.is_trailed);
            let latest_ms = arrived_ms.unwrap_or(ended_ms).min(*wall_ms);
            *wall_ms = known_ms.unwrap_or(latest_ms).max(mark);
        }
    }
}
