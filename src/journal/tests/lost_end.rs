//! The end of a journal that a disk has lost though an index knows of it.

use super::{
    super::index::{HEADER_BYTES, IndexHeader, RECORD_BYTES, Seal},
    broken_disk::BrokenDisk,
    recovery::{copy, recovered, unseal},
    *,
};
use crate::journal::{folder::Folder, left::Left};

/// Names of what was put aside.
pub(super) fn aside(place: &Place, session: SessionId) -> Vec<String> {
    let entries = fs::read_dir(place.folder(session)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".damaged")).collect();
    names.sort();
    names
}

/// Recovers twice: the second time there is nothing new to say. Gives how many tags are known to
/// be lost, and whether readers are told that something is.
pub(super) fn recover(place: &Place, session: SessionId) -> (u64, bool) {
    let found = place.journal.recover(session).unwrap();
    let is_told = place.reader(session).is_cut_short().unwrap();
    let (names, whole) = (aside(place, session), files(place, session));
    let again = place.journal.recover(session).unwrap();
    assert_eq!((again.lost_tags, again.rebuilt, again.cut_bytes), (0, 0, 0));
    assert_eq!(again.progress, found.progress);
    assert_eq!(place.reader(session).is_cut_short().unwrap(), is_told);
    assert!((aside(place, session), files(place, session)) == (names, whole));
    (found.lost_tags, is_told)
}

fn header_of(index: &[u8]) -> IndexHeader {
    IndexHeader::decode(index.first_chunk().unwrap()).unwrap()
}

/// A session of several files, each of several tags.
pub(super) fn several() -> (Place, SessionId, Vec<Tag>) {
    let place = Place::new(150);
    let tags: Vec<Tag> = (0..20).map(|nth| keyframe(nth * 40, 20)).collect();
    let (session, _) = place.record(&tags, 1);
    assert!(files(&place, session).len() > 4);
    (place, session, tags)
}

#[test]
fn an_end_that_is_gone_is_told() {
    let (place, session, tags) = several();
    let last = files(&place, session).len() as u32;
    type Hurt = fn(&Folder, u32);
    let hurts: [(&str, Hurt); 8] = [
        ("misses some bytes", |folder, last| cut(folder, last, |len| len - 60)),
        ("misses all its tags", |folder, last| {
            let prefix = header_of(&fs::read(folder.index(last)).unwrap()).prefix_len;
            cut(folder, last, |_| u64::from(prefix));
        }),
        ("ends in its head", |folder, last| cut(folder, last, |_| 100)),
        ("is empty", |folder, last| cut(folder, last, |_| 0)),
        ("is gone", |folder, last| fs::remove_file(folder.data(last)).unwrap()),
        ("is gone with the one before", |folder, last| {
            fs::remove_file(folder.data(last)).unwrap();
            fs::remove_file(folder.data(last - 1)).unwrap();
        }),
        ("ends in zeros", |folder, last| {
            let path = folder.data(last);
            let mut bytes = fs::read(&path).unwrap();
            let from = bytes.len() - 60;
            bytes[from..].fill(0);
            fs::write(path, bytes).unwrap();
        }),
        ("is empty, the one before shorter", |folder, last| {
            cut(folder, last, |_| 0);
            cut(folder, last - 1, |len| len - 60);
        }),
    ];
    for (how, hurt) in hurts {
        for is_sealed in [true, false] {
            // Zeros in a file that was synced are no end that is gone.
            if is_sealed && how == "ends in zeros" {
                continue;
            }
            let broken = copy(&place, session);
            if !is_sealed {
                unseal(&broken, session, last);
                unseal(&broken, session, last - 1);
            }
            let folder = broken.journal.folder(session);
            hurt(&folder, last);
            let (lost, is_told) = recover(&broken, session);
            let left = recovered(&broken, session).0;
            assert_eq!(left, tags[..left.len()]);
            assert!(left.len() < tags.len() && left.len() > 4, "{how}");
            assert_eq!((lost as usize, is_told), (tags.len() - left.len(), true), "{how}");
            assert!(broken.journal.release(session, None).unwrap() > 0);
            assert!(!folder.path.exists(), "{how}");
        }
    }
}

fn cut(folder: &Folder, number: u32, len: impl Fn(u64) -> u64) {
    let file = fs::OpenOptions::new().write(true).open(folder.data(number)).unwrap();
    file.set_len(len(file.metadata().unwrap().len())).unwrap();
}

/// The process dies in the middle of a write: no index knows the tag.
#[test]
fn a_tag_that_was_being_written_is_not_told() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, end) = place.record(&tags, 5);
    let samples = all_samples(&mut place.reader(session));
    let (data, _) = files(&place, session).remove(0);
    let prefix = data.len() - end as usize;
    unseal(&place, session, 1);
    let folder = place.journal.folder(session);
    let index = fs::read(folder.index(1)).unwrap();
    for (nth, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.tag_len > 0) {
        let known = HEADER_BYTES + nth * RECORD_BYTES;
        let from = prefix + sample.position as usize;
        let len = sample.tag_len as usize;
        for (torn, more) in [(0, 0), (1, 0), (len - 1, 0), (len, 0), (len, RECORD_BYTES - 1)] {
            fs::write(folder.data(1), &data[..from + torn]).unwrap();
            fs::write(folder.index(1), &index[..known + more]).unwrap();
            assert_eq!(recover(&place, session), (0, false), "{torn} bytes of tag {nth}");
        }
    }
    assert_eq!(aside(&place, session), [""; 0]);
}

#[test]
fn of_a_journal_that_is_whole_nothing_is_told() {
    let (place, session, tags) = several();
    let last = files(&place, session).len() as u32;
    let folder = place.journal.folder(session);
    let check = |how: &str| {
        assert_eq!(recover(&place, session), (0, false), "{how}");
        assert_eq!(recovered(&place, session).0, tags, "{how}");
        assert_eq!(aside(&place, session), [""; 0], "{how}");
    };
    check("sealed");
    unseal(&place, session, last);
    check("not closed");
    fs::remove_file(folder.index(last)).unwrap();
    check("without its index");
    // A file that had an index already when the process died.
    let end = place.reader(session).end().unwrap();
    let next = folder.index(last + 1);
    let begun = IndexHeader {
        number: last + 1,
        base: end,
        seal: None,
        ..header_of(&fs::read(folder.index(last)).unwrap())
    };
    fs::write(&next, begun.encode()).unwrap();
    check("with a file that was to begin");
    assert!(!next.exists());
    // The same where the end before it is gone, and the index of that: how much, nothing says.
    fs::write(&next, IndexHeader { base: end + 1000, ..begun.clone() }.encode()).unwrap();
    let broken = copy(&place, session);
    assert_eq!(recover(&broken, session), (0, true));
    // Of somebody else, or not whole, it says nothing.
    let foreign = IndexHeader { session: SessionId::new(0), base: end + 1000, ..begun };
    fs::write(&next, foreign.encode()).unwrap();
    check("with an index of another session");
    fs::write(&next, [0; HEADER_BYTES]).unwrap();
    check("with an index of zeros");
}

/// Marks of the clock and notes are the journal's own.
#[test]
fn what_was_not_sent_is_not_lost() {
    let (place, session, tags) = several();
    let last = files(&place, session).len() as u32;
    let folder = place.journal.folder(session);
    // The note that the writer ends with.
    cut(&folder, last, |len| len - 3);
    assert_eq!(recover(&place, session), (0, false));
    assert_eq!((recovered(&place, session).0, aside(&place, session)), (tags, vec![]));
}

/// An index that is not whole tells of what it still knows.
#[test]
fn a_torn_index_says_what_it_can() {
    let (place, session, tags) = several();
    let last = files(&place, session).len() as u32;
    let folder = place.journal.folder(session);
    let index = fs::read(folder.index(last)).unwrap();
    cut(&folder, last, |_| header_of(&index).prefix_len.into());
    let frames = tags.len() - recovered_after(&place, session);
    assert!(frames > 1);
    let records = (index.len() - HEADER_BYTES) / RECORD_BYTES;
    for (spoilt, is_last) in (0..records).map(|nth| (nth, nth == records - 1)) {
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        let mut bad = index.clone();
        let at = HEADER_BYTES + spoilt * RECORD_BYTES;
        bad[at..at + RECORD_BYTES].fill(0);
        fs::write(folder.index(last), &bad).unwrap();
        let (lost, is_told) = recover(&broken, session);
        assert!(is_told && lost as usize + 1 >= frames, "{spoilt} {lost}");
        assert!(!is_last || lost as usize == frames, "the last one is a note");
    }
    // Without a record, and without an index, nobody knows of anything.
    for nothing in [&index[..HEADER_BYTES], &index[..0]] {
        let broken = copy(&place, session);
        fs::write(broken.journal.folder(session).index(last), nothing).unwrap();
        assert_eq!(recover(&broken, session), (0, false));
    }
}

/// How many tags are left, in a copy.
fn recovered_after(place: &Place, session: SessionId) -> usize {
    let broken = copy(place, session);
    broken.journal.recover(session).unwrap();
    recovered(&broken, session).0.len()
}

#[test]
fn what_a_broken_off_release_leaves_is_not_told() {
    let (place, session, tags) = several();
    let folder = place.journal.folder(session);
    fs::remove_file(folder.data(1)).unwrap();
    assert_eq!(recover(&place, session), (0, false));
    assert!(!folder.index(1).exists());
    let left = recovered(&place, session).0;
    assert_eq!(left, tags[tags.len() - left.len()..]);
    // One of all: an index goes before its data.
    let numbers = folder.numbers().unwrap();
    for gone in 0..=2 * numbers.len() {
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        let paths = numbers.iter().flat_map(|n| [folder.index(*n), folder.data(*n)]);
        paths.take(gone).for_each(|path| fs::remove_file(path).unwrap());
        let found = broken.journal.recover(session).unwrap();
        assert_eq!((found.head.is_some(), found.lost_tags), (gone < 2 * numbers.len(), 0));
        assert_eq!(aside(&broken, session), [""; 0]);
    }
}

/// Not even of the only file is it nothing that it is empty, or gone.
#[test]
fn all_the_data_are_gone_and_told() {
    type Hurt = fn(&Folder);
    let hurts: [(Hurt, &[&str]); 4] = [
        (|folder| cut(folder, 1, |_| 0), &["00000001.flv.damaged"]),
        (|folder| cut(folder, 1, |_| 100), &["00000001.flv.damaged"]),
        (
            |folder| {
                let len = fs::metadata(folder.data(1)).unwrap().len();
                fs::write(folder.data(1), vec![0; len as usize]).unwrap();
            },
            &["00000001.flv.damaged"],
        ),
        (|folder| fs::remove_file(folder.data(1)).unwrap(), &[]),
    ];
    for (hurt, kept) in hurts {
        let place = Place::new(1 << 20);
        let tags = stream();
        let (session, _) = place.record(&tags, 5);
        let whole = files(&place, session).remove(0).0;
        let folder = place.journal.folder(session);
        assert_eq!(place.journal.left(session).unwrap(), Left::Data);
        hurt(&folder);
        for lost in [tags.len() as u64, 0] {
            let found = place.journal.recover(session).unwrap();
            assert_eq!((found.head, found.lost_tags), (None, lost));
            assert_eq!(aside(&place, session), [kept, &["00000001.idx.damaged"]].concat());
            assert_eq!(place.journal.left(session).unwrap(), Left::Empty);
        }
        // Whoever has the file still brings it back.
        for name in kept {
            fs::remove_file(folder.path.join(name)).unwrap();
        }
        let torn = &whole[..whole.len() / 2];
        for (back, is_all) in [(torn, false), (&whole, true)] {
            fs::write(folder.data(1), back).unwrap();
            assert!(place.journal.recover(session).unwrap().head.is_some());
            assert_eq!(place.reader(session).is_cut_short().unwrap(), !is_all);
            assert_eq!(recovered(&place, session).0 == tags, is_all);
        }
        assert_eq!(aside(&place, session), [""; 0]);
    }
}

/// A file of another session is none of this one's, whatever is known of it.
#[test]
fn the_file_of_another_session_is_put_aside() {
    let (place, session, tags) = several();
    let numbers = place.journal.folder(session).numbers().unwrap();
    for number in [numbers[0], numbers[2], numbers[numbers.len() - 1]] {
        for has_index in [true, false] {
            let broken = copy(&place, session);
            let (other, _) = broken.record(&[inter(0, 20)], 1);
            let [folder, from] = [session, other].map(|session| broken.journal.folder(session));
            fs::copy(from.data(1), folder.data(number)).unwrap();
            if !has_index {
                fs::remove_file(folder.index(number)).unwrap();
            }
            let found = broken.journal.recover(session).unwrap();
            assert_eq!((found.set_aside, found.mended), (1, 0), "{number}");
            assert!(Folder::aside(&folder.data(number)).exists());
            let left = recovered(&broken, session).0;
            assert!(left.len() < tags.len() && left.iter().all(|tag| tags.contains(tag)));
        }
    }
}

/// What the index has of a write that failed is taken back before the data are: whatever happens in
/// between, it never knows of more.
#[test]
fn a_write_that_is_taken_back_is_not_told() {
    for room in [RECORD_BYTES as u64, 2 * RECORD_BYTES as u64 + 1] {
        for cuts in 0..3 {
            let disk = BrokenDisk::default();
            let place = Place::on(Arc::new(disk.clone()), 1 << 20);
            let (session, mut writer) = place.begin();
            let tags: Vec<Tag> = (0..9).map(|nth| inter(nth * 40, 20)).collect();
            let (early, late) = tags.split_at(4);
            place.runtime.block_on(async {
                early.iter().for_each(|tag| writer.push(tag, WALL_MS));
                writer.flush().await.unwrap();
                late.iter().for_each(|tag| writer.push(tag, WALL_MS));
                // All of the data, and a part of the index.
                let bytes: usize = late.iter().map(|tag| tag.payload.len() + 15).sum();
                disk.set(|script| {
                    (script.room, script.cuts) = (Some(bytes as u64 + room), Some(cuts));
                });
                let flush = tokio::time::timeout(Duration::from_millis(50), writer.flush());
                assert!(flush.await.is_err());
            });
            drop(writer);
            assert!(disk.failures() > 0);
            while matches!(
                place.journal.recover(session),
                Err(crate::journal::JournalError::Live(_))
            ) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(recover(&place, session), (0, false), "{room} {cuts}");
            assert_eq!(aside(&place, session), [""; 0], "{room} {cuts}");
            let left = recovered(&place, session).0;
            assert!(left.len() >= early.len() && tags.starts_with(&left));
        }
    }
}

/// The same by what the index says of its own length: more than it has, or less.
#[test]
fn a_seal_is_not_needed() {
    let (place, session, tags) = several();
    let last = files(&place, session).len() as u32;
    let folder = place.journal.folder(session);
    let index = fs::read(folder.index(last)).unwrap();
    cut(&folder, last, |len| len - 60);
    let seal = Some(Seal { body_len: 1, records: 0 });
    let lying = IndexHeader { seal, ..header_of(&index) };
    fs::write(folder.index(last), [&lying.encode()[..], &index[HEADER_BYTES..]].concat()).unwrap();
    let (lost, is_told) = recover(&place, session);
    assert!(is_told);
    assert_eq!(lost as usize, tags.len() - recovered(&place, session).0.len());
}
