//! Unsigned integers in as few bytes as each needs (LEB128), appended and read in order only.
//!
//! The sample tables of a ten hour recording hold millions of small numbers; an array of structs
//! would take four times the memory for nothing. Not a file format: it never leaves the process.

use std::sync::Arc;

/// A growing list of integers that is only ever read from its start.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
}

impl Packed {
    /// Appends one value.
    pub fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Appends one value that may be negative; small magnitudes stay small.
    pub fn push_signed(&mut self, value: i64) {
        self.push(((value << 1) ^ (value >> 63)) as u64);
    }

    /// The values in the order they were appended.
    pub fn iter(&self) -> impl Iterator<Item = u64> + Clone + '_ {
        let mut at = 0;
        std::iter::from_fn(move || self.next(&mut at))
    }

    /// The values in the order they were appended with [`Packed::push_signed`].
    pub fn iter_signed(&self) -> impl Iterator<Item = i64> + Clone + '_ {
        self.iter().map(signed)
    }

    /// The value whose first byte is the one at `at`, which is moved behind it.
    fn next(&self, at: &mut usize) -> Option<u64> {
        let mut value = 0;
        let mut shift = 0;
        for byte in self.bytes.get(*at..)? {
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
        None
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// A value that was appended with [`Packed::push_signed`].
pub(super) fn signed(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// The values of a list that is a part of something shared: an iterator that borrows nothing.
pub(super) fn values<T: Send + Sync + 'static>(
    of: &Arc<T>,
    list: impl Fn(&T) -> &Packed + Clone + Send + 'static,
) -> impl Iterator<Item = u64> + Clone + Send + 'static {
    let (of, mut at) = (of.clone(), 0);
    std::iter::from_fn(move || list(&of).next(&mut at))
}

/// Runs of equal values: how often, and which.
pub(super) fn runs<T: PartialEq + Copy>(
    values: impl Iterator<Item = T> + Clone,
) -> impl Iterator<Item = (u32, T)> + Clone {
    let mut values = values.peekable();
    std::iter::from_fn(move || {
        let value = values.next()?;
        let mut count = 1;
        while values.next_if(|next| *next == value).is_some() {
            count += 1;
        }
        Some((count, value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_back_what_was_pushed(values: Vec<u64>, signed: Vec<i64>) {
            let mut packed = Packed::default();
            values.iter().for_each(|v| packed.push(*v));
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), values);

            let mut packed = Packed::default();
            signed.iter().for_each(|v| packed.push_signed(*v));
            prop_assert_eq!(packed.iter_signed().collect::<Vec<_>>(), signed);
        }
    }

    #[test]
    fn runs_count_equal_neighbours() {
        let runs: Vec<_> = runs([33, 33, 34, 33].into_iter()).collect();
        assert_eq!(runs, [(2, 33), (1, 34), (1, 33)]);
    }
}
