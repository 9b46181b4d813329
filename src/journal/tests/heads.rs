//! Files whose beginning is spoilt: flipped bytes, all of it gone, with and without what else there
//! is to go by.

use super::{
    recovery::{copy, recovered, unseal},
    *,
};
use crate::journal::{
    prefix::{Prefix, Style, encode},
    private::Head,
};

/// A session in several files, whose last one was being written; its tags.
fn killed() -> (Place, SessionId, Vec<Tag>) {
    let place = Place::new(100);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let last = *place.journal.folder(session).numbers().unwrap().last().unwrap();
    assert!(last > 4);
    unseal(&place, session, last);
    (place, session, tags)
}

/// The first file, one in the middle, and the last.
fn three(place: &Place, session: SessionId) -> [u32; 3] {
    let numbers = place.journal.folder(session).numbers().unwrap();
    [numbers[0], numbers[numbers.len() / 2], numbers[numbers.len() - 1]]
}

fn prefix_len(place: &Place, session: SessionId, number: u32) -> usize {
    let path = place.journal.folder(session).data(number);
    Prefix::load(&path, session, number).unwrap().len as usize
}

/// Puts the files back that another place has.
fn restore(place: &Place, session: SessionId, whole: &[(Vec<u8>, Vec<u8>)]) {
    let folder = place.journal.folder(session);
    for (number, (data, index)) in (1..).zip(whole) {
        fs::write(folder.data(number), data).unwrap();
        fs::write(folder.index(number), index).unwrap();
    }
}

/// Writes the prefixes as earlier versions did.
pub fn make_plain(place: &Place, session: SessionId) {
    let folder = place.journal.folder(session);
    for number in folder.numbers().unwrap() {
        let prefix = Prefix::load(&folder.data(number), session, number).unwrap();
        let Head { head, .. } = &prefix.head;
        let plain = encode(session, number, &prefix.opening(), head, Style::Plain);
        let data = fs::read(folder.data(number)).unwrap();
        let body = &data[prefix.len as usize..];
        fs::remove_file(folder.index(number)).unwrap();
        fs::write(folder.data(number), [&plain, body].concat()).unwrap();
    }
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.mended, found.set_aside), (0, 0));
    unseal(place, session, *folder.numbers().unwrap().last().unwrap());
}

/// Nothing is left to be done, and what is there is `tags`.
pub fn assert_settled(place: &Place, session: SessionId, tags: &[Tag], how: &str) {
    assert_eq!(recovered(place, session).0, tags, "{how}");
    let again = place.journal.recover(session).unwrap();
    assert_eq!((again.mended, again.rebuilt, again.set_aside), (0, 0, 0), "{how}");
}

#[test]
fn any_flipped_byte_in_a_head_is_put_right() {
    let (place, session, tags) = killed();
    let spoilt = files(&place, session);
    let good = place.journal.recover(session).unwrap();
    let whole = files(&place, session);
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    for number in three(&place, session) {
        let data = &spoilt[number as usize - 1].0;
        for at in 0..prefix_len(&place, session, number) {
            let flip = [0x01, 0x80, 0xff][at % 3];
            restore(&broken, session, &spoilt);
            let mut bad = data.clone();
            bad[at] ^= flip;
            fs::write(folder.data(number), &bad).unwrap();
            assert_eq!(broken.journal.newer_format(session).unwrap(), None);
            // Before it is put right it can be read already.
            let prefix = Prefix::load(&folder.data(number), session, number).unwrap();
            assert_eq!(prefix.head.head, HEAD);
            let found = broken.journal.recover(session).unwrap();
            let how = format!("file {number} byte {at} {flip:#x}");
            assert_eq!((found.mended, found.set_aside), (1, 0), "{how}");
            assert_eq!((&found.progress, &found.head), (&good.progress, &good.head), "{how}");
            assert!(files(&broken, session) == whole, "{how}");
        }
    }
    assert_settled(&broken, session, &tags, "all");
}

#[test]
fn a_head_of_which_nothing_is_left_is_made_again_from_what_is_beside_it() {
    for is_plain in [false, true] {
        let (place, session, tags) = killed();
        if is_plain {
            make_plain(&place, session);
        }
        let spoilt = files(&place, session);
        let lengths: Vec<usize> =
            (1..=spoilt.len() as u32).map(|number| prefix_len(&place, session, number)).collect();
        place.journal.recover(session).unwrap();
        let meaning = recovered(&place, session).1;
        let whole = files(&place, session);
        for number in three(&place, session) {
            for has_index in [true, false] {
                let broken = copy(&place, session);
                restore(&broken, session, &spoilt);
                let folder = broken.journal.folder(session);
                let mut bad = spoilt[number as usize - 1].0.clone();
                bad[..lengths[number as usize - 1]].fill(0);
                fs::write(folder.data(number), &bad).unwrap();
                if !has_index {
                    fs::remove_file(folder.index(number)).unwrap();
                }
                let how = format!("plain {is_plain} file {number} index {has_index}");
                let found = broken.journal.recover(session).unwrap();
                if found.set_aside > 0 {
                    // Where the tags of a last file begin, nothing says then.
                    assert!(!has_index && number as usize == spoilt.len(), "{how}");
                    continue;
                }
                assert_eq!((found.mended, found.head.as_deref()), (1, Some(HEAD)), "{how}");
                assert_eq!(recovered(&broken, session).1, meaning, "{how}");
                // Only the moment of its first tag may be another: that of the last clock mark.
                if has_index {
                    let lengths = |files: &[(Vec<u8>, Vec<u8>)]| -> Vec<_> {
                        files.iter().map(|(data, _)| data.len()).collect()
                    };
                    assert_eq!(lengths(&files(&broken, session)), lengths(&whole), "{how}");
                }
                assert_settled(&broken, session, &tags, &how);
            }
        }
    }
}

#[test]
fn flipped_bytes_in_the_heads_of_earlier_versions_alter_no_tag() {
    let (place, session, tags) = killed();
    make_plain(&place, session);
    let spoilt = files(&place, session);
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    for number in three(&place, session) {
        let data = &spoilt[number as usize - 1].0;
        // What is repeated has no checksum there.
        let head = 13 + u32::from_be_bytes([0, data[14], data[15], data[16]]) as usize + 15;
        for at in 0..head {
            let flip = [0x01, 0x80][at % 2];
            restore(&broken, session, &spoilt);
            let mut bad = data.clone();
            bad[at] ^= flip;
            fs::write(folder.data(number), &bad).unwrap();
            let how = format!("file {number} byte {at} {flip:#x}");
            if broken.journal.newer_format(session).unwrap().is_some() {
                continue;
            }
            let found = broken.journal.recover(session).unwrap();
            assert_eq!(found.set_aside, 0, "{how}");
            assert_settled(&broken, session, &tags, &how);
        }
    }
}

/// With the early files released, the first that is kept has no other before it.
#[test]
fn a_head_is_made_again_without_the_file_before() {
    for is_plain in [false, true] {
        let (place, session, _) = killed();
        if is_plain {
            make_plain(&place, session);
        }
        let numbers = place.journal.folder(session).numbers().unwrap();
        // The last file has no clock mark, so nothing would say when it began.
        for first in &numbers[1..numbers.len() - 1] {
            let broken = copy(&place, session);
            let folder = broken.journal.folder(session);
            for gone in numbers.iter().filter(|number| *number < first) {
                fs::remove_file(folder.data(*gone)).unwrap();
                fs::remove_file(folder.index(*gone)).unwrap();
            }
            let good = copy(&broken, session);
            good.journal.recover(session).unwrap();
            let mut bad = fs::read(folder.data(*first)).unwrap();
            // The head tag and no more, once or twice.
            let mark = b"{\"head\":{";
            let marks: Vec<usize> =
                (0..bad.len()).filter(|at| bad[*at..].starts_with(mark)).collect();
            assert_eq!(marks.len(), if is_plain { 1 } else { 2 });
            for at in marks {
                bad[at + 3] = b'?';
            }
            fs::write(folder.data(*first), &bad).unwrap();
            let found = broken.journal.recover_as(session, Some(HEAD)).unwrap();
            let how = format!("plain {is_plain} file {first}");
            assert_eq!((found.mended, found.set_aside), (1, 0), "{how}");
            assert_eq!(recovered(&broken, session), recovered(&good, session), "{how}");
            let configs = |place: &Place| {
                let mut reader = place.reader(session);
                let start = reader.start();
                (reader.configs(start, u64::MAX).unwrap(), reader.metadata(start).unwrap())
            };
            let used: Vec<u32> =
                recovered(&good, session).1.iter().map(|sample| sample.config).collect();
            let (found, known) = (configs(&broken), configs(&good));
            for (ordinal, config) in known.0.iter().filter(|(nth, _)| used.contains(nth)) {
                assert_eq!(found.0.get(ordinal), Some(config), "{how}");
            }
            assert_eq!(found.1, known.1, "{how}");
        }
    }
}

/// A spoilt head before spoilt tags: what is behind them is not cut off but kept for a person.
#[test]
fn where_the_damage_goes_on_behind_the_head_no_byte_is_given_up() {
    let (place, session, _) = killed();
    let folder = place.journal.folder(session);
    let end = prefix_len(&place, session, 3);
    let mut bytes = fs::read(folder.data(3)).unwrap();
    bytes[..end + 2].fill(0);
    fs::write(folder.data(3), &bytes).unwrap();
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.mended, found.set_aside), (0, 1));
    assert_eq!(fs::read(folder.path.join("00000003.flv.damaged")).unwrap(), bytes);
}

#[test]
fn what_nothing_says_is_not_made_up() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let folder = place.journal.folder(session);
    let len = prefix_len(&place, session, 1);
    let mut bytes = fs::read(folder.data(1)).unwrap();
    bytes[..len].fill(0xff);
    fs::write(folder.data(1), &bytes).unwrap();
    assert_eq!(place.journal.head(session).unwrap(), None);
    let told = copy(&place, session);
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.head, found.set_aside, found.mended), (None, 1, 0));
    let aside = folder.path.join("00000001.flv.damaged");
    assert_eq!(fs::read(aside).unwrap(), bytes, "not a byte of it is lost");
    // Somebody else knows whose it is.
    let found = told.journal.recover_as(session, Some(HEAD)).unwrap();
    assert_eq!((found.head.as_deref(), found.set_aside, found.mended), (Some(HEAD), 0, 1));
    assert_settled(&told, session, &tags, "told");
}

#[test]
fn a_repeated_header_that_is_spoilt_twice_is_taken_from_elsewhere() {
    let (place, session, tags) = killed();
    place.journal.recover(session).unwrap();
    let whole = files(&place, session);
    for number in &place.journal.folder(session).numbers().unwrap()[2..] {
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        let mut bad = whole[*number as usize - 1].0.clone();
        let repeated = b"\xaf\x00\x12";
        let end = prefix_len(&place, session, *number);
        let spots: Vec<usize> =
            (0..end - 3).filter(|at| bad[*at..].starts_with(repeated)).collect();
        for at in &spots {
            bad[at + 2] ^= 0x40;
        }
        fs::write(folder.data(*number), &bad).unwrap();
        let found = broken.journal.recover(session).unwrap();
        assert_eq!((found.mended, found.set_aside), (u32::from(!spots.is_empty()), 0));
        assert!(files(&broken, session) == whole, "file {number}");
        assert_settled(&broken, session, &tags, "repeated");
    }
}
