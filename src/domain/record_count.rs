//! How many streams were recorded at the same time (DescribeConcurrentRecordStreamNum).
//!
//! Pure: from the stretches in which streams were recorded to the peak of every interval.

use std::collections::BTreeMap;

use super::stream::StreamPath;

/// A stretch in which a stream was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStretch {
    /// The stream.
    pub path: StreamPath,
    /// Unix milliseconds.
    pub start_ms: i64,
    /// Unix milliseconds; `None` while it goes on.
    pub end_ms: Option<i64>,
}

/// For every interval of `step_ms` from `from_ms` (inclusive) to `to_ms` (exclusive), unix
/// milliseconds: its beginning, and the most streams that were recorded at one moment in it. A
/// stream that is recorded several times at once counts once.
pub fn peaks(
    stretches: &[RecordedStretch],
    from_ms: i64,
    to_ms: i64,
    step_ms: i64,
) -> Vec<(i64, u64)> {
    let step_ms = step_ms.max(1);
    let mut edges: BTreeMap<i64, i64> = BTreeMap::new();
    for (start_ms, end_ms) in unions(stretches, from_ms, to_ms) {
        *edges.entry(start_ms).or_default() += 1;
        *edges.entry(end_ms).or_default() -= 1;
    }
    let (mut edges, mut now) = (edges.into_iter().peekable(), 0i64);
    let mut peaks = Vec::new();
    let mut at_ms = from_ms;
    while at_ms < to_ms {
        let next_ms = at_ms.saturating_add(step_ms);
        while let Some((_, change)) = edges.next_if(|(edge_ms, _)| *edge_ms <= at_ms) {
            now += change;
        }
        let mut peak = now;
        while let Some((_, change)) = edges.next_if(|(edge_ms, _)| *edge_ms < next_ms) {
            now += change;
            peak = peak.max(now);
        }
        peaks.push((at_ms, peak.max(0).unsigned_abs()));
        at_ms = next_ms;
    }
    peaks
}

/// Of each stream the stretches that do not touch, cut to what is asked about.
fn unions(stretches: &[RecordedStretch], from_ms: i64, to_ms: i64) -> Vec<(i64, i64)> {
    let mut by_stream: BTreeMap<_, Vec<(i64, i64)>> = BTreeMap::new();
    for stretch in stretches {
        let path = &stretch.path;
        let start_ms = stretch.start_ms.max(from_ms);
        let end_ms = stretch.end_ms.unwrap_or(to_ms).min(to_ms);
        if start_ms < end_ms {
            let key = (&path.domain, &path.app, &path.stream);
            by_stream.entry(key).or_default().push((start_ms, end_ms));
        }
    }
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (_, mut of_stream) in by_stream {
        of_stream.sort_unstable();
        let first = merged.len();
        for (start_ms, end_ms) in of_stream {
            match merged.get_mut(first..).and_then(|of_stream| of_stream.last_mut()) {
                Some(last) if start_ms <= last.1 => last.1 = last.1.max(end_ms),
                _ => merged.push((start_ms, end_ms)),
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::{AppName, DomainName, StreamName};

    fn stretch(stream: &str, start_ms: i64, end_ms: Option<i64>) -> RecordedStretch {
        let path = StreamPath {
            domain: DomainName::parse("live.local").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
        };
        RecordedStretch { path, start_ms, end_ms }
    }

    #[test]
    fn streams_count_once_and_at_their_peak() {
        let stretches = [
            stretch("a", -50, Some(15)),
            stretch("a", 5, Some(25)),
            stretch("b", 12, Some(14)),
            stretch("c", 14, Some(16)),
            stretch("d", 29, None),
        ];
        assert_eq!(peaks(&stretches, 0, 50, 10), [(0, 1), (10, 2), (20, 1), (30, 1), (40, 1)]);
        assert_eq!(peaks(&[], 0, 20, 10), [(0, 0), (10, 0)]);
    }

    #[test]
    fn what_ends_where_another_begins_does_not_overlap() {
        let stretches = [stretch("a", 0, Some(10)), stretch("b", 10, Some(20))];
        assert_eq!(peaks(&stretches, 0, 20, 20), [(0, 1)]);
    }
}
