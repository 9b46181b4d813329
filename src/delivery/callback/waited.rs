//! How long ago something was put down, counted in time that this server has run: neither the time
//! that it was off nor a leap of the clock makes an event old.
//!
//! Pure: times are arguments. [`super`] keeps the marks in the database.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Marks kept at most; one more lets the oldest go.
const MAX_MARKS: usize = 1000;

/// What the wall clock said, and how long the server had run by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    ran_ms: i64,
    wall_ms: i64,
}

/// The marks of a node, oldest first; one about every hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited(VecDeque<Mark>);

impl Waited {
    /// From what [`Waited::to_text`] made; anything else is no mark at all, which makes nothing old.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// For [`Waited::parse`].
    pub fn to_text(&self) -> String {
        // Numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The server has run for `more_ms` since the mark before, and the wall clock says `wall_ms`.
    /// Marks that are no longer needed to tell what is `oldest_ms` old go.
    pub fn mark(&mut self, more_ms: i64, wall_ms: i64, oldest_ms: i64) {
        let before_ms = self.0.back().map_or(0, |mark| mark.ran_ms);
        let ran_ms = before_ms.saturating_add(more_ms.max(0));
        self.0.push_back(Mark { ran_ms, wall_ms });
        let from_ms = ran_ms.saturating_sub(oldest_ms);
        while self.0.get(1).is_some_and(|second| second.ran_ms <= from_ms)
            || self.0.len() > MAX_MARKS
        {
            self.0.pop_front();
        }
    }

    /// What was put down before this, by the wall clock of then, has waited for `long_ms` (unix
    /// milliseconds). Where the clock went back meanwhile, its earliest time counts.
    pub fn before_ms(&self, long_ms: i64) -> i64 {
        let ran_ms = self.0.back().map_or(0, |mark| mark.ran_ms);
        let from_ms = ran_ms.saturating_sub(long_ms);
        let Some(last_old) = self.0.iter().rposition(|mark| mark.ran_ms <= from_ms) else {
            return i64::MIN;
        };
        self.0.iter().skip(last_old).map(|mark| mark.wall_ms).min().unwrap_or(i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_795_344_236_000;

    /// Hours in which the clock and the server go on as one.
    fn run(waited: &mut Waited, wall_ms: i64, hours: i64) -> i64 {
        for hour in 1..=hours {
            waited.mark(HOUR, wall_ms + hour * HOUR, 72 * HOUR);
        }
        wall_ms + hours * HOUR
    }

    #[test]
    fn time_that_the_server_runs_is_waiting() {
        let mut waited = Waited::default();
        assert_eq!(waited.before_ms(72 * HOUR), i64::MIN);
        waited.mark(0, NOW, 72 * HOUR);
        let now = run(&mut waited, NOW, 71);
        assert_eq!(waited.before_ms(72 * HOUR), i64::MIN);
        let now = run(&mut waited, now, 29);
        assert_eq!(waited.before_ms(72 * HOUR), now - 72 * HOUR);
        assert_eq!(waited.before_ms(10 * HOUR), now - 10 * HOUR);
        assert_eq!(waited.0.len(), 73, "what nobody asks for any more goes");
        assert_eq!(Waited::parse(&waited.to_text()), waited);
        assert_eq!(Waited::parse("what?"), Waited::default());
    }

    #[test]
    fn neither_time_off_nor_a_leap_is_waiting() {
        for leap in [4 * 24 * HOUR, -4 * 24 * HOUR] {
            let mut waited = Waited::default();
            waited.mark(0, NOW, 72 * HOUR);
            let now = run(&mut waited, NOW, 100);
            // An event of the last hour, then a start by another clock.
            let event = now - HOUR / 2;
            waited.mark(0, now + leap, 72 * HOUR);
            let then = run(&mut waited, now + leap, 71);
            assert!(event >= waited.before_ms(72 * HOUR));
            let then = run(&mut waited, then, 1);
            assert_eq!(event < waited.before_ms(72 * HOUR), leap > 0, "it has waited by now");
            run(&mut waited, then, 1000);
            assert!(event < waited.before_ms(72 * HOUR));
        }
    }

    #[test]
    fn marks_are_bounded_however_often_the_server_starts() {
        let mut waited = Waited::default();
        for start in 0..5000 {
            waited.mark(1, NOW + start, 72 * HOUR);
        }
        assert_eq!(waited.0.len(), MAX_MARKS);
        assert_eq!(waited.before_ms(72 * HOUR), i64::MIN, "later rather than too early");
    }
}
