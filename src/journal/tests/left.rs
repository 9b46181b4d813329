//! What stands in the place of a journal or of its data.

use std::os::unix::fs::symlink;

use super::{
    lost_end::{aside, recover},
    recovery::recovered,
    *,
};
use crate::journal::left::Left;

/// What is no file is neither data nor their loss.
#[test]
fn beside_what_is_no_file_nothing_is_told() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let folder = place.journal.folder(session);
    let (data, away) = (folder.data(1), place.folder(session).with_extension("away"));
    fs::rename(&data, &away).unwrap();
    let obstacles: [&dyn Fn(); 3] =
        [&|| symlink(&away, &data).unwrap(), &|| symlink("nowhere", &data).unwrap(), &|| {
            fs::create_dir(&data).unwrap()
        }];
    for obstruct in obstacles {
        obstruct();
        let found = place.journal.recover(session).unwrap();
        assert_eq!((found.head, found.lost_tags), (None, 0));
        assert!(folder.index(1).exists() && aside(&place, session).is_empty());
        assert_eq!(folder.left().unwrap(), Left::Obstructed(data.clone()));
        if data.is_symlink() { fs::remove_file(&data) } else { fs::remove_dir(&data) }.unwrap();
    }
    // Of the folder, too; with the files back all is well.
    fs::rename(&away, &data).unwrap();
    assert_eq!(folder.left().unwrap(), Left::Data);
    fs::rename(&folder.path, &away).unwrap();
    assert_eq!(folder.left().unwrap(), Left::Nothing);
    symlink(&away, &folder.path).unwrap();
    assert_eq!(folder.left().unwrap(), Left::Obstructed(folder.path.clone()));
    fs::remove_file(&folder.path).unwrap();
    fs::rename(&away, &folder.path).unwrap();
    assert_eq!(recover(&place, session), (0, false));
    assert_eq!(recovered(&place, session).0, tags);
    // At its end its index goes, whatever stands beside it.
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    place.journal.release(session, None).unwrap();
    assert!(!folder.index(1).exists() && data.exists());
}
