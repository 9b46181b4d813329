//! `journal::recover`: whatever a crash left in a folder, what is kept are whole tags, and a second
//! recovery has nothing to do.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use uuid::Uuid;

use crate::{
    domain::ids::SessionId,
    journal::{Journal, JournalError, Settings},
};

/// The session that every journal here is of; the seeds know it.
pub const SESSION: SessionId =
    SessionId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
/// Files taken from an input.
const FILES_MAX: usize = 3;

/// A journal root of its own, in memory where there is such a place.
pub struct Place {
    pub journal: Journal,
    pub folder: PathBuf,
    _root: tempfile::TempDir,
}

impl Place {
    pub fn new(roll_bytes: u64) -> Self {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let journal = Journal::open(Settings {
            root: root.path().to_owned(),
            sync_interval: Duration::from_secs(1),
            roll_bytes,
        })
        .unwrap();
        let folder = root.path().join(SESSION.to_string());
        Place { journal, folder, _root: root }
    }

    /// Empties the folder of the session.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir(&self.folder).unwrap();
    }
}

/// First byte: number of files. For each of them two bytes, length of the data, and two, length of
/// the index, little-endian; 0 is no index. Then the contents in the same order.
pub fn run(mut data: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(1 << 20));
    let count = usize::from(super::first(&mut data)) % FILES_MAX + 1;
    let lengths: Vec<[usize; 2]> =
        (0..count).map(|_| [length(&mut data), length(&mut data)]).collect();
    PLACE.with(|place| {
        place.clear();
        let mut has_index = false;
        for (number, [data_len, index_len]) in lengths.into_iter().enumerate() {
            write(&place.folder, number + 1, "flv", take(&mut data, data_len));
            if index_len > 0 {
                has_index = true;
                write(&place.folder, number + 1, "idx", take(&mut data, index_len));
            }
        }
        check(place, !has_index);
    });
}

/// Recovers, looks at what is there, and recovers again. Where an index with valid checksums may
/// have been made up, only that nothing panics is sure.
pub fn check(place: &Place, is_strict: bool) {
    let first = place.journal.recover(SESSION).unwrap();
    let tags = read_all(place, is_strict);
    let second = place.journal.recover(SESSION).unwrap();
    if is_strict {
        assert_eq!((second.rebuilt, second.cut_bytes, second.set_aside), (0, 0, 0));
        assert_eq!((&second.head, second.start), (&first.head, first.start));
        assert_eq!(second.progress, first.progress);
        assert_eq!(read_all(place, is_strict), tags);
    }
}

/// Every tag of the journal as it stands there, walked by the index and looked at in the data.
pub fn read_all(place: &Place, is_strict: bool) -> Vec<Vec<u8>> {
    let mut reader = match place.journal.reader(SESSION) {
        Ok(reader) => reader,
        Err(JournalError::Damaged { .. } | JournalError::Missing(_))
            if !has_data(&place.folder) =>
        {
            return Vec::new();
        }
        Err(error) if is_strict => panic!("a recovered journal cannot be opened: {error}"),
        Err(_) => return Vec::new(),
    };
    let (start, end) = (reader.start(), reader.end());
    let _ = reader.configs(start, u64::MAX);
    let _ = reader.metadata(start);
    let _ = reader.notes(start);
    let Ok(samples) = reader.samples(start, u64::MAX) else {
        assert!(!is_strict);
        return Vec::new();
    };
    let samples: Result<Vec<_>, _> = samples.collect();
    let samples = match samples {
        Ok(samples) => samples,
        Err(error) if is_strict => panic!("a recovered index cannot be read: {error}"),
        Err(_) => return Vec::new(),
    };
    let mut tags = Vec::new();
    for sample in samples.iter().filter(|sample| sample.tag_len > 0) {
        let mut tag = vec![0; sample.tag_len.min(1 << 20) as usize];
        let read = reader.read(sample.position, &mut tag);
        let _ = reader.payload(sample);
        if is_strict {
            read.unwrap();
            assert_whole(&tag);
            tags.push(tag);
        }
    }
    if is_strict {
        let bytes: u64 = tags.iter().map(|tag| tag.len() as u64).sum();
        let kept = end.unwrap() - start;
        assert!(bytes <= kept, "tags overlap");
    }
    tags
}

/// Kind, length and back pointer of one FLV tag.
fn assert_whole(tag: &[u8]) {
    let length = u32::from_be_bytes([0, tag[1], tag[2], tag[3]]) as usize;
    assert!(matches!(tag[0], 8 | 9 | 18));
    assert_eq!(tag.len(), 11 + length + 4);
    assert_eq!(tag[11 + length..], (11 + length as u32).to_be_bytes());
}

fn has_data(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).unwrap();
    entries.any(|entry| entry.unwrap().path().extension().is_some_and(|kind| kind == "flv"))
}

fn write(folder: &Path, number: usize, extension: &str, bytes: &[u8]) {
    fs::write(folder.join(format!("{number:08}.{extension}")), bytes).unwrap();
}

fn length(data: &mut &[u8]) -> usize {
    usize::from(super::first(data)) | usize::from(super::first(data)) << 8
}

/// The next `length` bytes, or as many as there are.
fn take<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    taken
}
