//! The key frame list of onMetaData: where to begin reading for a point in time.
//!
//! Not in Adobe's specification, but what players seek by: an object `keyframes` of two arrays,
//! `times` in seconds from the first frame and `filepositions` in bytes from the start of the file.

use crate::media::amf0::Value;

/// The longest list that is kept; past it every second key frame is dropped, again and again.
const LISTED_MAX: usize = 100_000;
/// Bytes that one key frame takes in the head: a number in each of the two arrays.
pub(super) const ENTRY_LEN: u64 = 2 * 9;

/// Key frames in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Keyframes {
    /// Time in milliseconds and offset in the body of every `stride`-th.
    list: Vec<(i64, u64)>,
    stride: u64,
    seen: u64,
    last: Option<(i64, u64)>,
}

impl Default for Keyframes {
    fn default() -> Self {
        Keyframes { list: Vec::new(), stride: 1, seen: 0, last: None }
    }
}

/// How many of `keyframes` are listed at most.
pub(super) fn listed(keyframes: u64) -> u64 {
    keyframes.min(LISTED_MAX as u64)
}

/// Milliseconds as the seconds that metadata have.
pub(super) fn seconds(ms: i64) -> Value {
    Value::Number(ms as f64 / 1000.0)
}

impl Keyframes {
    pub(super) fn push(&mut self, time_ms: i64, offset: u64) {
        // A tag may hold two of them.
        if self.last.is_some_and(|(_, last)| last == offset) {
            return;
        }
        if self.seen.is_multiple_of(self.stride) {
            if self.list.len() == LISTED_MAX {
                let mut is_kept = false;
                self.list.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.list.push((time_ms, offset));
            }
        }
        self.seen += 1;
        self.last = Some((time_ms, offset));
    }

    /// How many are in the list.
    pub(super) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    /// The same, for an estimate of memory.
    pub(super) fn kept(&self) -> usize {
        self.list.len()
    }

    /// How many there were.
    pub(super) fn seen_len(&self) -> u64 {
        self.seen
    }

    /// Time and offset of the last of all.
    pub(super) fn last(&self) -> Option<(i64, u64)> {
        self.last
    }

    /// The metadata value with `count` of the key frames, evenly thinned, after an entry for
    /// `start`, the position of the first tag behind the metadata: web players take the first
    /// entry for the configuration and pass over it.
    pub(super) fn value(&self, count: u64, origin_ms: i64, head_len: u64, start: u64) -> Value {
        let mut times = vec![Value::Number(0.0)];
        let mut positions = vec![Value::Number(start as f64)];
        let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(self.list.len());
        for at in 0..wanted {
            // Spread over the whole list: index at * len / wanted, from the first on.
            if let Some((time_ms, offset)) = self.list.get(at * self.list.len() / wanted) {
                times.push(seconds(time_ms.saturating_sub(origin_ms)));
                positions.push(Value::Number((head_len + offset) as f64));
            }
        }
        Value::Object(vec![
            ("filepositions".into(), Value::StrictArray(positions)),
            ("times".into(), Value::StrictArray(times)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_grows_too_long_is_thinned_evenly() {
        let mut keyframes = Keyframes::default();
        for n in 0..450_000u64 {
            keyframes.push(n as i64, n * 10);
        }
        assert_eq!((keyframes.seen_len(), keyframes.last()), (450_000, Some((449_999, 4_499_990))));
        assert_eq!((keyframes.stride, keyframes.len()), (8, 56_250));
        let expected = (0..56_250).map(|n| (n * 8, n as u64 * 80));
        assert!(keyframes.list.iter().copied().eq(expected));
    }

    #[test]
    fn one_entry_per_tag() {
        let mut keyframes = Keyframes::default();
        for (time_ms, offset) in [(0, 0), (0, 0), (40, 9)] {
            keyframes.push(time_ms, offset);
        }
        assert_eq!(keyframes.list, [(0, 0), (40, 9)]);
    }

    #[test]
    fn the_value_begins_with_the_start_and_has_as_many_as_asked_for() {
        let mut keyframes = Keyframes::default();
        for n in 0..5 {
            keyframes.push(1000 + n as i64 * 500, n * 100);
        }
        let list = |value: &Value, name| match value.get(name) {
            Some(Value::StrictArray(list)) => list.iter().filter_map(Value::as_number).collect(),
            _ => Vec::new(),
        };
        let value = keyframes.value(9, 1000, 50, 40);
        assert_eq!(list(&value, "times"), [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(list(&value, "filepositions"), [40.0, 50.0, 150.0, 250.0, 350.0, 450.0]);
        assert_eq!(list(&keyframes.value(2, 1000, 50, 40), "times"), [0.0, 0.0, 1.0]);
        assert_eq!(list(&keyframes.value(0, 1000, 50, 40), "times"), [0.0]);
    }
}
