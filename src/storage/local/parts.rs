//! The part log of an upload: which parts are on disk, in full and synced.
//!
//! Appended and synced after a part's bytes are synced. A record is 32 bytes of text,
//! `NNNNNNNNNN SSSSSSSSSSSSSSSSSSSS\n`: part number and size. The last record of a number counts;
//! size 0 says that the part is being written anew. A crash may leave the beginning of a record or a
//! run of zeros, and the next record then follows on the same line: hence only the last 31 bytes of
//! a line are looked at.

use std::collections::BTreeMap;

/// Bytes of a record without its line feed.
const RECORD: usize = 31;

/// Most bytes of a log that are read: every part, each written several times.
pub(super) const MAX_LOG_BYTES: u64 = 8 << 20;

/// One record.
pub(super) fn encode_record(number: u32, size: u64) -> Vec<u8> {
    format!("{number:010} {size:020}\n").into_bytes()
}

/// Sizes of the complete parts by number.
pub(super) fn decode_log(log: &[u8]) -> BTreeMap<u32, u64> {
    let mut parts = BTreeMap::new();
    // What follows the last line feed is no record yet.
    let Some(end) = log.iter().rposition(|&b| b == b'\n') else { return parts };
    for line in log[..end].split(|&b| b == b'\n') {
        match line.last_chunk::<RECORD>().and_then(decode_record) {
            Some((number, 0)) => {
                parts.remove(&number);
            }
            Some((number, size)) => {
                parts.insert(number, size);
            }
            None => {}
        }
    }
    parts
}

fn decode_record(record: &[u8; RECORD]) -> Option<(u32, u64)> {
    let (number, size) = std::str::from_utf8(record).ok()?.split_once(' ')?;
    let is_number = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(number, 10) || !is_number(size, 20) {
        return None;
    }
    let number = number.parse().ok().filter(|&n| n > 0)?;
    Some((number, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_record_of_a_number_counts() {
        let log = [
            encode_record(2, 8),
            encode_record(1, 8),
            encode_record(2, 0),
            encode_record(3, 5),
            encode_record(3, 6),
        ];
        assert_eq!(decode_log(&log.concat()), BTreeMap::from([(1, 8), (3, 6)]));
        assert_eq!(encode_record(u32::MAX, u64::MAX).len(), RECORD + 1);
    }

    proptest! {
        #[test]
        fn a_torn_record_is_ignored_and_hurts_no_other(
            before in prop::collection::vec((1u32..9, 1u64..99), 0..6),
            torn in 0usize..=RECORD,
            zeros in 0usize..40,
            after in prop::collection::vec((1u32..9, 1u64..99), 0..6),
        ) {
            let mut log = Vec::new();
            before.iter().for_each(|&(n, size)| log.extend(encode_record(n, size)));
            log.extend(&encode_record(7, 7777)[..torn]);
            log.extend(vec![0; zeros]);
            after.iter().for_each(|&(n, size)| log.extend(encode_record(n, size)));
            prop_assert_eq!(decode_log(&log), before.into_iter().chain(after).collect());
        }

        #[test]
        fn any_bytes_are_survived(log: Vec<u8>) {
            prop_assert!(decode_log(&log).len() <= log.len());
        }
    }
}
