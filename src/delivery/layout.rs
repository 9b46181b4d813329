//! How an object that is stored while it grows is cut into parts, with room for a head that is known
//! only at its end.
//!
//! ```text
//! file:   | head, padding         | body ...
//!         0                       reserve
//! parts:  | 1 | ... | leading     | leading + 1 | leading + 2 | ... | last |
//! ```
//!
//! All parts but the last have one size, and the first ones, which the head reaches into, are stored
//! last; those between, as zeros, before. Pure arithmetic.

use std::ops::Range;

use crate::{domain::container::Container, media::flv::RESERVE_MAX_BYTES};

use super::upload;

/// An upload in parts begins when so many of them wait: what is shorter is stored at its end.
pub(super) const PARTS_WAITING: u64 = 4;
/// The least that is kept free for a head.
const RESERVE_MIN: u64 = 64 << 10;
/// The most: a head that needs more goes behind the media.
const RESERVE_MAX: u64 = 256 << 20;
/// About so much of a head does not grow with the file.
const HEAD_FIXED: u64 = 1 << 10;
/// What a head may grow by when its padding is written.
const PADDING: u64 = 1 << 10;

/// A part of a file that still grows is planned to be no larger: where media time has hardly passed, as
/// with a clock that stands still, the whole would be thought to be as much longer. Of so large parts
/// an object has more than a terabyte; should it be longer, its upload is begun anew.
const PART_MAX: u64 = 128 << 20;

/// What of a file is known when its upload begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Bytes of the head, were this all.
    pub head_len: u64,
    /// Bytes of the body so far.
    pub body_len: u64,
    /// Media time so far, milliseconds.
    pub duration_ms: i64,
    /// The shortest that the whole file may become is this, the longest `interval_ms`.
    pub is_final: bool,
}

/// Where the parts of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of every part but the last.
    pub part_size: u64,
    /// Bytes before the body.
    pub reserve: u64,
}

impl Layout {
    /// For a file that will be as long as `interval_ms` at most. `part_size` is the configured one.
    pub fn plan(
        container: Container,
        measured: Measured,
        interval_ms: i64,
        part_size: u64,
    ) -> Self {
        let Measured { head_len, body_len, duration_ms, is_final } = measured;
        let so_far = u128::from(duration_ms.max(1).unsigned_abs());
        let whole = u128::from(interval_ms.unsigned_abs()).max(so_far);
        let scaled = |bytes: u64| -> u64 {
            let grown = u128::from(bytes) * whole / so_far;
            u64::try_from(grown + grown / 2).unwrap_or(u64::MAX)
        };
        let (head, body) = match is_final {
            true => (head_len, body_len),
            false => {
                let growing = scaled(head_len.saturating_sub(HEAD_FIXED));
                (growing.saturating_add(HEAD_FIXED).max(RESERVE_MIN), scaled(body_len))
            }
        };
        let reserve = match container {
            // Its frames follow each other without a head.
            Container::Aac | Container::Hls => 0,
            Container::Flv => head.saturating_add(PADDING).min(RESERVE_MAX_BYTES),
            Container::Mp4 => head.saturating_add(PADDING).min(RESERVE_MAX),
        };
        let needed = upload::part_size(part_size, body.saturating_add(reserve));
        let part_size = match is_final {
            true => needed,
            false => needed.min(PART_MAX.max(part_size)),
        };
        Self { part_size, reserve }
    }

    /// How many parts the head reaches into: those that are stored last.
    pub fn leading(self) -> u32 {
        u32::try_from(self.reserve.div_ceil(self.part_size.max(1))).unwrap_or(u32::MAX)
    }

    /// Those of them that are nothing but padding while the head is small: all but the first, which
    /// it begins in, and the last, which the body begins in.
    pub fn padding(self) -> Range<u32> {
        2..self.leading().max(2)
    }

    /// Bytes of the body that are in those parts.
    pub fn lead(self) -> u64 {
        (u64::from(self.leading()) * self.part_size).saturating_sub(self.reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn measured(head_len: u64, body_len: u64, duration_ms: i64) -> Measured {
        Measured { head_len, body_len, duration_ms, is_final: false }
    }

    #[test]
    fn the_head_of_the_whole_file_has_room_and_half_as_much_again() {
        let ten_s = measured(10_000, 32 * MIB, 10_000);
        let layout = Layout::plan(Container::Mp4, ten_s, 7_200_000, 8 * MIB);
        assert_eq!(layout.reserve, (10_000 - HEAD_FIXED) * 720 * 3 / 2 + HEAD_FIXED + PADDING);
        assert_eq!(layout.part_size, 8 * MIB);
        assert_eq!((layout.leading(), layout.lead()), (2, 16 * MIB - layout.reserve));
        // No head, no part that waits for it.
        let aac = Layout::plan(Container::Aac, measured(0, 32 * MIB, 10_000), 7_200_000, 8 * MIB);
        assert_eq!((aac.reserve, aac.leading(), aac.lead()), (0, 0, 0));
        let flv = Layout::plan(Container::Flv, measured(900, 32 * MIB, 10_000), 60_000, 8 * MIB);
        assert_eq!((flv.reserve, flv.leading()), (RESERVE_MIN + PADDING, 1));
    }

    #[test]
    fn parts_are_as_large_as_the_longest_file_needs() {
        let fast = measured(10_000, 100 * MIB, 10_000);
        let layout = Layout::plan(Container::Mp4, fast, 36_000_000, 5 * MIB);
        assert_eq!(
            layout.part_size,
            (100 * MIB * 3600 * 3 / 2 + layout.reserve).div_ceil(9000).div_ceil(MIB) * MIB
        );
        let whole = Measured { is_final: true, ..fast };
        let layout = Layout::plan(Container::Mp4, whole, 36_000_000, 5 * MIB);
        assert_eq!(layout, Layout { part_size: 5 * MIB, reserve: 10_000 + PADDING });
    }

    #[test]
    fn nothing_overflows() {
        for container in [Container::Mp4, Container::Flv, Container::Aac] {
            let most = measured(u64::MAX, u64::MAX, 1);
            let layout = Layout::plan(container, most, i64::MAX, MIB);
            assert!(layout.reserve <= RESERVE_MAX && layout.lead() < layout.part_size);
            assert_eq!(layout.part_size, PART_MAX);
        }
    }
}
