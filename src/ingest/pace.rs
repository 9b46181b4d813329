//! How long to leave the socket of a publisher alone.
//!
//! A paced encoder sends a small write for every frame, and a wake-up for each of them costs more
//! than all the parsing. So the sockets of publishers are not watched; they are looked at, at most
//! ten times a second, more often when much is found there. All publishers of one pause look at
//! the same moments, so that one wake-up of a thread serves many of them.

use std::time::Duration;

use tokio::time::Instant;

/// Longest pause; adds at most so much delay.
const LONGEST: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(1);
/// A look that finds more than this was too late: half the pause.
const MUCH: usize = 128 << 10;
/// A look that finds less than this was too early: twice the pause.
const LITTLE: usize = 48 << 10;
/// Room for a read is so much above what was found lately.
const MARGIN: usize = 4 << 10;

/// The rhythm of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pause: Duration,
    /// The most found by one look, forgotten slowly.
    most: usize,
}

impl Pace {
    /// Short at first: what follows an accepted publish is eagerly awaited.
    pub(super) fn new() -> Self {
        Self { pause: Duration::from_millis(10), most: 0 }
    }

    /// A look has found so many bytes.
    pub(super) fn found(&mut self, bytes: usize) {
        if bytes > MUCH {
            // Far too late is made good at once: 64 times as much, an eighth of the pause.
            let halvings = (bytes / MUCH).ilog2().clamp(1, 3);
            self.pause = (self.pause / (1 << halvings)).max(SHORTEST);
        } else if bytes < LITTLE {
            self.pause = (self.pause * 2).min(LONGEST);
        }
        self.most = bytes.max(self.most - self.most / 16);
    }

    /// How much room a read should have.
    pub(super) fn room(&self) -> usize {
        self.most + self.most / 4 + MARGIN
    }

    /// When to look next: the next whole multiple of the pause since `epoch`.
    pub(super) fn next(&self, epoch: Instant, now: Instant) -> Instant {
        let since = now.saturating_duration_since(epoch).as_micros();
        let pause = self.pause.as_micros().max(1);
        let left = pause - since % pause;
        now + Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(finds: &[usize]) -> Pace {
        let mut pace = Pace::new();
        finds.iter().for_each(|bytes| pace.found(*bytes));
        pace
    }

    #[test]
    fn the_pause_follows_what_is_found() {
        assert_eq!(after(&[4000; 8]).pause, LONGEST);
        assert_eq!(after(&[0; 8]).pause, LONGEST);
        // 3 Mbps keeps the longest pause, but for its key frames.
        assert_eq!(after(&[&[39_000; 8][..], &[60_000]].concat()).pause, LONGEST);
        assert_eq!(after(&[&[39_000; 8][..], &[200_000, 19_000]].concat()).pause, LONGEST);
        assert_eq!(after(&[1 << 20; 8]).pause, SHORTEST);
        assert!(after(&[0, 0, 0, 0, 1 << 20]).pause < Duration::from_millis(20));
    }

    #[test]
    fn room_follows_what_is_found() {
        assert_eq!(Pace::new().room(), MARGIN);
        assert!((48_000..64_000).contains(&after(&[39_000; 100]).room()));
        assert!(after(&[&[1 << 20][..], &[1000; 100]].concat()).room() < 16 << 10);
    }

    #[test]
    fn looks_are_at_common_moments() {
        let pace = after(&[0; 8]);
        let epoch = Instant::now();
        let at = |ms: u64| pace.next(epoch, epoch + Duration::from_millis(ms)) - epoch;
        assert_eq!(at(0), LONGEST);
        assert_eq!(at(99), LONGEST);
        assert_eq!(at(100), LONGEST * 2);
        assert_eq!(at(1234), LONGEST * 13);
    }
}
