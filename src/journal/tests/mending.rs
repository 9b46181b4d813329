//! Spoilt headers and back pointers of tags in a file that was being written.

use super::{
    super::{
        folder::Folder,
        index::{HEADER_BYTES, RECORD_BYTES},
    },
    heads::assert_settled,
    recovery::{copy, recovered, unseal},
    *,
};

/// A session of one file that was being written, its data, and where its tags stand in them.
type Killed = (Place, SessionId, Vec<Tag>, Vec<u8>, Vec<(usize, usize)>);

fn killed() -> Killed {
    let (place, tags) = (Place::new(1 << 20), stream());
    let (session, end) = place.record(&tags, 5);
    let samples = all_samples(&mut place.reader(session));
    let (data, _) = files(&place, session).remove(0);
    let prefix = data.len() - end as usize;
    let first = samples.iter().filter(|sample| sample.tag_len > 0);
    let spots = first.map(|s| (prefix + s.position as usize, s.tag_len as usize)).collect();
    unseal(&place, session, 1);
    (place, session, tags, data, spots)
}

/// The bytes around the payload of a tag.
fn around(at: usize, len: usize) -> impl Iterator<Item = usize> {
    (at..at + TAG_HEADER_LEN).chain(at + len - 4..at + len)
}

#[test]
fn any_flipped_bit_around_a_payload_is_put_right_by_the_index() {
    let (place, session, tags, data, spots) = killed();
    let index = files(&place, session).remove(0).1;
    let good = copy(&place, session);
    good.journal.recover(session).unwrap();
    let whole = files(&good, session);
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    for (at, len) in spots {
        for (byte, bit) in around(at, len).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let mut bad = data.clone();
            bad[byte] ^= 1 << bit;
            fs::write(folder.data(1), &bad).unwrap();
            fs::write(folder.index(1), &index).unwrap();
            let how = format!("tag at {at} byte {} bit {bit}", byte - at);
            let found = broken.journal.recover(session).unwrap();
            assert_eq!((found.cut_bytes, found.mended_tags), (0, 1), "{how}");
            assert!(files(&broken, session) == whole, "{how}");
        }
    }
    assert_settled(&broken, session, &tags, "all");
}

/// A tag that is spoilt in its payload, too, stays where it is, and a torn tail is cut all the same.
#[test]
fn a_spoilt_payload_does_not_end_the_file() {
    let (place, session, _, data, spots) = killed();
    let folder = place.journal.folder(session);
    let (at, len) = spots[4];
    let mut bad = data.clone();
    bad[at..at + len].fill(0);
    let (last, _) = spots[spots.len() - 1];
    bad[last..].fill(0);
    fs::write(folder.data(1), &bad).unwrap();
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.cut_bytes, found.mended_tags), ((data.len() - last) as u64, 1));
    let samples = all_samples(&mut place.reader(session));
    assert_eq!(samples.iter().filter(|sample| sample.tag_len > 0).count(), spots.len() - 1);
}

#[test]
fn without_an_index_what_can_be_proved_is_put_right() {
    let (place, session, tags, data, spots) = killed();
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    let (last, _) = spots[spots.len() - 1];
    for (at, len) in spots {
        // The time, and one kind in place of another, nothing contradicts; nor what a torn last back
        // pointer would be.
        let is_proved =
            |byte: &usize| !(at + 4..at + 8).contains(byte) && (at < last || *byte < at + len - 4);
        for (byte, bit) in
            around(at, len).filter(is_proved).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
        {
            let mut bad = data.clone();
            bad[byte] ^= 1 << bit;
            if byte == at && TagKind::from_byte(bad[byte]).is_some() {
                continue;
            }
            fs::write(folder.data(1), &bad).unwrap();
            let _ = fs::remove_file(folder.index(1));
            let how = format!("tag at {at} of {len} byte {} bit {bit}", byte - at);
            let found = broken.journal.recover(session).unwrap();
            assert_eq!((found.cut_bytes, found.mended_tags), (0, 1), "{how}");
            assert_eq!(recovered(&broken, session).0, tags, "{how}");
            assert!(fs::read(folder.data(1)).unwrap() == data, "{how}");
        }
    }
}

/// Nothing says how the file goes on behind them, though it does: what is cut off is kept.
#[test]
fn where_several_tags_are_spoilt_and_no_index_is_left_the_rest_is_put_aside() {
    let (place, session, tags, data, spots) = killed();
    let folder = place.journal.folder(session);
    let aside = Folder::aside(&folder.data(1));
    let (at, end) = (spots[8].0, spots[10].0 + spots[10].1);
    let mut bad = data.clone();
    bad[at..end].fill(0);
    // Killed between keeping it and cutting: it is kept again.
    for kept in [false, true] {
        fs::write(folder.data(1), &bad).unwrap();
        let _ = fs::remove_file(folder.index(1));
        assert_eq!(aside.exists(), kept);
        let found = place.journal.recover(session).unwrap();
        assert_eq!((found.cut_bytes, found.mended_tags), ((data.len() - at) as u64, 0));
        let rest = fs::read(&aside).unwrap();
        assert!(rest.ends_with(&bad[at..]), "{} bytes of {}", rest.len(), data.len() - at);
        let reader = place.reader(session);
        assert!(reader.is_cut_short().unwrap());
    }
    let left = recovered(&place, session).0;
    assert!(!left.is_empty() && tags.starts_with(&left));
    place.journal.release(session, None).unwrap();
    assert!(!folder.path.exists());
}

/// The index names tags that the data do not have, and not one behind the other.
#[test]
fn an_index_ahead_of_its_data_is_cut_with_them() {
    let (place, session, _, data, spots) = killed();
    let index = files(&place, session).remove(0).1;
    let folder = place.journal.folder(session);
    for kept in 1..spots.len() - 1 {
        // The record of the first tag that is cut is spoilt, too: others lead beyond the data.
        let record = HEADER_BYTES + kept * RECORD_BYTES;
        let mut bad = index.clone();
        bad[record..record + RECORD_BYTES].fill(0x55);
        fs::write(folder.index(1), &bad).unwrap();
        fs::write(folder.data(1), &data[..spots[kept].0 + 9]).unwrap();
        let found = place.journal.recover(session).unwrap();
        assert_eq!((found.cut_bytes, found.mended_tags), (9, 0), "{kept}");
        assert_eq!(fs::read(folder.data(1)).unwrap(), data[..spots[kept].0]);
    }
}
