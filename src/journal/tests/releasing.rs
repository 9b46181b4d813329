//! What is deleted and what is not, and that who repairs has a journal to himself.

use super::*;
use crate::{domain::ids::RecordingId, journal::JournalError};

#[test]
fn only_whole_files_below_go() {
    let place = Place::new(100);
    let tags = stream();
    let (session, end) = place.record(&tags, 3);
    let mut reader = place.reader(session);
    let mut bases = vec![];
    for nth in 0..reader.files() {
        bases.push(reader.header(nth).unwrap().base);
    }
    assert!(bases.len() > 4);
    let samples = all_samples(&mut reader);
    let release = |keep_from| place.journal.release(session, Some(keep_from)).unwrap();
    for keep_from in [0, bases[1] - 1] {
        assert_eq!(release(keep_from), 0);
    }
    let sizes: Vec<u64> = files(&place, session)
        .iter()
        .map(|(data, index)| (data.len() + index.len()) as u64)
        .collect();
    assert_eq!(release(bases[1]), sizes[0]);
    assert_eq!(release(bases[1]), 0);
    assert_eq!(release(bases[3] + 1), sizes[1] + sizes[2]);
    let mut reader = place.reader(session);
    assert_eq!((reader.start(), reader.end().unwrap(), reader.head()), (bases[3], end, HEAD));
    let kept: Vec<Sample> = samples.iter().copied().filter(|s| s.position >= bases[3]).collect();
    assert_eq!(all_samples(&mut reader), kept);
    assert!(matches!(reader.samples(bases[3] - 1, end), Err(JournalError::Position { .. })));
    assert!(reader.read(bases[3] - 1, &mut [0]).is_err());
    // Files that are left can be made whole without those that are gone.
    for number in place.journal.folder(session).numbers().unwrap() {
        fs::remove_file(place.journal.folder(session).index(number)).unwrap();
    }
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.start, found.progress.written), (bases[3], end));
    assert_eq!(all_samples(&mut place.reader(session)), kept);
    // The last one stays while anything is kept.
    release(u64::MAX);
    assert_eq!(files(&place, session).len(), 1);
    assert_eq!(place.reader(session).end().unwrap(), end);
    assert_eq!(place.journal.release(session, None).unwrap(), sizes[sizes.len() - 1]);
    assert!(!place.folder(session).exists());
    assert_eq!(place.journal.release(session, None).unwrap(), 0);
    assert!(matches!(place.journal.reader(session), Err(JournalError::Missing(_))));
    assert!(matches!(place.journal.recover(session), Err(JournalError::Missing(_))));
}

/// The time of arrival that is noted before a place does not change when what is before its file goes.
#[test]
fn a_mark_before_a_position_is_that_of_its_file() {
    let place = Place::new(150);
    let tags: Vec<Tag> = (0..40).map(|nth| keyframe(nth * 400, 20)).collect();
    let (session, _) = place.record(&tags, 1);
    let marks = |place: &Place, from: u64| -> Vec<(u64, i64)> {
        let mut reader = place.reader(session);
        let samples = all_samples(&mut reader);
        let positions = samples.iter().map(|sample| sample.position).filter(|at| *at >= from);
        positions.map(|at| (at, reader.mark_before(at).unwrap())).collect()
    };
    let mut reader = place.reader(session);
    let bases: Vec<u64> = (0..reader.files()).map(|nth| reader.header(nth).unwrap().base).collect();
    assert!(bases.len() > 6);
    let all = marks(&place, 0);
    assert!(all.is_sorted_by_key(|(_, mark)| *mark), "{all:?}");
    assert_eq!(all[0], (0, WALL_MS));
    // Where a file begins it is when its first tag came.
    let at_bases: Vec<i64> = all.iter().filter(|m| bases.contains(&m.0)).map(|m| m.1).collect();
    assert!(at_bases.is_sorted_by(|a, b| a < b), "{at_bases:?}");
    for base in &bases[1..] {
        place.journal.release(session, Some(*base)).unwrap();
        let kept: Vec<_> = all.iter().copied().filter(|(at, _)| at >= base).collect();
        assert_eq!(marks(&place, *base), kept);
        assert!(place.reader(session).mark_before(base - 1).is_err(), "it is gone");
    }
}

#[test]
fn what_a_recording_to_come_holds_stays() {
    let place = Place::new(100);
    let (session, end) = place.record(&stream(), 3);
    let mut reader = place.reader(session);
    let bases: Vec<u64> = (0..reader.files()).map(|nth| reader.header(nth).unwrap().base).collect();
    let (journal, recording) = (&place.journal, RecordingId::new(0));
    journal.set_floor(session, end);
    assert!(journal.release(session, Some(bases[1])).unwrap() > 0);
    // In the second file, which is kept, though it lies below what could have been released.
    assert!(!journal.hold(session, recording, bases[1] - 1));
    assert!(journal.hold(session, recording, bases[1] + 1));
    assert_eq!(journal.release(session, Some(end)).unwrap(), 0);
    assert_eq!(place.reader(session).start(), bases[1]);
    journal.let_go(session, recording);
    assert!(journal.release(session, Some(end)).unwrap() > 0);
    assert!(!journal.hold(session, recording, bases[1] + 1));
}

#[test]
fn a_live_journal_can_be_released_behind_its_writer() {
    let place = Place::new(100);
    let (session, mut writer) = place.begin();
    let tags: Vec<Tag> = (0..30).map(|nth| keyframe(nth * 40, 40)).collect();
    for (nth, tag) in tags.iter().enumerate() {
        writer.push(tag, WALL_MS);
        place.runtime.block_on(writer.flush()).unwrap();
        let mark = writer.progress().borrow().last_keyframe.unwrap();
        place.journal.release(session, Some(mark.position)).unwrap();
        let mut reader = place.reader(session);
        let end = reader.end().unwrap();
        assert_eq!(read_tags_between(&mut reader, mark.position, end), tags[nth..=nth]);
        assert!(files(&place, session).len() <= 2);
    }
    assert!(matches!(place.journal.release(session, None), Err(JournalError::Live(_))));
    place.runtime.block_on(writer.close("{}")).unwrap();
    let mut reader = place.reader(session);
    assert_eq!(read_tags(&mut reader).last(), tags.last());
    assert!(place.journal.release(session, None).unwrap() > 0);
}

#[test]
fn foreign_files_are_left_alone() {
    let place = Place::new(100);
    let (session, _) = place.record(&stream(), 3);
    let root = place.journal.shared.settings.root.clone();
    let other = SessionId::new(0);
    let loud = other.to_string().to_uppercase();
    let foreign = [
        root.join("lost+found"),
        root.join("README"),
        root.join(other.0.simple().to_string()),
        root.join(&loud),
        root.join(other.to_string()),
    ];
    fs::create_dir(&foreign[0]).unwrap();
    fs::write(&foreign[1], "text").unwrap();
    fs::create_dir(&foreign[2]).unwrap();
    fs::create_dir(&foreign[3]).unwrap();
    std::os::unix::fs::symlink(&foreign[0], &foreign[4]).unwrap();
    assert_eq!(place.journal.sessions().unwrap(), [session]);

    let inside = place.folder(session);
    let names = [
        "1.flv",
        "0000001.flv",
        "00000000.flv",
        "+0000001.flv",
        "00000001.flv.bak",
        "00000001.mp4",
        "x.idx",
        "99999999999.flv",
    ];
    for name in names {
        fs::write(inside.join(name), "not ours").unwrap();
    }
    fs::create_dir(inside.join("00000099.flv")).unwrap();
    assert_eq!(read_tags(&mut place.reader(session)), stream());
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 0);
    assert!(place.journal.release(session, None).unwrap() > 0);
    for name in names {
        assert_eq!(fs::read(inside.join(name)).unwrap(), b"not ours");
    }
    assert!(inside.join("00000099.flv").is_dir());
    assert_eq!(fs::read_dir(&inside).unwrap().count(), names.len() + 1);
    assert!(foreign.iter().all(|path| path.symlink_metadata().is_ok()));
    // Nothing of ours in it.
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.head, found.set_aside), (None, 0));
}

#[test]
fn a_session_has_one_journal() {
    let place = Place::new(100);
    let (session, writer) = place.begin();
    let create = || place.runtime.block_on(place.journal.create(session, String::new(), 0));
    assert!(matches!(create(), Err(JournalError::Exists(_))));
    place.runtime.block_on(writer.close("{}")).unwrap();
    assert!(matches!(create(), Err(JournalError::Exists(_))));
    assert_eq!(place.reader(session).head(), HEAD);
    place.journal.release(session, None).unwrap();
    place.runtime.block_on(create().unwrap().close("{}")).unwrap();
}

#[test]
fn reads_have_their_own_threads() {
    let place = Place::new(100);
    let journal = place.journal.clone();
    let sessions =
        place.runtime.block_on(place.journal.run_read(move || journal.sessions())).unwrap();
    assert!(sessions.is_empty());
    let died: Result<(), JournalError> =
        place.runtime.block_on(place.journal.run_read(|| panic!("on purpose")));
    assert!(matches!(died, Err(JournalError::Task(_))));
    assert!(died.unwrap_err().is_transient());
}

#[test]
fn repairs_of_one_journal_wait_for_each_other() {
    let tags = stream();
    for _ in 0..32 {
        let place = Place::new(150);
        let (session, _) = place.record(&tags, 1);
        recovery::unseal(&place, session, 1);
        std::thread::scope(|scope| {
            let repairs = [(); 4].map(|()| scope.spawn(|| place.journal.recover(session)));
            for repair in repairs {
                assert!(repair.join().unwrap().unwrap().progress.closed);
            }
        });
        assert_eq!(recovery::recovered(&place, session).0, tags);
    }
}
