//! Tests of what is particular to the directory: crashes, leftovers, foreign files. What both
//! stores promise is tested in `tests/it/storage.rs`.

use std::os::unix::fs::symlink;

use futures_util::TryStreamExt;
use tempfile::TempDir;

use super::*;

const PART: u64 = 1000;

struct Store {
    dir: TempDir,
    store: LocalStore,
}

fn open() -> Store {
    let dir = TempDir::new().unwrap();
    let store = LocalStore::open(&dir.path().join("vod")).unwrap();
    Store { dir, store }
}

impl Store {
    fn root(&self) -> PathBuf {
        self.dir.path().join("vod")
    }

    /// The same directory after a restart.
    fn reopen(&mut self) {
        self.store = LocalStore::open(&self.root()).unwrap();
    }

    fn temporaries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(".tmp")).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn key(text: &str) -> StorageKey {
    StorageKey::parse(text).unwrap()
}

fn bytes(fill: u8, len: u64) -> Bytes {
    vec![fill; len as usize].into()
}

async fn read(store: &LocalStore, key: &StorageKey) -> Vec<u8> {
    store.get(key, None).await.unwrap().stream.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
async fn nothing_temporary_is_left_behind() {
    let s = open();
    s.store.put(&key("a/b.mp4"), bytes(1, 10)).await.unwrap();
    let upload = s.store.start(&key("a/c.mp4"), PART).await.unwrap();
    let part = s.store.put_part(&upload, 1, bytes(2, 10)).await.unwrap();
    assert_eq!(s.temporaries().len(), 2);
    s.store.complete(&upload, &[part]).await.unwrap();
    s.store.check().await.unwrap();
    assert_eq!(s.temporaries(), Vec::<String>::new());
    // A directory stands where the object should be.
    fs::create_dir(s.root().join("a/d.mp4")).unwrap();
    let error = s.store.put(&key("a/d.mp4"), bytes(1, 10)).await.unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    assert_eq!(s.temporaries(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let mut s = open();
    let upload = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    let third = s.store.put_part(&upload, 3, bytes(3, 10)).await.unwrap();
    let second = s.store.put_part(&upload, 2, bytes(2, PART)).await.unwrap();
    s.reopen();
    assert_eq!(s.store.list_parts(&upload).await.unwrap(), [second.clone(), third.clone()]);
    let first = s.store.put_part(&upload, 1, bytes(1, PART)).await.unwrap();
    s.store.complete(&upload, &[first, second, third]).await.unwrap();
    assert_eq!(
        read(&s.store, &upload.key).await,
        [bytes(1, PART), bytes(2, PART), bytes(3, 10)].concat()
    );
}

#[tokio::test]
async fn a_part_that_was_being_replaced_does_not_count() {
    let s = open();
    let upload = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    s.store.put_part(&upload, 1, bytes(1, PART)).await.unwrap();
    // What a crash while part 1 is written again leaves: the note that it is, and half of it.
    let log = s.root().join(".tmp").join(format!("{}.parts", upload.id));
    fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(&parts::encode_record(1, 0))
        .unwrap();
    assert_eq!(s.store.list_parts(&upload).await.unwrap(), []);
    let stale = Part { number: 1, etag: String::new(), size: PART };
    let error = s.store.complete(&upload, std::slice::from_ref(&stale)).await.unwrap_err();
    assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{error}");
    assert_eq!(s.store.put_part(&upload, 1, bytes(2, PART)).await.unwrap(), stale);
    s.store.complete(&upload, &[stale]).await.unwrap();
    assert_eq!(read(&s.store, &upload.key).await, bytes(2, PART));
}

#[tokio::test]
async fn bytes_that_are_not_on_disk_are_never_made_up() {
    let s = open();
    let upload = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    let part = s.store.put_part(&upload, 1, bytes(1, PART)).await.unwrap();
    let body = s.root().join(".tmp").join(format!("{}.body", upload.id));
    fs::OpenOptions::new().write(true).open(&body).unwrap().set_len(PART - 1).unwrap();
    assert_eq!(s.store.list_parts(&upload).await.unwrap(), []);
    let error = s.store.complete(&upload, &[part]).await.unwrap_err();
    assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{error}");
    assert_eq!(s.store.head(&upload.key).await.unwrap(), None);
}

#[tokio::test]
async fn complete_is_finished_after_a_crash_between_its_steps() {
    let mut s = open();
    let upload = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    let part = s.store.put_part(&upload, 1, bytes(1, 10)).await.unwrap();
    // Renamed, but the log is still there and nobody was told.
    fs::create_dir(s.root().join("a")).unwrap();
    fs::rename(
        s.root().join(".tmp").join(format!("{}.body", upload.id)),
        s.root().join("a/f0.mp4"),
    )
    .unwrap();
    s.reopen();
    s.store.complete(&upload, std::slice::from_ref(&part)).await.unwrap();
    assert_eq!(s.temporaries(), Vec::<String>::new());
    // An object of another size is not this upload's.
    s.store.put(&upload.key, bytes(1, 11)).await.unwrap();
    let error = s.store.complete(&upload, &[part]).await.unwrap_err();
    assert!(matches!(error, StorageError::NoSuchUpload { .. }), "{error}");
}

#[tokio::test]
async fn a_shorter_last_part_takes_the_place_of_a_longer_one() {
    let s = open();
    let upload = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    s.store.put_part(&upload, 1, bytes(1, PART)).await.unwrap();
    let part = s.store.put_part(&upload, 1, bytes(2, 3)).await.unwrap();
    s.store.complete(&upload, &[part]).await.unwrap();
    assert_eq!(read(&s.store, &upload.key).await, [2, 2, 2]);
}

#[tokio::test]
async fn old_leftovers_are_removed_and_nothing_else() {
    let mut s = open();
    let tmp = s.root().join(".tmp");
    let id = uuid::Uuid::now_v7();
    let own = [format!("put-{id}"), format!("{id}.body"), format!("{id}.parts")];
    let foreign = ["notes.txt", "x.body", "put-x", ".hidden"].map(str::to_owned);
    for name in own.iter().chain(&foreign) {
        let file = fs::File::create(tmp.join(name)).unwrap();
        file.set_modified(SystemTime::now() - LEFTOVER_AGE - Duration::from_secs(60)).unwrap();
    }
    let young = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    s.reopen();
    let left = s.temporaries();
    assert_eq!(left.len(), foreign.len() + 2, "{left:?}");
    assert!(
        own.iter().all(|name| !left.contains(name))
            && foreign.iter().all(|name| left.contains(name))
    );
    assert_eq!(s.store.list_parts(&young).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_killed_process_left_is_cleared_by_its_node_alone() {
    let s = open();
    let (tmp, store) =
        (s.root().join(".tmp"), |node| LocalStore::open_for(&s.root(), node).unwrap());
    // Names as they are given while an object is on its way, of a node, its neighbour, an old version.
    let names = ["a", "b"].map(|node| store(node).files.temporary());
    let old = s.store.files.temporary();
    for path in names.iter().chain([&old]) {
        fs::write(path, b"half").unwrap();
    }
    let upload = store("a").start(&key("a/f0.mp4"), PART).await.unwrap();
    assert!(!names[0].exists() && names[1].exists() && old.exists());
    assert_eq!(store("a").list_parts(&upload).await.unwrap(), [], "uploads go on");
    assert_eq!(fs::read_dir(tmp).unwrap().count(), 4);
}

#[tokio::test]
async fn uploads_of_a_key_are_freed_without_their_ids() {
    let s = open();
    let lost = s.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    let other = s.store.start(&key("a/f0.flv"), PART).await.unwrap();
    s.store.put_part(&lost, 1, bytes(1, 10)).await.unwrap();
    let found = s.store.uploads_of(&key("a/f0.mp4")).await.unwrap();
    assert_eq!(found.iter().map(|it| &it.id).collect::<Vec<_>>(), [&lost.id]);
    s.store.discard(&found[0]).await.unwrap();
    assert!(matches!(s.store.list_parts(&lost).await, Err(StorageError::NoSuchUpload { .. })));
    assert_eq!(s.store.list_parts(&other).await.unwrap(), []);
    assert_eq!(s.store.uploads_of(&key("a/f0.mp4")).await.unwrap(), []);
}

#[tokio::test]
async fn deleting_prunes_empty_directories_and_follows_no_link() {
    let s = open();
    let (first, second) = (key("d/app/s/1/f0.mp4"), key("d/app/s/2/f0.mp4"));
    s.store.put(&first, bytes(1, 5)).await.unwrap();
    s.store.put(&second, bytes(1, 5)).await.unwrap();
    s.store.delete(&first).await.unwrap();
    assert!(!s.root().join("d/app/s/1").exists() && s.root().join("d/app/s/2").exists());
    let elsewhere = s.dir.path().join("archive.mp4");
    fs::rename(s.root().join(second.as_str()), &elsewhere).unwrap();
    symlink(&elsewhere, s.root().join(second.as_str())).unwrap();
    assert_eq!(read(&s.store, &second).await, [1; 5]);
    s.store.delete(&second).await.unwrap();
    assert!(elsewhere.exists() && !s.root().join("d").exists() && s.root().exists());
    // The directories are made, and made durable, anew.
    s.store.put(&second, bytes(1, 6)).await.unwrap();
    assert_eq!(s.store.head(&second).await.unwrap().unwrap().size, 6);
}

#[tokio::test]
async fn directories_and_temporary_files_are_no_objects() {
    let s = open();
    s.store.put(&key("a/b/c.mp4"), bytes(1, 5)).await.unwrap();
    for text in ["a", "a/b", "a/b/c.mp4/d"] {
        assert_eq!(s.store.head(&key(text)).await.unwrap(), None, "{text}");
        let error = s.store.get(&key(text), None).await.unwrap_err();
        assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
        s.store.delete(&key(text)).await.unwrap();
    }
    assert!(StorageKey::parse(".tmp/x").is_err());
}

#[tokio::test]
async fn an_upload_id_is_no_path() {
    let s = open();
    let victim = s.dir.path().join("victim.body");
    fs::write(&victim, b"x").unwrap();
    let upload = Upload { key: key("a/f0.mp4"), id: "../../victim".to_owned(), part_size: PART };
    s.store.abort(&upload).await.unwrap();
    assert!(matches!(s.store.list_parts(&upload).await, Err(StorageError::NoSuchUpload { .. })));
    assert!(matches!(
        s.store.put_part(&upload, 1, bytes(1, 1)).await,
        Err(StorageError::NoSuchUpload { .. })
    ));
    assert!(victim.exists());
}

#[tokio::test]
async fn a_file_cut_short_while_it_is_read_is_an_error() {
    let s = open();
    s.store.put(&key("a.mp4"), bytes(1, 3 * BLOCK_BYTES)).await.unwrap();
    let mut body = s.store.get(&key("a.mp4"), None).await.unwrap();
    assert_eq!(body.stream.try_next().await.unwrap().unwrap().len() as u64, BLOCK_BYTES);
    fs::OpenOptions::new()
        .write(true)
        .open(s.root().join("a.mp4"))
        .unwrap()
        .set_len(BLOCK_BYTES)
        .unwrap();
    assert!(body.stream.try_next().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn the_tag_changes_with_the_object() {
    let s = open();
    s.store.put(&key("a.mp4"), bytes(1, 5)).await.unwrap();
    let before = s.store.head(&key("a.mp4")).await.unwrap().unwrap();
    assert_eq!(s.store.head(&key("a.mp4")).await.unwrap().unwrap(), before);
    s.store.put(&key("a.mp4"), bytes(2, 5)).await.unwrap();
    assert_ne!(s.store.head(&key("a.mp4")).await.unwrap().unwrap().etag, before.etag);
}
