//! The index beside a journal file: whatever stands in it, it is believed only if it fits the data,
//! and a reader that believes it does not panic.

use std::{fs, sync::OnceLock};

use super::journal_recovery::{Place, check, read_all};

const HEADER_BYTES: usize = 72;
/// Of this version's records, and of those before.
const RECORD_BYTES: [usize; 2] = [52, 48];

/// The data file that the index is beside: of the seeds' first journal.
const DATA: &[u8] = include_bytes!("../../journal.flv");

/// First byte: its lowest bit says that the checksums are to be made right, so that what they
/// protect is reached. The rest: the index.
pub fn run(mut data: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(1 << 20));
    let is_forged = super::first(&mut data) & 1 == 1;
    let mut index = data.to_vec();
    if is_forged {
        forge(&mut index);
    }
    PLACE.with(|place| {
        let expected = expected(place);
        place.clear();
        fs::write(place.folder.join("00000001.flv"), DATA).unwrap();
        fs::write(place.folder.join("00000001.idx"), &index).unwrap();
        // As it was left, before anything is repaired.
        read_all(place, false);
        check(place, false);
        // Only an index with the right checksums can change what is read.
        if !is_forged && !has_valid_header(&index) {
            assert_eq!(read_all(place, true), *expected);
        }
    });
}

/// The tags of the data file, by an index made anew.
fn expected(place: &Place) -> &'static Vec<Vec<u8>> {
    static TAGS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    TAGS.get_or_init(|| {
        place.clear();
        fs::write(place.folder.join("00000001.flv"), DATA).unwrap();
        place.journal.recover(super::journal_recovery::SESSION).unwrap();
        let tags = read_all(place, true);
        assert!(tags.len() > 5);
        tags
    })
}

fn has_valid_header(index: &[u8]) -> bool {
    index.get(..HEADER_BYTES).is_some_and(|header| {
        let (covered, crc) = header.split_at(HEADER_BYTES - 4);
        crc32fast::hash(covered).to_le_bytes() == *crc
    })
}

/// Makes every checksum right.
fn forge(index: &mut [u8]) {
    let (header, records) = index.split_at_mut(HEADER_BYTES.min(index.len()));
    let is_old = header.get(8) == Some(&1);
    let record_bytes = RECORD_BYTES[usize::from(is_old)];
    for block in [header].into_iter().chain(records.chunks_exact_mut(record_bytes)) {
        if let Some((covered, crc)) = block.split_last_chunk_mut::<4>() {
            *crc = crc32fast::hash(covered).to_le_bytes();
        }
    }
}
