//! What the pushes to one domain may take: streams at a time, bit rate of a stream, hours in a month.
//!
//! Streams and hours are asked for when a push begins: one that is live is never cut short by them. The
//! bit rate ends a push, once it has been exceeded for a while ([`RateWatch`]).

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate};

/// Limits of a domain; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DomainLimits {
    /// Streams at a time on one node.
    pub streams: i64,
    /// Of one stream, in kbit/s of media.
    pub kbps: i64,
    /// Pushed in a calendar month (UTC), all streams together.
    pub hours: i64,
}

/// New limits; what is not given stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitsChange {
    /// See [`DomainLimits::streams`].
    pub streams: Option<i64>,
    /// See [`DomainLimits::kbps`].
    pub kbps: Option<i64>,
    /// See [`DomainLimits::hours`].
    pub hours: Option<i64>,
}

impl DomainLimits {
    /// Whether so many milliseconds use up the hours of a month.
    pub fn has_used_up(&self, pushed_ms: i64) -> bool {
        self.hours > 0 && pushed_ms >= self.hours.saturating_mul(3_600_000)
    }

    /// Streams at a time, if they are limited.
    pub fn max_streams(&self) -> Option<usize> {
        usize::try_from(self.streams).ok().filter(|max| *max > 0)
    }
}

/// Unix milliseconds at which the calendar month (UTC) of a moment begins.
pub fn month_of(now_ms: i64) -> i64 {
    let day = DateTime::from_timestamp_millis(now_ms).unwrap_or_default().date_naive();
    let first = NaiveDate::from_ymd_opt(day.year(), day.month(), 1).unwrap_or(day);
    first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()
}

/// Notices that a stream is above its bit rate for several stretches in a row. One burst, as an encoder
/// sends it after an interruption, is none of its business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateWatch {
    kbps: u64,
    since: Duration,
    bytes: u64,
    above: u32,
}

impl RateWatch {
    /// Length of a stretch.
    pub const STRETCH: Duration = Duration::from_secs(10);
    /// Stretches in a row that are too many.
    pub const STRETCHES: u32 = 3;

    /// Watches a stream that has just begun; `None` if its domain has no such limit.
    pub fn new(limits: &DomainLimits) -> Option<Self> {
        let kbps = u64::try_from(limits.kbps).ok().filter(|kbps| *kbps > 0)?;
        Some(Self { kbps, since: Duration::ZERO, bytes: 0, above: 0 })
    }

    /// True when the stream has been too fast for too long: `age` is the time since it began, `bytes`
    /// what it has sent.
    pub fn is_exceeded(&mut self, age: Duration, bytes: u64) -> bool {
        let stretch = age.saturating_sub(self.since);
        if stretch < Self::STRETCH {
            return false;
        }
        let bits = u128::from(bytes.saturating_sub(self.bytes)) * 8;
        let allowed = u128::from(self.kbps) * stretch.as_millis();
        self.above = if bits > allowed { self.above + 1 } else { 0 };
        (self.since, self.bytes) = (age, bytes);
        self.above >= Self::STRETCHES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_no_offence_and_a_lasting_excess_is() {
        let watch = |kbps| RateWatch::new(&DomainLimits { kbps, ..DomainLimits::default() });
        assert_eq!(watch(0), None);
        // Megabytes in each ten seconds against 1.25 MB allowed.
        let told = |sent: &[u64]| {
            let mut watch = watch(1000).unwrap();
            let mut total = 0;
            let stretches = (1..).zip(sent).map(|(nth, bytes)| {
                total += bytes;
                assert!(
                    !watch.is_exceeded(RateWatch::STRETCH * nth - Duration::from_millis(1), total)
                );
                watch.is_exceeded(RateWatch::STRETCH * nth, total)
            });
            stretches.collect::<Vec<_>>()
        };
        assert_eq!(told(&[1_250_000; 4]), [false; 4]);
        assert_eq!(told(&[1_250_001; 4]), [false, false, true, true]);
        assert_eq!(told(&[9_000_000, 9_000_000, 1, 9_000_000]), [false; 4]);
    }

    #[test]
    fn months_and_hours() {
        assert_eq!(month_of(1_795_344_236_224), 1_793_491_200_000); // 2026-11-01
        assert_eq!(month_of(0), 0);
        let limits = DomainLimits { hours: 2, ..DomainLimits::default() };
        assert!(!limits.has_used_up(7_199_999) && limits.has_used_up(7_200_000));
        assert!(!DomainLimits::default().has_used_up(i64::MAX));
    }
}
