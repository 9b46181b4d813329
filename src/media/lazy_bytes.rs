//! Bytes that are made when they are asked for: the head of a long MP4 is tens of megabytes, which
//! need not be in memory at once. Read once, from the front. Knows nothing of boxes or parts.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

/// See the module.
#[derive(Default)]
pub struct LazyBytes {
    pieces: VecDeque<Piece>,
    /// Bytes that are left.
    len: u64,
}

enum Piece {
    Bytes(Bytes),
    Zeros(u64),
    Entries { entries: Box<dyn Entries>, len: u64 },
}

/// Appends entries until `out` has `until` bytes or more, or there are no more entries.
trait Entries: Send {
    fn fill(&mut self, out: &mut Vec<u8>, until: usize);
}

impl<const N: usize, I: Iterator<Item = [u8; N]> + Send> Entries for I {
    fn fill(&mut self, out: &mut Vec<u8>, until: usize) {
        while out.len() < until {
            let Some(entry) = self.next() else { return };
            out.extend_from_slice(&entry);
        }
    }
}

impl LazyBytes {
    /// Bytes that are left.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes that are there.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        self.put(Piece::Bytes(bytes.into()));
    }

    /// Appends zeros.
    pub fn push_zeros(&mut self, len: u64) {
        self.put(Piece::Zeros(len));
    }

    /// Appends the first `count` entries of a table. Where there are fewer, what can be read ends:
    /// whoever knows the length sees it.
    pub fn push_entries<const N: usize>(
        &mut self,
        count: u64,
        entries: impl Iterator<Item = [u8; N]> + Send + 'static,
    ) {
        let len = count.saturating_mul(N as u64);
        self.put(Piece::Entries { entries: Box::new(entries), len });
    }

    /// Appends all that is left of another.
    pub fn append(&mut self, other: LazyBytes) {
        other.pieces.into_iter().for_each(|piece| self.put(piece));
    }

    fn put(&mut self, piece: Piece) {
        if piece.len() > 0 {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Passes over the next `want` bytes if they all are zeros that were appended as such.
    pub fn skip_zeros(&mut self, want: u64) -> bool {
        match self.pieces.front_mut() {
            Some(Piece::Zeros(left)) if *left >= want => {
                *left -= want;
                self.len -= want;
                self.drop_read();
                true
            }
            _ => false,
        }
    }

    /// The next `want` bytes, fewer only at the end, if they are there as they are.
    pub fn split(&mut self, want: usize) -> Option<Bytes> {
        let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() else { return None };
        if bytes.len() < want && (bytes.len() as u64) < self.len {
            return None;
        }
        let read = bytes.split_to(want.min(bytes.len()));
        self.len -= read.len() as u64;
        self.drop_read();
        Some(read)
    }

    /// Appends to `out` until it has `want` bytes; fewer only at the end.
    pub fn read_into(&mut self, out: &mut Vec<u8>, want: usize) {
        while out.len() < want
            && let Some(piece) = self.pieces.front_mut()
        {
            let before = out.len();
            let over = piece.fill(out, want);
            self.len -= (out.len() - before) as u64;
            if out.len() == before {
                // A table that is shorter than it was said to be.
                *self = Self::default();
            }
            self.drop_read();
            if !over.is_empty() {
                self.pieces.push_front(Piece::Bytes(over));
            }
        }
    }

    /// The next `want` bytes; fewer only at the end.
    pub fn read(&mut self, want: usize) -> Bytes {
        self.split(want).unwrap_or_else(|| {
            let left = usize::try_from(self.len).unwrap_or(usize::MAX);
            let mut out = Vec::with_capacity(left.min(want));
            self.read_into(&mut out, want);
            out.into()
        })
    }

    /// All that is left.
    pub fn read_all(mut self) -> Bytes {
        self.read(usize::MAX)
    }

    fn drop_read(&mut self) {
        if self.pieces.front().is_some_and(|piece| piece.len() == 0) {
            self.pieces.pop_front();
        }
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(len) | Piece::Entries { len, .. } => *len,
        }
    }

    /// Appends until `out` has `until` bytes or this is over. Answers what was made beyond that: a
    /// part of an entry.
    fn fill(&mut self, out: &mut Vec<u8>, until: usize) -> Bytes {
        let room = until.saturating_sub(out.len());
        let left = usize::try_from(self.len()).unwrap_or(usize::MAX);
        match self {
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes.split_to(room.min(left))),
            Piece::Zeros(len) => {
                out.resize(out.len() + room.min(left), 0);
                *len -= room.min(left) as u64;
            }
            Piece::Entries { entries, len } => {
                let before = out.len();
                entries.fill(out, before + room.min(left));
                *len = len.saturating_sub((out.len() - before) as u64);
                if out.len() > until {
                    return out.split_off(until).into();
                }
            }
        }
        Bytes::new()
    }
}

impl From<Vec<u8>> for LazyBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let mut lazy = Self::default();
        lazy.push(bytes);
        lazy
    }
}

impl fmt::Debug for LazyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyBytes").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a piece is made of: bytes, zeros, or entries of four bytes.
    fn piece() -> impl Strategy<Value = (u8, Vec<u8>)> {
        (0u8..3, prop::collection::vec(any::<u8>(), 0..40))
    }

    fn lazy_of(pieces: &[(u8, Vec<u8>)]) -> (LazyBytes, Vec<u8>) {
        let (mut lazy, mut whole) = (LazyBytes::default(), Vec::new());
        for (kind, bytes) in pieces {
            match kind {
                0 => {
                    lazy.push(bytes.clone());
                    whole.extend(bytes);
                }
                1 => {
                    lazy.push_zeros(bytes.len() as u64);
                    whole.extend(vec![0; bytes.len()]);
                }
                _ => {
                    let entries: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
                    whole.extend(entries.as_flattened());
                    lazy.push_entries(entries.len() as u64, entries.into_iter());
                }
            }
        }
        (lazy, whole)
    }

    proptest! {
        #[test]
        fn reads_what_was_put_whatever_is_asked_for(
            pieces in prop::collection::vec(piece(), 0..8),
            wants in prop::collection::vec(1usize..50, 1..60),
        ) {
            let (mut lazy, whole) = lazy_of(&pieces);
            let mut read = Vec::new();
            for want in wants.iter().cycle() {
                prop_assert_eq!(lazy.len(), (whole.len() - read.len()) as u64);
                if lazy.skip_zeros(*want as u64) {
                    read.extend(vec![0; *want]);
                    continue;
                }
                let left = whole.len() - read.len();
                let bytes = lazy.read(*want);
                prop_assert_eq!(bytes.len(), left.min(*want));
                if bytes.is_empty() {
                    break;
                }
                read.extend(bytes);
            }
            prop_assert_eq!(read, whole);
        }

        #[test]
        fn one_behind_the_other_is_both(
            first in prop::collection::vec(piece(), 0..5),
            second in prop::collection::vec(piece(), 0..5),
        ) {
            let ((mut lazy, mut whole), (behind, more)) = (lazy_of(&first), lazy_of(&second));
            lazy.append(behind);
            whole.extend(more);
            prop_assert_eq!(lazy.read_all(), whole);
        }
    }

    #[test]
    fn a_table_that_is_too_short_ends_everything() {
        let mut lazy = LazyBytes::default();
        lazy.push_entries(3, [[1u8, 2]; 2].into_iter());
        lazy.push(vec![9]);
        assert_eq!(lazy.len(), 7);
        assert_eq!(lazy.read(5), [1, 2, 1, 2].as_slice());
        assert!(lazy.is_empty() && lazy.read(5).is_empty());
    }
}
