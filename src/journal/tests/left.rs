//! What stands in the place of a journal, of its data or of an index.

use std::os::unix::fs::symlink;

use super::{
    lost_end::{aside, recover, several},
    recovery::recovered,
    *,
};
use crate::journal::{JournalError, left::Left};

/// A link or a folder is not followed, says so whatever else is there, and costs nothing once the file
/// is in its place again.
#[test]
fn what_is_no_file_stands_in_the_way() {
    let (place, session, tags) = several();
    let end = place.reader(session).end().unwrap();
    let folder = place.journal.folder(session);
    let numbers = folder.numbers().unwrap();
    let away = place.folder(session).with_extension("away");
    for number in [numbers[0], numbers[2], numbers[numbers.len() - 1]] {
        let data = folder.data(number);
        let obstacles: [&dyn Fn(); 3] =
            [&|| symlink(&away, &data).unwrap(), &|| symlink("nowhere", &data).unwrap(), &|| {
                fs::create_dir(&data).unwrap()
            }];
        for obstruct in obstacles {
            assert_eq!(folder.left().unwrap(), Left::Data);
            fs::rename(&data, &away).unwrap();
            obstruct();
            assert_eq!(folder.left().unwrap(), Left::Obstructed(data.clone()));
            place.journal.recover(session).unwrap();
            assert!(recovered(&place, session).0.len() < tags.len());
            if data.is_symlink() { fs::remove_file(&data) } else { fs::remove_dir(&data) }.unwrap();
            fs::rename(&away, &data).unwrap();
            assert_eq!(recover(&place, session), (0, false));
            assert_eq!(
                (recovered(&place, session).0, aside(&place, session)),
                (tags.clone(), vec![])
            );
        }
    }
    // In the place of the folder: what is behind it is none of ours.
    fs::rename(&folder.path, &away).unwrap();
    assert_eq!(folder.left().unwrap(), Left::Nothing);
    symlink(&away, &folder.path).unwrap();
    assert_eq!(folder.left().unwrap(), Left::Obstructed(folder.path.clone()));
    let is_missing = |error| matches!(error, JournalError::Missing(_));
    assert!(place.journal.reader(session).is_err_and(is_missing));
    assert!(place.journal.recover(session).is_err_and(is_missing));
    assert_eq!(place.journal.release(session, None).unwrap(), 0);
    fs::remove_file(&folder.path).unwrap();
    fs::rename(&away, &folder.path).unwrap();
    assert_eq!(place.reader(session).end().unwrap(), end);
    assert_eq!(recovered(&place, session).0, tags);
}

/// A folder in the place of an index keeps it from being made again, until it is out of the way.
#[test]
fn a_folder_in_the_place_of_an_index_is_moved_away() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let index = place.journal.folder(session).index(1);
    for nth in 0..2 {
        fs::remove_file(&index).unwrap();
        fs::create_dir(&index).unwrap();
        fs::write(index.join("kept"), [nth]).unwrap();
        assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
        assert_eq!(recovered(&place, session).0, tags);
        let away = index.with_extension(format!("idx.foreign{nth}"));
        assert_eq!(fs::read(away.join("kept")).unwrap(), [nth]);
    }
}
