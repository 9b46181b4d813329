//! Whether the wall clock may be believed when it says that files are old. Pure: times are arguments.
//!
//! A clock that jumps forward would expire everything at once, and nothing brings a deleted file
//! back. So expiry believes only a time that can be reached from the newest time believed before:
//!
//! - within the process, the monotonic clock says how much time went by; all jumps forward together
//!   may add at most [`JUMPS_MS`];
//! - how long the process was away before is not asked: up to [`AWAY_MS`] is taken as it is;
//! - what lies beyond pauses expiry until the clock ran beside the monotonic one for [`STEADY_MS`]
//!   without a step, or the operator confirms it.
//!
//! A clock that is behind expires too little, never too much, and needs no pause; what is stored
//! meanwhile counts from the newest time believed
//! ([`crate::db::Db::storage_time_from_ms`]). Where nothing newer was ever believed, the step forward
//! that ends it ([`Leap`]) tells which files are younger than the new time makes them.

const HOUR_MS: i64 = 3600 * 1000;
/// Jumps forward that are believed while the process runs, in sum.
pub const JUMPS_MS: i64 = 24 * HOUR_MS;
/// How long a process is believed to have been away.
pub const AWAY_MS: i64 = 7 * 24 * HOUR_MS;
/// A clock that ran steadily for so long is believed, whatever it says.
pub const STEADY_MS: i64 = 24 * HOUR_MS;
/// A difference to the monotonic clock above this is a step.
const STEP_MS: i64 = 10 * 60 * 1000;

/// What is to be made of the clock's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be true.
    Believed,
    /// It is before the newest time believed, by so many milliseconds. Nothing can expire by that.
    Behind(i64),
    /// It is ahead of what can be, by so many milliseconds: nothing may expire.
    Ahead(i64),
}

/// A step forward within the process. What was stored between these times of the old clock is younger
/// than the new one says, whichever of them is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leap {
    /// Where the run before it began, unix milliseconds, a little earlier rather than later.
    pub from_ms: i64,
    /// Where it ended, unix milliseconds, a little later rather than earlier.
    pub to_ms: i64,
    /// By how many milliseconds.
    pub by_ms: i64,
}

/// A stretch of time in which the clock went beside the monotonic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The wall clock at its beginning, unix milliseconds.
    pub wall_ms: i64,
    /// The monotonic clock at its beginning.
    pub at_ms: i64,
}

/// Follows the clock of one process.
#[derive(Debug, Clone)]
pub struct ClockGuard {
    /// The newest time believed.
    trusted_ms: i64,
    /// When it was believed, by the monotonic clock; none if that was an earlier process.
    trusted_at_ms: Option<i64>,
    /// Jumps forward believed so far.
    jumps_ms: i64,
    /// The present run without a step.
    run: Option<Run>,
    leap: Option<Leap>,
}

impl ClockGuard {
    /// `trusted_ms` is what an earlier process believed last, unix milliseconds.
    pub fn new(trusted_ms: i64) -> Self {
        Self { trusted_ms, trusted_at_ms: None, jumps_ms: 0, run: None, leap: None }
    }

    /// Goes on with the run of an earlier process that had the same monotonic clock.
    pub fn go_on(&mut self, run: Run) {
        self.run = Some(run);
    }

    /// The present run without a step, once the clock was looked at.
    pub fn run(&self) -> Option<Run> {
        self.run
    }

    /// The newest time believed, unix milliseconds.
    pub fn trusted_ms(&self) -> i64 {
        self.trusted_ms
    }

    /// The last step forward, until it is dealt with.
    pub fn leap(&self) -> Option<Leap> {
        self.leap
    }

    /// It is dealt with.
    pub fn forget_leap(&mut self) {
        self.leap = None;
    }

    /// The operator says that this time is right, or another process has come to believe it.
    pub fn confirm(&mut self, wall_ms: i64) {
        self.trusted_ms = wall_ms;
        self.trusted_at_ms = None;
        self.jumps_ms = 0;
    }

    /// Judges the time of the wall clock; `at_ms` is that of a monotonic clock with any zero.
    pub fn observe(&mut self, wall_ms: i64, at_ms: i64) -> Verdict {
        let is_step = self.run.is_none_or(|run| {
            let expected_ms = run.wall_ms.saturating_add(at_ms.saturating_sub(run.at_ms));
            // While the clock was behind, StorageTime counted from the newest time believed.
            let by_ms = wall_ms.saturating_sub(expected_ms.max(self.trusted_ms));
            if by_ms > STEP_MS {
                let from_ms = run.wall_ms.saturating_sub(STEP_MS);
                let to_ms = expected_ms.saturating_add(STEP_MS);
                self.leap = Some(Leap { from_ms, to_ms, by_ms });
            }
            wall_ms.abs_diff(expected_ms) > STEP_MS.unsigned_abs()
        });
        if is_step {
            self.run = Some(Run { wall_ms, at_ms });
        }
        let steady_ms = self.run.map_or(0, |run| at_ms.saturating_sub(run.at_ms));
        if steady_ms >= STEADY_MS {
            self.believe(wall_ms, at_ms);
            self.jumps_ms = 0;
            self.run = Some(Run { wall_ms, at_ms });
            return Verdict::Believed;
        }
        // What can have gone by since the newest time believed, and what may come on top.
        let (elapsed_ms, room_ms) = match self.trusted_at_ms {
            Some(at) => (at_ms.saturating_sub(at).max(0), JUMPS_MS - self.jumps_ms),
            None => (0, AWAY_MS),
        };
        let beyond_ms = wall_ms.saturating_sub(self.trusted_ms.saturating_add(elapsed_ms));
        if wall_ms < self.trusted_ms {
            return Verdict::Behind(self.trusted_ms.saturating_sub(wall_ms));
        }
        if beyond_ms > room_ms {
            return Verdict::Ahead(beyond_ms);
        }
        if self.trusted_at_ms.is_some() {
            self.jumps_ms = self.jumps_ms.saturating_add(beyond_ms.max(0));
        }
        self.believe(wall_ms, at_ms);
        Verdict::Believed
    }

    fn believe(&mut self, wall_ms: i64, at_ms: i64) {
        self.trusted_ms = wall_ms;
        self.trusted_at_ms = Some(at_ms);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;
    const NOW: i64 = 1_795_344_236_000;

    #[test]
    fn time_that_goes_by_is_believed_and_a_leap_is_not() {
        let mut guard = ClockGuard::new(NOW);
        assert_eq!(guard.observe(NOW + 3 * DAY_MS, 0), Verdict::Believed, "three days away");
        let now = NOW + 3 * DAY_MS;
        assert_eq!(guard.observe(now + 30 * DAY_MS, 30 * DAY_MS), Verdict::Believed);
        let (now, at) = (now + 30 * DAY_MS, 30 * DAY_MS);
        assert_eq!(guard.observe(now + 2000 + 2 * DAY_MS, at + 2000), Verdict::Ahead(2 * DAY_MS));
        assert_eq!(guard.trusted_ms(), now);
        // Back again, and everything is as it was.
        assert_eq!(guard.observe(now + 4000, at + 4000), Verdict::Believed);
    }

    #[test]
    fn small_leaps_do_not_add_up_to_a_large_one() {
        let mut guard = ClockGuard::new(NOW);
        guard.observe(NOW, 0);
        assert_eq!(guard.observe(NOW + 23 * HOUR_MS, 2000), Verdict::Believed);
        assert!(matches!(guard.observe(NOW + 46 * HOUR_MS, 4000), Verdict::Ahead(_)));
    }

    #[test]
    fn a_clock_that_keeps_pace_for_a_day_is_believed() {
        for leap in [400 * DAY_MS, -400 * DAY_MS] {
            let mut guard = ClockGuard::new(NOW);
            guard.observe(NOW, 0);
            let wall = NOW + leap;
            for minute in 1..24 * 60 {
                let at = minute * 60_000;
                assert_ne!(guard.observe(wall + at, at), Verdict::Believed, "{minute} {leap}");
            }
            let at = DAY_MS + 60_000;
            assert_eq!(guard.observe(wall + at, at), Verdict::Believed);
            assert_eq!(guard.trusted_ms(), wall + at);
        }
    }

    #[test]
    fn a_battery_that_died_and_a_time_server_that_came_late() {
        let mut guard = ClockGuard::new(NOW);
        assert_eq!(guard.observe(1000, 0), Verdict::Behind(NOW - 1000));
        assert_eq!(guard.observe(NOW + 60_000, 5000), Verdict::Believed);
        let mut guard = ClockGuard::new(NOW);
        guard.observe(1000, 0);
        assert!(matches!(guard.observe(NOW + 8 * DAY_MS, 5000), Verdict::Ahead(_)));
        guard.confirm(NOW + 8 * DAY_MS);
        assert_eq!(guard.observe(NOW + 8 * DAY_MS + 2000, 7000), Verdict::Believed);
    }

    #[test]
    fn a_step_forward_tells_what_was_stored_before_it() {
        let mut guard = ClockGuard::new(NOW);
        guard.observe(NOW, 0);
        guard.observe(NOW + HOUR_MS, HOUR_MS);
        assert_eq!(guard.leap(), None);
        guard.observe(NOW + 2 * HOUR_MS + 3 * DAY_MS, 2 * HOUR_MS);
        let leap =
            Leap { from_ms: NOW - STEP_MS, to_ms: NOW + 2 * HOUR_MS + STEP_MS, by_ms: 3 * DAY_MS };
        assert_eq!(guard.leap(), Some(leap));
        guard.forget_leap();
        // Back and there again: what was stored meanwhile counted from the newest time believed.
        let mut guard = ClockGuard::new(NOW);
        guard.observe(NOW, 0);
        guard.observe(NOW - 3 * DAY_MS, 1000);
        assert_eq!(guard.leap(), None);
        guard.observe(NOW + HOUR_MS, HOUR_MS);
        assert_eq!(guard.leap().map(|leap| leap.by_ms), Some(HOUR_MS));
    }

    #[test]
    fn a_step_between_two_processes_is_one() {
        let mut earlier = ClockGuard::new(NOW);
        earlier.observe(NOW, 500);
        earlier.observe(NOW + HOUR_MS, 500 + HOUR_MS);
        let run = earlier.run().unwrap();
        for leap in [0, 3 * DAY_MS] {
            let mut guard = ClockGuard::new(earlier.trusted_ms());
            guard.go_on(run);
            guard.observe(NOW + 2 * HOUR_MS + leap, 500 + 2 * HOUR_MS);
            assert_eq!(guard.leap().map(|leap| leap.by_ms), (leap > 0).then_some(leap));
        }
    }

    proptest! {
        /// However the clock leaps, what is believed within a day of running is never more than the
        /// two allowances ahead of the time that has really gone by.
        #[test]
        fn belief_is_bounded(leaps in prop::collection::vec((-40 * DAY_MS..40 * DAY_MS, 1i64..600_000), 1..100)) {
            let (mut guard, mut at, mut offset) = (ClockGuard::new(NOW), 0, 0);
            for (leap, step) in leaps {
                at += step;
                offset += leap;
                guard.observe(NOW + at + offset, at);
                prop_assert!(guard.trusted_ms() <= NOW + at + AWAY_MS + JUMPS_MS);
                prop_assert!(guard.trusted_ms() >= NOW);
            }
        }
    }
}
